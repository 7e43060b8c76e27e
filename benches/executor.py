#!/usr/bin/env python3
"""Time a real ``pipetask run-qbb`` with one butler, and print milliseconds per quantum.

The graph is the demo's: two chained mock tasks over some detectors, each
quantum reads one dataset and writes three.  ``memory`` is the floor: the same
tasks and executor on upstream's butler in memory, without a file, a datastore,
a graph file or a command line.  To be run once for each butler, because each
shares its process with nothing else.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path

import networkx
from lsst.pipe.base.tests.mocks import InMemoryRepo

from quantum_butler.demo.graph import SIDES, make_repository, read_graph, run_graph


def run_from_files(side: str, detectors: int) -> tuple[int, float]:
    """Run a graph with one side's butler; return its quanta and milliseconds for each."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pristine, graph_file = root / "pristine", root / "graph.qg"
        make_repository(pristine, graph_file, detectors)
        quanta = len(read_graph(graph_file))
        run = run_graph(side, pristine, root / side, graph_file, quanta)
    if run.datasets_written < 3 * quanta:
        raise SystemExit(f"{quanta} quanta have written only {run.datasets_written} datasets.")
    return quanta, run.ms_per_quantum


def run_in_memory(detectors: int) -> tuple[int, float]:
    """Do the same without files."""
    with InMemoryRepo() as repo:
        insert = repo.butler.registry.insertDimensionData
        insert("instrument", {"name": "Cam", "visit_max": 1, "exposure_max": 1, "detector_max": detectors})
        insert(
            "detector",
            *({"instrument": "Cam", "id": n, "full_name": f"detector{n}"} for n in range(detectors)),
        )
        for label in ("first", "second"):
            repo.add_task(label, dimensions=["detector"])
        graph = repo.make_quantum_graph()
        executor, _ = repo.make_single_quantum_executor(graph)
        graph.build_execution_quanta()
        quanta = graph.quantum_only_xgraph
        start = time.perf_counter()
        for quantum_id in networkx.topological_sort(quanta):
            node = quanta.nodes[quantum_id]
            executor.execute(node["pipeline_node"], node["quantum"], quantum_id)
        seconds = time.perf_counter() - start
    return len(quanta), seconds / len(quanta) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--butler", choices=(*SIDES, "memory"), default="ours")
    parser.add_argument("--detectors", type=int, default=100, help="half the number of quanta (100)")
    args = parser.parse_args()
    logging.getLogger("lsst").setLevel(logging.WARNING)
    if args.butler == "memory":
        quanta, milliseconds = run_in_memory(args.detectors)
    else:
        quanta, milliseconds = run_from_files(args.butler, args.detectors)
    print(json.dumps({"butler": args.butler, "quanta": quanta, "ms_per_quantum": milliseconds}))


if __name__ == "__main__":
    main()
