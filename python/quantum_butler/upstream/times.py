"""The time at which datasets are registered: one for many rows, which upstream's class converts for each."""

from __future__ import annotations

__all__ = ("converted_once",)

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from lsst.daf.butler.time_utils import TimeConverter

_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def converted_once() -> Iterator[None]:
    """Have upstream convert a time once if the same object is in row after row; any number may want that."""
    global _users
    # There is one in a process.
    converter: Any = TimeConverter()
    with _lock:
        _users += 1
        if _users == 1:
            converter.astropy_to_nsec = _remembering(converter.astropy_to_nsec)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                del converter.astropy_to_nsec


def _remembering(convert: Any) -> Any:
    """Return a function that remembers the last time, and what became of it."""
    # One tuple, since other threads may ask as well.
    last: tuple[Any, int] | None = None

    def astropy_to_nsec(time: Any) -> int:
        nonlocal last
        known = last
        if known is None or known[0] is not time:
            known = last = time, convert(time)
        return known[1]

    return astropy_to_nsec
