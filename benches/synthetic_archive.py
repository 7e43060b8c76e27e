"""A provenance archive of a campaign that never ran.

Five tasks in the proportions of a data release: ``isr`` and ``calibrateImage``
on each detector of each visit, ``makeWarp`` on ten of these, ``assembleCoadd``
on a hundred warps, and ``measure`` on each coadd; about ten inputs and five
outputs for each quantum, some inputs shared by thousands.
"""

from __future__ import annotations

__all__ = ("ROLES", "Campaign", "write_archive")

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quantum_butler import _core
from quantum_butler.archive.format import ROLES
from quantum_butler.archive.index import write_index

_OUTPUTS = 5
_DETECTORS = 100
_CHUNK = 50_000
_LABELS = ("isr", "calibrateImage", "makeWarp", "assembleCoadd", "measure")
_DIMENSIONS = (
    ("visit", "detector"),
    ("visit", "detector"),
    ("tract", "patch"),
    ("tract", "patch"),
    ("tract", "patch"),
)
_NAMES = ("exposure", "statistics", "catalog", "log", "metadata")


@dataclass
class Campaign:
    """Which quanta there are, and which datasets each has."""

    quanta: int
    seed: int = 4

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        coadds = max(1, self.quanta // 100)
        warps = min(100 * coadds, max(1, self.quanta // 10))
        coadds = max(1, warps // 100)
        images = max(1, (self.quanta - warps - 2 * coadds) // 2)
        self.sizes = (images, images, warps, coadds, coadds)
        self.quanta = sum(self.sizes)
        self.first = np.cumsum((0, *self.sizes))
        # Raws, calibrations of each detector, reference catalogues.
        self.outside = (images, 9 * _DETECTORS, 6000)
        self.outputs = _OUTPUTS * self.quanta
        self.datasets = self.outputs + sum(self.outside)
        self.dataset_ids = self._uuids(self.datasets)
        self.quantum_ids = self._uuids(self.quanta)

    def _uuids(self, count: int) -> np.ndarray[Any, Any]:
        ids = self.rng.integers(0, 256, (count, 16), dtype=np.uint8)
        ids[:, 6] = ids[:, 6] & 0x0F | 0x40
        ids[:, 8] = ids[:, 8] & 0x3F | 0x80
        return ids

    def output(self, task: int, quantum: np.ndarray[Any, Any], which: int) -> np.ndarray[Any, Any]:
        """Numbers of the datasets that quanta of a task write."""
        numbers: np.ndarray[Any, Any] = _OUTPUTS * (self.first[task] + quantum % self.sizes[task]) + which
        return numbers

    def inputs(self, task: int, quantum: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Numbers of the datasets that quanta of a task expect, a row for each."""
        raws = self.outputs
        calibrations = raws + self.outside[0]
        catalogues = calibrations + self.outside[1]
        if task == 0:
            detector = quantum % _DETECTORS
            return np.stack([raws + quantum, *(calibrations + 9 * detector + n for n in range(9))], axis=1)
        if task == 1:
            place = quantum // 50
            near = [catalogues + (place + n) % self.outside[2] for n in range(6)]
            return np.stack([*(self.output(0, quantum, n) for n in range(4)), *near], axis=1)
        if task == 2:
            return np.stack([self.output(1, 10 * quantum + n, 0) for n in range(10)], axis=1)
        if task == 3:
            return np.stack([self.output(2, 100 * quantum + n, 0) for n in range(100)], axis=1)
        own = [self.output(3, quantum, n) for n in range(4)]
        return np.stack([*own, *(self.output(3, quantum + n, 0) for n in range(1, 7))], axis=1)

    def chunks(self) -> Iterator[tuple[pa.Table, pa.Table, pa.Table]]:
        """Rows of the three tables, without the bytes; edges are not in order of the datasets."""
        for task in range(len(_LABELS)):
            for begin in range(0, self.sizes[task], _CHUNK):
                yield self._chunk(task, np.arange(begin, min(begin + _CHUNK, self.sizes[task])))

    def _chunk(self, task: int, quantum: np.ndarray[Any, Any]) -> tuple[pa.Table, pa.Table, pa.Table]:
        count = len(quantum)
        # A small campaign has the same input twice where a large one has two.
        inputs = np.sort(self.inputs(task, quantum), axis=1)
        repeated = np.zeros(inputs.shape, bool)
        repeated[:, 1:] = inputs[:, 1:] == inputs[:, :-1]
        outputs = np.stack([self.output(task, quantum, n) for n in range(_OUTPUTS)], axis=1)
        available = self.rng.random(inputs.shape) < 0.97
        used = available & (self.rng.random(inputs.shape) < 0.95)
        used[:, 0] = available[:, 0] = True
        made = self.rng.random(outputs.shape) < 0.99
        nothing, all_ = np.zeros_like, np.ones_like
        roles = [
            np.concatenate([left, right], axis=1)
            for left, right in (
                (all_(used), nothing(made)),
                (available, nothing(made)),
                (used, nothing(made)),
                (nothing(used), all_(made)),
                (nothing(used), made),
            )
        ]
        kept = np.concatenate([~repeated, all_(made)], axis=1)
        datasets = np.concatenate([inputs, outputs], axis=1)
        counts = [(role & kept).sum(axis=1) for role in roles]
        number = self.first[task] + quantum
        keys = _DIMENSIONS[task]
        data_ids = [
            json.dumps({keys[0]: int(n) // _DETECTORS, keys[1]: int(n) % _DETECTORS}) for n in quantum
        ]
        quanta = {
            "quantum_id": _ids(self.quantum_ids[number]),
            "task_label": pa.DictionaryArray.from_arrays(np.full(count, task, np.int32), pa.array(_LABELS)),
            "data_id": pa.array(data_ids),
            **{f"{role}s": pa.array(n, pa.int32()) for role, n in zip(ROLES, counts, strict=True)},
            "edges": pa.array(kept.sum(axis=1), pa.int32()),
            "records": pa.array(counts[-1], pa.int32()),
        }
        edges = {
            "quantum_id": _ids(np.repeat(self.quantum_ids[number], kept.sum(axis=1), axis=0)),
            "dataset_id": _ids(self.dataset_ids[datasets[kept]]),
            **{name: pa.array(role[kept]) for name, role in zip(ROLES, roles, strict=True)},
        }
        return pa.table(quanta), pa.table(edges), self._records(task, quantum, outputs, made)

    def _records(
        self,
        task: int,
        quantum: np.ndarray[Any, Any],
        outputs: np.ndarray[Any, Any],
        made: np.ndarray[Any, Any],
    ) -> pa.Table:
        rows, which = np.nonzero(made)
        names = [f"{_LABELS[task]}_{name}" for name in _NAMES]
        paths = [
            f"runs/1/{names[w]}/{n // _DETECTORS}/{names[w]}_{n // _DETECTORS}_{n % _DETECTORS}.fits"
            for n, w in zip(quantum[rows].tolist(), which.tolist(), strict=True)
        ]
        count = len(rows)

        def same(text: str | None, index: pa.DataType) -> pa.Array:
            numbers = pa.array([None if text is None else 0] * count, index)
            return pa.DictionaryArray.from_arrays(numbers, pa.array([text or ""]))

        classes = pa.array([0] * count, pa.int32())
        columns = {
            "datastore_name": same("FileDatastore@<butlerRoot>", pa.int8()),
            "dataset_id": _ids(self.dataset_ids[outputs[made]]),
            "path": pa.array(paths),
            "formatter": same("lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter", pa.int32()),
            "storage_class": pa.DictionaryArray.from_arrays(classes, pa.array(["ExposureF"])),
            "component": same(None, pa.int32()),
            "checksum": pa.nulls(count, pa.string()),
            "file_size": pa.array(self.rng.integers(1000, 50_000_000, count)),
        }
        return pa.table(columns)


def _ids(ids: np.ndarray[Any, Any]) -> pa.Array:
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), column)


def write_archive(campaign: Campaign, folder: Path) -> float:
    """Write the campaign's archive into a new folder, and return the seconds that its index took."""
    folder.mkdir()
    counts = {"quanta": campaign.quanta, "datasets": 0, "edges": 0, "records": 0}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        builder = _core.LineageBuilder(scratch, 128 << 20)
        quanta = []
        writers: dict[str, pq.ParquetWriter] = {}
        seconds = 0.0
        for chunk in campaign.chunks():
            start = time.perf_counter()
            builder.add(*chunk)
            seconds += time.perf_counter() - start
            quanta.append(chunk[0])
            for name, table in zip(("edges", "records"), chunk[1:], strict=True):
                counts[name] += len(table)
                if name not in writers:
                    path = folder / f"{name}.parquet"
                    writers[name] = pq.ParquetWriter(path, table.schema, compression="zstd")
                writers[name].write_table(table)
        for writer in writers.values():
            writer.close()
        start = time.perf_counter()
        nodes, totals = map(pa.RecordBatchReader.from_stream, builder.finish())
        counts["datasets"] = write_index(nodes, folder / "lineage.arrow")
        sizes = totals.read_all()
        seconds += time.perf_counter() - start
    table = pa.concat_tables(quanta)
    for name in sizes.column_names:
        table = table.append_column(name, sizes[name])
    pq.write_table(table, folder / "quanta.parquet", compression="zstd", row_group_size=1 << 17)
    manifest = {
        "format": "quantum-butler provenance archive",
        "version": 1,
        "created": "2026-11-22T12:00:00+00:00",
        "software": {"quantum-butler": "0.1.0"},
        "sources": [],
        "counts": {**counts, "rejected": 0, "repeated": 0, "replaced": 0},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return seconds
