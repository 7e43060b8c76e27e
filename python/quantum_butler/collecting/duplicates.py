"""Finds quanta that are there more than once."""

from __future__ import annotations

__all__ = ("Duplicates", "find_duplicates")

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import _core
from ..archive.errors import ArchiveError
from .pieces import Part, read_part
from .tables import ATTEMPTS, kept_rows

# Quanta whose ids are compared in one pass, of 24 bytes each, and of 64 more if all come twice.
_AT_ONCE = 1_000_000

_PAST = _core.Duplicates.PAST

# What is looked at of an attempt.
_SCHEMA = ATTEMPTS.remove(ATTEMPTS.get_field_index("quantum_id"))
_LOOKED_AT = _SCHEMA.names


@dataclass
class Duplicates:
    """Quanta that are there more than once."""

    dropped: dict[int, np.ndarray[Any, Any]]
    """Rows that the archive does not take, by part."""

    repeated: int
    """How many attempts are there again."""

    replaced: list[pa.Table]
    """Rows of which another is kept now: ``quantum_id``, ``part`` and ``row``, ``kept_part`` and
    ``kept_row``."""

    attempts: list[pa.Table]
    """All attempts that are not kept, as the archive has them."""

    more: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]
    """Rows of which there were other attempts, by part, and how many."""

    def attempts_of(self, part: Part) -> np.ndarray[Any, Any]:
        """Return how many attempts there were at each quantum that is kept of a part."""
        attempts = np.ones(part.quanta, np.int32)
        if part.number in self.more:
            rows, others = self.more[part.number]
            attempts[rows] += others
        return np.delete(attempts, self.dropped.get(part.number, ()))


def find_duplicates(parts: Sequence[Part], folder: str, past: Part | None) -> Duplicates:
    """Find quanta that are there more than once, in bounded memory.

    Of the attempts at a quantum, that one is kept which comes last in an order
    by outcome, time and place: ``rust/core/src/scan/attempts.rs`` has the rule.
    """
    known = [] if past is None else [past]
    shares = max(1, -(-sum(part.quanta for part in (*known, *parts)) // _AT_ONCE))
    dropped: list[pa.Table] = []
    kept: list[pa.Table] = []
    found = Duplicates({}, 0, [], [], {})
    settled = 0
    for share in range(shares):
        kernel = _core.Duplicates(share, shares)
        for part in (*known, *parts):
            with read_part(folder, part.number, "quanta") as quanta:
                kernel.add(part.number, 0, quanta.select(["quantum_id"]))
        rows = _rows_by_part(pa.table(kernel.places()))
        looked_at = [_past(part, folder, rows[part.number]) for part in known if part.number in rows]
        looked_at += [_attempts(part, folder, rows[part.number]) for part in parts if part.number in rows]
        repeated, replaced = map(pa.table, kernel.finish(looked_at))
        if len(replaced):
            attempts = pa.concat_tables(looked_at).take(replaced["number"])
            attempts = attempts.add_column(0, "quantum_id", replaced["quantum_id"])
            found.attempts.append(attempts.select(ATTEMPTS.names).cast(ATTEMPTS))
            kept.append(replaced.select(["kept_part", "kept_row"]))
        now, again = (table.filter(pc.not_equal(table["part"], _PAST)) for table in (replaced, repeated))
        settled += len(replaced) - len(now) + len(repeated) - len(again)
        found.repeated += len(repeated)
        found.replaced.append(now.sort_by([("part", "ascending"), ("row", "ascending")]))
        dropped += [again, now.select(["part", "row"])]
    if past is not None and settled != past.quanta:
        raise ArchiveError("the archive's attempts.parquet has quanta that its quanta.parquet does not have")
    together = pa.concat_tables(dropped).sort_by([("part", "ascending"), ("row", "ascending")])
    found.dropped.update(_rows_by_part(together))
    found.more.update(_counts_by_part(kept))
    return found


def _counts_by_part(kept: list[pa.Table]) -> dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Return the rows of each part that were kept in the place of others, and of how many."""
    if not kept:
        return {}
    counted = pa.concat_tables(kept).group_by(["kept_part", "kept_row"]).aggregate([([], "count_all")])
    counted = counted.rename_columns({"kept_part": "part", "kept_row": "row"})
    counted = counted.sort_by([("part", "ascending"), ("row", "ascending")])
    others = counted["count_all"].to_numpy().astype(np.int32)
    by_part, first = {}, 0
    for number, rows in _rows_by_part(counted).items():
        by_part[number] = rows, others[first : first + len(rows)]
        first += len(rows)
    return by_part


def _rows_by_part(places: pa.Table) -> dict[int, np.ndarray[Any, Any]]:
    """Return the rows of each part; the places are in order."""
    numbers, rows = (places[name].to_numpy() for name in ("part", "row"))
    starts = np.flatnonzero(np.diff(numbers.astype(np.int64), prepend=-1))
    split = np.split(rows, starts[1:])
    return {int(numbers[start]): of_part for start, of_part in zip(starts, split, strict=len(rows) > 0)}


def _past(part: Part, folder: str, rows: np.ndarray[Any, Any]) -> pa.Table:
    """Return attempts that an archive knows and does not keep."""
    with read_part(folder, part.number, "quanta") as attempts:
        return attempts.select(_LOOKED_AT).take(rows).cast(_SCHEMA)


def _attempts(part: Part, folder: str, rows: np.ndarray[Any, Any]) -> pa.Table:
    """Return what is looked at of some quanta of a part."""
    others = np.delete(np.arange(part.quanta), rows)
    with kept_rows(part, folder, others, ("quanta", "edges", "records")) as tables:
        content = pa.table(_core.fingerprints(*map(_Whole, tables)))
        attempts = tables[0].append_column("content", content["content"]).select(_LOOKED_AT)
        # A copy, since the files are mapped no longer afterwards.
        return attempts.take(np.arange(len(attempts))).cast(_SCHEMA)


class _Whole:
    """A table that is handed over as one batch, even if it has no row."""

    def __init__(self, table: pa.Table):
        self._table = table.unify_dictionaries().combine_chunks()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        batches = self._table.to_batches()
        if not batches:
            batches = [pa.RecordBatch.from_pylist([], schema=self._table.schema)]
        return pa.RecordBatchReader.from_batches(self._table.schema, batches).__arrow_c_stream__(
            requested_schema
        )
