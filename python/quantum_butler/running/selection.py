"""Selection of quanta of a graph by task and data ID."""

from __future__ import annotations

__all__ = ("select",)

from collections.abc import Sequence
from typing import Any

import pyarrow

from ..queries.alike import listing
from ..queries.conditions import evaluate
from ..queries.errors import ConditionError
from ..queries.expressions import parse
from .errors import SelectionError
from .plan import Plan


def select(plan: Plan, tasks: Sequence[str] = (), where: str | None = None) -> set[int]:
    """Return the quanta of some tasks, or of all, that meet a condition. That there are none is an error.

    The condition is in the language of ``--where`` of upstream's commands, on
    the dimensions of data IDs and those that these imply.  A quantum without a
    dimension that matters is not chosen.
    """
    for task in tasks:
        if task not in plan.dimensions:
            known = [*plan.dimensions]
            raise SelectionError(f"{plan.uri} has no quanta of task {task!r}{listing(task, known)}")
    numbers = [number for number, label in enumerate(plan.labels) if not tasks or label in tasks]
    chosen = set(numbers if where is None else _meeting(plan, numbers, where))
    if not chosen and (tasks or where is not None):
        of_tasks = f" of {len(numbers):,} of the chosen tasks" if tasks else f" of {len(numbers):,}"
        reason = "" if where is None else f": none{of_tasks} meets --where {where!r}"
        raise SelectionError(f"{plan.uri}: no quantum is chosen{reason}")
    return chosen


def _meeting(plan: Plan, numbers: Sequence[int], where: str) -> set[int]:
    """Return those of some quanta that meet a condition."""
    try:
        condition = parse(where)
        columns = _columns(plan, numbers)
        met = evaluate(condition, columns, len(numbers))
    except ConditionError as error:
        raise SelectionError(f"--where {where!r}: {error}") from error
    return {number for number, is_met in zip(numbers, met.to_pylist(), strict=True) if is_met}


def _columns(plan: Plan, numbers: Sequence[int]) -> dict[str, pyarrow.Array]:
    """Return the values of all dimensions that some quanta have or imply."""
    labels = dict.fromkeys(plan.labels[number] for number in numbers)
    names = dict.fromkeys(
        name for label in labels for name in (*plan.dimensions[label], *plan.implied[label])
    )
    values: dict[str, list[Any]] = {name: [] for name in names}
    for number in numbers:
        data_id = plan.whole_data_id(number)
        for name, column in values.items():
            column.append(data_id.get(name))
    # What the graph has no value of is no dimension that a condition may be about.
    return {
        name: pyarrow.array(column)
        for name, column in values.items()
        if any(one is not None for one in column)
    }
