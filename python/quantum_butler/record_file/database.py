"""Opening a butler's SQLite file, and closing it."""

from __future__ import annotations

__all__ = (
    "Durability",
    "OpenedFile",
    "close_connection",
    "end_log",
    "file_identity",
    "gone_error",
    "is_closed",
    "is_marked",
    "lacks_log",
    "open_file",
    "remove_database",
    "remove_mark",
)

import contextlib
import errno
import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import RecordFileError, record_file_error

if TYPE_CHECKING:
    from .schema import FileSchema

Durability = Literal["disk", "process"]
"""What survives what: power cuts, or killed processes."""

# How long to wait for others, in seconds.  Nobody has a reason to write.
_PATIENCE = 5.0
_PAUSE = 0.01

# Of the header of a SQLite file: its size, and where it tells whether there is a write-ahead log.
# Source: "Database File Format" in SQLite's documentation.
_HEADER = 100
_READ_VERSION = 19
_WRITE_AHEAD = b"\x02"

_HAS_META = "SELECT 1 FROM sqlite_master WHERE name = 'quantum_butler_meta'"
# Files without a quantum have nothing to lose.
_MARK = """
    INSERT OR IGNORE INTO quantum_butler_meta
    SELECT 'closed', 'whole' FROM quantum_butler_meta WHERE name = 'format_version'"""

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

    lacks_log: bool
    """Whether what was written last may be missing; see `lacks_log`."""

    is_marked: bool
    """Whether the file says that it was closed."""


def open_file(
    filename: str | os.PathLike[str], schema: FileSchema, durability: Durability, *, must_exist: bool
) -> OpenedFile:
    """Open a file, or create it."""
    # A link would be followed when it is written, and removed when it is removed.
    path = os.path.realpath(os.fspath(filename))
    if file_identity(path) is None:
        if must_exist:
            raise FileNotFoundError(errno.ENOENT, "There is no file of a quantum's records", path)
        _check_place(path)
    elif _is_folder(path, path):
        raise RecordFileError(errno.EISDIR, "There is a folder where the file should be", path)
    was_without_log = lacks_log(path)
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
        marked = not is_complete and is_marked(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
            if not was_without_log:
                _end_lost_log(path)
        if is_new:
            remove_database(path)
        if isinstance(error, sqlite3.Error):
            raise record_file_error(path, error) from error
        raise
    return OpenedFile(path, connection, version, to_create, is_new, identity, was_without_log, marked)


def lacks_log(path: str) -> bool:
    """Return whether what was beside a file that was not closed may be lost.

    So it is if the file was copied without its log, and what was written last
    is missing.  So it is, too, if another program has opened the file of a
    killed process and closed it, and all is in the file; nobody can tell one
    from the other.  If the butler was killed while it closed the file, there
    is a mark in it.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER)
    except OSError:
        # Whoever opens it will say so.
        return False
    if header[_READ_VERSION : _READ_VERSION + 1] != _WRITE_AHEAD or _is_beside(path, "-wal"):
        return False
    # It must stay as it is, so that it will be seen next time, too.
    address = f"{Path(path).as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        return not is_marked(connection)


def is_marked(connection: sqlite3.Connection) -> bool:
    """Return whether a file says that a butler has closed it, and nobody has written to it since."""
    try:
        return bool(connection.execute("SELECT 1 FROM quantum_butler_meta WHERE name = 'closed'").fetchall())
    except sqlite3.Error:
        # It has no such table, or is damaged.
        return False


def remove_mark(connection: sqlite3.Connection) -> bool:
    """Note in a file that it is open again; return whether the file itself has that note now.

    As long as somebody reads what was there before, only the log can have it.
    """
    connection.execute("DELETE FROM quantum_butler_meta WHERE name = 'closed'")
    # It must not be in the file itself any more when there is something to lose in the log.
    [(is_busy, written, copied)] = connection.execute("PRAGMA wal_checkpoint").fetchall()
    return not is_busy and bool(written == copied)


def file_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file, or `None`. They distinguish files with the same name."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _not_seen("The file", path, error) from error
    return status.st_dev, status.st_ino


def gone_error(path: str) -> RecordFileError:
    """Return the error for a file that was removed while it was open."""
    return RecordFileError(errno.ESTALE, "The file was removed or replaced after it had been opened", path)


def _create_empty(path: str) -> bool:
    """Create an empty file; return whether there was none."""
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
    if not _is_folder(folder, path):
        raise RecordFileError(errno.ENOENT, f"There is no folder {folder} for the file", path)
    for suffix in _BESIDE:
        if _is_beside(path, suffix):
            # SQLite would take it for a part of the new file.
            raise RecordFileError(
                errno.EEXIST,
                f"A file of this name is gone, but not what was beside it, {path + suffix}",
                path,
            )


def _is_folder(folder: str, path: str) -> bool:
    """Return whether a folder is there, or raise the error of a file if nobody can tell."""
    try:
        return stat.S_ISDIR(os.stat(folder).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _not_seen(folder, path, error) from error


def _is_beside(path: str, suffix: str) -> bool:
    """Return whether something is beside a file, or raise if nobody can tell."""
    try:
        os.lstat(path + suffix)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _not_seen(path + suffix, path, error) from error
    return True


def _not_seen(what: str, path: str, error: OSError) -> RecordFileError:
    return RecordFileError(error.errno, f"{what} cannot be looked at ({error.strerror})", path)


def close_connection(
    connection: sqlite3.Connection, path: str, identity: tuple[int, int], process: int, is_whole: bool
) -> None:
    """Close a connection, and leave nothing beside the file if possible.

    A file that does not have all that it should have must not look as if it
    had.  Nobody waits for others: the garbage collector may be what closes it.
    """
    if os.getpid() == process:
        with contextlib.suppress(OSError, sqlite3.Error):
            # What is beside it goes by name, and may be another file's by now.
            if is_whole and file_identity(path) == identity:
                end_log(connection, path, is_ours=False)
        connection.close()
        if is_whole:
            _end_lost_log(path)


def _end_lost_log(path: str) -> None:
    """Have a file look whole whose log SQLite has ended when the last connection was closed."""
    with contextlib.suppress(OSError, sqlite3.Error):
        if lacks_log(path):
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                _leave_log(connection, 0.0)


def end_log(connection: sqlite3.Connection, path: str, *, is_ours: bool) -> None:
    """Bring everything into a file, and remove what is beside it; wait for others if it is ours."""
    try:
        if is_ours and connection.execute(_HAS_META).fetchall():
            # Killed within what comes next, it would look as if the log had been lost.
            connection.execute(_MARK)
        _leave_log(connection, _PATIENCE if is_ours else 0.0)
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


def _leave_log(connection: sqlite3.Connection, patience: float) -> None:
    """Have a connection, the only one, use no write-ahead log any more."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        except sqlite3.OperationalError as error:
            # For this statement SQLite does not wait by itself.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_PAUSE)


def is_closed(connection: sqlite3.Connection) -> bool:
    """Return whether a connection has been closed."""
    try:
        return connection.in_transaction is None
    except sqlite3.ProgrammingError:
        return True


def remove_database(path: str) -> None:
    """Remove a database with what is beside it."""
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(OSError):
            os.remove(path + suffix)
