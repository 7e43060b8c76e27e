"""Writes what is known of attempts, exceptions and tasks: small tables beside that of the quanta."""

from __future__ import annotations

__all__ = ("Details",)

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..archive.errors import unreadable
from ..paths import is_there
from .duplicates import Duplicates
from .ids import ids_of
from .parts import Part, part_path, read_part
from .tables import ATTEMPTS, EXCEPTIONS, TASKS, TableWriter

_STARTS_AT = ("quantum_id", "start")
_LABELS = ("task_label", "data_id", "run")


class Details:
    """Gathers attempts, exceptions and connections of tasks while quanta are written.

    All of it is in memory: there is one of each task, and few attempts fail.
    """

    def __init__(self, parts: Sequence[Part], duplicates: Duplicates, folder: str):
        self._attempts = [ATTEMPTS.empty_table(), *duplicates.attempts]
        self._count = sum(map(len, self._attempts))
        self._earlier = _earlier(parts, folder, self._attempts)
        self._wanted = np.unique(ids_of(self._earlier["quantum_id"]))
        self._labels: list[pa.Table] = []
        self._exceptions: list[pa.Table] = []
        self._tasks: dict[str, dict[tuple[str, str], str]] = {}

    def note(self, quanta: pa.Table) -> None:
        """Take what is wanted of some quanta, which are to be written."""
        failed = quanta.filter(pc.is_valid(quanta["exception_type"]))
        if len(failed):
            self._exceptions.append(_exceptions(failed))
        if len(self._wanted):
            found = pa.array(np.isin(ids_of(quanta["quantum_id"]), self._wanted))
            some = quanta.filter(found).select(["quantum_id", *_LABELS])
            self._labels.append(_with_plain_texts(some))
        self._note_tasks(quanta)

    def _note_tasks(self, quanta: pa.Table) -> None:
        """Take the connections of each task, the first time that it comes."""
        self._note_labels(quanta)
        pairs = quanta.select(["task_label", "connections"]).drop_null()
        for pair in pairs.group_by(["task_label", "connections"]).aggregate([]).to_pylist():
            self._add_connections(pair["task_label"], json.loads(pair["connections"]))

    def _note_labels(self, rows: pa.Table) -> None:
        """Take the tasks of quanta or attempts, whatever is known of them."""
        for label in pc.unique(rows["task_label"]).to_pylist():
            if label is not None:
                self._tasks.setdefault(label, {})

    def _add_connections(self, label: str, connections: Mapping[str, Mapping[str, str]]) -> None:
        known = self._tasks[label]
        for kind, names in connections.items():
            for name, dataset_type in names.items():
                # Graphs do not tell prerequisites from other inputs.
                if kind != "inputs" or ("prerequisite_inputs", name) not in known:
                    known.setdefault((kind, name), dataset_type)

    def write(self, result: str, archives: Sequence[Path]) -> dict[str, int]:
        """Write the tables; return how many attempts there are that had lines of their own."""
        earlier = self._labelled()
        with TableWriter("attempts", result) as writer:
            for table in (*self._attempts, earlier):
                writer.write(table.cast(ATTEMPTS))
        with TableWriter("exceptions", result) as writer:
            of_attempts = (_exceptions(table) for table in (*self._attempts, earlier))
            for table in (*self._exceptions, *of_attempts):
                writer.write(table.filter(pc.is_valid(table["exception_type"])))
        for table in self._attempts:
            self._note_labels(table)
        for archive in archives:
            self._add_tasks(archive / "tasks.parquet")
        with TableWriter("tasks", result) as writer:
            writer.write(self._task_rows())
        return {"attempts": self._count, "exceptions": _count(os.path.join(result, "exceptions.parquet"))}

    def _labelled(self) -> pa.Table:
        """Return attempts that only later ones tell of, with the names of their quanta."""
        earlier = self._earlier
        length = len(earlier)
        labels = dict.fromkeys(_LABELS, pa.nulls(length, pa.string()))
        if self._labels:
            known = pa.concat_tables(self._labels)
            ids = ids_of(known["quantum_id"])
            order = np.argsort(ids, kind="stable")
            places = np.minimum(np.searchsorted(ids[order], ids_of(earlier["quantum_id"])), len(ids) - 1)
            if length:
                labels = {name: known[name].take(pa.array(order[places])) for name in _LABELS}
        columns = {
            **dict(zip(earlier.column_names, earlier.columns, strict=True)),
            **labels,
            "begin": earlier["start"],
            "failed": pc.less(earlier["status"], 0),
        }
        table = [columns.get(field.name, pa.nulls(length, field.type)) for field in ATTEMPTS]
        return pa.table(table, ATTEMPTS.names).cast(ATTEMPTS)

    def _add_tasks(self, path: Path) -> None:
        """Add the tasks that an archive tells of."""
        if not is_there(path):
            return
        try:
            rows = pq.read_table(path).select(TASKS.names).to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise unreadable(path, error) from error
        for row in rows:
            known = self._tasks.setdefault(row["task_label"], {})
            if row["connection"] is not None:
                known.setdefault((row["kind"], row["connection"]), row["dataset_type"])

    def _task_rows(self) -> pa.Table:
        rows: list[dict[str, Any]] = []
        for label in sorted(self._tasks):
            for (kind, name), dataset_type in self._tasks[label].items():
                row = {"kind": kind, "connection": name, "dataset_type": dataset_type}
                rows.append({"task_label": label, **row})
            if not self._tasks[label]:
                rows.append({"task_label": label})
        return pa.Table.from_pylist(rows, TASKS)


def _earlier(parts: Sequence[Part], folder: str, attempts: Sequence[pa.Table]) -> pa.Table:
    """Return attempts that only later ones tell of, each once: those without a line of their own."""
    found, seen = [], set()
    for table in attempts:
        seen |= set(zip(ids_of(table["quantum_id"]).tolist(), _starts(table), strict=True))
    empty = None
    for part in parts:
        if not is_there(part_path(folder, part.number, "earlier")):
            continue
        with read_part(folder, part.number, "earlier") as told:
            empty = told.schema.empty_table() if empty is None else empty
            rows = []
            for row, key in enumerate(zip(ids_of(told["quantum_id"]).tolist(), _starts(told), strict=True)):
                if key not in seen:
                    seen.add(key)
                    rows.append(row)
            if rows:
                found.append(told.take(rows))
    if not found:
        schema = pa.schema([field for field in ATTEMPTS if field.name not in ("content", *_LABELS)])
        return schema.empty_table() if empty is None else empty
    return pa.concat_tables(found).unify_dictionaries()


def _starts(table: pa.Table) -> list[int | None]:
    starts: list[int | None] = table["start"].cast(pa.int64()).to_pylist()
    return starts


def _exceptions(rows: pa.Table) -> pa.Table:
    """Return rows of ``exceptions.parquet`` from quanta or attempts."""
    return rows.select(EXCEPTIONS.names).cast(EXCEPTIONS)


def _with_plain_texts(table: pa.Table) -> pa.Table:
    fields = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _count(path: str) -> int:
    return int(pq.read_metadata(path).num_rows)
