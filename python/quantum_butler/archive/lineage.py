"""Lineage: ancestors and descendants of a dataset."""

from __future__ import annotations

__all__ = ("Edge", "Lineage", "dataset_columns", "quantum_columns")

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .network import add_dataset, add_quantum, new_graph
from .showing import Showable, html_page, html_table, id_column
from .texts import counted, data_id_text, size_text

if TYPE_CHECKING:
    import networkx
    import pyarrow

    from .results import Dataset, Quantum


class Edge(NamedTuple):
    """From a dataset to a quantum that read it, or from a quantum to what it wrote."""

    source: uuid.UUID
    target: uuid.UUID


@dataclass(frozen=True)
class Lineage(Showable):
    """Ancestors or descendants of a dataset.

    Parameters
    ----------
    reader : `object`
        Reader of the archive, or of the graphs, that was asked.
    dataset : `uuid.UUID`
        Dataset where it begins.
    direction : `str`
        ``up`` for what it was made from, ``down`` for what was made from it.
    actual : `bool`
        Whether it goes by what was really used and written, or by what was
        predicted.
    depth : `int` or `None`
        The most quanta between the dataset and any other.
    closure : `object`
        That part of the graph.
    """

    reader: Any = field(repr=False)
    dataset: uuid.UUID
    direction: Literal["up", "down"]
    actual: bool
    depth: int | None
    closure: Any = field(repr=False)

    @cached_property
    def datasets(self) -> dict[uuid.UUID, int]:
        """Numbers of quanta between the dataset and each other dataset, by id.

        The order is that of this distance and then of the ids
        (`dict` [`uuid.UUID`, `int`]).
        """
        found: dict[uuid.UUID, int] = self.closure.datasets()
        return found

    @cached_property
    def quanta(self) -> dict[uuid.UUID, int]:
        """The same of each quantum, which counts itself.

        The order is that of the distance and then of the archive
        (`dict` [`uuid.UUID`, `int`]).
        """
        found: dict[uuid.UUID, int] = self.closure.quanta()
        return found

    @cached_property
    def edges(self) -> list[Edge]:
        """All edges between these, in the direction in which data flows (`list` [`Edge`])."""
        quanta, datasets = list(self.quanta), list(self.datasets)
        return [
            Edge(quanta[quantum], datasets[dataset]) if output else Edge(datasets[dataset], quanta[quantum])
            for quantum, dataset, output in self.closure_edges()
        ]

    def closure_edges(self) -> list[tuple[int, int, bool]]:
        """Return places of a quantum and a dataset, and whether that is its output, for each edge."""
        found: list[tuple[int, int, bool]] = self.reader.checked(self.closure.edges)
        return found

    def describe_quanta(self) -> list[Quantum]:
        """Return what the archive knows of the quanta, in their order."""
        found: list[Quantum] = self.reader.describe_quanta(self.closure.quantum_numbers())
        return found

    def describe_datasets(self) -> list[Dataset]:
        """Return what the archive knows of the datasets, in their order."""
        found: list[Dataset] = self.reader.describe_datasets(self.closure.dataset_rows())
        return found

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return ``datasets`` and ``quanta`` with names and distances, and ``edges``, as Arrow tables."""
        return _tables(self)

    def to_networkx(self) -> networkx.DiGraph:
        """Return a graph of ids, with ``kind``, ``label`` (type or task, and data ID) and ``distance``."""
        return _network(self)

    def _repr_html_(self) -> str:
        return _html(self)


def _tables(lineage: Lineage) -> dict[str, pyarrow.Table]:
    """Return the datasets, quanta and edges of a lineage as tables."""
    import pyarrow

    integers = pyarrow.int64()
    dataset_distances = pyarrow.array(lineage.datasets.values(), integers)
    quantum_distances = pyarrow.array(lineage.quanta.values(), integers)
    return {
        "datasets": pyarrow.table(
            {**dataset_columns(lineage.describe_datasets()), "distance": dataset_distances}
        ),
        "quanta": pyarrow.table(
            {**quantum_columns(lineage.describe_quanta()), "distance": quantum_distances}
        ),
        "edges": pyarrow.table(
            {
                "source": id_column([edge.source for edge in lineage.edges]),
                "target": id_column([edge.target for edge in lineage.edges]),
            }
        ),
    }


def dataset_columns(datasets: Sequence[Dataset]) -> dict[str, pyarrow.Array]:
    """Return datasets as the columns of a table."""
    import pyarrow

    text = pyarrow.string()
    return {
        "dataset_id": id_column([one.dataset_id for one in datasets]),
        "dataset_type": pyarrow.array([one.dataset_type for one in datasets], text),
        "data_id": pyarrow.array([data_id_text(one.data_id or {}) for one in datasets], text),
        "run": pyarrow.array([one.run for one in datasets], text),
        "size": pyarrow.array([one.size for one in datasets], pyarrow.int64()),
    }


def quantum_columns(quanta: Sequence[Quantum]) -> dict[str, pyarrow.Array]:
    """Return quanta as the columns of a table."""
    import pyarrow

    text = pyarrow.string()
    return {
        "quantum_id": id_column([one.quantum_id for one in quanta]),
        "task_label": pyarrow.array([one.task_label for one in quanta], text),
        "data_id": pyarrow.array([data_id_text(one.data_id or {}) for one in quanta], text),
    }


def _network(lineage: Lineage) -> networkx.DiGraph:
    """Return a lineage as a graph of networkx."""
    graph = new_graph()
    for dataset, far in zip(lineage.describe_datasets(), lineage.datasets.values(), strict=True):
        add_dataset(graph, dataset, distance=far)
    for quantum, far in zip(lineage.describe_quanta(), lineage.quanta.values(), strict=True):
        add_quantum(graph, quantum, distance=far)
    graph.add_edges_from(lineage.edges)
    return graph


def _html(lineage: Lineage) -> str:
    """Return what a notebook shows of a lineage."""
    what = "was made from" if lineage.direction == "up" else "led to"
    numbers = f"{counted(len(lineage.datasets), 'dataset')} and {counted(len(lineage.quanta), 'quantum')}"
    datasets, quanta = lineage.describe_datasets(), lineage.describe_quanta()
    rows: list[tuple[int, int, Sequence[object]]] = []
    for quantum, far in zip(quanta, lineage.quanta.values(), strict=True):
        name = quantum.task_label or "(no label)"
        cells = ["quantum", name, data_id_text(quantum.data_id or {}), "", quantum.quantum_id]
        rows.append((far, 0, cells))
    for dataset, far in zip(datasets, lineage.datasets.values(), strict=True):
        size = "" if dataset.size is None else size_text(dataset.size)
        name = dataset.dataset_type or "(no name)"
        cells = ["dataset", name, data_id_text(dataset.data_id or {}), size, dataset.dataset_id]
        rows.append((far, 1, cells))
    rows.sort(key=lambda row: row[:2])
    header = ("distance", "", "task or type", "data ID", "size", "id")
    shown = html_table(header, ([far, *cells] for far, _, cells in rows), len(rows))
    return html_page(f"What dataset {lineage.dataset} {what}: {numbers}", shown)
