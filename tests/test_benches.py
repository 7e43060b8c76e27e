"""The benchmarks run, compare answers before they time anything, and say what they measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).resolve().parent.parent / "benches"

pytestmark = [pytest.mark.slow, pytest.mark.proof]


def run(script: str, *arguments: object) -> str:
    """Run a benchmark, and return what it printed."""
    command = [sys.executable, str(BENCHES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(script: str, folder: Path, *arguments: object) -> tuple[str, Any]:
    """Run a benchmark, and return what it printed and what it wrote."""
    path = folder / "figures.json"
    return run(script, *arguments, "--json", path), json.loads(path.read_text())


def test_frontier(tmp_path: Path) -> None:
    sizes = ("--quanta", 10_000, "--edges", 50_000, "--layers", 5)
    text, outcome = figures("frontier.py", tmp_path, *sizes)
    assert text.startswith("10,000 quanta, 50,000 edges: made in ")
    assert outcome["per_second"] > 0 and outcome["peak_mib"] > 0


def test_aggregating(tmp_path: Path) -> None:
    pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")
    _, outcome = figures("aggregating.py", tmp_path, "--quanta", 10)
    assert outcome["quanta"] == 10
    assert outcome["seconds"].keys() == {"upstream", "scan", "logs"}


def test_operations(tmp_path: Path) -> None:
    text, outcome = figures("operations.py", tmp_path, "--datasets", 10, "--rounds", 1)
    measured = outcome["operations"]
    assert outcome["datasets"] == 10
    names = [one["operation"] for one in measured]
    assert {"get", "put", "put, formatter of local files", "pruneDatasets"} <= set(names)
    lines = text.splitlines()
    assert all(line.startswith(name) for line, name in zip(lines, names, strict=True))
    assert all(one["stock_us"] > 0 and one["ours_us"] > 0 and one["ratio"] > 0 for one in measured)


def test_reach(tmp_path: Path) -> None:
    text, outcome = figures("reach.py", tmp_path, "--datasets", 4, "--rounds", 1)
    measured = {(one["place"], one["operation"]): one for one in outcome["reach"]}
    assert {place for place, _ in measured} == {"local", "debug", "chain", "s3", "s3, cached"}
    assert len(text.splitlines()) == len(measured)
    put = measured["s3", "put"]
    assert (put["stock_requests"], put["ours_requests"]) == (8, 4)
    assert measured["local", "get"]["stock_requests"] == measured["s3, cached", "get"]["ours_requests"] == 0


# Runs in the benchmark's own folder: a class that answers differently.
WRONG = """
import runpy, sys
import repository

class Wrong(repository.CLASSES["ours"]):
    def {method}(self, *args, **options):
        {body}

repository.CLASSES["ours"] = Wrong
sys.argv = ["{script}", "--datasets", "10", "--rounds", "1", {more}]
runpy.run_path("{script}", run_name="__main__")
"""


@pytest.mark.parametrize(
    ["script", "method", "body", "more"],
    [
        ("operations.py", "get", "return {}", '"--only", "get"'),
        ("operations.py", "put", "return args[1]", '"--only", "put"'),
        ("threads.py", "stored_many", "return dict.fromkeys(args[0], True)", ""),
    ],
    ids=["get", "put", "threads"],
)
def test_answers_are_compared(script: str, method: str, body: str, more: str) -> None:
    code = WRONG.format(script=script, method=method, body=body, more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=BENCHES)
    assert done.returncode == 1
    assert "timed" in done.stderr


@pytest.mark.parametrize("butler", ["stock", "ours"])
def test_bulk(tmp_path: Path, butler: str) -> None:
    text, outcome = figures("bulk.py", tmp_path, "--butler", butler, "--datasets", 20, "--rounds", 1)
    assert (outcome["butler"], outcome["datasets"]) == (butler, 20)
    names = [one["operation"] for one in outcome["operations"]]
    assert len(names) > 5
    assert [name for name in names for line in text.splitlines() if line.startswith(f"{name} ")] == names
    assert all(one["us"] > 0 for one in outcome["operations"])


def test_threads(tmp_path: Path) -> None:
    text, outcome = figures("threads.py", tmp_path, "--datasets", 600, "--rounds", 1)
    assert text.startswith("stored_many, 2 x 600 recorded")
    assert outcome["datasets"] == 600
    assert min(outcome[name] for name in ("one_ms", "two_ms", "ratio")) > 0


def test_log(tmp_path: Path) -> None:
    text, outcome = figures("log.py", tmp_path, "--quanta", 3, "--rounds", 1)
    assert [line.split()[0] for line in text.splitlines()] == ["stock", ".jsonl", ".jsonl.zst"]
    ways = outcome["ways"]
    assert list(ways) == ["stock", ".jsonl", ".jsonl.zst"]
    assert all(one["us"] > 0 and one["ratio"] > 0 for one in ways.values())
    # The heading of a line comes on top of what the stock model has; both are bytes of one quantum.
    assert ways[".jsonl"]["bytes"] > ways["stock"]["bytes"] > ways[".jsonl.zst"]["bytes"] > 100


def test_a_log_that_says_something_else_is_not_timed() -> None:
    code = """
import runpy, sys
import quantum_butler.quantum.log as module

class Wrong(module.ProvenanceLog):
    def append(self, quantum_id, source, **options):
        data = source.extract_provenance_data()
        data.actual_inputs.clear()
        super().append(quantum_id, data, **options)

import quantum_butler
quantum_butler.ProvenanceLog = Wrong
sys.argv = ["log.py", "--quanta", "2", "--rounds", "1"]
runpy.run_path("log.py", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=BENCHES)
    assert done.returncode == 1
    assert "nothing was timed" in done.stderr


def test_lineage(tmp_path: Path) -> None:
    text, outcome = figures("lineage.py", tmp_path, "--quanta", 1000)
    assert outcome["quanta"] == 1000 and outcome["edges"] > 10_000
    assert all(value > 0 for value in outcome.values())
    assert [line.split()[0] for line in text.splitlines()] == list(outcome)


# Cargo may have to build what makes the campaign.
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo makes the campaign")
def test_collect(tmp_path: Path) -> None:
    options = ["--quanta", 100, 2000, "--stock", 100, "--rounds", 1, "--logs", 60, "--folder", tmp_path]
    text, outcome = figures("collect.py", tmp_path, *options)
    assert outcome["reading"]["lines"] == 100
    assert outcome["reading"]["columns_us"] > 0 and outcome["reading"]["stock_us"] > 0
    small, large = outcome["collect"]
    # A campaign has whole coadds.
    assert 100 <= small["quanta"] < 2000 <= large["quanta"]
    assert {"quanta.parquet", "lineage.arrow", "manifest.json"} <= small["bytes"].keys()
    [logs] = outcome["small"]
    assert logs["quanta"] == 60
    assert text.count("collect ") == 3


# It runs every benchmark, which takes a minute on a machine that has nothing else to do.
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("cargo") is None, reason="the page names the compiler")
def test_the_page_of_results(tmp_path: Path) -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    run("report.py", "--quick", "--no-kernels", "--output", tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "one quantum, cold process" in page.split("## Campaigns")[1]
    titles = ["Logging it", "Reading it", "Collecting it", "Asking", "Back into a repository"]
    assert [line[4:] for line in page.split("## Provenance")[1].splitlines() if line[:4] == "### "] == titles
    # Every row of a table has as many cells as its head.
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_file_mode(tmp_path: Path) -> None:
    text, outcome = figures("file_mode.py", tmp_path, "--datasets", 8, "--rounds", 1)
    assert outcome["datasets"] == 8
    assert len(outcome["microseconds"]) == 5
    assert all(way in text for way in outcome["microseconds"])
    assert all(time > 0 for times in outcome["microseconds"].values() for time in times.values())
    assert set(outcome["added_to_put"]) < set(outcome["microseconds"])


SMALL = ("--quanta", 10, "--stock", 2, "--rounds", 1, "--bps-jobs", 2, "--frontier", 10_000)


# Stock and BPS start a Python for each quantum.
@pytest.mark.timeout(1200)
def test_execution(tmp_path: Path) -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    text, outcome = figures("execution.py", tmp_path, *SMALL)
    assert text.startswith(f"Equal: {'; '.join(outcome['compared'])}") and len(outcome["compared"]) >= 6
    assert min(outcome["cold"].values()) > 0 and min(outcome["isolation"].values()) > 0
    assert (outcome["commands"]["stock_quanta"], outcome["commands"]["ours_quanta"]) == (2, 10)
    assert all(one["per_second"] > 0 and one["empty_per_second"] > 0 for one in outcome["engines"].values())
    bps = outcome["bps"]
    assert bps is None or (bps["stock_seconds"] > 0 and bps["ours_seconds"] > 0)
    assert outcome["frontier"]["quanta"] == 10_000


@pytest.mark.timeout(1200)
def test_campaigns_that_leave_something_else_are_not_timed() -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    arguments = ["execution.py", *map(str, SMALL)]
    code = f"""
import execution, sys
# More is logged than by the stock command.
execution.OURS = [*execution.OURS[:-1], "--log-level", "lsst=DEBUG", "run-qbb"]
sys.argv = {arguments}
execution.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=BENCHES)
    assert done.returncode == 1
    assert "ours, -j 1: nothing was timed: the content of first_log" in done.stderr, done.stderr
    assert not done.stdout


@pytest.mark.parametrize("butler", ["stock", "ours", "memory"])
def test_executor(butler: str) -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    outcome = json.loads(run("executor.py", "--butler", butler, "--detectors", 1).splitlines()[-1])
    assert (outcome["butler"], outcome["quanta"]) == (butler, 2)
    assert outcome["ms_per_quantum"] > 0


def test_profiles() -> None:
    text = run("profiles.py", "get", "put", "--datasets", 10)
    assert "| get | stock | ours |" in text and "| put | stock | ours |" in text


def test_transfer(tmp_path: Path) -> None:
    text, outcome = figures("transfer.py", tmp_path, "--quanta", 20, "--rounds", 1, "--memory")
    assert set(outcome["sides"]) == {"stock", "ours", "ours, stock models"}
    assert all(side["ms_per_quantum"] > 0 and side["peak_mib"] > 0 for side in outcome["sides"].values())
    assert len(text.splitlines()) == 3


def test_transfer_of_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")
    text, outcome = figures("transfer_graph.py", tmp_path, "--detectors", 3, "--rounds", 1)
    assert outcome["quanta"] == 6
    assert set(outcome["ms_per_quantum"]) == {"stock", "ours", "ours, all there"}
    assert len(text.splitlines()) == 3
