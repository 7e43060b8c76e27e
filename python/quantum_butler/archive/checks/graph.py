"""Compares quanta, edges and records with each other, and the lineage index with all of them."""

from __future__ import annotations

__all__ = ("check_graph",)

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ... import _core
from ..errors import unreadable
from ..format import ROLES
from ..ids import ids_of
from ..index import lists_of, map_nodes
from ..schemas import SIZES
from .findings import Findings, id_at
from .tables import CheckedTable, Cursor, booleans_of, integers_of

LINEAGE = "lineage.arrow"

_COUNTS = tuple(f"{role}s" for role in ROLES)

# Quanta that are compared at once, and memory for sorting their edges; the rest is on disk.
_AT_ONCE = 1 << 14
_MEMORY = 96 << 20


def check_graph(
    folder: Path,
    tables: Mapping[str, CheckedTable],
    findings: Findings,
    scratch: Path | None,
    tell: Callable[[str, int, int], None],
) -> pa.Table | None:
    """Check them, and return the lineage index if it is sound."""
    quanta, edges, records = (tables[name] for name in ("quanta", "edges", "records"))
    index = _read_index(folder, findings)
    needed = (
        quanta.has("quantum_id", *_COUNTS, "edges", "records")
        and edges.has("quantum_id", "dataset_id", *ROLES)
        and records.has("dataset_id", "file_size")
    )
    if not needed:
        return None
    with tempfile.TemporaryDirectory(prefix="quantum-butler-verify-", dir=scratch) as place:
        builder = _Walk(quanta, edges, records, findings, place).builder(tell)
        if builder is None or index is None:
            return None
        tell("sorting edges", 0, 0)
        nodes, sizes = map(pa.RecordBatchReader.from_stream, builder.finish())
        is_sound = _compare(nodes, index, findings, tell)
        _compare_sizes(sizes, quanta, findings)
    return index if is_sound else None


class _Walk:
    """Goes through the three tables side by side."""

    def __init__(
        self,
        quanta: CheckedTable,
        edges: CheckedTable,
        records: CheckedTable,
        findings: Findings,
        scratch: str,
    ):
        self._quanta, self._findings = quanta, findings
        self._tables = {"edges": edges, "records": records}
        self._cursors = {
            "edges": Cursor(edges, ["quantum_id", "dataset_id", *ROLES]),
            "records": Cursor(records, ["dataset_id", "file_size"]),
        }
        self._builder: _core.LineageBuilder | None = _core.LineageBuilder(scratch, _MEMORY)

    def builder(self, tell: Callable[[str, int, int], None]) -> _core.LineageBuilder | None:
        """Check them, and return what makes the index that they should have, if they fit together."""
        columns = ["quantum_id", *_COUNTS, "edges", "records"]
        for first, quanta in self._quanta.batches(columns, _AT_ONCE):
            tell("comparing quanta with edges and records", first, self._quanta.rows)
            if not self._check(first, quanta):
                return None
        for name, cursor in self._cursors.items():
            if cursor.row < self._tables[name].rows:
                file = self._tables[name].file
                self._findings.add(file, "rows of no quantum from a row on", row=cursor.row)
                self._builder = None
        return self._builder

    def _check(self, first: int, quanta: pa.Table) -> bool:
        """Check some quanta, and return whether it makes sense to go on."""
        if quanta["quantum_id"].null_count:
            return False
        ids = ids_of(quanta["quantum_id"])
        found: dict[str, pa.Table] = {}
        for name, cursor in self._cursors.items():
            counts = integers_of(quanta[name])
            if len(odd := np.flatnonzero(counts < 0)):
                self._findings.add_rows(
                    self._quanta.file, f"column {name} has no number of rows", odd, first=first, ids=ids
                )
                return False
            start, wanted = cursor.row, int(counts.sum())
            rows = cursor.take(wanted)
            there = 0 if rows is None else len(rows)
            if there < wanted:
                row = int(np.searchsorted(np.cumsum(counts), there, side="right"))
                self._findings.add(
                    self._tables[name].file,
                    "there are fewer rows than quanta.parquet tells of",
                    f"those of quantum {first + row} are missing, or some of them",
                    row=start + there,
                    id=id_at(ids, row),
                )
                return False
            if rows is not None:
                found[name] = rows
        if "edges" in found and not self._check_edges(first, quanta, ids, found["edges"]):
            return False
        self._add(quanta, found)
        return True

    def _check_edges(self, first: int, quanta: pa.Table, ids: Any, edges: pa.Table) -> bool:
        file, start = self._tables["edges"].file, self._cursors["edges"].row - len(edges)
        if any(edges[name].null_count for name in edges.column_names):
            # Each is a finding already.
            return False
        owners = np.repeat(np.arange(len(ids)), integers_of(quanta["edges"]))
        datasets = ids_of(edges["dataset_id"])
        others = np.flatnonzero(ids_of(edges["quantum_id"]) != ids[owners])
        if len(others):
            row = int(others[0])
            self._findings.add(
                file,
                "the quanta are not those of quanta.parquet from a row on",
                f"the number of edges of quantum {first + int(owners[row])} or of one before it is wrong",
                row=start + row,
                id=id_at(ids, int(owners[row])),
            )
            return False
        same = owners[1:] == owners[:-1]
        odd = np.flatnonzero(same & (datasets[1:] <= datasets[:-1])) + 1
        self._findings.add_rows(
            file,
            "the datasets of a quantum do not ascend, or are there twice",
            odd,
            first=start,
            ids=datasets,
        )
        roles = [booleans_of(edges[role]) for role in ROLES]
        none = np.flatnonzero(~np.logical_or.reduce(roles))
        self._findings.add_rows(file, "a dataset has no role", none, first=start, ids=datasets)
        for name, role in zip(_COUNTS, roles, strict=True):
            counted = np.bincount(owners[role], minlength=len(ids))
            told = integers_of(quanta[name])
            wrong = np.flatnonzero(counted != told)
            details = (f"{name} is {told[row]}, edges.parquet has {counted[row]}" for row in wrong.tolist())
            self._findings.add_rows(
                self._quanta.file,
                "a number of datasets is wrong",
                wrong,
                first=first,
                ids=ids,
                details=details,
            )
        if len(odd) or len(none):
            self._builder = None
        return True

    def _add(self, quanta: pa.Table, found: Mapping[str, pa.Table]) -> None:
        """Add some quanta to the index that they should have."""
        if self._builder is None:
            return
        of_quanta = pa.table({"quantum_id": quanta["quantum_id"], "edges": quanta["edges"].cast(pa.int32())})
        empty = {name: pa.nulls(0, pa.bool_()) for name in ROLES}
        none = pa.nulls(0, pa.binary(16))
        edges = found.get("edges", pa.table({"dataset_id": none, **empty}))
        records = found.get("records", pa.table({"dataset_id": none, "file_size": pa.nulls(0, pa.int64())}))
        if records["dataset_id"].null_count:
            self._builder = None
            return
        try:
            self._builder.add(of_quanta, edges.select(["dataset_id", *ROLES]), records)
        except ValueError as error:
            self._findings.add(self._tables["edges"].file, "no index can be made of it", str(error))
            self._builder = None


def _read_index(folder: Path, findings: Findings) -> pa.Table | None:
    """Map the lineage index into memory, if it is one."""
    path = folder / LINEAGE
    try:
        table = map_nodes(path)
        # Looks at its columns, and what it says of itself.
        _core.LineageIndex(table)
        table["neighbours"].type.value_type.field("roles")
        return table
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        said = str(unreadable(path, error)).removeprefix(f"{path}: ")
        findings.add(LINEAGE, "the index cannot be opened", said)
        return None


def _compare(
    nodes: pa.RecordBatchReader,
    index: pa.Table,
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> bool:
    """Compare the index with the one that the tables should have, and return whether they are the same."""
    before = findings.count
    wanted, there = (
        {name: int(schema.metadata[name]) for name in (b"datasets", b"quanta")}
        for schema in (nodes.schema, index.schema)
    )
    for name, number in wanted.items():
        if number != there[name]:
            what = name.decode()
            findings.add(
                LINEAGE, f"the number of {what} is wrong", f"{there[name]}, edges.parquet has {number}"
            )
    datasets = wanted[b"datasets"]
    row = 0
    for batch in nodes:
        tell("comparing the index", row, len(index))
        own = index.slice(row, len(batch))
        ids, own_ids = ids_of(batch["id"]), ids_of(own["id"])
        if len(own) < len(batch) or (ids != own_ids[: len(ids)]).any():
            common = min(len(ids), len(own_ids))
            place = int(np.flatnonzero(np.append(ids[:common] != own_ids[:common], True))[0])
            kind = "dataset" if row + place < datasets else "quantum"
            findings.add(
                LINEAGE,
                f"a {kind} is missing, or another one is in its place",
                "nothing behind it is compared",
                row=row + place,
                id=id_at(ids, place) if place < len(ids) else None,
            )
            return False
        _compare_lists(batch["neighbours"], own["neighbours"], row, ids, datasets, findings)
        row += len(batch)
    if row < len(index):
        findings.add(LINEAGE, "there are rows that no table tells of, from a row on", row=row)
    return findings.count == before


def _compare_lists(
    wanted: pa.Array, there: pa.Array, first: int, ids: Any, datasets: int, findings: Findings
) -> None:
    """Compare the neighbours of some nodes."""
    (starts, rows, roles), (own_starts, own_rows, own_roles) = map(lists_of, (wanted, there))
    if np.array_equal(starts, own_starts):
        odd = np.flatnonzero((rows != own_rows) | (roles != own_roles))
        places = np.unique(np.searchsorted(starts, odd, side="right") - 1)
    else:
        places = np.array(
            [
                place
                for place in range(len(ids))
                if not np.array_equal(
                    rows[starts[place] : starts[place + 1]],
                    own_rows[own_starts[place] : own_starts[place + 1]],
                )
                or not np.array_equal(
                    roles[starts[place] : starts[place + 1]],
                    own_roles[own_starts[place] : own_starts[place + 1]],
                )
            ],
            np.int64,
        )
    for what, some in (
        ("quanta of a dataset", places[places + first < datasets]),
        ("datasets of a quantum", places[places + first >= datasets]),
    ):
        details = (
            f"rows {_shown(own_rows[own_starts[n] : own_starts[n + 1]], own_roles[own_starts[n] :])}, "
            f"edges.parquet has {_shown(rows[starts[n] : starts[n + 1]], roles[starts[n] :])}"
            for n in some.tolist()
        )
        findings.add_rows(
            LINEAGE,
            f"the {what} are not those of edges.parquet",
            some,
            first=first,
            ids=ids,
            details=details,
        )


def _shown(rows: Any, roles: Any) -> str:
    """Return neighbours with their roles as bits, not all if there are many."""
    shown = [f"{row}({role})" for row, role in zip(rows[:5].tolist(), roles[:5].tolist(), strict=False)]
    return " ".join(shown) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "") or "none"


def _compare_sizes(sizes: pa.RecordBatchReader, quanta: CheckedTable, findings: Findings) -> None:
    """Compare the bytes of the quanta's datasets with what records tell."""
    if not quanta.has("quantum_id", *SIZES):
        return
    cursor = Cursor(quanta, ["quantum_id", *SIZES])
    for batch in sizes:
        first = cursor.row
        own = cursor.take(len(batch))
        if own is None or len(own) != len(batch) or own["quantum_id"].null_count:
            return
        ids = ids_of(own["quantum_id"])
        for name in SIZES:
            wanted, there = batch[name].to_numpy(), integers_of(own[name])
            wrong = np.flatnonzero(wanted != there)
            details = (f"{name} is {there[row]}, records tell of {wanted[row]}" for row in wrong.tolist())
            findings.add_rows(
                quanta.file,
                "bytes are not those of the records",
                wrong,
                first=first,
                ids=ids,
                details=details,
            )
