"""A small pipeline for BPS: of its four jobs one fails, and so another one is not run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from bps_runs import OURS, STOCK, BpsRun
from lsst.daf.butler import Butler
from lsst.pipe.base.tests.mocks import DirectButlerRepo, DynamicTestPipelineTaskConfig

# lsst-ctrl-bps-parsl needs Python 3.12.
collect_ignore_glob = [] if importlib.util.find_spec("lsst.ctrl.bps") else ["*"]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a repository and the graph of two chained tasks over two detectors."""
    folder = tmp_path_factory.mktemp("bps")
    with Butler.from_config(Butler.makeRepo(str(folder / "repo")), writeable=True) as butler:
        insert = butler.registry.insertDimensionData
        insert("instrument", {"name": "Cam", "visit_max": 1, "exposure_max": 1, "detector_max": 2})
        insert("detector", *({"instrument": "Cam", "id": n, "full_name": f"d{n}"} for n in range(2)))
        helper = DirectButlerRepo(butler, data_root=None)
        config = DynamicTestPipelineTaskConfig()
        config.fail_condition = "detector=1"
        helper.add_task("first", dimensions=["detector"], config=config)
        helper.add_task("second", dimensions=["detector"])
        builder = helper.make_quantum_graph_builder(
            output_run="demo/run", register_output_dataset_types=False
        )
        builder.finish(output="demo", attach_datastore_records=True).write(str(folder / "graph.qg"))
    return folder


@pytest.fixture(scope="session")
def both(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BpsRun, BpsRun]:
    """Return a run by upstream's service, and one by ours."""
    folder = tmp_path_factory.mktemp("runs")
    stock, ours = (BpsRun(pristine, folder / service, service) for service in (STOCK, OURS))
    processes = [run.start("submit", run.file) for run in (stock, ours)]
    for done in [BpsRun.read(process) for process in processes]:
        assert done.returncode == 0, done.stdout
    return stock, ours
