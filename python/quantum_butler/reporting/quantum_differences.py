"""Differences between quanta of two runs: which there are, how they ended, and how long they took."""

from __future__ import annotations

__all__ = ("changed_quanta", "compare_times", "count_quanta", "lone_quanta")

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..archive.columns import in_one_piece
from ..quantum_graphs import QuantumStatus
from .comparison import TaskComparison
from .counts import STATUSES
from .datasets import decoded
from .matching import Matches
from .sides import Side
from .times import quantiles_of

_Numbers: TypeAlias = np.ndarray[Any, Any]

_MEASURES = ("run_time", "run_time_cpu", "memory")

# In place of a status: nobody tells.
_UNKNOWN = -99


def count_quanta(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> None:
    """Count the quanta of each task."""
    for labels, name in (
        (one.labels, "left"),
        (other.labels, "right"),
        (one.labels.take(pa.array(quanta.left)), "matched"),
    ):
        for row in pc.value_counts(labels).to_pylist():
            setattr(tasks.setdefault(row["values"], TaskComparison(row["values"])), name, row["counts"])


def _numbers(side: Side, name: str, rows: _Numbers, unknown: int) -> _Numbers:
    """Return a column of quanta, with a number for those of which nobody tells."""
    column: _Numbers = pc.fill_null(in_one_piece(side.quanta[name]), unknown).to_numpy()[rows]
    return column


def _words(statuses: _Numbers) -> pa.Array:
    words = [STATUSES[None if one == _UNKNOWN else QuantumStatus(one)] for one in statuses.tolist()]
    return pa.array(words, pa.string())


def changed_quanta(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> pa.Table:
    """Return the quanta that ended in another way, and count them."""
    sides = ((one, quanta.left), (other, quanta.right))
    before, after = (_numbers(side, "status", rows, _UNKNOWN) for side, rows in sides)
    caveats = [_numbers(side, "caveats", rows, 0) for side, rows in sides]
    # What a success is worth is known only where there is a status.
    differs = (before != after) | ((before == 1) & (after == 1) & (caveats[0] != caveats[1]))
    places = np.flatnonzero(differs)
    rows, others = pa.array(quanta.left[places]), pa.array(quanta.right[places])
    table = pa.table(
        {
            "task_label": decoded(one.labels.take(rows)),
            "data_id": one.data_ids(quanta.left[places]),
            "left_id": one.quanta["quantum_id"].take(rows),
            "right_id": other.quanta["quantum_id"].take(others),
            "left_status": _words(before[places]),
            "right_status": _words(after[places]),
            "left_caveats": pa.array(caveats[0][places]),
            "right_caveats": pa.array(caveats[1][places]),
            "left_exception": one.quanta["exception_type"].take(rows),
            "right_exception": other.quanta["exception_type"].take(others),
            "right_message": other.quanta["exception_message"].take(others),
        }
    )
    for row in (
        table.select(["task_label", "left_status", "right_status"])
        .group_by(["task_label", "left_status", "right_status"])
        .aggregate([([], "count_all")])
        .to_pylist()
    ):
        task, pair = tasks[row["task_label"]], (row["left_status"], row["right_status"])
        task.changes[pair] += row["count_all"]
        good = STATUSES[QuantumStatus.SUCCESSFUL]
        if pair[0] == good != pair[1]:
            task.failing += row["count_all"]
        elif pair[1] == good != pair[0]:
            task.mended += row["count_all"]
    return table


def lone_quanta(one: Side, other: Side, quanta: Matches) -> pa.Table:
    """Return the quanta of one side only."""
    parts = []
    for side, rows, word in ((one, quanta.only_left, "left"), (other, quanta.only_right, "right")):
        some = pa.array(rows)
        parts.append(
            pa.table(
                {
                    "task_label": decoded(in_one_piece(side.quanta["task_label"]).take(some)),
                    "data_id": side.data_ids(rows),
                    "quantum_id": side.quanta["quantum_id"].take(some),
                    "side": pa.array([word] * len(rows), pa.string()),
                }
            )
        )
    return pa.concat_tables(parts)


def compare_times(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> None:
    """Sum up the times of quanta of both."""
    which = one.labels.indices.to_numpy()[quanta.left]
    columns = {
        name: tuple(
            in_one_piece(side.quanta[name]).cast(pa.float64()).to_numpy(zero_copy_only=False)[rows]
            for side, rows in ((one, quanta.left), (other, quanta.right))
        )
        for name in _MEASURES
    }
    for number, label in enumerate(one.labels.dictionary.to_pylist()):
        own = np.flatnonzero(which == number)
        for name, (before, after) in columns.items():
            known = own[~(np.isnan(before[own]) | np.isnan(after[own]))]
            if not len(known):
                continue
            task = tasks[label]
            task.times[name] = quantiles_of(before[known]), quantiles_of(after[known])
            if name == "run_time" and len(ran := known[before[known] > 0]):
                task.ratio = quantiles_of(after[ran] / before[ran]).percentiles
