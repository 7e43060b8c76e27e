"""Comparisons of runs as a person, a program or a spreadsheet reads them."""

from __future__ import annotations

__all__ = ("of_comparison",)

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ..archive.reports import Report, counted, plain, size_text, table
from .comparison import Comparison, TaskComparison
from .text import seconds_text
from .times import PERCENTS, Quantiles

_MEASURES = {"run_time": "run time", "run_time_cpu": "CPU time", "memory": "memory"}
_HEADER = ("what", "name", "data_id", "left", "right", "detail", "left_id", "right_id")


def of_comparison(made: Comparison, limit: int | None = 20, *, details: bool = True) -> Report:
    """Report what differs between two runs: a summary, then details of each kind, not more than so many."""

    def text() -> str:
        lines = [f"left   {plain(', '.join(made.left))}", f"right  {plain(', '.join(made.right))}", ""]
        lines += [_tasks(made), _times(made), _types(made)]
        for title, header, rows, count in _details(made, limit) if details else ():
            lines += [f"{title}: {count:,}", "", table(header, rows)]
            if count > len(rows):
                lines.append(f"and {count - len(rows):,} more\n")
        lines += made.remarks
        lines.append(_verdict(made))
        return "\n".join(lines) + "\n"

    content: dict[str, Any] = {
        "left": list(made.left),
        "right": list(made.right),
        "same": made.is_same,
        "tasks": [_task_content(task) for task in made.tasks],
        "dataset_types": [dataclasses.asdict(one) for one in made.types],
        "changes": _plain_rows(made.changes),
        "quanta": _plain_rows(made.quanta),
        "inputs": _plain_rows(made.inputs),
        "datasets": _plain_rows(made.datasets),
        "remarks": made.remarks,
    }
    return Report(content, _HEADER, _rows(made), text)


def _tasks(made: Comparison) -> str:
    header = ("task", "left", "right", "both", "failing", "mended", "other status", "inputs gained", "lost")
    rows = [
        [
            task.label,
            *(f"{number:,}" for number in (task.left, task.right, task.matched, task.failing, task.mended)),
            f"{task.changes.total() - task.failing - task.mended:,}",
            f"{task.gained:,}",
            f"{task.lost:,}",
        ]
        for task in made.tasks
    ]
    return table(header, rows, " rrrrrrrr")


def _times(made: Comparison) -> str:
    header = ["task", "of quanta of both", "quanta", *(f"{percent} %" for percent in PERCENTS), "sum"]
    rows = []
    for task in made.tasks:
        for name, title in _MEASURES.items():
            if name not in task.times:
                continue
            left, right = task.times[name]
            shown = _size if name == "memory" else seconds_text
            cells = [
                f"{shown(a)} -> {shown(b)}" for a, b in zip(left.percentiles, right.percentiles, strict=True)
            ]
            total = "" if name == "memory" else f"{shown(left.total)} -> {shown(right.total)}"
            rows.append([task.label, title, f"{left.count:,}", *cells, total])
    return table(header, rows, "  rrrrr") if rows else "Nothing is known of the times of quanta of both.\n"


def _size(value: float) -> str:
    return size_text(round(value))


def _types(made: Comparison) -> str:
    header = ("dataset type", "left", "right", "only left", "only right", "other size", "bytes of both")
    rows = [
        [
            one.name,
            *(f"{number:,}" for number in (one.left, one.right, one.only_left, one.only_right)),
            f"{one.resized:,}" if one.sized else "",
            f"{size_text(one.left_bytes)} -> {size_text(one.right_bytes)}" if one.sized else "",
        ]
        for one in made.types
    ]
    return table(header, rows, " rrrrrr") if rows else "Nothing is known of what datasets are called.\n"


def _details(
    made: Comparison, limit: int | None
) -> list[tuple[str, Sequence[str], list[Sequence[str]], int]]:
    """Return title, header, some rows and the number of all, of each kind of difference."""
    found: list[tuple[str, Sequence[str], list[Sequence[str]], int]] = []
    for title, header, rows, make in (
        (
            "Quanta that ended in another way",
            ("task", "data ID", "left", "right", "why"),
            made.changes,
            _change,
        ),
        ("Quanta of one run only", ("task", "data ID", "side", "quantum"), made.quanta, _only),
        (
            "Inputs in one run only",
            ("task", "data ID", "dataset type", "of data ID", "side", "by"),
            made.inputs,
            _input,
        ),
        (
            "Datasets in one run only, or of another size",
            ("dataset type", "data ID", "left", "right"),
            made.datasets,
            _dataset,
        ),
    ):
        if len(rows):
            some = rows if limit is None else rows.slice(0, limit)
            found.append((title, header, [make(row) for row in some.to_pylist()], len(rows)))
    return found


def _change(row: dict[str, Any]) -> Sequence[str]:
    message = next(iter((row["right_message"] or "").strip().splitlines()), "")
    kind = (row["right_exception"] or row["left_exception"] or "").rpartition(".")[2]
    if row["left_status"] == row["right_status"]:
        kind = f"caveats {row['left_caveats']} -> {row['right_caveats']}"
    why = f"{kind}: {message}" if message and kind else kind
    return row["task_label"], row["data_id"], row["left_status"], row["right_status"], why[:80]


def _only(row: dict[str, Any]) -> Sequence[str]:
    return row["task_label"] or "", row["data_id"], f"only {row['side']}", str(_id(row["quantum_id"]))


def _input(row: dict[str, Any]) -> Sequence[str]:
    return (
        row["task_label"],
        row["data_id"],
        row["dataset_type"] or "",
        row["dataset_data_id"] or "",
        "lost" if row["side"] == "left" else "gained",
        "actual use" if row["is_actual"] else "prediction",
    )


def _dataset(row: dict[str, Any]) -> Sequence[str]:
    cells = (
        "" if row[f"{side}_id"] is None else size_text(row[f"{side}_size"]).replace("unknown", "there")
        for side in ("left", "right")
    )
    return row["dataset_type"] or "", row["data_id"] or "", *cells


def _verdict(made: Comparison) -> str:
    if made.is_same:
        return "The runs are the same, but for times and sizes of task metadata and logs."
    failing, mended, gained, lost = (
        sum(getattr(task, name) for task in made.tasks) for name in ("failing", "mended", "gained", "lost")
    )
    parts = [
        counted(len(made.quanta), "quantum") + " of one run only" if len(made.quanta) else "",
        counted(failing, "new failure") if failing else "",
        f"{mended:,} mended" if mended else "",
        counted(gained, "input") + " gained" if gained else "",
        counted(lost, "input") + " lost" if lost else "",
        counted(sum(one.only_left + one.only_right for one in made.types), "dataset") + " of one run only"
        if any(one.only_left or one.only_right for one in made.types)
        else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f"The runs differ: {said}." if said else "The runs differ."


def _task_content(task: TaskComparison) -> dict[str, Any]:
    names = ("left", "right", "matched", "failing", "mended", "gained", "lost")
    return {
        "task_label": task.label,
        **{name: getattr(task, name) for name in names},
        "changes": [
            {"left": left, "right": right, "quanta": count} for (left, right), count in task.changes.items()
        ],
        "times": {
            name: {"left": _quantiles(left), "right": _quantiles(right)}
            for name, (left, right) in task.times.items()
        },
        "ratio": None
        if task.ratio is None
        else {f"p{percent}": value for percent, value in zip(PERCENTS, task.ratio, strict=True)},
    }


def _quantiles(found: Quantiles) -> dict[str, Any]:
    percentiles = {f"p{percent}": value for percent, value in zip(PERCENTS, found.percentiles, strict=True)}
    return {"quanta": found.count, **percentiles, "most": found.most, "sum": found.total}


def _id(value: Any) -> uuid.UUID | None:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else value


def _plain_rows(rows: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            name: str(_id(value)) if isinstance(value, (uuid.UUID, bytes)) else value
            for name, value in row.items()
        }
        for row in rows.to_pylist()
    ]


def _rows(made: Comparison) -> list[Sequence[object]]:
    """Return all differences as rows of one form."""
    rows: list[Sequence[object]] = []
    for row in made.changes.to_pylist():
        states = row["left_status"], row["right_status"]
        ids = _id(row["left_id"]), _id(row["right_id"])
        rows.append(["status", row["task_label"], row["data_id"], *states, row["right_exception"], *ids])
    for row in made.quanta.to_pylist():
        rows.append(["quantum", row["task_label"], row["data_id"], *_sided(row["side"], row["quantum_id"])])
    for row in made.inputs.to_pylist():
        detail = f"{row['dataset_type']} {row['dataset_data_id']}"
        there = ("there", None) if row["side"] == "left" else (None, "there")
        ids = _id(row["left_id"]), _id(row["right_id"])
        rows.append(["input", row["task_label"], row["data_id"], *there, detail, *ids])
    for row in made.datasets.to_pylist():
        sizes = row["left_size"], row["right_size"]
        ids = _id(row["left_id"]), _id(row["right_id"])
        rows.append(["dataset", row["dataset_type"], row["data_id"], *sizes, None, *ids])
    return rows


def _sided(side: str, id_: Any) -> list[object]:
    if side == "left":
        return ["there", None, None, _id(id_), None]
    return [None, "there", None, None, _id(id_)]
