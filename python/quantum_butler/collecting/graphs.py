"""Reads upstream's quantum graphs into the tables of a part."""

from __future__ import annotations

__all__ = ("GraphTables", "read_graph")

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..archive.format import ROLES, role_bit
from ..quantum_graphs import PredictedGraph, ProvenanceGraph, QuantumGraphError, QuantumStatus
from .ids import ids_of, uuids_of
from .origins import Origin, with_origin
from .tables import EXECUTION, part_schemas

# Quanta that are read at a time.
_AT_ONCE = 1 << 14

_PREDICTED_INPUT, _PREDICTED_OUTPUT, _ACTUAL_OUTPUT = map(
    role_bit, ("predicted_input", "predicted_output", "actual_output")
)


class GraphTables(NamedTuple):
    """Some of what a graph tells, as tables of a part."""

    quanta: pa.Table
    edges: pa.Table
    earlier: pa.Table
    names: pa.Table


def read_graph(path: str) -> Iterator[GraphTables]:
    """Yield what a graph of either kind tells; names of datasets come last, without quanta."""
    try:
        graph: ProvenanceGraph | PredictedGraph = ProvenanceGraph(path)
    except QuantumGraphError:
        graph = PredictedGraph(path)
    schemas = part_schemas()
    quanta, edges, earlier = (schemas[name].empty_table() for name in ("quanta", "edges", "earlier"))
    nothing = GraphTables(quanta, edges, earlier, pa.table({}))
    reader = _Reader(graph)
    if isinstance(graph, ProvenanceGraph):
        for some in graph.quanta_tables(_AT_ONCE):
            quanta, edges = reader.quanta(some.quanta, some.edges, Origin.PROVENANCE)
            yield nothing._replace(quanta=quanta, edges=edges, earlier=_earlier(some.attempts))
    else:
        for planned, planned_edges in graph.quanta_tables(_AT_ONCE):
            quanta, edges = reader.quanta(planned, planned_edges, Origin.PREDICTED)
            yield nothing._replace(quanta=quanta, edges=edges)
    for datasets in graph.datasets_tables(_AT_ONCE):
        yield nothing._replace(names=reader.names(datasets))


class _Reader:
    """Puts what a graph tells into the form of a part."""

    def __init__(self, graph: ProvenanceGraph | PredictedGraph):
        self._graph = graph
        self._offset = 0
        self._connections = {
            label: json.dumps(
                {"inputs": dict(task.inputs), "outputs": dict(task.outputs)}, separators=(",", ":")
            )
            for label, task in graph.tasks.items()
        }

    def quanta(self, told: pa.Table, edges: pa.Table, origin: Origin) -> tuple[pa.Table, pa.Table]:
        """Return quanta and edges."""
        length = len(told)
        owners, datasets, roles = self._roles(told, edges)
        counts = {
            f"{role}s": np.bincount(owners, (roles >> bit) & 1, length).astype(np.int32)
            for bit, role in enumerate(ROLES)
        }
        labels = told["task_label"].to_pylist()
        execution = _execution(told)
        columns: dict[str, Any] = {
            "quantum_id": told["quantum_id"],
            "task_label": told["task_label"],
            "data_id": pa.array(map(self._data_id, labels, told["data_id"].to_pylist()), pa.string()),
            **counts,
            "edges": np.bincount(owners, minlength=length).astype(np.int32),
            "records": np.zeros(length, np.int32),
            "begin": execution["start"],
            "end": _ends(execution),
            "failed": pc.equal(execution["status"], QuantumStatus.FAILED.value),
            **execution,
            "run": told["run"],
            "connections": pa.array(map(self._connections.get, labels), pa.string()).dictionary_encode(),
            "source": np.zeros(length, np.int32),
            "offset": np.arange(self._offset, self._offset + length),
        }
        self._offset += length
        schema = part_schemas()["quanta"]
        table = pa.table([columns[name] for name in schema.names if name != "origin"], schema.names[:-1])
        table = with_origin(table, origin).cast(schema).combine_chunks()
        of_edges = pa.table([datasets, pa.array(roles)], schema=part_schemas()["edges"])
        return table, of_edges

    def _roles(self, told: pa.Table, edges: pa.Table) -> tuple[Any, pa.Array, Any]:
        """Return owner, dataset and roles of each edge: owners in order, then ids, each pair once."""
        ids, ends = ids_of(told["quantum_id"]), ids_of(edges["quantum_id"])
        # Edges go in order of the quanta, of which each has some.
        starts = (
            np.flatnonzero(np.concatenate([[True], ends[1:] != ends[:-1]])) if len(ends) else np.zeros(0, int)
        )
        owned = np.zeros(len(ends), np.int64)
        place = {id_: number for number, id_ in enumerate(ids.tolist())}
        for start, stop in itertools.pairwise([*starts, len(ends)]):
            owned[start:stop] = place[ends[start].item()]
        is_input = edges["is_input"].to_numpy()
        roles = np.where(is_input, _PREDICTED_INPUT, _PREDICTED_OUTPUT).astype(np.uint8)
        datasets = ids_of(edges["dataset_id"])
        roles[~is_input & self._produced(told, owned, datasets, is_input)] |= _ACTUAL_OUTPUT
        order = np.lexsort((datasets, owned))
        owned, datasets, roles = owned[order], datasets[order], roles[order]
        if not len(owned):
            return owned, uuids_of(datasets), roles
        first = np.concatenate([[True], (owned[1:] != owned[:-1]) | (datasets[1:] != datasets[:-1])])
        roles = np.bitwise_or.reduceat(roles, np.flatnonzero(first))
        return owned[first], uuids_of(datasets[first]), roles.astype(np.uint8)

    def _produced(self, told: pa.Table, owners: Any, datasets: Any, is_input: Any) -> Any:
        """Return which outputs were written."""
        if not isinstance(self._graph, ProvenanceGraph):
            return np.zeros(len(owners), bool)
        status, caveats = (told[name].to_numpy(zero_copy_only=False) for name in ("status", "caveats"))
        caveats = np.nan_to_num(caveats.astype(float)).astype(int)
        # All outputs of a quantum without caveats are there, and none of one that was blocked.
        all_there = (status == QuantumStatus.SUCCESSFUL.value) & (caveats & 1 == 0)
        produced = all_there[owners]
        some = ~all_there & (status != QuantumStatus.BLOCKED.value)
        for edge in np.flatnonzero(some[owners] & ~is_input):
            produced[edge] = self._graph.dataset(uuid.UUID(bytes=_padded(datasets[edge]))).produced
        return produced

    def _data_id(self, label: str, values: dict[str, Any]) -> str:
        """Return the required values of a data ID as JSON."""
        return json.dumps(
            {name: values[name] for name in self._graph.tasks[label].required}, separators=(",", ":")
        )

    def names(self, datasets: pa.Table) -> pa.Table:
        """Return what datasets are called: with their required dimensions."""
        types = datasets["dataset_type"].combine_chunks()
        known = [self._graph.dataset_types.get(name) for name in types.dictionary.to_pylist()]
        classes = pa.array([None if one is None else one.storage_class for one in known], pa.string())
        columns = {
            "dataset_id": datasets["dataset_id"],
            "dataset_type": types,
            "run": datasets["run"],
            "storage_class": classes.take(types.indices).dictionary_encode(),
            "producer": datasets["producer"],
        }
        for name, column in _fields(datasets["data_id"]).items():
            has_it = pa.array([one is not None and name in one.required for one in known], pa.bool_())
            column = pc.if_else(has_it.take(types.indices), column, None)
            if column.null_count < len(column):
                columns[name] = column
        return pa.table(columns).combine_chunks()


def _fields(structs: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Return the fields of structs by name, texts as such."""
    array = structs.combine_chunks()
    found = {}
    for number, field in enumerate(array.type):
        column = array.field(number)
        found[field.name] = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return found


def _execution(told: pa.Table) -> dict[str, Any]:
    """Return what a graph tells of attempts, and nulls for the rest."""
    length = len(told)
    columns: dict[str, Any] = {}
    for field in EXECUTION:
        if field.name in told.column_names:
            columns[field.name] = told[field.name]
        else:
            columns[field.name] = pa.nulls(length, field.type)
    if "attempts" in told.column_names:
        # Attempts are counted from 0, and one that is blocked has none.
        last = pc.subtract(told["attempts"], 1)
        columns["attempt"] = pc.if_else(pc.greater_equal(last, 0), last, None)
    if columns["memory"].type == pa.float64():
        columns["memory"] = columns["memory"].cast(pa.int64(), safe=False)
    if "previous_process_quanta" in told.column_names:
        columns["earlier_quanta"] = pc.list_value_length(told["previous_process_quanta"])
    return columns


def _ends(execution: dict[str, Any]) -> Any:
    """Return when attempts ended."""
    seconds = pc.add(pc.add(execution["prep_time"], execution["init_time"]), execution["run_time"])
    microseconds = pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64())
    return pc.add(execution["start"], microseconds.cast(pa.duration("us")))


def _earlier(attempts: pa.Table) -> pa.Table:
    """Return the attempts that are not the last of their quanta."""
    ids = ids_of(attempts["quantum_id"])
    is_last = np.concatenate([ids[1:] != ids[:-1], [True]]) if len(ids) else np.zeros(0, bool)
    some = attempts.filter(pa.array(~is_last))
    columns = {"quantum_id": some["quantum_id"], **_execution(some)}
    schema = part_schemas()["earlier"]
    return pa.table([columns[name] for name in schema.names], schema.names).cast(schema)


def _padded(value: Any) -> bytes:
    return bytes(value).ljust(16, b"\0")
