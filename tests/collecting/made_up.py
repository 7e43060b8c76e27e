"""Made-up provenance, and what an archive says of it."""

from __future__ import annotations

import gzip
import json
import random
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lsst.daf.butler import QuantumProvenanceData

from quantum_butler import _core

ROLES = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")
CLASS = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"


def record(path: str = "a/b.json", **changes: Any) -> dict[str, Any]:
    """Return a file record."""
    return {
        "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
        "path": path,
        "storage_class": "StructuredDataDict",
        "component": "__NULL_STRING__",
        "checksum": None,
        "file_size": 7,
        **changes,
    }


def quantum(n: int, **changes: Any) -> dict[str, Any]:
    """Return the line of a quantum that looks random, and is always the same for a number."""
    dice = random.Random(n)

    def ids(count: int) -> list[str]:
        # Few enough to be used by several quanta.
        return [str(uuid.UUID(int=i + (7 << 76) + (2 << 62))) for i in dice.sample(range(60), count)]

    inputs, outputs = ids(dice.randrange(6)), ids(dice.randrange(4))
    available = inputs[: dice.randrange(len(inputs) + 1)]
    written = outputs[: dice.randrange(len(outputs) + 1)]
    tables = {
        uuid.UUID(one).hex: {
            "file_datastore_records": [
                record(f"{n}/{one}", file_size=dice.randrange(-1, 5)),
                *([record(f"{n}/{one}.wcs", component="wcs", checksum="ab")] if dice.random() < 0.3 else []),
            ]
        }
        for one in written
    }
    return {
        "quantum_id": str(uuid.UUID(int=n + (1 << 100))),
        "task_label": dice.choice([None, "isr", "calibrate"]),
        "data_id": dice.choice([None, {}, {"instrument": "Cam", "detector": n}]),
        "predicted_inputs": inputs,
        "available_inputs": available,
        "actual_inputs": available[:2],
        "predicted_outputs": outputs,
        "actual_outputs": written,
        "datastore_records": {
            "FileDatastore@<butlerRoot>": {"dataset_ids": written, "records": {CLASS: tables}}
        }
        if written
        else {},
        **changes,
    }


def text(quantum: dict[str, Any]) -> bytes:
    """Return the line of a quantum."""
    return json.dumps(quantum, separators=(",", ":")).encode() + b"\n"


def provenance_of(quantum: dict[str, Any]) -> dict[str, Any]:
    """Return what upstream's model has of a quantum."""
    return {name: value for name, value in quantum.items() if name in QuantumProvenanceData.model_fields}


def write_log(path: Path, quanta: Iterable[dict[str, Any]], at_once: int = 3) -> Path:
    """Write a log, compressed as its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [text(quantum) for quantum in quanta]
    if path.suffix == ".zst":
        frames = [_core.compress(b"".join(lines[i : i + at_once])) for i in range(0, len(lines), at_once)]
        path.write_bytes(b"".join(frames))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(b"".join(lines)))
    else:
        path.write_bytes(b"".join(lines))
    return path


def tables(archive: Path) -> dict[str, pa.Table]:
    """Return the tables of an archive."""
    names = ("quanta", "edges", "records", "datasets", "attempts", "exceptions", "tasks")
    found = {name: pq.read_table(archive / f"{name}.parquet") for name in names}
    with pa.ipc.open_file(archive / "lineage.arrow") as reader:
        found["lineage"] = reader.read_all()
    return found


def assert_same(archive: Path, expected: Path, *, attempts: bool = True) -> None:
    """Assert that two archives have the same tables, and the same lineage index.

    Maybe without the other ``attempts``, their number, and where quanta come from.
    """
    ours, theirs = tables(archive), tables(expected)
    if not attempts:
        for found in (ours, theirs):
            found["quanta"] = found["quanta"].drop_columns(["attempts", "source"])
            del found["attempts"]
    for name in theirs:
        assert ours[name].schema.equals(theirs[name].schema, check_metadata=True), name
        if name in ("attempts", "exceptions"):
            # Their order is that in which quanta are compared.
            assert sorted(map(repr, ours[name].to_pylist())) == sorted(map(repr, theirs[name].to_pylist()))
            continue
        assert plain(ours[name]).equals(plain(theirs[name])), name
    ours_lines, theirs_lines = (lines(one / "rejected.jsonl") for one in (archive, expected))
    assert ours_lines == theirs_lines


def plain(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries, whose numbers do not matter."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names).combine_chunks()


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON Lines; none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def expected_rows(quanta: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that an archive has of some quanta, made with upstream's classes."""
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    rows: dict[str, list[dict[str, Any]]] = {"quanta": [], "edges": [], "records": []}
    for quantum in quanta:
        model = QuantumProvenanceData.model_validate(provenance_of(quantum))
        quantum_id = uuid.UUID(quantum["quantum_id"])
        sets = {role: getattr(model, role) for role in ROLES}
        datasets = sorted(set().union(*sets.values()))
        rows["edges"] += [
            {
                "quantum_id": quantum_id,
                "dataset_id": one,
                **{role.removesuffix("s"): one in ids for role, ids in sets.items()},
            }
            for one in datasets
        ]
        records = []
        for datastore, simple in model.datastore_records.items():
            data = DatastoreRecordData.from_simple(simple)
            for dataset_id in data.records:
                for infos in data.records[dataset_id].values():
                    for info in infos:
                        records.append(
                            {
                                "datastore_name": datastore,
                                "dataset_id": dataset_id,
                                "path": info.path,
                                "formatter": info.formatter,
                                "storage_class": info.storage_class_name,
                                "component": info.component,
                                "checksum": info.checksum,
                                "file_size": info.file_size if info.file_size >= 0 else None,
                            }
                        )
        data_id = quantum["data_id"]
        rows["records"] += records
        rows["quanta"].append(
            {
                "quantum_id": quantum_id,
                "task_label": quantum["task_label"],
                "data_id": None if data_id is None else json.dumps(data_id, separators=(",", ":")),
                **{role: len(ids) for role, ids in sets.items()},
                "edges": len(datasets),
                "records": len(records),
            }
        )
    return rows
