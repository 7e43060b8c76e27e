"""Run times of quanta, and the overhead in them."""

from __future__ import annotations

__all__ = ("Overhead", "Quantiles", "RunTimes", "SlowQuantum", "TaskTimes", "quantiles_of", "times")

import heapq
import itertools
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc

from ..archive.showing import Showable, html_page, html_table, id_column
from ..archive.texts import data_id_text
from ..paths import Name
from .sources import Runs

MEASURES = ("run_time", "run_time_cpu", "memory", "prep_time", "init_time")
"""What is summed up for each task: seconds, and bytes of memory."""

PERCENTS = (50, 90, 99)
"""Which percentiles are given."""

_START = "start_time_cpu"
_READING = "graph_read_time"

_OVERHEADS = {
    "start of processes": (_START,),
    "reading the graph": (_READING,),
    "butler, reading": ("time_in_get",),
    "butler, writing": ("time_in_put",),
    "preparation": ("prep_time", "init_time"),
    "work": ("run_time",),
}


_OF_OVERHEADS = ("what", "seconds", "quanta")


@dataclass(frozen=True)
class Quantiles:
    """Percentiles of something that was measured for each quantum of a task."""

    count: int
    """Of how many quanta it is known (`int`)."""

    total: float
    """The sum (`float`)."""

    percentiles: tuple[float, ...]
    """The percentiles of `PERCENTS` (`tuple` [`float`, ...])."""

    most: float
    """The largest value (`float`)."""


@dataclass
class TaskTimes:
    """Run times and memory of the quanta of a task."""

    label: str
    """Label of the task (`str`)."""

    quanta: int
    """How many quanta it has (`int`)."""

    measures: dict[str, Quantiles]
    """Percentiles by measure, of those in `MEASURES` that are known (`dict` [`str`, `Quantiles`])."""

    samples: dict[str, Any] = field(default_factory=dict, repr=False)
    """All values by measure, for drawings (`dict` [`str`, `numpy.ndarray`])."""


@dataclass(frozen=True)
class SlowQuantum:
    """A quantum that took long."""

    run_time: float
    """Seconds that the task ran (`float`)."""

    quantum_id: uuid.UUID
    """Its id (`uuid.UUID`)."""

    task_label: str
    """Label of its task (`str`)."""

    data_id: dict[str, Any]
    """Its data ID (`dict`)."""

    memory: float | None
    """Peak memory of its process, in bytes (`float` or `None`)."""


@dataclass(frozen=True)
class Overhead:
    """Seconds that all quanta together spent on one thing."""

    what: str
    """On what (`str`)."""

    seconds: float
    """How long (`float`)."""

    quanta: int
    """Of how many quanta it is known (`int`)."""


@dataclass
class RunTimes(Showable):
    """Run times of the quanta of a run."""

    sources: tuple[str, ...]
    """The archive or graphs (`tuple` [`str`, ...])."""

    tasks: list[TaskTimes]
    """By task, in the order of their labels (`list` [`TaskTimes`])."""

    slowest: list[SlowQuantum]
    """The slowest quanta, the slowest first (`list` [`SlowQuantum`])."""

    overheads: list[Overhead]
    """What time went into (`list` [`Overhead`])."""

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return it as Arrow tables.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``tasks`` with a row for each task and measure, ``slowest`` and ``overheads``.
        """
        rows = [
            {
                "task_label": task.label,
                "measure": name,
                "quanta": found.count,
                **{f"p{percent}": one for percent, one in zip(PERCENTS, found.percentiles, strict=True)},
                "most": found.most,
                "sum": found.total,
            }
            for task in self.tasks
            for name, found in task.measures.items()
        ]
        slowest = {
            "quantum_id": id_column([one.quantum_id for one in self.slowest]),
            "task_label": [one.task_label for one in self.slowest],
            "data_id": [data_id_text(one.data_id) for one in self.slowest],
            "run_time": [one.run_time for one in self.slowest],
            "memory": [one.memory for one in self.slowest],
        }
        overheads = {name: [getattr(one, name) for one in self.overheads] for name in _OF_OVERHEADS}
        return {
            "tasks": pyarrow.Table.from_pylist(rows),
            "slowest": pyarrow.table(slowest),
            "overheads": pyarrow.table(overheads),
        }

    def _repr_html_(self) -> str:
        rows = [
            [
                task.label,
                name,
                f"{found.count:,}",
                *(f"{one:.4g}" for one in (*found.percentiles, found.most)),
            ]
            for task in self.tasks
            for name, found in task.measures.items()
        ]
        header = ("task", "measure", "quanta", *(f"{percent} %" for percent in PERCENTS), "most")
        slowest = [[f"{one.run_time:.4g}", one.task_label, data_id_text(one.data_id)] for one in self.slowest]
        return html_page(
            f"Times of {', '.join(self.sources[:3])}, in seconds and bytes",
            html_table(header, rows, len(rows)),
            html_table(("run time", "task", "data ID"), slowest),
        )


def times(*places: Name, slowest: int = 10) -> RunTimes:
    """Sum up the times and the memory of the quanta of an archive, or of provenance graphs.

    Parameters
    ----------
    *places : `str` or `os.PathLike`
        The folder of one archive, or files of provenance graphs (``.qg``).
    slowest : `int`, optional
        How many of the slowest quanta to name.

    Returns
    -------
    times : `RunTimes`
        Percentiles by task, the slowest quanta, and what time went into.

    Notes
    -----
    The last attempt of a quantum counts. Of what was measured for only some
    quanta, such as the time in the butler, only those count. What a process
    did before its first quantum is told by each quantum that it ran, and
    counts once.
    """
    runs = Runs(*places)
    counted = sorted({name for names in _OVERHEADS.values() for name in names} | {*MEASURES})
    columns = ["quantum_id", "task_label", "data_id", "host", "earlier_quanta", *counted]
    samples: dict[str, dict[str, list[Any]]] = {}
    quanta: dict[str, int] = {}
    sums = dict.fromkeys(counted, (0.0, 0))
    slow: list[tuple[float, int, SlowQuantum]] = []
    order = itertools.count()
    readings: list[pyarrow.Table] = []
    for batch in runs.batches(columns):
        readings.append(_readings(batch))
        batch = _with_starts(batch)
        for name in counted:
            seconds, known = sums[name]
            sums[name] = (seconds + (pc.sum(batch[name]).as_py() or 0), known + pc.count(batch[name]).as_py())
        _take_samples(batch, samples, quanta)
        for one in _slowest(batch, slowest, runs):
            heapq.heappush(slow, (one.run_time, -next(order), one))
            if len(slow) > slowest:
                heapq.heappop(slow)
    if readings:
        once = _readings(pyarrow.concat_tables(readings))
        sums[_READING] = (pc.sum(once[_READING]).as_py() or 0.0, sums[_READING][1])
    tasks = []
    for label in sorted(quanta):
        of_task = {name: np.concatenate(parts) for name, parts in samples[label].items()}
        measures = {name: quantiles_of(values) for name, values in of_task.items() if len(values)}
        tasks.append(TaskTimes(label, quanta[label], measures, of_task))
    overheads = [
        Overhead(what, sum(sums[name][0] for name in names), max(sums[name][1] for name in names))
        for what, names in _OVERHEADS.items()
        if any(sums[name][1] for name in names)
    ]
    return RunTimes(runs.places, tasks, [one for _, _, one in sorted(slow, reverse=True)], overheads)


def _readings(batch: pyarrow.Table) -> pyarrow.Table:
    """Return each reading of a graph once: of one reading all quanta tell the same number."""
    table = pyarrow.table({"host": batch["host"].cast(pyarrow.string()), _READING: batch[_READING]})
    return table.group_by(["host", _READING]).aggregate([])


def _with_starts(batch: pyarrow.Table) -> pyarrow.Table:
    """Return a batch in which the start of a process is told by its first quantum alone."""
    is_later = pc.fill_null(pc.greater(batch["earlier_quanta"], 0), False)
    first = pc.if_else(is_later, None, batch[_START])
    return batch.set_column(batch.column_names.index(_START), _START, first)


def _take_samples(
    batch: pyarrow.Table, samples: dict[str, dict[str, list[Any]]], quanta: dict[str, int]
) -> None:
    """Add the values of a batch to those of each task."""
    labels = pc.fill_null(batch["task_label"].cast(pyarrow.string()), "unknown")
    encoded = labels.combine_chunks().dictionary_encode()
    which = encoded.indices.to_numpy()
    values = {name: batch[name].cast(pyarrow.float64()).to_numpy() for name in MEASURES}
    for number, label in enumerate(encoded.dictionary.to_pylist()):
        own = which == number
        quanta[label] = quanta.get(label, 0) + int(own.sum())
        of_task = samples.setdefault(label, {name: [] for name in MEASURES})
        for name, column in values.items():
            mine = column[own]
            of_task[name].append(mine[~np.isnan(mine)])


def _slowest(batch: pyarrow.Table, most: int, runs: Runs) -> list[SlowQuantum]:
    """Return the slowest quanta of a batch."""
    known = batch.filter(pc.is_valid(batch["run_time"]))
    if not len(known) or not most:
        return []
    chosen = pc.select_k_unstable(known, min(most, len(known)), [("run_time", "descending")])
    return [
        SlowQuantum(
            row["run_time"],
            row["quantum_id"],
            row["task_label"] or "unknown",
            runs.data_id(row["task_label"], row["data_id"]),
            row["memory"],
        )
        for row in known.take(chosen).to_pylist()
    ]


def quantiles_of(values: Any) -> Quantiles:
    """Return percentiles of some values, of which there has to be one."""
    return Quantiles(
        len(values),
        float(values.sum()),
        tuple(map(float, np.percentile(values, PERCENTS))),
        float(values.max()),
    )
