"""Which quanta were to read a dataset, for all datasets of a predicted graph."""

from __future__ import annotations

__all__ = ("Consumers", "outputs_of")

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..quantum_graphs import PredictedGraph

_ID = np.dtype("V16")


class Consumers:
    """Ids of quanta by dataset: 32 bytes for each edge, sorted by dataset."""

    def __init__(self, graph: PredictedGraph):
        parts = list(_edges(graph))
        datasets = np.concatenate([one for one, _ in parts])
        quanta = np.concatenate([one for _, one in parts])
        # As text they compare as numbers do.
        order = np.argsort(datasets.view("S16"), kind="stable")
        self._datasets, self._quanta = datasets[order].view("S16"), quanta[order]

    def edges(self) -> tuple[bytes, bytes]:
        """Return the ids of datasets, in order, and those of the quanta that were to read them."""
        return self._datasets.tobytes(), self._quanta.tobytes()

    def of(self, dataset_id: uuid.UUID) -> list[uuid.UUID]:
        """Return the quanta that were to read a dataset, in the order of the graph."""
        key = np.frombuffer(dataset_id.bytes, "S16")
        start, end = (int(np.searchsorted(self._datasets, key, side)[0]) for side in ("left", "right"))
        found = dict.fromkeys(one.tobytes() for one in self._quanta[start:end])
        return [uuid.UUID(bytes=one) for one in found]


def outputs_of(graph: PredictedGraph) -> bytes:
    """Return the ids of all datasets that a run was to write."""
    before = (
        dataset.dataset_id.bytes
        for quantum in graph.init_quanta
        for datasets in quantum.outputs.values()
        for dataset in datasets
    )
    parts = [b"".join(before)]
    for _, edges in graph.quanta_tables():
        outputs = edges.filter(pc.invert(edges["is_input"]))
        parts.append(_column(outputs["dataset_id"]).tobytes())
    return b"".join(parts)


def _edges(graph: PredictedGraph) -> Iterator[tuple[Any, Any]]:
    """Yield ids of datasets, and those of the quanta that read them."""
    before = [
        (dataset.dataset_id.bytes, quantum.quantum_id.bytes)
        for quantum in graph.init_quanta
        if quantum.task_label
        for datasets in quantum.inputs.values()
        for dataset in datasets
    ]
    yield _array(dataset for dataset, _ in before), _array(quantum for _, quantum in before)
    for _, edges in graph.quanta_tables():
        inputs = edges.filter(edges["is_input"])
        yield _column(inputs["dataset_id"]), _column(inputs["quantum_id"])


def _array(ids: Iterable[bytes]) -> Any:
    return np.frombuffer(b"".join(ids), _ID)


def _column(ids: Any) -> Any:
    """Return a column of ids as an array."""
    array = ids.combine_chunks()
    storage = getattr(array, "storage", array)
    start = storage.offset * 16
    return np.frombuffer(storage.buffers()[1], _ID, len(storage), start)
