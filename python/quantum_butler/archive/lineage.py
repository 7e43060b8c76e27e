"""What a dataset was made from, or what was made from it."""

from __future__ import annotations

__all__ = ("Edge", "Lineage")

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from .results import Dataset, Quantum


class Edge(NamedTuple):
    """From a dataset to a quantum that read it, or from a quantum to what it wrote."""

    source: uuid.UUID
    target: uuid.UUID


@dataclass(frozen=True)
class Lineage:
    """What a dataset was made from, or what was made from it.

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
        """How many quanta are between the dataset and each other, by id.

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
