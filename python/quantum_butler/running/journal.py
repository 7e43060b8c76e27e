"""The journal of a run: which quanta were started, and which have ended.

It is a file of lines in JSON, each written at once, so that a process that is
killed leaves at most one incomplete line, the last one.  The first line says
of which graph and repository it is.
"""

from __future__ import annotations

__all__ = ("Identity", "Journal")

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..locks import warn_of_no_locks
from .errors import JournalError

_VERSION = 1
_NAME = "quantum-butler run"


class Identity(NamedTuple):
    """Identity of the run that a journal belongs to."""

    graph: str
    """What tells the graph from all others."""

    repository: str
    """The repository."""

    quanta: int
    """How many quanta the graph has."""


def _has_begun(line: bytes) -> bool:
    """Return whether a line tells of anything but the start of a process."""
    try:
        return list(json.loads(line)) != ["session"]
    except ValueError:
        return True


class Journal:
    """A journal that is being written.

    Opening it reads what earlier runs have noted.  Quanta are numbered as in
    the plan of the graph.
    """

    def __init__(self, path: str, identity: Identity, *, read_only: bool = False):
        self.path = path
        self._file = -1
        self._is_read_only = read_only
        self.done: set[int] = set()
        """Quanta that have succeeded."""
        self.failed: dict[int, Mapping[str, Any]] = {}
        """Reports of quanta that have failed."""
        self.started: set[int] = set()
        """Quanta that were started, and have not been noted as ended."""
        self.has_init_outputs = False
        """Whether the init-outputs have been written."""
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            self._file = os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if read_only and isinstance(error, FileNotFoundError):
                return
            raise JournalError(f"{path}: no journal can be kept here: {error.strerror}") from error
        try:
            if not read_only:
                self._lock()
            self._read(identity, read_only=read_only)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        """Keep other runs away from it."""
        try:
            # Not inherited by forked processes, unlike a lock of flock's.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                warn_of_no_locks(self.path)
                return
            raise JournalError(f"{self.path}: another run is writing this journal") from None

    def _read(self, identity: Identity, *, read_only: bool) -> None:
        """Read what there is, cut off an incomplete line, and begin a journal that is empty."""
        with open(self._file, "rb", closefd=False) as stream:
            lines = stream.read().splitlines(keepends=True)
        torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        is_cut = bool(torn)
        if lines:
            if (fault := self._difference(lines[0], identity)) is not None:
                if any(map(_has_begun, lines[1:])):
                    raise JournalError(f"{self.path}: {fault}; name another journal")
                # A run that has done nothing, with a wrong name of the repository for instance.
                lines, is_cut = [], True
        elif not torn.startswith(b'{"journal"'[: len(torn)]):
            raise JournalError(f"{self.path}: this file is not the journal of a run")
        if is_cut and not read_only:
            os.ftruncate(self._file, sum(map(len, lines)))
        if not lines:
            if read_only:
                return
            self._write({"journal": _NAME, "version": _VERSION, **identity._asdict()})
            os.fsync(self._file)
            return
        for place, line in enumerate(lines[1:], 2):
            try:
                self._take(json.loads(line), identity.quanta)
            except (ValueError, TypeError, KeyError, AttributeError):
                raise JournalError(f"{self.path}: line {place} is not one of a journal") from None

    def _difference(self, line: bytes, identity: Identity) -> str | None:
        """Return of which other run the journal is; refuse what is no journal, or of another version."""
        try:
            found = json.loads(line)
            version = found["version"] if found["journal"] == _NAME else None
        except (ValueError, TypeError, KeyError):
            version = None
        if version is None:
            raise JournalError(f"{self.path}: this file is not the journal of a run")
        if version != _VERSION:
            raise JournalError(
                f"{self.path}: this journal is of version {version}, and only {_VERSION} is known"
            )
        for what, wanted in identity._asdict().items():
            if found.get(what) != wanted:
                whose = "repository" if what == "repository" else "graph"
                return f"this is the journal of another {whose} ({found.get(what)}, not {wanted})"
        return None

    def _take(self, event: Mapping[str, Any], quanta: int) -> None:
        """Take account of one line."""
        [(what, value)] = event.items()
        if what == "init":
            self.has_init_outputs = True
            return
        if what == "session":
            return
        numbers = {int(value["number"])} if what == "failed" else set(map(int, value))
        if not all(0 <= number < quanta for number in numbers):
            raise ValueError("no such quantum")
        if what == "failed":
            self.failed[value["number"]] = value["report"]
            self.started -= numbers
        elif what == "started":
            self.started |= numbers
            for number in numbers:
                self.failed.pop(number, None)
        elif what == "done":
            self.done |= numbers
            self.started -= numbers
        else:
            raise ValueError("no such event")

    def note_session(self, what: Mapping[str, Any]) -> None:
        """Note that a run begins or goes on."""
        self._note({"session": what})

    def note_init_outputs(self) -> None:
        """Note that the init-outputs have been written."""
        self._note({"init": True})

    def note_started(self, numbers: Sequence[int]) -> None:
        """Note quanta that are about to be started."""
        self._note({"started": numbers})

    def note_done(self, numbers: Sequence[int]) -> None:
        """Note quanta that have succeeded."""
        self._note({"done": numbers})

    def take_for_done(self, numbers: Sequence[int]) -> None:
        """Note quanta that have succeeded earlier. A journal that is only read keeps them in memory."""
        if not numbers:
            return
        if self._is_read_only:
            self._take({"done": numbers}, 1 << 32)
        else:
            self.note_done(numbers)

    def note_failed(self, number: int, report: Mapping[str, Any]) -> None:
        """Note a quantum that has failed, with its report."""
        self._note({"failed": {"number": number, "report": report}})

    def _note(self, event: Mapping[str, Any]) -> None:
        self._write(event)
        self._take(event, 1 << 32)

    def _write(self, event: Mapping[str, Any]) -> None:
        """Write one line, all of it or nothing."""
        line = f"{json.dumps(event, separators=(',', ':'))}\n".encode()
        try:
            size = os.fstat(self._file).st_size
            if os.write(self._file, line) != len(line):
                # What follows must not be taken for the rest of this line.
                os.ftruncate(self._file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise JournalError(f"{self.path}: the journal cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Have the disk keep it, and close it."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1
