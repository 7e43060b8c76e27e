"""A disk that is full in the middle of a run: which quanta count as done, and what can be collected."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lsst.pipe.base.mp_graph_executor import MPGraphExecutor, MPGraphExecutorError
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.quantum_reports import Report

import quantum_butler
from commands import run_exec
from full_disks import Disk, disk
from graph_runs import Deeds, NewRun, misbehaving
from quantum_butler import collect
from quantum_butler.demo.graph import OUTPUT_RUN, make_repository
from quantum_butler.execution import WarmGraphExecutor

__all__ = ("disk",)

pytestmark = pytest.mark.slow

KINDS: dict[str, Callable[..., Any]] = {
    "upstream": lambda executor: MPGraphExecutor(num_proc=1, timeout=60.0, quantum_executor=executor),
    "fork": lambda executor: WarmGraphExecutor(quantum_executor=executor, jobs=2),
    "process": lambda executor: WarmGraphExecutor(quantum_executor=executor, isolation="process"),
}


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """Leave nothing installed."""
    yield
    quantum_butler.uninstall()


def execute(kind: str, root: Path, graph: PredictedQuantumGraph, deeds: Deeds) -> Report:
    executor = KINDS[kind](misbehaving(root, graph, deeds))
    with contextlib.suppress(MPGraphExecutorError):
        executor.execute(graph)
    report = executor.getReport()
    assert report is not None
    return report


def collected(folder: Path, *logs: Path) -> list[dict[str, Any]]:
    """Return the quanta of all logs."""
    report = collect(logs, folder, overwrite=True)
    assert report.rejected == 0
    return pq.read_table(folder / "quanta.parquet").to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_could_not_be_logged_runs_again(kind: str, new_run: NewRun, disk: Disk, tmp_path: Path) -> None:
    root, graph = new_run()
    logs = disk.folder / "logs"
    quantum_butler.install(provenance_log=logs)
    report = execute(kind, root, graph, {("first", 2): disk.fill})
    failed = [one for one in report.quantaReports if one.status.name == "FAILURE"]
    assert failed and all("OSError" in str(one.exceptionInfo) for one in failed)
    disk.free()
    report = execute(kind, root, graph, {})
    assert all(one.status.name == "SUCCESS" for one in report.quantaReports)
    quanta = collected(tmp_path / "archive", logs)
    assert {one["quantum_id"] for one in quanta} == set(graph.quantum_only_xgraph)
    # Each has written its output, its metadata and its log, and tells what it has read.
    assert {(one["status"], one["actual_outputs"], one["actual_inputs"]) for one in quanta} == {(1, 3, 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_spilled_is_done(kind: str, new_run: NewRun, disk: Disk, tmp_path: Path) -> None:
    root, graph = new_run()
    logs, spill = disk.folder / "logs", tmp_path / "spill"
    quantum_butler.install(provenance_log=logs, spill_to=spill)
    report = execute(kind, root, graph, {("first", 2): disk.fill})
    assert all(one.status.name == "SUCCESS" for one in report.quantaReports)
    quanta = collected(tmp_path / "archive", logs, spill)
    assert {one["quantum_id"] for one in quanta} == set(graph.quantum_only_xgraph)
    assert {(one["status"], one["attempts"], one["actual_outputs"]) for one in quanta} == {(1, 1, 3)}
    assert len(collected(tmp_path / "part", spill)) < len(quanta)


def test_the_folder_is_tried_before_the_first_quantum(new_run: NewRun, disk: Disk, tmp_path: Path) -> None:
    root, graph = new_run()
    quantum_butler.install(provenance_log=disk.folder / "logs", spill_to=tmp_path / "spill")
    before = sorted(root.rglob("*"))
    disk.fill()
    with pytest.raises(OSError, match="nothing can be written here"):
        WarmGraphExecutor(quantum_executor=misbehaving(root, graph, {}), jobs=2).execute(graph)
    assert sorted(root.rglob("*")) == before


def test_pipetask_run_says_that_it_is_not_covered(tmp_path: Path) -> None:
    """Logs of other commands in the same folder do not keep it from that."""
    root, logs = tmp_path / "repo", tmp_path / "logs"
    graph = tmp_path / "graph.qg"
    make_repository(root, graph, 2)
    env = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    run = f"pipetask run -b {root} -g {graph} --output-run {OUTPUT_RUN} --register-dataset-types"
    done = run_exec("--provenance-log", logs, "sh", "-c", f"touch {logs}/of-others.jsonl; {run}", env=env)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("quantum-butler exec:")]
    assert len(told) == 1 and "4 quanta were run with a full butler" in told[0] and str(logs) in told[0]
