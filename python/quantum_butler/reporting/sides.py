"""The two sides of a comparison: quanta, datasets and uses, of archives or graphs."""

from __future__ import annotations

__all__ = ("Names", "Side", "decoded", "names_of_quanta", "read_side")

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from ..archive.columns import in_one_piece
from ..archive.errors import unreadable
from ..archive.format import role_bit
from ..archive.ids import ids_of
from ..archive.index import lists_of, map_nodes
from ..archive.naming import INDEX
from ..paths import Name, is_there
from ..queries.order import ordered
from .sources import Runs

_Numbers: TypeAlias = np.ndarray[Any, Any]

# Before the name of a column that is one.
_DIMENSION = "data_id."

_QUANTA = (
    "quantum_id",
    "task_label",
    "data_id",
    "status",
    "caveats",
    "exception_type",
    "exception_message",
    "run_time",
    "run_time_cpu",
    "memory",
    "start",
    "known_from",
)


@dataclass(frozen=True)
class Names:
    """Datasets of a run, in the order that its uses count them by."""

    ids: pa.Array
    """Their ids (`pyarrow.Array`)."""

    types: pa.Array
    """Their types, null if nobody tells: texts, or a dictionary of these (`pyarrow.Array`)."""

    data_ids: Mapping[str, pa.Array]
    """Their data IDs: the values of each dimension, null where it has none (`~collections.abc.Mapping`)."""

    sizes: pa.Array
    """Bytes, as far as they are known (`pyarrow.Array`)."""

    written: _Numbers
    """Whether a quantum has written each (`numpy.ndarray`)."""

    keys: tuple[_Numbers, _Numbers] | None = None
    """Numbers that names are found by, ascending, and the row of each; `None` if it has no such index."""

    def texts(self, rows: _Numbers) -> pa.Array:
        """Return the data IDs of some rows as text."""
        taken = pa.array(rows)
        return _text({name: values.take(taken) for name, values in self.data_ids.items()}, len(rows))


@dataclass(frozen=True)
class Side:
    """One of two runs."""

    places: tuple[str, ...]
    """The archive or graphs (`tuple` [`str`, ...])."""

    quanta: pa.Table
    """Its quanta; the data ID is text (`pyarrow.Table`)."""

    is_actual: _Numbers
    """Of which quanta it is known what they have used (`numpy.ndarray`)."""

    datasets: Names
    """Its datasets (`Names`)."""

    owners: _Numbers
    """Of each use as an input, the row of the quantum (`numpy.ndarray`)."""

    used: _Numbers
    """The row of the dataset (`numpy.ndarray`)."""

    predicted: _Numbers
    """Whether it was predicted (`numpy.ndarray`)."""

    actual: _Numbers
    """Whether it was really used (`numpy.ndarray`)."""

    @property
    def has_names(self) -> bool:
        """Return whether it tells what its datasets are called (`bool`)."""
        return len(self.datasets.types) > self.datasets.types.null_count or not len(self.datasets.types)


def read_side(places: Sequence[Name]) -> Side:
    """Read a run: an archive, or provenance graphs."""
    runs = Runs(*places)
    batches = []
    for batch in runs.batches(_QUANTA):
        columns = {name: _plain(batch[name]) for name in _QUANTA if name != "data_id"}
        columns["data_id"] = _data_ids(runs, batch)
        batches.append(pa.table(columns))
    quanta = pa.concat_tables(batches, promote_options="permissive") if batches else _nothing()
    if runs.archive is not None:
        return _of_archive(runs, quanta)
    return _of_graph(runs, quanta)


def _nothing() -> pa.Table:
    return pa.table(
        {
            name: pa.nulls(0, pa.string() if name not in ("status", "caveats") else pa.int64())
            for name in _QUANTA
        }
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as such, and numbers in one type."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_integer(column.type) else column


def _data_ids(runs: Runs, batch: pa.Table) -> pa.Array:
    """Return the data IDs of quanta as text."""
    column = batch["data_id"]
    if runs.graph is None:
        return _of_json(column)
    required = {label: set(task.required) for label, task in runs.graph.tasks.items()}
    return _text(_of_struct(column, batch["task_label"], required), len(column))


def names_of_quanta(quanta: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return what quanta are matched by."""
    return in_one_piece(quanta["task_label"]), in_one_piece(quanta["data_id"])


def _of_struct(
    column: pa.ChunkedArray, names: pa.ChunkedArray, required: Mapping[str, set[str]] | None
) -> dict[str, pa.Array]:
    """Return the values of dimensions, of each row only of those that its type requires."""
    whole = in_one_piece(column)
    labels = None if required is None else decoded(in_one_piece(names))
    fields = {}
    for index, field in enumerate(whole.type):
        values = pc.struct_field(whole, [index])
        if required is not None and labels is not None:
            wanting = [name for name, dimensions in required.items() if field.name in dimensions]
            is_wanted = pc.is_in(labels, pa.array(wanting, pa.string()))
            values = pc.if_else(is_wanted, decoded(values), None)
        fields[field.name] = values
    return fields


def decoded(column: pa.Array) -> pa.Array:
    """Return values without a dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text(fields: Mapping[str, pa.Array], length: int) -> pa.Array:
    """Return ``dimension=value`` of all that is not null, in one order."""
    parts = [
        pc.binary_join_element_wise(pa.scalar(name), values.cast(pa.string()), "=")
        for name, values in ordered(fields).items()
        if values.null_count < length
    ]
    if not parts:
        return pa.array([""] * length, pa.string())
    # A row that is all null would be left out; so each has something before the first separator.
    nothing = pa.array([""] * length, pa.string())
    joined = pc.binary_join_element_wise(nothing, *parts, ", ", null_handling="skip")
    return pc.binary_replace_slice(joined, 0, 2, "")


def _of_json(column: pa.ChunkedArray) -> pa.Array:
    """Return data IDs that are JSON as text in one order."""
    texts = pc.fill_null(column.cast(pa.string()), "{}")
    if not len(texts):
        return pa.nulls(0, pa.string())
    # Read as a table, which takes a fraction of the time.
    lines = in_one_piece(texts)
    ends = pa.array([0, len(lines)], pa.int32())
    whole = pc.binary_join(pa.ListArray.from_arrays(ends, lines), "\n")[0].as_buffer()
    try:
        rows = _read_json(whole, {})
        odd = [one.name for one in rows.schema if not (pa.types.is_int64(one.type) or _is_text(one.type))]
        if odd:
            # Texts that look like times, and columns without a value.
            rows = _read_json(whole, dict.fromkeys(odd, pa.string()))
    except pa.ArrowException:
        rows = None
    if rows is None or len(rows) != len(texts):
        return pa.array([_one_text(text) for text in texts.to_pylist()], pa.string())
    return _text({name: in_one_piece(rows[name]) for name in rows.column_names}, len(texts))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_))


def _read_json(text: pa.Buffer, types: Mapping[str, pa.DataType]) -> pa.Table:
    options = pyarrow.json.ParseOptions(explicit_schema=pa.schema(list(types.items())))
    sizes = pyarrow.json.ReadOptions(block_size=max(1 << 20, len(text) + 1))
    return pyarrow.json.read_json(pa.BufferReader(text), read_options=sizes, parse_options=options)


def _one_text(text: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(values, dict):
        return text
    return ", ".join(f"{name}={value}" for name, value in ordered(values).items() if value is not None)


def _of_archive(runs: Runs, quanta: pa.Table) -> Side:
    """Return a run that an archive tells of; uses are in its lineage index, by rows."""
    archive = runs.archive
    assert archive is not None
    path = archive.path / "lineage.arrow"
    try:
        nodes = map_nodes(path)
        count = int(nodes.schema.metadata[b"datasets"])
        starts, rows, roles = lists_of(nodes["neighbours"].slice(count))
        ids = in_one_piece(nodes["id"].slice(0, count))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, error) from error
    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    predicted, actual = (roles & role_bit(name) != 0 for name in ("predicted_input", "actual_input"))
    is_input = predicted | actual
    known = quanta["known_from"]
    # Archives of the first format were made of lines only.
    is_actual = pc.fill_null(pc.equal(known, "line"), archive.manifest.version == 1).to_numpy()
    return Side(
        runs.places,
        quanta,
        is_actual,
        _named(archive.path, ids),
        owners[is_input],
        rows[is_input].astype(np.int64),
        predicted[is_input],
        actual[is_input],
    )


def _named(folder: Any, ids: pa.Array) -> Names:
    """Return the datasets of an archive, which are in the order of the index."""
    path = folder / "datasets.parquet"
    count = len(ids)
    if not is_there(path):
        nothing = pa.nulls(count, pa.string())
        return Names(ids, nothing, {}, pa.nulls(count, pa.int64()), np.zeros(count, bool))
    try:
        table = pq.read_table(path, columns=["dataset_type", "data_id", "size", "produced"])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    table = table.slice(0, count)
    types = in_one_piece(table["dataset_type"].unify_dictionaries())
    written = pc.fill_null(table["produced"], False).to_numpy()
    return Names(
        ids,
        types,
        _fields(table["data_id"]),
        in_one_piece(table["size"]),
        written,
        _keys(folder / INDEX, count),
    )


def _fields(column: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Return the values of all dimensions, each in one piece."""
    # Putting whole structs together takes much longer.
    flat = pa.table({"": column}).flatten()
    names = [field.name for field in column.type]
    return {
        name: in_one_piece(values.unify_dictionaries())
        for name, values in zip(names, flat.columns, strict=True)
    }


def _keys(path: Path, count: int) -> tuple[_Numbers, _Numbers] | None:
    """Return the index by name, of the first rows only; `None` if it cannot be what it should."""
    if not is_there(path):
        return None
    try:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
            table = file.read_all()
        keys, rows = (table[name].to_numpy() for name in ("key", "row"))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise unreadable(path, error) from error
    if len(rows) and int(rows.max()) >= count:
        keys, rows = keys[rows < count], rows[rows < count]
    is_whole = len(rows) == count and bool((np.bincount(rows, minlength=count) == 1).all())
    return (keys, rows) if is_whole and bool((keys[1:] >= keys[:-1]).all()) else None


def _of_graph(runs: Runs, quanta: pa.Table) -> Side:
    """Return a run that provenance graphs tell of."""
    graph = runs.graph
    assert graph is not None
    order, quantum_ids = _sorted_once(ids_of(quanta["quantum_id"]), quanta["start"].cast(pa.int64()))
    quanta = quanta.take(pa.array(order))
    required = {name: set(one.required) for name, one in graph.dataset_types.items()}
    dimensions: set[str] = set()
    parts = []
    for table in graph.datasets_tables():
        columns = {
            "id": table["dataset_id"],
            "type": table["dataset_type"].cast(pa.string()),
            "written": _written(table, quantum_ids),
        }
        of_names = _of_struct(table["data_id"], table["dataset_type"], required)
        dimensions |= of_names.keys()
        parts.append(
            pa.table({**columns, **{_DIMENSION + name: values for name, values in of_names.items()}})
        )
    datasets = pa.concat_tables(parts, promote_options="default")
    rows, dataset_ids = _sorted_once(ids_of(datasets["id"]), datasets["written"].cast(pa.int64()))
    datasets = datasets.take(pa.array(rows))
    owners: list[_Numbers] = []
    used: list[_Numbers] = []
    for tables in graph.quanta_tables():
        edges = tables.edges.filter(tables.edges["is_input"])
        for found, known, name in (
            (owners, quantum_ids, "quantum_id"),
            (used, dataset_ids, "dataset_id"),
        ):
            of = ids_of(edges[name])
            places = np.minimum(np.searchsorted(known, of), max(len(known) - 1, 0))
            found.append(np.where(known[places] == of, places, -1) if len(known) else np.full(len(of), -1))
    of_quanta, of_datasets = np.concatenate(owners), np.concatenate(used)
    is_known = (of_quanta >= 0) & (of_datasets >= 0)
    pairs = np.unique(np.stack([of_quanta[is_known], of_datasets[is_known]]), axis=1)
    yes = np.ones(pairs.shape[1], bool)
    return Side(
        runs.places,
        quanta,
        np.zeros(len(quanta), bool),
        Names(
            in_one_piece(datasets["id"]),
            in_one_piece(datasets["type"]),
            {name: in_one_piece(datasets[_DIMENSION + name]) for name in dimensions},
            pa.nulls(len(datasets), pa.int64()),
            datasets["written"].to_numpy(),
        ),
        pairs[0],
        pairs[1],
        yes,
        ~yes,
    )


def _written(datasets: pa.Table, quanta: Any) -> pa.Array:
    """Return whether a quantum has written datasets; what tasks write before their quanta does not count."""
    producer = in_one_piece(datasets["producer"])
    known = np.isin(ids_of(producer), quanta) & pc.is_valid(producer).to_numpy(zero_copy_only=False)
    return pa.array(known & pc.fill_null(datasets["produced"], False).to_numpy())


def _sorted_once(ids: Any, value: pa.ChunkedArray) -> tuple[_Numbers, Any]:
    """Return rows in the order of their ids, and these; of several rows the one with the largest value."""
    values = pc.fill_null(value, -1).to_numpy()
    order = np.lexsort((values, ids))
    ordered = ids[order]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ids)]
    return order[last], ordered[last]
