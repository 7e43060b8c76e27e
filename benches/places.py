#!/usr/bin/env python3
"""Time operations where production runs: with debug logs, in a chain, in an object store, with a cache.

The store is S3, played by `moto` in another process.  For each place both classes first
do everything once, and what comes out is compared; if anything differs nothing is timed
and the exit status is 1.  Then they take turns.  A figure is the median over the rounds:
wall time, and processor time of this process, in microseconds, and requests to the store,
for each dataset or quantum.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsst.daf.butler import ButlerConfig, QuantumBackedButler
from lsst.daf.butler.tests import MetricsExample
from lsst.resources import ResourcePath
from lsst.resources.s3utils import getS3Client

from repository import CLASSES, QUANTUM, Datasets, Repository, make_repository, whole_quantum

# How often one short operation is done in a round.
REPEATS = 20
# What a cut-out of a composite takes.
FIRST = {"slice": slice(3)}

PLACES = ("local", "debug", "chain", "s3", "s3, cached")
_FILES = "lsst.daf.butler.datastores.fileDatastore.FileDatastore"
_MEMORY = "lsst.daf.butler.datastores.inMemoryDatastore.InMemoryDatastore"
_CHAIN = "lsst.daf.butler.datastores.chainedDatastore.ChainedDatastore"


@contextmanager
def store() -> Iterator[None]:
    """Run an object store in another process, for this one to use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ.update(
        S3_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID="none",
        AWS_SECRET_ACCESS_KEY="none",
        AWS_DEFAULT_REGION="us-east-1",
    )
    try:
        while server.poll() is None:
            with socket.socket() as there:
                if not there.connect_ex(("127.0.0.1", port)):
                    break
        getS3Client().create_bucket(Bucket="places")
        yield
    finally:
        server.terminate()
        server.wait()


def configuration(repository: Repository, place: str, folder: Path) -> ButlerConfig:
    """Return the configuration for one place."""
    config = ButlerConfig(str(repository.root))
    # As where pipelines run: the list has inputs that are read often, and no outputs.
    config["datastore", "cached", "default"] = False
    config["datastore", "cached", "cacheable"] = {
        f"measured_{formatter}": place == "s3, cached" for formatter in ("bytes", "whole")
    }
    config["datastore", "cached", "root"] = str(folder / "cache")
    config["datastore", "cached", "expiry"] = {"mode": "files", "threshold": 100_000}
    if place.startswith("s3"):
        config["datastore", "root"] = "s3://places/repository"
    if place == "chain":
        formatters = dict(config["datastore", "formatters"])
        config["datastore", "cls"] = _CHAIN
        config["datastore", "datastores"] = [
            {"datastore": {"cls": _MEMORY}},
            {"datastore": {"cls": _FILES, "root": "<butlerRoot>", "formatters": formatters}},
        ]
    return config


def operations(
    butler: QuantumBackedButler, inputs: list[Any], outputs: list[Any], wholes: list[Any]
) -> Mapping[str, Callable[[], Any]]:
    """Return what is timed in one butler, in the order in which it is done."""
    components = [ref.makeComponentRef("summary") for ref in wholes]
    return {
        "get": lambda: [butler.get(ref) for ref in inputs],
        "get again": lambda: [butler.get(ref) for ref in inputs],
        "get of a component": lambda: [butler.get(ref) for ref in components],
        "get with parameters": lambda: [butler.get(ref, parameters=FIRST).data for ref in wholes],
        "stored_many": lambda: butler.stored_many(inputs),
        "put": lambda: [butler.put({"data": number}, ref).id for number, ref in enumerate(outputs)],
        "extract + model_dump_json": lambda: len(butler.extract_provenance_data().model_dump_json()),
        "pruneDatasets": lambda: butler.pruneDatasets(outputs, disassociate=True, unstore=True, purge=True),
    }


def once(
    cls: type[QuantumBackedButler],
    repository: Repository,
    datasets: Datasets,
    wholes: list[Any],
    config: ButlerConfig,
    asked: Counter[str],
) -> dict[str, tuple[float, float, float, Any]]:
    """Do everything once; return wall time, processor time, requests and the answer of each operation."""
    inputs, outputs = datasets.inputs, datasets.outputs
    universe, types = repository.universe, repository.dataset_types
    with cls.from_predicted(config, [], [ref.id for ref in inputs + wholes], universe, {}) as writer:
        for number, (ref, whole) in enumerate(zip(inputs, wholes, strict=True)):
            writer.put({"data": number}, ref)
            writer.put(MetricsExample({"number": number}, {"a": [number]}, list(range(20))), whole)
        records = writer._datastore.export_records(inputs + wholes)
        few = writer._datastore.export_records(inputs[: QUANTUM[0]])
    small = repository.quantum(inputs[: QUANTUM[0]], outputs[: QUANTUM[1]], few)
    found: dict[str, tuple[float, float, float, Any]] = {}

    def start() -> QuantumBackedButler:
        return cls.initialize(config, small, universe, dataset_types=types)

    def start_and_close() -> None:
        for _ in range(REPEATS):
            with start():
                pass

    def run_quanta() -> list[Any]:
        # Ids in provenance come in any order, so that only its length is compared.
        done = (whole_quantum(start(), inputs[: QUANTUM[0]], outputs[: QUANTUM[1]]) for _ in range(REPEATS))
        return [(contents, len(text)) for contents, text in done]

    def timed(name: str, items: int, operation: Callable[[], Any]) -> None:
        before = asked.total()
        wall, processor = time.perf_counter(), time.process_time()
        answer = operation()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        found[name] = (wall / items * 1e6, processor / items * 1e6, (asked.total() - before) / items, answer)

    timed("initialize, 10 in 5 out", REPEATS, start_and_close)
    timed(
        "one whole quantum, 10 in 5 out",
        REPEATS,
        run_quanta,
    )
    quantum = repository.quantum(inputs + wholes, outputs, records)
    with cls.initialize(config, quantum, universe, dataset_types=types) as butler:
        for name, operation in operations(butler, inputs, outputs, wholes).items():
            timed(name, len(inputs), operation)
    return found


def bare_requests(repository: Repository, config: ButlerConfig, n: int) -> dict[str, float]:
    """Return the processor time of what `lsst.resources` does without a butler, for each file."""
    root = ResourcePath(config["datastore", "root"], root=str(repository.root), forceDirectory=True)
    files = [root.join(f"bare/{number}.json") for number in range(n)]
    content = json.dumps({"data": n}).encode()
    before = time.process_time()
    for uri in files:
        uri.write(content)
    between = time.process_time()
    for uri in files:
        uri.read()
    end = time.process_time()
    ResourcePath.mremove(files)
    return {"put": (between - before) / n * 1e6, "get": (end - between) / n * 1e6}


def measure(place: str, repository: Repository, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Compare the answers in one place, then time both classes in turns."""
    asked: Counter[str] = Counter()
    if place.startswith("s3"):
        getS3Client().meta.events.register_first(
            "before-send.s3", lambda event_name, **_: asked.update([event_name])
        )
    datasets, wholes = repository.datasets(), repository.datasets("whole").inputs
    configs = {side: configuration(repository, place, folder / side) for side in CLASSES}
    first = {
        side: once(cls, repository, datasets, wholes, configs[side], asked) for side, cls in CLASSES.items()
    }
    for name, (*_, answer) in first["stock"].items():
        if first["ours"][name][3] != answer:
            raise SystemExit(f"{place}: {name}: the two classes answer differently; nothing was timed.")
    taken: dict[str, list[Any]] = {side: [] for side in CLASSES}
    bare: list[dict[str, float]] = []
    for _ in range(rounds):
        if place == "s3":
            bare.append(bare_requests(repository, configs["ours"], len(datasets.inputs)))
        for side, cls in CLASSES.items():
            taken[side].append(once(cls, repository, datasets, wholes, configs[side], asked))
    return [
        {
            "place": place,
            "operation": name,
            **{
                f"{side}_{what}": statistics.median(done[name][number] for done in taken[side])
                for side in CLASSES
                for number, what in enumerate(("us", "cpu_us", "requests"))
            },
            **(
                {"bare_cpu_us": statistics.median(one[name] for one in bare)}
                if bare and name in bare[0]
                else {}
            ),
        }
        for name in first["stock"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--datasets", type=int, default=300, help="inputs, and as many outputs (300; 10 at least)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that each class does it (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    parser.add_argument("--only", choices=PLACES, action="append", help="a place (all of them)")
    args = parser.parse_args()
    if args.datasets < max(QUANTUM):
        parser.error(f"--datasets must be at least {max(QUANTUM)}")
    logging.disable(logging.WARNING)
    figures = []
    with tempfile.TemporaryDirectory() as folder, store():
        repository = make_repository(Path(folder) / "repository", args.datasets)
        for place in args.only or PLACES:
            if place == "debug":
                logging.disable(logging.NOTSET)
                log = logging.getLogger("lsst")
                log.addHandler(logging.NullHandler())
                log.propagate, log.level = False, logging.DEBUG
            for figure in measure(place, repository, Path(folder), args.rounds):
                figures.append(figure)
                print(
                    f"{place:10} {figure['operation']:26} "
                    + "   ".join(
                        f"{side} {figure[f'{side}_us']:9.1f} us, cpu {figure[f'{side}_cpu_us']:8.1f}, "
                        f"{figure[f'{side}_requests']:5.1f} requests"
                        for side in CLASSES
                    )
                    + f"   ratio {figure['stock_us'] / figure['ours_us']:5.1f}"
                    + f", cpu {figure['stock_cpu_us'] / figure['ours_cpu_us']:5.1f}",
                    flush=True,
                )
            logging.getLogger("lsst").setLevel(logging.NOTSET)
            logging.disable(logging.WARNING)
    if args.json is not None:
        outcome = {"datasets": args.datasets, "rounds": args.rounds, "places": figures}
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
