#!/usr/bin/env python3
"""Time the provenance of quanta going from their butlers into a log, and the stock way to keep it.

The stock way is ``extract_provenance_data()``, ``model_dump_json()`` and a file
for each quantum; ours is `ProvenanceLog.append` from the butler, into lines and
into compressed frames.  Each quantum has 10 inputs and 5 outputs, all of them
used or written, and in each round a new butler for each of the ways.  Before
anything is timed, lines are read with `json` and compared with the fields of
the stock model.  The ways take turns; what a log still has in memory is flushed
within its time.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import dataclasses
import gc
import json
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from lsst.daf.butler import Quantum, QuantumBackedButler

from operations import plain_provenance
from quantum_butler import ProvenanceLog
from repository import CLASSES, QUANTUM, RUN, Repository, make_repository

LABEL = "calibrateImage"
HEADING = ("quantum_id", "task_label", "data_id", "begin", "end", "failed", "execution", "datasets")
WAYS = {"stock": "stock", ".jsonl": "ours", ".jsonl.zst": "ours"}
"""Class of the butlers of each way."""

Done = Sequence[tuple[uuid.UUID, QuantumBackedButler]]


def make_quanta(repository: Repository, count: int) -> list[Quantum]:
    """Return quanta whose inputs are there; each has its own."""
    read, written = QUANTUM
    datasets = repository.datasets()
    quanta = []
    for n in range(count):
        inputs = datasets.inputs[read * n : read * (n + 1)]
        outputs = datasets.outputs[written * n : written * (n + 1)]
        quanta.append(repository.quantum(inputs, outputs, repository.write(inputs)))
    return quanta


def run_quanta(repository: Repository, side: str, quanta: Sequence[Quantum]) -> Iterator[Any]:
    """Yield the id and the butler of each quantum, which has read and written everything."""
    for n, quantum in enumerate(quanta):
        butler = repository.initialize(CLASSES[side], quantum)
        inputs = [ref for refs in quantum.inputs.values() for ref in refs]
        butler.stored_many(inputs)
        for ref in inputs:
            butler.get(ref)
        for refs in quantum.outputs.values():
            for ref in refs:
                butler.put({"data": n}, ref)
        yield uuid.UUID(int=n), butler


def keep(way: str, done: Done, folder: Path) -> float:
    """Keep the provenance of quanta in a folder in one of the ways, and return the seconds it took."""
    data_id: dict[str, int | str] = {"instrument": "BenchCam", "detector": 1}
    gc.collect()
    gc.disable()
    try:
        if way == "stock":
            start = time.perf_counter()
            for quantum_id, butler in done:
                text = butler.extract_provenance_data().model_dump_json()
                (folder / f"{quantum_id}.json").write_text(text)
            return time.perf_counter() - start
        with ProvenanceLog(folder / f"log{way}") as log:
            start = time.perf_counter()
            for quantum_id, butler in done:
                log.append(quantum_id, butler, task_label=LABEL, data_id=data_id)
            log.flush()
            return time.perf_counter() - start
    finally:
        gc.enable()


def kept(way: str, folder: Path) -> dict[str, Any]:
    """Return what has been kept of each quantum, as values that compare equal whatever the order of ids."""
    if way == "stock":
        return {path.stem: plain_provenance(path.read_text()) for path in folder.iterdir()}
    compression = "zstd" if way.endswith(".zst") else None
    with pyarrow.input_stream(str(folder / f"log{way}"), compression=compression) as stream:
        lines = stream.read().decode().splitlines()
    found = {}
    for line in lines:
        values = json.loads(line)
        heading = {name: values.pop(name, None) for name in HEADING}
        provenance = plain_provenance(json.dumps(values))
        if heading["task_label"] == LABEL and heading["data_id"]:
            found[heading["quantum_id"]] = provenance
    return found


def measure(repositories: dict[str, Repository], quanta: Sequence[Quantum], rounds: int) -> dict[str, Any]:
    """Compare what the ways keep, and time them.

    Raises `SystemExit` if it is not the same.
    """
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    sizes = {}
    # The first round is there to be compared.
    for number in range(rounds + 1):
        answers = {}
        for way, side in WAYS.items():
            repository = repositories[way]
            done = list(run_quanta(repository, side, quanta))
            with tempfile.TemporaryDirectory(dir=repository.root.parent) as name:
                took = keep(way, done, Path(name))
                if number:
                    seconds[way].append(took / len(done))
                else:
                    answers[way] = kept(way, Path(name))
                    sizes[way] = sum(path.stat().st_size for path in Path(name).iterdir()) / len(done)
            for _, butler in done:
                butler.close()
            del done
            shutil.rmtree(repository.root / RUN / "derived_bytes")
        if not number and not (
            len(answers["stock"]) == len(quanta)
            and all(found == answers["stock"] for found in answers.values())
        ):
            raise SystemExit("What is in a log is not what the stock model has; nothing was timed.")
    stock = seconds["stock"]
    return {
        "quanta": len(quanta),
        "rounds": rounds,
        "ways": {
            way: {
                "us": statistics.median(times) * 1e6,
                "ratio": statistics.median(theirs / ours for theirs, ours in zip(stock, times, strict=True)),
                "bytes": sizes[way],
            }
            for way, times in seconds.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, default=100, help="quanta of each round (100)")
    parser.add_argument("--rounds", type=int, default=7, help="times that each way is timed (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first = make_repository(Path(folder) / "inputs", args.quanta * QUANTUM[0])
        quanta = make_quanta(first, args.quanta)
        repositories = {way: dataclasses.replace(first, root=Path(folder) / f"to{way}") for way in WAYS}
        for repository in repositories.values():
            shutil.copytree(first.root, repository.root)
        gc.collect()
        gc.freeze()
        figures = measure(repositories, quanta, args.rounds)
    for way, one in figures["ways"].items():
        print(
            f"{way:12} {one['us']:10.2f} us per quantum   ratio {one['ratio']:7.1f}   "
            f"{one['bytes']:7.0f} bytes"
        )
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
