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

SMALL = ("--quanta", 10, "--stock", 2, "--rounds", 1, "--bps-jobs", 2, "--frontier", 10_000)


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


# It runs nearly every benchmark. Stock and BPS start a Python for each quantum, and cargo may have to build
# what makes the campaign.
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("cargo") is None, reason="the page names the compiler")
def test_the_page_of_results(tmp_path: Path) -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    run("report.py", "--quick", "--no-kernels", "--output", tmp_path, "--json", tmp_path / "figures.json")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "one quantum, cold process" in page.split("## Campaigns")[1]
    titles = ["Logging it", "Reading it", "Collecting it", "Asking", "Back into a repository"]
    assert [line[4:] for line in page.split("## Provenance")[1].splitlines() if line[:4] == "### "] == titles
    # Every row of a table has as many cells as its head.
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block
    check_figures(json.loads((tmp_path / "figures.json").read_text()))


def check_figures(figures: dict[str, Any]) -> None:
    """Check that all has been measured, on as much as was asked for."""
    assert [one["datasets"] for one in figures["operations"]] == [10, 300]
    for part in figures["operations"]:
        names = {one["operation"] for one in part["operations"]}
        assert {"get", "put", "put, formatter of local files", "pruneDatasets"} <= names
        assert all(min(one["stock_us"], one["ours_us"], one["ratio"]) > 0 for one in part["operations"])
    assert [(one["butler"], one["datasets"]) for one in figures["bulk"]] == [
        ("stock", 100),
        ("ours", 100),
        ("ours", 1000),
    ]
    for part in figures["bulk"]:
        assert len(part["operations"]) > 5 and all(one["us"] > 0 for one in part["operations"])
    assert min(figures["threads"][name] for name in ("one_ms", "two_ms", "ratio")) > 0
    assert set(figures["executor"]) == {"stock", "ours", "memory"} and min(figures["executor"].values()) > 0
    times = figures["files"]["microseconds"]
    assert len(times) == 5 and set(figures["files"]["added_to_put"]) < set(times)
    check_places(figures)
    check_provenance(figures)
    check_campaigns(figures["execution"])


def check_places(figures: dict[str, Any]) -> None:
    measured = {(one["place"], one["operation"]): one for one in figures["places"]}
    assert {place for place, _ in measured} == {"local", "debug", "chain", "s3", "s3, cached"}
    assert {"get of a component", "one whole quantum, 10 in 5 out"} <= {name for _, name in measured}
    put = measured["s3", "put"]
    assert (put["stock_requests"], put["ours_requests"]) == (2, 1) and put["bare_cpu_us"] > 0
    assert measured["local", "get"]["stock_requests"] == measured["s3, cached", "get"]["ours_requests"] == 0
    sizes = figures["sizes"]
    assert len({one["formatter"] for one in sizes}) == 8 and {one["checksum"] for one in sizes} == {
        True,
        False,
    }
    assert (
        min(
            one[f"{side}_{what}_us"] for one in sizes for side in ("stock", "ours") for what in ("get", "put")
        )
        > 0
    )
    images = {(one["place"], one["butler"]): one["parts_ms"] for one in figures["images"]}
    assert len(images) == 4 and min(parts["butler"] for parts in images.values()) > 0
    assert min(images["s3", side]["requests"] for side in ("stock", "ours")) > 0


def check_provenance(figures: dict[str, Any]) -> None:
    ways = figures["log"]["ways"]
    assert list(ways) == ["stock", ".jsonl", ".jsonl.zst"]
    assert all(one["us"] > 0 and one["ratio"] > 0 for one in ways.values())
    # The heading of a line comes on top of what the stock model has; both are bytes of one quantum.
    assert ways[".jsonl"]["bytes"] > ways["stock"]["bytes"] > ways[".jsonl.zst"]["bytes"] > 100
    reading = figures["collect"]["reading"]
    assert reading["lines"] == 100 and min(reading["columns_us"], reading["stock_us"]) > 0
    small, large = figures["collect"]["collect"]
    # A campaign has whole coadds.
    assert 300 <= small["quanta"] < 1000 <= large["quanta"]
    assert {"quanta.parquet", "lineage.arrow", "manifest.json"} <= small["bytes"].keys()
    assert [one["quanta"] for one in figures["collect"]["small"]] == [200]
    lineage = dict(figures["lineage"])
    questions = lineage.pop("questions")
    assert lineage["quanta"] == 1000 and lineage["edges"] > 10_000 and min(lineage.values()) > 0
    assert len(questions) >= 9 and min(one["warm_s"] for one in questions) > 0
    assert 0 < questions[-1]["bytes"] < 5e6
    assert set(figures["transfer"]["sides"]) == {"stock", "ours", "ours, stock models"}
    assert all(side["ms_per_quantum"] > 0 for side in figures["transfer"]["sides"].values())


def check_campaigns(figures: dict[str, Any]) -> None:
    assert len(figures["compared"]) >= 5
    assert min(figures["cold"].values()) > 0 and min(figures["isolation"].values()) > 0
    assert (figures["commands"]["stock_quanta"], figures["commands"]["ours_quanta"]) == (2, 10)
    assert all(one["per_second"] > 0 and one["empty_per_second"] > 0 for one in figures["engines"].values())
    bps = figures["bps"]
    assert bps is None or min(bps["stock_seconds"], bps["ours_seconds"]) > 0
    assert figures["frontier"]["quanta"] == 10_000 and figures["frontier"]["per_second"] > 0
    ways = {"upstream", "scan", "logs"}
    assert figures["aggregating"]["seconds"].keys() == ways | {f"{one}, ingest" for one in ways}


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


@pytest.mark.timeout(1200)
def test_campaigns_that_leave_something_else_are_not_timed() -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    arguments = ["execution.py", "--only", "commands", *map(str, SMALL)]
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


def test_profiles() -> None:
    text = run("profiles.py", "get", "put", "--datasets", 10)
    assert "| get | stock | ours |" in text and "| put | stock | ours |" in text


def test_transfer_of_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")
    text, outcome = figures("transfer_graph.py", tmp_path, "--detectors", 3, "--rounds", 1)
    assert outcome["quanta"] == 6
    assert set(outcome["ms_per_quantum"]) == {"stock", "ours", "ours, all there"}
    assert len(text.splitlines()) == 3
