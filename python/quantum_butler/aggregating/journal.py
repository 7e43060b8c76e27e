"""The journal of an aggregation: what has been read of quanta that have succeeded, beside the graph.

It begins with a line in JSON that says of which graph and repository it is. Entries follow, each with its
length and its checksum, so that a process that is killed leaves at most one that is incomplete, the last one.
What has failed is not in it, since it may be tried again.
"""

from __future__ import annotations

__all__ = ("Journal",)

import errno
import fcntl
import json
import os
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..locks import warn_of_no_locks
from ..paths import is_there
from .errors import AggregateError
from .scanning import Block, Entry, Scanned

_NAME = "quantum-butler aggregate"
_VERSION = 1
_LENGTHS = struct.Struct("<QI")

# The first bytes of what is in an entry say what it is of.
_QUANTA, _WRITTEN = b"quanta\n", b"written\n"


class Journal:
    """A journal that is being written; it is used as a context manager."""

    def __init__(self, path: Path, identity: dict[str, Any]):
        self.path = path
        self.resumed = False
        """Whether there was one already."""
        self.written: dict[str, Any] | None = None
        """What was told of the graph when it was complete."""
        self._identity = {"journal": _NAME, "version": _VERSION, **identity}
        self._file = -1
        self._is_empty = True
        self._places: list[int] = []
        self._ids = np.empty(0, "S16")
        self._entries = np.empty(0, np.int64)

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise AggregateError(f"{self.path}: no journal can be kept here: {error.strerror}") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_empty:
            # Nothing is lost with it.
            self.remove()
        os.close(self._file)

    def remove(self) -> None:
        """Remove the file: all is done."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                warn_of_no_locks(str(self.path))
                return
            raise AggregateError(f"{self.path}: another aggregation is writing this journal") from None
        # Somebody may have removed it in between.
        if not is_there(self.path) or not os.path.samestat(os.fstat(self._file), os.stat(self.path)):
            raise AggregateError(f"{self.path}: another aggregation has just ended; try again")

    def _read(self) -> None:
        """Read which quanta there are, cut off an incomplete entry, and begin a journal that is empty."""
        size = os.fstat(self._file).st_size
        with open(self._file, "rb", closefd=False) as stream:
            first = stream.readline()
            end = len(first)
            if first.endswith(b"\n"):
                self._check(first)
                ids: list[bytes] = []
                entries: list[int] = []
                while (content := _next(stream, size - end)) is not None:
                    if content.startswith(_QUANTA):
                        told, _ = _parts(content)
                        ids += (bytes.fromhex(one) for one in told["quanta"])
                        entries += [len(self._places)] * len(told["quanta"])
                        self._places.append(end)
                    else:
                        self.written = json.loads(content.removeprefix(_WRITTEN))
                    end = stream.tell()
                array = np.array(ids, "S16")
                order = np.argsort(array, kind="stable")
                self._ids, self._entries = array[order], np.array(entries, np.int64)[order]
                self.resumed = True
                self._is_empty = not self._places
            elif first and not json.dumps(self._identity).encode().startswith(first[:20]):
                raise AggregateError(f"{self.path}: this file is not the journal of an aggregation")
        if not self.resumed:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            self._write(f"{json.dumps(self._identity)}\n".encode())
            return
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)

    def _check(self, line: bytes) -> None:
        """Refuse the journal of another aggregation."""
        try:
            found = json.loads(line)
            known = found["journal"] == _NAME
        except (ValueError, TypeError, KeyError):
            known = False
        if not known:
            raise AggregateError(f"{self.path}: this file is not the journal of an aggregation")
        for what, wanted in self._identity.items():
            if found.get(what) != wanted:
                raise AggregateError(
                    f"{self.path}: this is the journal of another aggregation: its {what} is "
                    f"{found.get(what)}, not {wanted}; remove it, or write to another file"
                )

    def known(self, quanta: list[uuid.UUID]) -> tuple[list[int], list[uuid.UUID]]:
        """Return the entries that tell of quanta, and the quanta that none tells of."""
        if not len(self._ids):
            return [], quanta
        wanted = np.array([one.bytes for one in quanta], "S16")
        places = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        found = self._ids[places] == wanted
        entries = sorted({int(one) for one in self._entries[places[found]]})
        return entries, [one for one, is_known in zip(quanta, found.tolist(), strict=True) if not is_known]

    def entry(self, number: int) -> Entry:
        """Read an entry."""
        place = self._places[number]
        length, _ = _LENGTHS.unpack(os.pread(self._file, _LENGTHS.size, place))
        told, texts = _parts(zlib.decompress(os.pread(self._file, length, place + _LENGTHS.size)))
        blocks: list[Block] = []
        start = 0
        for kind, quantum, dataset, length in told["blocks"]:
            blocks.append(
                (
                    kind,
                    int(quantum, 16),
                    None if dataset is None else int(dataset, 16),
                    texts[start : start + length],
                )
            )
            start += length
        return Entry(
            [uuid.UUID(one) for one in told["quanta"]],
            blocks,
            frozenset(uuid.UUID(one) for one in told["produced"]),
        )

    def add(self, scanned: Scanned) -> None:
        """Note what quanta have left that have succeeded."""
        blocks = [block for block in scanned.blocks if uuid.UUID(int=block[1]) not in scanned.failed]
        produced = [
            dataset.dataset_id.hex
            for producer, dataset in scanned.outputs
            if dataset.produced and producer not in scanned.failed
        ]
        if scanned.gathered is not None:
            blocks += (block for block in scanned.gathered.blocks() if block[0] != "dataset")
            produced += (f"{dataset_id:032x}" for dataset_id, *_ in scanned.gathered.written())
        if not blocks:
            return
        told = {
            "quanta": [f"{block[1]:032x}" for block in blocks if block[0] == "quantum"],
            "produced": produced,
            "blocks": [
                (kind, f"{quantum:032x}", None if dataset is None else f"{dataset:032x}", len(text))
                for kind, quantum, dataset, text in blocks
            ],
        }
        self._append(b"".join([_QUANTA, json.dumps(told).encode(), b"\n", *(block[3] for block in blocks)]))

    def note_written(self, told: dict[str, Any]) -> None:
        """Note that the graph is complete."""
        self._append(_WRITTEN + json.dumps(told).encode())
        os.fsync(self._file)

    def _append(self, content: bytes) -> None:
        self._is_empty = False
        packed = zlib.compress(content, 1)
        self._write(_LENGTHS.pack(len(packed), zlib.crc32(packed)) + packed)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise AggregateError(f"{self.path}: the journal cannot be written: {error.strerror}") from error


def _next(stream: Any, most: int) -> bytes | None:
    """Return what is in the next entry, or `None` if none is complete."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    length, checksum = _LENGTHS.unpack(head)
    if length > most:
        return None
    packed = stream.read(length)
    if len(packed) < length or zlib.crc32(packed) != checksum:
        return None
    return zlib.decompress(packed)


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what an entry tells of quanta, and the texts of its blocks."""
    line, _, texts = content.removeprefix(_QUANTA).partition(b"\n")
    return json.loads(line), texts
