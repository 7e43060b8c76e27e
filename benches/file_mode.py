#!/usr/bin/env python3
"""Time butlers that keep their records in a SQLite file, beside those that keep them in memory.

Stock's class and ours, both in memory and with a file, ours with either durability.  The ways take
turns, each in every round with a new butler and a new file; times are medians of the rounds.  What
a file adds is the difference to the same class in memory.  Before anything is timed, the stock
tables of all files must have the same rows.

Outputs wait elsewhere until all have been written, and only then are any removed:
`operations.py` says why.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import contextlib
import gc
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lsst.daf.butler import QuantumBackedButler

from repository import CLASSES, RUN, Datasets, Repository, make_repository

# Class, whether there is a file, and options.
WAYS: Mapping[str, tuple[str, bool, Mapping[str, Any]]] = {
    "stock, memory": ("stock", False, {}),
    "stock, file": ("stock", True, {}),
    "ours, memory": ("ours", False, {}),
    "ours, file": ("ours", True, {}),
    'ours, file, durability="process"': ("ours", True, {"durability": "process"}),
}
OPERATIONS = ("initialize", "put", "pruneDatasets of one", "pruneDatasets of many", "close")

_TABLES = ("dataset_location", "dataset_location_trash", "opaque_meta", "file_datastore_records")


class Round:
    """One butler from its beginning to its end.

    Parameters
    ----------
    way : `str`
        Which butler.
    repository : `Repository`
        Where it works.
    datasets : `Datasets`
        What it works with.
    records : `~collections.abc.Mapping`
        Records of the inputs.
    file : `pathlib.Path`
        Where its file is to be, if it has one.
    """

    def __init__(
        self, way: str, repository: Repository, datasets: Datasets, records: Mapping[str, Any], file: Path
    ):
        name, has_file, options = WAYS[way]
        self._outputs = datasets.outputs
        self._written = repository.root / RUN / self._outputs[0].datasetType.name
        self._aside = file.with_suffix(".outputs")
        self._file = file if has_file else None
        self.microseconds: dict[str, float] = {}
        quantum = repository.quantum(datasets.inputs[:10], self._outputs, records)
        if has_file:
            options = {"filename": str(file), **options}

        def initialize() -> QuantumBackedButler:
            return CLASSES[name].initialize(
                str(repository.root),
                quantum,
                repository.universe,
                dataset_types=repository.dataset_types,
                **options,
            )

        self._butler = self._time("initialize", 1, initialize)

    def _time(self, operation: str, count: int, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        self.microseconds[operation] = (time.perf_counter() - start) / count * 1e6
        return result

    def put(self) -> dict[str, list[Any]] | None:
        """Put everything, set it aside, and return the rows that the file has, if there is one."""
        butler, outputs = self._butler, self._outputs

        def put() -> None:
            for number, ref in enumerate(outputs):
                butler.put({"data": number}, ref)

        self._time("put", len(outputs), put)
        self._written.rename(self._aside)
        return self._rows()

    def prune(self) -> dict[str, Any]:
        """Prune everything, and return the rows that the file had before the end and has then."""
        self._aside.rename(self._written)
        butler, outputs = self._butler, self._outputs
        half = len(outputs) // 2

        def prune_each() -> None:
            for ref in outputs[:half]:
                butler.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)

        def prune_many() -> None:
            butler.pruneDatasets(outputs[half:-1], disassociate=True, unstore=True, purge=True)

        self._time("pruneDatasets of one", half, prune_each)
        self._time("pruneDatasets of many", len(outputs) - half - 1, prune_many)
        after_prune = self._rows()
        butler.pruneDatasets(outputs[-1:], disassociate=True, unstore=True, purge=True)
        self._time("close", 1, butler.close)
        # For the next one.
        self._written.rmdir()
        return {"after pruneDatasets": after_prune, "at the end": self._rows()}

    def _rows(self) -> dict[str, list[Any]] | None:
        if self._file is None:
            return None
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            return {
                table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
                for table in _TABLES
            }


def measure(repository: Repository, folder: Path, outputs: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the microseconds of each operation, by way and operation."""
    everything = repository.datasets()
    datasets = Datasets(everything.inputs[:10], everything.outputs[:outputs])
    records = repository.write(datasets.inputs)
    times: dict[str, dict[str, list[float]]] = {way: {name: [] for name in OPERATIONS} for way in WAYS}
    with_file = [way for way, (_, has_file, _) in WAYS.items() if has_file]
    done: list[dict[str, Round]] = []
    # The first round is for the answers alone.
    for number in range(rounds + 1):
        done.append({})
        rows = {}
        for count, way in enumerate(WAYS):
            gc.collect()
            one = Round(way, repository, datasets, records, folder / f"{number}-{count}.sqlite3")
            done[-1][way], rows[way] = one, one.put()
        first = rows[with_file[0]]
        if not first or not first["file_datastore_records"] or any(rows[way] != first for way in with_file):
            raise SystemExit("The files differ; nothing was timed.")
    for number, round_ in enumerate(done):
        left = {way: one.prune() for way, one in round_.items()}
        if any(left[way] != left[with_file[0]] for way in with_file):
            raise SystemExit("The files differ; nothing was timed.")
        for way, one in round_.items() if number else ():
            for name, microseconds in one.microseconds.items():
                times[way][name].append(microseconds)
    return {
        way: {name: statistics.median(values) for name, values in of_way.items()}
        for way, of_way in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=100, help="outputs of a quantum (100)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="file system to work on (that of temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        repository = make_repository(Path(folder) / "repository", max(10, args.datasets))
        times = measure(repository, Path(folder), args.datasets, args.rounds)
    print(f"{'microseconds':<34}" + "".join(f"{name:>23}" for name in OPERATIONS))
    for way, of_way in times.items():
        print(f"{way:<34}" + "".join(f"{of_way[name]:>23.1f}" for name in OPERATIONS))
    added = {way: times[way]["put"] - times[f"{WAYS[way][0]}, memory"]["put"] for way in WAYS if WAYS[way][1]}
    for way, microseconds in added.items():
        share = microseconds / added["stock, file"]
        print(f"{way}: adds {microseconds:.0f} us to a put, {share:.0%} of what the stock class adds")
    if args.json is not None:
        outcome = {
            "datasets": args.datasets,
            "rounds": args.rounds,
            "microseconds": times,
            "added_to_put": added,
        }
        args.json.write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
