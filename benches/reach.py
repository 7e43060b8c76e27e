#!/usr/bin/env python3
"""Time operations where production runs: with debug logs, in a chain, in an object store, with a cache.

The store is S3, played by `moto` in another process.  For each place both classes first
do everything once, and what comes out is compared; if anything differs nothing is timed
and the exit status is 1.  Then they take turns.  A figure is the median over the rounds:
wall time, and processor time of this process, in microseconds for each dataset.
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
from lsst.resources.s3utils import getS3Client

from repository import CLASSES, Datasets, Repository, make_repository

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
        getS3Client().create_bucket(Bucket="reach")
        yield
    finally:
        server.terminate()
        server.wait()


def configuration(repository: Repository, place: str, folder: Path) -> ButlerConfig:
    """Return the configuration for one place."""
    config = ButlerConfig(str(repository.root))
    config["datastore", "cached", "default"] = place == "s3, cached"
    config["datastore", "cached", "root"] = str(folder / "cache")
    config["datastore", "cached", "expiry"] = {"mode": "files", "threshold": 100_000}
    if place.startswith("s3"):
        config["datastore", "root"] = "s3://reach/repository"
    if place == "chain":
        config["datastore", "cls"] = _CHAIN
        config["datastore", "datastores"] = [
            {"datastore": {"cls": _MEMORY}},
            {"datastore": {"cls": _FILES, "root": "<butlerRoot>"}},
        ]
    return config


def operations(
    butler: QuantumBackedButler, inputs: list[Any], outputs: list[Any]
) -> Mapping[str, Callable[[], Any]]:
    """Return what is timed, in the order in which it is done."""
    return {
        "get": lambda: [butler.get(ref) for ref in inputs],
        "get again": lambda: [butler.get(ref) for ref in inputs],
        "stored_many": lambda: butler.stored_many(inputs),
        "put": lambda: [butler.put({"data": number}, ref).id for number, ref in enumerate(outputs)],
        "extract + model_dump_json": lambda: len(butler.extract_provenance_data().model_dump_json()),
        "pruneDatasets": lambda: butler.pruneDatasets(outputs, disassociate=True, unstore=True, purge=True),
    }


def once(
    cls: type[QuantumBackedButler],
    repository: Repository,
    datasets: Datasets,
    config: ButlerConfig,
    asked: Counter[str],
) -> dict[str, tuple[float, float, int, Any]]:
    """Do everything once; return wall time, processor time, requests and the answer of each operation."""
    n = len(datasets.inputs)
    with cls.from_predicted(
        config, [], [ref.id for ref in datasets.inputs], repository.universe, {}
    ) as writer:
        for number, ref in enumerate(datasets.inputs):
            writer.put({"data": number}, ref)
        records = writer._datastore.export_records(datasets.inputs)
    quantum = repository.quantum(datasets.inputs, datasets.outputs, records)
    found = {}
    with cls.initialize(
        config, quantum, repository.universe, dataset_types=repository.dataset_types
    ) as butler:
        for name, operation in operations(butler, datasets.inputs, datasets.outputs).items():
            before = asked.total()
            wall, processor = time.perf_counter(), time.process_time()
            answer = operation()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            found[name] = (wall / n * 1e6, processor / n * 1e6, asked.total() - before, answer)
    return found


def measure(place: str, repository: Repository, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Compare the answers in one place, then time both classes in turns."""
    asked: Counter[str] = Counter()
    if place.startswith("s3"):
        getS3Client().meta.events.register_first(
            "before-send.s3", lambda event_name, **_: asked.update([event_name])
        )
    datasets = repository.datasets()
    configs = {side: configuration(repository, place, folder / side) for side in CLASSES}
    first = {side: once(cls, repository, datasets, configs[side], asked) for side, cls in CLASSES.items()}
    for name, (*_, answer) in first["stock"].items():
        if first["ours"][name][3] != answer:
            raise SystemExit(f"{place}: {name}: the two classes answer differently; nothing was timed.")
    taken: dict[str, list[Any]] = {side: [] for side in CLASSES}
    for _ in range(rounds):
        for side, cls in CLASSES.items():
            taken[side].append(once(cls, repository, datasets, configs[side], asked))
    return [
        {
            "place": place,
            "operation": name,
            **{
                f"{side}_{what}": statistics.median(done[name][number] for done in taken[side])
                for side in CLASSES
                for number, what in enumerate(("us", "cpu_us", "requests"))
            },
        }
        for name in first["stock"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=300, help="inputs, and as many outputs (300)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each class does it (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    parser.add_argument("--only", choices=PLACES, action="append", help="a place (all of them)")
    args = parser.parse_args()
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
                        f"{figure[f'{side}_requests']:5.0f} requests"
                        for side in CLASSES
                    )
                    + f"   ratio {figure['stock_us'] / figure['ours_us']:5.1f}"
                    + f", cpu {figure['stock_cpu_us'] / figure['ours_cpu_us']:5.1f}",
                    flush=True,
                )
            logging.getLogger("lsst").setLevel(logging.NOTSET)
            logging.disable(logging.WARNING)
    if args.json is not None:
        args.json.write_text(json.dumps({"datasets": args.datasets, "reach": figures}, indent=1))


if __name__ == "__main__":
    main()
