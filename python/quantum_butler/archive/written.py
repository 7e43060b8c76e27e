"""What the quanta of an archive have written, read from beginning to end.

`quanta.parquet` says how many rows of `edges.parquet` and `records.parquet`
belong to each quantum, and all three have the quanta in one order.  So they are
read side by side, once through, and only a batch of quanta is held.
"""

from __future__ import annotations

__all__ = ("WrittenBatch", "read_written")

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ArchiveError, unreadable
from .tables import column_kind

if TYPE_CHECKING:
    from pathlib import Path

    import numpy
    import pyarrow

# Rows of a table that are decoded at once.
_AT_ONCE = 1 << 14

# Of each table, the columns that are read, what they have, and which may have nulls.
_QUANTA = {"quantum_id": "ids", "edges": "integers", "records": "integers"}
_EDGES = {"quantum_id": "ids", "dataset_id": "ids", "actual_output": "booleans"}
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
_NULLABLE = ("component", "checksum", "file_size")


@dataclass(frozen=True)
class WrittenBatch:
    """What some quanta have written.

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
    """Read what quanta have written.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder of the archive.
    at_once : `int`
        Most quanta to give at once.

    Yields
    ------
    batch : `WrittenBatch`
        What the next quanta have written.

    Raises
    ------
    ArchiveError
        Raised if a table cannot be read, or the tables do not fit together.
    """
    with ExitStack() as files:
        quanta, edges, records = (
            files.enter_context(_opened(folder / f"{name}.parquet", columns))
            for name, columns in {"quanta": _QUANTA, "edges": _EDGES, "records": _RECORDS}.items()
        )
        while (some := quanta.take(at_once)).num_rows:
            yield _together(some, edges, records)
        for table in (edges, records):
            if table.take(1).num_rows:
                raise ArchiveError(f"{table.path}: there are rows of no quantum")


class _Rows:
    """A Parquet file that is read once through."""

    def __init__(self, path: Path, columns: Mapping[str, str], file: Any):
        import pyarrow

        self.path = path
        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        schema = file.schema_arrow
        for name, kind in columns.items():
            if name not in schema.names or column_kind(schema.field(name).type) != kind:
                raise ArchiveError(f"{path}: column {name} is missing, or does not have {kind}")
        self._schema = pyarrow.schema([schema.field(name) for name in columns])
        self._batches = file.iter_batches(_AT_ONCE, columns=list(columns))
        self._left: list[pyarrow.RecordBatch] = []

    def take(self, rows: int) -> pyarrow.Table:
        """Return the next rows; fewer if there are no more."""
        import pyarrow

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
            if table[name].null_count and name not in _NULLABLE:
                raise ArchiveError(f"{self.path}: column {name} has a row without a value")
        return table

    def take_all(self, rows: int) -> pyarrow.Table:
        """Return as many of the next rows as there have to be."""
        table = self.take(rows)
        if table.num_rows != rows:
            raise ArchiveError(f"{self.path}: there are fewer rows than the quanta should have")
        return table


@contextmanager
def _opened(path: Path, columns: Mapping[str, str]) -> Iterator[_Rows]:
    """Open a table for reading it once through."""
    import pyarrow
    import pyarrow.parquet

    try:
        # Whole columns of a row group are not wanted ahead of time.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with file:
        yield _Rows(path, columns, file)


def _together(quanta: pyarrow.Table, edges: _Rows, records: _Rows) -> WrittenBatch:
    """Return quanta with their rows of the other tables."""
    import numpy

    ids = _id_values(quanta["quantum_id"])
    edge_counts, record_counts = _counts(quanta["edges"], edges), _counts(quanta["records"], records)
    of_quanta = edges.take_all(int(edge_counts.sum()))
    rows = records.take_all(int(record_counts.sum()))
    if not numpy.array_equal(_id_values(of_quanta["quantum_id"]), numpy.repeat(ids, edge_counts, axis=0)):
        raise ArchiveError(f"{edges.path}: the quanta are not in the order of quanta.parquet")

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


def _counts(column: pyarrow.ChunkedArray, table: _Rows) -> numpy.ndarray[Any, Any]:
    """Return how many rows of another table each quantum has."""
    counts: numpy.ndarray[Any, Any] = column.to_numpy().astype("int64")
    if len(counts) and counts.min() < 0:
        raise ArchiveError(f"{table.path}: a quantum cannot have {counts.min()} rows")
    return counts


def _id_values(column: pyarrow.ChunkedArray) -> numpy.ndarray[Any, Any]:
    """Return UUIDs, with or without Arrow's type for them, as pairs of numbers that can be compared."""
    import numpy

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
