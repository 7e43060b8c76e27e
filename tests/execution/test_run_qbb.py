"""``pipetask run-qbb -j 2`` under ``quantum-butler exec`` leaves what the stock command leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lsst.pipe.base.quantum_reports import Report

import quantum_butler
from commands import run_exec
from graph_runs import left_behind
from quantum_butler.demo.graph import make_repository, pipetask
from quantum_butler.dropin.graph_executor import StandInGraphExecutor

pytestmark = pytest.mark.slow

EXECUTOR = "from lsst.pipe.base.mp_graph_executor import MPGraphExecutor as e; print(e.__name__)"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a repository and a graph of four quanta: stock takes seconds for each."""
    folder = tmp_path_factory.mktemp("small")
    make_repository(folder / "repo", folder / "graph.qg", 2)
    pipetask("pre-exec-init-qbb", folder / "repo", folder / "graph.qg")
    return folder / "repo", folder / "graph.qg"


def _pipetask(root: Path, graph: Path, summary: Path) -> list[str]:
    command = os.path.join(os.path.dirname(sys.executable), "pipetask")
    return [
        command,
        "--log-level",
        "INFO",
        "run-qbb",
        str(root),
        str(graph),
        "-j",
        "2",
        "--summary",
        str(summary),
    ]


def test_all_is_as_the_stock_command_leaves_it(small: tuple[Path, Path], tmp_path: Path) -> None:
    pristine, graph = small
    left: dict[str, Any] = {}
    counted: dict[str, int] = {}
    for side in ("stock", "ours"):
        root, summary = tmp_path / side, tmp_path / f"{side}.json"
        shutil.copytree(pristine, root)
        command = _pipetask(root, graph, summary)
        if side == "stock":
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        else:
            logs = tmp_path / "logs"
            done = run_exec("--require", "--provenance-log", logs, *command, env=dict(os.environ))
            lines = [line for log in logs.iterdir() for line in log.read_text().splitlines()]
            assert len({json.loads(line)["quantum_id"] for line in lines}) == len(lines) == 4
        assert done.returncode == 0, done.stderr
        counted[side] = (done.stdout + done.stderr).count(
            "Executed 4 quanta successfully, 0 failed and 0 remain"
        )
        left[side] = left_behind(root, Report.model_validate_json(summary.read_text()))
    assert len(left["stock"].outputs) == len(left["stock"].metadata) == len(left["stock"].logs) == 4
    assert all(left["stock"].logs.values())
    assert left["ours"] == left["stock"]
    assert counted["ours"] == counted["stock"] == 1


def test_the_switch_leaves_it_to_upstream() -> None:
    for value, name in (
        (None, "StandInGraphExecutor"),
        ("1", "StandInGraphExecutor"),
        ("0", "MPGraphExecutor"),
    ):
        env = {**os.environ, **({} if value is None else {"QUANTUM_BUTLER_EXECUTOR": value})}
        done = run_exec("--require", sys.executable, "-c", EXECUTOR, env=env)
        assert done.stdout.split() == [name]


def test_install_and_uninstall() -> None:
    import lsst.pipe.base.mp_graph_executor as module
    from lsst.ctrl.mpexec.cli.script.run_qbb import run_qbb

    stock = module.MPGraphExecutor
    quantum_butler.install()
    try:
        assert module.MPGraphExecutor is stock
        quantum_butler.install(executor=True)
        assert module.MPGraphExecutor is run_qbb.__globals__["MPGraphExecutor"] is StandInGraphExecutor
        assert issubclass(StandInGraphExecutor, stock)
    finally:
        quantum_butler.uninstall()
    assert module.MPGraphExecutor is run_qbb.__globals__["MPGraphExecutor"] is stock
