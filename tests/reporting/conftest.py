"""A provenance graph that upstream has made of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from mixed_run import aggregate, make_mixed_run


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a graph with quanta that ended in every way there is; leave it as it is."""
    run = make_mixed_run(tmp_path_factory.mktemp("mixed"))
    return aggregate(run.root, run.graph_file, run.root.parent / "run.qg")
