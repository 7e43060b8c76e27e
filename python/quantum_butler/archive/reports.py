"""Answers as a person, a program or a spreadsheet reads them."""

from __future__ import annotations

__all__ = (
    "PRODUCED_WORDS",
    "Report",
    "columns",
    "counted",
    "data_id_text",
    "of_dataset",
    "of_difference",
    "of_lineage",
    "of_lineage_summary",
    "of_quanta",
    "of_quantum",
    "of_statistics",
    "plain",
    "size_text",
    "table",
    "without_empty",
)

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .cells import (
    DATASET_FIELDS,
    QUANTUM_FIELDS,
    dataset_cells,
    dataset_content,
    dataset_fields,
    dataset_names,
    quantum_cells,
    quantum_content,
    quantum_fields,
)
from .format import INPUT_ROLES, ROLES
from .texts import counted, data_id_text, plain, size_text

if TYPE_CHECKING:
    import uuid

    from .archive import Archive
    from .lineage import Lineage
    from .results import (
        DatasetDetails,
        Difference,
        Quantum,
        QuantumDetails,
        Statistics,
        TaskStatistics,
    )

PRODUCED_WORDS = {True: "written", False: "not written", None: ""}
"""Words for whether a dataset was written; none where nobody knows."""

_ROLE_WORDS = dict(zip(ROLES, ("predicted", "available", "used", "predicted", "written"), strict=True))


@dataclass(frozen=True)
class Report:
    """An answer in its three forms."""

    content: Any
    """What goes into JSON."""

    header: Sequence[str]
    """Names of the columns of CSV."""

    rows: list[Sequence[object]]
    """Rows of CSV."""

    text: Callable[[], str]
    """Makes the text for a person."""

    def render(self, style: str) -> str:
        """Return the answer as ``table``, ``json`` or ``csv``."""
        if style == "json":
            return json.dumps(self.content) + "\n"
        if style == "csv":
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(self.header)
            # Whatever a text holds, a row is a line.
            writer.writerows(
                [plain(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows
            )
            return out.getvalue()
        return self.text()


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> str:
    """Set a table below a header; see `columns`."""
    return columns([header, *rows], right, ruled=True)


def columns(rows: Iterable[Sequence[str]], right: str = "", *, ruled: bool = False) -> str:
    """Set rows in columns, those with an ``r`` in their place of ``right`` to the right.

    A table of rich would take a millisecond for each row, and lineages have many.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = right.ljust(len(widths))

    def line(row: Sequence[str]) -> str:
        pairs = zip(row, widths, sides, strict=True)
        return "  ".join(cell.rjust(n) if side == "r" else cell.ljust(n) for cell, n, side in pairs).rstrip()

    lines = [*map(line, cells), ""]
    if ruled:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def of_statistics(statistics: Statistics) -> Report:
    """Report what `Archive.stats` found."""

    def content(task: TaskStatistics) -> dict[str, Any]:
        return {
            "quanta": task.quanta,
            "datasets": task.datasets,
            "bytes": task.bytes,
            "unused_inputs": task.unused_inputs,
            "missing_outputs": task.missing_outputs,
        }

    def row(label: str | None, task: TaskStatistics) -> list[object]:
        numbers = [*task.datasets.values(), *task.bytes.values(), task.unused_inputs, task.missing_outputs]
        return [label, task.quanta, *numbers]

    tasks, total = statistics.tasks, statistics.total
    header = ["task_label", "quanta", *(f"{role}s" for role in ROLES), *(f"{role}s_bytes" for role in ROLES)]
    named = [*((task.task_label or "(no label)", task) for task in tasks), ("total", total)]

    def text() -> str:
        above = ["task", "quanta", "predicted in", "available", "used", "unused"]
        above += ["predicted out", "written", "missing"]
        datasets, read = [], []
        for name, task in named:
            *inputs, predicted, written = task.datasets.values()
            numbers = (task.quanta, *inputs, task.unused_inputs, predicted, written, task.missing_outputs)
            datasets.append([name, *("unknown" if number is None else f"{number:,}" for number in numbers)])
            # Nothing is known of the size of what was not written.
            sizes = (size for role, size in task.bytes.items() if role != "predicted_output")
            read.append([name, *map(size_text, sizes)])
        return "\n".join(
            [
                "Datasets, each counted once for a task and once in the total",
                "",
                table(above, datasets, " rrrrrrrr"),
                "Bytes, counted for each quantum that has them, as far as there are records",
                "",
                table(("task", "predicted in", "available", "used", "written"), read, " rrrr"),
            ]
        )

    return Report(
        {
            "tasks": [{"task_label": task.task_label, **content(task)} for task in tasks],
            "total": content(total),
        },
        [*header, "unused_inputs", "missing_outputs"],
        [row(task.task_label, task) for task in tasks],
        text,
    )


def of_quantum(details: QuantumDetails) -> Report:
    """Report what `Archive.show` found."""
    quantum, uses = details.quantum, details.uses

    def text() -> str:
        rows = []
        # Inputs first; what is both is a cycle, and shows among the inputs.
        for use in sorted(uses, key=lambda use: use.roles[0] not in INPUT_ROLES):
            dataset = use.dataset
            kinds = [
                f"{kind}: {', '.join(_ROLE_WORDS[role] for role in use.roles if role in roles)}"
                for kind, roles in (("input", INPUT_ROLES), ("output", ROLES[len(INPUT_ROLES) :]))
                if any(role in roles for role in use.roles)
            ]
            name, *where = dataset_names(dataset)
            rows.append([str(dataset.dataset_id), "; ".join(kinds), name, *where, *dataset_cells(dataset)])
        lines = [
            f"quantum  {quantum.quantum_id}",
            f"task     {plain(quantum.task_label or '(no label)')}",
            f"data ID  {plain(data_id_text(quantum.data_id or {})) or '(none)'}",
        ]
        lines += [f"run      {plain(quantum.run)}"] if quantum.run is not None else []
        lines += [f"status   {quantum.status}"] if quantum.status is not None else []
        header = ("dataset", "roles", "type", "data ID", "run", "storage class", "size", "path")
        return "\n".join(
            [*lines, f"attempts {_attempts_text(details)}", "", without_empty(header, rows, "      r")]
        )

    content = {
        **quantum_content(quantum),
        "begin": None if details.begin is None else details.begin.isoformat(),
        "end": None if details.end is None else details.end.isoformat(),
        "failed": details.failed,
        "attempts": details.attempts,
        "datasets": [{**dataset_content(use.dataset), "roles": list(use.roles)} for use in uses],
    }
    rows: list[Sequence[object]] = [
        [use.dataset.dataset_id, *(int(role in use.roles) for role in ROLES), *dataset_fields(use.dataset)]
        for use in uses
    ]
    return Report(content, ["dataset_id", *ROLES, *DATASET_FIELDS], rows, text)


def of_dataset(details: DatasetDetails) -> Report:
    """Report what `Archive.show_dataset` found."""
    dataset = details.dataset
    made = {None: "not known", True: "yes", False: "no"}[dataset.produced]

    def text() -> str:
        lines = [
            f"dataset  {dataset.dataset_id}",
            f"type     {plain(dataset.dataset_type or '(no name)')}",
            f"data ID  {plain(data_id_text(dataset.data_id or {})) or '(none)'}",
        ]
        lines += [f"run      {plain(dataset.run)}"] if dataset.run is not None else []
        lines += [f"class    {plain(dataset.storage_class)}"] if dataset.storage_class is not None else []
        lines += [f"size     {size_text(dataset.size)}"] if dataset.size is not None else []
        lines += [f"path     {plain(path)}" for path in dataset.paths]
        lines += [f"written  {made}" if dataset.producer is not None else "written  by no quantum of these"]
        rows = [] if details.producer is None else [["producer", *quantum_cells(details.producer)]]
        for one in details.consumers:
            words = ", ".join(_ROLE_WORDS[role] for role in one.roles)
            rows.append([f"input: {words}", *quantum_cells(one.quantum)])
        if rows:
            header = ("", "quantum", "task", "data ID", "run", "status")
            lines += ["", without_empty(header, rows).rstrip("\n")]
        return "\n".join([*lines, ""])

    content = {
        **dataset_content(dataset),
        "made_by": None if details.producer is None else quantum_content(details.producer),
        "consumers": [
            {**quantum_content(one.quantum), "roles": list(one.roles)} for one in details.consumers
        ],
    }
    pairs = [] if details.producer is None else [(details.producer, "producer")]
    pairs += [(one.quantum, " ".join(one.roles)) for one in details.consumers]
    rows: list[Sequence[object]] = [[role, *quantum_fields(quantum)] for quantum, role in pairs]
    return Report(content, ["role", *QUANTUM_FIELDS], rows, text)


def _attempts_text(details: QuantumDetails) -> str:
    """Return how many attempts there were, and what is known of the one that is kept."""
    if details.attempts is None:
        return "(not known)"
    if not details.attempts:
        return "none"
    words = [f"{details.attempts:,}", "the only one" if details.attempts == 1 else "of which one is kept"]
    words += (
        f"{word} {moment.isoformat(' ')}"
        for word, moment in (("begun", details.begin), ("ended", details.end))
        if moment is not None
    )
    if details.failed is not None:
        words.append("failed" if details.failed else "succeeded")
    return ", ".join(words)


def of_quanta(quanta: list[Quantum], nothing: str, *, single: bool) -> Report:
    """Report quanta: what `Archive.producer` (a single one) or `Archive.consumers` found."""

    def text() -> str:
        rows = [quantum_cells(one) for one in quanta]
        header = ("quantum", "task", "data ID", "run", "status")
        return without_empty(header, rows) if rows else f"{nothing}\n"

    contents = [quantum_content(quantum) for quantum in quanta]
    content = (contents[0] if contents else None) if single else contents
    rows = [list(quantum_fields(quantum)) for quantum in quanta]
    return Report(content, QUANTUM_FIELDS, [*rows], text)


def of_lineage(lineage: Lineage, limit: int | None = None) -> Report:
    """Report what `Archive.lineage` found; the text has as many rows as it may."""
    datasets, quanta = lineage.describe_datasets(), lineage.describe_quanta()
    cells: list[tuple[int, int, list[str]]] = []
    rows: list[tuple[int, int, list[object]]] = []
    for quantum, far in zip(quanta, lineage.quanta.values(), strict=True):
        id_, *names, status = quantum_cells(quantum)
        cells.append((far, 0, ["quantum", *names, status, id_, "", "", ""]))
        rows.append((far, 0, ["quantum", *quantum_fields(quantum), *[""] * len(DATASET_FIELDS)]))
    empty = [""] * (len(QUANTUM_FIELDS) - 1)
    for dataset, far in zip(datasets, lineage.datasets.values(), strict=True):
        called = dataset_names(dataset)
        status = PRODUCED_WORDS[dataset.produced]
        cells.append((far, 1, ["dataset", *called, status, str(dataset.dataset_id), *dataset_cells(dataset)]))
        rows.append((far, 1, ["dataset", dataset.dataset_id, *empty, *dataset_fields(dataset)]))
    # Quanta come before the datasets that they lead to.
    cells.sort(key=lambda row: row[:2])
    rows.sort(key=lambda row: row[:2])

    def text() -> str:
        header = ["distance", "", "task or type", "data ID", "run", "status", "id"]
        header += ["storage class", "size", "path"]
        shown = cells[:limit]
        body = without_empty(header, [[str(far), *row] for far, _, row in shown], "r       r")
        known = "" if lineage.actual else ", as predicted"
        more = f"\nand {len(cells) - len(shown):,} more rows" if len(shown) < len(cells) else ""
        counts = f"{counted(len(datasets), 'dataset')} and {counted(len(quanta), 'quantum')}"
        return f"{body}{more}\n{counts}{known}\n"

    content = {
        "dataset_id": str(lineage.dataset),
        "direction": lineage.direction,
        "actual": lineage.actual,
        "depth": lineage.depth,
        "datasets": [
            {**dataset_content(dataset), "distance": far}
            for dataset, far in zip(datasets, lineage.datasets.values(), strict=True)
        ],
        "quanta": [
            {**quantum_content(quantum), "distance": far}
            for quantum, far in zip(quanta, lineage.quanta.values(), strict=True)
        ],
        "edges": [{"from": str(edge.source), "to": str(edge.target)} for edge in lineage.edges],
    }
    header = ["distance", "kind", "id", *QUANTUM_FIELDS[1:], *DATASET_FIELDS]
    return Report(content, header, [[far, *row] for far, _, row in rows], text)


def of_lineage_summary(lineage: Lineage) -> Report:
    """Report how many quanta of each task and datasets of each type `Archive.lineage` found."""
    counts = Counter(
        ("quantum", one.task_label or "", one.run or "", one.status or "")
        for one in lineage.describe_quanta()
    )
    counts.update(
        ("dataset", one.dataset_type or "", one.run or "", PRODUCED_WORDS[one.produced])
        for one in lineage.describe_datasets()
    )
    # As in `of_lineage`, quanta come first.
    rows = sorted(
        ((*names, count) for names, count in counts.items()), key=lambda row: (row[0] != "quantum", row)
    )
    header = ["kind", "name", "run", "status", "count"]

    def text() -> str:
        shown = [[kind, name or "(no name)", *names, f"{count:,}"] for kind, name, *names, count in rows]
        known = "" if lineage.actual else ", as predicted"
        totals = f"{counted(len(lineage.datasets), 'dataset')} and {counted(len(lineage.quanta), 'quantum')}"
        body = without_empty(["", "task or type", "run", "status", "count"], shown, "    r")
        return f"{body}\n{totals}{known}\n"

    return Report([dict(zip(header, row, strict=True)) for row in rows], header, [*rows], text)


def of_difference(difference: Difference, left: Archive, right: Archive) -> Report:
    """Report what `Archive.diff` found."""
    rows: list[Sequence[object]] = []
    counts = []
    for kind, column, sides in (
        ("quantum", 1, (difference.left_quanta, difference.right_quanta)),
        ("dataset", 2, (difference.left_datasets, difference.right_datasets)),
    ):
        for side, (ids, archive) in enumerate(zip(sides, (left, right), strict=True)):
            rows += (_only(kind, column, side, id_) for id_ in ids)
            if ids:
                counts.append(plain(f"{counted(len(ids), kind)} only in {archive.path}"))
    for change in difference.changes:
        names = (" ".join(change.left), " ".join(change.right))
        rows.append(["use", change.quantum_id, change.dataset_id, *names])
    if difference.changes:
        quanta = len({change.quantum_id for change in difference.changes})
        uses = counted(len(difference.changes), "different use")
        counts.append(f"{uses} of a dataset, in {counted(quanta, 'quantum')} of both")

    def text() -> str:
        if not rows:
            return "Both archives have the same quanta, with the same datasets in the same roles.\n"
        header = "what", "quantum", "dataset", "left", "right"
        lines = table(header, ([str(cell) for cell in row] for row in rows))
        return "\n".join([lines, *counts, ""])

    content = {
        "left": str(left.path),
        "right": str(right.path),
        "left_quanta": [*map(str, difference.left_quanta)],
        "right_quanta": [*map(str, difference.right_quanta)],
        "left_datasets": [*map(str, difference.left_datasets)],
        "right_datasets": [*map(str, difference.right_datasets)],
        "changes": [
            {
                "quantum_id": str(change.quantum_id),
                "dataset_id": str(change.dataset_id),
                "left": list(change.left),
                "right": list(change.right),
            }
            for change in difference.changes
        ],
    }
    return Report(content, ["what", "quantum_id", "dataset_id", "left", "right"], rows, text)


def _only(kind: str, column: int, side: int, id_: uuid.UUID) -> list[object]:
    row: list[object] = [kind, "", "", "", ""]
    row[column] = id_
    row[3 + side] = "there"
    return row


def without_empty(header: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> str:
    """Set a table without the columns that nothing is in."""
    places = [place for place in range(len(header)) if not rows or any(row[place] for row in rows)]
    sides = "".join(right.ljust(len(header))[place] for place in places)
    return table(
        [header[place] for place in places], ([row[place] for place in places] for row in rows), sides
    )
