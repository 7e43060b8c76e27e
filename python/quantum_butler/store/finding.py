"""URIs of many datasets below a local root, recorded or predicted."""

from __future__ import annotations

__all__ = ("many_uris",)

from collections.abc import Collection
from typing import TYPE_CHECKING

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import DatasetRefURIs
from lsst.resources import ResourcePath

if TYPE_CHECKING:
    from ..datastore.file import NativeFileDatastore


def many_uris(
    datastore: NativeFileDatastore, refs: Collection[DatasetRef], predict: bool
) -> dict[DatasetRef, DatasetRefURIs] | None:
    """Return the URIs of recorded datasets, and predict those of others.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore that may hold the datasets.
    refs : `~collections.abc.Collection` [ `DatasetRef` ]
        Datasets without records of their own.
    predict : `bool`
        Whether to predict the URIs of datasets without records.

    Returns
    -------
    uris : `dict` [ `DatasetRef`, `DatasetRefURIs` ] or `None`
        URIs of all datasets; `None` if only upstream can tell.
    """
    locations = datastore._fixed.locations
    result: dict[DatasetRef, DatasetRefURIs] = {}
    recorded = []
    for ref, artifacts in zip(refs, datastore._records.artifacts(refs), strict=True):
        if artifacts:
            recorded.append((ref, artifacts))
        elif not predict:
            # Upstream looks for it, or says that it is missing.
            return None
        elif (predicted := datastore._predict(ref)) is None:
            result[ref] = datastore._predict_URIs(ref)
        else:
            result[ref] = _ref_uris(
                [(placement.component, locations.predicted(path)) for path, placement in predicted]
            )
    for ref, artifacts in recorded:
        found = [
            (component, uri) for component, path in artifacts if (uri := locations.uri(path)) is not None
        ]
        if len(found) < len(artifacts):
            infos = datastore._records.get(ref)
            result[ref] = datastore._locations_to_URI(
                ref, [(locations.of_record(info), info) for info in infos]
            )
        elif len(found) == 1:
            # It is the dataset, whatever component it is said to hold.
            result[ref] = DatasetRefURIs(found[0][1])
        else:
            result[ref] = _ref_uris(found)
    return result


def _ref_uris(artifacts: list[tuple[str | None, ResourcePath]]) -> DatasetRefURIs:
    """Return the URI of a whole dataset, or those of its components."""
    uris = DatasetRefURIs()
    for component, uri in artifacts:
        if component is None:
            uris.primaryURI = uri
        else:
            uris.componentURIs[component] = uri
    return uris
