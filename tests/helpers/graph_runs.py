"""A small graph, run by one executor or another, and what it has left."""

from __future__ import annotations

__all__ = (
    "Deeds",
    "Left",
    "Mischief",
    "NewRun",
    "interrupting",
    "left_behind",
    "make_executor",
    "misbehaving",
)

import dataclasses
import json
import os
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskFactory
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.quantum_reports import Report
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

from quantum_butler import QuantumBackedButlerFactory

NewRun = Callable[[], tuple[Path, PredictedQuantumGraph]]
Deeds = Mapping[tuple[str, int], Callable[[], object]]


class Mischief(TaskFactory):
    """Upstream's factory of tasks, some of which do something before they run."""

    def __init__(self, deeds: Deeds):
        self._deeds = deeds

    def makeTask(self, task_node: Any, *arguments: Any, **options: Any) -> Any:
        task = super().makeTask(task_node, *arguments, **options)
        run = task.runQuantum

        def run_quantum(butler: Any, inputs: Any, outputs: Any) -> None:
            if (deed := self._deeds.get((task_node.label, butler.quantum.dataId["detector"]))) is not None:
                deed()
            run(butler, inputs, outputs)

        task.runQuantum = run_quantum  # type: ignore[method-assign]
        return task


def interrupting(times: int) -> Callable[[], None]:
    """Return a deed that interrupts this process, once, or again and again until it is ended itself."""
    parent = os.getpid()

    def interrupt() -> None:
        os.kill(parent, signal.SIGINT)
        while times == 2:
            # Two signals that come at once would be one.
            os.kill(parent, signal.SIGINT)
            os.sched_yield()

    return interrupt


def make_executor(root: Path, graph: PredictedQuantumGraph) -> SingleQuantumExecutor:
    """Return upstream's executor of single quanta, set up as ``pipetask run-qbb`` does."""
    executor = misbehaving(root, graph, {})
    executor._task_factory = TaskFactory()
    return executor


def misbehaving(root: Path, graph: PredictedQuantumGraph, deeds: Deeds) -> SingleQuantumExecutor:
    """Return an executor of single quanta, with what some do before they run."""
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}
    return SingleQuantumExecutor(
        task_factory=Mischief(deeds),
        limited_butler_factory=QuantumBackedButlerFactory(str(root), graph.pipeline_graph.universe, types),
        skip_existing=True,
        clobber_outputs=True,
        job_metadata={"qg_size": len(graph)},
    )


@dataclasses.dataclass
class Left:
    """What a run has left, without what differs from run to run."""

    files: set[str]
    outputs: dict[str, Any]
    metadata: dict[str, Any]
    logs: dict[str, Any]
    reports: dict[Any, Any]
    status: str


def left_behind(root: Path, report: Report | None) -> Left:
    """Return what a run has left in a repository, and what it reported."""
    assert report is not None
    outputs, metadata, logs = {}, {}, {}
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.json")}
    for name, path in files.items():
        content = path.read_text()
        if "_metadata" in name:
            metadata[name] = _without_times(json.loads(content))
        elif "_log" in name:
            logs[name] = _plain_log(content)
        elif "packages" not in name and not name.startswith("input_run"):
            outputs[name] = content
    reports = {
        (one.taskLabel, one.dataId["detector"]): (
            one.status.name,
            one.exitCode,
            None if one.exceptionInfo is None else one.exceptionInfo.className,
            isinstance(one.quantumId, uuid.UUID),
        )
        for one in report.quantaReports
    }
    assert len(reports) == len(report.quantaReports)
    return Left(set(files), outputs, metadata, logs, reports, report.status.name)


def _without_times(content: Any) -> Any:
    """Return the names of all entries of metadata, and the values of those that are no measurements."""
    kept = ("outputs", "caveats", "n_put", "n_get", "qg_size", "nodeName")
    if isinstance(content, dict):
        return {
            key: value if key in kept else _without_times(value)
            for key, value in content.items()
            if key != "gc_metrics"
        }
    return type(content).__name__


def _plain_log(content: str) -> list[tuple[str, str, str]]:
    """Return logger, level and message of each record, without seconds in the text."""
    records = ButlerLogRecords.from_raw(content)
    return [(record.name, record.levelname, record.message.partition(" took ")[0]) for record in records]
