"""Places where the files of a datastore may be."""

from __future__ import annotations

__all__ = ("is_within", "local_root")

import posixpath

from lsst.resources import ResourcePath

from .. import _core

_DOTS = frozenset({"", ".", ".."})


def local_root(root: ResourcePath) -> str | None:
    """Return a local root with a final slash. It is `None` for a remote root, or if it is no UTF-8."""
    if not root.isLocal:
        return None
    path: str = root.ospath
    try:
        path.encode()
    except UnicodeEncodeError:
        # File systems do not demand that names are text.
        return None
    return path


def is_within(path: str) -> bool:
    """Return whether a record's path leads to a file below its datastore's root, and is in its normal form.

    What follows a ``#`` says where in a file a dataset is.  There are more
    names for a file, but a datastore does not know them to be of the same one,
    and would remove it with one of several datasets.  Upstream takes paths for
    URIs, and expands ``~``, environment variables and quoted characters.
    """
    if _core.is_plain_path(path):
        return True
    # Upstream takes the first, the last or no "#" at all for the end of the path.
    file = path.partition("#")[0]
    if not all(_is_normal(part) for part in {path, file, path.rpartition("#")[0] or path}):
        return False
    try:
        uri = ResourcePath(path, forceAbsolute=False, forceDirectory=False)
    except (ValueError, NotImplementedError, RuntimeError):
        return False
    return not uri.isabs() and uri.unquoted_path in (path, file)


def _is_normal(path: str) -> bool:
    """Return whether a path is relative, and goes nowhere but down."""
    return _DOTS.isdisjoint(path.split("/")) and posixpath.normpath(path) == path
