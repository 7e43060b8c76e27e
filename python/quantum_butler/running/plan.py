"""What is known of the quanta of a graph without what they read and write.

Quanta have numbers, from 0, in the order in which they start: by task label
and data ID, as in `quantum_butler.execution`.
"""

from __future__ import annotations

__all__ = ("Plan", "read_plan", "reading")

import hashlib
import uuid
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import (
    HeaderModel,
    PredictedQuantumGraph,
    PredictedQuantumGraphComponents,
)
from lsst.resources import ResourcePath

from .. import _core
from .errors import RunError

# Upstream does not look at the version that it reads.
_NEWEST: int = HeaderModel().version


class Plan:
    """The quanta of a graph, and which must be done before which."""

    def __init__(self, uri: str, components: PredictedQuantumGraphComponents):
        self.uri = uri
        """Path or URI of the graph."""
        self.header = components.header
        """What the graph says of itself."""
        tasks = components.pipeline_graph.tasks
        self.dimensions: dict[str, tuple[str, ...]] = {
            label: tuple(tasks[label].dimensions.required) for label in sorted(components.thin_graph.quanta)
        }
        """Names of the values of the data IDs, by task label."""
        self.task_classes = {label: tasks[label].task_class_name for label in self.dimensions}
        """Names of the classes of the tasks, by label."""
        found = [
            (label, tuple(quantum.data_coordinate[: len(names)]), quantum.quantum_id)
            for label, names in self.dimensions.items()
            for quantum in components.thin_graph.quanta[label]
        ]
        found.sort(key=lambda quantum: quantum[:2])
        self.labels = [label for label, _, _ in found]
        """Label of each quantum's task."""
        self.values = [values for _, values, _ in found]
        """Data ID of each quantum."""
        self.ids = [quantum_id for _, _, quantum_id in found]
        """Id of each quantum."""
        self.number_of = {quantum_id: number for number, quantum_id in enumerate(self.ids)}
        """Number of each quantum."""
        self._before, self._after = array("I"), array("I")
        for before, after in components.thin_graph.edges:
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
        uri = ResourcePath(graph, forceDirectory=False)
        if uri.getExtension() == ".qgraph":
            return Plan(graph, PredictedQuantumGraphComponents.read_execution_quanta(uri))
        # Tasks are imported where their quanta are run.
        with PredictedQuantumGraph.open(uri, import_mode=TaskImportMode.DO_NOT_IMPORT) as reader:
            if reader.header.version > _NEWEST:
                raise RunError(
                    f"{graph} is of version {reader.header.version}, and the installed lsst.pipe.base "
                    f"knows versions up to {_NEWEST}"
                )
            reader.read_thin_graph()
            return Plan(graph, reader.components)


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
        reason = str(error) or type(error).__name__
        raise RunError(f"{graph} cannot be read as a graph of quanta that are to be run: {reason}") from error
