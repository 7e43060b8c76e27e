"""The plan of a run: quanta and datasets of a predicted graph, read once. An edge takes some 32 bytes."""

from __future__ import annotations

__all__ = ("Plan",)

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..archive.ids import ids_of
from ..quantum_graphs import PlannedDataset, PredictedGraph, QuantumGraphError

# Ids; as text they compare as numbers do.
_ID = np.dtype("S16")


class _Tables(NamedTuple):
    """Ids as arrays: quanta by task; datasets that are read, the quanta that read them, and all outputs."""

    of_tasks: dict[str, Any]
    inputs: Any
    readers: Any
    outputs: Any


class Plan:
    """The quanta of each task, and the datasets that they should read and write. Read on demand."""

    def __init__(self, graph: PredictedGraph):
        self.graph = graph
        """The graph (`PredictedGraph`)."""

    @property
    def quanta(self) -> Any:
        """The ids of all quanta, as an array of bytes."""
        return _joined(self._tables.of_tasks.values())

    def by_task(self, labels: Iterable[str]) -> Iterator[list[uuid.UUID]]:
        """Yield the quanta of each of these tasks, which have to be all."""
        wanted = list(labels)
        of_tasks = self._tables.of_tasks
        if unknown := of_tasks.keys() - set(wanted):
            raise QuantumGraphError(
                f"{self.graph.files[0]}: the pipeline has no task {min(unknown)}, of which there are quanta"
            )
        for label in wanted:
            yield _uuids(of_tasks[label]) if label in of_tasks else []

    @property
    def outputs(self) -> bytes:
        """The ids of all datasets that the run was to write."""
        found: bytes = self._tables.outputs.tobytes()
        return found

    def edges(self) -> tuple[bytes, bytes]:
        """Return the ids of datasets, in order, and those of the quanta that were to read them."""
        return self._tables.inputs.tobytes(), self._tables.readers.tobytes()

    def consumers_of(self, dataset_id: uuid.UUID) -> list[uuid.UUID]:
        """Return the quanta that were to read a dataset, in the order of the graph."""
        inputs, key = self._tables.inputs, _array([dataset_id.bytes])
        start, end = (int(np.searchsorted(inputs, key, side)[0]) for side in ("left", "right"))
        return list(dict.fromkeys(_uuids(self._tables.readers[start:end])))

    def readers_of(self, datasets: Collection[uuid.UUID]) -> dict[uuid.UUID, list[uuid.UUID]]:
        """Return the quanta that were to read some datasets, each with those of them that it was to read."""
        found: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        wanted = list(datasets)
        inputs, keys = self._tables.inputs, _array([one.bytes for one in wanted])
        starts, ends = (np.searchsorted(inputs, keys, side).tolist() for side in ("left", "right"))
        for dataset_id, start, end in zip(wanted, starts, ends, strict=True):
            if start < end:
                for quantum_id in _uuids(self._tables.readers[start:end]):
                    found[quantum_id].append(dataset_id)
        return dict(found)

    @cached_property
    def _tables(self) -> _Tables:
        of_tasks: defaultdict[str, list[Any]] = defaultdict(list)
        inputs, readers, outputs = [], [], []
        for quantum in self.graph.init_quanta:
            outputs.append(_ids(quantum.outputs.values()))
            if quantum.task_label:
                inputs.append(_ids(quantum.inputs.values()))
                readers.append(_array([quantum.quantum_id.bytes] * len(inputs[-1])))
        for quanta, edges in self.graph.quanta_tables():
            ids, labels = ids_of(quanta["quantum_id"]), quanta["task_label"].combine_chunks()
            numbers = labels.indices.to_numpy()
            for number, label in enumerate(labels.dictionary.to_pylist()):
                if len(some := ids[numbers == number]):
                    of_tasks[label].append(some)
            is_input, datasets = edges["is_input"].to_numpy(), ids_of(edges["dataset_id"])
            inputs.append(datasets[is_input])
            readers.append(ids_of(edges["quantum_id"])[is_input])
            outputs.append(datasets[~is_input])
        read, by = _joined(inputs), _joined(readers)
        order = np.argsort(read, kind="stable")
        found = {label: _joined(some) for label, some in of_tasks.items()}
        return _Tables(found, read[order], by[order], _joined(outputs))


def _uuids(array: Any) -> list[uuid.UUID]:
    # An element of such an array would lose zeros at its end.
    ids = array.tobytes()
    return [uuid.UUID(bytes=ids[start : start + 16]) for start in range(0, len(ids), 16)]


def _ids(datasets: Iterable[Iterable[PlannedDataset]]) -> Any:
    return _array([one.dataset_id.bytes for one in chain.from_iterable(datasets)])


def _array(ids: list[bytes]) -> Any:
    return np.frombuffer(b"".join(ids), _ID)


def _joined(arrays: Iterable[Any]) -> Any:
    return np.concatenate([np.empty(0, _ID), *arrays])
