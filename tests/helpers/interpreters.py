"""What the tests do about upstream's and Python's own faults that newer interpreters show.

Upstream leaves connections to SQLite to the garbage collector.  Since 3.13
Python warns of each, wherever the collector happens to run, and a warning
fails the test that runs there.  `closing_connections` has such a connection
closed instead.  What our own package opens, or calls upstream for, is left as
it is, so that a connection that we forget still fails a test.  Upstream's
`ingest_graph` makes a butler of its own, which nobody else can close.

In some releases (3.12.1 and 3.13.0 among them) a member of a ZIP file that is
sought forward after another member has been read continues in the wrong place.
Upstream then cannot read ingested provenance, with any butler.
`seeking_zip_files` mends that.

Other libraries leave sockets and streams to the collector, too.
`collected_here` has it find them in the test that used such a library.
"""

from __future__ import annotations

__all__ = ("closing_connections", "collected_here", "seeking_zip_files", "zip_files_seek")

import contextlib
import gc
import io
import os
import sqlite3
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler.registry.databases import sqlite

import quantum_butler

PACKAGE = str(Path(quantum_butler.__file__).parent) + os.sep
# Upstream's, which opens what it does not hand out.
INGESTER = str(Path("quantum_graph", "ingest_graph.py"))


class _ClosedWhenForgotten(sqlite3.Connection):
    """A connection that is closed when nobody has it any more."""

    def __del__(self) -> None:
        self.close()


class _Sqlite3:
    """The module, as upstream sees it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    @staticmethod
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if not _called_by_us():
            options.setdefault("factory", _ClosedWhenForgotten)
        return sqlite3.connect(*arguments, **options)


def _called_by_us() -> bool:
    """Return whether our package is at work, rather than a test or upstream's ingester."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.endswith(INGESTER):
            return False
        if file.startswith(PACKAGE):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextlib.contextmanager
def closing_connections() -> Iterator[None]:
    """Have upstream's connections to SQLite closed when they are forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "sqlite3", _Sqlite3())
        yield


@contextlib.contextmanager
def collected_here() -> Iterator[None]:
    """Have what another library leaves open collected at the end, without a warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def zip_files_seek() -> bool:
    """Return whether a member of a ZIP file that is sought forward continues in the right place."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("first", bytes(10_000) + b"a" * 10_000)
        written.writestr("second", b"b" * 10_000)
    with zipfile.ZipFile(file) as read, read.open("first") as first, read.open("second") as second:
        first.read(1)
        second.read()
        first.seek(15_000)
        try:
            return first.read(1) == b"a"
        except EOFError:
            return False


@contextlib.contextmanager
def seeking_zip_files() -> Iterator[None]:
    """Have members of ZIP files sought from where they are, not from where the file is."""
    if zip_files_seek():
        yield
        return
    shared: Any = zipfile._SharedFile  # type: ignore[attr-defined]
    seek = shared.seek

    def seek_from_here(self: Any, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = self._pos + offset, os.SEEK_SET
        return int(seek(self, offset, whence))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "seek", seek_from_here)
        assert zip_files_seek(), "This fault of zipfile is another one."
        yield
