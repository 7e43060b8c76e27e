"""Where the files of a datastore may be."""

from __future__ import annotations

__all__ = ("is_within",)

import posixpath
import re

from lsst.resources import ResourcePath

# Nothing in these is anything but a name.
_PLAIN = re.compile(r"[\w.,=+@-]+(?:/[\w.,=+@-]+)*")
_DOTS = frozenset({"", ".", ".."})


def is_within(path: str) -> bool:
    """Whether a record's path, up to any ``#``, is a relative one in its normal form.

    There are more names for a file, but a datastore does not know them to be
    of the same file, and would remove it with one of several datasets.
    Upstream takes paths for URIs, and expands ``~``, environment variables and
    quoted characters in them: such paths are not in their normal form.
    """
    # Upstream takes the first, the last or no "#" at all for the end of the path.
    file = path.partition("#")[0]
    if not all(_is_normal(part) for part in {path, file, path.rpartition("#")[0] or path}):
        return False
    if _PLAIN.fullmatch(path):
        return True
    try:
        uri = ResourcePath(path, forceAbsolute=False, forceDirectory=False)
    except (ValueError, NotImplementedError, RuntimeError):
        return False
    return not uri.isabs() and uri.unquoted_path in (path, file)


def _is_normal(path: str) -> bool:
    """Whether a path is relative, and goes nowhere but down."""
    return _DOTS.isdisjoint(path.split("/")) and posixpath.normpath(path) == path
