"""Finds the input, and parts it into pieces."""

from __future__ import annotations

__all__ = ("FILE_ENDINGS", "LOG_ENDINGS", "NoSuchSourceError", "NotASourceError", "Sources")

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from ..archive.format import MANIFEST
from ..errors import QuantumButlerError
from ..paths import is_file, is_there, is_uri, local_path, text_path
from .elsewhere import elsewhere
from .found import Found, Group, Kind, Listing, Piece

if TYPE_CHECKING:
    from lsst.resources import ResourcePath

LOG_ENDINGS: dict[str, Kind] = {
    ".jsonl": "lines",
    ".jsonl.zst": "frames",
    ".jsonl.gz": "gzip",
    ".qg": "graph",
}
"""How logs and graphs are stored, by the ending of their names."""

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

_LOG_OR_FILE = re.compile(r"\.(qg|jsonl(\.zst|\.gz)?|json(\.zst|\.gz)?|ya?ml)$")


class NoSuchSourceError(QuantumButlerError, FileNotFoundError):
    """A source that is not there, or has nothing to collect in it."""


class NotASourceError(QuantumButlerError, ValueError):
    """A source that is a file of another kind."""


class Sources:
    """The input files, in the order given. The folder to avoid is left out."""

    def __init__(self, given: Sequence[str | os.PathLike[str]], avoid: str):
        self._given = [os.fsdecode(source) for source in given]
        self._avoid = os.path.abspath(avoid)
        if not self._given:
            raise NoSuchSourceError("no source is given")
        self._listing = Listing()
        self.archives: list[Path] = []
        """The archives among them (`list` [`pathlib.Path`])."""
        self.size = 0
        """How many bytes they have (`int`)."""
        for source in list(self._given):
            if not is_uri(source) and is_file(os.path.join(local_path(source), MANIFEST)):
                self._given.remove(source)
                self._add_archive(local_path(source))
                continue
            found = False
            for one in self._find(source, measure=True):
                found = True
                self._listing.note(one)
                self.size += max(one.size, 0)
            if not found:
                raise NoSuchSourceError(f"{source}: there is no provenance log and no provenance file in it")
        self._listing.close()

    def _add_archive(self, source: str) -> None:
        path = Path(text_path(source))
        if os.path.abspath(path) == self._avoid:
            raise NotASourceError(f"{source}: this is the archive that is to be written; --append adds to it")
        self.archives.append(path)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The sources as they are told afterwards, with what is counted of each (`list` [`dict`])."""
        return self._listing.entries

    def pieces(self) -> Iterator[Piece]:
        """Yield what there is to read, in order."""
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
        if is_uri(source):
            if "://" not in source:
                raise NotASourceError(f"{source}: a URI has ://, and for a path it has to be ./{source}")
            yield from _find_remote(source)
            return
        source = local_path(source)
        if is_there(source, follow=False) or not glob.has_magic(source):
            matches = [source]
        else:
            matches = sorted(set(_matches(source)))
            if not matches:
                raise NoSuchSourceError(f"{source}: nothing matches this pattern")
        walk = _Walk(self._avoid, source, measure=measure)
        for match in matches:
            if len(matches) > 1 and os.path.islink(match) and _leads_up(match):
                # Nobody has named it, and it has everything else, too.
                continue
            try:
                status = os.stat(match)
            except OSError as error:
                # What leads nowhere, or round in a circle, stops nothing if nobody has named it.
                if len(matches) > 1:
                    if (kind := _kind(match)) is not None and walk.is_new(match):
                        shown, name = os.path.split(match)
                        yield Found(kind, os.path.abspath(shown), shown, (name,), _UNKNOWN, source)
                    continue
                if not isinstance(error, FileNotFoundError):
                    raise
                raise NoSuchSourceError(f"{match}: there is no such file or folder") from None
            if stat.S_ISDIR(status.st_mode):
                yield from walk.folder(match)
            elif (kind := _kind(match)) is None:
                if len(matches) > 1:
                    continue
                endings = ", ".join((*LOG_ENDINGS, *FILE_ENDINGS))
                raise NotASourceError(f"{match}: the name of a source ends with one of {endings}")
            elif walk.is_new(match):
                shown, name = os.path.split(match)
                yield Found(kind, os.path.abspath(shown), shown, (name,), status.st_size, source)


class _Visits:
    """Folders that were entered, each once. No link leads to one above it or above the top."""

    def __init__(self) -> None:
        self.been: set[tuple[int, int]] = set()
        self._above: set[tuple[int, int]] = set()

    def below(self, top: str) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
        """Yield a folder and those below it, each with a list to be filled with the folders in it."""
        self._above = {_identity(parent) for parent in _parents(os.path.realpath(top))}
        # A folder may be deeper than functions may call each other.
        waiting = [(top, False)]
        while waiting:
            folder, is_link = waiting.pop()
            identity = _identity(folder or os.curdir)
            if identity in self.been or (is_link and (identity in self._above or _leads_up(folder))):
                continue
            self.been.add(identity)
            folders: list[tuple[str, bool]] = []
            yield folder, folders
            waiting += reversed(folders)


class _Walk:
    """Goes through folders, in order of names, and into each once, however many links lead there."""

    def __init__(self, avoid: str, given: str, *, measure: bool):
        self._avoid, self._given, self._measure = avoid, given, measure
        self._visits = _Visits()
        # Of files that were found by themselves, the names by folder.
        self._alone: dict[tuple[int, int], set[str]] = {}
        self._last = ("", (0, 0))

    def is_new(self, path: str) -> bool:
        """Return whether a file was not found so far; from now on it is."""
        folder, name = os.path.split(path)
        if self._last[0] != folder:
            self._last = (folder, _identity(folder or os.curdir))
        identity = self._last[1]
        names = self._alone.setdefault(identity, set())
        if identity in self._visits.been or name in names:
            return False
        names.add(name)
        return True

    def folder(self, top: str) -> Iterator[Found]:
        """Yield what is in a folder and those below it."""
        for folder, folders in self._visits.below(top):
            yield from self._entries(folder, folders)

    def _entries(self, folder: str, folders: list[tuple[str, bool]]) -> Iterator[Found]:
        """Yield what is in a folder, and add the folders in it, and whether they are links, to a list."""
        absolute = os.path.abspath(folder)
        alone = self._alone.get(_identity(folder), set()) if self._alone else set()
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        if absolute == self._avoid or any(entry.name == "quanta.parquet" for entry in entries):
            # An archive has files that look like provenance.
            return
        names: list[str] = []
        size = 0
        for entry in entries:
            if entry.name.startswith(".") or entry.name in alone:
                continue
            if _is_folder(entry):
                if not entry.name.startswith(os.path.basename(self._avoid) + ".partial-"):
                    folders.append((os.path.join(folder, entry.name), entry.is_symlink()))
                continue
            kind = _kind(entry.name)
            if kind == "files":
                names.append(entry.name)
                size += _size(entry) if self._measure else 0
            elif kind is not None:
                if names:
                    yield Found("files", absolute, folder, tuple(names), size, self._given)
                    names, size = [], 0
                yield Found(kind, absolute, folder, (entry.name,), _size(entry, _UNKNOWN), self._given)
        if names:
            yield Found("files", absolute, folder, tuple(names), size, self._given)


def _matches(pattern: str) -> Iterator[str]:
    """Yield what a pattern matches; `glob` would follow links in a circle for ``**``."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        yield from glob.glob(pattern)
        return
    at = parts.index("**")
    rest = os.sep.join(parts[at + 1 :])
    # With the separator only folders match.
    for top in glob.glob(os.sep.join([*parts[:at], ""])) if at else [""]:
        if not rest:
            yield top or os.curdir
            continue
        for folder in _folders(top):
            yield from _matches(os.path.join(glob.escape(folder), rest))


def _folders(top: str) -> Iterator[str]:
    """Yield a folder and those below it that are not hidden."""
    for folder, folders in _Visits().below(top):
        yield folder
        with os.scandir(folder or os.curdir) as entries:
            folders += [
                (os.path.join(folder, entry.name), entry.is_symlink())
                for entry in entries
                if not entry.name.startswith(".") and _is_folder(entry)
            ]


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield (path := parent)


def _leads_up(link: str) -> bool:
    """Return whether a link leads to a folder above it."""
    target = os.path.realpath(link)
    place = os.path.realpath(os.path.dirname(link) or os.curdir)
    return target in (place, *_parents(place))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself; if it has the name of a log, whoever reads it will tell.
        return False


def _is_small(found: Found) -> bool:
    """Return whether it is read together with others."""
    if found.kind in ("files", "graph"):
        return found.kind == "files"
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

    with elsewhere(source):
        uri = ResourcePath(source)
        if _kind(source) is None:
            uris = sorted(ResourcePath.findFileResources([uri], file_filter=_LOG_OR_FILE), key=str)
        elif uri.exists():
            uris = [uri]
        else:
            raise NoSuchSourceError(f"{source}: there is no such file")
    for uri in uris:
        if (kind := _kind(uri.path)) is not None:
            with elsewhere(str(uri)):
                size = _remote_size(uri)
            yield Found(kind, "", "", (str(uri),), size, source)
