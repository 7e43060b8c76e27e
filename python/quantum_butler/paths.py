"""Paths: the meaning of a name of a file or folder, wherever a user may give one.

The rule holds for arguments, options and environment variables alike:

- ``~`` or ``~user`` at the beginning is a home folder;
- ``file:///folder/name`` is the path in that URI;
- a scheme, a colon and a slash begin any other URI.  It is refused where only
  a local file will do: nothing is written to a folder called ``s3:``;
- everything else is a path as it is.  No ``$VARIABLE``, ``%20`` or ``#`` in it
  means anything but itself, and ``./s3:/name`` is a file.

Names need not be UTF-8, except for what Arrow opens.
"""

from __future__ import annotations

__all__ = (
    "Name",
    "PathError",
    "absolute_path",
    "is_file",
    "is_folder",
    "is_there",
    "is_uri",
    "local_path",
    "replaced",
    "require_writable",
    "shown",
    "text_path",
)

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

Name: TypeAlias = str | os.PathLike[str]
"""Name of a file or folder as a user gives it."""

# A scheme has two characters at least, and a path of its own.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class PathError(ValueError):
    """A name that cannot be that of a local file or folder."""


def is_uri(name: Name) -> bool:
    """Return whether a name is a URI of something that is not a local file."""
    text = os.fsdecode(name)
    return _URI.match(text) is not None and not text.lower().startswith("file:/")


def local_path(name: Name) -> str:
    """Return the path that a name stands for; a relative one stays relative."""
    text = os.fsdecode(name)
    if not text:
        raise PathError("the name of a file or folder is empty")
    if is_uri(text):
        raise PathError(
            f"{text!r} is a URI, and only a local file or folder will do here (./{text} is one of that name)"
        )
    if _URI.match(text):
        return _path_of(text)
    return os.path.expanduser(text)


def absolute_path(name: Name) -> str:
    """Return the absolute path that a name stands for, as the working folder is now."""
    return os.path.abspath(local_path(name))


def text_path(name: Name) -> str:
    """Return the absolute path that a name stands for, if it is UTF-8 as Arrow needs it."""
    path = absolute_path(name)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise PathError(f"{path!r} is not UTF-8, as the name of an archive has to be") from None
    return path


def shown(path: str) -> str:
    r"""Return a path as text that can be written anywhere: what is not UTF-8 becomes ``\xff``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def is_there(path: Name, *, follow: bool = True) -> bool:
    """Return whether there is a file or folder; raises `OSError` if that cannot be found out.

    `os.path.exists` takes any error for a no.  What it then passes over is lost.
    """
    return _status(path, follow=follow) is not None


def is_file(path: Name) -> bool:
    """Return whether there is a regular file; raises `OSError` if that cannot be found out."""
    return (status := _status(path)) is not None and stat.S_ISREG(status.st_mode)


def is_folder(path: Name) -> bool:
    """Return whether there is a folder; raises `OSError` if that cannot be found out."""
    return (status := _status(path)) is not None and stat.S_ISDIR(status.st_mode)


@contextlib.contextmanager
def replaced(path: Name) -> Iterator[BinaryIO]:
    """Give a stream whose contents become a file, as a whole and only if all goes well.

    A link stays, and what it points to is replaced.  A device or a pipe is written to.
    """
    if is_there(path) and not (is_file(path) or is_folder(path)):
        with open(path, "wb") as stream:
            yield stream
        return
    target = os.path.realpath(path)
    partial = f"{target}.partial-{os.urandom(4).hex()}"
    try:
        with open(partial, "xb") as stream:
            yield stream
        os.replace(partial, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def require_writable(folder: str) -> None:
    """Make a folder, if there is none, and raise `OSError` unless a file can be written in it."""
    trial = os.path.join(folder, f".trial-{os.urandom(6).hex()}")
    try:
        os.makedirs(folder, exist_ok=True)
        try:
            # Only what has a size shows a full disk.
            with open(trial, "xb") as stream:
                stream.write(bytes(4096))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(trial)
    except OSError as error:
        raise OSError(error.errno, f"nothing can be written here ({error.strerror})", folder) from error


def _status(path: Name, *, follow: bool = True) -> os.stat_result | None:
    """Return what the file system knows of a path; nothing if there is nothing."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        # Nothing is where a link leads round in a circle, either.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _path_of(uri: str) -> str:
    """Return the path in a URI of a local file."""
    # Rarely needed, and every start of the launcher would pay for it.
    from urllib.parse import unquote_to_bytes, urlsplit

    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise PathError(f"{uri!r} names a file of another machine; file:///folder/name is one of this")
    if parts.query or parts.fragment:
        raise PathError(f"{uri!r} has more than a path; in a URI, ? is written %3F and # is written %23")
    return os.fsdecode(unquote_to_bytes(os.fsencode(parts.path)))
