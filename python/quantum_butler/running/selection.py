"""Selection of quanta of a graph by task and data ID."""

from __future__ import annotations

__all__ = ("select",)

from collections.abc import Sequence
from typing import Any

import pyarrow

from ..queries.conditions import evaluate
from ..queries.errors import ConditionError
from ..queries.expressions import parse
from .errors import RunError
from .plan import Plan


def select(plan: Plan, tasks: Sequence[str] = (), where: str | None = None) -> set[int]:
    """Return the quanta of some tasks, or of all, that meet a condition.

    The condition is in the language of ``--where`` of upstream's commands, on
    the dimensions of data IDs.  A quantum without a dimension that matters is
    not chosen.
    """
    if unknown := set(tasks) - plan.dimensions.keys():
        raise RunError(
            f"{plan.uri} has no quanta of task {', '.join(sorted(unknown))}; its tasks are "
            f"{', '.join(plan.dimensions)}"
        )
    numbers = [number for number, label in enumerate(plan.labels) if not tasks or label in tasks]
    if where is None:
        return set(numbers)
    try:
        condition = parse(where)
        columns = _columns(plan, numbers)
        met = evaluate(condition, columns, len(numbers))
    except ConditionError as error:
        raise RunError(f"--where {where!r}: {error}") from error
    return {number for number, is_met in zip(numbers, met.to_pylist(), strict=True) if is_met}


def _columns(plan: Plan, numbers: Sequence[int]) -> dict[str, pyarrow.Array]:
    """Return the values of all dimensions of the graph, of some quanta."""
    names = dict.fromkeys(name for of_task in plan.dimensions.values() for name in of_task)
    values: dict[str, list[Any]] = {name: [] for name in names}
    for number in numbers:
        data_id = plan.data_id(number)
        for name, column in values.items():
            column.append(data_id.get(name))
    return {name: pyarrow.array(column) for name, column in values.items()}
