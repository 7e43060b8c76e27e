"""One page of HTML about a run: status, failures, times and memory, and the pipeline."""

from __future__ import annotations

__all__ = ("write_page",)

import html
import io
import os
import shlex
import uuid
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .. import _core
from ..archive.graph import GraphvizError, NoGraphvizError, svg_of_dot
from ..archive.reports import counted, data_id_text, size_text
from .counts import STATUSES, RunReport, TaskCounts
from .text import remarks_on, seconds_text
from .times import RunTimes

# A page stays below 5 MB, and a browser lays it out at once.
_MOST_FAILURES = 2_000
_LONGEST_MESSAGE = 500
# Beyond these a picture has no more to say, and only grows.
_MOST_TASKS_DRAWN = 120
_BINS = 40

# Texts stay texts, and the same run gives the same picture.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "quantum-butler"}

_COLOURS = {
    "successful": "#3d8b5f",
    "failed": "#c0392b",
    "blocked": "#d9822b",
    "aborted": "#8e44ad",
    "log lost": "#b07aa1",
    "unknown": "#7f8c8d",
    "not seen": "#b8bec5",
}


def write_page(report: RunReport, times: RunTimes, file: Path) -> None:
    """Write the page; it takes the place of an earlier one as a whole."""
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    total = report.total
    text = template.substitute(
        title=html.escape(", ".join(report.sources[:3])),
        summary=_summary(total),
        statuses=_statuses(report),
        failures=_failures(report),
        pipeline=_pipeline(report),
        times=_times(times),
        plots=_plots(times),
        slowest=_slowest(times),
        overheads=_overheads(times),
        commands=_commands(report),
    )
    _core.write_file(os.fspath(file), f".{uuid.uuid4().hex}", text.encode())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], name: str = "") -> str:
    """Return a table whose cells are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    own = f' id="{name}"' if name else ""
    return f"<table{own}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _summary(total: TaskCounts) -> str:
    parts = [
        f'<span class="count" style="background:{_COLOURS[name]}">{total.statuses[name]:,} {name}</span>'
        for name in STATUSES.values()
        if total.statuses[name]
    ]
    return f"<p>{counted(total.total, 'quantum')}: {' '.join(parts)}</p>"


def _bar(task: TaskCounts) -> str:
    """Return a bar with a stretch for each status."""
    stretches = "".join(
        f'<span title="{count:,} {name}" style="flex:{count};background:{colour}"></span>'
        for name, colour in _COLOURS.items()
        if (count := task.statuses[name])
    )
    return f'<div class="bar">{stretches}</div>'


def _statuses(report: RunReport) -> str:
    seen = [name for name in STATUSES.values() if any(task.statuses[name] for task in report.tasks)]
    rows = []
    for task in [*report.tasks, report.total]:
        counts = [f"{task.statuses[name]:,}" for name in seen]
        rows.append(
            [
                html.escape(task.label),
                f"{task.total:,}",
                *counts,
                _bar(task),
                html.escape("; ".join(remarks_on(task))),
            ]
        )
    return _table(["task", "quanta", *seen, "", "remarks"], rows, "statuses")


def _failures(report: RunReport) -> str:
    if not report.failures:
        return "<p>No quantum has failed.</p>"
    groups = _table(
        ["quanta", "task", "exception", "hosts", "message"],
        (
            [
                f"{group.count:,}",
                html.escape(group.task_label),
                html.escape(group.type),
                html.escape(", ".join(f"{host} {count:,}" for host, count in group.hosts.most_common(3))),
                html.escape(group.message[:_LONGEST_MESSAGE]),
            ]
            for group in report.exceptions[: _MOST_FAILURES // 10]
        ),
    )
    rows = (
        [
            html.escape(one.task_label),
            html.escape(data_id_text(one.data_id)),
            html.escape(one.status),
            html.escape(one.type or ""),
            html.escape((one.message or "")[:_LONGEST_MESSAGE]),
            html.escape(one.host or ""),
            f"<code>{one.quantum_id}</code>",
        ]
        for one in report.failures[:_MOST_FAILURES]
    )
    more = len(report.failures) - _MOST_FAILURES
    note = f"<p>and {more:,} more: <code>--format csv</code> has them all</p>" if more > 0 else ""
    search = '<input id="search" type="search" placeholder="search task, data ID, message, host, id">'
    header = ["task", "data ID", "status", "exception", "message", "host", "quantum"]
    return f"{groups}<h3>Each of them</h3>{search}<p id='found'></p>{_table(header, rows, 'failures')}{note}"


def _pipeline(report: RunReport) -> str:
    """Return the tasks as a graph, with counts on it."""
    if not report.pipeline.inputs:
        return "<p>The sources do not tell what the tasks read and write.</p>"
    if len(report.tasks) > _MOST_TASKS_DRAWN:
        return f"<p>{len(report.tasks):,} tasks are too many for a picture.</p>"
    lines = ["digraph {", 'rankdir=LR; node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for task in report.tasks:
        bad = sum(count for name, count in task.statuses.items() if name not in ("successful", "blocked"))
        colour = "#f6d5d1" if bad else "#fbe6d0" if task.statuses["blocked"] else "#dcefe3"
        counts = ", ".join(
            f"{task.statuses[name]:,} {name}" for name in STATUSES.values() if task.statuses[name]
        )
        lines.append(
            f'{_quoted(task.label)} [label={_quoted(task.label + chr(10) + counts)}, fillcolor="{colour}"];'
        )
    known = {task.label for task in report.tasks}
    for first, second in report.pipeline.edges():
        if first in known and second in known:
            lines.append(f"{_quoted(first)} -> {_quoted(second)};")
    lines.append("}")
    try:
        picture = svg_of_dot("\n".join(lines)).decode()
    except NoGraphvizError:
        return "<p>The picture needs Graphviz: install the package that has the command <code>dot</code>.</p>"
    except GraphvizError as error:
        return f"<p>Graphviz could not draw it: {html.escape(str(error))}</p>"
    return f'<div class="picture">{picture[picture.index("<svg") :]}</div>'


def _quoted(text: str) -> str:
    # Graphviz knows the character references of HTML.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return f'"{escaped}"'


def _times(times: RunTimes) -> str:
    rows = []
    for task in times.tasks:
        run, cpu, memory = (task.measures.get(name) for name in ("run_time", "run_time_cpu", "memory"))
        if run is None:
            continue
        rows.append(
            [
                html.escape(task.label),
                f"{run.count:,}",
                *map(seconds_text, (*run.percentiles, run.most, run.total)),
                seconds_text(cpu.total) if cpu else "",
                *(
                    [size_text(round(value)) for value in (memory.percentiles[0], memory.most)]
                    if memory
                    else ["", ""]
                ),
            ]
        )
    if not rows:
        return "<p>Nothing is known of times.</p>"
    header = ["task", "quanta", "median", "90 %", "99 %", "most", "sum", "CPU, sum", "memory, median", "most"]
    return _table(header, rows, "times")


def _plots(times: RunTimes) -> str:
    """Return histograms of run time and memory as one picture for each task."""
    parts = []
    for task in times.tasks[:_MOST_TASKS_DRAWN]:
        wanted = [
            (name, title, task.samples[name] / scale)
            for name, title, scale in (("run_time", "run time, s", 1), ("memory", "peak memory, GB", 1e9))
            if len(task.samples.get(name, ()))
        ]
        if not wanted:
            continue
        figure = Figure(figsize=(6.4, 1.5))
        axes = figure.subplots(1, len(wanted), squeeze=False)[0]
        for place, (_, title, values) in zip(axes, wanted, strict=True):
            counts, edges = np.histogram(values, bins=_BINS, range=(0, max(float(values.max()), 1e-9)))
            place.stairs(counts, edges, fill=True, color="#2e6da4")
            place.set_xlabel(title, fontsize=7)
            place.set_ylim(bottom=0)
            place.tick_params(labelsize=6)
        stream = io.StringIO()
        with rc_context(_STYLE):
            figure.tight_layout(pad=0.4)
            figure.savefig(stream, format="svg", metadata={"Date": None})
        svg = stream.getvalue()
        parts.append(
            f"<figure><figcaption>{html.escape(task.label)}</figcaption>{svg[svg.index('<svg') :]}</figure>"
        )
    return "".join(parts)


def _slowest(times: RunTimes) -> str:
    rows = (
        [
            seconds_text(one.run_time),
            html.escape(one.task_label),
            html.escape(data_id_text(one.data_id)),
            "" if one.memory is None else size_text(round(one.memory)),
            f"<code>{one.quantum_id}</code>",
        ]
        for one in times.slowest
    )
    return _table(["run time", "task", "data ID", "memory", "quantum"], rows, "slowest")


def _overheads(times: RunTimes) -> str:
    whole = sum(one.seconds for one in times.overheads)
    rows = (
        [
            html.escape(one.what),
            seconds_text(one.seconds),
            f"{one.seconds / whole:.1%}" if whole else "",
            f"{one.quanta:,}",
        ]
        for one in times.overheads
    )
    return _table(["", "seconds", "share", "quanta that tell"], rows, "overheads")


def _commands(report: RunReport) -> str:
    places = " ".join(map(shlex.quote, report.sources[:3]))
    lines = [
        f"quantum-butler report {places}",
        f"quantum-butler report {places} --format csv > failures.csv",
        f"quantum-butler report {places} --data-id-tables failed",
        f"quantum-butler times {places} --slowest 50",
    ]
    return "\n".join(f"<pre>{html.escape(line)}</pre>" for line in lines)
