"""The lineage of a dataset in graphs, which know what was to be read and written."""

from __future__ import annotations

__all__ = ("GraphNeighbours", "GraphNodes", "Walk")

import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TypeVar

from ..archive.rebuilding import Made, Neighbours
from ..archive.results import Dataset, Quantum
from ..quantum_graphs import GraphQuantum, PlannedDataset, PlannedQuantum, PredictedGraph, ProvenanceGraph
from ..quantum_graphs.named import GraphRows
from ..queries.choice import Choice
from ..queries.data_ids import data_id_of
from ..queries.found import DATASET, QUANTUM, Found
from ..queries.statuses import STATUS_WORDS

_T = TypeVar("_T")


class GraphNodes:
    """Quanta and datasets of graphs, in the words of archives, each with its neighbours."""

    def __init__(self, graph: ProvenanceGraph | PredictedGraph, rows: GraphRows):
        self._graph = graph
        self._rows = rows
        self._quanta: dict[uuid.UUID, GraphQuantum | PlannedQuantum] = {}

    def quantum(self, id_: uuid.UUID) -> GraphQuantum | PlannedQuantum:
        """Return a quantum as the graph tells of it."""
        if id_ not in self._quanta:
            self._quanta[id_] = self._graph.quantum(id_)
        return self._quanta[id_]

    def has_quantum(self, id_: uuid.UUID | None) -> bool:
        """Return whether that is a quantum; what makes init-outputs is none."""
        return id_ is not None and id_ not in self._rows.init_ids

    def inputs(self, id_: uuid.UUID) -> list[uuid.UUID]:
        """Return the datasets that a quantum was to read, each once."""
        return _ids(self.quantum(id_).inputs.values())

    def outputs(self, id_: uuid.UUID) -> list[uuid.UUID]:
        """Return the datasets that a quantum was to write, each once."""
        return _ids(self.quantum(id_).outputs.values())

    def describe_quantum(self, id_: uuid.UUID) -> Quantum:
        """Return a quantum as archives have it."""
        one = self.quantum(id_)
        status = int(one.status) if isinstance(one, GraphQuantum) else None
        data_id = self._rows.plain(QUANTUM, one.task_label, one.data_id)
        return Quantum(id_, one.task_label, data_id, one.run, STATUS_WORDS[status])

    def dataset(self, id_: uuid.UUID) -> tuple[Dataset, list[uuid.UUID]]:
        """Return a dataset as archives have it, and the quanta that were to read it."""
        if isinstance(self._graph, ProvenanceGraph):
            one = self._graph.dataset(id_)
            return self._dataset(id_, one.dataset_type, one.data_id, one.run, one.producer, one.produced), [
                *filter(self.has_quantum, one.consumers)
            ]
        if id_ not in self._planned:
            raise self._rows.unknown(f"{self._rows.shown()}: there is no dataset {id_}")
        return self._planned[id_], self._consumers.get(id_, [])

    def _dataset(
        self,
        id_: uuid.UUID,
        name: str,
        data_id: dict[str, int | str],
        run: str,
        producer: uuid.UUID | None,
        produced: bool,
    ) -> Dataset:
        known = self._graph.dataset_types.get(name)
        return Dataset(
            id_,
            (),
            None if known is None else known.storage_class,
            None,
            name,
            self._rows.plain(DATASET, name, data_id),
            run,
            produced if self.has_quantum(producer) else None,
            producer,
        )

    @cached_property
    def _planned(self) -> dict[uuid.UUID, Dataset]:
        """All datasets of predicted graphs, in which none is found by its id."""
        found = {}
        for table in self._rows.scan(DATASET, Choice()):
            for row in table.to_pylist():
                data_id = data_id_of(row["data_id"]) or {}
                names = row["dataset_type"], data_id, row["run"], row["producer"], bool(row["produced"])
                found[row["dataset_id"]] = self._dataset(row["dataset_id"], *names)
        return found

    @cached_property
    def _consumers(self) -> dict[uuid.UUID, list[uuid.UUID]]:
        found: dict[uuid.UUID, list[uuid.UUID]] = {}
        assert isinstance(self._graph, PredictedGraph)
        for _, edges in self._graph.quanta_tables():
            for row in edges.to_pylist():
                if row["is_input"]:
                    readers = found.setdefault(row["dataset_id"], [])
                    if row["quantum_id"] not in readers:
                        readers.append(row["quantum_id"])
        return found


class GraphNeighbours(Neighbours):
    """Producers of datasets in graphs, and the predicted inputs and outputs of their quanta."""

    def __init__(self, nodes: GraphNodes):
        self._nodes = nodes

    def starts(self, found: Found, actual: bool) -> list[uuid.UUID]:
        """Return a dataset, or those that a quantum was to write."""
        return [found.id] if found.kind == DATASET else self._nodes.outputs(found.id)

    def maker(self, dataset: uuid.UUID, actual: bool) -> uuid.UUID | None:
        """Return the quantum that was to write a dataset."""
        producer = self._nodes.dataset(dataset)[0].producer
        return producer if self._nodes.has_quantum(producer) else None

    def is_written(self, dataset: uuid.UUID) -> bool:
        """Return whether any quantum has written a dataset."""
        return bool(self._nodes.dataset(dataset)[0].produced)

    def key(self, quantum_id: uuid.UUID) -> uuid.UUID:
        """Return the id of a quantum."""
        return quantum_id

    def made(self, quantum: uuid.UUID, actual: bool) -> Made:
        """Return the datasets of a quantum."""
        inputs = self._nodes.inputs(quantum)
        outputs = self._nodes.outputs(quantum)
        return Made(inputs, inputs, outputs, outputs)

    def describe_quanta(self, quanta: Sequence[uuid.UUID]) -> list[Quantum]:
        """Return what the graphs know of quanta."""
        return [*map(self._nodes.describe_quantum, quanta)]

    def describe_datasets(self, datasets: Sequence[uuid.UUID]) -> list[Dataset]:
        """Return what the graphs know of datasets."""
        return [self._nodes.dataset(one)[0] for one in datasets]


class Walk:
    """The part of graphs that a lineage needs. It has the methods of an archive's closure and reader."""

    def __init__(self, nodes: GraphNodes, starts: Sequence[uuid.UUID], *, up: bool, depth: int | None):
        self._nodes = nodes
        self._datasets: dict[uuid.UUID, int] = dict.fromkeys(starts, 0)
        self._quanta: dict[uuid.UUID, int] = {}
        found, distance = [*starts], 0
        while found and (depth is None or distance < depth):
            distance += 1
            quanta = [one for dataset in found for one in self._next_quanta(dataset, up)]
            fresh = [one for one in dict.fromkeys(quanta) if one not in self._quanta]
            self._quanta |= dict.fromkeys(fresh, distance)
            reached = (other for one in fresh for other in (nodes.inputs if up else nodes.outputs)(one))
            found = [one for one in dict.fromkeys(reached) if one not in self._datasets]
            self._datasets |= dict.fromkeys(found, distance)

    def _next_quanta(self, dataset: uuid.UUID, up: bool) -> list[uuid.UUID]:
        one, consumers = self._nodes.dataset(dataset)
        if not up:
            return consumers
        return [one.producer] if one.producer is not None and self._nodes.has_quantum(one.producer) else []

    def datasets(self) -> dict[uuid.UUID, int]:
        """Return distances of datasets, in their order and that of the ids."""
        return dict(sorted(self._datasets.items(), key=lambda item: (item[1], item[0])))

    def quanta(self) -> dict[uuid.UUID, int]:
        """Return distances of quanta, in their order and that of the ids."""
        return dict(sorted(self._quanta.items(), key=lambda item: (item[1], item[0])))

    def edges(self) -> list[tuple[int, int, bool]]:
        """Return places of a quantum and a dataset, and whether that is its output, for each edge."""
        places = {id_: place for place, id_ in enumerate(self.datasets())}
        return [
            (number, places[dataset], is_output)
            for number, quantum in enumerate(self.quanta())
            for is_output, ends in ((False, self._nodes.inputs), (True, self._nodes.outputs))
            for dataset in ends(quantum)
            if dataset in places
        ]

    def quantum_numbers(self) -> Sequence[uuid.UUID]:
        """Return what `describe_quanta` wants."""
        return [*self.quanta()]

    def dataset_rows(self) -> Sequence[uuid.UUID]:
        """Return what `describe_datasets` wants."""
        return [*self.datasets()]

    def describe_quanta(self, numbers: Sequence[uuid.UUID]) -> list[Quantum]:
        """Return what the graph knows of quanta."""
        return [*map(self._nodes.describe_quantum, numbers)]

    def describe_datasets(self, rows: Sequence[uuid.UUID]) -> list[Dataset]:
        """Return what the graph knows of datasets."""
        return [self._nodes.dataset(id_)[0] for id_ in rows]

    def checked(self, read: Callable[[], _T]) -> _T:
        """Return what reading gives."""
        return read()


def _ids(groups: Iterable[Iterable[uuid.UUID | PlannedDataset]]) -> list[uuid.UUID]:
    """Return the ids of the datasets of all connections, each once."""
    ids = (one if isinstance(one, uuid.UUID) else one.dataset_id for group in groups for one in group)
    return [*dict.fromkeys(ids)]
