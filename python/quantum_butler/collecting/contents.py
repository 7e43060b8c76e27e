"""The contents of metadata and logs, as provenance logs have them."""

from __future__ import annotations

__all__ = ("Contents", "ContentsFiles", "Place", "all_contents")

import itertools
import json
import os
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from .. import _core
from .duplicates import find_duplicates
from .found import Piece
from .parts import Part, TableName, part_path
from .pieces import scan_piece
from .sources import NotASourceError, Sources

_ID = np.dtype("S16")

# What logs are; graphs and files of one quantum have no contents.
_LOGS = ("lines", "frames", "gzip", "logs")

# Tables that are mapped at a time.
_MOST_OPEN = 64


class Place(NamedTuple):
    """Place of the contents of a quantum."""

    part: int
    row: int


class _Attempts(NamedTuple):
    """Columns of attempts: the quantum, part and row, whether there are contents, whether it counts."""

    ids: Any
    places: Any
    has: Any
    counts: Any


def _table(folder: str, part: int, name: TableName) -> pa.Table:
    """Return a table of a part, which stays mapped as long as it is used."""
    return pa.ipc.open_stream(pa.memory_map(part_path(folder, part, name))).read_all()


class Contents:
    """Quanta whose contents are in provenance logs. Each takes some 60 bytes; contents are in a folder.

    Of several attempts at a quantum, that one counts which an archive keeps. One that has written nothing,
    since all was there already, is none.
    """

    def __init__(self, logs: Sequence[str | os.PathLike[str]], folder: str, *, jobs: int = 1):
        self._folder = folder
        sources = Sources(logs, folder)
        if sources.archives:
            raise NotASourceError(f"{sources.archives[0]}: an archive has no contents of metadata and logs")
        pieces = [one for one in sources.pieces() if one.kind in _LOGS]
        with ThreadPoolExecutor(jobs) as pool:
            running = [
                pool.submit(scan_piece, piece, number, folder, contents=True)
                for number, piece in enumerate(pieces, _core.Duplicates.PAST + 1)
            ]
            found = [one.result() for one in running]
        self.rejected = list(self._rejected(pieces, found))
        """What could not be read of the logs: source, offset and reason (`list` [`dict`])."""
        self._attempts = self._found([part for part in found if part.quanta])
        counts = self._attempts.counts
        order = np.argsort(self._attempts.ids[counts], kind="stable")
        self._ids, self._places, self._has = (
            column[counts][order]
            for column in (self._attempts.ids, self._attempts.places, self._attempts.has)
        )

    def __len__(self) -> int:
        """Return of how many quanta there are contents."""
        return int(self._has.sum())

    @property
    def folder(self) -> str:
        """The folder that the contents are in (`str`)."""
        return self._folder

    @property
    def attempts_count(self) -> int:
        """Number of attempts in the logs, with contents or without (`int`)."""
        return len(self._attempts.ids)

    def known(self) -> Any:
        """Return the ids of all quanta that the logs tell of, in order, as an array of bytes."""
        return self._ids

    def find(self, wanted: Any) -> tuple[Any, Any]:
        """Return of which quanta there are contents, and part and row of those, as arrays."""
        if not len(self._ids):
            return np.zeros(len(wanted), bool), np.zeros((0, 2), np.uint32)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        found = (self._ids[at] == wanted) & self._has[at]
        return found, self._places[at[found]]

    def places(self, quanta: Collection[uuid.UUID]) -> dict[uuid.UUID, Place]:
        """Return where the contents of quanta are, of those that have them."""
        found, places = self.find(np.array([one.bytes for one in quanta], _ID))
        return dict(zip(itertools.compress(quanta, found), map(Place._make, places.tolist()), strict=True))

    def _rejected(self, pieces: list[Piece], parts: list[Part]) -> Iterator[dict[str, Any]]:
        starts: dict[tuple[int, str], int] = {}
        for piece, part in zip(pieces, parts, strict=True):
            key = piece.entries[0], piece.names[0]
            start = part.start
            if piece.kind == "frames":
                start = starts.get(key, 0)
                starts[key] = start + part.content
            if part.rejected:
                with open(part_path(self._folder, part.number, "rejected"), encoding="utf-8") as lines:
                    for line in lines:
                        entry = json.loads(line)
                        yield entry | {"offset": entry["offset"] + start}

    def attempts(self) -> Iterator[tuple[uuid.UUID, Place, bool]]:
        """Yield attempts that have contents, those at one quantum in order.

        Of each, the id, where they are, and whether it counts.
        """
        ids, places, has, counts = self._attempts
        for number in np.flatnonzero(has).tolist():
            quantum_id = uuid.UUID(bytes=ids[number : number + 1].tobytes())
            yield quantum_id, Place(*map(int, places[number])), bool(counts[number])

    def _found(self, parts: list[Part]) -> _Attempts:
        """Return all attempts, those at one quantum in order."""
        duplicates = find_duplicates(parts, self._folder, None)
        again: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for table in duplicates.replaced:
            columns = (table[name].to_pylist() for name in ("part", "row", "kept_part", "kept_row"))
            for part_number, row, kept_part, kept_row in zip(*columns, strict=True):
                again.setdefault((kept_part, kept_row), []).append((part_number, row))
        several: defaultdict[int, list[int]] = defaultdict(list)
        for number, row in itertools.chain(again, *again.values()):
            several[number].append(row)
        known: dict[tuple[int, int], tuple[bytes, bool]] = {}
        columns_of: list[_Attempts] = []
        for part in parts:
            quanta = _table(self._folder, part.number, "quanta")
            has = pc.is_valid(_table(self._folder, part.number, "contents")["dictionary"]).to_numpy()
            is_attempt = has | pc.is_valid(quanta["status"]).to_numpy()
            is_attempt |= quanta["actual_outputs"].to_numpy() > 0
            ids = np.array(quanta["quantum_id"].cast(pa.binary(16)).to_pylist(), _ID)
            for row in several[part.number]:
                if is_attempt[row]:
                    known[part.number, row] = ids[row : row + 1].tobytes(), bool(has[row])
            is_attempt[several[part.number]] = False
            is_attempt[duplicates.dropped.get(part.number, [])] = False
            rows = np.flatnonzero(is_attempt)
            places = np.stack([np.full(len(rows), part.number), rows], 1).astype(np.uint32)
            columns_of.append(_Attempts(ids[rows], places, has[rows], np.ones(len(rows), bool)))
        for kept, others in again.items():
            places_of = [place for place in (*others, kept) if place in known]
            columns_of.append(
                _Attempts(
                    np.array([known[place][0] for place in places_of], _ID),
                    np.array(places_of, np.uint32).reshape(-1, 2),
                    np.array([known[place][1] for place in places_of], bool),
                    np.array([place is places_of[-1] for place in places_of], bool),
                )
            )
        none = _Attempts(np.array([], _ID), np.zeros((0, 2), np.uint32), np.zeros(0, bool), np.zeros(0, bool))
        return _Attempts(*map(np.concatenate, zip(none, *columns_of, strict=True)))


class ContentsFiles:
    """The contents that are in a folder, in any process."""

    def __init__(self, folder: str):
        self._folder = folder
        self._open = lru_cache(_MOST_OPEN)(self._opened)
        self._open_records = lru_cache(_MOST_OPEN)(self._opened_records)

    def read(self, place: Place) -> tuple[bytes | None, bytes | None]:
        """Return metadata and log as they were put; a `ValueError` says why they cannot be told."""
        (read,) = self.read_later([place])
        return read()

    def read_later(
        self, places: Sequence[Place]
    ) -> Iterator[Callable[[], tuple[bytes | None, bytes | None]]]:
        """Yield functions that return what `read` does, for each place in order."""
        numbers, table = self.taken(np.array(places))
        rows = table.take(pa.array(np.argsort(numbers))).to_pylist()
        return (partial(_unpacked, **row) for row in rows)

    def taken(self, places: Any) -> tuple[Any, pa.Table]:
        """Return a table of contents as they were packed, and the numbers of the places of its rows."""
        # Arrow takes rows of one batch without a copy of the others.
        numbers, taken = [], []
        for part in np.unique(places[:, 0]).tolist():
            of_part = np.flatnonzero(places[:, 0] == part)
            rows = places[of_part, 1].astype(np.int64)
            batches, starts = self._open(part)
            batch_of = np.searchsorted(starts, rows, "right") - 1
            for at in np.unique(batch_of).tolist():
                here = batch_of == at
                numbers.append(of_part[here])
                taken.append(batches[at].take(pa.array(rows[here] - starts[at])))
        return np.concatenate(numbers), pa.Table.from_batches(taken)

    def recorded(self, place: Place) -> set[uuid.UUID]:
        """Return the datasets of which a quantum's line has records, and so says that they have files."""
        starts, ids = self._open_records(place.part)
        return set(ids[int(starts[place.row]) : int(starts[place.row + 1])].to_pylist())

    def _opened_records(self, part: int) -> tuple[Any, Any]:
        counts = _table(self._folder, part, "quanta")["records"].to_numpy()
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return starts, _table(self._folder, part, "records")["dataset_id"]

    def _opened(self, part: int) -> tuple[list[pa.RecordBatch], Any]:
        batches = _table(self._folder, part, "contents").to_batches()
        return batches, np.cumsum([0, *(len(batch) for batch in batches[:-1])])


def _unpacked(dictionary: int, metadata: str | None, log: str | None) -> tuple[bytes | None, bytes | None]:
    def unpack(text: str | None) -> bytes | None:
        return None if text is None else _core.unpack(dictionary, text)

    return unpack(metadata), unpack(log)


def all_contents(
    logs: Sequence[str | os.PathLike[str]],
) -> Iterator[tuple[uuid.UUID, bool, bytes | None, bytes | None]]:
    """Yield all attempts that logs have contents of: id, whether it counts, and JSON of metadata and log.

    Those at one quantum come in order, and the one that counts is the last of them.
    """
    with tempfile.TemporaryDirectory(prefix="contents-") as folder:
        contents, files = Contents(logs, folder), ContentsFiles(folder)
        for quantum_id, place, counts in contents.attempts():
            yield quantum_id, counts, *files.read(place)
