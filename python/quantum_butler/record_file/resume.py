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

__all__ = ("Resumption", "explain_trash", "look_around", "require_log")

import dataclasses
import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler.registry.interfaces import FakeDatasetRef
from lsst.resources import ResourcePath
from sqlalchemy.exc import IntegrityError

from ..upstream.formatters import temporary_suffix
from .errors import RecordFileError, damage_told
from .keys import id_of
from .managers import FiledBridge, FiledTable
from .predictions import identity_of

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetRef
    from lsst.daf.butler.datastore import Datastore

    from ..datastore.file import NativeFileDatastore
    from .outputs import FiledOutputs
    from .record_file import RecordFile

_LOG = logging.getLogger(__name__)

# How names of temporary files begin: upstream's, of one kind or the other, and ours.
_RANDOM = "(?:[a-z0-9_]{8}|[a-z0-9_]{16})"


class Found(NamedTuple):
    """One thing that is not as it should be."""

    datastore: str
    """Name of the datastore; empty if it was one in memory (`str`)."""

    dataset_id: DatasetId
    """The dataset (`DatasetId`)."""

    path: str
    """The artifact, relative to the datastore's root; empty for a dataset that
    had none (`str`).
    """


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
    than the record says, and outputs that were in memory only
    (`tuple` [ `Found` ]).
    """

    unfinished_removals: tuple[Found, ...]
    """Artifacts of datasets in the trash, and datasets there that have none
    (`tuple` [ `Found` ]).
    """

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


def require_log(file: RecordFile, *, is_needed: bool) -> None:
    """Tell if what was written last may be missing in a file.

    Parameters
    ----------
    file : `RecordFile`
        File of a butler.
    is_needed : `bool`
        Whether to raise, instead of logging a warning.

    Raises
    ------
    RecordFileError
        Raised if something may be missing.
    """
    if not file.lacks_log:
        return
    what = (
        f"The file was not closed by its butler, and there is no {file.path}-wal beside it; if it was "
        "copied without that, what was written last is missing"
    )
    if is_needed:
        raise RecordFileError(
            errno.ENODATA,
            f"{what}, and artifacts would be taken for unrecorded. Copy that as well; or, if another program "
            "has opened and closed the file meanwhile, resume without repair, close, and repair then",
            file.path,
        )
    _LOG.warning("%s: %s.", file.path, what)


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
    RecordFileError
        Raised if the file is damaged.
    OSError
        Raised if something cannot be mended.
    """
    from ..datastore.spawn import file_datastores

    with damage_told(file.path, "quantum_butler_predicted_artifact"):
        searches = [_Search(file, member) for member in file_datastores(datastore)]
        volatile = _only_in_memory(file)
    resumption = Resumption(
        unrecorded_artifacts=tuple(item for search in searches for item in search.unrecorded),
        temporary_files=tuple(item for search in searches for item in search.temporary),
        missing_artifacts=(*(item for search in searches for item in search.missing), *volatile),
        unfinished_removals=tuple(item for search in searches for item in search.trashed),
        is_repaired=repair,
    )
    if repair:
        # As long as one datastore of a chain has it, a dataset is there.
        lost = {item.dataset_id for item in resumption.missing_artifacts}
        lost -= {dataset_id for search in searches for dataset_id in search.whole}
        with file.unit():
            for ref in outputs.copy():
                if ref.id in lost:
                    outputs.discard(ref)
            for search in searches:
                search.remove_datasets()
        for search in searches:
            search.remove_files()
    return resumption


def _only_in_memory(file: RecordFile) -> list[Found]:
    """Return the outputs that were in no file datastore, and are gone."""
    keys = file.read("SELECT dataset_id FROM quantum_butler_output WHERE in_memory ORDER BY dataset_id")
    return [Found("", id_of(key), "") for (key,) in keys]


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
        ids = {row["dataset_id"] for row in rows}
        present = datastore.bridge.check(ids)
        in_trash: set[Any] = set(datastore._records.locations.trashed())
        # Other datastores may have their records in the same table.
        rows = [row for row in rows if row["dataset_id"] in present or row["dataset_id"] in in_trash]
        outputs = {
            id_of(key)
            for (key,) in file.read("SELECT dataset_id FROM quantum_butler_dataset WHERE predicted_output")
        }
        recorded = {_without_fragment(row["path"]) for row in rows}

        self.trashed = [self._found(row) for row in rows if row["dataset_id"] not in present]
        self._without_records = sorted(in_trash - ids)
        self.trashed += [Found(self._name, dataset_id, "") for dataset_id in self._without_records]
        self.missing: list[Found] = []
        self.whole: set[DatasetId] = set()
        for row in rows:
            if row["dataset_id"] in present and row["dataset_id"] in outputs:
                if self._is_whole(row):
                    self.whole.add(row["dataset_id"])
                else:
                    self.missing.append(self._found(row))
        self.whole -= {item.dataset_id for item in self.missing}

        predicted = [
            (id_of(key), path, before)
            for key, path, before in file.read(
                "SELECT dataset_id, path, before FROM quantum_butler_predicted_artifact "
                "WHERE datastore_name = ?",
                (self._name,),
            )
        ]
        self.unrecorded: list[Found] = []
        self._certain: list[Found] = []
        for dataset_id, path, before in predicted:
            if path not in recorded and self._is_new(path, before):
                self.unrecorded.append(item := Found(self._name, dataset_id, path))
                if before is not None:
                    self._certain.append(item)
        self.temporary = list(self._temporaries((dataset_id, path) for dataset_id, path, _ in predicted))

    def _found(self, row: Mapping[str, Any]) -> Found:
        return Found(self._name, row["dataset_id"], row["path"])

    def _uri(self, path: str) -> ResourcePath | None:
        """Return where an artifact is, if that is within the datastore.

        What is outside is not looked at, and not removed: ours is all inside,
        and a file that comes from elsewhere may name any place.
        """
        try:
            return self._datastore.locationFactory.fromPath(_without_fragment(path)).uri
        except ValueError:
            return None

    def _is_whole(self, row: Mapping[str, Any]) -> bool:
        """Tell whether an artifact exists and has the size that it should."""
        path, size = str(row["path"]), row["file_size"]
        if (uri := self._uri(path)) is None:
            return True
        if not _exists(uri):
            return False
        # Members of an archive have the archive's size, or none.
        return path != _without_fragment(path) or not isinstance(size, int) or size < 0 or uri.size() == size

    def _is_new(self, path: str, before: str | None) -> bool:
        """Tell whether there is an artifact that was not there before."""
        if (uri := self._uri(path)) is None or not _exists(uri):
            return False
        return not before or identity_of(uri.ospath) != before

    def _temporaries(self, predicted: Iterable[tuple[DatasetId, str]]) -> Iterator[Found]:
        """Find temporary files that are going to be predicted artifacts."""
        root = self._datastore.root_path
        if root is None:
            # Those of remote artifacts are the operating system's.
            return
        listings: dict[str, list[str]] = {}
        for dataset_id, path in predicted:
            folder, name = os.path.split(path)
            if (uri := self._uri(path)) is None:
                continue
            extension = uri.getExtension()
            if (suffix := temporary_suffix(extension)) is None:
                continue
            if folder not in listings:
                try:
                    listings[folder] = os.listdir(os.path.join(root, folder))
                except (FileNotFoundError, NotADirectoryError):
                    listings[folder] = []
            pattern = re.compile(_RANDOM + re.escape(name.removesuffix(extension) + suffix))
            for name in filter(pattern.fullmatch, listings[folder]):
                yield Found(self._name, dataset_id, os.path.join(folder, name))

    def remove_datasets(self) -> None:
        """Remove datasets that are not whole, and what is in the trash."""
        incomplete = {item.dataset_id for item in self.missing}
        datastore = self._datastore
        if gone := incomplete | {item.dataset_id for item in self.trashed if item.path}:
            datastore.bridge.moveToTrash([FakeDatasetRef(dataset_id) for dataset_id in incomplete], None)
            datastore._empty_trash_subset(ignore_errors=False, selected_ids=gone)
        if self._without_records:
            assert isinstance(datastore.bridge, FiledBridge)
            datastore.bridge.drop_unrecorded(self._without_records)

    def remove_files(self) -> None:
        """Remove what no record speaks of."""
        for item in (*self._certain, *self.temporary):
            if (uri := self._uri(item.path)) is not None and _exists(uri):
                uri.remove()


def _exists(uri: ResourcePath) -> bool:
    """Tell whether there is an artifact; what cannot be looked at is none that is missing."""
    return identity_of(uri.ospath) != "" if uri.isLocal else uri.exists()


def _without_fragment(path: str) -> str:
    # As upstream's URIs have it, what follows the last slash may have one.
    artifact, _, fragment = path.rpartition("#")
    return artifact if artifact and "/" not in fragment else path


def explain_trash(error: IntegrityError, datastore: Datastore, ref: DatasetRef) -> None:
    """Tell of a `put` that failed if that was because of the trash.

    Parameters
    ----------
    error : `sqlalchemy.exc.IntegrityError`
        The failure.
    datastore : `Datastore`
        Datastore that the dataset was put into.
    ref : `DatasetRef`
        The dataset.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        Raised if the dataset is in the trash.
    """
    from ..datastore.spawn import file_datastores

    if any(member._records.locations.trashed([ref.id]) for member in file_datastores(datastore)):
        raise IntegrityError(
            f"{ref} is in the trash: its removal was broken off; prune it again, or resume with repair=True",
            error.params,
            error.orig or error,
        ) from error
