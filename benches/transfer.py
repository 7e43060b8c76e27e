#!/usr/bin/env python3
"""Time ``collect_and_transfer`` of many quanta with the stock class and with ours.

Every quantum has five predicted outputs of five dataset types, all of them
written.  Each round goes into a new copy of a repository with an SQLite
registry.  The stock class gets its own models; ours gets its own, as they come
out of a butler or are read from JSON, and then the stock ones.  What is in the
registry and in the datastore afterwards must be equal before anything counts.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lsst.daf.butler import Butler, DatasetRef, DatasetType, Quantum, StorageClass
from lsst.daf.butler import QuantumProvenanceData as Stock

import quantum_butler

RUN = "benches/run"
OUTPUTS = 5
INPUTS = 10
DATASTORE = "FileDatastore@<butlerRoot>"
TABLE = "file_datastore_records"
CLASS = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"

SIDES: dict[str, tuple[Any, Any]] = {
    "stock": (Stock, Stock),
    "ours": (quantum_butler.QuantumProvenanceData, quantum_butler.QuantumProvenanceData),
    "ours, stock models": (quantum_butler.QuantumProvenanceData, Stock),
}


def make_repository(root: Path, quanta: int) -> list[DatasetType]:
    """Make a repository with the dimensions, run and dataset types of so many quanta."""
    Butler.makeRepo(str(root))
    with Butler.from_config(str(root), writeable=True) as butler:
        insert = butler.registry.insertDimensionData
        insert("instrument", {"name": "Cam", "visit_max": 1, "exposure_max": 1, "detector_max": quanta})
        insert(
            "detector", *({"instrument": "Cam", "id": n, "full_name": f"detector{n}"} for n in range(quanta))
        )
        butler.collections.register(RUN)
        storage_class = StorageClass("StructuredDataDict", pytype=dict)
        dimensions = butler.dimensions.conform(["instrument", "detector"])
        types = [DatasetType(f"output{n}", dimensions, storage_class) for n in range(OUTPUTS)]
        for dataset_type in types:
            butler.registry.registerDatasetType(dataset_type)
    return types


def make_quanta(root: Path, types: Sequence[DatasetType], quanta: int) -> list[Quantum]:
    """Make quanta with predicted outputs, whose data IDs are expanded as in a graph."""
    with Butler.from_config(str(root)) as butler:
        data_ids = [butler.registry.expandDataId(instrument="Cam", detector=n) for n in range(quanta)]
    return [
        Quantum(
            taskName="some.Task",
            outputs={
                dataset_type: [
                    DatasetRef(dataset_type, data_id, RUN, id=uuid.uuid5(uuid.NAMESPACE_OID, f"{n}.{number}"))
                ]
                for number, dataset_type in enumerate(types)
            },
        )
        for n, data_id in enumerate(data_ids)
    ]


def provenance_json(quantum: Quantum) -> str:
    """Return the provenance of a quantum that has done what was expected of it."""
    refs = [ref for refs in quantum.outputs.values() for ref in refs]
    inputs = [str(uuid.uuid5(refs[0].id, str(n))) for n in range(INPUTS)]
    outputs = [str(ref.id) for ref in refs]
    rows = {
        ref.id.hex: {
            TABLE: [
                {
                    "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
                    "path": f"{RUN}/{ref.datasetType.name}/Cam_{ref.dataId['detector']}.json",
                    "storage_class": "StructuredDataDict",
                    "component": "__NULL_STRING__",
                    "checksum": None,
                    "file_size": 1234,
                }
            ]
        }
        for ref in refs
    }
    return json.dumps(
        {
            "predicted_inputs": inputs,
            "available_inputs": inputs,
            "actual_inputs": inputs,
            "predicted_outputs": outputs,
            "actual_outputs": outputs,
            "datastore_records": {DATASTORE: {"dataset_ids": outputs, "records": {CLASS: rows}}},
        }
    )


def content(root: Path, quanta: Sequence[Quantum]) -> Any:
    """Return the datasets and records of a repository."""
    refs = [ref for quantum in quanta for refs in quantum.outputs.values() for ref in refs]
    with Butler.from_config(str(root)) as butler:
        found = {ref.id: ref for ref in butler.query_all_datasets(RUN, limit=None)}
        records = {name: data.records for name, data in butler._datastore.export_records(refs).items()}
    if len(found) != len(refs):
        raise SystemExit(f"{len(found)} of {len(refs)} datasets have arrived.")
    return found, records


def lazily(texts: Sequence[str], model: Any) -> Iterator[Any]:
    """Yield models that are made when they are asked for."""
    for text in texts:
        yield model.model_validate_json(text)


def transfer(root: Path, side: str, quanta: Sequence[Quantum], data: Any) -> float:
    """Transfer everything; return seconds."""
    with Butler.from_config(str(root), writeable=True) as butler:
        gc.collect()
        start = time.perf_counter()
        SIDES[side][0].collect_and_transfer(butler, iter(quanta), iter(data))
        return time.perf_counter() - start


def in_copy(template: Path, work: Callable[[Path], Any]) -> Any:
    """Do something with a new copy of a repository."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        shutil.copytree(template, root)
        return work(root)


def peak(root: Path, side: str, quanta: Sequence[Quantum], texts: Sequence[str]) -> int:
    """Transfer everything; return the most bytes of Python objects that this has taken at once."""
    tracemalloc.start()
    try:
        transfer(root, side, quanta, lazily(texts, SIDES[side][1]))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="also trace memory, which takes some time")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        types = make_repository(template, args.quanta)
        quanta = make_quanta(template, types, args.quanta)
        texts = [provenance_json(quantum) for quantum in quanta]

        def models(side: str) -> list[Any]:
            return list(lazily(texts, SIDES[side][1]))

        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        expected = None
        for _ in range(args.rounds):
            for side in SIDES:
                data = models(side)

                def once(root: Path, side: str = side, data: Any = data) -> Any:
                    took = transfer(root, side, quanta, data)
                    return took, content(root, quanta)

                took, found = in_copy(template, once)
                expected = found if expected is None else expected
                if found != expected:
                    sys.exit(f"What {side} leaves is not what the stock class leaves.")
                seconds[side].append(took)
        results = {
            side: {"ms_per_quantum": statistics.median(times) / args.quanta * 1e3}
            for side, times in seconds.items()
        }
        if args.memory:
            for side in SIDES:
                most = in_copy(template, partial(peak, side=side, quanta=quanta, texts=texts))
                results[side]["peak_mib"] = most / 2**20
    for side, result in results.items():
        ratio = results["stock"]["ms_per_quantum"] / result["ms_per_quantum"]
        print(f"{side:20} {result['ms_per_quantum']:.3f} ms per quantum ({ratio:.2f} times as fast)", end="")
        print(f", {result['peak_mib']:.0f} MiB" if "peak_mib" in result else "")
    if args.json:
        args.json.write_text(json.dumps({"quanta": args.quanta, "sides": results}))


if __name__ == "__main__":
    main()
