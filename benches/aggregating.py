#!/usr/bin/env python
"""Time how the provenance graph of a run is made, and its datasets registered: by upstream, and by us.

Usage::

    python benches/aggregating.py [--quanta N] [--larger N] [--postgresql] [--json FILE]

A graph of upstream's mocked tasks is run by `quantum-butler run`, which logs
what each quantum has put of metadata and logs. Upstream, and we from disk and
from logs, then write a graph, in this process alone, and upstream's reader has
to find the same in each. Then the same again, with the datasets registered in
copies of the repository (SQLite), whose tables have to be equal.

With `--postgresql` datasets are registered in PostgreSQL, too, by a server of our
own, and it is said how much of the time upstream's and our registries take for
what they are asked. Where there is no PostgreSQL, this says so and leaves it out.

With `--larger` we do the same with a graph of so many quanta, too. From both
follows what we take once for a graph, and what for each quantum.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import sqlalchemy
import yaml
from lsst.daf.butler import Config
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader
from lsst.pipe.base.quantum_graph.aggregator import AggregatorConfig, aggregate_graph
from sqlalchemy.engine.default import DefaultDialect

from execution import RUN, Graph, run
from quantum_butler import IngestOptions, ProvenanceGraph, aggregate
from quantum_butler.demo.graph import make_repository

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))

postgres: Any = importlib.import_module("postgres")

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


class Statements:
    """Time that statements and commits take in the database, of all engines of this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> Self:
        for name in ("before_cursor_execute", "after_cursor_execute"):
            sqlalchemy.event.listen(sqlalchemy.Engine, name, getattr(self, f"_{name.partition('_')[0]}"))
        self._commit = DefaultDialect.do_commit
        DefaultDialect.do_commit = self._commits  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name in ("before_cursor_execute", "after_cursor_execute"):
            sqlalchemy.event.remove(sqlalchemy.Engine, name, getattr(self, f"_{name.partition('_')[0]}"))
        DefaultDialect.do_commit = self._commit  # type: ignore[method-assign]

    def _before(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _after(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began

    def _commits(self, connection: Any) -> None:
        begin = time.perf_counter()
        connection.commit()
        self.seconds += time.perf_counter() - begin


def measure_postgresql(folder: Path, quanta: int) -> dict[str, Any] | None:
    """Time how datasets are registered in PostgreSQL; return `None` where there is none."""
    folder.mkdir()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres.start())
        except postgres.NoPostgresError as error:
            print(f"PostgreSQL is left out: {error}", file=sys.stderr)
            return None
        url = server.new_database()
        demo = folder / "demo"
        demo.mkdir()
        graph = Graph(demo / "repo", demo / "graph.qg")
        config = Config()
        config["registry", "db"] = url
        make_repository(graph.root, graph.file, max(1, quanta // 2), config)
        logs = folder / "logs"
        run([*RUN, graph.root, graph.file, *OPTIONS, "--logs", logs], folder)
        seconds: dict[str, float] = {}
        in_database: dict[str, float] = {}
        counts: dict[str, int] = {}
        ways = ("upstream", "ours")
        for turn in range(2):
            for way in ways:
                root = folder / f"{way}{turn}"
                shutil.copytree(graph.root, root, copy_function=os.link)
                settings = yaml.safe_load((graph.root / "butler.yaml").read_text())
                settings["registry"]["db"] = copy = server.copy_database(url)
                (root / "butler.yaml").unlink()
                (root / "butler.yaml").write_text(yaml.safe_dump(settings))
                path = folder / f"{way}{turn}.qg"
                with Statements() as statements:
                    begin = time.perf_counter()
                    if way == "upstream":
                        options = AggregatorConfig(
                            output_path=str(path), mock_storage_classes=True, dry_run=False
                        )
                        aggregate_graph(str(graph.file), str(root), options)
                    else:
                        aggregate(
                            graph.file,
                            str(root),
                            path,
                            logs=logs,
                            mock_storage_classes=True,
                            ingest=IngestOptions(graph=False),
                        )
                    seconds[way] = time.perf_counter() - begin
                in_database[way] = statements.seconds
                counts[way] = _datasets(copy)
        if len(set(counts.values())) > 1 or not counts["ours"]:
            sys.exit(f"upstream and we have not registered the same: {counts}")
        datasets = counts["ours"]
        return {
            "datasets": datasets,
            "seconds": {way: seconds[way] / datasets for way in ways},
            "database": {way: in_database[way] / datasets for way in ways},
        }


def _datasets(url: str) -> int:
    """Return how many datasets a repository has."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(sqlalchemy.text("SELECT count(*) FROM dataset")).scalar_one())
    finally:
        engine.dispose()


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
    parser.add_argument("--postgresql", action="store_true", help="also register datasets in PostgreSQL")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.quanta)
        if arguments.larger > figures["quanta"]:
            figures["larger"] = measure_larger(Path(folder) / "larger", arguments.larger, figures)
        if arguments.postgresql:
            figures["postgresql"] = measure_postgresql(Path(folder) / "postgresql", arguments.quanta)
    print(json.dumps(figures))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
