"""Writes the indexes by name, of quanta and of datasets."""

from __future__ import annotations

__all__ = ("NameIndexWriter", "write_names_of_quanta")

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..archive.name_columns import NameColumns, dimensions_of, names_of_quanta
from ..archive.name_values import METADATA, NameValues
from ..archive.naming import INDEXES, name_keys
from ..paths import is_there

# Names in one file, which is put in order in memory.
_OF_FILE = 1 << 18

# A number of a name, and its row.
_PAIR = np.dtype([("key", np.uint64), ("row", np.uint32)])
_COLUMNS = {"key": pa.uint64(), "row": pa.uint32()}


class NameIndexWriter:
    """The index of a table: numbers of names in files by their highest bits, each of which is put in order.

    There are about ``rows`` of them; ``folder`` is for the files, which begin with ``prefix``.
    """

    def __init__(self, rows: int, folder: str, prefix: str):
        self._path = os.path.join(folder, prefix)
        self._bits = max(rows // _OF_FILE, 1).bit_length() - 1
        self._values = NameValues()
        self._rows = 0

    def add(self, names: NameColumns) -> None:
        """Add the names of the next rows of the table, and note the values in them."""
        self._values.add(names.labels, names.values)
        named = np.flatnonzero(names.labels.is_valid().to_numpy(zero_copy_only=False))
        pairs = np.empty(len(named), _PAIR)
        pairs["key"], pairs["row"] = name_keys(*names)[named], named + self._rows
        self._rows += len(names.labels)
        files = pairs["key"] >> np.uint64(64 - self._bits) if self._bits else np.zeros(len(pairs), np.uint64)
        order = np.argsort(files, kind="stable")
        bounds = np.searchsorted(files[order], np.arange(1, 1 << self._bits, dtype=np.uint64))
        for number, some in enumerate(np.split(order, bounds)):
            with open(self._file(number), "ab") as stream:
                pairs[some].tofile(stream)

    def write(self, path: str) -> None:
        """Write all numbers in ascending order, each with its row."""
        for number in range(1 << self._bits):
            if is_there(self._file(number)):
                pairs = np.fromfile(self._file(number), _PAIR)
                pairs = pairs[np.argsort(pairs["key"], kind="stable")]
                for name in _COLUMNS:
                    with open(f"{self._path}.{name}", "ab") as stream:
                        np.ascontiguousarray(pairs[name]).tofile(stream)
        # One batch is found in without being put together, and is not in memory while it is written.
        schema = pa.schema(_COLUMNS, {METADATA: self._values.content()})
        columns = [self._mapped(f"{self._path}.{name}", type_) for name, type_ in _COLUMNS.items()]
        with pa.ipc.new_file(path, schema) as file:
            file.write_batch(pa.record_batch(columns, schema=schema))

    def _mapped(self, path: str, type_: pa.DataType) -> pa.Array:
        """Map a file of numbers into memory; without any there is no file."""
        if not is_there(path):
            return pa.array([], type_)
        with pa.memory_map(path) as file:
            return pa.Array.from_buffers(
                type_, file.size() * 8 // type_.bit_width, [None, file.read_buffer()]
            )

    def _file(self, number: int) -> str:
        return f"{self._path}{number}.keys"


def write_names_of_quanta(folder: str, result: str) -> None:
    """Write the index of ``quanta.parquet``, unless there is a data ID that it cannot know."""
    type_ = pq.read_schema(os.path.join(result, "datasets.parquet")).field("data_id").type
    with pq.ParquetFile(os.path.join(result, "quanta.parquet"), pre_buffer=False) as file:
        index = NameIndexWriter(file.metadata.num_rows, folder, "quanta")
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, ["task_label", "data_id"], use_threads=False)
            names = names_of_quanta(rows, dimensions_of(type_))
            if names is None:
                return
            index.add(names)
    index.write(os.path.join(result, INDEXES["quantum"]))
