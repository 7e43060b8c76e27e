"""Data IDs as text, whatever form they have: values of dimensions, or JSON."""

from __future__ import annotations

__all__ = ("text_of_json", "text_of_values")

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ..archive.columns import in_one_piece
from ..queries.order import ordered


def text_of_values(fields: Mapping[str, pa.Array], length: int) -> pa.Array:
    """Return ``dimension=value`` of all that is not null, in one order."""
    parts = [
        pc.binary_join_element_wise(pa.scalar(name), values.cast(pa.string()), "=")
        for name, values in ordered(fields).items()
        if values.null_count < length
    ]
    if not parts:
        return pa.array([""] * length, pa.string())
    # A row that is all null would be left out; so each has something before the first separator.
    nothing = pa.array([""] * length, pa.string())
    joined = pc.binary_join_element_wise(nothing, *parts, ", ", null_handling="skip")
    return pc.binary_replace_slice(joined, 0, 2, "")


def text_of_json(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return data IDs that are JSON as text in one order."""
    texts = pc.fill_null(column.cast(pa.string()), "{}")
    if not len(texts):
        return pa.nulls(0, pa.string())
    # Read as a table, which takes a fraction of the time.
    lines = in_one_piece(texts) if isinstance(texts, pa.ChunkedArray) else texts
    ends = pa.array([0, len(lines)], pa.int32())
    whole = pc.binary_join(pa.ListArray.from_arrays(ends, lines), "\n")[0].as_buffer()
    try:
        rows = _read_json(whole, {})
        odd = [one.name for one in rows.schema if not (pa.types.is_int64(one.type) or _is_text(one.type))]
        if odd:
            # Texts that look like times, and columns without a value.
            rows = _read_json(whole, dict.fromkeys(odd, pa.string()))
    except pa.ArrowException:
        rows = None
    if rows is None or len(rows) != len(texts):
        return pa.array([_one_text(text) for text in texts.to_pylist()], pa.string())
    return text_of_values({name: in_one_piece(rows[name]) for name in rows.column_names}, len(texts))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_))


def _read_json(text: pa.Buffer, types: Mapping[str, pa.DataType]) -> pa.Table:
    options = pyarrow.json.ParseOptions(explicit_schema=pa.schema(list(types.items())))
    sizes = pyarrow.json.ReadOptions(block_size=max(1 << 20, len(text) + 1))
    return pyarrow.json.read_json(pa.BufferReader(text), read_options=sizes, parse_options=options)


def _one_text(text: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(values, dict):
        return text
    return ", ".join(f"{name}={value}" for name, value in ordered(values).items() if value is not None)
