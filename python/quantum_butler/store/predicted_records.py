"""The records that a datastore is expected to have of many datasets."""

from __future__ import annotations

__all__ = ("predict_records",)

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetRef, DatasetType
    from lsst.daf.butler.datastore.stored_file_info import StoredDatastoreItemInfo

    from ..datastore.file import NativeFileDatastore
    from .placement import Placement


def predict_records(
    datastore: NativeFileDatastore, refs: Iterable[DatasetRef]
) -> tuple[dict[DatasetId, dict[str, list[StoredDatastoreItemInfo]]], list[DatasetRef]]:
    """Predict the records of datasets as far as that needs no help.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore that would have the records.
    refs : `~collections.abc.Iterable` [ `DatasetRef` ]
        The datasets.

    Returns
    -------
    records : `dict` [ `DatasetId`, `dict` [ `str`, `list` ] ]
        Records of unknown size by dataset and opaque table; none of datasets
        that the datastore does not accept.
    rest : `list` [ `DatasetRef` ]
        Datasets whose records only upstream can predict.
    """
    refs = list(refs)
    if not datastore._is_as_configured():
        return {}, refs
    placements = datastore._fixed.placements
    owners: list[DatasetRef] = []
    paths: list[str] = []
    places: list[Placement] = []
    rest: list[DatasetRef] = []
    known_type: DatasetType | None = None
    is_as_registered = False
    for ref in refs:
        if ref.datasetType is not known_type:
            known_type = ref.datasetType
            is_as_registered = not ref.isComponent() and datastore._cast_storage_class(ref) is ref
        stored_ref = ref if is_as_registered else datastore._cast_storage_class(ref)
        if not is_as_registered and stored_ref.isComponent():
            rest.append(ref)
            continue
        acceptable, artifacts = placements.kind(stored_ref)
        if artifacts is None:
            rest.append(ref)
        elif acceptable:
            found = [artifact.path(stored_ref) for artifact in artifacts]
            if None in found:
                rest.append(ref)
                continue
            for path, artifact in zip(found, artifacts, strict=True):
                if path is not None:
                    owners.append(ref)
                    paths.append(path)
                    places.append(artifact)
    return datastore._records.predict(owners, paths, places), rest
