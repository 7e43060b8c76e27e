"""Knowledge of upstream's file datastore beyond its interface."""

from __future__ import annotations

__all__ = ("expected_records", "shared_attributes")

from typing import TYPE_CHECKING, Any

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
