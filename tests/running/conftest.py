"""One graph for all tests of runs, with a repository that is copied for each of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

from campaign_runs import DETECTORS, Runs

from quantum_butler.demo.graph import make_repository
from quantum_butler.execution import forking


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a repository and a graph, without init-outputs: 2 tasks, 3 detectors."""
    folder = tmp_path_factory.mktemp("pristine")
    root, graph = folder / "repo", folder / "graph.qg"
    make_repository(root, graph, DETECTORS)
    return root, graph


@pytest.fixture
def runs(pristine: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Return runs in a copy of the repository."""
    shutil.copytree(pristine[0], tmp_path / "repo")
    return Runs(tmp_path, pristine[1], monkeypatch)


@pytest.fixture(autouse=True)
def _only_threads_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest-xdist has a thread that only waits for its master.
    native_threads: Callable[[int], list[int]] = forking._native_threads
    before = set(native_threads(os.getpid()))
    monkeypatch.setattr(
        forking,
        "_native_threads",
        lambda process: [thread for thread in native_threads(process) if thread not in before],
    )
