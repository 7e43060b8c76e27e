"""One graph for all tests of executors, with a repository that is copied for each run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from graph_runs import NewRun
from quantum_butler.demo.graph import make_repository, pipetask, read_graph
from quantum_butler.execution import forking

DETECTORS = 4


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a repository with all that a run needs, and the graph: 2 tasks, 4 detectors."""
    folder = tmp_path_factory.mktemp("pristine")
    root, graph_file = folder / "repo", folder / "graph.qg"
    make_repository(root, graph_file, DETECTORS)
    pipetask("pre-exec-init-qbb", root, graph_file)
    return root, graph_file


@pytest.fixture
def new_run(pristine: tuple[Path, Path], tmp_path: Path) -> NewRun:
    """Return a function that gives a copy of the repository, and the graph read anew."""
    made = 0

    def make() -> tuple[Path, PredictedQuantumGraph]:
        nonlocal made
        made += 1
        root = tmp_path / f"repo{made}"
        shutil.copytree(pristine[0], root)
        return root, read_graph(pristine[1])

    return make


@pytest.fixture(autouse=True)
def _only_threads_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest-xdist has a thread that only waits for its master.
    native_threads = forking._native_threads
    before = set(native_threads(os.getpid()))
    monkeypatch.setattr(
        forking,
        "_native_threads",
        lambda process: [thread for thread in native_threads(process) if thread not in before],
    )
