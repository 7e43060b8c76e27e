"""Ids of datasets and quanta as arrays that can be compared and sorted."""

from __future__ import annotations

__all__ = ("bytes_of", "ids_of", "uuids_of", "wanted_bytes")

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa


def ids_of(column: pa.ChunkedArray | pa.Array) -> Any:
    """Return UUIDs as texts of 16 bytes; zeros at the end of one do not show, and count all the same."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    storage = getattr(array, "storage", array)
    values = np.frombuffer(storage.buffers()[1] or b"", "S16")
    return values[storage.offset : storage.offset + len(storage)]


def uuids_of(values: Any) -> pa.Array:
    """Return such texts as UUIDs."""
    data = pa.py_buffer(np.ascontiguousarray(values))
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, data])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def bytes_of(ids: pa.Array) -> Any:
    """Return ids as rows of 16 bytes."""
    storage = ids.storage if isinstance(ids, pa.ExtensionArray) else ids
    if isinstance(storage, pa.ChunkedArray):
        storage = storage.combine_chunks()
    buffer = storage.buffers()[1]
    if buffer is None:
        return np.zeros((0, 16), np.uint8)
    return np.frombuffer(buffer, np.uint8, 16 * len(storage), 16 * storage.offset).reshape(-1, 16)


def wanted_bytes(digits: str, at_start: bool) -> Iterator[tuple[int, int, int]]:
    """Yield places in an id, what is to be there, and which of its bits."""
    padded = digits.ljust(32, "x") if at_start else digits.rjust(32, "x")
    for place in range(16):
        high, low = padded[2 * place], padded[2 * place + 1]
        bits = (0 if high == "x" else 0xF0) | (0 if low == "x" else 0x0F)
        if bits:
            yield place, int(f"{high}{low}".replace("x", "0"), 16), bits
