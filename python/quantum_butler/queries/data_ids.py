"""Data IDs in a column of a table, as texts with JSON or as structs, taken apart by dimension."""

from __future__ import annotations

__all__ = ("data_id_of", "fields_of", "may_have", "parse_texts")

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import pyarrow
import pyarrow.compute as pc
import pyarrow.json

from .arrays import FALSE, array_of, scalar_of
from .conditions import Columns
from .errors import ConditionError
from .order import ordered

_EMPTY = scalar_of("{}")

# So few are parsed one by one.
_FEW = 64


def data_id_of(value: Any) -> dict[str, Any] | None:
    """Return a data ID as a dictionary, whether a row has it as JSON or as a struct; in upstream's order."""
    if isinstance(value, str):
        value = json.loads(value)
        if not isinstance(value, dict):
            raise ValueError("a data ID is not a JSON object")
        return ordered(value)
    return None if value is None else ordered({name: one for name, one in value.items() if one is not None})


def fields_of(structs: pyarrow.Array | pyarrow.ChunkedArray) -> Columns:
    """Return the fields of structs by name."""
    whole = structs.combine_chunks() if isinstance(structs, pyarrow.ChunkedArray) else structs
    # Where the struct is null its fields are.
    return dict(zip((field.name for field in whole.type), whole.flatten(), strict=True))


def may_have(
    texts: pyarrow.Array | pyarrow.ChunkedArray, values: Mapping[str, int | str]
) -> pyarrow.Array | pyarrow.ChunkedArray:
    """Return which data IDs that are JSON may have some values: the text of each is in them."""
    # What is written with escapes is not compared as text.
    found = pc.match_substring(texts, pattern="\\")
    has_all = reduce(pc.and_, (pc.match_substring(texts, pattern=str(one)) for one in values.values()))
    return pc.fill_null(pc.or_(found, has_all), FALSE)


def parse_texts(
    texts: pyarrow.Array | pyarrow.ChunkedArray, dimensions: Iterable[str] | None = None
) -> Columns:
    """Return columns of some dimensions or all, from data IDs in JSON. A missing dimension is null."""
    whole = texts.combine_chunks() if isinstance(texts, pyarrow.ChunkedArray) else texts
    names = None if dimensions is None else [*dimensions]
    if len(whole) < _FEW:
        return _slowly(pc.fill_null(whole, _EMPTY).to_pylist(), names)
    return _parsed(whole, names)


def _parsed(texts: pyarrow.Array, names: list[str] | None) -> Columns:
    lines = pc.binary_join_element_wise(pc.fill_null(texts, _EMPTY), scalar_of(""), scalar_of("\n"))
    content = _bytes_of(lines)
    schema: dict[str, pyarrow.DataType] = {}
    while True:
        options = pyarrow.json.ParseOptions(
            explicit_schema=pyarrow.schema(schema.items()) if schema else None,
            unexpected_field_behavior="infer",
        )
        blocks = pyarrow.json.ReadOptions(block_size=1 << 22)
        try:
            table = pyarrow.json.read_json(pyarrow.BufferReader(content), blocks, options)
        except pyarrow.ArrowException:
            return _slowly(pc.fill_null(texts, _EMPTY).to_pylist(), names)
        # A text that looks like a date is a text all the same.
        there = set(table.column_names).intersection(table.column_names if names is None else names)
        odd = [name for name in sorted(there) if not _is_plain(table[name].type)]
        if not odd or len(table) != len(texts):
            break
        schema = dict.fromkeys(odd, pyarrow.string())
    if len(table) != len(texts):
        return _slowly(pc.fill_null(texts, _EMPTY).to_pylist(), names)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    nothing = pyarrow.nulls(len(texts))
    return columns if names is None else {name: columns.get(name, nothing) for name in names}


def _is_plain(type_: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return bool(types.is_int64(type_) or types.is_string(type_) or types.is_null(type_))


def _bytes_of(lines: pyarrow.Array) -> pyarrow.Buffer:
    """Return texts one after the other."""
    offsets = lines.buffers()[1]
    first, last = (
        int.from_bytes(offsets[4 * place : 4 * place + 4].to_pybytes(), "little")
        for place in (lines.offset, lines.offset + len(lines))
    )
    return lines.buffers()[2][first:last]


def _slowly(texts: Iterable[str], names: list[str] | None) -> Columns:
    try:
        rows = [json.loads(text) for text in texts]
        if names is None:
            names = [*dict.fromkeys(name for row in rows for name in row.keys())]
        return {name: _column([row.get(name) for row in rows]) for name in names}
    except (ValueError, RecursionError, AttributeError, pyarrow.ArrowException) as error:
        raise ConditionError(f"a data ID is not a JSON object of numbers and texts: {error}") from error


def _column(values: list[Any]) -> pyarrow.Array:
    if any(isinstance(value, str) for value in values):
        # What is a number in some tasks and a text in others is compared as text.
        return array_of([None if value is None else str(value) for value in values], pyarrow.string())
    if all(value is None for value in values):
        return pyarrow.nulls(len(values))
    return array_of(values, pyarrow.int64())
