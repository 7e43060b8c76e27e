"""Commands that run to their end, and the graph that those which run quanta are given."""

from __future__ import annotations

__all__ = ("graph_repository", "invoke", "invoke_json", "run", "run_exec")

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from quantum_butler.cli.main import main


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, env=env)


def run_exec(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command through the command line."""
    return run(sys.executable, "-m", "quantum_butler", "exec", *command, env=env)


def invoke(*arguments: object, status: int = 0) -> Result:
    """Run one of our commands in this process; it has to end with a status."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def invoke_json(*arguments: object) -> Any:
    """Run one of our commands in this process, and return the JSON that it prints."""
    return json.loads(invoke(*arguments, "--format", "json").stdout)


@contextmanager
def graph_repository(root: Path) -> Iterator[tuple[Path, int]]:
    """Make a repository and, in it, the graph of a mock task over two detectors; yield it and its size."""
    # Many tests of commands need no executor to be there.
    from lsst.daf.butler import Butler
    from lsst.pipe.base.tests.mocks import DirectButlerRepo

    with Butler.from_config(Butler.makeRepo(str(root)), writeable=True) as butler:
        repo = DirectButlerRepo(butler, data_root=None)
        butler.registry.insertDimensionData(
            "instrument", {"name": "Cam", "visit_max": 9, "exposure_max": 9, "detector_max": 9}
        )
        detectors = [{"instrument": "Cam", "id": i, "full_name": f"d{i}"} for i in range(2)]
        butler.registry.insertDimensionData("detector", *detectors)
        repo.add_task(dimensions=["detector"])
        repo.insert_datasets("dataset_auto0")
        builder = repo.make_quantum_graph_builder(output_run="output_run")
        components = builder.finish(attach_datastore_records=True)
        graph = root / "graph.qg"
        components.write(str(graph))
        quanta = components.assemble()
        with quanta.make_init_qbb(str(root)) as init_butler:
            quanta.init_output_run(init_butler)
        yield graph, len(quanta)
