"""A quantum of our own, run some times by upstream's executor before processes are forked.

Its task does next to nothing.  What Python, upstream's classes and the butler
work out with their first quanta, each forked process would otherwise work out
for itself, and copy the memory that this changes.
"""

from __future__ import annotations

__all__ = ("rehearse",)

import logging
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import Config, DataCoordinate, DatasetRef, Quantum, QuantumBackedButler
from lsst.pipe.base import PipelineTask, PipelineTaskConfig, PipelineTaskConnections, Struct
from lsst.pipe.base.connectionTypes import Input, Output
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

if TYPE_CHECKING:
    from lsst.daf.butler import DimensionUniverse

# CPython adapts code to what it meets when that has run eight times.
_TIMES = 10

_LABEL = "rehearsed"
_DATASTORE = "lsst.daf.butler.datastores.fileDatastore.FileDatastore"
_STORAGE = "StructuredDataDict"


class _Connections(PipelineTaskConnections, dimensions=()):
    """One dataset in, and one out."""

    found = Input(name="rehearsed_input", doc="What is read.", storageClass=_STORAGE, dimensions=())
    made = Output(name="rehearsed_output", doc="What is written.", storageClass=_STORAGE, dimensions=())


class _Config(PipelineTaskConfig, pipelineConnections=_Connections):
    """No settings."""


class _Rehearsed(PipelineTask):
    """A task that writes what it reads."""

    ConfigClass = _Config

    def run(self, found: Any) -> Struct:
        """Return what is given."""
        return Struct(made=found)


def rehearse(butler_class: type[QuantumBackedButler], universe: DimensionUniverse) -> None:
    """Run quanta of no consequence with a class of butlers: in a folder of their own, which is removed."""
    pipeline = PipelineGraph(universe=universe)
    pipeline.add_task(_LABEL, _Rehearsed)
    pipeline.resolve(registry=None, dimensions=universe, dataset_types={})
    node = pipeline.tasks[_LABEL]
    types = {one.name: one.dataset_type for one in pipeline.dataset_types.values()}
    made = [edge.dataset_type_name for edge in node.iter_all_outputs() if edge.dataset_type_name in types]
    data_id = DataCoordinate.make_empty(universe)
    with tempfile.TemporaryDirectory(prefix="quantum-butler-") as folder, _quiet_handlers():
        config = Config({"root": folder, "datastore": {"cls": _DATASTORE, "root": folder}})

        def make_butler(quantum: Quantum) -> QuantumBackedButler:
            # Not by `initialize`: a butler of a quantum appends to the provenance log of the run.
            return butler_class.from_predicted(
                config=config,
                predicted_inputs=[ref.id for refs in quantum.inputs.values() for ref in refs],
                predicted_outputs=[ref.id for refs in quantum.outputs.values() for ref in refs],
                dimensions=universe,
                datastore_records=quantum.datastore_records,
                dataset_types=types,
            )

        source = DatasetRef(types["rehearsed_input"], data_id, run="source")
        butler = make_butler(_quantum(data_id, outputs=[source]))
        butler.put({"one": 1}, source)
        records = butler.export_predicted_datastore_records([source])
        butler.close()
        executor = SingleQuantumExecutor(
            limited_butler_factory=make_butler, skip_existing=True, clobber_outputs=True
        )
        for time in range(_TIMES):
            outputs = [DatasetRef(types[name], data_id, run=f"run{time}") for name in made]
            quantum = _quantum(data_id, [source], outputs, datastore_records=records)
            executor.execute(node, quantum, quantum_id=uuid.uuid4())


def _quantum(
    data_id: DataCoordinate,
    inputs: Iterable[DatasetRef] = (),
    outputs: Iterable[DatasetRef] = (),
    **more: Any,
) -> Quantum:
    """Make a quantum."""
    read, written = ({ref.datasetType: [ref] for ref in refs} for refs in (inputs, outputs))
    return Quantum(taskClass=_Rehearsed, dataId=data_id, inputs=read, outputs=written, **more)


@contextmanager
def _quiet_handlers() -> Iterator[None]:
    """Have the handlers that there are write nothing meanwhile; records are made, as for other quanta."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = {handler for one in loggers if isinstance(one, logging.Logger) for handler in one.handlers}
    levels = {handler: handler.level for handler in handlers}
    for handler in levels:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)
