#!/usr/bin/env python
"""Time how the provenance graph of a run is made, and its datasets registered: by upstream, and by us.

Usage::

    python benches/aggregating.py [--quanta N] [--larger N] [--json FILE]

A graph of upstream's mocked tasks is run by `quantum-butler run`, which logs
what each quantum has put of metadata and logs. Upstream, and we from disk and
from logs, then write a graph, in this process alone, and upstream's reader has
to find the same in each. Then the same again, with the datasets registered in
copies of the repository (SQLite), whose tables have to be equal.

With `--larger` we do the same with a graph of so many quanta, too. From both
follows what we take once for a graph, and what for each quantum.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader
from lsst.pipe.base.quantum_graph.aggregator import AggregatorConfig, aggregate_graph

from execution import RUN, Graph, run
from quantum_butler import IngestOptions, ProvenanceGraph, aggregate

# Columns with times.
TIMES = {"ingest_date", "timestamp"}

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


def rows(root: Path) -> dict[str, list[str]]:
    """Return all tables of a repository, without the times at which rows were added."""
    found = {}
    with closing(sqlite3.connect(root / "gen3.sqlite3")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            told = database.execute(f'SELECT * FROM "{name}"')
            kept = [n for n, column in enumerate(told.description) if column[0] not in TIMES]
            found[name] = sorted(repr([row[n] for n in kept]) for row in told)
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return how long it took, and how much time of processors."""
    begin, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - processor


def measure(folder: Path, quanta: int) -> dict[str, Any]:
    """Time all ways on one run, once each after they have imported what they need."""
    graph = Graph.make(folder / "demo", quanta, init=False)
    logs = folder / "logs"
    run([*RUN, graph.root, graph.file, *OPTIONS, "--logs", logs], folder)

    def upstreams(path: Path, root: Path, ingest: bool) -> None:
        config = AggregatorConfig(output_path=str(path), mock_storage_classes=True, dry_run=not ingest)
        aggregate_graph(str(graph.file), str(root), config)

    def ours(path: Path, root: Path, ingest: bool, **options: Any) -> None:
        registering = IngestOptions(graph=False) if ingest else None
        report = aggregate(
            graph.file, str(root), path, mock_storage_classes=True, ingest=registering, **options
        )
        if options and report.logged != report.quanta:
            sys.exit(f"the logs tell of {report.logged} quanta only")

    ways: dict[str, Callable[[Path, Path, bool], None]] = {
        "upstream": upstreams,
        "scan": ours,
        "logs": lambda *places: ours(*places, logs=logs),
    }
    places: dict[str, tuple[Path, Path]] = {}
    costs: dict[str, tuple[float, float]] = {}
    for ingest in (False, True):
        for name, way in ways.items():
            key = f"{name}, ingest" if ingest else name
            for kind in ("before", "timed"):
                root, path = graph.root, folder / f"{kind}-{key}.qg"
                if ingest:
                    root = folder / f"{kind}-{key}"
                    # The files are not changed.
                    shutil.copytree(graph.root, root, copy_function=_linked)
                places[key] = path, root
                costs[key] = timed(lambda way=way, places=(path, root, ingest): way(*places))  # type: ignore[misc]
    paths = {key: path for key, (path, _) in places.items()}
    expected, before, registered = (
        read(paths["upstream"]),
        rows(graph.root),
        rows(places["upstream, ingest"][1]),
    )
    if registered == before:
        sys.exit("upstream has registered nothing")
    for key, (path, root) in places.items():
        if read(path) != expected:
            sys.exit(f"{key}: the graph is another than upstream's")
        if rows(root) != (before if root == graph.root else registered):
            sys.exit(f"{key}: the repository is another than after upstream")
    count = expected["header"]["n_quanta"]
    return {
        "quanta": count,
        "seconds": {name: cost[0] / count for name, cost in costs.items()},
        "processor": {name: cost[1] / count for name, cost in costs.items()},
        "bytes": {name: path.stat().st_size for name, path in paths.items()},
        "datasets": len(registered["dataset"]) - len(before["dataset"]),
    }


def measure_larger(folder: Path, quanta: int, small: dict[str, Any]) -> dict[str, Any]:
    """Time our ways on a larger run, and return seconds of processors for a graph and for each quantum."""
    folder.mkdir()
    graph = Graph.make(folder / "demo", quanta, init=False)
    logs = folder / "logs"
    run([*RUN, graph.root, graph.file, *OPTIONS, "--logs", logs], folder)
    found: dict[str, Any] = {}
    for name, options in (("scan", {}), ("logs", {"logs": logs})):

        def work(name: str = name, options: dict[str, Any] = options) -> None:
            path = folder / f"{name}.qg"
            aggregate(graph.file, str(graph.root), path, mock_storage_classes=True, **options)

        _, seconds = timed(work)
        count = ProvenanceGraph(folder / f"{name}.qg").headers[0]["n_quanta"]
        once = small["quanta"] * small["processor"][name]
        each = (seconds - once) / (count - small["quanta"])
        found[name] = {"quanta": count, "once": once - small["quanta"] * each, "each": each}
    return found


def _linked(source: str, target: str) -> None:
    """Copy a database, and link any other file."""
    if source.endswith("sqlite3"):
        shutil.copy(source, target)
    else:
        os.link(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quanta", type=int, default=1000, help="quanta of the graph (default: 1000)")
    parser.add_argument("--larger", type=int, default=0, help="quanta of a larger graph for ours alone")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.quanta)
        if arguments.larger > figures["quanta"]:
            figures["larger"] = measure_larger(Path(folder) / "larger", arguments.larger, figures)
    print(json.dumps(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
