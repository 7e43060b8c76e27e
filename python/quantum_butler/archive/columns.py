"""Rows of a Parquet file, by number, without reading those around them."""

from __future__ import annotations

__all__ = ("TableFile", "batches_of", "column_kind", "in_one_piece", "require_columns", "whole")

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
from pyarrow import types

from .errors import ArchiveError, unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Their own `as_py` would import pandas where that is installed.
_TIMES = pyarrow.timestamp("us", "UTC")


class TableFile:
    """A table of an archive, with the columns to read and the kind of each. See `column_kind`."""

    def __init__(self, path: Path, kinds: Mapping[str, str], later: Mapping[str, str] | None = None):
        self._path = path
        self._errors = (pyarrow.ArrowException, OSError, ValueError, KeyError)
        try:
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        except self._errors as error:
            raise unreadable(path, error) from error

        schema = self._file.schema_arrow
        self.later = [name for name in later or () if name in schema.names]
        """Columns that archives of earlier releases do not have (`list` [`str`])."""
        require_columns(path, schema, {**kinds, **{name: (later or {})[name] for name in self.later}})

    def __len__(self) -> int:
        rows: int = self._file.metadata.num_rows
        return rows

    def columns(self, names: Sequence[str]) -> pyarrow.Table:
        """Read whole columns."""
        try:
            table = self._file.read(columns=list(names)).select(list(names))
        except self._errors as error:
            raise unreadable(self._path, error) from error

        for name, column in zip(names, table.columns, strict=True):
            if column.null_count and column_kind(column.type) == "integers" and name not in self.later:
                raise ArchiveError(f"{self._path}: column {name} has a row without a number")
        return table

    def rows(self, numbers: Iterable[int], names: Sequence[str]) -> list[list[Any]]:
        """Read some rows, given by their numbers, ascending; return the values of each column."""
        metadata = self._file.metadata
        wanted = numpy.fromiter(numbers, dtype=numpy.int64)
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < metadata.num_rows:
            raise ArchiveError(f"{self._path}: the table does not have the rows that the archive tells of")
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        ends = numpy.cumsum(sizes)
        columns: list[list[Any]] = [[] for _ in names]
        try:
            for group in numpy.unique(numpy.searchsorted(ends, wanted, side="right")):
                first = ends[group] - sizes[group]
                within = wanted[(wanted >= first) & (wanted < ends[group])] - first
                part = self._file.read_row_group(int(group), columns=list(names)).select(list(names))
                # `Table.take` would be no faster, and import half of pyarrow.
                for values, column in zip(columns, part.columns, strict=True):
                    if column.type == _TIMES:
                        moments = (column.cast(pyarrow.int64())[row].as_py() for row in within.tolist())
                        values += (None if one is None else _EPOCH + timedelta(0, 0, one) for one in moments)
                    else:
                        values += (column[row].as_py() for row in within.tolist())
        except self._errors as error:
            raise unreadable(self._path, error) from error
        return columns

    def zeros(self, name: str) -> numpy.ndarray[Any, Any]:
        """Return the numbers of the rows that have 0 in a column."""
        try:
            column = self._file.read(columns=[name])[name]
        except self._errors as error:
            raise unreadable(self._path, error) from error
        return numpy.flatnonzero((whole(column) == 0) & _has_value(column))


def batches_of(
    file: pyarrow.parquet.ParquetFile, at_once: int, names: Sequence[str] | None = None
) -> Iterator[pyarrow.RecordBatch]:
    """Yield the rows of all columns, or of some, at most so many at once."""
    # One row group after the other: texts of a structure that come from two of them, which have two
    # dictionaries, cannot be put into one batch ("Nested data conversions not implemented").
    for group in range(file.num_row_groups):
        yield from file.iter_batches(at_once, [group], None if names is None else list(names))


def _has_value(column: pyarrow.ChunkedArray) -> numpy.ndarray[Any, Any]:
    """Return where a column is not null."""
    parts = [numpy.zeros(0, bool)]
    for chunk in column.chunks:
        valid, _ = chunk.buffers()
        if valid is None:
            parts.append(numpy.ones(len(chunk), bool))
        else:
            bits = numpy.unpackbits(numpy.frombuffer(valid, numpy.uint8), bitorder="little")
            parts.append(bits[chunk.offset : chunk.offset + len(chunk)].astype(bool))
    return numpy.concatenate(parts)


def whole(column: pyarrow.ChunkedArray) -> numpy.ndarray[Any, Any]:
    """Return the integers of a column; where it is null, some number."""
    # Its own `to_numpy` would import pandas where that is installed, which takes as long as all else that a
    # short command does.
    type_ = f"{'i' if types.is_signed_integer(column.type) else 'u'}{column.type.bit_width // 8}"
    parts = [numpy.zeros(0, type_)]
    for chunk in column.chunks:
        _, values = chunk.buffers()
        if values is not None:
            parts.append(numpy.frombuffer(values, type_)[chunk.offset : chunk.offset + len(chunk)])
    return numpy.concatenate(parts)


def in_one_piece(column: pyarrow.ChunkedArray) -> pyarrow.Array:
    """Return a column as an array, without a copy if it is in one piece."""
    # What `combine_chunks` gives of one chunk depends on the release of pyarrow.
    if column.num_chunks == 1:
        return column.chunk(0)
    return pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.nulls(0, column.type)


def require_columns(path: Path, schema: pyarrow.Schema, kinds: Mapping[str, str]) -> None:
    """Raise `ArchiveError` if a table lacks a column, or one does not have what it should."""
    for name, kind in kinds.items():
        if name not in schema.names or column_kind(schema.field(name).type) != kind:
            raise ArchiveError(f"{path}: column {name} is missing, or does not have {kind}")


def column_kind(type_: pyarrow.DataType) -> str:
    """Return ``text``, ``integers``, ``numbers``, ``booleans``, ``times``, ``ids`` or ``something else``."""
    if isinstance(type_, pyarrow.BaseExtensionType):
        type_ = type_.storage_type
    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_string(type_) or types.is_large_string(type_):
        return "text"
    if types.is_integer(type_):
        return "integers"
    if types.is_boolean(type_):
        return "booleans"
    if types.is_floating(type_):
        return "numbers"
    if types.is_timestamp(type_) and type_.unit == "us":
        return "times"
    return "ids" if types.is_fixed_size_binary(type_) and type_.byte_width == 16 else "something else"
