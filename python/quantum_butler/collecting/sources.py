"""Finds the input, and parts it into pieces."""

from __future__ import annotations

__all__ = ("FILE_ENDINGS", "LOG_ENDINGS", "NoSuchSourceError", "NotASourceError", "Sources")

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from .. import _core
from .found import Found, Group, Kind, Listing, Piece

if TYPE_CHECKING:
    from lsst.resources import ResourcePath

LOG_ENDINGS: dict[str, Kind] = {".jsonl": "lines", ".jsonl.zst": "frames", ".jsonl.gz": "gzip"}
"""How logs are stored, by the ending of their names."""

FILE_ENDINGS = (".json", ".json.zst", ".json.gz", ".yaml", ".yml")
"""How names of files of one quantum end."""

# Pieces are large enough to make their overhead small, and small enough to be shared out evenly.
_LINES_PIECE = 1 << 24
_FRAMES_PIECE = 6 << 20
_FILES_PIECE = 2048

# Logs of no more than this share of a piece are read together with others.
_SMALL = 16

# Size of a log that could not be found out; whoever reads it tries again, lest it be taken for empty.
_UNKNOWN = -1

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOG_OR_FILE = re.compile(r"\.(jsonl(\.zst|\.gz)?|json(\.zst|\.gz)?|ya?ml)$")


class NoSuchSourceError(FileNotFoundError):
    """A source that is not there, or has nothing to collect in it."""


class NotASourceError(ValueError):
    """A source that is a file of another kind."""


class Sources:
    """The input, in the order in which it was given.

    Parameters
    ----------
    given : `~collections.abc.Sequence` [`str` or `os.PathLike`]
        Files, folders, glob patterns and URIs.
    avoid : `str`
        Folder that is not looked into: the archive itself.

    Raises
    ------
    NoSuchSourceError
        Raised if one of them is not there, or has nothing to collect.
    NotASourceError
        Raised if one of them is a file with another ending.
    """

    def __init__(self, given: Sequence[str | os.PathLike[str]], avoid: str):
        self._given = [os.fspath(source) for source in given]
        self._avoid = os.path.abspath(avoid)
        if not self._given:
            raise NoSuchSourceError("no source is given")
        self._listing = Listing()
        self.size = 0
        """How many bytes they have (`int`)."""
        for source in self._given:
            found = False
            for one in self._find(source, measure=True):
                found = True
                self._listing.note(one)
                self.size += max(one.size, 0)
            if not found:
                raise NoSuchSourceError(f"{source}: there is no provenance log and no provenance file in it")
        self._listing.close()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The sources as they are told afterwards, with what is counted of each (`list` [`dict`])."""
        return self._listing.entries

    def pieces(self) -> Iterator[Piece]:
        """Yield what there is to read, in order.

        Yields
        ------
        piece : `Piece`
            The next piece.
        """
        small = Group(_FILES_PIECE, _LINES_PIECE)
        for source in self._given:
            for found in self._find(source, measure=False):
                entry = self._listing.number(found)
                if _is_small(found):
                    yield from small.add(found, entry)
                else:
                    yield from small.end()
                    yield from self._part(found, entry)
        yield from small.end()

    def _part(self, found: Found, entry: int) -> Iterator[Piece]:
        """Yield the pieces of a log."""
        kind, folder, shown, names, size, _ = found
        path = os.path.join(folder, names[0])
        bounds = [(0, size)]
        if kind == "lines" and folder and size != _UNKNOWN:
            bounds = [(at, min(at + _LINES_PIECE, size)) for at in range(0, max(size, 1), _LINES_PIECE)]
        elif kind == "frames" and folder:
            try:
                bounds = _core.frame_pieces(path, _FRAMES_PIECE)
            except OSError:
                # Whoever reads the piece will tell.
                pass
        for start, end in bounds:
            yield Piece(kind, folder, shown, names, (entry,), start, end)

    def _find(self, source: str, *, measure: bool) -> Iterator[Found]:
        if _URI.match(source):
            if not source.startswith("file://"):
                yield from _find_remote(source)
                return
            source = unquote(urlsplit(source).path)
        if os.path.lexists(source) or not glob.has_magic(source):
            matches = [source]
        else:
            matches = sorted(glob.glob(source, recursive=True))
            if not matches:
                raise NoSuchSourceError(f"{source}: nothing matches this pattern")
        for match in matches:
            try:
                status = os.stat(match)
            except FileNotFoundError:
                raise NoSuchSourceError(f"{match}: there is no such file or folder") from None
            if stat.S_ISDIR(status.st_mode):
                yield from self._walk(match, source, measure=measure)
            elif (kind := _kind(match)) is None:
                if len(matches) > 1:
                    continue
                endings = ", ".join((*LOG_ENDINGS, *FILE_ENDINGS))
                raise NotASourceError(f"{match}: the name of a source ends with one of {endings}")
            else:
                shown, name = os.path.split(match)
                yield Found(kind, os.path.abspath(shown), shown, (name,), status.st_size, source)

    def _walk(self, folder: str, given: str, *, measure: bool) -> Iterator[Found]:
        """Yield what is in a folder and those below it, in order of names."""
        absolute = os.path.abspath(folder)
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        if absolute == self._avoid or any(entry.name == "quanta.parquet" for entry in entries):
            # An archive has files that look like provenance.
            return
        names: list[str] = []
        size = 0
        folders = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
                continue
            kind = _kind(entry.name)
            if kind == "files":
                names.append(entry.name)
                size += _size(entry) if measure else 0
            elif kind is not None:
                if names:
                    yield Found("files", absolute, folder, tuple(names), size, given)
                    names, size = [], 0
                yield Found(kind, absolute, folder, (entry.name,), _size(entry, _UNKNOWN), given)
        if names:
            yield Found("files", absolute, folder, tuple(names), size, given)
        del entries, names
        for name in folders:
            if not name.startswith(os.path.basename(self._avoid) + ".partial-"):
                yield from self._walk(os.path.join(folder, name), given, measure=measure)


def _is_small(found: Found) -> bool:
    """Return whether it is read together with others."""
    if found.kind == "files":
        return True
    piece = _FRAMES_PIECE if found.kind == "frames" else _LINES_PIECE
    return 0 <= found.size <= piece // _SMALL


def _kind(name: str) -> Kind | None:
    """Return what a file is by its name, if it is anything."""
    for ending, kind in LOG_ENDINGS.items():
        if name.endswith(ending):
            return kind
    return "files" if name.endswith(FILE_ENDINGS) else None


def _size(entry: os.DirEntry[str], otherwise: int = 0) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        # Whoever reads it will tell.
        return otherwise


def _remote_size(uri: ResourcePath) -> int:
    try:
        return uri.size()
    except NotImplementedError:
        return 0


def _find_remote(source: str) -> Iterator[Found]:
    """Yield what a URI names."""
    from lsst.resources import ResourcePath

    uri = ResourcePath(source)
    if _kind(source) is not None:
        if not uri.exists():
            raise NoSuchSourceError(f"{source}: there is no such file")
        uris = [uri]
    else:
        found = ResourcePath.findFileResources([uri], file_filter=_LOG_OR_FILE)
        uris = sorted(found, key=str)
    for uri in uris:
        if (kind := _kind(uri.path)) is not None:
            yield Found(kind, "", "", (str(uri),), _remote_size(uri), source)
