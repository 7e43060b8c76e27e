"""Reports say what upstream's reader says of the same file."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from lines import Line, archive_of
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

import debian
from quantum_butler import collect
from quantum_butler.reporting import report, times
from quantum_butler.reporting.counts import ExceptionGroup, Failure, RunReport, TaskCounts
from quantum_butler.reporting.page import write_page
from quantum_butler.reporting.sources import Pipeline
from quantum_butler.reporting.text import of_report
from quantum_butler.reporting.times import MEASURES, Overhead, RunTimes, SlowQuantum, TaskTimes, quantiles_of

FORMAT_1 = Path(__file__).resolve().parents[1] / "archive" / "data" / "format1"

_NAMES = {
    "SUCCESSFUL": "successful",
    "FAILED": "failed",
    "BLOCKED": "blocked",
    "ABORTED": "aborted",
    "ABORTED_SUCCESS": "log lost",
    "UNKNOWN": "unknown",
}


def ask(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantum_butler", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def upstream(graph: Path) -> Any:
    """Return upstream's graph of the same file."""
    with ProvenanceQuantumGraphReader.open(str(graph)) as reader:
        reader.read_full_graph()
        return reader.graph


def test_counts(graph: Path, upstream: Any) -> None:
    expected: dict[str, Counter[str]] = {}
    caveats: dict[str, Counter[str]] = {}
    for node in upstream.quantum_only_xgraph.nodes.values():
        label = node["task_label"]
        expected.setdefault(label, Counter())[_NAMES[node["status"].name]] += 1
        caveats.setdefault(label, Counter()).update(one.name for one in node["caveats"] or ())
    made = report(graph)
    assert {task.label: task.statuses for task in made.tasks} == expected
    assert {task.label: task.caveats for task in made.tasks} == caveats
    # There is something to count of each kind.
    assert {"successful", "failed", "blocked", "log lost"} <= made.total.statuses.keys()
    assert made.total.retried == 1 and not made.is_complete
    blocked = {task.label: task.because_of for task in made.tasks if task.statuses["blocked"]}
    assert blocked and set(blocked.values()) == {("one",)}


def test_failures(graph: Path, upstream: Any) -> None:
    expected = {
        quantum_id: (node["task_label"], _NAMES[node["status"].name], dict(node["data_id"].required))
        for quantum_id, node in upstream.quantum_only_xgraph.nodes.items()
        if node["status"].name not in ("SUCCESSFUL", "BLOCKED")
    }
    made = report(graph)
    assert {one.quantum_id: (one.task_label, one.status, one.data_id) for one in made.failures} == expected
    types = {
        attempt.exception.type_name
        for quantum_id in expected
        for attempt in upstream.quantum_only_xgraph.nodes[quantum_id]["attempts"]
        if attempt.exception is not None
    }
    assert {one.type for one in made.failures} - {None} == types
    assert sum(group.count for group in made.exceptions) == len(made.failures)
    first = next(group for group in made.exceptions if group.type == "ValueError")
    assert first.message.startswith("Simulated failure: task=one")


def test_times(graph: Path, upstream: Any) -> None:
    made = times(graph, slowest=2)
    usage: dict[str, list[Any]] = {}
    for node in upstream.quantum_only_xgraph.nodes.values():
        if node["resource_usage"] is not None:
            usage.setdefault(node["task_label"], []).append(node["resource_usage"])
    for task in made.tasks:
        for name, found in task.measures.items():
            values = [getattr(one, name) for one in usage[task.label]]
            assert found.count == len(values)
            assert found.percentiles == pytest.approx(tuple(np.percentile(values, (50, 90, 99))))
            assert (found.most, found.total) == pytest.approx((max(values), sum(values)))
    every = sorted((one.run_time for of_task in usage.values() for one in of_task), reverse=True)
    assert [one.run_time for one in made.slowest] == every[:2]
    assert {one.what for one in made.overheads} >= {"work", "preparation"}


def test_what_a_process_did_before_its_quanta_counts_once(tmp_path: Path) -> None:
    """Each quantum tells how long its process had read the graph, and what it had taken until then."""
    processes = [
        ("here", 2.5, 1.0, 0),
        ("here", 2.5, 7.0, 1),
        ("there", 2.5, 1.5, 0),
        ("here", 3.25, 2.0, None),
        ("here", None, None, None),
    ]
    names = ("host", "graph_read_time", "start_time_cpu", "earlier_quanta")
    lines = [
        Line("isr", visit, [], ["flat"], more={"execution": dict(zip(names, told, strict=True))})
        for visit, told in enumerate(processes)
    ]
    made = times(archive_of(lines, tmp_path / "run", 1))
    overheads = {one.what: (one.seconds, one.quanta) for one in made.overheads}
    assert overheads["reading the graph"] == (8.25, 4)
    assert overheads["start of processes"] == (4.5, 3)


def test_an_archive_of_the_graph_says_the_same(graph: Path, tmp_path: Path) -> None:
    collect(graph, tmp_path / "archive")
    theirs, ours = report(graph), report(tmp_path / "archive")
    assert ours.tasks == theirs.tasks and ours.exceptions == theirs.exceptions
    assert sorted(ours.failures, key=lambda one: one.quantum_id) == sorted(
        theirs.failures, key=lambda one: one.quantum_id
    )
    assert ours.pipeline.edges() == theirs.pipeline.edges() != []
    theirs_times, ours_times = times(graph), times(tmp_path / "archive")
    assert [(one.label, one.quanta, one.measures) for one in ours_times.tasks] == [
        (one.label, one.quanta, one.measures) for one in theirs_times.tasks
    ]
    assert ours_times.slowest == theirs_times.slowest


def test_an_archive_of_the_first_format(tmp_path: Path) -> None:
    """It says of a quantum whether it failed; an early one does not even say that."""
    made = report(FORMAT_1)
    assert {task.label: task.statuses for task in made.tasks} == {
        "first": {"successful": 2},
        "second": {"successful": 2},
    }
    assert made.is_complete and times(FORMAT_1).overheads == []
    early = shutil.copytree(FORMAT_1, tmp_path / "early")
    quanta = pq.read_table(early / "quanta.parquet")
    pq.write_table(quanta.drop_columns(["begin", "end", "failed", "attempts"]), early / "quanta.parquet")
    assert report(early).total.statuses == {"unknown": 4}


def test_command(graph: Path, tmp_path: Path) -> None:
    told = ask("report", graph)
    assert (told.returncode, told.stderr) == (3, "")
    assert "Of 31 quanta: 3 blocked, 2 failed, 1 log lost." in told.stdout
    found = json.loads(ask("report", graph, "--format", "json").stdout)
    assert found["complete"] is False and found["total"]["quanta"] == 31
    rows = list(csv.DictReader(ask("report", graph, "--format", "csv").stdout.splitlines()))
    assert len(rows) == len(found["failures"]) == 3
    assert ask("report", tmp_path).returncode == 2
    assert ask("report", tmp_path / "nothing").returncode == 2
    (tmp_path / "odd.qg").write_text("no graph")
    done = ask("times", tmp_path / "odd.qg")
    assert done.returncode == 1 and "odd.qg" in done.stderr and "Traceback" not in done.stderr
    assert "Slowest quanta" in ask("times", graph).stdout


def test_hosts_in_json(graph: Path) -> None:
    made = report(graph)
    made.exceptions[0].hosts.update(["node1", "node1"])
    found = json.loads(of_report(made).render("json"))["exceptions"]
    assert found[0]["hosts"] == {"node1": 2}
    assert [one["count"] for one in found] == [one.count for one in made.exceptions]


def test_tables_of_data_ids(graph: Path, tmp_path: Path) -> None:
    assert ask("report", graph, "--data-id-tables", tmp_path).returncode == 3
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ecsv")}
    assert written == {
        "one/failed/ValueError.ecsv",
        "four/failed/UNKNOWN.ecsv",
        "four/log_lost/UNKNOWN.ecsv",
    }
    table = Table.read(tmp_path / "one/failed/ValueError.ecsv")
    assert [*table["detector"]] == [1] and table.meta["task"] == "one"
    uuid.UUID(str(table["quantum_id"][0]))


def large_run(tasks: int, quanta: int) -> tuple[RunReport, RunTimes]:
    """Return what is made of a run with that many tasks and quanta, of which one in a hundred has failed."""
    labels = [f"task{number:03}" for number in range(tasks)]
    each = quanta // tasks
    failed = each // 100
    failures = [
        Failure(
            uuid.UUID(int=number),
            labels[number % tasks],
            {"visit": number},
            "r",
            "failed",
            "a.Error",
            "no " * 999,
            "h",
        )
        for number in range(failed * tasks)
    ]
    groups = [
        ExceptionGroup(label, f"a.Error{n}", "no " * 999, failed // 5, examples=[{"visit": n}])
        for label in labels
        for n in range(5)
    ]
    pipeline = Pipeline(
        {label: frozenset({f"type{number}"}) for number, label in enumerate(labels)},
        {label: frozenset({f"type{number + 1}", f"type{number + 7}"}) for number, label in enumerate(labels)},
    )
    counts = [TaskCounts(label, Counter(successful=each - failed, failed=failed)) for label in labels]
    dice = np.random.default_rng(1)
    measured = []
    for label in labels:
        samples = {name: dice.lognormal(3, 1, each) for name in MEASURES}
        measures = {name: quantiles_of(values) for name, values in samples.items()}
        measured.append(TaskTimes(label, each, measures, samples))
    slow = [SlowQuantum(9.0, uuid.UUID(int=n), labels[0], {"visit": n}, 1e9) for n in range(10)]
    return (
        RunReport(("run.qg",), counts, groups, failures, pipeline),
        RunTimes(("run.qg",), measured, slow, [Overhead("work", 1e6, quanta)]),
    )


@pytest.mark.proof
@pytest.mark.parametrize("tasks", [10, 100])
def test_pages_of_many_tasks_and_a_million_quanta_are_small(tmp_path: Path, tasks: int) -> None:
    page = tmp_path / "run.html"
    write_page(*large_run(tasks, 10**6), page)
    assert page.stat().st_size < 5_000_000
    text = page.read_text()
    assert all(f"task{number:03}" in text for number in range(tasks)) and "8,000 more" in text
    assert text.count("<figure>") >= 10
    found = 2000 // tasks
    seen = _dom(_browser(), f"{page.as_uri()}#search=task004", tmp_path)
    assert f"{found} of 2000" in seen and seen.count("<tr hidden") == 2000 - found


@pytest.mark.proof
def test_page_in_a_browser(graph: Path, tmp_path: Path) -> None:
    """The page is laid out, finds failures, and asks no network."""
    browser = _browser()
    page = tmp_path / "run.html"
    assert ask("report", graph, "--html", page).returncode == 3
    text = page.read_text()
    assert len(text) < 5_000_000
    assert 'src="http' not in text and "@import" not in text
    seen = _dom(browser, f"{page.as_uri()}#search=valueerror%20one", tmp_path)
    assert seen.count("<figure>") == 6
    assert "1 of 3" in seen and seen.count("<tr hidden") == 2
    assert "five" in seen and "25 successful" in seen
    picture = tmp_path / "page.png"
    _browse(browser, tmp_path, f"--screenshot={picture}", page.as_uri())
    assert picture.stat().st_size > 20_000


def _browser() -> str:
    """Return the command of a browser, which Debian has; the test is skipped where it cannot be installed."""
    if shutil.which("chromium") is None:
        try:
            debian.install("chromium")
        except debian.NotInstalledError as error:
            pytest.skip(str(error))
    browser = shutil.which("chromium")
    assert browser is not None
    return browser


def _dom(browser: str, address: str, folder: Path) -> str:
    return _browse(browser, folder, "--dump-dom", address).stdout


def _browse(browser: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
    ]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=200)
