"""What the quanta of an archive have written, read from beginning to end."""

from __future__ import annotations

__all__ = ("WrittenBatch", "read_written")

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ArchiveError
from .rows import QuantumRows, read_quanta

if TYPE_CHECKING:
    from pathlib import Path

    import numpy
    import pyarrow

# Of each table, the columns that are read, and what they have.
_QUANTA = {"quantum_id": "ids", "edges": "integers", "records": "integers"}
_EDGES = {"quantum_id": "ids", "dataset_id": "ids", "actual_output": "booleans"}


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
    for some in read_quanta(folder, _QUANTA, _EDGES, at_once):
        yield _together(some, folder)


def _together(some: QuantumRows, folder: Path) -> WrittenBatch:
    """Return quanta with what they have written."""
    import numpy

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
