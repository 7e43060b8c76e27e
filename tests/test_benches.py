"""The benchmarks run, compare answers before they time anything, and say what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).resolve().parent.parent / "benches"

pytestmark = pytest.mark.slow


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


def test_operations(tmp_path: Path) -> None:
    text, outcome = figures("operations.py", tmp_path, "--datasets", 10, "--rounds", 1)
    measured = outcome["operations"]
    assert outcome["datasets"] == 10
    names = [one["operation"] for one in measured]
    assert {"get", "put", "put, formatter of local files", "pruneDatasets"} <= set(names)
    lines = text.splitlines()
    assert all(line.startswith(name) for line, name in zip(lines, names, strict=True))
    assert all(one["stock_us"] > 0 and one["ours_us"] > 0 and one["ratio"] > 0 for one in measured)


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


@pytest.mark.parametrize("butler", ["stock", "ours", "memory"])
def test_executor(butler: str) -> None:
    pytest.importorskip("lsst.ctrl.mpexec")
    outcome = json.loads(run("executor.py", "--butler", butler, "--detectors", 1).splitlines()[-1])
    assert (outcome["butler"], outcome["quanta"]) == (butler, 2)
    assert outcome["ms_per_quantum"] > 0


def test_profiles() -> None:
    text = run("profiles.py", "get", "put", "--datasets", 10)
    assert "| get | stock | ours |" in text and "| put | stock | ours |" in text
