"""Inputs that quanta of two runs do not share."""

from __future__ import annotations

__all__ = ("LoneInputs", "input_rows", "lone_inputs", "no_inputs")

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import _core
from ..archive.errors import ArchiveError
from .comparison import TaskComparison
from .datasets import decoded, taken
from .matching import Matches
from .sides import Side

_Numbers: TypeAlias = np.ndarray[Any, Any]


class _OfOneSide(NamedTuple):
    pairs: _Numbers
    """Which of the pairs of quanta each is of."""
    datasets: _Numbers
    """The row of each."""


class LoneInputs(NamedTuple):
    """Inputs that quanta of both sides have on one of them only."""

    left: _OfOneSide
    right: _OfOneSide
    is_actual: _Numbers
    """Of which pairs it is known what they have used."""


def lone_inputs(one: Side, other: Side, quanta: Matches, names: Matches) -> LoneInputs:
    """Find inputs on one side only: what was used where that is known, else what was predicted."""
    is_actual = one.is_actual[quanta.left] & other.is_actual[quanta.right]
    pairs = pa.table(
        [quanta.left.astype(np.uint32), quanta.right.astype(np.uint32), is_actual],
        ["left", "right", "actual"],
    )
    partners = (pa.table({"row": rows}) for rows in (names.of_left, names.of_right))
    try:
        found = _core.lone_inputs(one.uses, other.uses, pairs, *partners)
    except ValueError as error:
        raise ArchiveError(f"{', '.join((*one.places, *other.places))}: {error}") from error
    left, right = (_OfOneSide(*_rows(pa.table(table))) for table in found)
    return LoneInputs(left, right, is_actual)


def _rows(table: pa.Table) -> list[_Numbers]:
    return [table[name].to_numpy().astype(np.int64) for name in ("pair", "dataset")]


def input_rows(
    one: Side, other: Side, quanta: Matches, lone: LoneInputs, tasks: dict[str, TaskComparison]
) -> pa.Table:
    """Return rows of the table of such inputs, and count them."""
    parts = []
    for word, name, side, some in (("left", "lost", one, lone.left), ("right", "gained", other, lone.right)):
        rows = quanta.left[some.pairs]
        labels = one.labels.take(pa.array(rows))
        parts.append(
            pa.table(
                {
                    "task_label": decoded(labels),
                    "data_id": one.data_ids(rows),
                    "left_id": one.quanta["quantum_id"].take(pa.array(rows)),
                    "right_id": other.quanta["quantum_id"].take(pa.array(quanta.right[some.pairs])),
                    "dataset_id": taken(side.datasets.ids, some.datasets),
                    "dataset_type": decoded(side.datasets.types.take(pa.array(some.datasets))),
                    "dataset_data_id": side.datasets.texts(some.datasets),
                    "side": pa.array([word] * len(rows), pa.string()),
                    "is_actual": pa.array(lone.is_actual[some.pairs]),
                }
            )
        )
        for row in pc.value_counts(labels).to_pylist():
            setattr(tasks[row["values"]], name, row["counts"])
    return pa.concat_tables(parts)


def no_inputs() -> pa.Table:
    """Return the table without rows."""
    names = ("task_label", "data_id", "dataset_type", "dataset_data_id", "side")
    ids = ("left_id", "right_id", "dataset_id")
    columns = {name: pa.nulls(0, pa.string()) for name in names} | {
        name: pa.nulls(0, pa.uuid()) for name in ids
    }
    return pa.table({**columns, "is_actual": pa.nulls(0, pa.bool_())})
