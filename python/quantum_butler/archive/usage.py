"""Finds datasets that no quantum has used, and datasets that do not exist."""

from __future__ import annotations

__all__ = ("rows_in_want",)

from collections.abc import Iterator
from typing import Any

import numpy
import pyarrow

from ..queries.arrays import numpy_of
from ..queries.found import Use
from .format import role_bit

_PREDICTED_INPUT, _AVAILABLE, _USED, _PREDICTED_OUTPUT, _WRITTEN = (
    role_bit(name)
    for name in ("predicted_input", "available_input", "actual_input", "predicted_output", "actual_output")
)


def rows_in_want(
    nodes: pyarrow.Table, datasets: int, use: Use, is_logged: Any, may_have_used: Any
) -> Iterator[Any]:
    """Yield rows of datasets that are unused or missing, some at a time.

    Of each quantum it is said whether a log tells of it; and else, whether it may have used its inputs.
    """
    first = 0
    for chunk in nodes["neighbours"].slice(0, datasets).chunks:
        yield first + _of_lists(chunk, datasets, use, is_logged, may_have_used)
        first += len(chunk)


def _of_lists(lists: pyarrow.ListArray, datasets: int, use: Use, is_logged: Any, may_have_used: Any) -> Any:
    offsets = numpy_of(lists.offsets).astype(numpy.int64)
    pairs = lists.values
    span = slice(int(offsets[0]), int(offsets[-1]))
    # Fields of the struct have its own offset.
    roles, rows = (numpy_of(pairs.field(name))[span] for name in ("roles", "row"))
    quanta = rows.astype(numpy.int64) - datasets
    known = numpy.where(is_logged[quanta], roles, roles & ~numpy.uint8(_PREDICTED_INPUT))
    starts = offsets[:-1] - span.start
    anything = offsets[1:] > offsets[:-1]
    told = _either(roles, starts, anything)
    if use == "missing":
        inputs = _either(known, starts, anything) & _PREDICTED_INPUT != 0
        not_there = inputs & (told & (_AVAILABLE | _WRITTEN) == 0)
        not_written = (told & _PREDICTED_OUTPUT != 0) & (told & _WRITTEN == 0)
        return numpy.flatnonzero(not_written | not_there)
    doubts = numpy.where(may_have_used[quanta], roles & _PREDICTED_INPUT, 0).astype(numpy.uint8)
    is_there = told & (_WRITTEN | _AVAILABLE) != 0
    return numpy.flatnonzero(is_there & (told & _USED == 0) & (_either(doubts, starts, anything) == 0))


def _either(roles: Any, starts: Any, anything: Any) -> Any:
    """Return the roles of each dataset in any quantum."""
    found = numpy.zeros(len(starts), numpy.uint8)
    if anything.any():
        found[anything] = numpy.bitwise_or.reduceat(roles, starts[anything])
    return found
