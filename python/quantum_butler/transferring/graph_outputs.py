"""Predicted outputs of the quanta of a graph, as the repository knows them.

A graph in its present format is a file that single quanta can be read from:
then only those that are asked for are ever held.  A graph of the older format,
or one that is in memory, is there as a whole anyhow.
"""

from __future__ import annotations

__all__ = ("GraphError", "GraphOutputs", "open_graph")

import itertools
import uuid
import zipfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType, DimensionDataAttacher, DimensionGroup
from lsst.pipe.base import QuantumGraph
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph, PredictedQuantumGraphComponents
from lsst.resources import ResourcePath

from ..errors import QuantumButlerError

if TYPE_CHECKING:
    from lsst.daf.butler import Butler, DimensionUniverse
    from lsst.resources import ResourcePathExpression

    Graph: TypeAlias = ResourcePathExpression | PredictedQuantumGraph | QuantumGraph


class GraphError(QuantumButlerError, RuntimeError):
    """Raised if a graph cannot be read."""


class GraphOutputs(ABC):
    """Predicted outputs of the quanta of a graph."""

    def __init__(self, graph: PredictedQuantumGraph | PredictedQuantumGraphComponents):
        pipeline = graph.pipeline_graph
        self.header = graph.header
        self.universe: DimensionUniverse = pipeline.universe
        self.dataset_types: dict[str, DatasetType] = {
            node.name: node.dataset_type for node in pipeline.dataset_types.values()
        }
        packages = pipeline.packages_dataset_type
        self.dataset_types.setdefault(packages.name, packages)

    def __len__(self) -> int:
        return self.header.n_quanta

    @abstractmethod
    def quanta(self) -> Iterable[uuid.UUID]:
        """Return the ids of all quanta."""
        raise NotImplementedError()

    @abstractmethod
    def outputs(self, quanta: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[DatasetRef]]:
        """Return what those quanta that the graph has are to write, as the repository defines its types."""
        raise NotImplementedError()

    @abstractmethod
    def init_outputs(self) -> list[DatasetRef]:
        """Return what is written before the first quantum: configurations, package versions and the like."""
        raise NotImplementedError()

    @abstractmethod
    def _dimension_data(self) -> DimensionDataAttacher | None:
        """Return the dimension records that the graph has."""
        raise NotImplementedError()

    def expanded(self, refs: Sequence[DatasetRef], butler: Butler) -> list[DatasetRef]:
        """Return datasets with what templates of file names may ask of their data IDs."""
        groups: dict[DimensionGroup, list[DatasetRef]] = defaultdict(list)
        for ref in refs:
            groups[ref.datasetType.dimensions].append(ref)
        expanded = {ref.id: ref for ref in groups.pop(self.universe.empty, ())}
        if groups:
            attacher = self._dimension_data() or DimensionDataAttacher(
                dimensions=DimensionGroup.union(*groups, universe=self.universe)
            )
            # A graph that somebody has read in part may lack them.
            with butler.query() as query:
                for dimensions, of_group in groups.items():
                    data_ids = attacher.attach(dimensions, [ref.dataId for ref in of_group], query)
                    for ref, data_id in zip(of_group, data_ids, strict=True):
                        expanded[ref.id] = ref.expanded(data_id)
        return [expanded[ref.id] for ref in refs]

    def _refs(self, models: Mapping[str, Sequence[Any]]) -> list[DatasetRef]:
        """Return refs for what a graph file has, by connection."""
        return [self._ref(model) for model in itertools.chain.from_iterable(models.values())]

    def _ref(self, model: Any) -> DatasetRef:
        dataset_type = self.dataset_types[model.dataset_type_name]
        data_id = DataCoordinate.from_full_values(dataset_type.dimensions, tuple(model.data_coordinate))
        return DatasetRef(dataset_type, data_id, run=model.run, id=model.dataset_id)


class _Components(GraphOutputs):
    """A graph of which everything has been read, or what was asked for."""

    def __init__(self, components: PredictedQuantumGraphComponents):
        super().__init__(components)
        self._components = components

    def quanta(self) -> Iterable[uuid.UUID]:
        return self._components.quantum_datasets

    def outputs(self, quanta: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[DatasetRef]]:
        models = self._components.quantum_datasets
        return {quantum: self._refs(models[quantum].outputs) for quantum in quanta if quantum in models}

    def init_outputs(self) -> list[DatasetRef]:
        refs = (self._refs(model.outputs) for model in self._components.init_quanta.root)
        return list(itertools.chain.from_iterable(refs))

    def _dimension_data(self) -> DimensionDataAttacher | None:
        return self._components.dimension_data


class _File(_Components):
    """A graph file that quanta are read from when they are asked for."""

    def __init__(self, reader: Any):
        super().__init__(reader.components)
        self._reader = reader
        reader.read_init_quanta()

    def quanta(self) -> Iterable[uuid.UUID]:
        init_quanta = {model.quantum_id for model in self._components.init_quanta.root}
        return [quantum for quantum in self._reader.address_reader.read_all() if quantum not in init_quanta]

    def outputs(self, quanta: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[DatasetRef]]:
        self._reader.read_quantum_datasets([quantum for quantum in quanta if self._has(quantum)])
        try:
            return super().outputs(quanta)
        finally:
            self._components.quantum_datasets.clear()

    def _dimension_data(self) -> DimensionDataAttacher | None:
        self._reader.read_dimension_data()
        return super()._dimension_data()

    def _has(self, quantum: uuid.UUID) -> bool:
        try:
            self._reader.address_reader.find(quantum)
        except LookupError:
            return False
        return True


class _InMemory(GraphOutputs):
    """A graph that somebody has read."""

    def __init__(self, graph: PredictedQuantumGraph):
        super().__init__(graph)
        self._graph = graph

    def quanta(self) -> Iterable[uuid.UUID]:
        quanta: Iterable[uuid.UUID] = self._graph.quantum_only_xgraph
        return quanta

    def outputs(self, quanta: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[DatasetRef]]:
        xgraph = self._graph.bipartite_xgraph
        return {
            quantum: [
                self._node_ref(dataset, xgraph.nodes[dataset]) for dataset in xgraph.successors(quantum)
            ]
            for quantum in quanta
            if quantum in xgraph
        }

    def _node_ref(self, dataset: uuid.UUID, node: Mapping[str, Any]) -> DatasetRef:
        dataset_type = self.dataset_types[node["dataset_type_name"]]
        return DatasetRef(dataset_type, node["data_id"], run=node["run"], id=dataset)

    def init_outputs(self) -> list[DatasetRef]:
        labels = ["", *self._graph.pipeline_graph.tasks]
        refs = (self._graph.get_init_outputs(label).values() for label in labels)
        return list(itertools.chain.from_iterable(refs))

    def _dimension_data(self) -> DimensionDataAttacher | None:
        return self._graph.dimension_data


@contextmanager
def open_graph(graph: Graph) -> Iterator[GraphOutputs]:
    """Open a graph, in memory or in a file, to read what its quanta are to write."""
    if isinstance(graph, PredictedQuantumGraph):
        yield _InMemory(graph)
    elif isinstance(graph, QuantumGraph):
        yield _Components(PredictedQuantumGraphComponents.from_old_quantum_graph(graph))
    else:
        try:
            uri = ResourcePath(graph, forceDirectory=False)
        except Exception as error:
            # The library of a store may be missing.
            raise GraphError(f"{graph!r} is no path or URI of a quantum graph: {error}") from error
        if uri.getExtension() == ".qgraph":
            with _reading(uri):
                components = PredictedQuantumGraphComponents.read_execution_quanta(uri)
            yield _Components(components)
        else:
            with ExitStack() as file:
                with _reading(uri):
                    # The tasks are imported, because storage classes may come with them.
                    outputs = _File(file.enter_context(PredictedQuantumGraph.open(uri)))
                yield outputs


@contextmanager
def _reading(uri: ResourcePath) -> Iterator[None]:
    """Say which file cannot be read."""
    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile) as error:
        raise GraphError(f"{uri} cannot be read as a quantum graph: {error}") from error
    except Exception as error:
        # Of a store elsewhere it may be anything.
        if uri.isLocal:
            raise
        raise GraphError(f"{uri} cannot be read as a quantum graph: {error}") from error
