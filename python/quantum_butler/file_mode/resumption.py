"""What a crash can leave behind, and how it is mended.

A `put` makes the artifact first and the record second, so one that was
interrupted leaves a temporary file or an artifact without a record.  Nobody
was told that it had been put: such an artifact goes, because the quantum will
put it again, and until then it would be taken for one that is there.
Removing goes from the trash in the file over the artifact to the record, so
what was interrupted is in the trash, and is removed from there.  A record
without an artifact, or with one of another size, is what a power cut leaves
of a put; the dataset is treated as if it had been pruned.
"""

from __future__ import annotations

__all__ = ("Resumption", "look_around")

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler.registry.interfaces import FakeDatasetRef
from lsst.resources import ResourcePath

from ..artifact_writing import temporary_suffix
from .managers import FiledTable
from .quantum import has_quantum, id_of

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId
    from lsst.daf.butler.datastore import Datastore

    from ..file_datastore import NativeFileDatastore
    from .quantum import FiledOutputs
    from .record_file import RecordFile

# How upstream's names of temporary files begin, and how ours do.
_RANDOM = "(?:[a-z0-9_]{8}|[0-9a-f]{16})"


class Found(NamedTuple):
    """One thing that is not as it should be."""

    datastore: str
    """Name of the datastore (`str`)."""

    dataset_id: DatasetId
    """The dataset (`DatasetId`)."""

    path: str
    """The artifact, relative to the datastore's root (`str`)."""


@dataclasses.dataclass(frozen=True)
class Resumption:
    """What was not as it should be when a butler was resumed."""

    unrecorded_artifacts: tuple[Found, ...]
    """Artifacts at the predicted places of outputs that have no record, and
    that were not there when the quantum began.  If nobody knows that, as with
    a remote root, they are not removed (`tuple` [ `Found` ]).
    """

    temporary_files: tuple[Found, ...]
    """Temporary files of such artifacts (`tuple` [ `Found` ])."""

    missing_artifacts: tuple[Found, ...]
    """Artifacts of recorded outputs that do not exist, or are of another size
    than the record says (`tuple` [ `Found` ]).
    """

    unfinished_removals: tuple[Found, ...]
    """Artifacts of datasets in the trash (`tuple` [ `Found` ])."""

    is_repaired: bool
    """Whether this has been mended (`bool`)."""

    def __bool__(self) -> bool:
        return any(
            (
                self.unrecorded_artifacts,
                self.temporary_files,
                self.missing_artifacts,
                self.unfinished_removals,
            )
        )


def look_around(file: RecordFile, datastore: Datastore, outputs: FiledOutputs, *, repair: bool) -> Resumption:
    """Look for what an interrupted process has left behind.

    Parameters
    ----------
    file : `RecordFile`
        File of the butler.
    datastore : `Datastore`
        Its datastore.
    outputs : `FiledOutputs`
        Its actual outputs.
    repair : `bool`
        Whether to mend what is found.

    Returns
    -------
    resumption : `Resumption`
        What was found.

    Raises
    ------
    OSError
        Raised if something cannot be mended.
    """
    from ..datastores import file_datastores

    found = [_Search(file, member) for member in file_datastores(datastore)] if has_quantum(file) else []
    resumption = Resumption(
        unrecorded_artifacts=tuple(item for search in found for item in search.unrecorded),
        temporary_files=tuple(item for search in found for item in search.temporary),
        missing_artifacts=tuple(item for search in found for item in search.missing),
        unfinished_removals=tuple(item for search in found for item in search.trashed),
        is_repaired=repair,
    )
    if repair:
        for search in found:
            search.repair(file, outputs)
    return resumption


class _Search:
    """What one datastore has that it should not have, or the other way round.

    Parameters
    ----------
    file : `RecordFile`
        File of the butler.
    datastore : `NativeFileDatastore`
        The datastore.
    """

    def __init__(self, file: RecordFile, datastore: NativeFileDatastore):
        self._datastore = datastore
        self._name = datastore.name
        table = datastore._table
        assert isinstance(table, FiledTable)
        rows = list(table.fetch())
        present = datastore.bridge.check({row["dataset_id"] for row in rows})
        trash = file.read(
            "SELECT dataset_id FROM dataset_location_trash WHERE datastore_name = ?", (self._name,)
        )
        in_trash = {id_of(key) for (key,) in trash}
        outputs = {
            id_of(key)
            for (key,) in file.read("SELECT dataset_id FROM quantum_butler_dataset WHERE predicted_output")
        }
        recorded = {_without_fragment(row["path"]) for row in rows}

        self.trashed = [
            Found(self._name, row["dataset_id"], row["path"])
            for row in rows
            if row["dataset_id"] in in_trash and row["dataset_id"] not in present
        ]
        self.missing = [
            Found(self._name, row["dataset_id"], row["path"])
            for row in rows
            if row["dataset_id"] in present and row["dataset_id"] in outputs and not self._is_whole(row)
        ]
        self.unrecorded: list[Found] = []
        self.temporary: list[Found] = []
        predicted = file.read(
            "SELECT dataset_id, path, was_there FROM quantum_butler_predicted_artifact "
            "WHERE datastore_name = ?",
            (self._name,),
        )
        self._certain: list[Found] = []
        for key, path, was_there in predicted:
            if path not in recorded and not was_there and self._uri(path).exists():
                self.unrecorded.append(item := Found(self._name, id_of(key), path))
                if was_there is not None:
                    self._certain.append(item)
        self.temporary += self._temporaries((id_of(key), path) for key, path, _ in predicted)

    def _uri(self, path: str) -> ResourcePath:
        return self._datastore.locationFactory.fromPath(_without_fragment(path)).uri

    def _is_whole(self, row: Mapping[str, Any]) -> bool:
        """Tell whether an artifact exists and has the size that it should."""
        path, size = str(row["path"]), row["file_size"]
        uri = self._uri(path)
        if not uri.exists():
            return False
        # Members of an archive have the archive's size, or none.
        return "#" in path or not isinstance(size, int) or size < 0 or uri.size() == size

    def _temporaries(self, predicted: Iterable[tuple[DatasetId, str]]) -> Iterator[Found]:
        """Find temporary files that are going to be predicted artifacts."""
        root = self._datastore.root_path
        if root is None:
            # Those of remote artifacts are the operating system's.
            return
        listings: dict[str, list[str]] = {}
        for dataset_id, path in predicted:
            folder, name = os.path.split(path)
            extension = self._uri(path).getExtension()
            if (suffix := temporary_suffix(extension)) is None:
                continue
            if folder not in listings:
                try:
                    listings[folder] = os.listdir(os.path.join(root, folder))
                except OSError:
                    listings[folder] = []
            pattern = re.compile(_RANDOM + re.escape(name.removesuffix(extension) + suffix))
            for name in filter(pattern.fullmatch, listings[folder]):
                yield Found(self._name, dataset_id, os.path.join(folder, name))

    def repair(self, file: RecordFile, outputs: FiledOutputs) -> None:
        """Mend what was found.

        Parameters
        ----------
        file : `RecordFile`
            File of the butler.
        outputs : `FiledOutputs`
            Its actual outputs.
        """
        datastore = self._datastore
        incomplete = {item.dataset_id for item in self.missing}
        gone = incomplete | {item.dataset_id for item in self.trashed}
        if gone:
            with file.unit():
                datastore.bridge.moveToTrash([FakeDatasetRef(dataset_id) for dataset_id in incomplete], None)
                for ref in outputs.copy():
                    if ref.id in incomplete:
                        outputs.discard(ref)
                datastore._empty_trash_subset(ignore_errors=False, selected_ids=gone)
        for item in (*self._certain, *self.temporary):
            uri = self._uri(item.path)
            if uri.exists():
                uri.remove()


def _without_fragment(path: str) -> str:
    return path.rpartition("#")[0] or path
