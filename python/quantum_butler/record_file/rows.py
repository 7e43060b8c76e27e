"""The rows of a butler's SQLite file: what they mean, and how they are read and written."""

from __future__ import annotations

__all__ = (
    "ROLES",
    "DatastoreIdentity",
    "PredictedArtifact",
    "QuantumRows",
    "RecordRows",
    "id_of",
    "identities",
    "identity_if_known",
    "identity_of",
    "key_of",
    "predict_artifacts",
    "ref_of",
)

import contextlib
import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore

from .. import _core
from ..datastore.spawn import file_datastores
from ..quantum.values import data_id_value
from ..upstream import NotOurs
from ..upstream.datastores import expected_records
from ..upstream.refs import dataset_key

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import Datastore

    from ..datastore.file import NativeFileDatastore
    from ..quantum.outputs import ActualOutputs

Read = Callable[..., list[tuple[Any, ...]]]

ROLES = ("predicted_input", "predicted_output", "available_input", "unavailable_input", "actual_input")
"""Columns of ``quantum_butler_role``, in the order in which a tracker gives them."""

# What fits into a column of integers.
_INTEGERS = range(-(1 << 63), 1 << 63)
_LARGE = "integer "

# An encoder is made anew with each call of `json.dumps`.
_encode = json.JSONEncoder().encode


class DatastoreIdentity(NamedTuple):
    """Identity of a file datastore: its name, table of records and root."""

    name: str
    table: str
    root: str


class PredictedArtifact(NamedTuple):
    """Predicted place of an output's artifact, and the file that was there before.

    The latter is what `identity_of` returns, or `None` if that is not known.
    """

    datastore: str
    key: str | int
    path: str
    before: str | None


def key_of(dataset_id: Any) -> str | int:
    """Return a dataset id as the quantum's tables have it.

    That is 32 hexadecimal digits, or an integer; as text if it has more than 64 bits.
    """
    if not isinstance(dataset_id, int):
        return f"{dataset_id.int:032x}"
    return dataset_id if dataset_id in _INTEGERS else f"{_LARGE}{dataset_id}"


def id_of(key: str | int) -> DatasetId:
    """Return the dataset id that a key stands for."""
    if isinstance(key, int) or key.startswith(_LARGE):
        return cast("DatasetId", int(str(key).removeprefix(_LARGE)))
    return uuid.UUID(hex=key)


class _OutputRows:
    """Makes rows of actual outputs; keeps what they have of their dataset types."""

    def __init__(self) -> None:
        self._types: dict[int, _OfType] = {}

    def row(self, ref: DatasetRef, in_memory: bool) -> tuple[Any, ...]:
        """Return an actual output as a row of ``quantum_butler_output``."""
        dataset_type = ref.datasetType
        # Hashing a dataset type takes longer than all the rest.
        if (known := self._types.get(id(dataset_type))) is None:
            known = self._types[id(dataset_type)] = _OfType(dataset_type)
        return (key_of(ref.id), *known.columns, ref.run, known.data_id(ref.dataId), in_memory)


class _OfType:
    """Columns of an output's row that depend on its dataset type alone."""

    __slots__ = ("_keys", "columns", "dataset_type")

    def __init__(self, dataset_type: DatasetType):
        # Kept, so that no other gets its address.
        self.dataset_type = dataset_type
        parent = dataset_type.parentStorageClass
        self.columns = (
            dataset_type.name,
            json.dumps(list(dataset_type.dimensions.names)),
            dataset_type.storageClass_name,
            None if parent is None else parent.name,
            dataset_type.isCalibration(),
        )
        # Those that every data ID has come first.
        self._keys = [f"{_encode(name)}: " for name in dataset_type.dimensions.data_coordinate_keys]

    def data_id(self, data_id: DataCoordinate) -> str:
        """Return all values of a data ID as a JSON object."""
        values = data_id.full_values if data_id.hasFull() else data_id.required_values
        # Most are integers.
        items = [
            f"{key}{value}" if type(value) is int else key + _value(value)
            for key, value in zip(self._keys, values, strict=False)
        ]
        return f"{{{', '.join(items)}}}"


def _value(value: Any) -> str:
    """Return a value of a data ID in JSON, by `data_id_value`, or one of another type that upstream takes."""
    with contextlib.suppress(TypeError):
        value = data_id_value(value)
    return _encode(value)


def ref_of(row: Sequence[Any], universe: DimensionUniverse) -> DatasetRef:
    """Return the ref that a row of ``quantum_butler_output`` stands for."""
    key, name, dimensions, storage_class, parent, is_calibration, run, data_id, _ = row
    dataset_type = DatasetType(
        name,
        universe.conform(json.loads(dimensions)),
        storage_class,
        parentStorageClass=parent,
        isCalibration=bool(is_calibration),
    )
    coordinate = DataCoordinate.standardize(json.loads(data_id), dimensions=dataset_type.dimensions)
    return DatasetRef(dataset_type, coordinate, run, id=id_of(key))


def identities(datastore: Datastore) -> list[DatastoreIdentity]:
    """Return what the file datastores are that a datastore consists of."""
    return [
        DatastoreIdentity(
            member.name,
            member._opaque_table_name,
            str(member.root) if member.root_path is None else os.path.realpath(member.root_path),
        )
        for member in file_datastores(datastore)
    ]


def predict_artifacts(datastore: Datastore, outputs: Iterable[Any]) -> list[PredictedArtifact]:
    """Return where outputs that are given as refs are going to be, in each file datastore."""
    refs = [ref for ref in outputs if isinstance(ref, DatasetRef)]
    return [found for member in file_datastores(datastore) for found in _predict(member, refs)]


def _predict(datastore: NativeFileDatastore, refs: Iterable[DatasetRef]) -> Iterator[PredictedArtifact]:
    for ref in refs:
        paths: list[str] = []
        # What the datastore refuses, or cannot place, is never put there.
        with contextlib.suppress(Exception):
            ref = datastore.store.as_registered(ref)
            try:
                paths = [path for path, _ in datastore.store.expected(ref)]
            except NotOurs:
                paths = [info.path for info in expected_records(datastore, ref)]
        for path in paths:
            before = identity_if_known(datastore.root_path, path)
            yield PredictedArtifact(datastore.name, key_of(ref.id), path, before)


def identity_if_known(root: str | None, path: str) -> str | None:
    """Return what `identity_of` does for a path below a root; `None` if that cannot be told."""
    try:
        return None if root is None else identity_of(root + path)
    except OSError:
        # There may be one that cannot be looked at.
        return None


def identity_of(ospath: str) -> str:
    """Return what tells a file from one that takes its place, empty if there is none.

    That is its size, and when it was changed.
    """
    try:
        status = os.stat(ospath)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


class RecordRows:
    """The records and locations of one datastore."""

    def __init__(self, datastore: NativeFileDatastore):
        self._records = records = datastore._records
        self._locations = records.locations
        self.table = table = records.table
        self._columns = table.columns
        self._name = '"' + table.name.replace('"', '""') + '"'
        self._names = ", ".join(f'"{name}"' for name in self._columns)
        places = ", ".join("?" * len(self._columns))
        self._insert = f"INSERT OR REPLACE INTO {self._name} ({self._names}) VALUES ({places})"
        self._delete = f"DELETE FROM {self._name} WHERE dataset_id = ?"
        self.is_settled, self.settle = records.is_settled, records.settle

    def load_rows(self, read: Read) -> None:
        """Read the table."""
        found = read(f"SELECT {self._names} FROM {self._name}")
        rows = [dict(zip(self._columns, row, strict=True)) for row in found]
        for row in rows:
            row["dataset_id"] = uuid.UUID(hex=row["dataset_id"])
        self.table.insert(rows)

    def load_locations(self, read: Read) -> None:
        """Read the locations, and the trash."""
        trashed, present = (
            [
                uuid.UUID(hex=key)
                for (key,) in read(
                    f"SELECT dataset_id FROM {table} WHERE datastore_name = ?", (self._locations.datastore,)
                )
            ]
            for table in ("dataset_location_trash", "dataset_location")
        )
        # A dataset can be in both.
        self._locations.insert(trashed)
        self._locations.move_to_trash(trashed)
        self._locations.insert(present)

    def write(self, connection: sqlite3.Connection, held: Sequence[DatasetRef]) -> Any:
        """Write the rows of changed datasets. Return a function to call after the commit."""
        less_rows, rows, moved, present, trashed, upto = self._records.changes(held)
        if less_rows:
            connection.executemany(self._delete, less_rows)
        if rows:
            connection.executemany(self._insert, rows)
        for table, now in (("dataset_location", present), ("dataset_location_trash", trashed)):
            if moved:
                connection.executemany(
                    f"DELETE FROM {table} WHERE datastore_name = ? AND dataset_id = ?", moved
                )
            if now:
                connection.executemany(
                    f"INSERT OR IGNORE INTO {table} (datastore_name, dataset_id) VALUES (?, ?)", now
                )
        return upto


class QuantumRows:
    """The roles of a quantum's datasets, and which of them were written."""

    def __init__(self, tracker: _core.Tracker, outputs: ActualOutputs, datastore: Datastore):
        self._tracker = tracker
        self.outputs = outputs
        self._notes = outputs.watch()
        # Where to look for datasets that no file datastore has, if there can be any.
        members = [] if _is_all_in_files(datastore) else file_datastores(datastore)
        self._locations = [member._records.locations for member in members]
        self._rows = _OutputRows()

    def is_settled(self) -> bool:
        """Return whether nothing has changed."""
        return not self._notes and self._tracker.is_settled()

    def settle(self, upto: tuple[int, list[int]], held: Sequence[DatasetRef]) -> None:
        """Take what was written for settled."""
        number, notes = upto
        self._tracker.settle_changes(number, held)
        for note in notes:
            self._notes.pop(note, None)

    def write(self, connection: sqlite3.Connection, held: Sequence[DatasetRef]) -> Any:
        """Write the rows of changed datasets. Return a function to call after the commit."""
        roles, number = self._tracker.changes(held)
        if roles:
            connection.executemany(
                "INSERT OR REPLACE INTO quantum_butler_role VALUES (?, ?, ?, ?, ?, ?)",
                [(key_of(dataset_id), *of) for dataset_id, *of in roles],
            )
        others = set(map(dataset_key, held))
        notes = {note: ref for note, ref in list(self._notes.items()) if dataset_key(ref) not in others}
        outputs, noted = self.outputs, set(notes.values())
        come = [ref for ref in noted if ref in outputs]
        if len(come) < len(noted):
            gone = {dataset_key(ref): ref for ref in noted if ref not in outputs}
            connection.executemany(
                "DELETE FROM quantum_butler_output WHERE dataset_id = ?",
                [(key_of(ref.id),) for ref in gone.values()],
            )
            # A dataset may be among the outputs with several storage classes.
            come += [ref for ref in outputs.copy() if dataset_key(ref) in gone]
        if come:
            connection.executemany(
                "INSERT OR REPLACE INTO quantum_butler_output VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [self._rows.row(ref, self._is_in_memory(ref)) for ref in come],
            )
        return number, list(notes)

    def _is_in_memory(self, ref: DatasetRef) -> bool:
        return bool(self._locations) and not any(ref in one for one in self._locations)


def _is_all_in_files(datastore: Datastore) -> bool:
    if isinstance(datastore, ChainedDatastore):
        return all(map(_is_all_in_files, datastore.datastores))
    return not isinstance(datastore, InMemoryDatastore)
