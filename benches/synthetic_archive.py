"""A provenance archive of a campaign that never ran, as ``collect`` writes it.

Five tasks in the proportions of a data release: ``isr`` and ``calibrateImage``
on each detector of each visit, ``makeWarp`` on ten of these, ``assembleCoadd``
on a hundred warps, and ``measure`` on each coadd; about ten inputs and five
outputs for each quantum, some inputs shared by thousands.  One quantum in a
hundred fails, which blocks what needs it; a few succeed at the second attempt.

What ``collect`` reads from logs is made here; from there on its own code works.
"""

from __future__ import annotations

__all__ = ("LABELS", "ROLES", "Campaign", "Chunk", "write_archive")

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from quantum_butler import _core
from quantum_butler.archive.format import FORMAT, MANIFEST, ROLES, VERSION
from quantum_butler.archive.ids import uuids_of
from quantum_butler.collecting.duplicates import find_duplicates
from quantum_butler.collecting.found import Piece
from quantum_butler.collecting.origins import Origin
from quantum_butler.collecting.parts import Part, PartWriter, part_path
from quantum_butler.collecting.replaced import write_replaced
from quantum_butler.collecting.scratch import Scratch
from quantum_butler.collecting.tables import part_schemas
from quantum_butler.collecting.writing import ArchiveWriter

_OUTPUTS = 5
_DETECTORS = 100
_CHUNK = 50_000
LABELS = ("isr", "calibrateImage", "makeWarp", "assembleCoadd", "measure")
"""The tasks, in the order of their work."""
_NAMES = ("exposure", "statistics", "catalog", "log", "metadata")
_CLASSES = ("ExposureF", "ArrowAstropy", "ArrowAstropy", "ButlerLogRecords", "TaskMetadata")
_LOG = _NAMES.index("log")
_CALIBRATIONS = 9
_CATALOGUES = 6000
_SUCCESSFUL, _BLOCKED, _FAILED = 1, 0, -1
_MADE = 1_793_000_000_000_000
_HOUR = 3_600_000_000
_RAISED = ("NoWorkFound", "ValueError", "lsst.pipe.base.UnprocessableDataError")

Numbers = np.ndarray[Any, Any]


class Chunk(NamedTuple):
    """Quanta of one task in the form that ``collect`` reads logs into."""

    quanta: pa.Table
    edges: pa.Table
    records: pa.Table
    names: pa.Table


@dataclass
class Campaign:
    """Which quanta there are, which datasets each has, and how each ended."""

    quanta: int
    seed: int = 4
    run: str = "runs/1"

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
        self.outside = (images, _CALIBRATIONS * _DETECTORS, _CATALOGUES)
        self.outputs = _OUTPUTS * self.quanta
        self.datasets = self.outputs + sum(self.outside)
        self.dataset_ids = self._uuids(self.datasets)
        self.quantum_ids = self._uuids(self.quanta)
        halves = self.dataset_ids.view(">u8")
        self._rank = np.empty(self.datasets, np.int64)
        self._rank[np.lexsort((halves[:, 1], halves[:, 0]))] = np.arange(self.datasets)
        # Two campaigns differ where it matters, and not everywhere: most of it does not depend on the seed.
        same = np.random.default_rng(0)
        fails = (same.random(self.quanta) < 0.01) ^ (self.rng.random(self.quanta) < 0.001)
        self.status = np.where(fails, _FAILED, _SUCCESSFUL)
        # An image needs its exposure, and a measurement its coadd.
        for task in (1, 4):
            before = self.status[self.first[task - 1] : self.first[task]]
            self.status[self.first[task] : self.first[task + 1]][before != _SUCCESSFUL] = _BLOCKED
        self.written = same.random((self.quanta, _OUTPUTS)) < 0.99
        self.written[self.status != _SUCCESSFUL] = False
        self.written[:, _LOG] = self.status != _BLOCKED
        # The last quantum is asked for, by whoever wants one with many before it.
        self.status[-1] = _SUCCESSFUL
        self.written[-1] = True
        self.retried = (self.rng.random(self.quanta) < 0.002) & (self.status == _SUCCESSFUL)

    def _uuids(self, count: int) -> Numbers:
        ids = self.rng.integers(0, 256, (count, 16), dtype=np.uint8)
        ids[:, 6] = ids[:, 6] & 0x0F | 0x40
        ids[:, 8] = ids[:, 8] & 0x3F | 0x80
        return ids

    def output(self, task: int, quantum: Numbers, which: int) -> Numbers:
        """Numbers of the datasets that quanta of a task write."""
        numbers: Numbers = _OUTPUTS * (self.first[task] + quantum % self.sizes[task]) + which
        return numbers

    def inputs(self, task: int, quantum: Numbers) -> Numbers:
        """Numbers of the datasets that quanta of a task expect, a row for each."""
        raws = self.outputs
        calibrations = raws + self.outside[0]
        catalogues = calibrations + self.outside[1]
        if task == 0:
            own = calibrations + _CALIBRATIONS * (quantum % _DETECTORS)
            return np.stack([raws + quantum, *(own + n for n in range(_CALIBRATIONS))], axis=1)
        if task == 1:
            place = quantum // 50
            near = [catalogues + (place + n) % self.outside[2] for n in range(6)]
            return np.stack([*(self.output(0, quantum, n) for n in range(4)), *near], axis=1)
        if task == 2:
            return np.stack([self.output(1, 10 * quantum + n, 0) for n in range(10)], axis=1)
        if task == 3:
            return np.stack([self.output(2, 100 * quantum + n, 0) for n in range(100)], axis=1)
        own_outputs = [self.output(3, quantum, n) for n in range(4)]
        return np.stack([*own_outputs, *(self.output(3, quantum + n, 0) for n in range(1, 7))], axis=1)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all attempts, the same whenever it is asked; first those that were not the last."""
        self.rng = np.random.default_rng(self.seed + 1)
        for task, size in enumerate(self.sizes):
            again = np.flatnonzero(self.retried[self.first[task] : self.first[task + 1]])
            if len(again):
                yield self._chunk(task, again, is_first_of_two=True)
            for begin in range(0, size, _CHUNK):
                yield self._chunk(task, np.arange(begin, min(begin + _CHUNK, size)))

    def outside_names(self) -> Iterator[pa.Table]:
        """Yield the names of what was there before."""
        images, calibrations, _ = self.outside
        ids = np.split(self.dataset_ids[self.outputs :], np.cumsum(self.outside)[:-1])
        yield _names(ids[0], "raw", "raw/all", "Exposure", _data_ids(0, np.arange(images)))
        for kind in range(_CALIBRATIONS):
            detectors = np.arange(calibrations // _CALIBRATIONS)
            data_ids = {"instrument": "SynthCam", "detector": detectors}
            yield _names(ids[1][kind::_CALIBRATIONS], f"calibration{kind}", "calib", "Exposure", data_ids)
        yield _names(ids[2], "reference", "refcats", "SimpleCatalog", {"htm7": np.arange(_CATALOGUES)})

    def _chunk(self, task: int, quantum: Numbers, *, is_first_of_two: bool = False) -> Chunk:
        number = self.first[task] + quantum
        status = np.full(len(quantum), _FAILED) if is_first_of_two else self.status[number]
        ran = (status != _BLOCKED)[:, None]
        # A small campaign has the same input twice where a large one has two.
        inputs = np.sort(self.inputs(task, quantum), axis=1)
        repeated = np.zeros(inputs.shape, bool)
        repeated[:, 1:] = inputs[:, 1:] == inputs[:, :-1]
        outputs = np.stack([self.output(task, quantum, n) for n in range(_OUTPUTS)], axis=1)
        own = np.minimum(inputs, self.outputs - 1)
        available = ran & ((inputs >= self.outputs) | self.written.reshape(-1)[own])
        same = np.random.default_rng(int(number[0]))
        used = available & (same.random(inputs.shape) < 0.95)
        used[:, 0] = available[:, 0]
        made = self.written[number] & (not is_first_of_two)
        bits = [1 + 2 * available + 4 * used, 8 + 16 * made]
        roles = np.concatenate(bits, axis=1).astype(np.uint8)
        kept = np.concatenate([~repeated, np.ones_like(made)], axis=1)
        datasets = np.concatenate([inputs, outputs], axis=1)
        order = np.argsort(self._rank[datasets], axis=1)
        datasets, roles, kept = (np.take_along_axis(one, order, axis=1) for one in (datasets, roles, kept))
        length = len(quantum)
        columns = {
            "quantum_id": uuids_of(_ids(self.quantum_ids[number])),
            "task_label": _same(LABELS[task], length),
            "data_id": pa.array(_texts(task, quantum)),
            **{f"{role}s": ((roles >> bit & 1) * kept).sum(axis=1) for bit, role in enumerate(ROLES)},
            "edges": kept.sum(axis=1),
            "records": made.sum(axis=1),
            **self._execution(task, status, 0 if is_first_of_two else self.retried[number].astype(int)),
            "run": _same(self.run, length),
            "connections": _same(_connections(task), length),
            "source": np.zeros(length, int),
            "offset": number,
            "origin": np.where(status == _BLOCKED, Origin.PROVENANCE, Origin.LINE),
        }
        schemas = part_schemas()
        tables = {
            "quanta": [pa.array(columns[name]) for name in schemas["quanta"].names],
            "edges": [uuids_of(_ids(self.dataset_ids[datasets[kept]])), pa.array(roles[kept])],
        }
        quanta, edges = (pa.table(table, schemas[name].names) for name, table in tables.items())
        data_ids = _data_ids(task, quantum)
        names = [
            _names(self.dataset_ids[outputs[:, n]], _type(task, n), self.run, _CLASSES[n], data_ids)
            for n in range(_OUTPUTS)
        ]
        return Chunk(
            quanta.cast(schemas["quanta"]),
            edges.cast(schemas["edges"]),
            self._records(task, quantum, outputs, made).cast(schemas["records"]),
            pa.concat_tables(names).unify_dictionaries().combine_chunks(),
        )

    def _execution(self, task: int, status: Numbers, attempt: Numbers | int) -> dict[str, Any]:
        """Return how attempts went; of blocked ones no more is known than that."""
        length = len(status)
        blocked, failed = status == _BLOCKED, status == _FAILED
        begin = _MADE + task * _HOUR + self.rng.integers(0, _HOUR, length)
        run_time = self.rng.lognormal(1 + task, 0.5, length)
        parts = {name: self.rng.random(length) for name in ("prep_time", "init_time", "time_in_get")}
        raised = self.rng.integers(0, len(_RAISED), length)
        known = {
            "begin": begin,
            "end": begin + (run_time * 1e6).astype(int) + 2_000_000,
            "caveats": np.zeros(length, int),
            "attempt": np.zeros(length, int) + attempt,
            "process": self.rng.integers(1000, 9000, length),
            "memory": self.rng.integers(1 << 30, 8 << 30, length),
            "earlier_quanta": self.rng.integers(0, 50, length),
            "n_get": np.full(length, 10),
            "n_put": np.full(length, _OUTPUTS),
            **parts,
            "run_time": run_time,
            "run_time_cpu": run_time * 0.9,
            "time_in_put": parts["time_in_get"] / 2,
            "start_time_cpu": np.full(length, 3.0),
            "graph_read_time": np.full(length, 0.2),
            "start": begin,
        }
        hosts = pa.array(self.rng.integers(0, 40, length).astype(np.int32), mask=blocked)
        messages = [f"Only {n} sources left." if one else None for n, one in zip(raised, failed, strict=True)]
        return {
            **{name: pa.array(values, mask=blocked) for name, values in known.items()},
            "failed": pa.array(failed, mask=blocked),
            "status": status,
            "host": pa.DictionaryArray.from_arrays(hosts, pa.array([f"node{n:03}" for n in range(40)])),
            "exception_type": pa.DictionaryArray.from_arrays(
                pa.array(raised.astype(np.int32), mask=~failed), pa.array(_RAISED)
            ),
            "exception_message": pa.array(messages, pa.string()),
        }

    def _records(self, task: int, quantum: Numbers, outputs: Numbers, made: Numbers) -> pa.Table:
        rows, which = np.nonzero(made)
        names = [_type(task, n) for n in range(_OUTPUTS)]
        paths = [
            f"{self.run}/{names[w]}/{n // _DETECTORS}/{names[w]}_{n // _DETECTORS}_{n % _DETECTORS}.fits"
            for n, w in zip(quantum[rows].tolist(), which.tolist(), strict=True)
        ]
        count = len(rows)
        sizes = 1000 + outputs[made] * 2_654_435_761 % 49_999_000
        sizes += self.rng.random(count) < 0.001
        columns = {
            "datastore_name": _same("FileDatastore@<butlerRoot>", count, pa.int8()),
            "dataset_id": uuids_of(_ids(self.dataset_ids[outputs[made]])),
            "path": pa.array(paths, pa.string()),
            "formatter": _same("lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter", count),
            "storage_class": pa.DictionaryArray.from_arrays(which.astype(np.int32), pa.array(_CLASSES)),
            "component": _same(None, count),
            "checksum": pa.nulls(count, pa.string()),
            "file_size": pa.array(sizes),
        }
        return pa.table(columns)


def _type(task: int, which: int) -> str:
    return f"{LABELS[task]}_{_NAMES[which]}"


def _connections(task: int) -> str:
    """Return the connections of a task, as a log tells of them."""
    outputs = {name: _type(task, n) for n, name in enumerate(_NAMES)}
    of_before = {f"input_{name}": _type(task - 1, n) for n, name in enumerate(_NAMES[:4])}
    first = {"raw": "raw", **{f"calibration{n}": f"calibration{n}" for n in range(_CALIBRATIONS)}}
    inputs = {0: first, 1: {**of_before, "reference": "reference"}, 4: of_before}
    of_task = inputs.get(task, {"inputs": _type(task - 1, 0)})
    return json.dumps({"inputs": of_task, "outputs": outputs}, separators=(",", ":"))


def _data_ids(task: int, quantum: Numbers) -> dict[str, Any]:
    """Return the dimensions of quanta of a task, and their values: one for all, or a number for each."""
    high, low = quantum // _DETECTORS, quantum % _DETECTORS
    if task < 2:
        return {"instrument": "SynthCam", "detector": low, "visit" if task else "exposure": high}
    return {"skymap": "rings", "tract": high, "patch": low}


def _texts(task: int, quantum: Numbers) -> list[str]:
    """Return the same as JSON."""
    values = _data_ids(task, quantum)
    fixed = {name: value for name, value in values.items() if isinstance(value, str)}
    names = [name for name in values if name not in fixed]
    begin = json.dumps(fixed)[:-1]
    pairs = zip(*(values[name].tolist() for name in names), strict=True)
    return [f'{begin}, "{names[0]}": {one}, "{names[1]}": {other}}}' for one, other in pairs]


def _names(
    ids: Numbers, dataset_type: str, run: str, storage_class: str, data_ids: dict[str, Any]
) -> pa.Table:
    length = len(ids)
    fixed = {"dataset_type": dataset_type, "run": run, "storage_class": storage_class, **data_ids}
    columns = {
        name: _same(value, length) if isinstance(value, str) else pa.array(value)
        for name, value in fixed.items()
    }
    return pa.table({"dataset_id": uuids_of(_ids(ids)), **columns})


def _same(text: str | None, length: int, index: pa.DataType | None = None) -> pa.Array:
    """Return a column that has one text in all rows."""
    numbers = pa.array([None if text is None else 0] * length, index or pa.int32())
    return pa.DictionaryArray.from_arrays(numbers, pa.array([text or ""]))


def _ids(ids: Numbers) -> Numbers:
    """Return ids, a row of bytes for each, as values of 16 bytes."""
    return np.ascontiguousarray(ids).view("V16").reshape(-1)


def write_archive(campaign: Campaign, folder: Path) -> None:
    """Write the campaign's archive into a new folder."""
    log = Piece("lines", "", "", ("synthetic.jsonl",), (0,))
    with Scratch(str(folder)) as scratch:
        parts: list[Part] = []
        writer = PartWriter(scratch.parts, _core.Duplicates.PAST + 1)
        for chunk in campaign.chunks():
            for name in ("quanta", "edges", "records"):
                writer.write(name, getattr(chunk, name))
            writer.write_names(chunk.names)
            if not parts:
                for names in campaign.outside_names():
                    writer.write_names(names)
            writer.close()
            parts.append(writer.part(0))
            log.save(part_path(scratch.parts, parts[-1].number, "piece"))
            writer = PartWriter(scratch.parts, parts[-1].number + 1)
        duplicates = find_duplicates(parts, scratch.parts, None)
        with Path(scratch.result, "replaced.jsonl").open("wb") as stream:
            write_replaced(duplicates, parts, scratch.parts, {}, stream)
        work = ArchiveWriter(parts, duplicates, scratch.parts, scratch.result, 0, lambda quanta: None)
        counts = dict(work.write([]))
        source = {"source": log.name(0), "bytes": 0, "quanta": campaign.quanta, "rejected": 0}
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "created": "2026-11-22T12:00:00+00:00",
            "software": {"quantum-butler": "0.1.0"},
            "sources": [source],
            "counts": {
                "quanta": campaign.quanta,
                **counts,
                "rejected": 0,
                "repeated": duplicates.repeated,
                "replaced": sum(map(len, duplicates.replaced)),
            },
        }
        Path(scratch.result, MANIFEST).write_text(json.dumps(manifest))
        scratch.put_in_place()
