"""Compares datasets with the lineage index and the records, and the index by name with them."""

from __future__ import annotations

__all__ = ("check_datasets",)

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ... import _core
from ..columns import in_one_piece
from ..errors import unreadable
from ..ids import ids_of
from ..name_values import METADATA, NameValues, distinct_values
from ..naming import INDEX, name_keys
from .findings import Findings, id_at
from .tables import CheckedTable, Cursor, booleans_of, integers_of, repeated

# Datasets whose sizes are summed up at once.
_SUMMED = 1 << 22


def check_datasets(
    folder: Path,
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
    _check_names(folder, datasets, findings, tell)


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


def _check_names(
    folder: Path, datasets: CheckedTable, findings: Findings, tell: Callable[[str, int, int], None]
) -> None:
    """Compare the index by name with the names."""
    if not datasets.has("dataset_type", "run"):
        return
    dimensions = _dimensions(folder, datasets, findings)
    names = _read_names(folder, findings)
    if dimensions is None or names is None:
        return
    keys, rows, values = names
    wrong = np.flatnonzero(keys[1:] < keys[:-1]) + 1
    findings.add_rows(INDEX, "the keys do not ascend", wrong)
    beyond = np.flatnonzero(rows >= datasets.rows)
    findings.add_rows(INDEX, "there is no such row of datasets.parquet", beyond)
    named = 0
    types_seen: set[str] = set()
    for first, table in datasets.batches(["dataset_id", "dataset_type", "data_id"]):
        tell("comparing names", first, datasets.rows)
        types, data_id = (in_one_piece(table[name]) for name in ("dataset_type", "data_id"))
        ids = None if table["dataset_id"].null_count else ids_of(table["dataset_id"])
        has_type = types.is_valid().to_numpy(zero_copy_only=False)
        has_id = data_id.is_valid().to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(has_type != has_id)
        findings.add_rows(
            datasets.file, "there is a type and no data ID, or the other way round", odd, first=first, ids=ids
        )
        places = np.flatnonzero(has_type)
        named += len(places)
        if len(wrong):
            continue
        fields = {name: data_id.field(name) for name in dimensions}
        types_seen |= _check_values(values, types, fields, findings)
        wanted = name_keys(types, fields)[places]
        low = np.searchsorted(keys, wanted, side="left")
        high = np.searchsorted(keys, wanted, side="right")
        found = (low < high) & (
            rows[np.minimum(low, len(rows) - 1)] == first + places if len(rows) else False
        )
        for place in np.flatnonzero(~found & (high - low > 1)):
            found[place] = first + int(places[place]) in rows[low[place] : high[place]]
        findings.add_rows(datasets.file, f"{INDEX} does not lead to it", places[~found], first=first, ids=ids)
    if values is not None and (unseen := values.known.keys() - types_seen):
        findings.add(INDEX, "no dataset has a type that it tells of", ", ".join(sorted(unseen)))
    if named != len(keys):
        findings.add(INDEX, "it has not one row for each name", f"{len(keys)}, there are {named} names")


def _check_values(
    values: NameValues | None, types: pa.Array, fields: dict[str, pa.Array], findings: Findings
) -> set[str]:
    """Check that the index tells all values in some names, or that there are many; return their types."""
    if values is None:
        return set()
    seen = set()
    for name, dimension, some in distinct_values(types, fields):
        seen.add(name)
        told = values.known[name].get(dimension, {None}) if name in values.known else set()
        if told is not None and (some is None or not some <= told):
            findings.add(INDEX, "it does not tell all values of a dimension", f"{dimension} of {name}")
    return seen


def _dimensions(folder: Path, datasets: CheckedTable, findings: Findings) -> list[str] | None:
    """Return the dimensions of the datasets' data IDs."""
    schema = pq.read_schema(folder / datasets.file)
    if "data_id" not in schema.names:
        findings.add(datasets.file, "a column is missing", "data_id")
        return None
    type_ = schema.field("data_id").type
    is_data_id = pa.types.is_struct(type_) and all(
        pa.types.is_int64(one.type) or pa.types.is_dictionary(one.type) or pa.types.is_string(one.type)
        for one in type_
    )
    if not is_data_id:
        findings.add(datasets.file, "a column has another type", f"data_id has {type_}, not a struct")
        return None
    return [field.name for field in type_]


def _read_names(folder: Path, findings: Findings) -> tuple[Any, Any, NameValues | None] | None:
    """Map the index by name into memory."""
    path = folder / INDEX
    try:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
            table = file.read_all()
        table.validate()
        if table.schema.field("key").type != pa.uint64() or table.schema.field("row").type != pa.uint32():
            raise ValueError("its columns do not have numbers")
        # One batch is not copied.
        keys, rows = (table[name].combine_chunks().to_numpy() for name in ("key", "row"))
        # Archives of earlier releases do not have it.
        content = (table.schema.metadata or {}).get(METADATA)
        return keys, rows, None if content is None else NameValues.read(content)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        said = str(unreadable(path, error)).removeprefix(f"{path}: ")
        findings.add(INDEX, "the index cannot be opened", said)
        return None
