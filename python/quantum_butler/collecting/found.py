"""Inputs that were found: in which pieces they are read, and how they are listed."""

from __future__ import annotations

__all__ = ("Found", "Group", "Kind", "Listing", "Piece")

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from ..paths import shown

Kind: TypeAlias = Literal["lines", "frames", "gzip", "files", "logs", "graph"]

# Sources that are listed of one folder or pattern, or of those that are named one by one.
_MOST_LISTED = 1000


@dataclass(frozen=True)
class Piece:
    """Input that is read in one go."""

    kind: Kind
    """What it is: lines or frames of a log, a whole log, many logs, files of one quantum each, or a graph."""

    folder: str
    """Folder of what it is part of, as an absolute path; empty if that is a URI."""

    shown: str
    """The same folder, as the source was given."""

    names: tuple[str, ...]
    """Name of the log, or of each of the logs or files, in that folder."""

    entries: tuple[int, ...]
    """Numbers of their entries in the list of sources; one number if it is the same for all."""

    start: int = 0
    """Where it starts in the log."""

    end: int = 0
    """Where it ends; negative if that is where the log ends."""

    sizes: tuple[int, ...] = ()
    """How many bytes each of many logs has."""

    def path(self, source: int) -> str:
        """Return where one of its files is."""
        return os.path.join(self.folder, self.names[source])

    def name(self, source: int) -> str:
        """Return the name of one of its files, as the source was given."""
        return shown(os.path.join(self.shown, self.names[source]))

    def save(self, path: str) -> None:
        """Write it to a file, so that the names need not be in memory."""
        with open(path, "w", encoding="ascii") as stream:
            json.dump(asdict(self), stream)

    @classmethod
    def load(cls, path: str) -> Self:
        """Read what `save` has written."""
        with open(path, encoding="ascii") as stream:
            fields: dict[str, Any] = json.load(stream)
        for name in ("names", "entries", "sizes"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


class Found(NamedTuple):
    """A log, or files of one quantum each that are in one folder."""

    kind: Kind
    folder: str
    shown: str
    names: tuple[str, ...]
    size: int
    given: str
    """Source that it was found by."""

    @property
    def label(self) -> str:
        """Name under which it is listed."""
        return shown(self.given if self.kind == "files" else os.path.join(self.shown, self.names[0]))

    @property
    def listed_with(self) -> tuple[bool, str | None]:
        """Return whether it is a log, and what it was found by if it was not named itself."""
        named = self.given == os.path.join(self.shown, self.names[0])
        return self.kind != "files", None if named else self.given


class Group:
    """Small logs, or files of one quantum each, on their way into one piece.

    A piece takes some milliseconds and files of its own in the scratch folder,
    however little it has.  No piece has more than ``most`` of them, nor logs
    of more than ``most_bytes``.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        try:
            self._here = os.getcwd()
        except OSError:
            # Then whatever is found has an absolute name.
            self._here = os.sep
        self._of_logs, self._is_local = False, False
        self._members: list[tuple[str, int, int]] = []
        self._bytes = 0

    def add(self, found: Found, entry: int) -> Iterator[Piece]:
        """Add a log or files, and yield what must be read before, or is enough."""
        of_logs, is_local = found.kind != "files", bool(found.folder)
        size = found.size if of_logs else 0
        if (of_logs, is_local) != (self._of_logs, self._is_local) or self._bytes + size > self._most_bytes:
            yield from self.end()
            self._of_logs, self._is_local = of_logs, is_local
        self._bytes += size
        for name in found.names:
            if len(self._members) >= self._most:
                yield from self.end()
            self._members.append((os.path.join(found.shown, name), entry, size))

    def end(self) -> Iterator[Piece]:
        """Yield what there is."""
        if not self._members:
            return
        names, entries, sizes = zip(*self._members, strict=True)
        self._members, self._bytes = [], 0
        entries = entries[:1] if len(set(entries)) == 1 else entries
        # What leads there as it was given leads there from here.
        folder = self._here if self._is_local else ""
        if self._of_logs:
            yield Piece("logs", folder, "", names, entries, sizes=sizes)
        else:
            yield Piece("files", folder, "", names, entries)


class Listing:
    """The sources as the manifest lists them.

    Each log is listed by itself, and files of one quantum each by what they
    were found by.  Where that would be too many, there is one entry for all.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        """The entries, in order (`list` [`dict`])."""
        self._order: list[tuple[tuple[bool, str | None], str]] = []
        self._numbers: dict[tuple[bool, str | None], dict[str | None, int]] = {}
        self._counts: dict[tuple[bool, str | None], int] = {}

    def note(self, found: Found) -> None:
        """Take notice of something; afterwards comes `close`."""
        key, label = found.listed_with, found.label
        numbers = self._numbers.setdefault(key, {})
        self._counts[key] = self._counts.get(key, 0) + len(found.names)
        if label not in numbers and len(numbers) <= _MOST_LISTED:
            numbers[label] = -1
            self._order.append((key, label))

    def close(self) -> None:
        """Make the entries of what there is."""
        for key, label in self._order:
            numbers = self._numbers[key]
            of_logs, given = key
            if None not in numbers and len(numbers) <= _MOST_LISTED:
                self._new(numbers, label, label)
            elif None not in numbers:
                self._new(numbers, None, label if given is None else shown(given))
                self.entries[-1]["logs" if of_logs else "files"] = self._counts[key]
        self._order.clear()

    def number(self, found: Found) -> int:
        """Return the number of its entry."""
        numbers = self._numbers.setdefault(found.listed_with, {})
        if (number := numbers.get(None, numbers.get(found.label))) is None:
            # It was not there before.
            number = self._new(numbers, found.label, found.label)
        return number

    def _new(self, numbers: dict[str | None, int], label: str | None, source: str) -> int:
        if label is None:
            numbers.clear()
        numbers[label] = len(self.entries)
        self.entries.append({"source": source, "bytes": 0, "quanta": 0, "rejected": 0})
        return numbers[label]
