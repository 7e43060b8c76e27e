"""Locks of threads, and what to do where files have none."""

from __future__ import annotations

__all__ = ("ForkSafeLock", "warn_of_no_locks")

import logging
import os
import weakref
from _thread import RLock

_LOG = logging.getLogger(__name__)

_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()

# Whether this process has warned of a file system without locks.
_warned = False


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


def warn_of_no_locks(path: str) -> None:
    """Warn once that the file system of some file has no locks."""
    global _warned
    if _warned:
        return
    _warned = True
    _LOG.warning(
        "%s: this file system has no locks; the work goes on without. See to it yourself that no two "
        "processes write to one log, or collect into one archive.",
        path,
    )
