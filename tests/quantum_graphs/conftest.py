"""Graphs that upstream has made of one run, for all tests of readers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from mixed_run import MixedRun, aggregate, make_mixed_run


@pytest.fixture(scope="session")
def mixed_run(tmp_path_factory: pytest.TempPathFactory) -> MixedRun:
    """Return a run in which quanta end in every way there is; leave it as it is."""
    return make_mixed_run(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="session")
def plain_graph(mixed_run: MixedRun) -> Path:
    """Return upstream's provenance graph of the run, without a dictionary."""
    return aggregate(mixed_run.root, mixed_run.graph_file, mixed_run.root.parent / "plain.qg")


@pytest.fixture(scope="session")
def trained_graph(mixed_run: MixedRun) -> Path:
    """Return upstream's provenance graph of the run, with a trained dictionary."""
    path = mixed_run.root.parent / "trained.qg"
    return aggregate(mixed_run.root, mixed_run.graph_file, path, zstd_dict_n_inputs=12, zstd_dict_size=4096)


@pytest.fixture(scope="session")
def other_visit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return upstream's provenance graph of another visit, made in a repository of its own."""
    folder = tmp_path_factory.mktemp("other")
    run = make_mixed_run(folder, detectors=5, visit=8)
    return aggregate(
        run.root, run.graph_file, folder / "other.qg", zstd_dict_n_inputs=10, zstd_dict_size=4000
    )


@pytest.fixture(params=["plain", "trained"])
def provenance_file(request: pytest.FixtureRequest) -> Path:
    """Return each of these graphs."""
    found: Path = request.getfixturevalue(f"{request.param}_graph")
    return found
