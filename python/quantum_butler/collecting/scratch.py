"""The folder beside an archive in which the next one is made."""

from __future__ import annotations

__all__ = ("BusyArchiveError", "Scratch")

import contextlib
import ctypes
import errno
import fcntl
import glob
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..errors import QuantumButlerError
from ..locks import warn_of_no_locks
from ..paths import is_there

_LOG = logging.getLogger(__name__)

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

_INFIX = ".partial-"

_MOST_ATTEMPTS = 5

# What `flock` says where there are no locks; the last one is known to Linux alone.
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, 524))


class BusyArchiveError(QuantumButlerError, RuntimeError):
    """Another process is collecting into the same archive."""


class Scratch:
    """A folder for work beside an archive, removed at the end. `BusyArchiveError` if another process has one.

    Whoever works in a folder has a lock on a file in it, which ends with the
    process whatever happens to that.  A folder without such a lock is what a
    killed process has left, and is removed.  Where there are no locks nobody
    can tell: nobody is kept out, and nothing is removed.
    """

    def __init__(self, archive: str):
        self._archive = os.path.abspath(archive)
        os.makedirs(os.path.dirname(self._archive), exist_ok=True)
        self._folder = f"{self._archive}{_INFIX}{secrets.token_hex(6)}"
        self.parts = os.path.join(self._folder, "parts")
        """Where tables of parts go (`str`)."""
        self.result = os.path.join(self._folder, "archive")
        """Where the new archive is made (`str`)."""
        try:
            self._lock = self._make()
        except OSError as error:
            # Nobody has given the names that are made here.
            raise _named(error, self._archive) from error
        try:
            self._remove_leftovers()
            os.mkdir(self.parts)
            os.mkdir(self.result)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self._folder, self._lock)
        if isinstance(error, OSError) and error.filename is None:
            # Arrow does not tell which file it could not write.
            raise _named(error, self._archive) from error

    def put_in_place(self) -> None:
        """Put the new archive where the old one is, which stays there if that fails."""
        self._sync()
        put_back = self._replace()
        try:
            _sync(os.path.dirname(self._archive))
        except OSError as error:
            if put_back():
                raise
            # It is whole, and the old one cannot be had again: an error would say that all is as it was.
            _LOG.warning("%s is new, but a power failure now may undo that: %s", self._archive, error)

    def _replace(self) -> Callable[[], bool]:
        """Put the new archive where the old one is; return what takes that back, if that can be done."""
        # Where the operating system can exchange two folders, there is one at any time.  Elsewhere there is
        # a moment without, and a process that is killed right then leaves the old one in the scratch folder.
        if not is_there(self._archive, follow=False):
            os.rename(self.result, self._archive)
            return lambda: _renamed(self._archive, self.result)
        if _exchange(self.result, self._archive):
            return lambda: _exchange(self.result, self._archive)
        aside = os.path.join(self._folder, "replaced")
        os.rename(self._archive, aside)
        try:
            os.rename(self.result, self._archive)
        except OSError:
            os.rename(aside, self._archive)
            raise

        def put_back() -> bool:
            if not _renamed(self._archive, self.result):
                return False
            if _renamed(aside, self._archive):
                return True
            os.rename(self.result, self._archive)
            return False

        return put_back

    def _sync(self) -> None:
        """Have the new archive on disk, before anything can find it."""
        for entry in os.scandir(self.result):
            _sync(entry.path)
        _sync(self.result)

    def _make(self) -> int | None:
        """Make the folder, and lock it."""
        # The lock is there before the folder has the name by which others find it.
        hidden = _hidden(self._folder)
        for attempt in reversed(range(_MOST_ATTEMPTS)):
            os.mkdir(hidden)
            lock = None
            try:
                lock = _lock(hidden, create=True)
                os.rename(hidden, self._folder)
            except BaseException as error:
                _remove(hidden, lock)
                # Before it was locked, another process may have taken it for what a killed one has left.
                if not attempt or not isinstance(error, (FileNotFoundError, BlockingIOError)):
                    raise
            else:
                break
        return lock

    def _remove_leftovers(self) -> None:
        for other in glob.glob(f"{glob.escape(_hidden(self._archive))}{_INFIX}*"):
            # With a lock, it belongs to a process that is about to find this one.
            with contextlib.suppress(OSError):
                _remove(other, _lock(other, create=False))
            with contextlib.suppress(OSError):
                os.rmdir(other)
        for other in glob.glob(f"{glob.escape(self._archive)}{_INFIX}*"):
            if other == self._folder or not os.path.isdir(other):
                continue
            try:
                lock = _lock(other, create=False)
            except FileNotFoundError:
                # Not one of ours, or just being removed; if that failed in the end, empty.
                with contextlib.suppress(OSError):
                    os.rmdir(other)
                continue
            except BlockingIOError:
                raise BusyArchiveError(
                    f"{self._archive}: another process is collecting into this archive, in {other}"
                ) from None
            try:
                # Only if there is none; an archive is not an empty folder.
                os.rename(os.path.join(other, "replaced"), self._archive)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    if lock is not None:
                        os.close(lock)
                    raise
            _remove(other, lock)


def _hidden(folder: str) -> str:
    """Return the name that a folder has before it is locked."""
    parent, name = os.path.split(folder)
    return os.path.join(parent, f".{name}")


def _remove(folder: str, lock: int | None) -> None:
    """Remove a scratch folder and let go of its lock.

    What cannot be removed still has the file to be locked, by which others
    know it, or is empty.
    """
    for name in ("parts", "archive", "replaced"):
        with contextlib.suppress(OSError):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        if os.listdir(folder) == ["lock"]:
            os.remove(os.path.join(folder, "lock"))
        os.rmdir(folder)
    if lock is not None:
        with contextlib.suppress(OSError):
            os.close(lock)


def _named(error: OSError, path: str) -> OSError:
    """Return the same error of a file."""
    if error.errno is None:
        return OSError(f"{path}: {error}")
    return OSError(error.errno, error.strerror, path)


def _lock(folder: str, *, create: bool) -> int | None:
    """Lock a folder, as far as its file system has locks."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    lock = os.open(os.path.join(folder, "lock"), flags, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError as error:
        os.close(lock)
        if error.errno not in _NO_LOCKS:
            # Python does not say of which file.
            raise _named(error, folder) from error
        warn_of_no_locks(os.path.dirname(folder))
        if not create:
            # Nobody can tell whether it is in use.
            raise FileNotFoundError(errno.ENOENT, "no lock", folder) from None
        return None
    return lock


def _sync(path: str) -> None:
    """Have a file or a folder on disk, as far as its file system can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _renamed(one: str, other: str) -> bool:
    """Rename a folder; `False` if that is not possible."""
    try:
        os.rename(one, other)
    except OSError:
        return False
    return True


def _exchange(one: str, other: str) -> bool:
    """Exchange two folders at once; `False` where that is not possible."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)
