#!/usr/bin/env python3
"""Time what upstream's ``aggregate-graph`` asks of a butler for each quantum, with both classes.

Its scanner makes one butler for a whole graph, without records.  For each
quantum it reads the log and the metadata, and exports the records predicted
for what it will ingest.  The same is done here with the files that a real run
of the demo's graph has left behind.  Beside the two classes there is a floor:
the same files, read and decoded as their formatters do it, without any butler.
What is above the floor is the butler's part.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import functools
import gc
import itertools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsst.ctrl.mpexec.cli.pipetask import cli
from lsst.daf.butler import DatasetRef, QuantumBackedButler
from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskMetadata
from lsst.pipe.base import automatic_connection_constants as acc
from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import PredictedQuantumGraphReader

from quantum_butler.demo.graph import in_force, make_repository
from repository import CLASSES


@dataclass(frozen=True)
class Request:
    """What is asked for one quantum."""

    log: DatasetRef
    metadata: DatasetRef
    to_ingest: Sequence[DatasetRef]


class Graph:
    """A graph that was run, and the repository with what it has left."""

    def __init__(self, folder: Path, detectors: int):
        self.root, graph_file = folder / "repository", folder / "graph.qg"
        make_repository(self.root, graph_file, detectors)
        with in_force("stock"):
            for command in ("pre-exec-init-qbb", "run-qbb"):
                pipetask(command, self.root, graph_file)
        with PredictedQuantumGraphReader.open(
            str(graph_file), import_mode=TaskImportMode.DO_NOT_IMPORT
        ) as reader:
            reader.read_dimension_data()
            reader.read_quantum_datasets()
            self._components = reader.components
        self._pipeline = self._components.pipeline_graph
        self._quanta = list(self._components.quantum_datasets.values())

    def requests(self) -> list[Request]:
        """Return what is asked for each quantum, in refs that nobody has used yet."""
        make = self._components.make_dataset_ref
        requests = []
        for quantum in self._quanta:
            [log], [metadata] = (
                quantum.outputs[connection]
                for connection in (acc.LOG_OUTPUT_CONNECTION_NAME, acc.METADATA_OUTPUT_CONNECTION_NAME)
            )
            outputs = itertools.chain.from_iterable(quantum.outputs.values())
            requests.append(Request(make(log), make(metadata), [make(output) for output in outputs]))
        return requests

    def butler(self, butler_class: type[QuantumBackedButler]) -> QuantumBackedButler:
        """Make the butler for the whole graph, as the scanner does."""
        return butler_class.from_predicted(
            str(self.root),
            predicted_inputs=[],
            predicted_outputs=[],
            dimensions=self._pipeline.universe,
            datastore_records={},
            dataset_types={node.name: node.dataset_type for node in self._pipeline.dataset_types.values()},
        )


def pipetask(command: str, *arguments: object) -> None:
    """Run a ``pipetask`` command that logs as much as it usually does, but not to the terminal."""
    levels = ("--no-log-tty", "--log-level", "INFO", "--log-level", "lsst.utils.packages=ERROR")
    if cli.main([*levels, command, *map(str, arguments)], "pipetask", standalone_mode=False):
        raise SystemExit(f"pipetask {command} failed; nothing was timed.")


def ask(butler: QuantumBackedButler, request: Request) -> tuple[ButlerLogRecords, TaskMetadata, Any]:
    """Do for one quantum what the scanner does."""
    log = butler.get(request.log)
    metadata = butler.get(request.metadata, storageClass="TaskMetadata")
    return log, metadata, butler._datastore.export_predicted_records(request.to_ingest)


def decode(paths: tuple[str, str]) -> tuple[ButlerLogRecords, TaskMetadata]:
    """Read the log and the metadata of one quantum as their formatters do."""
    log, metadata = paths
    return ButlerLogRecords.from_file(log), TaskMetadata.model_validate_json(Path(metadata).read_bytes())


def plain(answer: tuple[ButlerLogRecords, TaskMetadata, Any]) -> Any:
    """Return an answer as values that can be compared."""
    log, metadata, exported = answer
    records = {name: data.records for name, data in exported.items()}
    return list(log), log.extra, metadata, records


def compare(graph: Graph) -> list[tuple[str, str]]:
    """Stop if the classes answer differently; return where logs and metadata are."""
    requests = graph.requests()
    answers = []
    for cls in CLASSES.values():
        with graph.butler(cls) as butler:
            answers.append([plain(ask(butler, request)) for request in requests])
    stock, ours = answers
    if stock != ours or not stock:
        raise SystemExit("The two classes answer differently; nothing was timed.")
    paths = []
    for request, (log, _, metadata, records) in zip(requests, stock, strict=True):
        [of_datastore] = records.values()
        [[log_info]] = of_datastore[request.log.id].values()
        [[metadata_info]] = of_datastore[request.metadata.id].values()
        places = str(graph.root / log_info.path), str(graph.root / metadata_info.path)
        decoded = decode(places)
        if (list(decoded[0]), decoded[1]) != (log, metadata) or not log:
            raise SystemExit("The floor is not what the butlers read; nothing was timed.")
        paths.append(places)
    return paths


def timed(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Return the microseconds of some work on each item."""
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    for item in items:
        work(item)
    elapsed = time.perf_counter() - start
    gc.enable()
    return elapsed / len(items) * 1e6


def measure(graph: Graph, rounds: int) -> dict[str, Any]:
    """Compare the answers of the two classes, then time them and the floor in turns."""
    paths = compare(graph)
    gc.freeze()
    microseconds: dict[str, list[float]] = {side: [] for side in (*CLASSES, "floor")}
    for _ in range(rounds):
        for side, cls in CLASSES.items():
            requests = graph.requests()
            with graph.butler(cls) as butler:
                microseconds[side].append(timed(functools.partial(ask, butler), requests))
        microseconds["floor"].append(timed(decode, paths))
    return {
        "quanta": len(paths),
        "rounds": rounds,
        **{f"{side}_us": statistics.median(times) for side, times in microseconds.items()},
        "ratio": statistics.median(ratios(microseconds, with_floor=True)),
        "ratio_of_butlers_part": statistics.median(ratios(microseconds, with_floor=False)),
    }


def ratios(microseconds: Mapping[str, Sequence[float]], *, with_floor: bool) -> list[float]:
    """Return the ratio of stock to ours in each round, with what nobody can avoid or without it."""
    rounds = zip(microseconds["stock"], microseconds["ours"], microseconds["floor"], strict=True)
    if with_floor:
        return [stock / ours for stock, ours, _ in rounds]
    return [(stock - floor) / (ours - floor) for stock, ours, floor in rounds]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detectors", type=int, default=100, help="half the number of quanta (100)")
    parser.add_argument("--rounds", type=int, default=7, help="times that each class does it (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    logging.getLogger("lsst").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Graph(Path(folder), args.detectors), args.rounds)
    print(
        f"each of {figures['quanta']} quanta: stock {figures['stock_us']:.0f} us, ours "
        f"{figures['ours_us']:.0f} us, floor {figures['floor_us']:.0f} us; ratio {figures['ratio']:.1f}, "
        f"of the butler's part {figures['ratio_of_butlers_part']:.1f}"
    )
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
