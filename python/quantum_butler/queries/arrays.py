"""Arrow arrays and scalars of Python's values.

Those of pyarrow's own functions import pandas where that is installed, which takes longer than an answer.
"""

from __future__ import annotations

__all__ = ("FALSE", "array_of", "indices_of", "numpy_of", "scalar_of")

from collections.abc import Sequence
from typing import Any

import numpy
import pyarrow


def array_of(values: Sequence[Any], type_: pyarrow.DataType) -> pyarrow.Array:
    """Return an array of a few integers, numbers, texts or booleans; `None` is null."""
    known = numpy.array([value is not None for value in values], bool)
    valid = pyarrow.py_buffer(numpy.packbits(known, bitorder="little").tobytes())
    if pyarrow.types.is_string(type_):
        texts = [b"" if value is None else value.encode("utf-8", "surrogateescape") for value in values]
        ends = numpy.cumsum([0, *map(len, texts)]).astype(numpy.int32)
        buffers = [valid, pyarrow.py_buffer(ends.tobytes()), pyarrow.py_buffer(b"".join(texts))]
    elif pyarrow.types.is_boolean(type_):
        bits = numpy.packbits([bool(value) for value in values], bitorder="little")
        buffers = [valid, pyarrow.py_buffer(bits.tobytes())]
    else:
        numbers = numpy.array([value or 0 for value in values], type_.to_pandas_dtype())
        buffers = [valid, pyarrow.py_buffer(numbers.tobytes())]
    return pyarrow.Array.from_buffers(type_, len(values), buffers)


def indices_of(rows: Any) -> pyarrow.Array:
    """Return the integers of a NumPy array, which have 64 bits."""
    return pyarrow.Array.from_buffers(pyarrow.int64(), len(rows), [None, pyarrow.py_buffer(rows)])


def numpy_of(array: pyarrow.Array) -> Any:
    """Return integers or booleans as an array of NumPy. Nulls become arbitrary values."""
    buffer = array.buffers()[1]
    start, length = array.offset, len(array)
    if buffer is None:
        return numpy.zeros(length, array.type.to_pandas_dtype())
    if pyarrow.types.is_boolean(array.type):
        bits = numpy.unpackbits(numpy.frombuffer(buffer, numpy.uint8), bitorder="little")
        return bits[start : start + length].astype(bool)
    type_ = numpy.dtype(array.type.to_pandas_dtype())
    return numpy.frombuffer(buffer, type_, length, start * type_.itemsize)


def scalar_of(value: Any, type_: pyarrow.DataType | None = None) -> pyarrow.Scalar:
    """Return a scalar, of a type that fits unless one is given."""
    if type_ is None:
        kinds = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
        type_ = kinds[type(value)]
    return array_of([value], type_)[0]


FALSE = scalar_of(False)
"""No, for all rows."""
