"""The two sides of a comparison: quanta, datasets and uses, of archives or graphs."""

from __future__ import annotations

__all__ = ("Side", "read_side")

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..archive.columns import in_one_piece
from ..archive.errors import unreadable
from ..archive.format import role_bit
from ..archive.ids import ids_of
from ..archive.index import map_nodes
from ..paths import Name
from .data_ids import text_of_json, text_of_values
from .datasets import ArchivedDatasets, Datasets, GraphDatasets, decoded
from .sources import Runs

_Numbers: TypeAlias = np.ndarray[Any, Any]

# Before the name of a column that is one.
_DIMENSION = "data_id."

_LABELS = pa.dictionary(pa.int32(), pa.string())

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
class Side:
    """One of two runs."""

    places: tuple[str, ...]
    """The archive or graphs (`tuple` [`str`, ...])."""

    quanta: pa.Table
    """Its quanta, each column in one piece (`pyarrow.Table`)."""

    is_json: bool
    """Whether their data IDs are JSON, which is put into words for few of them (`bool`)."""

    labels: pa.DictionaryArray
    """The tasks of the quanta, of which each has one (`pyarrow.DictionaryArray`)."""

    is_actual: _Numbers
    """Of which quanta it is known what they have used (`numpy.ndarray`)."""

    datasets: Datasets
    """Its datasets (`Datasets`)."""

    uses: pa.Table
    """For each quantum rows of datasets, ascending, with their roles, as in a lineage index
    (`pyarrow.Table`)."""

    @property
    def has_names(self) -> bool:
        """Return whether it tells what its datasets are called (`bool`)."""
        types = self.datasets.types
        return len(types) > types.null_count or not len(types)

    def data_ids(self, rows: _Numbers) -> pa.Array:
        """Return the data IDs of some quanta as text."""
        some = in_one_piece(self.quanta["data_id"]).take(pa.array(rows))
        return text_of_json(some) if self.is_json else some


def read_side(places: Sequence[Name]) -> Side:
    """Read a run: an archive, or provenance graphs."""
    runs = Runs(*places)
    batches = []
    for batch in runs.batches(_QUANTA):
        columns = {name: _plain(batch[name]) for name in _QUANTA if name not in ("data_id", "task_label")}
        columns["task_label"] = _as_dictionary(batch["task_label"])
        columns["data_id"] = _data_ids(runs, batch)
        batches.append(pa.table(columns))
    quanta = pa.concat_tables(batches, promote_options="permissive") if batches else _nothing()
    quanta = quanta.unify_dictionaries().combine_chunks()
    return _of_archive(runs, quanta) if runs.archive is not None else _of_graph(runs, quanta)


def _nothing() -> pa.Table:
    types = {"status": pa.int64(), "caveats": pa.int64(), "task_label": _LABELS}
    return pa.table({name: pa.nulls(0, types.get(name, pa.string())) for name in _QUANTA})


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as such, and numbers in one type."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_integer(column.type) else column


def _as_dictionary(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    is_dictionary = pa.types.is_dictionary(labels.type)
    return (labels if is_dictionary else labels.cast(pa.string()).dictionary_encode()).cast(_LABELS)


def _labels(quanta: pa.Table) -> pa.DictionaryArray:
    """Return the tasks of quanta, with a word for those of which nobody tells it."""
    labels = in_one_piece(quanta["task_label"])
    if not labels.null_count:
        return labels
    return pc.fill_null(decoded(labels), "unknown").dictionary_encode()


def _data_ids(runs: Runs, batch: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Return the data IDs of quanta: of archives JSON, of graphs text."""
    column = batch["data_id"]
    if runs.graph is None:
        return column.cast(pa.string())
    required = {label: set(task.required) for label, task in runs.graph.tasks.items()}
    return text_of_values(_of_struct(column, batch["task_label"], required), len(column))


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


def _of_archive(runs: Runs, quanta: pa.Table) -> Side:
    """Return a run that an archive tells of; uses are in its lineage index, by rows."""
    archive = runs.archive
    assert archive is not None
    path = archive.path / "lineage.arrow"
    try:
        nodes = map_nodes(path)
        count = int(nodes.schema.metadata[b"datasets"])
        uses, ids = nodes.select(["neighbours"]).slice(count), nodes["id"].slice(0, count)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, error) from error
    known = in_one_piece(quanta["known_from"])
    # Archives of the first format were made of lines only.
    is_line = pc.fill_null(pc.equal(known, "line"), archive.manifest.version == 1)
    is_actual = is_line.to_numpy(zero_copy_only=False)
    datasets = ArchivedDatasets(archive.path, ids)
    return Side(runs.places, quanta, True, _labels(quanta), is_actual, datasets, uses)


def _of_graph(runs: Runs, quanta: pa.Table) -> Side:
    """Return a run that provenance graphs tell of."""
    graph = runs.graph
    assert graph is not None
    order, quantum_ids = _sorted_once(ids_of(quanta["quantum_id"]), quanta["start"].cast(pa.int64()))
    quanta = quanta.take(pa.array(order)).combine_chunks()
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
    uses = pa.StructArray.from_arrays(
        [
            pa.array(pairs[1].astype(np.uint32)),
            pa.array(np.full(pairs.shape[1], role_bit("predicted_input"), np.uint8)),
        ],
        ["row", "roles"],
    )
    ends = np.searchsorted(pairs[0], np.arange(len(quanta) + 1)).astype(np.int32)
    return Side(
        runs.places,
        quanta,
        False,
        _labels(quanta),
        np.zeros(len(quanta), bool),
        GraphDatasets(
            datasets["id"],
            in_one_piece(datasets["type"]),
            {name: in_one_piece(datasets[_DIMENSION + name]) for name in dimensions},
            datasets["written"].to_numpy(),
        ),
        pa.table({"neighbours": pa.ListArray.from_arrays(pa.array(ends), uses)}),
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
