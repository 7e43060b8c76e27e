"""Ids of datasets and quanta as arrays that can be compared and sorted."""

from __future__ import annotations

__all__ = ("ids_of", "uuids_of")

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
