"""What the answers of an archive are made of."""

from __future__ import annotations

__all__ = (
    "ROLES",
    "Change",
    "Dataset",
    "Difference",
    "Edge",
    "Lineage",
    "Quantum",
    "QuantumDetails",
    "Statistics",
    "TaskStatistics",
    "Use",
    "role_names",
)

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from .. import _core
    from .archive import Archive

ROLES = ("predicted_input", "available_input", "actual_input", "predicted_output", "actual_output")
"""Names of the roles, in the order of their bits."""


def role_names(roles: int) -> tuple[str, ...]:
    """Return the names of roles that are given as bits."""
    return tuple(name for bit, name in enumerate(ROLES) if roles >> bit & 1)


@dataclass(frozen=True)
class Quantum:
    """A quantum.

    Parameters
    ----------
    quantum_id : `uuid.UUID`
        Its id.
    task_label : `str` or `None`
        Label of its task, if that is known.
    data_id : `dict` or `None`
        Its data ID, if that is known.
    """

    quantum_id: uuid.UUID
    task_label: str | None
    data_id: dict[str, Any] | None


@dataclass(frozen=True)
class Dataset:
    """A dataset, with what the archive has records of.

    Parameters
    ----------
    dataset_id : `uuid.UUID`
        Its id.
    paths : `tuple` [`str`, ...]
        Paths of its files; several if each component has its own.
    storage_class : `str` or `None`
        Storage class of the first of them.
    size : `int` or `None`
        Bytes of all of them, as far as that is known.
    """

    dataset_id: uuid.UUID
    paths: tuple[str, ...] = ()
    storage_class: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Use:
    """A dataset, in the roles that a quantum has it in.

    Parameters
    ----------
    dataset : `Dataset`
        The dataset.
    roles : `tuple` [`str`, ...]
        Names of the roles.
    """

    dataset: Dataset
    roles: tuple[str, ...]


@dataclass(frozen=True)
class QuantumDetails:
    """A quantum with its datasets.

    Parameters
    ----------
    quantum : `Quantum`
        The quantum.
    uses : `list` [`Use`]
        Its datasets, in order of their ids.
    """

    quantum: Quantum
    uses: list[Use]


@dataclass(frozen=True)
class TaskStatistics:
    """The quanta of a task, in numbers.

    Parameters
    ----------
    task_label : `str` or `None`
        Label of the task; `None` for quanta without, and for all tasks.
    quanta : `int`
        Number of quanta.
    datasets : `dict` [`str`, `int`]
        Number of datasets in each role; each counts once, however many quanta
        have it.
    bytes : `dict` [`str`, `int`]
        Bytes of the datasets in each role, once for each quantum that has
        them: what is read and written.
    unused_inputs : `int`
        Number of datasets that some quantum expected and none used.
    missing_outputs : `int`
        Number of datasets that some quantum was to write and none wrote.
    """

    task_label: str | None
    quanta: int
    datasets: dict[str, int]
    bytes: dict[str, int]
    unused_inputs: int
    missing_outputs: int


@dataclass(frozen=True)
class Statistics:
    """The quanta of an archive, in numbers.

    Parameters
    ----------
    tasks : `list` [`TaskStatistics`]
        Each task, in the order in which they first appear.
    total : `TaskStatistics`
        All of them; a dataset of several tasks counts once.
    """

    tasks: list[TaskStatistics]
    total: TaskStatistics


class Edge(NamedTuple):
    """From a dataset to a quantum that read it, or from a quantum to what it wrote."""

    source: uuid.UUID
    target: uuid.UUID


@dataclass(frozen=True)
class Lineage:
    """What a dataset was made from, or what was made from it.

    Parameters
    ----------
    archive : `Archive`
        Archive that was asked.
    dataset : `uuid.UUID`
        Dataset where it begins.
    direction : `str`
        ``up`` for what it was made from, ``down`` for what was made from it.
    actual : `bool`
        Whether it goes by what was really used and written, or by what was
        predicted.
    depth : `int` or `None`
        The most quanta between the dataset and any other.
    closure : `_core.Closure`
        That part of the graph.
    """

    archive: Archive = field(repr=False)
    dataset: uuid.UUID
    direction: Literal["up", "down"]
    actual: bool
    depth: int | None
    closure: _core.Closure = field(repr=False)

    @cached_property
    def datasets(self) -> dict[uuid.UUID, int]:
        """How many quanta are between the dataset and each other, by id.

        The order is that of this distance and then of the ids
        (`dict` [`uuid.UUID`, `int`]).
        """
        return self.closure.datasets()

    @cached_property
    def quanta(self) -> dict[uuid.UUID, int]:
        """The same of each quantum, which counts itself.

        The order is that of the distance and then of the archive
        (`dict` [`uuid.UUID`, `int`]).
        """
        return self.closure.quanta()

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
        return self.archive.checked(self.closure.edges)

    def describe_quanta(self) -> list[Quantum]:
        """Return what the archive knows of the quanta, in their order."""
        return self.archive.describe_quanta(self.closure.quantum_numbers())

    def describe_datasets(self) -> list[Dataset]:
        """Return what the archive knows of the datasets, in their order."""
        return self.archive.describe_datasets(self.closure.dataset_rows())


@dataclass(frozen=True)
class Change:
    """A dataset that the same quantum has in different roles in two archives.

    Parameters
    ----------
    quantum_id, dataset_id : `uuid.UUID`
        The quantum and the dataset.
    left, right : `tuple` [`str`, ...]
        Names of the roles in either archive; empty where the quantum does not
        have the dataset.
    """

    quantum_id: uuid.UUID
    dataset_id: uuid.UUID
    left: tuple[str, ...]
    right: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """What differs between two archives; false if nothing does.

    Parameters
    ----------
    left_quanta, right_quanta : `list` [`uuid.UUID`]
        Quanta that only one of them has.
    left_datasets, right_datasets : `list` [`uuid.UUID`]
        Datasets that only one of them has.
    changes : `list` [`Change`]
        Datasets that quanta of both have in different roles.
    """

    left_quanta: list[uuid.UUID]
    right_quanta: list[uuid.UUID]
    left_datasets: list[uuid.UUID]
    right_datasets: list[uuid.UUID]
    changes: list[Change]

    def __bool__(self) -> bool:
        return any(
            (self.left_quanta, self.right_quanta, self.left_datasets, self.right_datasets, self.changes)
        )
