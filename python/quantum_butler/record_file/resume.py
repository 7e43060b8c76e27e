"""Resuming with a record file: what it must be, what a crash leaves behind, and how that is mended.

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

__all__ = (
    "Resumption",
    "check_datastores",
    "explain_trash",
    "has_quantum",
    "look_around",
    "unfiled_records",
    "read_roles",
    "require_log",
    "require_no_quantum",
)

import dataclasses
import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler.registry.interfaces import FakeDatasetRef
from lsst.resources import ResourcePath
from sqlalchemy.exc import IntegrityError

from ..datastore.spawn import file_datastores
from ..upstream.formatters import temporary_suffix
from .errors import FileHasQuantumError, RecordFileError, damage_errors
from .journal import Journal
from .rows import ROLES, DatastoreIdentity, id_of, identity_of
from .schema import FORMAT_VERSION

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetRef
    from lsst.daf.butler.datastore import Datastore
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    from ..datastore.file import NativeFileDatastore

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
    """Faults that were found when a butler was resumed."""

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


def require_log(journal: Journal, *, is_needed: bool) -> None:
    """Warn, or raise if it is needed, if what was written last may be missing in a file."""
    if not journal.lacks_log:
        return
    what = (
        f"The file was not closed by its butler, and there is no {journal.path}-wal beside it; if it was "
        "copied without that, what was written last is missing"
    )
    if is_needed:
        raise RecordFileError(
            errno.ENODATA,
            f"{what}, and artifacts would be taken for unrecorded. Copy that as well; or, if another program "
            "has opened and closed the file meanwhile, resume without repair, close, and repair then",
            journal.path,
        )
    _LOG.warning("%s: %s.", journal.path, what)


def look_around(
    journal: Journal, datastore: Datastore, outputs: set[DatasetRef], *, repair: bool
) -> Resumption:
    """Look for what an interrupted process has left behind, and mend it if asked."""
    with damage_errors(journal.path, "quantum_butler_predicted_artifact"):
        searches = [_Search(journal, member) for member in file_datastores(datastore)]
        volatile = _only_in_memory(journal)
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
        for ref in outputs.copy():
            if ref.id in lost:
                outputs.discard(ref)
        for search in searches:
            search.remove_datasets()
        journal.commit()
        for search in searches:
            search.remove_files()
    return resumption


def _only_in_memory(journal: Journal) -> list[Found]:
    """Return the outputs that were in no file datastore, and are gone."""
    keys = journal.read("SELECT dataset_id FROM quantum_butler_output WHERE in_memory ORDER BY dataset_id")
    return [Found("", id_of(key), "") for (key,) in keys]


class _Search:
    """Differences between one datastore and its records."""

    def __init__(self, journal: Journal, datastore: NativeFileDatastore):
        self._datastore = datastore
        self._name = datastore.name
        rows = datastore._records.table.fetch({})
        ids = {row["dataset_id"] for row in rows}
        present = datastore.bridge.check(ids)
        in_trash: set[Any] = set(datastore._records.locations.trashed())
        # Other datastores may have their records in the same table.
        rows = [row for row in rows if row["dataset_id"] in present or row["dataset_id"] in in_trash]
        outputs = {
            id_of(key)
            for (key,) in journal.read("SELECT dataset_id FROM quantum_butler_dataset WHERE predicted_output")
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
            for key, path, before in journal.read(
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
        """Return whether an artifact exists and has the size that it should."""
        path, size = str(row["path"]), row["file_size"]
        if (uri := self._uri(path)) is None:
            return True
        if not _exists(uri):
            return False
        # Members of an archive have the archive's size, or none.
        return path != _without_fragment(path) or not isinstance(size, int) or size < 0 or uri.size() == size

    def _is_new(self, path: str, before: str | None) -> bool:
        """Return whether there is an artifact that was not there before."""
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
            datastore._records.locations.drop_from_trash(self._without_records)

    def remove_files(self) -> None:
        """Remove what no record speaks of."""
        for item in (*self._certain, *self.temporary):
            if (uri := self._uri(item.path)) is not None and _exists(uri):
                uri.remove()


def _exists(uri: ResourcePath) -> bool:
    """Return whether there is an artifact; what cannot be looked at is none that is missing."""
    return identity_of(uri.ospath) != "" if uri.isLocal else uri.exists()


def _without_fragment(path: str) -> str:
    # As upstream's URIs have it, what follows the last slash may have one.
    artifact, _, fragment = path.rpartition("#")
    return artifact if artifact and "/" not in fragment else path


def explain_trash(error: IntegrityError, datastore: Datastore, ref: DatasetRef) -> None:
    """Raise what says so if a `put` failed because the dataset is in the trash."""
    if any(member._records.locations.trashed([ref.id]) for member in file_datastores(datastore)):
        raise IntegrityError(
            f"{ref} is in the trash: its removal was broken off; prune it again, or resume with repair=True",
            error.params,
            error.orig or error,
        ) from error


# What a file must be, to begin or to go on with.


def has_quantum(journal: Journal) -> bool:
    """Return whether a file has a quantum's provenance; files of the stock class do not."""
    if not journal.has_table("quantum_butler_meta"):
        return False
    rows = journal.read("SELECT value FROM quantum_butler_meta WHERE name = 'format_version'")
    for (version,) in rows:
        if version != str(FORMAT_VERSION):
            raise RecordFileError(
                errno.EINVAL,
                f"The file is of format {version}; this version of quantum-butler knows {FORMAT_VERSION}",
                journal.path,
            )
    return bool(rows)


def require_no_quantum(journal: Journal) -> None:
    """Raise `FileHasQuantumError` if there is another quantum in a file."""
    if has_quantum(journal):
        raise FileHasQuantumError(
            errno.EEXIST, "The file has a quantum in it already; go on with it by resume", journal.path
        )


def unfiled_records(
    datastore: Datastore, records: Mapping[str, DatastoreRecordData]
) -> Mapping[str, DatastoreRecordData]:
    """Leave out the records of datasets that a file of the stock class has, be it in the trash."""
    missing = dict(records)
    for member in file_datastores(datastore):
        if (data := records.get(member.name)) is not None:
            ids = set(data.records)
            filed = member.bridge.check(ids).union(member._records.locations.trashed(ids))
            if filed:
                subset = data.subset(ids - filed)
                missing[member.name] = type(data)() if subset is None else subset
    return missing


def read_roles(journal: Journal) -> dict[str, list[DatasetId]]:
    """Return a quantum's id sets, by their names; empty ones for a file of the stock class."""
    if not has_quantum(journal):
        if not journal.has_table("dataset_location") or journal.has_table("quantum_butler_meta"):
            raise RecordFileError(
                errno.EINVAL,
                "The file has no quantum in it, be it that none has begun or that it was copied without "
                "the -wal beside it; a new one is begun by initialize",
                journal.path,
            )
        return {f"{role}s": [] for role in ROLES}
    with damage_errors(journal.path, "quantum_butler_role"):
        rows = {
            role: journal.read(f"SELECT dataset_id FROM quantum_butler_role WHERE {role}") for role in ROLES
        }
        return {f"{role}s": [id_of(key) for (key,) in rows[role]] for role in ROLES}


def check_datastores(
    journal: Journal, datastores: Sequence[DatastoreIdentity], *, same_roots: bool = False
) -> None:
    """Raise if a file belongs to other datastores than those of a butler, or to other places."""
    if journal.has_table("quantum_butler_datastore"):
        rows = journal.read("SELECT datastore_name, records_table, root FROM quantum_butler_datastore")
        if known := [DatastoreIdentity(*row) for row in rows]:
            if {one[:2] for one in known} != {one[:2] for one in datastores}:
                raise _other(journal, _named(known), _named(datastores))
            # Only then it can be told which artifacts are missing and which have no records.
            if same_roots and {*known} != {*datastores}:
                raise RecordFileError(
                    errno.EINVAL,
                    "Nothing can be repaired: the artifacts of the file are in "
                    f"{_listed(one.root for one in known)}, those of the configured datastore in "
                    f"{_listed(one.root for one in datastores)}",
                    journal.path,
                )
            return
    if journal.has_table("dataset_location"):
        rows = journal.read(
            "SELECT datastore_name FROM dataset_location "
            "UNION SELECT datastore_name FROM dataset_location_trash"
        )
        names = {name for (name,) in rows}
        if not names <= {one.name for one in datastores}:
            raise _other(journal, _listed(names), _listed(one.name for one in datastores))


def _other(journal: Journal, known: str, configured: str) -> RecordFileError:
    return RecordFileError(
        errno.EINVAL,
        f"The file belongs to another datastore: it has records of {known}, and configured is {configured}",
        journal.path,
    )


def _named(datastores: Iterable[DatastoreIdentity]) -> str:
    return _listed(f"{one.name} (table {one.table})" for one in datastores)


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"
