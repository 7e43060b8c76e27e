"""Exceptions of a butler's SQLite file."""

from __future__ import annotations

__all__ = ("FileHasQuantumError", "RecordFileError", "damage_errors", "record_file_error")

import contextlib
import errno
import sqlite3
from collections.abc import Iterator, Mapping

from lsst.daf.butler.registry.interfaces import SchemaAlreadyDefinedError

from .. import _core
from ..errors import QuantumButlerError

# Primary result codes of SQLite: what each means to the operating system, and
# to people.
_MEANINGS: Mapping[int, tuple[int, str]] = {
    sqlite3.SQLITE_BUSY: (errno.EBUSY, "The file is in use by another program"),
    sqlite3.SQLITE_LOCKED: (errno.EBUSY, "The file is in use by another program"),
    sqlite3.SQLITE_READONLY: (errno.EACCES, "The file, or its folder, cannot be written to"),
    sqlite3.SQLITE_PERM: (errno.EACCES, "The file, or its folder, cannot be written to"),
    sqlite3.SQLITE_CANTOPEN: (errno.EACCES, "The file, or one beside it, cannot be opened"),
    sqlite3.SQLITE_FULL: (errno.ENOSPC, "There is no space left for the file"),
    sqlite3.SQLITE_IOERR: (errno.EIO, "The file cannot be read or written"),
    sqlite3.SQLITE_NOTADB: (errno.EINVAL, "The file is not a SQLite database"),
    sqlite3.SQLITE_CORRUPT: (errno.EINVAL, "The file is damaged"),
}


class RecordFileError(QuantumButlerError, OSError):
    """Raised when a butler's SQLite file cannot be opened, read or written.

    Its ``errno`` says what kind of failure it is, its ``filename`` which file.
    """


class FileHasQuantumError(RecordFileError, SchemaAlreadyDefinedError):
    """Raised when a butler for a new quantum is given the file of another."""


def record_file_error(path: str, error: sqlite3.Error) -> RecordFileError:
    """Say in the words of this package what SQLite complains of."""
    code = getattr(error, "sqlite_errorcode", None)
    number, meaning = errno.EIO, "The file cannot be used"
    if code is not None:
        # The lower byte is the kind, the rest a detail.
        number, meaning = _MEANINGS.get(code & 0xFF, (number, meaning))
    return RecordFileError(number, f"{meaning} (SQLite: {error})", path)


@contextlib.contextmanager
def damage_errors(path: str, table: str) -> Iterator[None]:
    """Raise what cannot be understood in a file as damage of the file."""
    try:
        yield
    except RecordFileError:
        raise
    except (
        _core.DuplicateKeyError,
        _core.UnfitValueError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        what = f"{type(error).__name__}: {error}"
        raise RecordFileError(
            errno.EINVAL, f"Table {table} of the file holds what cannot be ({what})", path
        ) from error
