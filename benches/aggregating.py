#!/usr/bin/env python
"""Time how the provenance graph of a run is made: by upstream, by us from disk, and by us from logs.

Usage::

    python benches/aggregating.py [--quanta N] [--json FILE]

A graph of upstream's mocked tasks is run by `quantum-butler run`, which logs
what each quantum has put of metadata and logs. All three then write a graph,
in this process alone, and upstream's reader has to find the same in each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader
from lsst.pipe.base.quantum_graph.aggregator import AggregatorConfig, aggregate_graph

from execution import RUN, Graph, run
from quantum_butler import aggregate

OPTIONS = ("--isolation", "process", "--provenance-contents")


def read(path: Path) -> dict[str, Any]:
    """Return all that upstream's reader finds in a graph."""
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_full_graph()
        graph = reader.graph.bipartite_xgraph
        told = [node for node, info in graph.nodes.items() if info.get("metadata_id")]
        return {
            "header": reader.graph.header.model_dump(),
            "nodes": {
                node: sorted((name, repr(value)) for name, value in info.items())
                for node, info in graph.nodes.items()
            },
            "edges": {(*edge[:2], repr(edge[2])) for edge in graph.edges(data=True)},
            "metadata": repr(sorted(reader.fetch_metadata(told).items())),
            "logs": {
                node: [records and [repr(one) for one in records] for records in attempts]
                for node, attempts in reader.fetch_logs(told).items()
            },
        }


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return how long it took, and how much time of processors."""
    begin, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - processor


def measure(folder: Path, quanta: int) -> dict[str, Any]:
    """Time all three on one run, once each after they have imported what they need."""
    graph = Graph.make(folder / "demo", quanta, init=False)
    logs = folder / "logs"
    run([*RUN, graph.root, graph.file, *OPTIONS, "--logs", logs], folder)

    def upstreams(path: Path) -> None:
        config = AggregatorConfig(output_path=str(path), mock_storage_classes=True, dry_run=True)
        aggregate_graph(str(graph.file), str(graph.root), config)

    def ours(path: Path, **options: Any) -> None:
        report = aggregate(graph.file, str(graph.root), path, mock_storage_classes=True, **options)
        if options and report.logged != report.quanta:
            sys.exit(f"the logs tell of {report.logged} quanta only")

    ways: dict[str, Callable[[Path], None]] = {
        "upstream": upstreams,
        "scan": ours,
        "logs": lambda path: ours(path, logs=logs),
    }
    for name, way in ways.items():
        way(folder / f"before-{name}.qg")
    paths = {name: folder / f"{name}.qg" for name in ways}
    costs = {name: timed(lambda name=name: ways[name](paths[name])) for name in ways}  # type: ignore[misc]
    expected = read(paths["upstream"])
    for name in ways:
        if read(paths[name]) != expected:
            sys.exit(f"{name} has written another graph than upstream")
    count = expected["header"]["n_quanta"]
    return {
        "quanta": count,
        "seconds": {name: cost[0] / count for name, cost in costs.items()},
        "processor": {name: cost[1] / count for name, cost in costs.items()},
        "bytes": {name: path.stat().st_size for name, path in paths.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quanta", type=int, default=1000, help="quanta of the graph (default: 1000)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.quanta)
    print(json.dumps(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
