"""Facts about the execution of a quantum, from datasets that its butler was handed.

Upstream's executors put the metadata of a task only if it succeeded, and its
log in any case.  The log has in its extra part what provenance needs of an
attempt that failed, and of those before it.  What is made of that here is what
upstream's own provenance graph says of the same files.
"""

from __future__ import annotations

__all__ = (
    "LOG",
    "METADATA",
    "TELLING",
    "AttemptError",
    "Connections",
    "Observed",
    "connections_of",
    "details_of",
)

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from lsst.daf.butler import ButlerMetrics, DatasetRef, DatasetType, Quantum
    from lsst.pipe.base.pipeline_graph import TaskNode

    Execution: TypeAlias = tuple[Any, ...]
    OfType: TypeAlias = tuple[str, str | None, tuple[str, ...], Iterable[DatasetRef]]
    Refs: TypeAlias = tuple[list[OfType], list[OfType], list[dict[Any, Any]]]
    Contents: TypeAlias = tuple[bytes | None, bytes | None]
    Details: TypeAlias = tuple[Execution | None, list[Execution], str | None, Refs | None, Contents]

AttemptError: TypeAlias = BaseException | tuple[str, str]
"""What has ended an attempt, or the name of its class and its message."""

# Names of classes, which are not imported here: `lsst.pipe.base` takes long, and who puts metadata has it.
METADATA = "TaskMetadata"
"""Name of the class of a task's metadata, and of its storage class."""

LOG = "ButlerLogRecords"
"""Name of the class of a quantum's log, and of its storage class."""

TELLING = frozenset((METADATA, LOG))
"""Names of the classes of datasets that tell how an attempt went."""

# Upstream's codes, those of `QuantumAttemptStatus`.
_SUCCESSFUL, _FAILED, _ABORTED_SUCCESS = 1, -1, -2


class Connections(dict[str, dict[str, str]]):
    """Dataset types of a task under each of its connections, by kind."""

    @cached_property
    def json(self) -> str:
        """The same as text."""
        return json.dumps(self, separators=(",", ":"))


_connections: WeakKeyDictionary[TaskNode, Connections] = WeakKeyDictionary()


def connections_of(node: TaskNode) -> Connections:
    """Return the connections of a task of upstream's pipeline graph; those of one node are made once."""
    if (known := _connections.get(node)) is None:
        kinds = {
            "init_inputs": node.init.inputs,
            "init_outputs": node.init.outputs,
            "inputs": node.inputs,
            "prerequisite_inputs": node.prerequisite_inputs,
            "outputs": node.outputs,
        }
        _connections[node] = known = Connections()
        for kind, edges in kinds.items():
            known[kind] = {name: edge.parent_dataset_type_name for name, edge in edges.items()}
        for edge in (node.metadata_output, node.log_output):
            if edge is not None:
                known["outputs"][edge.connection_name] = edge.parent_dataset_type_name
    return known


class Observed:
    """Datasets with facts about the execution that a butler was handed."""

    __slots__ = ("_put", "_written", "metrics", "quantum")

    def __init__(self, quantum: Quantum):
        self.quantum = quantum
        self.metrics: ButlerMetrics | None = None
        self._put: dict[str, Any] = {}
        # By `id`, what was written of datasets that are kept above.
        self._written: dict[int, bytes] = {}

    def note_put(self, obj: Any, ref: DatasetRef, written: bytes | None) -> None:
        """Keep a dataset that tells something, and what was written of it, until the attempt is logged."""
        self._put[ref.datasetType.name] = obj
        if written is not None:
            self._written[id(obj)] = written

    def written(self, obj: Any) -> bytes | None:
        """Return what was written of a dataset, if that is known."""
        return self._written.get(id(obj))

    def find(self, task_label: str | None) -> tuple[Any, Any]:
        """Return the metadata and the log of a task; either may be `None`."""
        if task_label is not None:
            metadata, logs = (self._put.get(f"{task_label}_{kind}") for kind in ("metadata", "log"))
            if metadata is not None or logs is not None:
                return metadata, logs
        found = {type(obj).__name__: obj for obj in self._put.values()}
        return found.get(METADATA), found.get(LOG)


def details_of(
    observed: Observed | None,
    *,
    task_label: str | None,
    failed: bool | None,
    quantum: Quantum | None,
    connections: Mapping[str, Mapping[str, str]] | None,
    metadata: Any,
    logs: Any,
    error: AttemptError | None,
    dataset_types: Mapping[str, DatasetType],
    with_contents: bool = False,
) -> Details | None:
    """Return what a line says of an attempt beyond its provenance; `None` if nothing is known."""
    metrics = None
    if observed is not None:
        quantum, metrics = quantum or observed.quantum, observed.metrics
        if metadata is None and logs is None:
            metadata, logs = observed.find(task_label)
    elif all(one is None for one in (quantum, connections, metadata, logs, error)):
        return None
    contents = _contents(observed, metadata, logs) if with_contents else (None, None)
    extra: Mapping[str, Any] = (logs.extra or {}) if logs is not None else {}
    earlier = [
        _execution(number, _FAILED, one.get("metadata"), one.get("exception"), one)
        for number, one in enumerate(extra.get("previous_attempts", ()))
    ]
    status: int | None
    if metadata is not None:
        # Whether a log was to be written at all, its type among the outputs tells.
        log_is_lost = logs is None and quantum is not None and f"{task_label}_log" in quantum.outputs.names
        status = _ABORTED_SUCCESS if log_is_lost else _SUCCESSFUL
        exception = _error_in(metadata, task_label)
    else:
        status = _FAILED if logs is not None or failed else None
        metadata, exception = extra.get("metadata"), extra.get("exception")
    if exception is None and status == _FAILED and error is not None:
        exception = _described(error)
    return (
        _execution(
            len(earlier),
            status,
            metadata,
            exception,
            extra,
            metrics=metrics,
            is_of_this_process=observed is not None,
        ),
        earlier,
        None if connections is None else _json(connections),
        None if quantum is None else _refs(quantum, dataset_types),
        contents,
    )


def _contents(observed: Observed | None, metadata: Any, logs: Any) -> Contents:
    """Return metadata and log as they were written, or as upstream's formatters would write them."""

    def of(obj: Any, name: str) -> bytes | None:
        written = None if obj is None or observed is None else observed.written(obj)
        if written is None and (write := getattr(obj, name, None)) is not None:
            text: str = write()
            written = text.encode()
        return written

    return of(metadata, "model_dump_json"), of(logs, "to_json_data")


def _execution(
    attempt: int,
    status: int | None,
    metadata: Any,
    exception: Mapping[str, Any] | None,
    extra: Mapping[str, Any],
    *,
    metrics: ButlerMetrics | None = None,
    is_of_this_process: bool = False,
) -> Execution:
    """Return what is known of one attempt, as the core takes it."""
    earlier_quanta = extra.get("previous_process_quanta")
    quantum = _section(metadata, "quantum")
    counted = None
    if metrics is not None:
        counted = metrics.n_get, metrics.n_put, metrics.time_in_get, metrics.time_in_put
    return (
        (
            status,
            None if status is None else attempt,
            os.getpid() if is_of_this_process else None,
            None if earlier_quanta is None else len(earlier_quanta),
        ),
        status == _SUCCESSFUL or status == _ABORTED_SUCCESS,
        platform.node() if is_of_this_process else None,
        None if exception is None else (_text(exception["type_name"]), _text(exception["message"])),
        counted,
        _values(quantum),
        _values(_section(quantum, "butler_metrics")),
        _values(_section(metadata, "job")),
    )


def _section(metadata: Any, name: str) -> Any:
    """Return a section of task metadata, or `None`. Metadata is upstream's object, or its dump."""
    if metadata is None:
        return None
    nested = metadata["metadata"] if type(metadata) is dict else metadata.metadata
    return nested.get(name)


def _values(section: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return scalars and arrays of a part of metadata."""
    if section is None:
        return None
    if type(section) is dict:
        return section["scalars"], section["arrays"]
    return section.scalars, section.arrays


def _error_in(metadata: Any, task_label: str | None) -> dict[str, Any] | None:
    """Return the exception that a task has gone on after with less than all outputs."""
    if (failure := _values(_section(_section(metadata, task_label or ""), "failure"))) is None:
        return None
    scalars, _ = failure
    return {"type_name": scalars["type"], "message": scalars["message"]} if "type" in scalars else None


def _described(error: AttemptError) -> dict[str, Any]:
    """Return type and message of an exception."""
    if isinstance(error, BaseException):
        # Not imported here: without any of `lsst`, no class of it can have been raised.
        introspection: Any = sys.modules.get("lsst.utils.introspection")
        name_of = (
            type(error).__qualname__ if introspection is None else introspection.get_full_type_name(error)
        )
        return {"type_name": name_of, "message": str(error)}
    type_name, message = error
    return {"type_name": type_name, "message": message}


def _text(text: str) -> str:
    r"""Return a text that can be written as UTF-8: what is none becomes ``\udc80``."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _json(connections: Mapping[str, Mapping[str, str]]) -> str:
    """Return connections as JSON text."""
    if isinstance(connections, Connections):
        return connections.json
    return json.dumps({kind: dict(names) for kind, names in connections.items()}, separators=(",", ":"))


def _refs(quantum: Quantum, dataset_types: Mapping[str, DatasetType]) -> Refs:
    """Return, by type: refs that are always named, refs named as overall inputs, and the overall inputs.

    Only overall inputs have records when a quantum begins.  What a graph has written before its quanta ran is
    named nowhere else.
    """
    init_inputs = [(dataset_type, (ref,)) for dataset_type, ref in quantum.initInputs.items()]
    records = (of_datastore.records for of_datastore in (quantum.datastore_records or {}).values())
    return (
        [_of_type(one, refs, dataset_types) for one, refs in (*quantum.outputs.items(), *init_inputs)],
        [_of_type(one, refs, dataset_types) for one, refs in quantum.inputs.items()],
        [of_datastore for of_datastore in records if of_datastore],
    )


# What `_of_type` has found; with the type and the definitions, so that these are not others of their address.
_described_types: dict[tuple[int, int], tuple[DatasetType, Any, tuple[str, str | None, tuple[str, ...]]]] = {}

# More than a pipeline has.
_MOST_TYPES = 4096


def _of_type(
    dataset_type: DatasetType, refs: Iterable[DatasetRef], dataset_types: Mapping[str, DatasetType]
) -> OfType:
    """Return refs with name, storage class and dimensions of their type: of a component, of its parent."""
    key = id(dataset_type), id(dataset_types)
    if (known := _described_types.get(key)) is not None:
        return (*known[2], refs)
    name = dataset_type.name.partition(".")[0]
    registered = dataset_types.get(name, dataset_type)
    storage_class = registered.storageClass_name if registered.name == name else None
    described = name, storage_class, tuple(dataset_type.dimensions.required)
    if len(_described_types) >= _MOST_TYPES:
        _described_types.clear()
    _described_types[key] = dataset_type, dataset_types, described
    return (*described, refs)
