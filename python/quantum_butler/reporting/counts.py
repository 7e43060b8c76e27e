"""Counts of a run by status, and the reasons of failures."""

from __future__ import annotations

__all__ = ("ExceptionGroup", "Failure", "RunReport", "TaskCounts", "report")

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow
import pyarrow.compute as pc

from ..archive.showing import Showable, html_page, html_table, id_column
from ..archive.texts import data_id_text
from ..paths import Name
from ..quantum_graphs import Caveats, QuantumStatus
from ..queries.arrays import array_of, scalar_of
from .sources import Pipeline, Runs

_NOT_SEEN = "not seen"

# How a line of the table calls a status, in the order of its columns.
STATUSES = {
    QuantumStatus.SUCCESSFUL: "successful",
    QuantumStatus.FAILED: "failed",
    QuantumStatus.BLOCKED: "blocked",
    QuantumStatus.ABORTED: "aborted",
    QuantumStatus.ABORTED_SUCCESS: "log lost",
    QuantumStatus.UNKNOWN: "unknown",
    None: _NOT_SEEN,
}
"""Names of the statuses; `None` is that of a quantum of which nobody has told."""

# Data IDs that are named as examples of what failed in one way.
_MOST_EXAMPLES = 3

_GOOD = frozenset((QuantumStatus.SUCCESSFUL,))


@dataclass
class TaskCounts:
    """Numbers of quanta of a task, by status."""

    label: str
    """Label of the task (`str`)."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Counts by status (`collections.Counter` [`str`])."""

    caveats: Counter[str] = field(default_factory=Counter)
    """Counts of successes by upstream's caveats (`collections.Counter` [`str`])."""

    retried: int = 0
    """Quanta with more than one attempt (`int`)."""

    because_of: tuple[str, ...] = ()
    """Tasks before it of which quanta have failed, if some of its own are blocked (`tuple` [`str`, ...])."""

    @property
    def total(self) -> int:
        """Number of quanta (`int`)."""
        return sum(self.statuses.values())


@dataclass
class Failure:
    """A quantum that has not succeeded, and was not blocked."""

    quantum_id: uuid.UUID
    """Its id (`uuid.UUID`)."""

    task_label: str
    """Label of its task (`str`)."""

    data_id: dict[str, Any]
    """Its data ID (`dict`)."""

    run: str | None
    """The run that its outputs were to go to (`str` or `None`)."""

    status: str
    """How it ended (`str`)."""

    type: str | None
    """Type of the exception (`str` or `None`)."""

    message: str | None
    """Its message (`str` or `None`)."""

    host: str | None
    """Where it ran (`str` or `None`)."""


@dataclass
class ExceptionGroup:
    """Quanta of a task that failed with the same type of exception and first line of its message."""

    task_label: str
    """Label of the task (`str`)."""

    type: str
    """Type of the exception (`str`)."""

    message: str
    """First line of its message (`str`)."""

    count: int = 0
    """How many quanta (`int`)."""

    hosts: Counter[str] = field(default_factory=Counter)
    """Where they ran (`collections.Counter` [`str`])."""

    examples: list[dict[str, Any]] = field(default_factory=list)
    """Data IDs of some of them (`list` [`dict`])."""


@dataclass
class RunReport(Showable):
    """Report of a run: numbers of quanta by status, failures and their reasons."""

    sources: tuple[str, ...]
    """The archive or graphs (`tuple` [`str`, ...])."""

    tasks: list[TaskCounts]
    """Counts by task, in the order of their labels (`list` [`TaskCounts`])."""

    exceptions: list[ExceptionGroup]
    """Exceptions, the most frequent first (`list` [`ExceptionGroup`])."""

    failures: list[Failure]
    """Quanta that have failed, or whose end is not known (`list` [`Failure`])."""

    pipeline: Pipeline
    """Tasks and what leads from one to the next (`Pipeline`)."""

    @property
    def is_complete(self) -> bool:
        """Return whether every quantum has succeeded (`bool`)."""
        return all(task.total == task.statuses["successful"] for task in self.tasks)

    @property
    def total(self) -> TaskCounts:
        """Counts of all tasks together (`TaskCounts`)."""
        total = TaskCounts("total")
        for task in self.tasks:
            total.statuses.update(task.statuses)
            total.caveats.update(task.caveats)
            total.retried += task.retried
        return total

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return it as Arrow tables.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``tasks`` with a column for each status, ``exceptions`` and ``failures``.
        """
        statuses = STATUSES.values()
        tasks = {"task_label": [one.label for one in self.tasks], "quanta": [one.total for one in self.tasks]}
        tasks |= {name.replace(" ", "_"): [one.statuses[name] for one in self.tasks] for name in statuses}
        groups = {
            "task_label": [one.task_label for one in self.exceptions],
            "exception": [one.type for one in self.exceptions],
            "message": [one.message for one in self.exceptions],
            "quanta": [one.count for one in self.exceptions],
        }
        failures = {
            "quantum_id": id_column([one.quantum_id for one in self.failures]),
            "task_label": [one.task_label for one in self.failures],
            "data_id": [data_id_text(one.data_id) for one in self.failures],
            **{
                name: pyarrow.array([getattr(one, name) for one in self.failures], pyarrow.string())
                for name in ("run", "status", "type", "message", "host")
            },
        }
        return {
            "tasks": pyarrow.table(tasks),
            "exceptions": pyarrow.table(groups),
            "failures": pyarrow.table(failures),
        }

    def _repr_html_(self) -> str:
        seen = [name for name in STATUSES.values() if self.total.statuses[name]]
        tasks = [
            [one.label, f"{one.total:,}", *(f"{one.statuses[name]:,}" for name in seen)]
            for one in [*self.tasks, self.total]
        ]
        groups = [
            [f"{one.count:,}", one.task_label, one.type, data_id_text(one.examples[0]), one.message]
            for one in self.exceptions
        ]
        header = ("quanta", "task", "exception", "for instance", "message")
        failures = html_table(header, groups, len(groups)) if groups else ""
        return html_page(
            f"Report of {', '.join(self.sources[:3])}",
            html_table(("task", "quanta", *seen), tasks, len(tasks)),
            failures,
        )


def report(*places: Name) -> RunReport:
    """Count what became of the quanta of an archive, or of provenance graphs.

    Parameters
    ----------
    *places : `str` or `os.PathLike`
        The folder of one archive, or files of provenance graphs (``.qg``).

    Returns
    -------
    report : `RunReport`
        Counts by task, exceptions, and the quanta that failed.

    Raises
    ------
    ArchiveError
        Raised if the folder is not an archive.
    QuantumGraphError
        Raised if a file is no provenance graph.
    """
    runs = Runs(*places)
    tasks: dict[str, TaskCounts] = {}
    groups: dict[tuple[str, str, str], ExceptionGroup] = {}
    failures: list[Failure] = []
    columns = ["quantum_id", "task_label", "run", "data_id", "status", "caveats", "attempts"]
    for batch in runs.batches([*columns, "exception_type", "exception_message", "host"]):
        _count(batch, tasks)
        for failure in _failures(batch, runs):
            failures.append(failure)
            _put(failure, groups)
    pipeline = runs.pipeline
    _blame(tasks, pipeline)
    return RunReport(
        runs.places,
        [tasks[label] for label in sorted(tasks)],
        sorted(
            groups.values(), key=lambda group: (-group.count, group.task_label, group.type, group.message)
        ),
        failures,
        pipeline,
    )


def _count(batch: pyarrow.Table, tasks: dict[str, TaskCounts]) -> None:
    """Add the quanta of a batch to the counts."""
    columns = pyarrow.table(
        {
            "task": batch["task_label"].cast(pyarrow.string()),
            "status": batch["status"].cast(pyarrow.int64()),
            "caveats": batch["caveats"].cast(pyarrow.int64()),
            "retried": pc.greater(batch["attempts"], scalar_of(1)),
        }
    )
    counted = columns.group_by(["task", "status", "caveats"]).aggregate(
        [([], "count_all"), ("retried", "sum")]
    )
    for row in counted.to_pylist():
        label = row["task"] or "unknown"
        task = tasks.setdefault(label, TaskCounts(label))
        status = None if row["status"] is None else QuantumStatus(row["status"])
        task.statuses[STATUSES[status]] += row["count_all"]
        task.retried += row["retried_sum"] or 0
        for caveat in Caveats(row["caveats"] or 0):
            task.caveats[str(caveat.name)] += row["count_all"]


def _failures(batch: pyarrow.Table, runs: Runs) -> Iterator[Failure]:
    """Yield the quanta of a batch that ran and have not succeeded."""
    status = batch["status"]
    wanted = pc.and_(
        pc.is_valid(status),
        pc.invert(pc.is_in(status, array_of([1, 0], status.type))),
    )
    for row in batch.filter(wanted).to_pylist():
        yield Failure(
            row["quantum_id"],
            row["task_label"] or "unknown",
            runs.data_id(row["task_label"], row["data_id"]),
            row["run"],
            STATUSES[QuantumStatus(row["status"])],
            row["exception_type"],
            row["exception_message"],
            row["host"],
        )


def _put(failure: Failure, groups: dict[tuple[str, str, str], ExceptionGroup]) -> None:
    """Put a failure with those that are like it."""
    kind = failure.type or f"no exception is known ({failure.status})"
    first = next(iter((failure.message or "").strip().splitlines()), "")
    key = failure.task_label, kind, first
    group = groups.setdefault(key, ExceptionGroup(*key))
    group.count += 1
    if failure.host:
        group.hosts[failure.host] += 1
    if len(group.examples) < _MOST_EXAMPLES:
        group.examples.append(failure.data_id)


def _blame(tasks: dict[str, TaskCounts], pipeline: Pipeline) -> None:
    """Find which failed tasks come before those with blocked quanta."""
    before: dict[str, set[str]] = {}
    for first, second in pipeline.edges():
        before.setdefault(second, set()).add(first)
    for label, task in tasks.items():
        if not task.statuses["blocked"]:
            continue
        found: set[str] = set()
        waiting = [label]
        while waiting:
            for one in before.get(waiting.pop(), ()):
                if one not in found:
                    found.add(one)
                    waiting.append(one)
        bad = {STATUSES[status] for status in QuantumStatus if status not in (*_GOOD, QuantumStatus.BLOCKED)}
        task.because_of = tuple(
            sorted(one for one in found if one in tasks and any(tasks[one].statuses[name] for name in bad))
        )
