"""Writes the tables of an archive."""

from __future__ import annotations

__all__ = (
    "EXCEPTIONS",
    "EXECUTION",
    "KNOWN_FROM",
    "TASKS",
    "ATTEMPTS",
    "EDGES",
    "QUANTA",
    "RECORDS",
    "TableWriter",
    "edge_rows",
    "kept_rows",
    "part_schemas",
    "quantum_rows",
    "record_rows",
)

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import _core
from ..archive.columns import in_one_piece
from ..archive.format import ROLES
from ..archive.schemas import (
    ATTEMPTS,
    EDGES,
    EXCEPTIONS,
    EXECUTION,
    KNOWN_FROM,
    QUANTA,
    RECORDS,
    SIZES,
    TASKS,
)
from .origins import Origin
from .parts import Part, read_part


@cache
def part_schemas() -> dict[str, pa.Schema]:
    """Return the schemas of the tables of a part, by name."""
    tables = map(pa.table, _core.ProvenanceScanner().take()[0][:4])
    schemas = {
        name: table.schema
        for name, table in zip(("quanta", "edges", "records", "earlier"), tables, strict=True)
    }
    schemas["quanta"] = schemas["quanta"].append(pa.field("origin", pa.int8(), nullable=False))
    return schemas


class _Layout(NamedTuple):
    """Layout with which a table is written."""

    schema: pa.Schema
    rows: int
    """Rows of a row group."""

    dictionaries: Sequence[str]
    """Columns of which each value is written once in a row group."""


# Whatever is in no dictionary is written as it is, ids too, and left to the compression: ids that a graph
# builder made together start alike, and among edges the same ids come again and again.  Parquet has encodings
# for that, which take a little less (`DELTA_BYTE_ARRAY`, `BYTE_STREAM_SPLIT`), but for values of a fixed
# size polars and fastparquet read none of them.
_LAYOUTS = {
    "quanta": _Layout(QUANTA, 1 << 17, ["task_label", "run", "host", "exception_type", "known_from"]),
    "edges": _Layout(EDGES, 1 << 20, ["quantum_id"]),
    "records": _Layout(RECORDS, 1 << 17, ["datastore_name", "formatter", "storage_class", "component"]),
    "attempts": _Layout(ATTEMPTS, 1 << 17, ["task_label", "run", "host", "exception_type"]),
    "exceptions": _Layout(EXCEPTIONS, 1 << 17, ["task_label", "run", "host", "exception_type"]),
    "tasks": _Layout(TASKS, 1 << 17, ["task_label"]),
}


def layout_of(schema: pa.Schema, count: int) -> _Layout:
    """Return how a table is written whose columns depend on what is in it: repeated texts once.

    Whoever asks for a few of its rows, here and there, has whole row groups to read; but the end of the file
    tells of all row groups, and is read each time.
    """
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    for field in schema:
        if pa.types.is_struct(field.type):
            texts += [f"{field.name}.{one.name}" for one in field.type if pa.types.is_dictionary(one.type)]
    return _Layout(schema, min(max(_FEWEST_ROWS, 1 << (count // _MOST_GROUPS).bit_length()), 1 << 17), texts)


# Values that a dictionary may have without need.
_SMALL = 1 << 8

# Rows of a row group of such a table, if there are so many.
_FEWEST_ROWS = 1 << 14

# Row groups of a table whose rows are asked for here and there, unless it is very large.
_MOST_GROUPS = 1 << 10

# Tables that wait for more to come are put together when there are so many: each may be mapped from a file,
# of which a process may have some thousands.
_MOST_WAITING = 64


class TableWriter:
    """Writes one table of an archive into a folder, in row groups of bounded size."""

    def __init__(self, name: str, folder: str, schema: pa.Schema | None = None, count: int = 0):
        layout = _LAYOUTS[name] if schema is None else layout_of(schema, count)
        self._layout = layout
        self._has_small_groups = schema is not None
        self._writer = pq.ParquetWriter(
            f"{folder}/{name}.parquet",
            layout.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(layout.dictionaries),
            write_statistics=["quantum_id"] if name == "quanta" else False,
            store_schema=True,
        )
        self._waiting: list[pa.Table] = []
        self._together: list[pa.Table] = []
        self._rows = 0
        self.rows = 0
        """How many rows there are (`int`)."""

    def write(self, table: pa.Table) -> None:
        """Add rows, in the schema of the table."""
        self.rows += len(table)
        while len(table):
            taken = table.slice(0, self._layout.rows - self._rows)
            self._waiting.append(taken)
            self._rows += len(taken)
            if len(self._waiting) >= _MOST_WAITING:
                self._put_together()
            table = table.slice(len(taken))
            if self._rows == self._layout.rows:
                self.flush()

    def flush(self) -> None:
        """Write the rows that wait for more to come."""
        if self._together or self._waiting:
            group = pa.concat_tables([*self._together, *self._waiting])
            self._together.clear()
            self._waiting.clear()
            # The same strings have other numbers in other parts.
            group = group.unify_dictionaries()
            if self._has_small_groups:
                columns = [_compacted(in_one_piece(column)) for column in group.combine_chunks().columns]
                group = pa.table(columns, schema=group.schema)
            self._writer.write_table(group, row_group_size=self._layout.rows)
            self._rows = 0

    def _put_together(self) -> None:
        """Make one table of those that wait, which is in memory."""
        self._together.append(pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks())
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        self._writer.close()


def _compacted(column: pa.Array) -> pa.Array:
    """Return a column whose dictionaries have nothing that no row has: whole ones are written."""
    if pa.types.is_struct(column.type):
        fields = [_compacted(column.field(place)) for place in range(column.type.num_fields)]
        mask = column.is_null() if column.null_count else None
        return pa.StructArray.from_arrays(fields, fields=list(column.type), mask=mask)
    if not pa.types.is_dictionary(column.type) or len(column.dictionary) <= _SMALL:
        return column
    places = column.indices.fill_null(0).to_numpy()
    used = np.flatnonzero(np.bincount(places, minlength=len(column.dictionary)))
    numbers = np.zeros(len(column.dictionary), np.int32)
    numbers[used] = np.arange(len(used))
    mask = column.is_null().to_numpy(zero_copy_only=False)
    indices = pa.array(numbers[places], column.type.index_type, mask=mask)
    return pa.DictionaryArray.from_arrays(indices, column.dictionary.take(pa.array(used)))


@contextmanager
def kept_rows(
    part: Part, folder: str, dropped: np.ndarray[Any, Any] | None, names: Sequence[str]
) -> Iterator[list[pa.Table]]:
    """Give tables of a part without some quanta, ``quanta`` first. They must not outlive the context."""
    with ExitStack() as stack:
        tables = [stack.enter_context(read_part(folder, part.number, name)) for name in names]  # type: ignore[arg-type]
        if dropped is not None:
            kept = np.ones(part.quanta, dtype=bool)
            kept[dropped] = False
            quanta = tables[0]
            for index, name in enumerate(names):
                mask = kept if index == 0 else np.repeat(kept, quanta[name].to_numpy())
                tables[index] = tables[index].filter(pa.array(mask))
        yield tables
        del tables


def edge_rows(quanta: pa.Table, edges: pa.Table) -> pa.Table:
    """Return rows of ``edges.parquet`` from quanta of a part and their edges."""
    ids = np.repeat(_uuid_values(quanta["quantum_id"]), quanta["edges"].to_numpy())
    bits = edges["roles"].to_numpy()
    masks = [np.packbits(bits & (1 << position), bitorder="little") for position in range(len(ROLES))]
    roles = [
        pa.BooleanArray.from_buffers(pa.bool_(), len(bits), [None, pa.py_buffer(mask)]) for mask in masks
    ]
    columns = [_uuid_column(ids), edges["dataset_id"].combine_chunks(), *roles]
    return pa.Table.from_arrays(columns, schema=EDGES)


def quantum_rows(quanta: pa.Table, sizes: pa.Table, attempts: np.ndarray[Any, Any]) -> pa.Table:
    """Return rows of ``quanta.parquet``: quanta of a part, bytes of their datasets by role, and attempts."""
    # There may have been some before that only the last one tells of.
    told = quanta["attempt"].fill_null(-1).to_numpy() + 1
    # What only a graph knows of need not have been tried.
    had_line = quanta["origin"].to_numpy() == Origin.LINE
    attempts = np.maximum(attempts * had_line, np.minimum(told, np.iinfo(np.int32).max)).astype(np.int32)
    columns = {**dict(zip(quanta.column_names, quanta.columns, strict=True)), "attempts": pa.array(attempts)}
    columns.update((name, sizes[name]) for name in SIZES)
    origins = pa.array(quanta["origin"].to_numpy().astype(np.int32))
    columns["known_from"] = pa.DictionaryArray.from_arrays(origins, pa.array(KNOWN_FROM))
    rows = pa.table([columns[name] for name in QUANTA.names], QUANTA.names)
    return rows.cast(QUANTA)


def record_rows(records: pa.Table) -> pa.Table:
    """Return rows of ``records.parquet`` from records of a part."""
    return records.cast(RECORDS)


def _uuid_values(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return UUIDs as values of 16 bytes."""
    storage = column.combine_chunks().storage
    return np.frombuffer(storage.buffers()[1], dtype="V16")[storage.offset : storage.offset + len(storage)]


def _uuid_column(values: np.ndarray[Any, Any]) -> pa.Array:
    """Return values of 16 bytes as UUIDs."""
    storage = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)
