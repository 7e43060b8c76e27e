"""A graph is run to its end, however often that is interrupted, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from campaign_runs import DETECTORS, Runs
from lsst.ctrl.mpexec.cli.script.pre_exec_init_qbb import pre_exec_init_qbb
from lsst.pipe.base.mp_graph_executor import MPGraphExecutor

from graph_runs import Deeds, interrupting, left_behind, make_executor
from quantum_butler.demo.graph import read_graph
from quantum_butler.running.campaign import Campaign

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")]

ALL = [(task, detector) for task in ("first", "second") for detector in range(DETECTORS)]


def fail() -> None:
    raise ValueError("no\nand never")


def counts(runs: Runs) -> dict[str, dict[str, int]]:
    """Return the counts that are not 0, as a new run finds them."""
    return {task: dict(+states) for task, states in runs.campaign.tally().counts.items()}


def logged(logs: Path) -> Counter[tuple[str, int, bool]]:
    """Return what the provenance logs tell of."""
    lines = [json.loads(line) for log in logs.iterdir() for line in log.read_text().splitlines()]
    return Counter((line["task_label"], line["data_id"]["detector"], line["failed"]) for line in lines)


def done_once(runs: Runs) -> None:
    """Assert that all is there, and was done once."""
    assert {key[:2]: count for key, count in logged(runs.logs).items() if not key[2]} == dict.fromkeys(ALL, 1)
    report = runs.campaign.report()
    assert report.status.name == "SUCCESS" and report.exceptionInfo is None
    assert {(one.taskLabel, one.dataId["detector"]) for one in report.quantaReports} == set(ALL)
    assert {(one.status.name, one.exitCode) for one in report.quantaReports} == {("SUCCESS", 0)}
    names = [path.name for path in (runs.root / "demo").rglob("*.json")]
    for kind in ("_metadata", "_log"):
        assert sum(kind in name for name in names) == len(ALL)


@pytest.mark.parametrize("isolation", ["fork", "process", "none"])
def test_all_is_as_upstream_leaves_it(
    runs: Runs, pristine: tuple[Path, Path], tmp_path: Path, isolation: str
) -> None:
    root = tmp_path / "upstream"
    shutil.copytree(pristine[0], root)
    pre_exec_init_qbb(str(root), str(pristine[1]), None, None)
    graph = read_graph(pristine[1])
    executor = make_executor(root, graph)
    # The command tells that in metadata, too.
    executor._job_metadata = {"qg_read_time": 0.1, "qg_size": len(graph)}
    upstream = MPGraphExecutor(num_proc=1, timeout=300, quantum_executor=executor)
    upstream.execute(graph)
    result = runs.run(isolation=isolation, jobs=1 if isolation == "none" else 2)
    assert result.is_success
    theirs, report = left_behind(root, upstream.getReport()), runs.campaign.report()
    ours = left_behind(runs.root, report)
    # One process has no exit code.
    codes = {key: (status, 0, error, known) for key, (status, _, error, known) in theirs.reports.items()}
    theirs.reports = codes
    assert len(theirs.outputs) == len(theirs.metadata) == len(theirs.logs) == len(ALL)
    assert ours == theirs
    # Configurations and versions of packages are there, too.
    assert len(files := _files(runs.root)) > 3 * len(ALL) and files == _files(root)
    summary = upstream.getReport().qgraphSummary
    assert report.qgraphSummary.model_dump() == summary.model_dump()
    done_once(runs)


def _files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("isolation", ["fork", "none"])
def test_a_failure_stays_until_it_is_to_be_tried_again(runs: Runs, isolation: str) -> None:
    how: dict[str, Any] = {"isolation": isolation, "jobs": 1}
    result = runs.run({("first", 1): fail}, **how)
    assert not result.is_success and result.tally.total("waiting") == 0
    assert {task: dict(+states) for task, states in result.tally.counts.items()} == {
        "first": {"done": 2, "failed": 1},
        "second": {"done": 2, "blocked": 1},
    }
    [line] = runs.display.lines
    assert "first" in line and "detector: 1" in line and "ValueError: no [...]" in line
    for options in ({}, {"tasks": ("second",)}):
        result = runs.run({}, **how, **options)
        assert not result.is_success and result.tally.completed == 0
        report = runs.campaign.report()
        assert report.status.name == "FAILURE" and report.exceptionInfo is not None
    states = Counter(one.status.name for one in report.quantaReports)
    assert states == {"SUCCESS": 2, "SKIPPED": 1}
    [failed] = [one for one in _report(runs, how).quantaReports if one.status.name == "FAILURE"]
    assert failed.taskLabel == "first" and failed.dataId["detector"] == 1
    assert failed.exceptionInfo is not None and failed.exceptionInfo.message == "no\nand never"
    assert runs.run({}, **how, retry_failed=True).is_success
    assert logged(runs.logs)["first", 1, True] == 1
    done_once(runs)


def _report(runs: Runs, how: dict[str, Any]) -> Any:
    runs.run({}, **how)
    return runs.campaign.report()


def test_what_was_started_and_not_noted_is_looked_at(runs: Runs) -> None:
    """What has left all that it should is not run again; what lacks anything is."""
    assert runs.run().is_success
    lines = runs.journal.read_text().splitlines(keepends=True)
    runs.journal.write_text("".join(line for line in lines if not line.startswith('{"done"')))
    before = logged(runs.logs)
    assert len(before) == len(ALL)
    assert runs.run().is_success
    assert logged(runs.logs) == before

    # One without its log, and one without its provenance.
    runs.journal.write_text("".join(line for line in lines if not line.startswith('{"done"')))
    log = min((runs.root / "demo").rglob("*first_log*.json"))
    log.unlink()
    for file in runs.logs.iterdir():
        told = [line for line in file.read_text().splitlines() if quantum_of(line) != ("second", 2)]
        file.write_text("".join(f"{line}\n" for line in told))
    assert runs.run().is_success
    assert log.exists()
    again = logged(runs.logs)
    assert again["second", 2, False] == 1 and sum(again.values()) == len(ALL) + 1


def quantum_of(line: str) -> tuple[str, int]:
    """Return the quantum that a line of a log tells of."""
    found = json.loads(line)
    return found["task_label"], found["data_id"]["detector"]


@pytest.mark.parametrize("times", [1, 2])
def test_interruptions(runs: Runs, times: int) -> None:
    deeds: Deeds = {("first", 0): interrupting(times)}
    result = runs.run(deeds, jobs=1)
    assert result.was_interrupted and not result.is_success
    assert result.tally.total("done") == (1 if times == 1 else 0)
    assert result.tally.total("failed") == 0
    assert runs.run().is_success
    done_once(runs)


def test_a_choice_of_quanta(runs: Runs) -> None:
    result = runs.run(tasks=("first",), where="detector IN (0..1)")
    assert result.is_success and counts(runs) == {"first": {"done": 2}}
    # Of the second task, one has what it needs on disk, even if another journal knows nothing of it.
    runs.journal.unlink()
    result = runs.run(tasks=("second",), where="detector > 0")
    assert not result.is_success
    assert counts(runs) == {"second": {"done": 1, "blocked": 1}}
    [name] = runs.campaign.blocked_by_choice
    assert runs.campaign.blocked_by_choice_count == 1
    assert "second" in name and "detector: 2" in name
    assert runs.campaign.report().status.name == "FAILURE"
    assert runs.run().is_success
    assert counts(runs) == {"first": {"done": 3}, "second": {"done": 3}}


def test_a_dry_run_changes_nothing(runs: Runs) -> None:
    before = sorted(runs.root.rglob("*"))
    campaign = Campaign(runs.options(), dry=True)
    assert campaign.tally().total("waiting") == len(campaign.to_run) == len(ALL)
    assert sorted(runs.root.rglob("*")) == before
    assert not runs.journal.exists() and not runs.logs.exists()
    runs.run(tasks=("first",))
    content = runs.journal.read_bytes()
    campaign = Campaign(runs.options(), dry=True)
    assert campaign.tally().total("waiting") == DETECTORS
    assert runs.journal.read_bytes() == content


def test_another_attempt_after_a_crash(runs: Runs, tmp_path: Path) -> None:
    def crash_once() -> None:
        if not (tmp_path / "crashed").exists():
            (tmp_path / "crashed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    result = runs.run({("second", 2): crash_once}, retries=1)
    assert result.is_success
    [line] = runs.display.lines
    assert "is tried again: killed by signal 9" in line
    done_once(runs)
