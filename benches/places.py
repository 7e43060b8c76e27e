#!/usr/bin/env python3
"""Time operations where production runs: with debug logs, in a chain, in an object store, with a cache.

The store is S3, played by `moto` in another process.  For each place both classes first
do everything once, and what comes out is compared; if anything differs nothing is timed
and the exit status is 1.  Then they take turns.  A figure is the median over the rounds:
wall time, and processor time of this process, in microseconds, and requests to the store,
for each dataset or quantum.

Each time has a root of its own, and files are removed last: `operations.py` says why.
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
from itertools import chain
from pathlib import Path
from typing import Any

from lsst.daf.butler import ButlerConfig, DatasetRef, Quantum, QuantumBackedButler
from lsst.daf.butler.tests import MetricsExample
from lsst.resources import ResourcePath
from lsst.resources.s3utils import getS3Client

from repository import CLASSES, QUANTUM, RUN, Datasets, Repository, make_repository, whole_quantum

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
    """Return the configuration for one place, with the files and the cache in a folder of its own."""
    config = ButlerConfig(str(repository.root))
    # As where pipelines run: the list has inputs that are read often, and no outputs.
    config["datastore", "cached", "default"] = False
    config["datastore", "cached", "cacheable"] = {
        f"measured_{formatter}": place == "s3, cached" for formatter in ("bytes", "whole")
    }
    config["datastore", "cached", "root"] = str(folder / "cache")
    config["datastore", "cached", "expiry"] = {"mode": "files", "threshold": 100_000}
    root = f"s3://places/{folder.name}" if place.startswith("s3") else str(folder / "files")
    config["datastore", "root"] = root
    if place == "chain":
        formatters = dict(config["datastore", "formatters"])
        config["datastore", "cls"] = _CHAIN
        config["datastore", "datastores"] = [
            {"datastore": {"cls": _MEMORY}},
            {"datastore": {"cls": _FILES, "root": root, "formatters": formatters}},
        ]
    return config


def operations(
    butler: QuantumBackedButler, inputs: list[Any], outputs: list[Any], wholes: list[Any]
) -> Mapping[str, Callable[[], Any]]:
    """Return what is timed in one butler before files are removed, in the order in which it is done."""
    components = [ref.makeComponentRef("summary") for ref in wholes]
    return {
        "get": lambda: [butler.get(ref) for ref in inputs],
        "get again": lambda: [butler.get(ref) for ref in inputs],
        "get of a component": lambda: [butler.get(ref) for ref in components],
        "get with parameters": lambda: [butler.get(ref, parameters=FIRST).data for ref in wholes],
        "stored_many": lambda: butler.stored_many(inputs),
        "put": lambda: [butler.put({"data": number}, ref).id for number, ref in enumerate(outputs)],
        "extract + model_dump_json": lambda: len(butler.extract_provenance_data().model_dump_json()),
    }


class Once:
    """Everything done once by one class: wall time, processor time, requests and answers by operation."""

    def __init__(
        self,
        cls: type[QuantumBackedButler],
        repository: Repository,
        datasets: Datasets,
        wholes: list[Any],
        config: ButlerConfig,
        asked: Counter[str],
    ):
        self.found: dict[str, tuple[float, float, float, Any]] = {}
        self._asked = asked
        inputs, self._outputs = datasets.inputs, datasets.outputs
        universe, types = repository.universe, repository.dataset_types
        with cls.from_predicted(config, [], [ref.id for ref in inputs + wholes], universe, {}) as writer:
            for number, (ref, whole) in enumerate(zip(inputs, wholes, strict=True)):
                writer.put({"data": number}, ref)
                writer.put(MetricsExample({"number": number}, {"a": [number]}, list(range(20))), whole)
            records = writer._datastore.export_records(inputs + wholes)
            few = writer._datastore.export_records(inputs[: QUANTUM[0]])
        some = inputs[: QUANTUM[0]]
        quanta = [
            repository.quantum(some, [_of_run(ref, f"{RUN}/{n}") for ref in self._outputs[: QUANTUM[1]]], few)
            for n in range(REPEATS)
        ]

        def start(quantum: Quantum) -> QuantumBackedButler:
            return cls.initialize(config, quantum, universe, dataset_types=types)

        def start_and_close() -> None:
            for quantum in quanta:
                with start(quantum):
                    pass

        def run_quanta() -> list[Any]:
            done = (
                whole_quantum(start(quantum), some, list(chain(*quantum.outputs.values())))
                for quantum in quanta
            )
            # Ids in provenance come in any order, so that only its length is compared.
            return [(contents, len(text)) for contents, text in done]

        self._time("initialize, 10 in 5 out", REPEATS, start_and_close)
        self._time("one whole quantum, 10 in 5 out", REPEATS, run_quanta)
        self._butler = start(repository.quantum(inputs + wholes, self._outputs, records))
        for name, operation in operations(self._butler, inputs, self._outputs, wholes).items():
            self._time(name, len(inputs), operation)

    def _time(self, name: str, items: int, operation: Callable[[], Any]) -> None:
        before = self._asked.total()
        wall, processor = time.perf_counter(), time.process_time()
        answer = operation()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        requests = self._asked.total() - before
        self.found[name] = (wall / items * 1e6, processor / items * 1e6, requests / items, answer)

    def prune(self) -> None:
        """Remove the outputs of the last butler, and close it."""
        with self._butler as butler:
            self._time(
                "pruneDatasets",
                len(self._outputs),
                lambda: butler.pruneDatasets(self._outputs, disassociate=True, unstore=True, purge=True),
            )


def _of_run(ref: DatasetRef, run: str) -> DatasetRef:
    return DatasetRef(ref.datasetType, ref.dataId, run)


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
    done: dict[str, list[Once]] = {side: [] for side in CLASSES}
    bare: list[dict[str, float]] = []
    # The first time is for the answers, which are compared before any is timed.
    for number in range(rounds + 1):
        for turn, (side, cls) in enumerate(CLASSES.items()):
            # Names of one length, since provenance has them.
            own = folder / f"{PLACES.index(place)}-{number}-{turn}"
            config = configuration(repository, place, own)
            if place == "s3" and number and side == "ours":
                bare.append(bare_requests(repository, config, len(datasets.inputs)))
            done[side].append(Once(cls, repository, datasets, wholes, config, asked))
        if not number:
            compare(place, *(of_side[0].found for of_side in done.values()))
    for stock, ours in zip(*done.values(), strict=True):
        stock.prune()
        ours.prune()
        compare(place, stock.found, ours.found)
    return [
        {
            "place": place,
            "operation": name,
            **{
                f"{side}_{what}": statistics.median(one.found[name][number] for one in done[side][1:])
                for side in CLASSES
                for number, what in enumerate(("us", "cpu_us", "requests"))
            },
            **(
                {"bare_cpu_us": statistics.median(one[name] for one in bare)}
                if bare and name in bare[0]
                else {}
            ),
        }
        for name in done["stock"][0].found
    ]


def compare(place: str, stock: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise `SystemExit` if the two classes answered differently."""
    for name, (*_, answer) in stock.items():
        if ours[name][3] != answer:
            raise SystemExit(f"{place}: {name}: the two classes answer differently; nothing was timed.")


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
