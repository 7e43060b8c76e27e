"""Datasets of one side of a comparison: those of an archive, which are read in parts, and those of graphs."""

from __future__ import annotations

__all__ = ("ArchivedDatasets", "Datasets", "GraphDatasets", "decoded", "taken")

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import _core
from ..archive.columns import in_one_piece
from ..archive.errors import unreadable
from ..paths import is_there
from .data_ids import text_of_values

_Numbers: TypeAlias = np.ndarray[Any, Any]

_TEXTS = pa.dictionary(pa.int32(), pa.string())

# Before the name of a column that is one.
_OF_DIMENSION = "data_id."


class Datasets(ABC):
    """Datasets of a run, in the order that its uses count them by."""

    def __init__(self, ids: pa.ChunkedArray) -> None:
        self.ids = ids
        """Their ids (`pyarrow.ChunkedArray`)."""
        self.types = pa.nulls(len(ids), pa.string()).dictionary_encode()
        """Their types, null if nobody tells (`pyarrow.DictionaryArray`)."""
        self.sizes = np.full(len(ids), -1, np.int64)
        """Bytes, negative where they are unknown (`numpy.ndarray`)."""
        self.written = np.zeros(len(ids), bool)
        """Whether a quantum has written each (`numpy.ndarray`)."""
        self.dimensions: Mapping[str, pa.DataType] = {}
        """The dimensions of their data IDs (`~collections.abc.Mapping`)."""
        self.names = _core.Names()
        """What they are called (`_core.Names`)."""
        self._prepared = np.zeros(0, np.int64)
        self._texts = pa.array([], pa.string())

    @abstractmethod
    def data_ids(self, rows: _Numbers) -> Mapping[str, pa.Array]:
        """Return values of dimensions of some rows, ascending."""

    @abstractmethod
    def named(self, texts: Collection[str]) -> _core.Names:
        """Return the names once more, with the values of some dimensions as texts."""

    def prepare(self, *rows: _Numbers) -> None:
        """Get the data IDs of rows ready, in one pass."""
        self._prepared = np.unique(np.concatenate(rows))
        self._texts = text_of_values(self.data_ids(self._prepared), len(self._prepared))

    def texts(self, rows: _Numbers) -> pa.Array:
        """Return the data IDs of rows that were got ready, as text."""
        return self._texts.take(pa.array(np.searchsorted(self._prepared, rows)))


class ArchivedDatasets(Datasets):
    """Datasets of an archive, which are in the order of the lineage index."""

    def __init__(self, folder: Path, ids: pa.ChunkedArray) -> None:
        super().__init__(ids)
        self._path = folder / "datasets.parquet"
        if not is_there(self._path):
            self._file: pq.ParquetFile | None = None
            self.names = self.named(())
            return
        try:
            self._file = pq.ParquetFile(self._path, pre_buffer=False)
            rows, fields = self._file.metadata.num_rows, self._file.schema_arrow.field("data_id").type
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise unreadable(self._path, error) from error
        if rows < len(ids):
            raise unreadable(self._path, ValueError("it lacks datasets that the lineage index has"))
        self.dimensions = {field.name: field.type for field in fields}
        types = [self.types[:0]]
        for first, table in self._parts(["dataset_type", "data_id", "size", "produced"]):
            types.append(_as_dictionary(in_one_piece(table["dataset_type"])))
            of_part = slice(first, first + len(table))
            self.sizes[of_part] = pc.fill_null(in_one_piece(table["size"]), -1).to_numpy()
            written = pc.fill_null(in_one_piece(table["produced"]), False)
            self.written[of_part] = written.to_numpy(zero_copy_only=False)
            _add(self.names, types[-1], ids.slice(first, len(table)), _fields(table["data_id"]), ())
        self.types = in_one_piece(pa.chunked_array(types).unify_dictionaries())

    def data_ids(self, rows: _Numbers) -> Mapping[str, pa.Array]:
        """Read values of dimensions of some rows, ascending."""
        parts = []
        for first, table in self._parts(["data_id"], rows):
            some = rows[slice(*np.searchsorted(rows, [first, first + len(table)]))] - first
            parts.append(pa.table(_fields(table["data_id"].take(pa.array(some)))))
        if not parts:
            return {}
        whole = pa.concat_tables(parts).unify_dictionaries()
        return {name: in_one_piece(whole[name]) for name in whole.column_names}

    def named(self, texts: Collection[str]) -> _core.Names:
        """Read the names once more, with the values of some dimensions as texts."""
        names = _core.Names()
        for first, table in self._parts(["dataset_type", "data_id"]):
            types = _as_dictionary(in_one_piece(table["dataset_type"]))
            _add(names, types, self.ids.slice(first, len(table)), _fields(table["data_id"]), texts)
        if self._file is None:
            _add(names, self.types, self.ids, {}, texts)
        return names

    def _parts(
        self, columns: Sequence[str], wanted: _Numbers | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield parts of the table with the first row of each, all or those that have a wanted row."""
        if (file := self._file) is None:
            return
        stop = 0
        for group in range(file.num_row_groups):
            first, stop = stop, min(stop + file.metadata.row_group(group).num_rows, len(self.ids))
            if first == stop:
                return
            if wanted is not None and np.ptp(np.searchsorted(wanted, [first, stop])) == 0:
                continue
            try:
                # Both sides are read at the same time, each by one thread, into memory that is used again.
                table = file.read_row_group(group, columns=columns, use_threads=False)
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                raise unreadable(self._path, error) from error
            # What no quantum has comes last, and is not compared.
            yield first, table.slice(0, stop - first)


class GraphDatasets(Datasets):
    """Datasets of graphs, which are in memory."""

    def __init__(
        self, ids: pa.ChunkedArray, types: pa.Array, data_ids: Mapping[str, pa.Array], written: _Numbers
    ) -> None:
        super().__init__(ids)
        self.types = _as_dictionary(types)
        self.written = written
        self._data_ids = data_ids
        self.dimensions = {name: column.type for name, column in data_ids.items()}
        self.names = self.named(())

    def data_ids(self, rows: _Numbers) -> Mapping[str, pa.Array]:
        """Return values of dimensions of some rows."""
        return {name: column.take(pa.array(rows)) for name, column in self._data_ids.items()}

    def named(self, texts: Collection[str]) -> _core.Names:
        """Return the names once more, with the values of some dimensions as texts."""
        names = _core.Names()
        is_nameless = pc.is_null(self.types)
        # Of what has no type, a data ID is no name.
        fields = {
            name: column if not self.types.null_count else pc.if_else(is_nameless, None, decoded(column))
            for name, column in self._data_ids.items()
        }
        _add(names, self.types, self.ids, fields, texts)
        return names


def _add(
    names: _core.Names,
    types: pa.Array,
    ids: pa.ChunkedArray,
    fields: Mapping[str, pa.Array],
    texts: Collection[str],
) -> None:
    """Add types and data IDs; the name of a dataset of which nobody tells these is its id."""
    columns = {_OF_DIMENSION + name: _plain(column) for name, column in fields.items()}
    columns["type"] = types
    if types.null_count:
        whole = in_one_piece(ids)
        columns["id"] = pc.if_else(pc.is_null(types), getattr(whole, "storage", whole), None)
    names.add(pa.table(columns), [_OF_DIMENSION + name for name in texts])


def decoded(column: pa.Array) -> pa.Array:
    """Return values without a dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _plain(column: pa.Array) -> pa.Array:
    """Return integers in one type, and everything else as texts."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return column if pa.types.is_null(column.type) else column.cast(_text_type(column.type))


def _text_type(type_: pa.DataType) -> pa.DataType:
    return _TEXTS if pa.types.is_dictionary(type_) else pa.string()


def _as_dictionary(texts: pa.Array) -> pa.DictionaryArray:
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.cast(pa.string()).dictionary_encode()
    return encoded.cast(_TEXTS)


def _fields(column: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Return the values of all dimensions, each in one piece."""
    flat = pa.table({"": column}).flatten()
    names = [field.name for field in column.type]
    return {name: in_one_piece(values) for name, values in zip(names, flat.columns, strict=True)}


def taken(column: pa.ChunkedArray, rows: _Numbers) -> pa.Array:
    """Return some rows, without putting the whole column together as its own `take` does."""
    order = np.argsort(rows, kind="stable")
    parts, first = [column.chunk(0)[:0] if column.num_chunks else pa.nulls(0, column.type)], 0
    for chunk in column.chunks:
        some = rows[order][slice(*np.searchsorted(rows[order], [first, first + len(chunk)]))] - first
        parts.append(chunk.take(pa.array(some)))
        first += len(chunk)
    places = np.empty(len(rows), np.int64)
    places[order] = np.arange(len(rows))
    return pa.concat_arrays(parts).take(pa.array(places))
