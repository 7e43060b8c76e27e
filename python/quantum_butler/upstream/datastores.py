"""What is known of upstream's file datastore beyond its interface."""

from __future__ import annotations

__all__ = ("CacheSettings", "expected_records", "shared_attributes")

import os
from typing import TYPE_CHECKING, Any

from lsst.daf.butler.datastore.cache_manager import (
    AbstractDatastoreCacheManager,
    DatastoreCacheManager,
    DatastoreDisabledCacheManager,
)
from lsst.resources import ResourcePath

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef
    from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
    from lsst.daf.butler.datastores.fileDatastore import FileDatastore

# What each datastore has of its own.
_OWN = ("_transaction", "_table", "_bridge", "_retrieve_dataset_method", "cacheManager", "formatterFactory")


def shared_attributes(datastore: FileDatastore, own: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes that a datastore has in common with those made after it, all but some of its own.

    Upstream's constructor would build again what the configuration fixes once and for all.
    """
    attributes = datastore.__dict__.copy()
    for name in _OWN + own:
        attributes.pop(name, None)
    return attributes


def expected_records(datastore: FileDatastore, ref: DatasetRef) -> list[StoredFileInfo]:
    """Return the records that upstream predicts for a dataset."""
    return [info for _, info in datastore._get_expected_dataset_locations_info(ref)]


class CacheSettings:
    """What a datastore's configuration says of its local file cache."""

    def __init__(self, datastore: FileDatastore):
        self._config = datastore.config["cached"] if "cached" in datastore.config else None
        self._root: str | None = None if self._config is None else self._config.get("root")
        self._universe = datastore.universe

    def make_manager(self) -> AbstractDatastoreCacheManager:
        """Make a manager of the cache."""
        if self._config is None:
            return DatastoreDisabledCacheManager("", universe=self._universe)
        return DatastoreCacheManager(self._config, universe=self._universe)

    def folder(self) -> str | None:
        """Return the cache's folder, if there is one from the start.

        Without any of these settings upstream makes a new folder for the first file that it puts there.
        """
        if self._config is None:
            return None
        folder = os.environ.get("DAF_BUTLER_CACHE_DIRECTORY") or self._root
        if folder is None:
            folder = os.environ.get("DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET")
        return (
            None if folder is None else ResourcePath(folder, forceAbsolute=True, forceDirectory=True).ospath
        )
