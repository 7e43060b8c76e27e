"""Locks that do not outlive the threads that hold them."""

from __future__ import annotations

__all__ = ("ForkSafeLock",)

import os
import weakref
from _thread import RLock

_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


class ForkSafeLock(RLock):  # type: ignore[misc]
    """A lock that is free in a forked child, whoever held it at the time.

    The thread that holds it may take it again, as a finalizer that the
    garbage collector runs in that thread might.  It is taken and released by
    the interpreter itself, so that `KeyboardInterrupt` does not come in
    between and leave it taken.
    """

    def __init__(self) -> None:
        _locks.add(self)


def _free_locks() -> None:
    """Give every lock a new start in a child process."""
    for lock in _locks:
        lock._at_fork_reinit()  # type: ignore[attr-defined]


os.register_at_fork(after_in_child=_free_locks)
