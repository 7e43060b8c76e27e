"""Checks the tables beside the graph: states, attempts, exceptions, tasks, rejected lines."""

from __future__ import annotations

__all__ = ("check_beside", "check_lines", "check_quanta", "check_rows")

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...quantum_graphs import QuantumStatus
from ..ids import ids_of
from ..schemas import KNOWN_FROM
from .findings import Findings, id_at
from .tables import CheckedTable, absent, integers_of, repeated

_STATUSES = frozenset(status.value for status in QuantumStatus)


def check_rows(table: CheckedTable, id_column: str) -> None:
    """Read a whole table, and look for values that are missing."""
    for _ in table.read_all(id_column):
        pass


def check_quanta(
    quanta: CheckedTable,
    sources: int,
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> None:
    """Check each row of the quanta."""
    for first, rows in quanta.read_all("quantum_id"):
        tell("reading quanta", first, quanta.rows)
        known = quanta.has("quantum_id") and not rows["quantum_id"].null_count
        ids = ids_of(rows["quantum_id"]) if known else None
        if quanta.has("data_id"):
            odd = [n for n, text in enumerate(rows["data_id"].to_pylist()) if not _is_data_id(text)]
            findings.add_rows(quanta.file, "a data ID is not a JSON object", odd, first=first, ids=ids)
        for name, is_good in (
            ("status", lambda values: np.isin(values, [*_STATUSES])),
            ("source", lambda values: (values >= 0) & (values < sources)),
            ("attempts", lambda values: values >= 0),
        ):
            if quanta.has(name):
                valid = pc.is_valid(rows[name]).to_numpy()
                odd_rows = np.flatnonzero(valid & ~is_good(integers_of(rows[name])))
                findings.add_rows(
                    quanta.file, f"column {name} has a number without meaning", odd_rows, first=first, ids=ids
                )
        if quanta.has("known_from"):
            texts = rows["known_from"].cast(pa.string())
            good = pc.fill_null(pc.is_in(texts, pa.array(KNOWN_FROM)), True).to_numpy()
            findings.add_rows(
                quanta.file,
                "column known_from has an unknown word",
                np.flatnonzero(~good),
                first=first,
                ids=ids,
            )
    if quanta.has("quantum_id"):
        for row, id_ in repeated(quanta, "quantum_id"):
            findings.add(quanta.file, "an id is there twice", row=row, id=id_at(id_, 0))


def _is_data_id(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def check_beside(tables: Mapping[str, CheckedTable], findings: Findings) -> None:
    """Check attempts, exceptions and tasks, as far as there are such tables."""
    quanta = tables["quanta"]
    for name in ("attempts", "exceptions"):
        if (table := tables.get(name)) is None:
            continue
        check_rows(table, "quantum_id")
        if table.has("quantum_id") and quanta.has("quantum_id"):
            for row, id_ in absent(table, "quantum_id", quanta):
                findings.add(table.file, "the archive has no such quantum", row=row, id=id_at(id_, 0))
    if "exceptions" in tables:
        _check_exceptions(tables, findings)
    if "tasks" in tables:
        check_rows(tables["tasks"], "")
        _check_tasks(tables, findings)


def _check_exceptions(tables: Mapping[str, CheckedTable], findings: Findings) -> None:
    """Compare the number of exceptions with that of the quanta and attempts that have one."""
    wanted = 0
    for name in ("quanta", "attempts"):
        if not tables[name].has("exception_type"):
            return
        for _, rows in tables[name].batches(["exception_type"]):
            wanted += len(rows) - rows["exception_type"].null_count
    exceptions = tables["exceptions"]
    if exceptions.is_open and exceptions.rows != wanted:
        findings.add(
            exceptions.file,
            "it has not one row for each exception",
            f"{exceptions.rows}, quanta and attempts have {wanted}",
        )


def _check_tasks(tables: Mapping[str, CheckedTable], findings: Findings) -> None:
    """Look for tasks that quanta have and the table lacks, and for connections that are there twice."""
    tasks = tables["tasks"]
    names = ("task_label", "kind", "connection")
    if not tasks.has(*names):
        return
    seen: set[Sequence[Any]] = set()
    for first, rows in tasks.batches(names):
        for row, one in enumerate(rows.to_pylist(), first):
            key = tuple(one.values())
            if key in seen:
                findings.add(tasks.file, "a connection is there twice", f"{one['task_label']}", row=row)
            seen.add(key)
    known = {key[0] for key in seen}
    for name in ("quanta", "attempts"):
        table = tables[name]
        if not table.has("task_label", "quantum_id"):
            continue
        for first, rows in table.batches(["quantum_id", "task_label"]):
            labels = rows["task_label"].cast(pa.string())
            for label in set(pc.unique(labels).to_pylist()) - known - {None}:
                known.add(label)
                row = int(np.flatnonzero(pc.fill_null(pc.equal(labels, label), False).to_numpy())[0])
                ids = None if rows["quantum_id"].null_count else ids_of(rows["quantum_id"])
                findings.add(
                    table.file,
                    "tasks.parquet does not have the task",
                    label,
                    row=first + row,
                    id=None if ids is None else id_at(ids, row),
                )


def check_lines(path: Path, members: Sequence[str], wanted: int | None, findings: Findings) -> int:
    """Check a file of JSON objects, one a line. All have these members. Return their number."""
    count = 0
    try:
        with path.open("rb") as stream:
            for count, line in enumerate(stream, 1):
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    entry = None
                if not isinstance(entry, dict) or not set(members) <= entry.keys():
                    findings.add(path.name, "a line is not what it should be", row=count - 1)
    except FileNotFoundError:
        pass
    except OSError as error:
        findings.add(path.name, "the file cannot be read", str(error.strerror), row=count)
    if wanted is not None and wanted != count:
        findings.add(path.name, "manifest.json tells of another number of lines", f"{wanted}, not {count}")
    return count
