"""One graph for all tests of runs, with a repository that is copied for each of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

from campaign_runs import DETECTORS, Runs, only_threads_of_tests

from quantum_butler.demo.graph import make_repository


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
def _only_threads_of_tests() -> Iterator[None]:
    with only_threads_of_tests():
        yield
