"""A provenance graph that upstream has made of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from mixed_run import MixedRun, aggregate, make_mixed_run


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> MixedRun:
    """Return a run with quanta that ended in every way there is; leave it as it is."""
    return make_mixed_run(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="session")
def graph(mixed: MixedRun) -> Path:
    """Return its provenance graph; leave it as it is."""
    return aggregate(mixed.root, mixed.graph_file, mixed.root.parent / "run.qg")
