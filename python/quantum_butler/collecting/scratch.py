"""The folder beside an archive in which the next one is made."""

from __future__ import annotations

__all__ = ("BusyArchiveError", "Scratch")

import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
from types import TracebackType
from typing import Self

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

_INFIX = ".partial-"


class BusyArchiveError(RuntimeError):
    """Another process is collecting into the same archive."""


class Scratch:
    """A folder beside an archive, which vanishes with the work in it.

    Parameters
    ----------
    archive : `str`
        Where the archive is, or will be.

    Raises
    ------
    BusyArchiveError
        Raised if another process has such a folder for the same archive.

    Notes
    -----
    Whoever works in a folder has a lock on a file in it, which ends with the
    process whatever happens to that.  A folder without such a lock is what a
    killed process has left, and is removed.
    """

    def __init__(self, archive: str):
        self._archive = os.path.abspath(archive)
        parent = os.path.dirname(self._archive)
        os.makedirs(parent, exist_ok=True)
        self._folder = f"{self._archive}{_INFIX}{secrets.token_hex(6)}"
        # The lock is there before the folder has the name by which others find it.
        hidden = os.path.join(parent, f".{os.path.basename(self._folder)}")
        os.mkdir(hidden)
        self._lock = _lock(hidden, create=True)
        os.rename(hidden, self._folder)
        try:
            self._remove_leftovers()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.parts = os.path.join(self._folder, "parts")
        """Where tables of parts go (`str`)."""
        self.result = os.path.join(self._folder, "archive")
        """Where the new archive is made (`str`)."""
        os.mkdir(self.parts)
        os.mkdir(self.result)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def put_in_place(self) -> None:
        """Put the new archive where the old one is, if there is one.

        Raises
        ------
        OSError
            Raised if that cannot be done.  The old archive is where it was.

        Notes
        -----
        Where the operating system can exchange two folders, there is one at
        any time.  Elsewhere there is a moment without, and a process that is
        killed right then leaves the old one in the scratch folder.
        """
        self._sync()
        if not os.path.lexists(self._archive):
            os.rename(self.result, self._archive)
        elif not _exchange(self.result, self._archive):
            aside = os.path.join(self._folder, "replaced")
            os.rename(self._archive, aside)
            try:
                os.rename(self.result, self._archive)
            except OSError:
                os.rename(aside, self._archive)
                raise
        _sync(os.path.dirname(self._archive))

    def _sync(self) -> None:
        """Have the new archive on disk, before anything can find it."""
        for entry in os.scandir(self.result):
            _sync(entry.path)
        _sync(self.result)

    def _remove_leftovers(self) -> None:
        for other in glob.glob(f"{glob.escape(self._archive)}{_INFIX}*"):
            if other == self._folder or not os.path.isdir(other):
                continue
            try:
                lock = _lock(other, create=False)
            except FileNotFoundError:
                # Not one of ours, or just being removed.
                continue
            except BlockingIOError:
                raise BusyArchiveError(
                    f"{self._archive}: another process is collecting into this archive, in {other}"
                ) from None
            replaced = os.path.join(other, "replaced")
            if os.path.isdir(replaced) and not os.path.lexists(self._archive):
                os.rename(replaced, self._archive)
            shutil.rmtree(other, ignore_errors=True)
            if lock is not None:
                os.close(lock)


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
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
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


def _exchange(one: str, other: str) -> bool:
    """Exchange two folders at once; `False` where that is not possible."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)
