"""Results that an archive returns. A lineage is in `lineage`."""

from __future__ import annotations

__all__ = (
    "Change",
    "Consumer",
    "Dataset",
    "DatasetDetails",
    "Difference",
    "Quantum",
    "QuantumDetails",
    "Statistics",
    "TaskStatistics",
    "Use",
)

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
    run : `str` or `None`
        The run that it writes to, if that is known.
    status : `str` or `None`
        How it ended: ``successful``, ``failed``, ``blocked``, ``aborted``, ``log lost``, ``unknown`` or
        ``not seen``.
    """

    quantum_id: uuid.UUID
    task_label: str | None
    data_id: dict[str, Any] | None
    run: str | None = None
    status: str | None = None


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
    dataset_type : `str` or `None`
        Name of its type, if that is known.
    data_id : `dict` or `None`
        Its data ID, if that is known.
    run : `str` or `None`
        The run that it is in, if that is known.
    produced : `bool` or `None`
        Whether a quantum wrote it; `None` if none was to, or nobody has told.
    producer : `uuid.UUID` or `None`
        The quantum that wrote it or was to, if that is known.
    """

    dataset_id: uuid.UUID
    paths: tuple[str, ...] = ()
    storage_class: str | None = None
    size: int | None = None
    dataset_type: str | None = None
    data_id: dict[str, Any] | None = None
    run: str | None = None
    produced: bool | None = None
    producer: uuid.UUID | None = None


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
    begin, end : `datetime.datetime` or `None`
        When the attempt that is kept began and ended, if that is known.
    failed : `bool` or `None`
        Whether it failed, if that is known.
    attempts : `int` or `None`
        How many attempts there were; `None` in archives of earlier releases.
    """

    quantum: Quantum
    uses: list[Use]
    begin: datetime | None = None
    end: datetime | None = None
    failed: bool | None = None
    attempts: int | None = None


@dataclass(frozen=True)
class DatasetDetails:
    """A dataset with the quanta that have to do with it.

    Parameters
    ----------
    dataset : `Dataset`
        The dataset.
    producer : `Quantum` or `None`
        The quantum that wrote it or was to, if that is known.
    consumers : `list` [`Consumer`]
        The quanta that were to read it.
    """

    dataset: Dataset
    producer: Quantum | None
    consumers: list[Consumer]


@dataclass(frozen=True)
class Consumer:
    """A quantum that was to read a dataset.

    Parameters
    ----------
    quantum : `Quantum`
        The quantum.
    roles : `tuple` [`str`, ...]
        Names of the roles that it has the dataset in.
    """

    quantum: Quantum
    roles: tuple[str, ...]


@dataclass(frozen=True)
class TaskStatistics:
    """The quanta of a task, in numbers.

    Parameters
    ----------
    task_label : `str` or `None`
        Label of the task; `None` for quanta without, and for all tasks.
    quanta : `int`
        Number of quanta.
    datasets : `dict` [`str`, `int` or `None`]
        Number of datasets in each role; each counts once, however many quanta
        have it.  `None` for what was available and used, if no log tells.
    bytes : `dict` [`str`, `int` or `None`]
        Bytes of the datasets in each role, once for each quantum that has
        them: what is read and written, as far as the archive has records of
        their sizes.  `None` if there are datasets and it knows no size of
        them, or if nobody knows whether there are any.
    unused_inputs : `int` or `None`
        Number of datasets that some quantum expected and none used; `None` if
        no log tells what was used.
    missing_outputs : `int`
        Number of datasets that some quantum was to write and none wrote.
    """

    task_label: str | None
    quanta: int
    datasets: dict[str, int | None]
    bytes: dict[str, int | None]
    unused_inputs: int | None
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
    """Difference between two archives. It is false if there is none.

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
