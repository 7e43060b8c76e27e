"""Writes what all datasets are called, in the order of the lineage index.

Names come with the quanta, in any order and many times.  They are put into
files by ranges of ids, and of one range after the other the names are put in
order: memory does not depend on how many there are.
"""

from __future__ import annotations

__all__ = ("write_datasets",)

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import _core
from ..archive.columns import in_one_piece
from ..archive.name_columns import names_of_datasets
from ..archive.naming import INDEXES
from ..archive.schemas import DATASETS
from ..paths import is_there
from .ids import ids_of
from .name_indexes import NameIndexWriter
from .parts import Part, read_names
from .tables import TableWriter

# Datasets of one range.
_RANGE = 1 << 18

# What a name has besides dimensions; of graphs, also who is to write it.
_FIXED = ("dataset_id", "dataset_type", "run", "storage_class", "producer")

# What the core has in place of a row.
_NO_ROW = np.iinfo(np.uint32).max

# So many ranges are numbers of 16 bits.
_MOST_SMALL = 1 << 16

_TEXTS = pa.dictionary(pa.int32(), pa.string())


def write_datasets(parts: Sequence[Part], records: Iterable[pa.Table], folder: str, result: str) -> int:
    """Write ``datasets.parquet`` and its index; return how many rows there are.

    Rows of records have the columns ``dataset_id``, ``storage_class``, ``component`` and ``file_size``.
    """
    with open(os.path.join(result, "lineage.arrow"), "rb") as opened:
        # Where `mmap` has to find out the size itself, it takes an error for an empty file.
        size = os.fstat(opened.fileno()).st_size
        mapped = mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ)
    # What the tables and the lineage index took is kept by pyarrow for later.
    pool = pa.default_memory_pool()
    pool.release_unused()
    with pa.ipc.open_file(pa.py_buffer(mapped)) as file:
        nodes = file.read_all()
        datasets = int(nodes.schema.metadata[b"datasets"])
        known = _Known(nodes, datasets)
        dimensions = _dimensions(parts, folder)
        ranges = _Ranges(known, folder)
        # What has been read of the lineage index need not fill the memory.
        mapped.madvise(mmap.MADV_DONTNEED)
        for part in parts:
            for names in read_names(part, folder):
                ranges.add("names", _plain(names, dimensions))
        for rows in records:
            ranges.add("records", rows.cast(_records_schema(rows)))
        schema = _schema(dimensions)
        index = NameIndexWriter(datasets, folder, "datasets")
        with TableWriter("datasets", result, schema, datasets) as writer:
            for number in range(ranges.count):
                table = _in_order(ranges, number, known, dimensions)
                writer.write(table.cast(schema))
                index.add(names_of_datasets(table))
                mapped.madvise(mmap.MADV_DONTNEED)
                pool.release_unused()
            # What no quantum has, such as versions of software.
            for number in range(ranges.count):
                if (rest := ranges.rest(number)) is not None:
                    table = _table_rows(rest, dimensions)
                    writer.write(table.cast(schema))
                    index.add(names_of_datasets(table))
        index.write(os.path.join(result, INDEXES["dataset"]))
        return writer.rows


class _Known:
    """The ids of the index, and who writes its datasets."""

    def __init__(self, nodes: pa.Table, datasets: int):
        self.datasets = datasets
        self._ids = nodes["id"]
        self._index = _core.LineageIndex(nodes)

    def ids(self, start: int, stop: int) -> pa.Table:
        """Return the ids of some rows, as the only column."""
        return pa.table({"dataset_id": self._ids.slice(start, stop - start)})

    def producers(self, start: int, stop: int) -> tuple[pa.Array, pa.Array]:
        """Return who has written datasets or was to, and whether they are written: null if nobody was to."""
        table = pa.table(self._index.producers(start, stop))
        ids, written = (in_one_piece(table[name]) for name in ("producer", "produced"))
        return pa.ExtensionArray.from_storage(pa.uuid(), ids), written


class _Ranges:
    """Files with names and records of datasets, by ranges of the ids that the index has."""

    def __init__(self, known: _Known, folder: str):
        self._known, self._folder = known, folder
        self._starts = list(range(0, max(known.datasets, 1), _RANGE))
        first = [known.ids(start, start + 1) for start in self._starts[1:] if start < known.datasets]
        self._bounds = pa.concat_tables([known.ids(0, 0), *first])
        self.count = len(self._starts)
        self._rest: dict[int, pa.Table] = {}

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the first row of a range and the one after its last."""
        start = self._starts[number]
        return start, min(start + _RANGE, self._known.datasets)

    def add(self, kind: str, table: pa.Table) -> None:
        """Add rows."""
        ranges = _rows(_core.ranges_of_ids(self._bounds, table.select(["dataset_id"])))
        # Of small numbers that is linear.
        order = np.argsort(ranges.astype(np.uint16) if self.count <= _MOST_SMALL else ranges, kind="stable")
        ordered = table.take(pa.array(order))
        stops = np.bincount(ranges, minlength=self.count).cumsum().tolist()
        for number, (start, stop) in enumerate(pairwise([0, *stops])):
            if start == stop:
                continue
            some = ordered.slice(start, stop - start)
            with (
                open(self._path(kind, number), "ab") as stream,
                pa.ipc.new_stream(stream, some.schema) as writer,
            ):
                writer.write_table(some)

    def read(self, kind: str, number: int) -> Iterator[pa.Table]:
        """Yield what was added of a range."""
        path = self._path(kind, number)
        if not is_there(path):
            return
        size = os.path.getsize(path)
        with open(path, "rb") as stream:
            while stream.tell() < size:
                with pa.ipc.open_stream(stream) as reader:
                    yield reader.read_all()

    def keep_rest(self, number: int, names: pa.Table) -> None:
        """Keep names of datasets that the index does not have."""
        if len(names):
            self._rest[number] = names

    def rest(self, number: int) -> pa.Table | None:
        """Return those of a range."""
        return self._rest.get(number)

    def _path(self, kind: str, number: int) -> str:
        return os.path.join(self._folder, f"range{number}.{kind}")


def _dimensions(parts: Sequence[Part], folder: str) -> dict[str, pa.DataType]:
    """Return the dimensions of all names, and whether they have numbers or texts."""
    found: dict[str, pa.DataType] = {}
    for part in parts:
        for names in read_names(part, folder):
            for field in names.schema:
                if field.name in _FIXED:
                    continue
                is_number = (
                    pa.types.is_integer(field.type) and found.get(field.name, pa.int64()) == pa.int64()
                )
                found[field.name] = pa.int64() if is_number else _TEXTS
    return dict(sorted(found.items()))


def _schema(dimensions: dict[str, pa.DataType]) -> pa.Schema:
    """Return the schema of the table."""
    # A struct has to have something.
    fields = list(dimensions.items()) or [("instrument", _TEXTS)]
    return DATASETS.append(pa.field("data_id", pa.struct(fields)))


def _records_schema(rows: pa.Table) -> pa.Schema:
    texts = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in rows.schema
    ]
    return pa.schema(texts)


def _plain(names: pa.Table, dimensions: dict[str, pa.DataType]) -> pa.Table:
    """Return names with all columns, texts as such."""
    columns = {}
    for name in (*_FIXED, *dimensions):
        type_ = pa.string()
        if name in ("dataset_id", "producer"):
            type_ = pa.uuid()
        elif dimensions.get(name) == pa.int64():
            type_ = pa.int64()
        columns[name] = names[name].cast(type_) if name in names.column_names else pa.nulls(len(names), type_)
    return pa.table(columns)


def _in_order(ranges: _Ranges, number: int, known: _Known, dimensions: dict[str, pa.DataType]) -> pa.Table:
    """Return the rows of one range, in the order of the index."""
    start, stop = ranges.bounds(number)
    ids = known.ids(start, stop)
    names = pa.concat_tables([_plain(ids.slice(0, 0), dimensions), *ranges.read("names", number)])
    places = _rows(_core.rows_of_ids(ids, names.select(["dataset_id"])))
    is_lone = places == _NO_ROW
    if is_lone.any():
        ranges.keep_rest(number, _each_once(names.filter(pa.array(is_lone))))
    # Of several the first that has a storage class.
    has_class = names["storage_class"].is_valid().to_numpy()
    chosen = np.full(len(ids), -1, np.int64)
    for among in (~is_lone & ~has_class, ~is_lone & has_class):
        rows = np.flatnonzero(among)[::-1]
        chosen[places[rows]] = rows
    names = _encoded(names).take(pa.array(chosen, mask=chosen < 0))
    sizes, classes = _of_records(list(ranges.read("records", number)), ids)
    producers, produced = known.producers(start, stop)
    columns = {
        "dataset_id": in_one_piece(ids["dataset_id"]),
        "size": sizes,
        "producer": _coalesced(producers, names["producer"].combine_chunks()),
        "produced": produced,
    }
    if names["storage_class"].null_count:
        told = names["storage_class"].combine_chunks().cast(pa.string())
        columns["storage_class"] = pc.coalesce(told, classes)
    return _table_rows(names, dimensions, columns)


def _rows(numbers: _core.ArrowTable) -> Any:
    """Return the numbers that the core gives."""
    return in_one_piece(pa.table(numbers)["row"]).to_numpy()


def _each_once(names: pa.Table) -> pa.Table:
    """Return names in the order of their ids, of several the first that has a storage class."""
    ids = ids_of(names["dataset_id"])
    order = np.lexsort((names["storage_class"].is_null().to_numpy(), ids))
    _, first = np.unique(ids[order], return_index=True)
    return names.take(order[first])


def _encoded(names: pa.Table) -> pa.Table:
    """Return names with texts as dictionaries, which are taken in a fraction of the time."""
    columns = [
        column.combine_chunks().dictionary_encode() if pa.types.is_string(column.type) else column
        for column in names.columns
    ]
    return pa.table(columns, names.column_names)


def _coalesced(ids: pa.Array, others: pa.Array) -> pa.Array:
    """Return ids, or others where there is none."""
    storage = pc.if_else(ids.is_valid(), ids.storage, others.storage)
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _table_rows(
    names: pa.Table, dimensions: dict[str, pa.DataType], known: dict[str, Any] | None = None
) -> pa.Table:
    """Return rows of the table from names, and what is known besides."""
    length = len(names)
    columns: dict[str, Any] = {name: names[name].combine_chunks() for name in _FIXED}
    columns |= {
        "size": pa.nulls(length, pa.int64()),
        "produced": pa.nulls(length, pa.bool_()),
        **(known or {}),
    }
    for name in ("dataset_type", "run", "storage_class"):
        columns[name] = _as_dictionary(columns[name])
    fields = {}
    for name, type_ in (dimensions or {"instrument": _TEXTS}).items():
        column = names[name].combine_chunks() if dimensions else pa.nulls(length, pa.string())
        fields[name] = column if type_ == pa.int64() else _as_dictionary(column)
    columns["data_id"] = pa.StructArray.from_arrays(
        list(fields.values()), list(fields), mask=columns["dataset_type"].is_null()
    )
    schema = _schema(dimensions)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _as_dictionary(column: pa.Array) -> pa.DictionaryArray:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _of_records(tables: list[pa.Table], ids: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return sizes, of all components together, and storage classes, of datasets in one piece."""
    if not tables:
        return pa.nulls(len(ids), pa.int64()), pa.nulls(len(ids), pa.string())
    records = pa.concat_tables(tables)
    places = _rows(_core.rows_of_ids(ids, records.select(["dataset_id"])))
    known = places != _NO_ROW
    sizes = records["file_size"].fill_null(-1).to_numpy()
    counts = known & (sizes >= 0)
    # Sums of floating point would not be exact; what goes beyond the type is as much as it can hold.
    total = np.zeros(len(ids), np.uint64)
    np.add.at(total, places[counts], sizes[counts].astype(np.uint64))
    total = np.minimum(total, np.uint64(np.iinfo(np.int64).max)).astype(np.int64)
    has_size = np.bincount(places[counts], minlength=len(ids)) > 0
    whole = known & records["component"].is_null().to_numpy()
    rows = np.full(len(ids), -1, np.int64)
    rows[places[whole]] = np.flatnonzero(whole)
    classes = records["storage_class"].take(pa.array(np.maximum(rows, 0), mask=rows < 0))
    return pa.array(total, mask=~has_size), classes.combine_chunks()
