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
from .origins import Origin, with_origin
from .parts import Part, read_part
from .supplements import add_supplements
from .tables import ATTEMPTS, kept_rows, part_schemas

# Quanta whose ids are compared in one pass, of 24 bytes each, and of 64 more if all come twice.
_AT_ONCE = 1_000_000

_PAST = _core.Duplicates.PAST

# What is looked at of an attempt.
_SCHEMA = ATTEMPTS.remove(ATTEMPTS.get_field_index("quantum_id"))
_LOOKED_AT = _SCHEMA.names
_PLAIN = pa.schema(
    [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in _SCHEMA]
)

_NO_PLACES = pa.table(_core.Duplicates(0, 1).places())

# When attempts that only a graph knows of began, for the order: before all others.
_BEFORE_ALL = -(2**63) + 1


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
        repeated, replaced = map(pa.table, kernel.finish([_ordered(some) for some in looked_at]))
        if not looked_at:
            continue
        together = pa.concat_tables(looked_at)
        lines = pc.equal(together["origin"], Origin.LINE)
        is_line = lines.take(replaced["number"])
        # What only a graph knew of was no attempt of its own: it goes with the one that is kept.
        from_graphs = replaced.filter(pc.invert(is_line))
        add_supplements(from_graphs, together.take(from_graphs["number"]), folder)
        dropped.append(from_graphs.select(["part", "row"]))
        replaced = replaced.filter(is_line)
        if len(replaced):
            attempts = together.take(replaced["number"])
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
    together = pa.concat_tables([_NO_PLACES, *dropped]).sort_by([("part", "ascending"), ("row", "ascending")])
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


def _ordered(some: pa.Table) -> pa.Table:
    """Return attempts as the kernel puts them in order: what only graphs know of goes before all lines."""
    origins = some["origin"].to_numpy()
    attempts = some.select(["begin", "end", "failed", "content"])
    if (origins == Origin.LINE).all():
        return attempts
    of_graphs = pa.array(origins != Origin.LINE)
    early = pa.array(_BEFORE_ALL + origins.astype(np.int64)).cast(_SCHEMA.field("begin").type)
    columns = {
        "begin": pc.if_else(of_graphs, early, attempts["begin"]),
        "end": pc.if_else(of_graphs, early, attempts["end"]),
        "failed": pc.if_else(of_graphs, True, attempts["failed"]),
    }
    for name, column in columns.items():
        attempts = attempts.set_column(attempts.column_names.index(name), name, column)
    return attempts


def _past(part: Part, folder: str, rows: np.ndarray[Any, Any]) -> pa.Table:
    """Return attempts that an archive knows and does not keep."""
    with read_part(folder, part.number, "quanta") as attempts:
        return with_origin(_looked_at(attempts.take(rows)), Origin.LINE)


def _attempts(part: Part, folder: str, rows: np.ndarray[Any, Any]) -> pa.Table:
    """Return what is looked at of some quanta of a part."""
    others = np.delete(np.arange(part.quanta), rows)
    with kept_rows(part, folder, others, ("quanta", "edges", "records")) as tables:
        content = pa.table(_core.fingerprints(*map(_Whole, tables)))
        quanta = tables[0].append_column("content", content["content"])
        # A copy, since the files are mapped no longer afterwards.
        quanta = quanta.take(np.arange(len(quanta)))
        return _looked_at(quanta).append_column(part_schemas()["quanta"].field("origin"), quanta["origin"])


def _looked_at(attempts: pa.Table) -> pa.Table:
    """Return what is looked at, with texts as such: parts have other dictionaries."""
    return attempts.select(_LOOKED_AT).cast(_PLAIN)


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
