"""Results that graphs return."""

from __future__ import annotations

__all__ = (
    "Attempt",
    "DatasetType",
    "ExceptionInfo",
    "GraphDataset",
    "GraphQuantum",
    "InitQuantum",
    "PlannedDataset",
    "PlannedQuantum",
    "QuantaTables",
    "ResourceUsage",
    "Task",
)

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .states import Caveats, QuantumStatus

if TYPE_CHECKING:
    import pyarrow

DataId = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """Exception of a failed attempt, or of a partial success.

    Parameters
    ----------
    type_name : `str`
        Full name of the exception's type.
    message : `str`
        Its message.
    metadata : `dict`
        What it says besides.
    """

    type_name: str
    message: str
    metadata: dict[str, float | int | str | bool | None]


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """Resources that an attempt used.

    Parameters
    ----------
    memory : `float`
        Largest memory of its process, in bytes.
    start : `datetime.datetime`
        When its preparation began.
    prep_time : `float`
        Seconds of preparation.
    init_time : `float`
        Seconds in which the task was made.
    run_time : `float`
        Seconds in which it ran.
    run_time_cpu : `float`
        Seconds of the processor in which it ran.
    """

    memory: float
    start: datetime.datetime
    prep_time: float
    init_time: float
    run_time: float
    run_time_cpu: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a quantum.

    Parameters
    ----------
    attempt : `int`
        Its number; the first one is 0.
    status : `QuantumStatus`
        How it ended.
    caveats : `Caveats` or `None`
        What is to be said of a success.
    exception : `ExceptionInfo` or `None`
        What it failed with.
    resource_usage : `ResourceUsage` or `None`
        What it took.
    previous_process_quanta : `tuple` [`uuid.UUID`, ...]
        Quanta that its process had run before.
    """

    attempt: int
    status: QuantumStatus
    caveats: Caveats | None
    exception: ExceptionInfo | None
    resource_usage: ResourceUsage | None
    previous_process_quanta: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class GraphQuantum:
    """Quantum of a provenance graph.

    Parameters
    ----------
    quantum_id : `uuid.UUID`
        Its id.
    task_label : `str`
        Label of its task.
    data_id : `dict`
        Its data ID.
    run : `str`
        The run that its outputs are in.
    inputs : `dict` [`str`, `list` [`uuid.UUID`]]
        What it was to read, by connection.
    outputs : `dict` [`str`, `list` [`uuid.UUID`]]
        What it was to write, by connection.
    attempts : `tuple` [`Attempt`, ...]
        All tries, the last one at the end; none if it was blocked.
    source : `int`
        Number of the file that tells of it; the first one if there are several.
    """

    quantum_id: uuid.UUID
    task_label: str
    data_id: DataId
    run: str
    inputs: dict[str, list[uuid.UUID]]
    outputs: dict[str, list[uuid.UUID]]
    attempts: tuple[Attempt, ...]
    source: int

    @property
    def status(self) -> QuantumStatus:
        """Status of the last attempt (`QuantumStatus`)."""
        return self.attempts[-1].status if self.attempts else QuantumStatus.BLOCKED


@dataclass(frozen=True, slots=True)
class GraphDataset:
    """Dataset of a provenance graph.

    Parameters
    ----------
    dataset_id : `uuid.UUID`
        Its id.
    dataset_type : `str`
        Its type.
    data_id : `dict`
        Its data ID.
    run : `str`
        The run that it is in.
    produced : `bool`
        Whether it was written, or was there before.
    producer : `uuid.UUID` or `None`
        The quantum that was to write it; none for an overall input.
    consumers : `list` [`uuid.UUID`]
        Quanta that were to read it.
    source : `int`
        Number of the file that tells of it; the first one if there are several.
    """

    dataset_id: uuid.UUID
    dataset_type: str
    data_id: DataId
    run: str
    produced: bool
    producer: uuid.UUID | None
    consumers: list[uuid.UUID]
    source: int


@dataclass(frozen=True, slots=True)
class InitQuantum:
    """Init-inputs and init-outputs of a task.

    Parameters
    ----------
    quantum_id : `uuid.UUID`
        Its id.
    task_label : `str`
        Label of the task.
    inputs : `dict` [`str`, `uuid.UUID`]
        What it reads, by connection.
    outputs : `dict` [`str`, `uuid.UUID`]
        What it writes, by connection.
    source : `int`
        Number of the file that tells of it.
    """

    quantum_id: uuid.UUID
    task_label: str
    inputs: dict[str, uuid.UUID]
    outputs: dict[str, uuid.UUID]
    source: int


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """A dataset as it is planned.

    Parameters
    ----------
    dataset_id : `uuid.UUID`
        Its id.
    dataset_type : `str`
        Its type.
    data_id : `dict`
        Its data ID.
    run : `str`
        The run that it is or will be in.
    """

    dataset_id: uuid.UUID
    dataset_type: str
    data_id: DataId
    run: str


@dataclass(frozen=True, slots=True)
class PlannedQuantum:
    """A quantum as it is planned.

    Parameters
    ----------
    quantum_id : `uuid.UUID`
        Its id.
    task_label : `str`
        Label of its task; empty for what the graph itself writes.
    data_id : `dict`
        Its data ID.
    run : `str`
        The run that its outputs are in.
    inputs : `dict` [`str`, `list` [`PlannedDataset`]]
        What it is to read, by connection.
    outputs : `dict` [`str`, `list` [`PlannedDataset`]]
        What it is to write, by connection.
    source : `int`
        Number of the file that tells of it.
    """

    quantum_id: uuid.UUID
    task_label: str
    data_id: DataId
    run: str
    inputs: dict[str, list[PlannedDataset]]
    outputs: dict[str, list[PlannedDataset]]
    source: int


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a graph's pipeline.

    Parameters
    ----------
    task_class : `str`
        Full name of its class.
    dimensions : `tuple` [`str`, ...]
        What data IDs of its quanta have values of: the required ones, then those that they imply.
    required : `tuple` [`str`, ...]
        The required ones.
    inputs : `~collections.abc.Mapping` [`str`, `str`]
        Dataset types that it reads, by connection.
    outputs : `~collections.abc.Mapping` [`str`, `str`]
        Dataset types that it writes, by connection; ``_metadata`` and ``_log`` are among them.
    """

    task_class: str
    dimensions: tuple[str, ...]
    required: tuple[str, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DatasetType:
    """A dataset type of a graph's pipeline.

    Parameters
    ----------
    storage_class : `str`
        Its storage class in the repository.
    dimensions : `tuple` [`str`, ...]
        What its data IDs have values of: the required ones, then those that they imply.
    required : `tuple` [`str`, ...]
        The required ones.
    """

    storage_class: str
    dimensions: tuple[str, ...]
    required: tuple[str, ...]


class QuantaTables(NamedTuple):
    """Tables of some quanta of a provenance graph.

    Parameters
    ----------
    quanta : `pyarrow.Table`
        One row for each quantum: ``quantum_id``, ``task_label``, ``run``, ``data_id`` (a struct of all
        dimensions in the graph), what the last attempt tells (``status``, ``caveats``, ``exception_type``,
        ``exception_message``, ``exception_metadata`` as JSON, ``memory``, ``start``, ``prep_time``,
        ``init_time``, ``run_time``, ``run_time_cpu``), the number of ``attempts``, and that of the file
        (``source``).
    attempts : `pyarrow.Table`
        One row for each attempt, in the order of the quanta: ``quantum_id``, ``attempt``, what it tells (as
        above), and ``previous_process_quanta``.
    edges : `pyarrow.Table`
        One row for each dataset that a quantum was to read or write, in the order of the quanta:
        ``quantum_id``, ``dataset_id``, ``connection`` and ``is_input``.
    """

    quanta: pyarrow.Table
    attempts: pyarrow.Table
    edges: pyarrow.Table


def make_attempt(told: tuple[Any, ...]) -> Attempt:
    """Return an attempt as the core tells of it."""
    attempt, status, caveats, exception, usage, previous = told
    return Attempt(
        attempt,
        QuantumStatus(status),
        None if caveats is None else Caveats(caveats),
        None if exception is None else ExceptionInfo(*exception),
        None if usage is None else ResourceUsage(usage[0], _time(usage[1]), *usage[2:]),
        tuple(previous),
    )


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
