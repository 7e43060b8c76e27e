"""Small archives from a description of their quanta, and the answers that the description gives."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from quantum_butler import _core
from quantum_butler.archive.format import ROLES
from quantum_butler.archive.index import write_index

ACTUAL = ("actual_input", "actual_output")
PREDICTED = ("predicted_input", "predicted_output")


@dataclass
class File:
    """A datastore record."""

    dataset: int
    path: str
    size: int | None = 100
    storage_class: str = "Exposure"


@dataclass
class Made:
    """A quantum: its datasets by number, each with the names of its roles."""

    number: int
    datasets: dict[int, frozenset[str]] = field(default_factory=dict)
    task: str | None = "isr"
    data_id: dict[str, Any] | None = None
    files: list[File] = field(default_factory=list)

    @property
    def id(self) -> uuid.UUID:
        return quantum_id(self.number)

    def having(self, role: str) -> set[uuid.UUID]:
        return {dataset_id(number) for number, roles in self.datasets.items() if role in roles}


def quantum_id(number: int) -> uuid.UUID:
    return uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)


def dataset_id(number: int) -> uuid.UUID:
    return uuid.UUID(int=(number * 0xD1B54A32D192ED03ABC98388FB8FAC03 + 7) % 2**128)


def used(*inputs: int) -> dict[int, frozenset[str]]:
    return dict.fromkeys(inputs, frozenset({"predicted_input", "available_input", "actual_input"}))


def wrote(*outputs: int) -> dict[int, frozenset[str]]:
    return dict.fromkeys(outputs, frozenset({"predicted_output", "actual_output"}))


def chain() -> list[Made]:
    """Two steps for each of two detectors, and one that takes all; something unused, something missing."""
    quanta = []
    for detector in (0, 1):
        place = {"visit": 7, "detector": detector}
        raw, post, image = (10 * detector + n for n in range(3))
        name = f"det{detector}.fits"
        quanta.append(
            Made(
                10 * detector + 1,
                {**used(raw, 100), 101: frozenset({"predicted_input"}), **wrote(post)},
                "isr",
                place,
                [File(post, f"post/{name}", 1000 + detector)],
            )
        )
        quanta.append(
            Made(
                10 * detector + 2,
                {**used(post), **wrote(image), 50 + detector: frozenset({"predicted_output"})},
                "calibrate",
                place,
                [File(image, f"image/{name}", None), File(image, f"image/psf_{name}", 30)],
            )
        )
    quanta.append(Made(99, {**used(2, 12), **wrote(200)}, "coadd", {"tract": 3}, [File(200, "coadd.fits")]))
    return quanta


def uuids(ids: Sequence[uuid.UUID]) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array([id_.bytes for id_ in ids], pa.binary(16)))


def repeating(texts: Sequence[str | None], index: pa.DataType) -> pa.Array:
    return pa.array(texts, pa.dictionary(index, pa.string()))


def write(folder: Path, quanta: Sequence[Made], *, row_group: int = 2) -> Path:
    """Write an archive, in Parquet files of many small pieces."""
    folder.mkdir(parents=True)
    edges = [
        (made, dataset_id(number), roles)
        for made in quanta
        for number, roles in sorted(made.datasets.items(), key=lambda item: dataset_id(item[0]))
    ]
    edges_table = pa.table(
        {
            "quantum_id": uuids([made.id for made, _, _ in edges]),
            "dataset_id": uuids([dataset for _, dataset, _ in edges]),
            **{role: pa.array([role in roles for _, _, roles in edges], pa.bool_()) for role in ROLES},
        }
    )
    files = [file for made in quanta for file in made.files]
    records_table = pa.table(
        {
            "datastore_name": repeating(["store"] * len(files), pa.int8()),
            "dataset_id": uuids([dataset_id(file.dataset) for file in files]),
            "path": pa.array([file.path for file in files], pa.string()),
            "formatter": repeating(["a.Formatter"] * len(files), pa.int32()),
            "storage_class": repeating([file.storage_class for file in files], pa.int32()),
            "component": repeating([None] * len(files), pa.int32()),
            "checksum": pa.nulls(len(files), pa.string()),
            "file_size": pa.array([file.size for file in files], pa.int64()),
        }
    )
    data_ids = [None if made.data_id is None else json.dumps(made.data_id) for made in quanta]
    quanta_table = pa.table(
        {
            "quantum_id": uuids([made.id for made in quanta]),
            "task_label": repeating([made.task for made in quanta], pa.int32()),
            "data_id": pa.array(data_ids, pa.string()),
            **{
                f"{role}s": pa.array([len(made.having(role)) for made in quanta], pa.int32())
                for role in ROLES
            },
            "edges": pa.array([len(made.datasets) for made in quanta], pa.int32()),
            "records": pa.array([len(made.files) for made in quanta], pa.int32()),
        }
    )
    builder = _core.LineageBuilder(folder, 1 << 20)
    builder.add(quanta_table, edges_table, records_table)
    nodes, totals = map(pa.RecordBatchReader.from_stream, builder.finish())
    write_index(nodes, folder / "lineage.arrow")
    sizes = totals.read_all()
    for name in sizes.column_names:
        quanta_table = quanta_table.append_column(name, sizes[name])
    tables = {"quanta": quanta_table, "edges": edges_table, "records": records_table}
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=row_group)
    manifest = {
        "format": "quantum-butler provenance archive",
        "version": 1,
        "created": "2026-11-22T12:00:00+00:00",
        "software": {"quantum-butler": "0.1.0"},
        "sources": [],
        "counts": {"quanta": len(quanta), "edges": len(edges), "records": len(files)},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


_roles = st.sets(st.sampled_from(ROLES), min_size=1).map(frozenset)
_files = st.builds(
    File,
    st.integers(0, 9),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.none() | st.integers(0, 2**40),
)
_data_ids = st.none() | st.dictionaries(
    st.sampled_from("abc"), st.integers() | st.text(max_size=3), max_size=2
)
campaigns = st.lists(
    st.builds(
        Made,
        st.integers(0, 20),
        st.dictionaries(st.integers(0, 9), _roles, max_size=6),
        st.none() | st.sampled_from(["isr", "coadd", 'odd "<&>\n\x1b[31m\\task'.strip()]),
        _data_ids,
        st.lists(_files, max_size=3),
    ),
    max_size=8,
    unique_by=lambda made: made.number,
)
"""Quanta in any roles with any datasets: cycles, several writers, files of datasets of others."""


def closure(
    quanta: Sequence[Made], start: int, *, up: bool, actual: bool, depth: int | None
) -> tuple[dict[uuid.UUID, int], dict[uuid.UUID, int]]:
    """Return distances of datasets and quanta, by trying all quanta again and again."""
    read, written = ACTUAL if actual else PREDICTED
    there, back = (written, read) if up else (read, written)
    datasets: dict[uuid.UUID, int] = {dataset_id(start): 0}
    found: dict[uuid.UUID, int] = {}
    for distance in range(1, len(quanta) + 1 if depth is None else depth + 1):
        before = set(datasets)
        for made in quanta:
            if made.having(there) & before:
                found.setdefault(made.id, distance)
                for dataset in made.having(back):
                    datasets.setdefault(dataset, distance)
    return datasets, found


def edges_within(
    quanta: Sequence[Made], datasets: set[uuid.UUID], found: set[uuid.UUID], *, actual: bool
) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Return the edges between these, from where data comes to where it goes."""
    read, written = ACTUAL if actual else PREDICTED
    edges = set()
    for made in quanta:
        if made.id in found:
            edges |= {(dataset, made.id) for dataset in made.having(read) & datasets}
            edges |= {(made.id, dataset) for dataset in made.having(written) & datasets}
    return edges
