"""Reports as a person, a program or a spreadsheet reads them."""

from __future__ import annotations

__all__ = ("of_report", "of_times", "remarks_on", "seconds_text")

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..archive.reports import Report, counted, data_id_text, plain, size_text, table
from .counts import STATUSES, RunReport, TaskCounts
from .times import MEASURES, PERCENTS, Quantiles, RunTimes

# Lines that a person gets of each kind, if not all are wanted.
_MOST_LINES = 20
_LONGEST_MESSAGE = 80


def seconds_text(seconds: float) -> str:
    """Return seconds in a unit that makes them short."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 600:
        return f"{seconds:.3g} s"
    if seconds < 36000:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:,.1f} h"


def remarks_on(task: TaskCounts) -> list[str]:
    """Return what is to be said of a task's quanta besides their counts."""
    remarks = [f"{count:,} {caveat}" for caveat, count in sorted(task.caveats.items())]
    if task.retried:
        remarks.append(f"{task.retried:,} retried")
    if task.because_of:
        remarks.append(f"blocked by {', '.join(task.because_of)}")
    return remarks


def of_report(report: RunReport, limit: int | None = _MOST_LINES) -> Report:
    """Report what became of the quanta of a run."""
    seen = [name for name in STATUSES.values() if any(task.statuses[name] for task in report.tasks)]

    def row(task: TaskCounts) -> list[str]:
        counts = (f"{task.statuses[name]:,}" for name in seen)
        return [task.label, f"{task.total:,}", *counts, "; ".join(remarks_on(task))]

    def text() -> str:
        rows = [row(task) for task in report.tasks]
        total = row(report.total)
        total[-1] = ""
        lines = [table(("task", "quanta", *seen, "remarks"), [*rows, total], " r" + "r" * len(seen))]
        if report.exceptions:
            shown = report.exceptions[:limit]
            groups = [
                [
                    f"{group.count:,}",
                    group.task_label,
                    group.type.rpartition(".")[2] if " " not in group.type else group.type,
                    ", ".join(f"{host} {count:,}" for host, count in group.hosts.most_common(2)),
                    data_id_text(group.examples[0]),
                    _shortened(group.message),
                ]
                for group in shown
            ]
            header = ("quanta", "task", "exception", "hosts", "for instance", "message")
            lines += ["Failures", "", table(header, groups, "r")]
            if len(report.exceptions) > len(shown):
                lines.append(f"and {counted(len(report.exceptions) - len(shown), 'kind')} more\n")
        lines.append("Every quantum has succeeded.\n" if report.is_complete else _unfinished(report))
        return "\n".join(lines)

    content: dict[str, Any] = {
        "sources": list(report.sources),
        "complete": report.is_complete,
        "tasks": [_task_content(task) for task in report.tasks],
        "total": _task_content(report.total),
        "exceptions": [{**vars(group), "hosts": dict(group.hosts)} for group in report.exceptions],
        "failures": [{**vars(failure), "quantum_id": str(failure.quantum_id)} for failure in report.failures],
    }
    columns = ("quantum_id", "task_label", "data_id", "run", "status", "type", "message", "host")
    header = ["exception" if name == "type" else name for name in columns]
    rows: list[Sequence[object]] = [
        [getattr(one, name) if name != "data_id" else data_id_text(one.data_id) for name in columns]
        for one in report.failures
    ]
    return Report(content, header, rows, text)


def _shortened(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} [cut]"


def _task_content(task: TaskCounts) -> dict[str, Any]:
    return {
        "task_label": task.label,
        "quanta": task.total,
        "statuses": dict(task.statuses),
        "caveats": dict(task.caveats),
        "retried": task.retried,
        "blocked_because_of": list(task.because_of),
    }


def _unfinished(report: RunReport) -> str:
    total = report.total
    parts = [f"{count:,} {name}" for name, count in total.statuses.most_common() if name != "successful"]
    return f"Of {counted(total.total, 'quantum')}: {', '.join(parts)}.\n"


def of_times(times: RunTimes) -> Report:
    """Report how long the quanta of a run took."""

    def text() -> str:
        lines = []
        for measure, title in (
            ("run_time", "Run time"),
            ("run_time_cpu", "CPU time"),
            ("memory", "Peak memory"),
        ):
            shown = size_of if measure == "memory" else seconds_text
            rows = [
                [task.label, f"{found.count:,}", *map(shown, found.percentiles), shown(found.most)]
                + ([] if measure == "memory" else [shown(found.total)])
                for task in times.tasks
                if (found := task.measures.get(measure)) is not None
            ]
            if rows:
                header = ["task", "quanta", *(f"{percent} %" for percent in PERCENTS), "most"]
                header += [] if measure == "memory" else ["sum"]
                lines += [title, "", table(header, rows, " " + "r" * (len(header) - 1))]
        if times.slowest:
            rows = [
                [seconds_text(one.run_time), one.task_label, data_id_text(one.data_id), str(one.quantum_id)]
                for one in times.slowest
            ]
            lines += ["Slowest quanta", "", table(("run time", "task", "data ID", "quantum"), rows, "r")]
        if times.overheads:
            whole = sum(one.seconds for one in times.overheads)
            rows = [
                [
                    one.what,
                    seconds_text(one.seconds),
                    f"{one.seconds / whole:.1%}" if whole else "",
                    f"{one.quanta:,}",
                ]
                for one in times.overheads
            ]
            lines += ["What time went into", "", table(("", "seconds", "share", "quanta"), rows, " rrr")]
        return "\n".join(lines) if lines else "Nothing is known of the times of these quanta.\n"

    content = {
        "sources": list(times.sources),
        "tasks": [
            {
                "task_label": task.label,
                "quanta": task.quanta,
                **{name: _quantiles_content(found) for name, found in task.measures.items()},
            }
            for task in times.tasks
        ],
        "slowest": [{**dataclasses.asdict(one), "quantum_id": str(one.quantum_id)} for one in times.slowest],
        "overheads": [dataclasses.asdict(one) for one in times.overheads],
    }
    header = ["task_label", "measure", "quanta", *(f"p{percent}" for percent in PERCENTS), "most", "sum"]
    rows = [
        [task.label, name, found.count, *found.percentiles, found.most, found.total]
        for task in times.tasks
        for name in MEASURES
        if (found := task.measures.get(name)) is not None
    ]
    return Report(content, header, [*rows], text)


def size_of(value: float) -> str:
    """Return bytes, which were averaged, in a unit that makes them short."""
    return plain(size_text(round(value)))


def _quantiles_content(found: Quantiles) -> dict[str, Any]:
    percentiles = {f"p{percent}": value for percent, value in zip(PERCENTS, found.percentiles, strict=True)}
    return {"quanta": found.count, **percentiles, "most": found.most, "sum": found.total}
