"""Upstream's quantum graphs, as far as we rely on their insides."""

from __future__ import annotations

__all__ = ("read_without", "summarize")

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

if TYPE_CHECKING:
    from lsst.pipe.base.graph import QgraphSummary
    from lsst.resources import ResourcePathExpression


def read_without(
    uri: ResourcePathExpression, tasks: Collection[str], quanta: Collection[uuid.UUID]
) -> PredictedQuantumGraph:
    """Read a graph of some quanta without importing some of its tasks, of which there are no quanta then."""
    with PredictedQuantumGraph.open(uri, import_mode=TaskImportMode.DO_NOT_IMPORT) as reader:
        pipeline = reader.components.pipeline_graph
        types = {node.name: node for node in pipeline.dataset_types.values()}
        pipeline.remove_tasks(tasks)
        # Types of datasets may be those of the tasks' modules.
        pipeline._import_and_configure(TaskImportMode.ASSUME_CONSISTENT_EDGES)
        dataset_types = {
            name: node.dataset_type for name, node in types.items() if name in pipeline.dataset_types
        }
        pipeline.resolve(dimensions=pipeline.universe, dataset_types=dataset_types)
        reader.read_execution_quanta(quanta)
        init_quanta = reader.components.init_quanta
        init_quanta.root = [quantum for quantum in init_quanta.root if quantum.task_label not in tasks]
        return reader.finish()


def summarize(graph: PredictedQuantumGraph) -> QgraphSummary:
    """Return what upstream's executors put into their reports on a graph."""
    return graph._make_summary()
