"""Objects that are needed to run quanta: the graph, and upstream's executor of single quanta."""

from __future__ import annotations

__all__ = ("GraphFile", "Prepared")

import atexit
import itertools
import shutil
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from lsst.daf.butler.datastore.cache_manager import DatastoreCacheManager
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor
from lsst.utils import doImportType

from ..butler.factory import QuantumBackedButlerFactory
from ..upstream.executors import make_butler
from ..upstream.graphs import read_without, summarize
from .errors import RunError
from .kept import read_kept, whole_ones
from .plan import Plan, reading

if TYPE_CHECKING:
    from lsst.pipe.base.graph import QgraphSummary
    from lsst.pipe.base.pipeline_graph import PipelineGraph

    from .options import RunOptions

# How many quanta of a task are looked at before a graph is said not to belong to the repository.
_MOST_EXAMPLES = 3


class Prepared:
    """A graph that is read as far as it is asked for, and what runs its quanta."""

    def __init__(self, options: RunOptions, plan: Plan):
        self._repository = options.repository
        self._uri = options.graph
        self._size = len(plan)
        # One cache of files from object stores for all processes, as in upstream's commands.
        defined, folder = DatastoreCacheManager.set_fallback_cache_directory_if_unset()
        if defined:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._graph: PredictedQuantumGraph | None = None
        self._without: Mapping[str, str] = {}
        self._ids: frozenset[uuid.UUID] = frozenset()

    def import_tasks(self, plan: Plan) -> Mapping[str, str]:
        """Import all tasks. Return the errors of those that cannot be imported, by label."""
        for label, name in plan.task_classes.items():
            try:
                doImportType(name)
            except Exception as error:
                # A module may raise anything.
                self._without = {**self._without, label: f"{type(error).__name__}: {error}"}
        return self._without

    @property
    def lacks_tasks(self) -> bool:
        """Return whether the graph has tasks that cannot be imported."""
        return bool(self._without)

    def graph(self, ids: Collection[uuid.UUID]) -> PredictedQuantumGraph:
        """Return a graph of some quanta, ready to be executed."""
        if self._graph is None or self._ids != frozenset(ids):
            everything = len(ids) == self._size
            begin = time.monotonic()
            with reading(self._uri):
                if self._without:
                    self._graph = read_without(self._uri, self._without.keys(), ids)
                else:
                    self._graph = PredictedQuantumGraph.read_execution_quanta(
                        self._uri, quantum_ids=None if everything else ids
                    )
                self._graph.build_execution_quanta()
            self._ids = frozenset(ids)
            self._read_time = time.monotonic() - begin
        return self._graph

    def quanta(self, ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Mapping[str, Any]]:
        """Return upstream's attributes of some quanta."""
        return dict(self.graph(ids).quantum_only_xgraph.nodes.items())

    def executor(self, graph: PredictedQuantumGraph) -> SingleQuantumExecutor:
        """Return upstream's executor of single quanta, as ``pipetask run-qbb`` has it."""
        return _make_executor(
            self._repository,
            graph.pipeline_graph,
            {"qg_read_time": self._read_time, "qg_size": len(graph)},
        )

    def find_kept(self, ids: Collection[uuid.UUID], folders: Sequence[str]) -> set[uuid.UUID]:
        """Return those quanta that are done, and whose metadata is in provenance logs alone."""
        if not (told := read_kept(ids, folders)):
            return set()
        return whole_ones(told, self.quanta(told), self.executor(self.graph(told)))

    def find_done(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those quanta whose metadata is there."""
        graph = self.graph(ids)
        executor = self.executor(graph)
        done = set()
        for quantum_id, attributes in self.quanta(ids).items():
            quantum = attributes["quantum"]
            name = attributes["pipeline_node"].metadata_output.dataset_type_name
            with make_butler(executor, quantum) as butler:
                if butler.stored(quantum.outputs[name][0]):
                    done.add(quantum_id)
        return done

    def write_init_outputs(self, ids: Collection[uuid.UUID]) -> None:
        """Write what upstream's ``pre-exec-init-qbb`` writes, by upstream's methods."""
        graph = self.graph(ids)
        try:
            with graph.make_init_qbb(self._repository) as butler:
                graph.init_output_run(butler)
        except Exception as error:
            # Tasks are made for it, and may raise anything.
            raise RunError(
                f"{self._repository}: what is written before the first quantum could not be written: "
                f"{type(error).__name__}: {error}"
            ) from error

    def require_inputs(self, plan: Plan, ids: Collection[uuid.UUID]) -> None:
        """Raise `RunError` if the quanta that come first find nothing of what they are to read."""
        quanta = self.quanta(ids)
        executor = self.executor(self.graph(ids))
        produced = {
            ref.id
            for attributes in quanta.values()
            for ref in itertools.chain.from_iterable(attributes["quantum"].outputs.values())
        }
        examples: dict[str, int] = {}
        for quantum_id, attributes in quanta.items():
            label, quantum = attributes["task_label"], attributes["quantum"]
            refs = [ref for refs in quantum.inputs.values() for ref in refs if ref.id not in produced]
            if not refs or len(refs) < sum(map(len, quantum.inputs.values())):
                continue
            if examples.setdefault(label, 0) >= _MOST_EXAMPLES:
                continue
            examples[label] += 1
            with make_butler(executor, quantum) as butler:
                # The butler is not asked, lest it note that, and log it.
                if any(butler._datastore.mexists(refs).values()):
                    return
            missing = (quantum_id, quantum)
        if examples:
            quantum_id, quantum = missing
            name = plan.name(plan.number_of[quantum_id])
            if not quantum.datastore_records:
                raise RunError(
                    f"{self._uri} has no datastore records, and {self._repository} has none of the inputs of "
                    f"{name} where it would expect them: build the graph with --qgraph-datastore-records"
                )
            raise RunError(
                f"{self._repository} has none of the inputs of {name}: {self._uri} was made for another "
                "repository, or they have been removed"
            )

    def summary(self, ids: Collection[uuid.UUID]) -> QgraphSummary:
        """Return upstream's summary of some quanta."""
        return summarize(self.graph(ids))


class GraphFile:
    """An open graph, of which quanta are read and run batch by batch."""

    def __init__(self, options: RunOptions):
        self._options = options
        self._stack = ExitStack()
        begin = time.monotonic()
        with reading(options.graph):
            self._reader = self._stack.enter_context(PredictedQuantumGraph.open(options.graph))
            self._reader.read_init_quanta()
            self._reader.read_dimension_data()
        header = self._reader.components.header
        self._metadata = {"qg_read_time": time.monotonic() - begin, "qg_size": header.n_quanta}
        self._executor: SingleQuantumExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def read(self, ids: Collection[uuid.UUID]) -> PredictedQuantumGraph:
        """Return a graph of some quanta, ready to be executed."""
        components = self._reader.components
        with reading(self._options.graph):
            components.quantum_datasets.clear()
            self._reader.read_quantum_datasets(ids)
            graph = components.assemble()
            graph.build_execution_quanta()
        return graph

    def executor(self, graph: PredictedQuantumGraph) -> SingleQuantumExecutor:
        """Return upstream's executor of single quanta, one for all batches."""
        if self._executor is None:
            repository = self._options.repository
            self._executor = _make_executor(repository, graph.pipeline_graph, self._metadata)
        return self._executor


def _make_executor(
    repository: str, pipeline: PipelineGraph, job_metadata: Mapping[str, int | str | float]
) -> SingleQuantumExecutor:
    """Make upstream's executor of single quanta, as ``pipetask run-qbb`` does, with our butlers."""
    types = {node.name: node.dataset_type for node in pipeline.dataset_types.values()}
    try:
        make_butler = QuantumBackedButlerFactory(repository, pipeline.universe, types)
    except Exception as error:
        # Of a store elsewhere it may be anything.
        raise RunError(f"{repository} cannot be opened as a repository: {error}") from error
    return SingleQuantumExecutor(
        limited_butler_factory=make_butler,
        skip_existing=True,
        clobber_outputs=True,
        job_metadata=job_metadata,
    )
