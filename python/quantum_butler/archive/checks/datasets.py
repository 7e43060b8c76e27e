"""Compares datasets with the lineage index and with the records."""

from __future__ import annotations

__all__ = ("check_datasets",)

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ... import _core
from ..ids import ids_of
from .findings import Findings, id_at
from .tables import CheckedTable, Cursor, booleans_of, integers_of, repeated

# Datasets whose sizes are summed up at once.
_SUMMED = 1 << 22


def check_datasets(
    datasets: CheckedTable,
    records: CheckedTable,
    index: pa.Table | None,
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> None:
    """Check them; the lineage index is given if it is sound."""
    if not datasets.is_open or not datasets.has("dataset_id"):
        return
    for row, ids in repeated(datasets, "dataset_id"):
        findings.add(datasets.file, "an id is there twice", row=row, id=id_at(ids, 0))
    if index is not None:
        _check_producers(datasets, index, findings, tell)
        if records.has("dataset_id", "file_size") and datasets.has("size"):
            _check_sizes(datasets, records, index, findings)


def _check_producers(
    datasets: CheckedTable,
    index: pa.Table,
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> None:
    """Compare datasets, and who writes them, with the lineage index."""
    asked = _core.LineageIndex(index)
    count, file = asked.datasets, datasets.file
    if datasets.rows < count:
        findings.add(file, "there are fewer rows than the index has datasets", row=datasets.rows)
    if not datasets.has("producer", "produced"):
        return
    for first, table in datasets.batches(["dataset_id", "producer", "produced"]):
        tell("comparing datasets", first, datasets.rows)
        if table["dataset_id"].null_count:
            return
        ids = ids_of(table["dataset_id"])
        known = min(len(ids), max(count - first, 0))
        others = np.flatnonzero(ids[:known] != ids_of(index["id"].slice(first, known)))
        if len(others):
            row = int(others[0])
            findings.add(
                file, "the datasets are not in the order of the index", row=first + row, id=id_at(ids, row)
            )
            return
        rows = range(first, first + known)
        numbers = np.array([-1 if one is None else one for one in asked.writers(rows)], np.int64)
        has_writer = numbers >= 0
        writers = ids_of(index["id"].take(pa.array(np.where(has_writer, numbers + count, 0))))
        producer = table["producer"].combine_chunks().slice(0, known)
        there = pc.is_valid(producer).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(has_writer & (~there | (ids_of(producer) != writers)))
        details = (f"by the index it is {id_at(writers, row)}" for row in wrong.tolist())
        findings.add_rows(
            file,
            "the producer is not the quantum that writes it",
            wrong,
            first=first,
            ids=ids,
            details=details,
        )
        written = np.array(asked.written(rows), bool)
        produced = table["produced"].slice(0, known)
        told = pc.is_valid(produced).to_numpy()
        wrong = np.flatnonzero(
            (told != has_writer) | (told & has_writer & (booleans_of(produced) != written))
        )
        findings.add_rows(file, "column produced is not what edges tell", wrong, first=first, ids=ids)


def _check_sizes(datasets: CheckedTable, records: CheckedTable, index: pa.Table, findings: Findings) -> None:
    """Compare sizes with those of the records, of some datasets after the other."""
    count = int(index.schema.metadata[b"datasets"])
    cursor = Cursor(datasets, ["dataset_id", "size"])
    for start in range(0, count, _SUMMED):
        ids = ids_of(index["id"].slice(start, min(_SUMMED, count - start)))
        total, known = np.zeros(len(ids), np.uint64), np.zeros(len(ids), bool)
        for _, rows in records.batches(["dataset_id", "file_size"]):
            if rows["dataset_id"].null_count:
                return
            sizes, of = integers_of(rows["file_size"]), ids_of(rows["dataset_id"])
            places = np.minimum(np.searchsorted(ids, of), len(ids) - 1)
            counts = (ids[places] == of) & (sizes >= 0)
            np.add.at(total, places[counts], sizes[counts].astype(np.uint64))
            known[places[counts]] = True
        own = cursor.take(len(ids))
        if own is None or len(own) < len(ids):
            return
        total = np.minimum(total, np.uint64(np.iinfo(np.int64).max))
        told, has = integers_of(own["size"]), pc.is_valid(own["size"]).to_numpy()
        wrong = np.flatnonzero((has != known) | (known & (told != total.astype(np.int64))))
        details = (
            f"it is {told[row] if has[row] else 'unknown'}, records tell of "
            f"{total[row] if known[row] else 'none'}"
            for row in wrong.tolist()
        )
        findings.add_rows(
            datasets.file,
            "the size is not that of the records",
            wrong,
            first=start,
            ids=ids,
            details=details,
        )
