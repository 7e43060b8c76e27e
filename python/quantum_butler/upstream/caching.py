"""The local file cache, which is upstream's: its folder, its names, its expiry.

What is here looks whether a file is in the cache, and holds on to it while it is
read, without upstream's URI objects.  All else is asked of upstream's manager.
"""

from __future__ import annotations

__all__ = ("CacheSettings", "cache_folder", "hold_file", "is_known", "release_file")

import contextlib
import os
import secrets
from collections.abc import Hashable
from typing import TYPE_CHECKING

from lsst.daf.butler.datastore.cache_manager import (
    AbstractDatastoreCacheManager,
    DatastoreCacheManager,
    DatastoreDisabledCacheManager,
)
from lsst.resources import ResourcePath

from . import NotOurs

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetRef, DatasetType
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


def hold_file(folder: str, dataset_id: DatasetId, component: str | None, extension: str) -> str | None:
    """Give a cached file a second name, so that it stays. Return the name, or `None` without such a file."""
    name = f"{dataset_id}_{component}{extension}" if component else f"{dataset_id}{extension}"
    exempt = f"{folder}{DatastoreCacheManager._temp_exemption_prefix}"
    held = f"{exempt}{secrets.token_hex(4)}-{name}"
    return held if _link(folder + name, held, exempt) else None


def release_file(held: str) -> None:
    """Take the second name away."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(held)


def _link(path: str, other: str, folder: str) -> bool:
    """Link a file into a folder, and make the folder if needed. Return whether that was possible."""
    if not os.path.exists(path):
        return False
    # Whatever goes wrong, upstream then reads the dataset from where it is.
    try:
        try:
            os.link(os.path.realpath(path), other)
        except FileNotFoundError:
            ResourcePath(folder, forceDirectory=True).mkdir()
            os.link(os.path.realpath(path), other)
    except Exception:
        return False
    return True


def is_known(manager: AbstractDatastoreCacheManager | None, ref: DatasetRef) -> bool:
    """Return whether a manager, if there is one, knows of any file of a dataset."""
    return manager is not None and manager.file_count > 0 and manager.known_to_cache(ref)
