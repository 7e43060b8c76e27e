"""Begin, end and failure of an attempt at a quantum."""

from __future__ import annotations

__all__ = ("Beginning", "has_failed", "microseconds", "now")

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Beginning(NamedTuple):
    """Facts that are known when an attempt begins."""

    time: int
    """When that is, in microseconds since 1970."""

    exception: int
    """Which exception is being handled, by `id`: not one of this attempt."""

    @classmethod
    def now(cls) -> Beginning:
        """Return what is known now."""
        return cls(now(), id(sys.exception()))


def now() -> int:
    """Return the time, in microseconds since 1970."""
    return time.time_ns() // 1000


def has_failed(beginning: Beginning) -> bool:
    """Return whether an exception is being handled that was not at the beginning."""
    exception = sys.exception()
    return exception is not None and id(exception) != beginning.exception


def microseconds(moment: datetime) -> int:
    """Return a time in microseconds since 1970."""
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone, and may be any of 24 hours")
    return (moment - _EPOCH) // _MICROSECOND
