"""Upstream's executor of quantum graphs, with warm processes."""

from __future__ import annotations

__all__ = ("Isolation", "WarmGraphExecutor")

from typing import TYPE_CHECKING, Any, Literal

from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError
from lsst.utils.threads import disable_implicit_threading

from ..quantum.keeping import keeping_in_log
from ..quantum.process_log import require_writable_log
from ..switches import contents_wanted, wanted_log_folder
from ..upstream.executors import GraphExecutor
from ..upstream.sharing import has_full_butler
from .child import Settings
from .forking import prepare_fork, undo_preparation
from .scheduling import GraphRun
from .warming import warm_up
from .watching import Watcher

if TYPE_CHECKING:
    import networkx
    from lsst.pipe.base import QuantumGraph
    from lsst.pipe.base.execution_graph_fixup import ExecutionGraphFixup
    from lsst.pipe.base.pipeline_graph import PipelineGraph
    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor
    from lsst.pipe.base.quantum_reports import Report

Isolation = Literal["fork", "process", "none"]


class WarmGraphExecutor(GraphExecutor):
    """An executor of quantum graphs whose quanta need not start a Python.

    It is a `lsst.pipe.base.quantum_graph_executor.QuantumGraphExecutor`, so
    `lsst.pipe.base.separable_pipeline_executor.SeparablePipelineExecutor` and
    whoever else takes a ``graph_executor`` takes it.

    Parameters
    ----------
    quantum_executor : `QuantumExecutor`
        Upstream's executor of single quanta.  Unless ``isolation`` is
        ``"none"`` it must make a butler for each quantum
        (``limited_butler_factory``).
    jobs : `int`, optional
        Most quanta that run at a time.
    isolation : `str`, optional
        ``"fork"``: each quantum runs in a process of its own, forked from this
        one, which has everything imported, read and opened.  A crash, a leak
        or a time-out is that quantum's alone, and its peak memory is its own.
        ``"process"``: a forked process runs many quanta, until one fails in
        it.  ``"none"``: all run here, one after the other, as upstream does
        with one process.
    timeout : `float`, optional
        Seconds that a quantum may take.  Its process, and what that has
        started, is ended then.
    fail_fast : `bool`, optional
        Whether the first failure ends the run.
    retries : `int`, optional
        How often a quantum is tried again whose process was killed, took too
        long or ended with an unusual exit code.  An ordinary exception of a
        task is final.
    quanta_per_process : `int` or `None`, optional
        With ``"process"``, how many quanta a process runs before another one
        takes its place; `None` for any number.
    most_resident : `int` or `None`, optional
        With ``"process"``, resident memory, in bytes, with which a process
        takes no further quantum.
    memory_limit : `int` or `None`, optional
        Most bytes of data (``RLIMIT_DATA``) that a process may have.  What
        goes beyond is a `MemoryError` of the quantum.
    execution_graph_fixup : `ExecutionGraphFixup` or `None`, optional
        What adds order to the graph.
    pdb : `str` or `None`, optional
        Debugger for exceptions, with ``"none"``.
    watcher : `Watcher` or `None`, optional
        Who is told of each quantum as it starts and ends.  With ``"none"``
        nobody is.
    metadata_in_log : `bool`, optional
        Whether the metadata and the log of a quantum that succeeds are kept in
        the provenance log alone, without files.  Those of tasks whose metadata
        or log another task of the graph reads have files all the same, and so
        has whatever cannot be kept there.

    Notes
    -----
    Processes are forked from the one that calls `execute`, which must not have
    other threads: `ForkRefusedError` names those that it has.

    Outputs, metadata, logs, reports, statuses and exit codes are those of
    ``pipetask run-qbb``.  With ``provenance_graph_file`` a provenance graph is
    written with any number of processes.

    The first `KeyboardInterrupt` lets what runs come to its end, the second
    one ends it.
    """

    def __init__(
        self,
        *,
        quantum_executor: QuantumExecutor,
        jobs: int = 1,
        isolation: Isolation = "fork",
        timeout: float = 30 * 24 * 3600.0,
        fail_fast: bool = False,
        retries: int = 0,
        quanta_per_process: int | None = None,
        most_resident: int | None = None,
        memory_limit: int | None = None,
        execution_graph_fixup: ExecutionGraphFixup | None = None,
        pdb: str | None = None,
        watcher: Watcher | None = None,
        metadata_in_log: bool = False,
    ):
        if isolation not in ("fork", "process", "none"):
            raise ValueError(f"Isolation is 'fork', 'process' or 'none', not {isolation!r}.")
        if jobs < 1 or retries < 0 or (quanta_per_process is not None and quanta_per_process < 1):
            raise ValueError(
                "There must be a process, no negative number of retries, and a quantum a process."
            )
        if isolation == "none" and jobs > 1:
            raise ValueError("Without isolation quanta run one after the other: jobs must be 1.")
        super().__init__(
            jobs=jobs,
            timeout=timeout,
            quantum_executor=quantum_executor,
            fail_fast=fail_fast,
            pdb=pdb,
            execution_graph_fixup=execution_graph_fixup,
        )
        self._isolation = isolation
        self._retries = retries
        self._quanta_per_process = 1 if isolation == "fork" else quanta_per_process
        self._most_resident = most_resident
        self._memory_limit = memory_limit
        self._watcher = watcher or Watcher()
        self._metadata_in_log = metadata_in_log

    def execute(
        self, graph: QuantumGraph | PredictedQuantumGraph, *, provenance_graph_file: str | None = None
    ) -> None:
        """Execute a whole graph."""
        types: frozenset[str] = frozenset()
        if self._metadata_in_log:
            if wanted_log_folder() is None or not contents_wanted():
                raise ValueError("metadata_in_log needs a provenance log that keeps contents")
            types = types_for_log(graph.pipeline_graph)
        with keeping_in_log(types):
            super().execute(graph, provenance_graph_file=provenance_graph_file)

    def run_quanta(self, graph: networkx.DiGraph, report: Report, provenance_writer: Any) -> None:
        """Run all quanta of a graph, and report of each."""
        require_writable_log(strict=True)
        if self._isolation == "none":
            self.run_in_this_process(graph, report, provenance_writer)
            return
        if has_full_butler(self._quantum_executor):
            raise MPGraphExecutorError(
                "Processes cannot share the butler of the quantum executor; give it a limited_butler_factory."
            )
        for attributes in graph.nodes.values():
            node = attributes["pipeline_node"]
            if not node.task_class.canMultiprocess:
                raise MPGraphExecutorError(
                    f"Task {node.label!r} does not support multiprocessing; use single process"
                )
        disable_implicit_threading()
        quanta = dict(graph.nodes.items())
        warm_up(self._quantum_executor, quanta)
        # Otherwise processes are forked now and then.
        is_ours = prepare_fork(len(quanta) if self._quanta_per_process == 1 else 0)
        try:
            GraphRun(
                graph,
                Settings(
                    self._quantum_executor,
                    quanta,
                    self._fail_fast,
                    provenance_writer is not None,
                    self._memory_limit,
                    self._most_resident,
                ),
                report,
                provenance_writer,
                jobs=self._jobs,
                most_quanta=self._quanta_per_process,
                timeout=self._timeout,
                retries=self._retries,
                watcher=self._watcher,
            ).execute()
        finally:
            if is_ours:
                undo_preparation()


def types_for_log(pipeline: PipelineGraph) -> frozenset[str]:
    """Return the types of metadata and logs of those tasks of which no other task reads them."""
    found: set[str] = set()
    for task in pipeline.tasks.values():
        names = {one.dataset_type_name for one in (task.metadata_output, task.log_output) if one is not None}
        if not any(pipeline.consumers_of(name) for name in names):
            found |= names
    return frozenset(found)
