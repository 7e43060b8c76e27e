"""One run, as upstream's graphs and our archives tell of it."""

from __future__ import annotations

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from mixed_run import aggregate, make_mixed_run
from quantum_butler import collect
from told_run import Told


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return a run with quanta that ended in every way there is; leave it as it is."""
    folder = tmp_path_factory.mktemp("asked")
    run = make_mixed_run(folder)
    provenance = aggregate(run.root, run.graph_file, folder / "run.qg")
    collect(provenance, folder / "archive")
    collect(run.graph_file, folder / "planned")
    return Told(run, provenance, run.graph_file, folder / "archive", folder / "planned")
