"""Forking of this process: conditions and preparations.

A fork takes along one thread only.  What the others hold at that moment, a
lock or a half-changed structure, stays as it is in the child for ever.  So a
process with threads of Python, or of libraries that are not known to be
prepared, is not forked.
"""

from __future__ import annotations

__all__ = ("ForkRefusedError", "end_with_parent", "prepare_fork", "settle_in_child", "undo_preparation")

import ctypes
import gc
import os
import signal
import sys
import threading
from pathlib import Path

from ..upstream.executors import forget_connections

# Threads of libraries that have handlers for a fork (``pthread_atfork``): jemalloc's, as pyarrow brings it,
# and the pool of OpenBLAS, which ends before a fork and begins anew with the next use.
_PREPARED = ("jemalloc_bg_thd",)
_OPENBLAS = "openblas"

# Linux' madvise(MADV_COLLAPSE), the size of the pages that it makes, and how many forks pay for it.
_COLLAPSE = 25
_LARGE_PAGE = 2 << 20
_FORKS_TO_PAY = 50

# Linux' prctl(PR_SET_PDEATHSIG): the signal that a child gets when its parent ends.
_PARENT_DEATH_SIGNAL = 1


class ForkRefusedError(RuntimeError):
    """Raised when a process has threads that must not live across a fork."""


def prepare_fork(forks: int = 1) -> bool:
    """Make so many forks cheap, return whether to undo that, and raise `ForkRefusedError` for threads."""
    if threads := _unprepared_threads():
        raise ForkRefusedError(
            f"Quanta cannot run in forked processes, because of other threads in process {os.getpid()}: "
            f"{', '.join(threads)}. End them before the graph is executed, or run the graph in a process of "
            "its own (quantum-butler exec pipetask run-qbb, or isolation='none')."
        )
    # Somebody may have done it for all that goes on in this process.
    if is_ours := not gc.get_freeze_count():
        # What is there now is shared with the children as long as the collector does not touch it.
        gc.collect()
        gc.freeze()
    if forks >= _FORKS_TO_PAY:
        _use_large_pages()
    return is_ours


def _use_large_pages() -> None:
    """Have memory in large pages, where the system can: a fork notes fewer, an end lets go of fewer."""
    if sys.platform != "linux":
        return
    advise = ctypes.CDLL(None).madvise
    for begin, end in _writable_areas():
        begin, end = -(-begin // _LARGE_PAGE) * _LARGE_PAGE, end // _LARGE_PAGE * _LARGE_PAGE
        if begin < end:
            # It is advice: what cannot be had stays as it is.
            advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _COLLAPSE)


def _writable_areas() -> list[tuple[int, int]]:
    """Return where this process has memory of its own that is in no file, where the system tells."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return []
    areas = []
    for line in lines:
        place, permissions, _, _, inode, *_ = line.split(maxsplit=5)
        if permissions == "rw-p" and inode == "0":
            begin, _, end = place.partition("-")
            areas.append((int(begin, 16), int(end, 16)))
    return areas


def undo_preparation() -> None:
    """Give all objects back to the garbage collector."""
    gc.unfreeze()


def settle_in_child(parent: int) -> None:
    """Cut what a forked process has in common with its parent, of which the number is given."""
    # What the quantum starts ends with it, and signals of the terminal are the parent's to handle.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)
    forget_connections()
    # Python's own generator has been seeded anew by now.  numpy imports its one when it is asked for: here
    # that would be an import for each quantum.
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()


def end_with_parent(parent: int) -> None:
    """Have the system end this process with its parent, of which the number is given."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            # It has ended in between.
            os._exit(1)


def _unprepared_threads() -> list[str]:
    """Return the names of threads that must not live across a fork."""
    here = threading.current_thread()
    names = [thread.name for thread in threading.enumerate() if thread is not here]
    known = {thread.native_id for thread in threading.enumerate()}
    own = os.getpid()
    process = _name_of(own, own)
    pools = _most_openblas_threads()
    for thread in _native_threads(own):
        if thread in known or thread == own or (name := _name_of(own, thread)) in _PREPARED:
            continue
        if name == process and pools:
            # A thread of OpenBLAS has the name of the process.
            pools -= 1
            continue
        names.append(f"{name} (of a library, thread {thread})")
    return names


def _native_threads(process: int) -> list[int]:
    """Return the numbers of all threads of a process, where the system tells."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{process}/task")))
    except OSError:
        return []


def _name_of(process: int, thread: int) -> str | None:
    """Return the name of a thread; `None` if it has ended."""
    try:
        return Path(f"/proc/{process}/task/{thread}/comm").read_text(errors="replace").strip()
    except OSError:
        return None


def _most_openblas_threads() -> int:
    """Return how many threads the copies of OpenBLAS in this process may have."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    copies = {line.split(maxsplit=5)[-1] for line in lines if _OPENBLAS in line}
    return len(copies) * max(0, (os.cpu_count() or 1) - 1)
