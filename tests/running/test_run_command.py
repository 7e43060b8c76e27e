"""``quantum-butler run``: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from campaign_runs import DETECTORS
from lsst.pipe.base.quantum_reports import Report

import commands

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "quantum_butler", "run"]


def test_lines_and_reports(pristine: tuple[Path, Path], tmp_path: Path) -> None:
    root, graph = tmp_path / "repo", tmp_path / "graph.qg"
    shutil.copytree(pristine[0], root)
    shutil.copy(pristine[1], graph)
    options = [
        root,
        graph,
        "--logs",
        tmp_path / "logs",
        "--summary",
        tmp_path / "summary.json",
        "--format",
        "json",
    ]
    done = commands.run(*COMMAND, *options, "-j", "2", "--limit-tasks", "first")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tasks"] == {
        "first": {"waiting": 0, "running": 0, "done": DETECTORS, "failed": 0, "blocked": 0}
    }
    assert found["journal"] == f"{graph}.journal" and Path(found["journal"]).exists()
    assert done.stderr.startswith("0 of 3 quanta done")
    report = Report.model_validate_json((tmp_path / "summary.json").read_text())
    assert len(report.quantaReports) == _lines(tmp_path / "logs") == DETECTORS
    # The messages that go into logs are those of pipetask.
    log = json.loads(min((root / "demo").rglob("*first_log*.json")).read_text())
    records = log if isinstance(log, list) else log["records"]
    assert {"INFO"} <= {record["levelname"] for record in records}


def _lines(logs: Path) -> int:
    return sum(log.read_bytes().count(b"\n") for log in logs.iterdir())


def test_quiet_and_verbose(pristine: tuple[Path, Path], tmp_path: Path) -> None:
    """Without progress, but with what has failed; and with messages."""
    root = tmp_path / "repo"
    shutil.copytree(pristine[0], root)
    next((root / "input_run").rglob("*detector1*")).unlink()
    options = [root, pristine[1], "--journal", tmp_path / "journal"]
    done = commands.run(*COMMAND[:-1], "-q", "run", *options, "--output", tmp_path / "output")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("<first") and "FileNotFoundError" in line
    assert "Traceback" in (tmp_path / "output").read_text()
    done = commands.run(*COMMAND[:-1], "-v", "run", *options, "--retry-failed")
    assert "INFO lsst.pipe.base" in done.stderr


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--isolation", "none", "-j", "2"), 2, "--jobs must be 1"),
        (("--limit-tasks", "Frist", "--dry-run"), 2, "no quanta of task 'Frist'; there are first, second"),
        (("--where", "instrument = 'FooCam'", "--dry-run"), 2, "no quantum is chosen"),
        (("--where", "detector ="), 2, "--where 'detector ='"),
        (("--log-level", "LOUD"), 1, "'LOUD' is none of"),
        (("--journal", "no/where"), 2, "there is no folder no"),
    ],
)
def test_errors(
    pristine: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], status: int, message: str
) -> None:
    journal = () if "--journal" in options else ("--journal", tmp_path / "journal")
    done = commands.run(*COMMAND, *pristine, *journal, *options)
    assert done.returncode == status
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "journal").exists()


def test_a_graph_that_is_not_there(tmp_path: Path) -> None:
    said = commands.invoke("run", tmp_path, tmp_path / "nowhere.qg", "--dry-run", status=2).stderr
    assert "nowhere.qg: there is no such graph" in said


def test_a_table_on_a_terminal(pristine: tuple[Path, Path], tmp_path: Path) -> None:
    root = tmp_path / "repo"
    shutil.copytree(pristine[0], root)
    # The first task of one detector finds no input.
    next((root / "input_run").rglob("*detector1*")).unlink()
    journal = tmp_path / "journal"
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, root, pristine[1], "--journal", journal, "-j", "2"],
        stdout=subprocess.PIPE,
        stderr=end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(end)
    shown = b""
    try:
        while chunk := os.read(terminal, 1 << 16):
            shown += chunk
    except OSError:
        # Nobody has the other end any more.
        pass
    os.close(terminal)
    assert process.stdout is not None
    with process.stdout:
        table = process.stdout.read().decode()
    assert process.wait() == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    for word in (
        "waiting",
        "running",
        "blocked",
        "first",
        "second",
        "6 quanta done",
        "detector: 1}> failed: ",
    ):
        assert word in text
    assert "Traceback" not in text and "Traceback" in journal.with_name("journal.output").read_text()
    assert [line.split() for line in table.splitlines()] == [
        ["task", "waiting", "running", "done", "failed", "blocked"],
        ["first", "0", "0", "2", "1", "0"],
        ["second", "0", "0", "2", "0", "1"],
        ["all", "0", "0", "4", "1", "1"],
    ]
