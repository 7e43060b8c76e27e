"""Compares the indexes by name with the names of quanta and datasets."""

from __future__ import annotations

__all__ = ("check_indexes",)

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...paths import is_there
from ...queries.found import DATASET, QUANTUM, Kind
from ..columns import in_one_piece
from ..errors import unreadable
from ..ids import ids_of
from ..name_columns import NameColumns, dimensions_of, names_of_datasets, names_of_quanta
from ..name_values import METADATA, NameValues, distinct_values
from ..naming import INDEXES, name_keys
from .findings import Findings
from .tables import CheckedTable

_IDS: dict[Kind, str] = {QUANTUM: "quantum_id", DATASET: "dataset_id"}
_NAMES: dict[Kind, tuple[str, str]] = {
    QUANTUM: ("task_label", "data_id"),
    DATASET: ("dataset_type", "data_id"),
}


def check_indexes(
    folder: Path,
    quanta: CheckedTable,
    datasets: CheckedTable,
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> None:
    """Check both. That of quanta is not there in archives of earlier releases, nor with odd data IDs."""
    if not datasets.has("dataset_id", "dataset_type", "run"):
        return
    if (dimensions := _dimensions(folder, datasets, findings)) is None:
        return

    def of_datasets(first: int, rows: pa.Table) -> NameColumns:
        has_type, has_id = (
            in_one_piece(rows[name]).is_valid().to_numpy(zero_copy_only=False) for name in _NAMES[DATASET]
        )
        ids = None if rows["dataset_id"].null_count else ids_of(rows["dataset_id"])
        what = "there is a type and no data ID, or the other way round"
        findings.add_rows(datasets.file, what, np.flatnonzero(has_type != has_id), first=first, ids=ids)
        return names_of_datasets(rows)

    _check_index(folder, DATASET, datasets, of_datasets, findings, tell)
    if is_there(folder / INDEXES[QUANTUM]) and quanta.has("quantum_id", *_NAMES[QUANTUM]):
        _check_index(
            folder, QUANTUM, quanta, lambda _, rows: names_of_quanta(rows, dimensions), findings, tell
        )


def _check_index(
    folder: Path,
    kind: Kind,
    table: CheckedTable,
    names_of: Callable[[int, pa.Table], NameColumns | None],
    findings: Findings,
    tell: Callable[[str, int, int], None],
) -> None:
    """Compare an index by name with the names."""
    file, id_column = INDEXES[kind], _IDS[kind]
    index = _read_index(folder / file, findings)
    if index is None:
        return
    keys, rows, values = index
    wrong = np.flatnonzero(keys[1:] < keys[:-1]) + 1
    findings.add_rows(file, "the keys do not ascend", wrong)
    beyond = np.flatnonzero(rows >= table.rows)
    findings.add_rows(file, f"there is no such row of {table.file}", beyond)
    named = 0
    labels_seen: set[str] = set()
    for first, some in table.batches([id_column, *_NAMES[kind]]):
        tell("comparing names", first, table.rows)
        if (names := names_of(first, some)) is None:
            findings.add(file, "it is of data IDs that no index can know", row=first)
            return
        ids = None if some[id_column].null_count else ids_of(some[id_column])
        places = np.flatnonzero(names.labels.is_valid().to_numpy(zero_copy_only=False))
        named += len(places)
        if len(wrong):
            continue
        labels_seen |= _check_values(file, values, names, findings)
        wanted = name_keys(*names)[places]
        low = np.searchsorted(keys, wanted, side="left")
        high = np.searchsorted(keys, wanted, side="right")
        found = (low < high) & (
            rows[np.minimum(low, len(rows) - 1)] == first + places if len(rows) else False
        )
        for place in np.flatnonzero(~found & (high - low > 1)):
            found[place] = first + int(places[place]) in rows[low[place] : high[place]]
        findings.add_rows(table.file, f"{file} does not lead to it", places[~found], first=first, ids=ids)
    if values is not None and (unseen := values.known.keys() - labels_seen):
        what = "no quantum is of a task" if kind == QUANTUM else "no dataset has a type"
        findings.add(file, f"{what} that it tells of", ", ".join(sorted(unseen)))
    if named != len(keys):
        findings.add(file, "it has not one row for each name", f"{len(keys)}, there are {named} names")


def _check_values(file: str, values: NameValues | None, names: NameColumns, findings: Findings) -> set[str]:
    """Check that the index tells all values in some names, or that there are many; return their labels."""
    if values is None:
        return set()
    seen = {name for name in names.labels.unique().to_pylist() if name is not None}
    for name, dimension, some in distinct_values(*names):
        told = values.known[name].get(dimension, {None}) if name in values.known else set()
        if told is not None and (some is None or not some <= told):
            findings.add(file, "it does not tell all values of a dimension", f"{dimension} of {name}")
    return seen


def _dimensions(folder: Path, datasets: CheckedTable, findings: Findings) -> dict[str, pa.DataType] | None:
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
    return dimensions_of(type_)


def _read_index(path: Path, findings: Findings) -> tuple[Any, Any, NameValues | None] | None:
    """Map an index by name into memory."""
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
        findings.add(path.name, "the index cannot be opened", said)
        return None
