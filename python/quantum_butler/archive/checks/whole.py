"""Checks an archive from beginning to end."""

from __future__ import annotations

__all__ = ("verify",)

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...paths import is_there
from ...progress import Progress
from ..format import MANIFEST, Manifest
from ..schemas import ATTEMPTS, DATASETS, EDGES, EXCEPTIONS, QUANTA, RECORDS, SIZES, TASKS
from .datasets import check_datasets
from .findings import Findings, Verification
from .graph import check_graph
from .indexes import check_indexes
from .others import check_beside, check_lines, check_quanta, check_rows
from .tables import CheckedTable

_LINES = {"rejected": ("source", "offset", "reason"), "replaced": ("quantum_id", "kept", "dropped")}

# Counts of the manifest that are rows of a table.
_COUNTED = {
    "quanta": "quanta",
    "edges": "edges",
    "records": "records",
    "exceptions": "exceptions",
    "named": "datasets",
}


def verify(
    folder: Path,
    manifest: Manifest,
    scratch: Path | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Verification:
    """Check an archive; see `Archive.verify`."""

    def tell(step: str, done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(step, done, total, done, False))

    findings = Findings()
    tables = {
        name: CheckedTable(folder, name, schema, findings)
        for name, schema in _schemas(folder, manifest).items()
    }
    check_quanta(tables["quanta"], len(manifest.sources), findings, tell)
    for name in ("edges", "records"):
        tell(f"reading {name}", 0, 0)
        check_rows(tables[name], "dataset_id")
    index = check_graph(folder, tables, findings, scratch, tell)
    if (datasets := tables.get("datasets")) is not None:
        check_rows(datasets, "dataset_id")
        check_datasets(datasets, tables["records"], index, findings, tell)
        check_indexes(folder, tables["quanta"], datasets, findings, tell)
    check_beside(tables, findings)
    rows = {table.file: table.rows for table in tables.values() if table.is_open}
    for name, members in _LINES.items():
        file = folder / f"{name}.jsonl"
        count = check_lines(file, members, manifest.counts.get(name), findings)
        if is_there(file):
            rows[file.name] = count
    _check_counts(manifest, tables, index, findings)
    return Verification(str(folder), manifest.version, rows, findings.found, findings.count)


def _schemas(folder: Path, manifest: Manifest) -> dict[str, pa.Schema]:
    """Return the schemas that the tables of an archive of this format have."""
    if manifest.version > 1:
        return {
            "quanta": QUANTA,
            "edges": EDGES,
            "records": RECORDS,
            "datasets": DATASETS,
            "attempts": ATTEMPTS,
            "exceptions": EXCEPTIONS,
            "tasks": TASKS,
        }
    # The first ones did not tell of attempts.
    until = "attempts" if "attempts" in _columns(folder / "quanta.parquet") else SIZES[-1]
    names = QUANTA.names[: QUANTA.names.index(until) + 1]
    schemas = {
        "quanta": pa.schema([QUANTA.field(name) for name in names]),
        "edges": EDGES,
        "records": RECORDS,
    }
    if is_there(folder / "attempts.parquet"):
        schemas["attempts"] = pa.schema(list(ATTEMPTS)[: ATTEMPTS.names.index("content") + 1])
    return schemas


def _columns(path: Path) -> list[str]:
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError):
        return []
    return names


def _check_counts(
    manifest: Manifest, tables: dict[str, CheckedTable], index: pa.Table | None, findings: Findings
) -> None:
    """Compare what the manifest counts with what is there."""
    there = {
        count: tables[name].rows
        for count, name in _COUNTED.items()
        if name in tables and tables[name].is_open
    }
    if index is not None:
        there["datasets"] = int(index.schema.metadata[b"datasets"])
    for name, number in there.items():
        told = manifest.counts.get(name)
        if told is None and manifest.version == 1:
            continue
        if told != number:
            findings.add(
                MANIFEST, "a count is not what the tables have", f"{name} is {told}, there are {number}"
            )
