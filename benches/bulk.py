#!/usr/bin/env python3
"""Time the bulk operations of one butler class, as on a butler over a whole graph.

Prints the cost per dataset of each, as median of a few rounds, and the most
memory it needed on top of what was there before, results included.  To be run
once for each class and size, because a process does not give its memory back.
Unlike in ``operations.py`` the garbage collector is on: with a million results
it is part of the cost.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lsst.daf.butler import DatasetRef, QuantumBackedButler
from lsst.daf.butler.datastore.record_data import DatastoreRecordData

from repository import CLASSES, Repository, make_repository

# Hard links to one file that every file system allows.
_MOST_LINKS = 30_000


def make_files(repository: Repository, inputs: list[DatasetRef]) -> dict[str, DatastoreRecordData]:
    """Give each input a file, without writing each, and return their records.

    The files of many inputs are links to the same one, which makes no
    difference to whether they exist, and much to how long this takes.
    """
    with repository.butler(CLASSES["ours"], [], inputs, {}) as butler:
        records: dict[str, DatastoreRecordData] = butler._datastore.export_predicted_records(inputs)
    [data] = records.values()
    for number, ref in enumerate(inputs):
        [[info]] = data.records[ref.id].values()
        path = repository.root / info.path  # type: ignore[attr-defined]
        if number % _MOST_LINKS == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
            original = path
        else:
            os.link(original, path)
    return records


class Meter:
    """Times steps and watches their memory."""

    def __init__(self, datasets: int, rounds: int, only: str):
        self.datasets, self.rounds, self.only = datasets, rounds, only
        self.figures: list[dict[str, Any]] = []

    def measure(
        self,
        name: str,
        prepare: Callable[[], QuantumBackedButler | None],
        run: Callable[[Any], Any],
    ) -> None:
        """Time ``run(prepare())`` per dataset, if it is wanted."""
        if self.only not in name:
            return
        microseconds, bytes_each = [], []
        for _ in range(self.rounds):
            prepared = prepare()
            gc.collect()
            gc.freeze()
            before = reset_peak()
            start = time.perf_counter()
            result = run(prepared)
            microseconds.append((time.perf_counter() - start) / self.datasets * 1e6)
            bytes_each.append((memory("VmHWM") - before) / self.datasets)
            for thing in (prepared, result):
                if isinstance(thing, QuantumBackedButler):
                    thing.close()
            del prepared, result
        figure = {
            "operation": name,
            "us": statistics.median(microseconds),
            # The first round finds no memory that an earlier one has left.
            "bytes": max(bytes_each),
        }
        self.figures.append(figure)
        print(f"{name:40} {figure['us']:10.2f} us {figure['bytes']:10.0f} bytes, each", flush=True)


def reset_peak() -> int:
    """Forget the process's peak memory, and return what it uses now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(field: str) -> int:
    """Return a memory figure of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.removesuffix("kB")) * 1024
    raise SystemExit(f"This system does not tell {field}.")


def store_size(butler: QuantumBackedButler) -> int | None:
    """Return the bytes that our records and their locations have allocated.

    There is no telling for the stock class: `None`.
    """
    records = getattr(butler._datastore, "_records", None)
    return None if records is None else records.table.memory() + records.locations.memory()


def name_size(records: dict[str, DatastoreRecordData]) -> int:
    """Return the characters of all file names, which no two records share."""
    paths = (
        info.path  # type: ignore[attr-defined]
        for data in records.values()
        for tables in data.records.values()
        for infos in tables.values()
        for info in infos
    )
    return sum(len(os.path.basename(path)) for path in paths)


def records_of(
    records: Mapping[str, DatastoreRecordData], refs: list[DatasetRef]
) -> dict[str, DatastoreRecordData]:
    """Return the records of some of the datasets."""
    return {
        name: DatastoreRecordData(records={ref.id: data.records[ref.id] for ref in refs})
        for name, data in records.items()
    }


def compare_tables(
    repository: Repository, refs: list[DatasetRef], records: Mapping[str, DatastoreRecordData]
) -> None:
    """Stop if the classes do not make the same table of records, and the same records of a table."""
    answers = []
    for cls in CLASSES.values():
        with repository.butler(cls, refs, [], records) as butler:
            table = butler._datastore.export_table([ref.id for ref in refs])
        with repository.butler(cls, refs, [], {}) as butler:
            butler._datastore.import_table(table)
            imported = butler._datastore.export_records(refs)
        plain = {name: data.records for name, data in imported.items()}
        answers.append((table.to_arrow().schema, table.to_arrow().to_pylist(), plain))
    if answers[0] != answers[1] or len(answers[0][1]) != len(refs):
        raise SystemExit("The two classes have different tables; nothing was timed.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--butler", choices=CLASSES, default="ours")
    parser.add_argument("--datasets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", metavar="TEXT", default="", help="operations with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    cls = CLASSES[args.butler]
    # What upstream warns of is put into words, as it would be for a log file.
    logging.basicConfig(filename=os.devnull, level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "repository", args.datasets)
        datasets = repository.datasets()
        inputs, outputs = datasets.inputs, datasets.outputs
        records = make_files(repository, inputs)
        names = name_size(records)
        ids = [ref.id for ref in inputs], [ref.id for ref in outputs]
        meter = Meter(args.datasets, args.rounds, args.only)

        def make(data: dict[str, DatastoreRecordData]) -> QuantumBackedButler:
            return cls.from_predicted(
                str(repository.root),
                *ids,
                repository.universe,
                data,
                dataset_types=repository.dataset_types,
            )

        def make_done() -> QuantumBackedButler:
            # As if each dataset with a record had been written.
            butler = make(records)
            butler._actual_output_refs.update(inputs)
            return butler

        compare_tables(repository, inputs[:1000], records_of(records, inputs[:1000]))
        with make(records) as butler:
            store = store_size(butler)
            table = butler._datastore.export_table(ids[0])
            if not all(butler.stored_many(inputs[:1000]).values()):
                raise SystemExit("The inputs are not there; nothing was timed.")
            if any(butler.stored_many(outputs[:1000]).values()):
                raise SystemExit("Some outputs are there already; nothing was timed.")
        if store is not None:
            each, beyond = store / args.datasets, (store - names) / args.datasets
            print(f"{each:.0f} bytes a record, {beyond:.0f} of them beyond the file's name")
        meter.measure("make a butler without records", lambda: None, lambda _: make({}))
        meter.measure(
            "import_records", lambda: make({}), lambda butler: butler._datastore.import_records(records)
        )
        meter.measure("import_table", lambda: make({}), lambda butler: butler._datastore.import_table(table))
        for name, run in {
            "stored_many, recorded": lambda butler: butler.stored_many(inputs),
            "stored_many, predicted only": lambda butler: butler.stored_many(outputs),
            "export_records": lambda butler: butler._datastore.export_records(inputs),
            "export_table": lambda butler: butler._datastore.export_table(ids[0]),
            "export_predicted_records": lambda butler: butler._datastore.export_predicted_records(outputs),
            "extract, no input looked for": lambda butler: butler.extract_provenance_data(),
        }.items():
            meter.measure(name, lambda: make(records), run)

        meter.measure(
            "extract + model_dump_json, all written",
            make_done,
            lambda butler: butler.extract_provenance_data().model_dump_json(),
        )
    outcome = {
        "butler": args.butler,
        "datasets": args.datasets,
        "rounds": args.rounds,
        "store_bytes": None if store is None else store / args.datasets,
        "name_bytes": names / args.datasets,
        "operations": meter.figures,
    }
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
