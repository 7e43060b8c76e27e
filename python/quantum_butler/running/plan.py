"""Plan of a run: quanta of a graph without their inputs and outputs.

Quanta have numbers, from 0, in the order in which they start: by task label
and data ID, as in `quantum_butler.execution`.
"""

from __future__ import annotations

__all__ = ("Plan", "read_plan", "reading")

import hashlib
import json
import uuid
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import (
    HeaderModel,
    PredictedQuantumGraph,
    PredictedQuantumGraphComponents,
)
from lsst.resources import ResourcePath

from .. import _core
from ..paths import is_uri, local_path
from .errors import RunError

# Upstream does not look at the version that it reads.
_NEWEST: int = HeaderModel().version


class Plan:
    """The quanta of a graph, and which must be done before which."""

    def __init__(
        self,
        uri: str,
        tasks: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]],
        quanta: Iterable[tuple[str, Sequence[int | str], uuid.UUID]],
        edges: Iterable[tuple[uuid.UUID, uuid.UUID]],
    ):
        self.uri = uri
        """Path or URI of the graph."""
        self.dimensions: dict[str, tuple[str, ...]] = {label: tasks[label][1] for label in sorted(tasks)}
        """Names of the values of the data IDs, by task label."""
        self.implied = {label: tasks[label][2] for label in self.dimensions}
        """Names of the dimensions that these imply, by task label."""
        self.task_classes = {label: tasks[label][0] for label in self.dimensions}
        """Names of the classes of the tasks, by label."""
        found = []
        for label, values, quantum_id in quanta:
            count = len(self.dimensions[label])
            found.append((label, tuple(values[:count]), quantum_id, tuple(values[count:])))
        found.sort(key=lambda quantum: quantum[:2])
        self.labels = [label for label, *_ in found]
        """Label of each quantum's task."""
        self.values = [values for _, values, *_ in found]
        """Data ID of each quantum."""
        self.implied_values = [values for *_, values in found]
        """Values of the dimensions that the data ID of each quantum implies, if the graph has them."""
        self.ids = [quantum_id for _, _, quantum_id, _ in found]
        """Id of each quantum."""
        self.number_of = {quantum_id: number for number, quantum_id in enumerate(self.ids)}
        """Number of each quantum."""
        self._before, self._after = array("I"), array("I")
        for before, after in edges:
            self._before.append(self.number_of[before])
            self._after.append(self.number_of[after])

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """Return what tells this graph from all others."""
        digest = hashlib.blake2b(digest_size=16)
        for quantum_id in self.ids:
            digest.update(quantum_id.bytes)
        return digest.hexdigest()

    def frontier(self) -> _core.Frontier:
        """Return all quanta, of which none is done."""
        return _core.Frontier(len(self.ids), self._before, self._after)

    def direct_needs(self, numbers: set[int]) -> set[int]:
        """Return the quanta that must be done before others, and are not among those."""
        edges = zip(self._before, self._after, strict=True)
        return {before for before, after in edges if after in numbers} - numbers

    def data_id(self, number: int) -> dict[str, int | str]:
        """Return the data ID of a quantum."""
        return dict(zip(self.dimensions[self.labels[number]], self.values[number], strict=True))

    def whole_data_id(self, number: int) -> dict[str, int | str]:
        """Return the data ID of a quantum with the values that it implies, as far as the graph has them."""
        # A graph may have none of them.
        implied = zip(self.implied[self.labels[number]], self.implied_values[number], strict=False)
        return self.data_id(number) | dict(implied)

    def name(self, number: int) -> str:
        """Return what people know a quantum by."""
        values = ", ".join(f"{name}: {value!r}" for name, value in self.data_id(number).items())
        return f"<{self.labels[number]} dataId={{{values}}}>"

    def quantum_ids(self, numbers: Sequence[int]) -> list[uuid.UUID]:
        """Return the ids of quanta."""
        return [self.ids[number] for number in numbers]


def read_plan(graph: str) -> Plan:
    """Read what a plan needs of a graph, in either format of upstream's."""
    with reading(graph):
        return _read_here(graph) or _read_by_upstream(graph)


def _read_here(graph: str) -> Plan | None:
    """Read a local file of the version that upstream writes now; return `None` for all others."""
    if is_uri(graph):
        return None
    try:
        file = _core.PredictedGraph([local_path(graph)])
        if json.loads(file.header(0))["version"] != _NEWEST:
            return None
        known = dict(file.types(0)[0])
        quanta = json.loads(file.member(0, "thin_graph"))["quanta"]
        edges = file.order(0)
    except (OSError, _core.UnreadableGraphError):
        # Upstream says what is wrong.
        return None
    tasks = {}
    for label in quanta:
        task_class, (names, required), _, _ = known[label]
        tasks[label] = task_class, tuple(names[:required]), tuple(names[required:])
    found = (
        (label, quantum["data_coordinate"], uuid.UUID(quantum["quantum_id"]))
        for label, of_task in quanta.items()
        for quantum in of_task
    )
    return Plan(graph, tasks, found, edges)


def _read_by_upstream(graph: str) -> Plan:
    """Read a graph with upstream's reader."""
    uri = ResourcePath(graph, forceDirectory=False)
    if uri.getExtension() == ".qgraph":
        return _plan_of(graph, PredictedQuantumGraphComponents.read_execution_quanta(uri))
    # Tasks are imported where their quanta are run.
    with PredictedQuantumGraph.open(uri, import_mode=TaskImportMode.DO_NOT_IMPORT) as reader:
        if reader.header.version > _NEWEST:
            raise RunError(
                f"{graph} is of version {reader.header.version}, and the installed lsst.pipe.base "
                f"knows versions up to {_NEWEST}"
            )
        reader.read_thin_graph()
        return _plan_of(graph, reader.components)


def _plan_of(graph: str, components: PredictedQuantumGraphComponents) -> Plan:
    """Return the plan of a graph that upstream has read."""
    nodes, thin = components.pipeline_graph.tasks, components.thin_graph
    tasks = {
        label: (
            nodes[label].task_class_name,
            tuple(nodes[label].dimensions.required),
            tuple(nodes[label].dimensions.implied),
        )
        for label in thin.quanta
    }
    found = (
        (label, quantum.data_coordinate, quantum.quantum_id)
        for label, of_task in thin.quanta.items()
        for quantum in of_task
    )
    return Plan(graph, tasks, found, thin.edges)


@contextmanager
def reading(graph: str) -> Iterator[None]:
    """Say which graph cannot be read."""
    try:
        yield
    except RunError:
        raise
    except ImportError as error:
        raise RunError(f"{graph}: a task of the graph cannot be imported: {error}") from error
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        raise _unreadable(graph, error) from error
    except Exception as error:
        # Of a store elsewhere it may be anything.
        if not is_uri(graph):
            raise
        raise _unreadable(graph, error) from error


def _unreadable(graph: str, error: Exception) -> RunError:
    reason = str(error) or type(error).__name__
    return RunError(f"{graph} cannot be read as a graph of quanta that are to be run: {reason}")
