"""Checks one table of an archive: that it can be read, its columns, and ids that occur twice."""

from __future__ import annotations

__all__ = ("CheckedTable", "Cursor", "absent", "booleans_of", "integers_of", "repeated")

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..columns import batches_of
from ..errors import unreadable
from ..ids import ids_of
from .findings import Findings

# Rows that are decoded at once.
_AT_ONCE = 1 << 16

# Ids that are compared with each other at once: 64 MiB of them.
_COMPARED = 1 << 22

_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError)


class CheckedTable:
    """A Parquet file of an archive, and which of its columns are as they should be."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema, findings: Findings):
        self.file = f"{name}.parquet"
        """Name of the file (`str`)."""
        self._path, self._findings = folder / self.file, findings
        self._wanted = schema
        self.columns: list[str] = []
        """Columns that are there and have what they should (`list` [`str`])."""
        self.rows = 0
        """How many rows there are (`int`)."""
        self.is_open = False
        """Whether it could be opened (`bool`)."""
        try:
            with pq.ParquetFile(self._path) as file:
                there, self.rows = file.schema_arrow, file.metadata.num_rows
        except _ERRORS as error:
            findings.add(self.file, "the table cannot be opened", _said(self._path, error))
            return
        self.is_open = True
        for field in schema:
            if field.name not in there.names:
                findings.add(self.file, "a column is missing", field.name)
            elif _plain(there.field(field.name).type) != _plain(field.type):
                type_ = there.field(field.name).type
                findings.add(
                    self.file, "a column has another type", f"{field.name} has {type_}, not {field.type}"
                )
            else:
                self.columns.append(field.name)

    def has(self, *names: str) -> bool:
        """Return whether all these columns can be looked at."""
        return set(names) <= set(self.columns)

    def batches(self, names: Sequence[str], at_once: int = _AT_ONCE) -> Iterator[tuple[int, pa.Table]]:
        """Yield rows with the number of the first of them; a part that cannot be read is a finding."""
        first = 0
        try:
            with pq.ParquetFile(self._path, pre_buffer=False) as file:
                for batch in batches_of(file, at_once, names):
                    table = pa.Table.from_batches([batch]).select(list(names))
                    yield first, table
                    first += len(table)
        except _ERRORS as error:
            self._findings.add(
                self.file, "the table cannot be read on from a row", _said(self._path, error), row=first
            )

    def read_all(self, id_column: str) -> Iterator[tuple[int, pa.Table]]:
        """Yield all columns of all rows, having looked for values that are missing."""
        required = [name for name in self.columns if not self._wanted.field(name).nullable]
        for first, table in self.batches(self.columns):
            for name in required:
                if table[name].null_count:
                    rows = np.flatnonzero(pc.is_null(table[name]).to_numpy())
                    known = id_column in self.columns and not table[id_column].null_count
                    ids = ids_of(table[id_column]) if known else None
                    self._findings.add_rows(
                        self.file, f"column {name} has no value", rows, first=first, ids=ids
                    )
            yield first, table


class Cursor:
    """Takes the rows of some columns of a table, some at a time."""

    def __init__(self, table: CheckedTable, names: Sequence[str]):
        self._batches = table.batches(names)
        self._left: list[pa.Table] = []
        self._schema: pa.Schema | None = None
        self.row = 0
        """How many rows have been taken (`int`)."""

    def take(self, rows: int) -> pa.Table | None:
        """Return the next rows, fewer if there are no more, and `None` if there never were any."""
        taken = []
        while rows or self._schema is None:
            batch = self._left.pop() if self._left else next(self._batches, (0, None))[1]
            if batch is None:
                break
            self._schema = batch.schema
            taken.append(batch.slice(0, rows))
            if len(batch) > rows:
                self._left.append(batch.slice(rows))
            rows -= len(taken[-1])
            self.row += len(taken[-1])
        if taken:
            return pa.concat_tables(taken)
        return None if self._schema is None else self._schema.empty_table()


def _plain(type_: pa.DataType) -> pa.DataType:
    """Return the type of the values; other tools write dictionaries and ids plainly."""
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    return pa.string() if pa.types.is_large_string(type_) else type_


def _said(path: Path, error: Exception) -> str:
    return str(unreadable(path, error)).removeprefix(f"{path}: ")


def integers_of(column: pa.ChunkedArray) -> Any:
    """Return integers, -1 where there is none."""
    return pc.fill_null(column.cast(pa.int64()), -1).to_numpy()


def booleans_of(column: pa.ChunkedArray) -> Any:
    """Return booleans, false where there is none."""
    return pc.fill_null(column, False).to_numpy()


def repeated(table: CheckedTable, column: str) -> Iterator[tuple[int, Any]]:
    """Yield rows, with their ids, whose id an earlier row has; memory does not depend on their number."""
    shares = -(-table.rows // _COMPARED) or 1
    for share in range(shares):
        parts, places = [np.zeros(0, "S16")], [np.zeros(0, np.int64)]
        for first, rows in table.batches([column]):
            if rows[column].null_count:
                return
            ids = ids_of(rows[column])
            if shares > 1:
                # Ids of a graph have beginnings in common, and no even ends.
                words = np.ascontiguousarray(ids).view("u8").reshape(-1, 2)
                mixed = (words[:, 0] ^ words[:, 1]) * np.uint64(0x9E3779B97F4A7C15)
                own = (mixed >> np.uint64(32)) % np.uint64(shares) == share
                parts.append(ids[own])
                places.append(np.flatnonzero(own) + first)
            else:
                parts.append(ids)
                places.append(np.arange(first, first + len(ids)))
        ids, rows_of = np.concatenate(parts), np.concatenate(places)
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        for place in np.flatnonzero(ids[1:] == ids[:-1]) + 1:
            yield int(rows_of[order[place]]), ids[place : place + 1]


def absent(table: CheckedTable, column: str, known: CheckedTable) -> Iterator[tuple[int, Any]]:
    """Yield rows, with their ids, whose id no quantum has."""
    for first, rows in table.batches([column], _COMPARED):
        if rows[column].null_count:
            continue
        ids = ids_of(rows[column])
        missing = np.ones(len(ids), bool)
        for _, quanta in known.batches(["quantum_id"]):
            if not missing.any():
                break
            if not quanta["quantum_id"].null_count:
                left = np.flatnonzero(missing)
                missing[left[np.isin(ids[left], ids_of(quanta["quantum_id"]))]] = False
        for row in np.flatnonzero(missing):
            yield first + int(row), ids[row : row + 1]
