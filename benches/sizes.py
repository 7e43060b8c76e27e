#!/usr/bin/env python3
"""Time `get` and `put` with upstream's formatters, by the size of a dataset, with checksums off and on.

For each formatter and size both classes write the same dataset and read it again.
What was read is compared with what was written, and the files of the two with each
other; if anything differs nothing is timed and the exit status is 1.  Then they take
turns.  A figure is the median over the rounds, in microseconds for one dataset.  Each
`put` makes a new file.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import Table
from lsst.daf.butler import ButlerConfig, DatasetRef, DatasetType, StorageClassFactory
from lsst.daf.butler.logging import ButlerLogRecordHandler, ButlerLogRecords
from lsst.pipe.base import TaskMetadata

from operations import plain_records
from repository import CLASSES, RUN, Repository, make_repository

SIZES = (1_000, 1_000_000, 100_000_000)
# Text formats of such a size take minutes with any butler, and nobody writes them.
LARGEST = {"JSON": 1_000_000, "YAML": 100_000, "metadata": 1_000_000, "log": 1_000_000}
# What an array of one value a column takes of a table's file.
_WIDTH = 8


@dataclass(frozen=True)
class Kind:
    """What one formatter reads and writes."""

    storage_class: str
    make: Callable[[int], Any]
    """Makes a dataset whose file has about so many bytes."""

    plain: Callable[[Any], Any]
    """Returns something that can be compared and tells all."""


def _numbers(size: int) -> np.ndarray:
    return np.random.default_rng(size).random(max(size // _WIDTH, 1))


def _columns(size: int) -> dict[str, np.ndarray]:
    return {"a": _numbers(size // 2), "b": _numbers(size // 2)}


def _structure(size: int) -> dict[str, list[float]]:
    # A number is some 20 characters.
    return {"a": _numbers(size * _WIDTH // 20).tolist()}


def _metadata(size: int) -> TaskMetadata:
    return TaskMetadata.from_dict(_structure(size))


def _log(size: int) -> ButlerLogRecords:
    handler = ButlerLogRecordHandler()
    # A record is some 350 characters.
    for number in range(max(size // 350, 1)):
        record = logging.LogRecord("lsst.task", logging.INFO, "task.py", 3, "%d sources", (number,), None)
        record.created, record.msecs = 1.5e9, 0.0
        handler.emit(record)
    return handler.records


KINDS = {
    "JSON": Kind("BenchJson", _structure, lambda value: value),
    "YAML": Kind("StructuredDataList", lambda size: _structure(size)["a"], lambda value: value),
    "metadata": Kind("TaskMetadata", _metadata, lambda value: value.model_dump_json()),
    "log": Kind("ButlerLogRecords", _log, lambda value: [one.model_dump_json() for one in value]),
    "pickle": Kind("NumpyArray", _numbers, lambda value: value.tobytes()),
    "Parquet, Arrow": Kind(
        "ArrowTable", lambda size: pa.table(_columns(size)), lambda value: value.to_pydict()
    ),
    "Parquet, astropy": Kind(
        "ArrowAstropy", lambda size: Table(_columns(size)), lambda value: value.as_array().tobytes()
    ),
    "FITS, astropy": Kind("BenchFits", _numbers, lambda value: value.astype(float).tobytes()),
}
_CONFIG = {
    "datastore": {
        "formatters": {
            "BenchJson": "lsst.daf.butler.formatters.json.JsonFormatter",
            "StructuredDataList": "lsst.daf.butler.formatters.yaml.YamlFormatter",
            "BenchFits": "bench_formatters.FitsFormatter",
        }
    },
    "storageClasses": {
        "BenchJson": {"pytype": "dict"},
        "BenchFits": {"pytype": "numpy.ndarray"},
    },
}


def measure(repository: Repository, name: str, size: int, checksum: bool, rounds: int) -> dict[str, Any]:
    """Compare what the two classes write and read, then time them in turns."""
    kind = KINDS[name]
    dataset = kind.make(size)
    dataset_type = DatasetType(
        f"of_{kind.storage_class}",
        repository.data_ids[0].dimensions,
        StorageClassFactory().getStorageClass(kind.storage_class),
    )
    types = {**repository.dataset_types, dataset_type.name: dataset_type}
    config = ButlerConfig(str(repository.root))
    config["datastore", "checksum"] = checksum
    taken: dict[str, list[float]] = {f"{side}_{what}_us": [] for side in CLASSES for what in ("get", "put")}

    def once(side: str, ref: DatasetRef) -> Any:
        quantum = repository.quantum([], [ref], {})
        with CLASSES[side].initialize(config, quantum, repository.universe, dataset_types=types) as butler:
            gc.collect()
            start = time.perf_counter()
            butler.put(dataset, ref)
            between = time.perf_counter()
            found = butler.get(ref)
            end = time.perf_counter()
            taken[f"{side}_put_us"].append((between - start) * 1e6)
            taken[f"{side}_get_us"].append((end - between) * 1e6)
            content = butler.getURI(ref).read()
            seen = content, kind.plain(found), plain_records(butler, [ref])
            butler.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)
        return seen

    first, *others = (DatasetRef(dataset_type, data_id, RUN) for data_id in repository.data_ids[: rounds + 1])
    stock, ours = (once(side, first) for side in CLASSES)
    if stock != ours or ours[1] != kind.plain(dataset):
        raise SystemExit(f"{name}, {size} bytes: the two classes answer differently; it was not timed.")
    file_size = len(ours[0])
    del stock, ours
    for times in taken.values():
        times.clear()
    for ref in others:
        for side in CLASSES:
            once(side, ref)
    medians = {what: statistics.median(times) for what, times in taken.items()}
    return {"formatter": name, "bytes": file_size, "checksum": checksum, **medians}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="bytes of the largest (100,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each class does it (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "repository", args.rounds + 1, _CONFIG)
        for name in KINDS:
            for size in SIZES:
                if size > min(args.largest, LARGEST.get(name, size)):
                    continue
                for checksum in (False, True):
                    figure = measure(repository, name, size, checksum, args.rounds)
                    figures.append(figure)
                    print(
                        f"{name:18} {figure['bytes']:11,} bytes {'checksum' if checksum else '':8} "
                        + "   ".join(
                            f"{what}: stock {figure[f'stock_{what}_us']:10.1f} us "
                            f"ours {figure[f'ours_{what}_us']:10.1f} us"
                            for what in ("get", "put")
                        ),
                        flush=True,
                    )
    if args.json is not None:
        args.json.write_text(json.dumps({"rounds": args.rounds, "sizes": figures}, indent=1))


if __name__ == "__main__":
    main()
