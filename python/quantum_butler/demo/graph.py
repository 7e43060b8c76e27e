"""A real repository and quantum graph, and the run of it with either butler."""

from __future__ import annotations

__all__ = (
    "OUTPUT_RUN",
    "SIDES",
    "DemoError",
    "in_force",
    "make_repository",
    "pipetask",
    "read_graph",
    "run_graph",
    "transfer",
)

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lsst.daf.butler
from lsst.ctrl.mpexec.cli.pipetask import cli as pipetask_cli
from lsst.ctrl.mpexec.cli.script.run_qbb import run_qbb
from lsst.daf.butler import Butler, Config
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.script.transfer_from_graph import transfer_from_graph
from lsst.pipe.base.tests.mocks import DirectButlerRepo

from .. import install, uninstall
from ..errors import QuantumButlerError
from ..switches import LOG_SWITCH
from .report import Run

SIDES = {"stock": "the stock butler", "ours": "quantum-butler"}
INSTRUMENT = "DemoCam"
OUTPUT_CHAIN = "demo"
OUTPUT_RUN = "demo/run"


class DemoError(QuantumButlerError, RuntimeError):
    """Raised when the demonstration cannot be carried through."""


def make_repository(root: Path, graph_file: Path, detectors: int, config: Config | None = None) -> None:
    """Make a repository with the inputs of two chained tasks, and their graph."""
    Butler.makeRepo(str(root), config=config)
    with Butler.from_config(str(root), writeable=True) as butler:
        butler.registry.insertDimensionData(
            "instrument", {"name": INSTRUMENT, "visit_max": 1, "exposure_max": 1, "detector_max": detectors}
        )
        butler.registry.insertDimensionData(
            "detector",
            *({"instrument": INSTRUMENT, "id": n, "full_name": f"detector{n}"} for n in range(detectors)),
        )
        helper = DirectButlerRepo(butler, data_root=None)
        for label in ("first", "second"):
            helper.add_task(label, dimensions=["detector"])
        builder = helper.make_quantum_graph_builder(
            output_run=OUTPUT_RUN, register_output_dataset_types=False
        )
        builder.finish(output=OUTPUT_CHAIN, attach_datastore_records=True).write(str(graph_file))


def read_graph(graph_file: Path) -> PredictedQuantumGraph:
    """Read a graph with all its quanta ready to be executed."""
    graph = PredictedQuantumGraph.read_execution_quanta(str(graph_file))
    graph.build_execution_quanta()
    return graph


def run_graph(
    side: str, pristine: Path, root: Path, graph_file: Path, quanta: int, logs: Path | None = None
) -> Run:
    """Run a graph with one butler, in a repository of its own."""
    shutil.copytree(pristine, root)
    with in_force(side):
        pipetask("pre-exec-init-qbb", root, graph_file)
        start = time.perf_counter()
        with provenance_logged(logs):
            pipetask("run-qbb", root, graph_file)
        seconds = time.perf_counter() - start
        written = transfer(graph_file, root)
    return Run(quanta, seconds / quanta * 1e3, written)


def transfer(graph_file: Path, root: Path) -> int:
    """Make the outputs of a run known to the repository, and return how many there are."""
    written: int = transfer_from_graph(
        str(graph_file),
        str(root),
        register_dataset_types=True,
        transfer_dimensions=False,
        update_output_chain=True,
        dry_run=False,
        dataset_type=(),
    )
    return written


@contextmanager
def in_force(side: str) -> Iterator[None]:
    """Have everything that asks for the quantum-backed butler get one side's."""
    uninstall()
    stock = lsst.daf.butler.QuantumBackedButler
    if side == "ours":
        install()
    try:
        # A patch that did nothing would have the stock class compared with itself.
        used = run_qbb.__globals__["QuantumBackedButler"]
        if used is not lsst.daf.butler.QuantumBackedButler or (used is stock) is not (side == "stock"):
            raise DemoError(f"The executor would use {used.__module__}.{used.__name__} as {SIDES[side]}.")
        yield
    finally:
        uninstall()


@contextmanager
def provenance_logged(logs: Path | None) -> Iterator[None]:
    """Have our butlers log provenance, as the environment of any command can."""
    before = os.environ.pop(LOG_SWITCH, None)
    if logs is not None:
        os.environ[LOG_SWITCH] = str(logs)
    try:
        yield
    finally:
        os.environ.pop(LOG_SWITCH, None)
        if before is not None:
            os.environ[LOG_SWITCH] = before


def pipetask(command: str, *arguments: object) -> None:
    """Run a ``pipetask`` command in this process."""
    # Without an LSST stack there is no eups, and no point in a warning about it.
    levels = ("--log-level", "WARNING", "--log-level", "lsst.utils.packages=ERROR")
    status = pipetask_cli.main([*levels, command, *map(str, arguments)], "pipetask", standalone_mode=False)
    if status:
        raise DemoError(f"pipetask {command} failed with exit status {status}.")
