"""The local file cache, which is upstream's: its folder, its names, its expiry.

What is here looks whether a file is in the cache, and holds on to it while it is
read, without upstream's URI objects.  All else is asked of upstream's manager.
"""

from __future__ import annotations

__all__ = ("CacheSettings", "cache_folder", "hold_file", "is_known", "release_file")

import contextlib
import functools
import os
import secrets
from collections.abc import Hashable
from typing import TYPE_CHECKING

from lsst.daf.butler._location import LocationFactory
from lsst.daf.butler.datastore.cache_manager import (
    AbstractDatastoreCacheManager,
    DatastoreCacheManager,
    DatastoreDisabledCacheManager,
)
from lsst.resources import ResourcePath

from .. import _core
from . import NotOurs
from .locations import PlainLocationFactory

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, DatasetType
    from lsst.daf.butler.datastores.fileDatastore import FileDatastore

# More kinds of datasets than any repository has.
_MOST_KINDS = 10_000


class CacheSettings:
    """Settings of a datastore's file cache, from its configuration and the environment."""

    def __init__(self, datastore: FileDatastore):
        self._config = datastore.config["cached"] if "cached" in datastore.config else None
        self._universe = datastore.universe
        self._manager = datastore.cacheManager
        # A dataset type is held so that no other one gets its id.
        self._kinds: dict[Hashable, tuple[DatasetType, bool]] = {}

    def make_manager(self) -> AbstractDatastoreCacheManager:
        """Make a manager of the cache."""
        if self._config is None:
            return DatastoreDisabledCacheManager("", universe=self._universe)
        return DatastoreCacheManager(self._config, universe=self._universe)

    def folder(self) -> str | None:
        """Return the cache's folder, if there is one from the start.

        Without any setting upstream makes a new folder for the first file that it puts there.
        """
        return cache_folder(self._manager)

    def wants(self, ref: DatasetRef) -> bool:
        """Return whether upstream keeps datasets of this type and instrument in the cache."""
        if self._config is None:
            return False
        dataset_type = ref.datasetType
        instrument = ref.dataId["instrument"] if "instrument" in dataset_type.dimensions.required else None
        key: Hashable = (id(dataset_type), instrument)
        if (known := self._kinds.get(key)) is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            known = self._kinds[key] = dataset_type, self._manager.should_be_cached(ref)
        return known[1]


def cache_folder(manager: AbstractDatastoreCacheManager) -> str | None:
    """Return the folder of a manager as it is now, with a final slash; `None` if it keeps nothing."""
    if type(manager) is DatastoreDisabledCacheManager:
        return None
    if type(manager) is not DatastoreCacheManager:
        raise NotOurs
    if manager._expiration_mode == "disabled" or (folder := manager._cache_directory) is None:
        return None
    path: str = folder.ospath
    return path


def hold_file(folder: str, ref: DatasetRef, component: str | None, extension: str) -> ResourcePath | None:
    """Give a cached file a second name, so that it stays. Return that, or `None` without such a file."""
    # Most datasets have none, so that nothing else is done before that is known.
    if (name := _core.file_of_dataset(folder, ref, component or None, extension)) is None:
        return None
    exempt = DatastoreCacheManager._temp_exemption_prefix
    held = f"{exempt}{secrets.token_hex(4)}-{name}"
    # Whatever goes wrong, upstream then reads the dataset from where it is.
    try:
        path = folder + name
        # Only the file's own name matters: a link is one to what it leads to.
        source = os.path.realpath(path) if os.path.islink(path) else path
        try:
            os.link(source, folder + held)
        except FileNotFoundError:
            ResourcePath(folder + exempt, forceDirectory=True).mkdir()
            os.link(source, folder + held)
    except Exception:
        return None
    return _files_in(folder).uri(held)


def release_file(held: str) -> None:
    """Take the second name away."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(held)


@functools.lru_cache(maxsize=16)
def _files_in(folder: str) -> PlainLocationFactory:
    """Return what makes URIs of files in a folder."""
    return PlainLocationFactory(LocationFactory(ResourcePath(folder, forceDirectory=True)))


def is_known(manager: AbstractDatastoreCacheManager | None, ref: DatasetRef) -> bool:
    """Return whether a manager, if there is one, knows of any file of a dataset."""
    return manager is not None and manager.file_count > 0 and manager.known_to_cache(ref)
