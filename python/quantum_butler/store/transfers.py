"""What other butlers need to know to transfer files from a datastore."""

from __future__ import annotations

__all__ = ("find_recorded_files", "find_unrecorded_files")

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import FileTransferRecord
from lsst.resources import ResourcePath

from .. import _core
from ..quantum.ids import dataset_key

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId
    from lsst.daf.butler.datastore import FileTransferMap

    from ..datastore.file import NativeFileDatastore


def find_recorded_files(datastore: NativeFileDatastore, dataset_ids: Iterable[DatasetId]) -> FileTransferMap:
    """Return records and locations of the files of some datasets.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore with a local root.
    dataset_ids : `~collections.abc.Iterable` [ `DatasetId` ]
        The datasets.

    Returns
    -------
    files : `dict` [ `DatasetId`, `list` [ `FileTransferRecord` ] ]
        Files of those datasets that are recorded.
    """
    location = datastore._fixed.locations.of_record
    return {
        dataset_id: [FileTransferRecord(location(info), info) for info in infos]
        for dataset_id, infos in datastore._records.get_many(dataset_ids).items()
    }


def find_unrecorded_files(
    datastore: NativeFileDatastore,
    refs: Sequence[DatasetRef],
    artifact_existence: dict[ResourcePath, bool],
) -> FileTransferMap | None:
    """Look for datasets at the places predicted for them.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore with a local root.
    refs : `~collections.abc.Sequence` [ `DatasetRef` ]
        The datasets.
    artifact_existence : `dict` [ `ResourcePath`, `bool` ]
        Whether files exist, as far as that is known; completed here.

    Returns
    -------
    files : `dict` [ `DatasetId`, `list` [ `FileTransferRecord` ] ] or `None`
        Files of those datasets that have any; `None` if only upstream can
        tell, and then nothing has been looked for.
    """
    root, locations = datastore.root_path, datastore._fixed.locations
    predictions = []
    for ref in refs:
        if not (predicted := datastore._predict(ref)):
            return None
        predictions.append(predicted)
    paths = [path for predicted in predictions for path, _ in predicted]
    if root is None or len(set(paths)) < len(paths) or len(set(map(dataset_key, refs))) < len(refs):
        # Upstream gets into trouble over several datasets in one place, and
        # answers only once for each dataset id.
        return None
    places = list(map(locations.plain_uri, paths))
    known = [artifact_existence.get(place) for place in places] if artifact_existence else [None] * len(paths)
    unknown = [path for path, exists in zip(paths, known, strict=True) if exists is None]
    existence = dict(zip(unknown, _core.files_exist(root, unknown), strict=True))
    for place, path, exists in zip(places, paths, known, strict=True):
        if exists is None:
            artifact_existence[place] = existence[path]
        else:
            existence[path] = exists
    files: FileTransferMap = {}
    for ref, predicted in zip(refs, predictions, strict=True):
        infos = [placement.predict(path) for path, placement in predicted if existence[path]]
        if infos:
            files[ref.id] = [FileTransferRecord(locations.of_record(info), info) for info in infos]
    return files
