"""Opening a butler's SQLite file, and closing it."""

from __future__ import annotations

__all__ = (
    "Durability",
    "OpenedFile",
    "check_log",
    "close_connection",
    "end_log",
    "file_identity",
    "gone_error",
    "is_closed",
    "open_file",
    "remove_database",
)

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import RecordFileError, record_file_error

if TYPE_CHECKING:
    from .schema import FileSchema

_LOG = logging.getLogger(__name__)

Durability = Literal["disk", "process"]
"""What survives what: power cuts, or killed processes."""

# How long to wait for others, in seconds.  Nobody has a reason to write.
_PATIENCE = 5.0

# Of the header of a SQLite file: its size, and where it tells whether there is a write-ahead log.
# Source: "Database File Format" in SQLite's documentation.
_HEADER = 100
_READ_VERSION = 19
_WRITE_AHEAD = b"\x02"

# What SQLite keeps beside a file.
_BESIDE = ("-wal", "-shm", "-journal")


class OpenedFile(NamedTuple):
    """A file that has just been opened."""

    path: str
    """Absolute name of the file."""

    connection: sqlite3.Connection
    """Connection to it."""

    version: int
    """What changes when somebody else changes the file."""

    to_create: Sequence[str]
    """What creates the tables that are missing, with the first change."""

    created: bool
    """Whether the file was created just now."""

    identity: tuple[int, int]
    """Device and inode, which tell it from another file of its name."""


def open_file(
    filename: str | os.PathLike[str], schema: FileSchema, durability: Durability, *, must_exist: bool
) -> OpenedFile:
    """Open a file, or create it.

    Parameters
    ----------
    filename : `str` or `os.PathLike`
        Name of the file.
    schema : `FileSchema`
        The tables that it must have.
    durability : `str`
        What is to survive what.
    must_exist : `bool`
        Whether not to create it.

    Returns
    -------
    opened : `OpenedFile`
        The open file.

    Raises
    ------
    FileNotFoundError
        Raised if the file must exist and does not.
    RecordFileError
        Raised if it cannot be opened, or is not such a file.
    """
    # A link would be followed when it is written, and removed when it is removed.
    path = os.path.realpath(os.fspath(filename))
    if file_identity(path) is None:
        if must_exist:
            raise FileNotFoundError(errno.ENOENT, "There is no file of a quantum's records", path)
        _check_place(path)
    elif os.path.isdir(path):
        raise RecordFileError(errno.EISDIR, "There is a folder where the file should be", path)
    is_complete = not must_exist and schema.create(path, on_disk=durability == "disk")
    is_new = not must_exist and (is_complete or _create_empty(path))
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        # Looked at before anything of it is changed.
        to_create = [] if is_complete else schema.missing(connection, path)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'disk' else 'OFF'}")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        [(version,)] = connection.execute("PRAGMA data_version").fetchall()
        if (identity := file_identity(path)) is None:
            raise gone_error(path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if is_new:
            remove_database(path)
        if isinstance(error, sqlite3.Error):
            raise record_file_error(path, error) from error
        raise
    return OpenedFile(path, connection, version, to_create, is_new, identity)


def check_log(filename: str | os.PathLike[str], *, is_needed: bool) -> None:
    """Look whether a file that was not closed has lost what was beside it.

    Parameters
    ----------
    filename : `str` or `os.PathLike`
        Name of the file.
    is_needed : `bool`
        Whether to raise if it may have, instead of logging a warning.

    Raises
    ------
    RecordFileError
        Raised if it may have.
    """
    path = os.path.realpath(os.fspath(filename))
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
    except OSError:
        # Whoever opens it will say so.
        return
    if header[_READ_VERSION : _READ_VERSION + 1] != _WRITE_AHEAD or os.path.lexists(path + "-wal"):
        return
    what = (
        f"The file was not closed by its butler, and there is no {path}-wal beside it; if it was copied "
        "without that, what was written last is missing"
    )
    if is_needed:
        raise RecordFileError(
            errno.ENODATA,
            f"{what}, and artifacts may be taken for unrecorded. Copy that as well; or, if another program "
            "has opened and closed the file meanwhile, resume without repair, close, and repair then",
            path,
        )
    _LOG.warning("%s: %s.", path, what)


def file_identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another of its name.

    Parameters
    ----------
    path : `str`
        The file.

    Returns
    -------
    identity : `tuple` [ `int`, `int` ] or `None`
        Device and inode; `None` if there is no file.

    Raises
    ------
    RecordFileError
        Raised if it cannot be looked at.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordFileError(
            error.errno, f"The file cannot be looked at ({error.strerror})", path
        ) from error
    return status.st_dev, status.st_ino


def gone_error(path: str) -> RecordFileError:
    """Return the error for a file that was removed while it was open.

    Parameters
    ----------
    path : `str`
        The file.

    Returns
    -------
    error : `RecordFileError`
        The error.
    """
    return RecordFileError(errno.ESTALE, "The file was removed or replaced after it had been opened", path)


def _create_empty(path: str) -> bool:
    """Create an empty file, and tell whether there was none."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return False
    except OSError as error:
        raise RecordFileError(error.errno, f"The file cannot be created ({error.strerror})", path) from error
    return True


def _check_place(path: str) -> None:
    """Raise if a file cannot begin at a place where there is none."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise RecordFileError(errno.ENOENT, f"There is no folder {folder} for the file", path)
    for suffix in _BESIDE:
        if os.path.lexists(path + suffix):
            # SQLite would take it for a part of the new file.
            raise RecordFileError(
                errno.EEXIST,
                f"A file of this name is gone, but not what was beside it, {path + suffix}",
                path,
            )


def close_connection(
    connection: sqlite3.Connection, path: str, identity: tuple[int, int], process: int
) -> None:
    """Close a connection, and leave nothing beside the file if possible.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        The connection.
    path : `str`
        The file.
    identity : `tuple` [ `int`, `int` ]
        Device and inode of the file.
    process : `int`
        Process that it belongs to; others leave it alone.
    """
    if os.getpid() == process:
        with contextlib.suppress(OSError, sqlite3.Error):
            # What is beside it goes by name, and may be another file's by now.
            if file_identity(path) == identity:
                end_log(connection, path)
        connection.close()


def end_log(connection: sqlite3.Connection, path: str) -> None:
    """Bring everything into the file, and remove what is beside it.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        The connection.
    path : `str`
        The file.

    Raises
    ------
    RecordFileError
        Raised if that cannot be done.
    """
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        raise record_file_error(path, error) from error
    for suffix in _BESIDE:
        # SQLite does not tell if it could not remove them.
        try:
            os.remove(path + suffix)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RecordFileError(
                error.errno, f"{path + suffix} beside the file cannot be removed ({error.strerror})", path
            ) from error


def is_closed(connection: sqlite3.Connection) -> bool:
    """Tell whether a connection has been closed.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        The connection.

    Returns
    -------
    is_closed : `bool`
        Whether it has.
    """
    try:
        return connection.in_transaction is None
    except sqlite3.ProgrammingError:
        return True


def remove_database(path: str) -> None:
    """Remove a database with what is beside it.

    Parameters
    ----------
    path : `str`
        The database.
    """
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(OSError):
            os.remove(path + suffix)
