"""Finds quanta that are there more than once."""

from __future__ import annotations

__all__ = ("Duplicates", "find_duplicates")

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .. import _core
from .pieces import Part, read_part
from .tables import kept_rows

# Quanta whose ids are compared in one pass, of 24 bytes each.
_AT_ONCE = 2_000_000


@dataclass
class Duplicates:
    """Quanta that are there more than once."""

    dropped: dict[int, np.ndarray[Any, Any]]
    """Rows that the archive does not take, by part."""

    repeated: int
    """How many have the same content as one before."""

    replaced: list[pa.Table]
    """Those of other content than a later one: ``quantum_id``, ``part`` and ``row``, ``kept_part`` and
    ``kept_row``."""


def find_duplicates(parts: Sequence[Part], folder: str) -> Duplicates:
    """Find quanta that are there more than once, in bounded memory.

    Parameters
    ----------
    parts : `~collections.abc.Sequence` [`Part`]
        All parts, in order.
    folder : `str`
        Where they are.

    Returns
    -------
    duplicates : `Duplicates`
        What was found.
    """
    shares = max(1, -(-sum(part.quanta for part in parts) // _AT_ONCE))
    dropped: list[pa.Table] = []
    found = Duplicates({}, 0, [])
    for share in range(shares):
        kernel = _core.Duplicates(share, shares)
        for part in parts:
            with read_part(folder, part.number, "quanta") as quanta:
                kernel.add(part.number, 0, quanta.select(["quantum_id"]))
        rows = _rows_by_part(pa.table(kernel.places()))
        fingerprints = [
            _fingerprints(part, folder, rows[part.number]) for part in parts if part.number in rows
        ]
        repeated, replaced = map(pa.table, kernel.finish(fingerprints))
        found.repeated += len(repeated)
        found.replaced.append(replaced)
        dropped += [repeated, replaced.select(["part", "row"])]
    together = pa.concat_tables(dropped).sort_by([("part", "ascending"), ("row", "ascending")])
    found.dropped.update(_rows_by_part(together))
    return found


def _rows_by_part(places: pa.Table) -> dict[int, np.ndarray[Any, Any]]:
    """Return the rows of each part; the places are in order."""
    numbers, rows = (places[name].to_numpy() for name in ("part", "row"))
    starts = np.flatnonzero(np.diff(numbers.astype(np.int64), prepend=-1))
    split = np.split(rows, starts[1:])
    return {int(numbers[start]): of_part for start, of_part in zip(starts, split, strict=len(rows) > 0)}


def _fingerprints(part: Part, folder: str, rows: np.ndarray[Any, Any]) -> _core.ArrowTable:
    """Return the fingerprints of some quanta of a part."""
    others = np.delete(np.arange(part.quanta), rows)
    with kept_rows(part, folder, others, ("quanta", "edges", "records")) as tables:
        return _core.fingerprints(*map(_Whole, tables))


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
