"""Quanta that make datasets again, formatted for a person, a program or a spreadsheet."""

from __future__ import annotations

__all__ = ("of_rebuild",)

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .cells import (
    DATASET_FIELDS,
    QUANTUM_FIELDS,
    dataset_content,
    dataset_fields,
    dataset_names,
    quantum_cells,
    quantum_content,
    quantum_fields,
)
from .reports import Report, without_empty
from .texts import counted, plain

if TYPE_CHECKING:
    from .rebuilding import Rebuild


def of_rebuild(rebuild: Rebuild, limit: int | None, more: dict[str, Any], ending: str) -> Report:
    """Report what `Archive.rebuild` found, with more members in JSON and more text at its end."""
    pairs = [*zip(rebuild.steps, rebuild.quanta, strict=True)]
    content = {
        "actual": rebuild.actual,
        "datasets": [*map(dataset_content, rebuild.datasets)],
        "quanta": [{"step": step, **quantum_content(one)} for step, one in pairs],
        "inputs": [*map(dataset_content, rebuild.inputs)],
        "not_read": rebuild.not_read,
        "assumed": rebuild.assumed,
        **more,
    }
    no_dataset, no_quantum = [""] * len(DATASET_FIELDS), [""] * (len(QUANTUM_FIELDS) - 1)
    rows: list[Sequence[object]] = [
        ["quantum", step, *quantum_fields(one), *no_dataset] for step, one in pairs
    ]
    rows += [["input", "", one.dataset_id, *no_quantum, *dataset_fields(one)] for one in rebuild.inputs]
    header = ["kind", "step", "id", *QUANTUM_FIELDS[1:], *DATASET_FIELDS]
    return Report(
        content, header, rows, lambda: f"{_quanta(rebuild, limit)}\n{_inputs(rebuild, limit)}{ending}"
    )


def _quanta(rebuild: Rebuild, limit: int | None) -> str:
    """Return the quanta in their order."""
    rows = [[str(step), *quantum_cells(one)] for step, one in zip(rebuild.steps, rebuild.quanta, strict=True)]
    basis = "" if rebuild.actual else ", as predicted"
    lines = [
        without_empty(("step", "quantum", "task", "data ID", "run", "status"), rows[:limit], "r"),
        _rest(rows, limit),
        f"{counted(len(rows), 'quantum')} in {counted(rebuild.steps[-1], 'step')} "
        f"to make {counted(len(rebuild.datasets), 'dataset')} again{basis}\n",
    ]
    if rebuild.assumed:
        quanta = counted(rebuild.assumed, "quantum")
        lines.append(f"{quanta} of these by what was predicted: no log tells what was read\n")
    if rebuild.not_read:
        datasets = counted(rebuild.not_read, "more dataset")
        lines.append(f"{datasets} that they were to read, and did not: not made again\n")
    return "".join(lines)


def _inputs(rebuild: Rebuild, limit: int | None) -> str:
    """Return what has to be there before."""
    if not rebuild.inputs:
        return "No dataset has to be there before.\n"
    rows = [[*dataset_names(one), str(one.dataset_id)] for one in rebuild.inputs]
    kinds = Counter(one.dataset_type or "(no name)" for one in rebuild.inputs)
    counts = plain(", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items())))
    return "".join(
        (
            without_empty(("needed before", "data ID", "run", "dataset"), rows[:limit]),
            _rest(rows, limit),
            f"{counted(len(rows), 'dataset')} needed before: {counts}\n",
        )
    )


def _rest(rows: Sequence[object], limit: int | None) -> str:
    return "\n" if limit is None or len(rows) <= limit else f"and {len(rows) - limit:,} more\n\n"
