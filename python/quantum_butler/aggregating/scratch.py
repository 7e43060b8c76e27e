"""Folders beside a graph for what is needed while it is made; a killed process leaves its own behind."""

from __future__ import annotations

__all__ = ("remove_leftovers", "scratch_folder")

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..paths import is_there


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[str]:
    """Give a folder beside a file; what killed processes have left of theirs is removed before."""
    remove_leftovers(target)
    while True:
        folder = tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent)
        with _opened(folder) as descriptor:
            if descriptor is None:
                # Before it was locked, another process took it for what a killed one has left.
                continue
            # Where there are no locks nobody removes it.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not is_there(folder):
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


def remove_leftovers(target: Path) -> None:
    """Remove the folders beside a file that nobody works in."""
    # Whoever works in one has a lock on it, which ends with the process.
    for folder in glob.glob(f"{glob.escape(str(target.with_name(_prefix(target))))}*"):
        with _opened(folder) as descriptor:
            if descriptor is None:
                continue
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    """Give a folder's file descriptor, or `None` if it is not there any more."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _prefix(target: Path) -> str:
    return f".{target.name}.logs-"
