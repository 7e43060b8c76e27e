"""The tables of an archive, read side by side, once through from beginning to end.

`quanta.parquet` says how many rows of `edges.parquet` and `records.parquet`
belong to each quantum, and all three have the quanta in one order.
"""

from __future__ import annotations

__all__ = ("QuantumRows", "WrittenBatch", "read_quanta", "read_rows", "read_written")

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet

from .columns import batches_of, require_columns
from .errors import ArchiveError, unreadable
from .format import ROLES

# Columns of ``records.parquet``, and what they have.
_RECORDS = {
    "datastore_name": "text",
    "dataset_id": "ids",
    "path": "text",
    "formatter": "text",
    "storage_class": "text",
    "component": "text",
    "checksum": "text",
    "file_size": "integers",
}

# Columns that have a value in each row, in whatever table they are.
_NEVER_NULL = frozenset(
    (
        "quantum_id",
        "dataset_id",
        "edges",
        "records",
        "attempts",
        "known_from",
        "datastore_name",
        "path",
        "formatter",
        "storage_class",
        *ROLES,
        *(f"{role}s" for role in ROLES),
    )
)

# The columns that tell what quanta have written.
_QUANTA_WRITTEN = {"quantum_id": "ids", "edges": "integers", "records": "integers"}
_EDGES_WRITTEN = {"quantum_id": "ids", "dataset_id": "ids", "actual_output": "booleans"}

# Rows that are decoded at once.
_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class QuantumRows:
    """Some quanta with their rows of the other tables, and how many of these each has."""

    quanta: pyarrow.Table
    edges: pyarrow.Table
    records: pyarrow.Table
    edge_counts: numpy.ndarray[Any, Any]
    record_counts: numpy.ndarray[Any, Any]


def read_quanta(
    folder: Path, of_quanta: Mapping[str, str], of_edges: Mapping[str, str], at_once: int
) -> Iterator[QuantumRows]:
    """Yield quanta with their rows of the other tables, of the columns that are named with what they have."""
    with ExitStack() as files:
        quanta, edges, records = (
            files.enter_context(_opened(folder / f"{name}.parquet", columns))
            for name, columns in {"quanta": of_quanta, "edges": of_edges, "records": _RECORDS}.items()
        )
        while (some := quanta.take(at_once)).num_rows:
            edge_counts, record_counts = _counts(some["edges"], edges), _counts(some["records"], records)
            of_some = edges.take_all(int(edge_counts.sum())), records.take_all(int(record_counts.sum()))
            yield QuantumRows(some, *of_some, edge_counts, record_counts)
        for table in (edges, records):
            table.require_end()


def read_rows(path: Path, columns: Mapping[str, str], at_once: int) -> Iterator[pyarrow.Table]:
    """Read one table."""
    with _opened(path, columns) as table:
        while (rows := table.take(at_once)).num_rows:
            yield rows


class _TableRows:
    """A Parquet file of an archive, read once from begin to end. Damage raises `ArchiveError`."""

    def __init__(self, path: Path, columns: Mapping[str, str], file: Any):
        self.path = path
        """The file."""
        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        schema = file.schema_arrow
        require_columns(path, schema, columns)
        self._schema = pyarrow.schema([schema.field(name) for name in columns])
        # Of attempts that another one has told of, more is unknown.
        self._required = _NEVER_NULL if path.name != "attempts.parquet" else {"quantum_id"}
        self._batches = batches_of(file, _AT_ONCE, list(columns))
        self._left: list[pyarrow.RecordBatch] = []

    def take(self, rows: int) -> pyarrow.Table:
        """Return the next rows; fewer if there are no more."""
        taken: list[pyarrow.RecordBatch] = []
        try:
            while rows:
                batch = self._left.pop() if self._left else next(self._batches, None)
                if batch is None:
                    break
                batch = batch.select(self._schema.names)
                taken.append(batch.slice(0, rows))
                if batch.num_rows > rows:
                    self._left.append(batch.slice(rows))
                rows -= taken[-1].num_rows
            table = pyarrow.Table.from_batches(taken, self._schema)
        except self._errors as error:
            raise unreadable(self.path, error) from error
        for name in table.column_names:
            if table[name].null_count and name in self._required:
                raise ArchiveError(f"{self.path}: column {name} has a row without a value")
        return table

    def take_all(self, rows: int) -> pyarrow.Table:
        """Return the next rows, all of which there have to be."""
        table = self.take(rows)
        if table.num_rows != rows:
            raise ArchiveError(f"{self.path}: there are fewer rows than the quanta should have")
        return table

    def require_end(self) -> None:
        """Make sure that there are no more rows."""
        if self.take(1).num_rows:
            raise ArchiveError(f"{self.path}: there are rows of no quantum")


@contextmanager
def _opened(path: Path, columns: Mapping[str, str]) -> Iterator[_TableRows]:
    """Open a table for reading it once through."""
    try:
        # Whole columns of a row group are not wanted ahead of time.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with file:
        yield _TableRows(path, columns, file)


def _counts(column: pyarrow.ChunkedArray, table: _TableRows) -> numpy.ndarray[Any, Any]:
    """Return how many rows of another table each quantum has."""
    counts: numpy.ndarray[Any, Any] = column.to_numpy().astype("int64")
    if len(counts) and counts.min() < 0:
        raise ArchiveError(f"{table.path}: a quantum cannot have {counts.min()} rows")
    return counts


@dataclass(frozen=True)
class WrittenBatch:
    """Outputs of some quanta.

    Parameters
    ----------
    quanta : `list` [ `uuid.UUID` ]
        Ids of the quanta.
    outputs : `list` [ `list` [ `uuid.UUID` ] ]
        For each, the datasets that it has written.
    records : `list` [ `list` [ `dict` [ `str`, `typing.Any` ] ] ]
        For each, its datastore records, as rows of ``records.parquet``.
    """

    quanta: list[uuid.UUID]
    outputs: list[list[uuid.UUID]]
    records: list[list[dict[str, Any]]]


def read_written(folder: Path, at_once: int) -> Iterator[WrittenBatch]:
    """Yield what quanta have written; see `Archive.written`."""
    for some in read_quanta(folder, _QUANTA_WRITTEN, _EDGES_WRITTEN, at_once):
        yield _together(some, folder)


def _together(some: QuantumRows, folder: Path) -> WrittenBatch:
    """Return quanta with what they have written."""
    ids, of_quanta, rows = _id_values(some.quanta["quantum_id"]), some.edges, some.records
    edge_counts, record_counts = some.edge_counts, some.record_counts
    if not numpy.array_equal(_id_values(of_quanta["quantum_id"]), numpy.repeat(ids, edge_counts, axis=0)):
        raise ArchiveError(f"{folder / 'edges.parquet'}: the quanta are not in the order of quanta.parquet")

    written = numpy.flatnonzero(of_quanta["actual_output"].to_numpy())
    owners = numpy.repeat(numpy.arange(len(ids)), edge_counts)[written]
    outputs: list[list[uuid.UUID]] = [[] for _ in range(len(ids))]
    datasets = _uuids(_id_values(of_quanta["dataset_id"])[written])
    for owner, dataset in zip(owners.tolist(), datasets, strict=True):
        outputs[owner].append(dataset)

    columns = {name: rows[name].to_pylist() for name in rows.column_names if name != "dataset_id"}
    columns["dataset_id"] = _uuids(_id_values(rows["dataset_id"]))
    names = list(columns)
    listed = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return WrittenBatch(_uuids(ids), outputs, list(_parted(listed, record_counts.tolist())))


def _id_values(column: pyarrow.ChunkedArray) -> numpy.ndarray[Any, Any]:
    """Return UUIDs, with or without Arrow's type for them, as pairs of numbers that can be compared."""
    array = column.combine_chunks()
    storage = getattr(array, "storage", array)
    values = numpy.frombuffer(storage.buffers()[1] or b"", "<u8").reshape(-1, 2)
    part: numpy.ndarray[Any, Any] = values[storage.offset : storage.offset + len(storage)]
    return part


def _uuids(values: numpy.ndarray[Any, Any]) -> list[uuid.UUID]:
    """Return UUIDs from pairs of numbers."""
    data = values.tobytes()
    return [uuid.UUID(bytes=data[start : start + 16]) for start in range(0, len(data), 16)]


def _parted(rows: list[dict[str, Any]], counts: Sequence[int]) -> Iterator[list[dict[str, Any]]]:
    """Yield parts of those lengths, one after the other."""
    start = 0
    for count in counts:
        yield rows[start : start + count]
        start += count
