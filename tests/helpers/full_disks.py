"""Folders in which nothing can be written, for real: a full disk, and one that is mounted read-only."""

from __future__ import annotations

__all__ = ("Disk", "disk", "read_only", "small_disk")

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._filling = folder / "filling"

    def fill(self) -> None:
        """Leave no room."""
        with open(self._filling, "wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (4096, 512, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def forbid(self) -> None:
        """Let nothing be written."""
        _mount("-o", "remount,ro", str(self.folder))

    def free(self) -> None:
        """Let everything be written again."""
        _mount("-o", "remount,rw", str(self.folder))
        self._filling.unlink(missing_ok=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written to a folder, not even by root, if this user may mount."""
    try:
        _mount("--bind", str(folder), str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a disk of its own in a new folder, if this user may."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=256k", "none", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a disk of its own."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk
