"""Locations and URIs of plain paths, made without parsing anything.

A formatter has a right to a `Location` and its URI.  Upstream makes them by
quoting, parsing and normalizing the path, and again when it is joined with the
datastore's root, which takes longer than reading a small file.  Of a path with
nothing to quote or to normalize the outcome is known: the root's URI with the
path appended.  `PlainLocationFactory` puts the same objects together from
their parts, after it has made sure that this version of upstream makes them
that way.
"""

from __future__ import annotations

__all__ = ("PlainLocationFactory",)

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import ParseResult

from lsst.daf.butler import Location
from lsst.daf.butler._location import LocationFactory
from lsst.resources import ResourcePath
from lsst.resources.schemeless import SchemelessResourcePath

from .. import _core

if TYPE_CHECKING:
    from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
    from lsst.resources import ResourcePathExpression

# Held against upstream's own answer before any other path is trusted.
_FOLDER, _NAME = "u/some-one/run_1/kind.part/", "kind_part_Cam_7-8.v1.fits.gz"

# Upstream's mark of a place where nothing may be yet.
_PREDICTED = "predicted"

# Whether a path that leads out of the datastore counts as an absolute one.
_CONFINED = ContextVar("_CONFINED", default=False)

_SLOTS = ("_datastoreRootUri", "_path", "_uri")

# Attributes of every URI.
_PARTS = frozenset({"_uri", "dirLike", "isTemporary"})

# Schemes whose URIs are put together of the same parts.
_SCHEMES = frozenset({"file", "s3", "http", "https", "gs"})


class PlainLocationFactory(LocationFactory):
    """Upstream's factory of locations, quick for plain paths; stands in for another factory."""

    def __init__(self, factory: LocationFactory):
        super().__init__(factory._datastoreRootUri)
        root = self._datastoreRootUri
        self._root = root._uri
        self._is_temporary = root.isTemporary
        self._class = type(root)
        self._more: dict[str, Any] = {}
        self._is_quick = type(factory) is LocationFactory and _is_known(root)
        # Asked of what is put together when it is quick.
        self._is_quick = self._is_quick and self._agrees_with_upstream()

    def fromPath(self, path: ResourcePathExpression, *, trusted_path: bool = False) -> Location:
        # An unquoted path cannot lead out of the datastore.
        if self._is_quick and type(path) is str and _core.is_unquoted_path(path):
            return self._put_together(path)
        return super().fromPath(path, trusted_path=trusted_path)

    def from_uri(self, uri: ResourcePath, *, trusted_path: bool = False) -> Location:
        location = super().from_uri(uri, trusted_path=trusted_path)
        if _CONFINED.get() and location.uri.relative_to(self._datastoreRootUri) is None:
            # As if the record had an absolute path.
            return Location(None, location.uri)
        return location

    @contextmanager
    def confined(self) -> Iterator[None]:
        """Set apart locations outside the datastore, which upstream takes for its own to remove."""
        token = _CONFINED.set(True)
        try:
            yield
        finally:
            _CONFINED.reset(token)

    def of_record(self, info: StoredFileInfo) -> Location:
        """Return the location of a recorded artifact: outside the datastore if the path is absolute."""
        path = info.path
        if type(path) is str and _core.is_unquoted_path(path):
            return self.of_unquoted(path)
        return info.file_location(self)

    def of_unquoted(self, path: str) -> Location:
        """Return the location of a path that is known to be an unquoted one."""
        if self._is_quick and type(path) is str:
            return self._put_together(path)
        return super().fromPath(path, trusted_path=True)

    def of_predicted(self, path: str) -> Location:
        """Return the location of a plain path."""
        return self.fromPath(path, trusted_path=True)

    def temporary_beside(self, location: Location, name: str) -> ResourcePath:
        """Return the URI of a temporary file in the folder of another one, known to be that of a file."""
        if self._is_quick and self._root.scheme == "file" and _core.is_unquoted_path(name):
            path = location.uri.path
            return self._make_uri(path[: path.rindex("/") + 1] + name, True)
        uri = location.uri.dirname().join(name, isTemporary=True)
        # It remembers what it has been asked.
        uri.isdir()
        return uri

    def uri(self, path: str) -> ResourcePath:
        """Return the URI of a file below the root, by its plain path."""
        if self._is_quick and _core.is_unquoted_path(path):
            return self._make_uri(self._root.path + path, self._is_temporary)
        return super().fromPath(path, trusted_path=True).uri

    def artifact(self, path: str) -> ResourcePath:
        """Return the URI of an artifact that may have several datasets, by its plain path.

        Upstream does not know whether it is a folder's after it has taken a fragment away.
        """
        if self._is_quick and _core.is_unquoted_path(path):
            uri = self._make_uri(self._root.path + path, self._is_temporary)
            uri.dirLike = None
            return uri
        return self.uri(path).replace(fragment="")

    def predicted(self, path: str) -> ResourcePath:
        """Return the URI of a file that may not be there, marked as upstream marks it, by its plain path."""
        if self._is_quick and _core.is_unquoted_path(path):
            # Upstream makes it anew of the text of the other.
            return self._make_uri(self._root.path + path, False, _PREDICTED)
        return _mark_predicted(self.uri(path))

    def _put_together(self, path: str) -> Location:
        """Make the location of an unquoted path."""
        within: Any = object.__new__(SchemelessResourcePath)
        within._uri = ParseResult("", "", path, "", "", "")
        within.dirLike = False
        within.isTemporary = False
        location = object.__new__(Location)
        location._datastoreRootUri = self._datastoreRootUri
        location._path = within
        location._uri = self._make_uri(self._root.path + path, self._is_temporary)
        return location

    def _make_uri(self, path: str, is_temporary: bool, fragment: str = "") -> ResourcePath:
        """Make the URI of a file, in a folder or on a server, from its quoted path."""
        uri: Any = object.__new__(self._class)
        uri._uri = ParseResult(self._root.scheme, self._root.netloc, path, "", "", fragment)
        uri.dirLike = False
        uri.isTemporary = is_temporary
        if self._more and not fragment:
            uri.__dict__.update(self._more)
        return cast(ResourcePath, uri)

    def _agrees_with_upstream(self) -> bool:
        """Return whether upstream makes what is put together here."""
        if Location.__slots__ != _SLOTS:
            return False
        path = _FOLDER + _NAME
        try:
            expected = super().fromPath(path, trusted_path=True)
            # What the class of a server's URIs keeps besides, the same for all of them.
            self._more = {name: value for name, value in vars(expected.uri).items() if name not in _PARTS}
            location = self._put_together(path)
            return (
                type(expected) is Location
                and _contents(location.uri) == _contents(expected.uri)
                and _contents(location.pathInStore) == _contents(expected.pathInStore)
                and (self._root.scheme != "file" or self._agrees_about_temporary_files(path, expected))
                and _contents(self.predicted(path)) == _contents(_mark_predicted(expected.uri))
                and _contents(self.artifact(path)) == _contents(expected.uri.replace(fragment=""))
            )
        except Exception:
            # Some part of upstream is not what it was.
            return False

    def _agrees_about_temporary_files(self, path: str, beside: Location) -> bool:
        """Return whether upstream makes the same URI of a temporary file; only local ones are made."""
        expected = beside.uri.dirname().join(_NAME, isTemporary=True)
        expected.isdir()
        return _contents(self._make_uri(self._root.path + path, True)) == _contents(expected)


def _is_known(root: ResourcePath) -> bool:
    """Return whether a root is of a class of upstream's whose URIs are known here."""
    return root.scheme in _SCHEMES and type(root).__module__.startswith("lsst.resources.")


def _contents(uri: ResourcePath) -> tuple[Any, ...]:
    """Return all that makes up a URI."""
    return type(uri), type(uri._uri), vars(uri)


def _mark_predicted(uri: ResourcePath) -> ResourcePath:
    """Mark a URI as upstream marks predicted ones."""
    return ResourcePath(f"{uri.geturl()}#{_PREDICTED}", forceDirectory=uri.dirLike)
