#!/usr/bin/env python3
"""Time reading, writing and merging of provenance graphs.

A real graph, which upstream's classes have made of a small run, is the pattern: each of its quanta, with
datasets, logs and metadata, is written again and again with new ids and data IDs, until there are as many as
are wanted. Times are those of the processor, in all threads. What upstream's reader finds in a small graph of
that kind is what ours finds.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import importlib
import json
import logging
import random
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quantum_butler import ProvenanceGraph, _core, merge_graphs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))

_BATCH = 2000
_UPSTREAM = 2000


class Pattern:
    """A real graph, of which larger ones are made."""

    def __init__(self, path: Path):
        self.graph = ProvenanceGraph(path)
        core = self.graph._core
        self.pipeline = self.graph.member("pipeline_graph")
        self.packages = self.graph.member("packages")
        self.header = self.graph.headers[0]
        tables = self.graph.to_arrow()
        self.quanta = [self.graph.quantum(one) for one in tables["quanta"]["quantum_id"].to_pylist()]
        self.texts = {
            one.quantum_id: (core.logs(one.quantum_id.int), core.metadata(one.quantum_id.int))
            for one in self.quanta
        }

    def blocks(self, quanta: int, start: int) -> Iterator[tuple[str, int, int | None, bytes]]:
        """Yield blocks of so many quanta, with ids from a number on."""
        chance = random.Random(start)
        types = self.graph.tasks
        for number in range(quanta):
            source = self.quanta[number % len(self.quanta)]
            first = (start + number) << 64 | chance.getrandbits(60) << 4
            quantum = uuid.UUID(int=first)
            outputs: dict[str, list[str]] = {}
            values = [7 if name == "visit" else value for name, value in source.data_id.items()]
            values = [
                start + number if name == "detector" else value
                for name, value in zip(source.data_id, values, strict=True)
            ]
            last: dict[str, int] = {}
            for place, connection in enumerate(source.outputs):
                dataset = uuid.UUID(int=first + 1 + place)
                outputs[connection] = [str(dataset)]
                last[connection] = dataset.int
                told = {
                    "dataset_id": str(dataset),
                    "dataset_type_name": types[source.task_label].outputs[connection],
                    "data_coordinate": values,
                    "run": source.run,
                    "produced": bool(source.attempts),
                    "producer": str(quantum),
                    "consumers": [],
                }
                yield "dataset", dataset.int, None, json.dumps(told).encode()
            told = {
                "quantum_id": str(quantum),
                "task_label": source.task_label,
                "data_coordinate": values,
                "inputs": {name: [str(one) for one in ids] for name, ids in source.inputs.items()},
                "outputs": outputs,
                "attempts": [_attempt(one) for one in source.attempts],
            }
            yield "quantum", quantum.int, None, json.dumps(told).encode()
            for kind, text in zip(("log", "metadata"), self.texts[source.quantum_id], strict=True):
                if text is not None:
                    yield kind, quantum.int, last[f"_{kind}"], text

    def write(self, path: Path, quanta: int, start: int = 1, *, trained: bool = True) -> float:
        """Write a graph, and return how many seconds the writer took for it."""
        samples = [text for _, _, _, text in self.blocks(200, 0)]
        dictionary = _core.train_dictionary(samples, 32768) if trained else b""
        writer = _core.GraphWriter(path, path.parent, dictionary, 10, 512 << 20)
        seconds = 0.0
        for first in range(0, quanta, _BATCH):
            blocks = list(self.blocks(min(_BATCH, quanta - first), start + first))
            begin = time.process_time()
            writer.add(blocks)
            seconds += time.process_time() - begin
        labels = [self.quanta[number % len(self.quanta)].task_label for number in range(quanta)]
        header = self.header | {
            "n_quanta": quanta,
            "n_task_quanta": {label: labels.count(label) for label in self.graph.tasks},
            "provenance_dataset_id": str(uuid.UUID(int=start)),
        }
        members = [("pipeline_graph", self.pipeline), ("packages", self.packages), ("init_quanta", b"[]")]
        begin = time.process_time()
        writer.finish(json.dumps(header).encode(), members)
        return seconds + time.process_time() - begin


def _attempt(one: Any) -> dict[str, Any]:
    usage, exception = one.resource_usage, one.exception
    names = ("memory", "prep_time", "init_time", "run_time", "run_time_cpu")
    return {
        "attempt": one.attempt,
        "status": int(one.status),
        "caveats": None if one.caveats is None else int(one.caveats),
        "exception": None
        if exception is None
        else {"type_name": exception.type_name, "message": exception.message, "metadata": exception.metadata},
        "resource_usage": None
        if usage is None
        else {"start": usage.start.isoformat()} | {name: getattr(usage, name) for name in names},
        "previous_process_quanta": [],
    }


def _read(path: Path, quanta: int) -> dict[str, float]:
    begin = time.process_time()
    graph = ProvenanceGraph(path)
    opened = time.process_time() - begin
    ids = [one for tables in _ends(graph) for one in tables["quantum_id"].to_pylist()]
    chance = random.Random(1)
    wanted = [chance.choice(ids) for _ in range(2000)]
    begin = time.process_time()
    for one in wanted:
        graph.quantum(one)
    one_id = (time.process_time() - begin) / len(wanted)
    begin = time.process_time()
    for _ in graph.quanta_tables():
        pass
    for _ in graph.datasets_tables():
        pass
    return {
        "open_ms": opened * 1e3,
        "one_id_us": one_id * 1e6,
        "arrow_us_per_quantum": (time.process_time() - begin) / quanta * 1e6,
    }


def _ends(graph: ProvenanceGraph) -> Iterator[Any]:
    """Yield the quanta of the first and the last tables."""
    tables = [one.quanta for one in graph.quanta_tables()]
    yield tables[0]
    yield tables[-1]


def _upstream(path: Path, quanta: int) -> float:
    from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

    begin = time.process_time()
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_full_graph()
    assert len(reader.graph.quantum_only_xgraph) == quanta
    return (time.process_time() - begin) / quanta * 1e6


def main() -> None:
    """Make graphs, measure, and print figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quanta", type=int, default=100_000, help="quanta of the large graph")
    parser.add_argument("--graphs", type=int, default=1000, help="small graphs of 200 quanta that are merged")
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    runs = importlib.import_module("mixed_run")

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = runs.make_mixed_run(folder)
        pattern = Pattern(runs.aggregate(run.root, run.graph_file, folder / "pattern.qg"))
        large = folder / "large.qg"
        figures["write_us_per_quantum"] = pattern.write(large, arguments.quanta) / arguments.quanta * 1e6
        figures["bytes_per_quantum"] = large.stat().st_size / arguments.quanta
        figures |= _read(large, arguments.quanta)
        small = folder / "small.qg"
        pattern.write(small, _UPSTREAM)
        figures["upstream_read_us_per_quantum"] = _upstream(small, _UPSTREAM)
        large.unlink()
        paths = [folder / f"{number}.qg" for number in range(arguments.graphs)]
        for number, path in enumerate(paths):
            pattern.write(path, 200, 1 + 200 * number, trained=False)
        begin = time.process_time()
        (merged,) = merge_graphs(paths, folder / "merged.qg")
        figures["merge_ms_per_graph"] = (time.process_time() - begin) / arguments.graphs * 1e3
        assert merged.quanta == 200 * arguments.graphs
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"quanta": arguments.quanta, "graphs": arguments.graphs} | figures, indent=1))


if __name__ == "__main__":
    main()
