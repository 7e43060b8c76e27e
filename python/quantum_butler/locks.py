"""Locks that do not outlive the threads that hold them."""

from __future__ import annotations

__all__ = ("ForkSafeLock",)

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


class ForkSafeLock:
    """A lock that is free in a forked child, whoever held it at the time.

    The thread that holds it may take it again, as a finalizer that the
    garbage collector runs in that thread might.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: Any) -> None:
        self._lock.release()


def _free_locks() -> None:
    """Give every lock a new start in a child process."""
    for lock in _locks:
        lock._lock = threading.RLock()


os.register_at_fork(after_in_child=_free_locks)
