"""Quanta that are run on this machine."""

from __future__ import annotations

__all__ = ("execute", "run_here")

import contextlib
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError
from lsst.pipe.base.quantum_graph_executor import QuantumExecutor
from lsst.pipe.base.quantum_reports import QuantumReport

from ..execution import ForkRefusedError, WarmGraphExecutor, Watcher
from ..switches import set_log_failure, set_log_folder
from .errors import RunError
from .unnoted import settle_unnoted

if TYPE_CHECKING:
    from lsst.daf.butler import Quantum
    from lsst.daf.butler.logging import ButlerLogRecords
    from lsst.pipe.base.pipeline_graph import TaskNode
    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutionResult

    from .notes import Notes
    from .options import RunOptions
    from .prepared import Prepared

# Seconds, as in upstream's commands.
_LONGEST = 30 * 24 * 3600.0


def run_here(
    options: RunOptions,
    prepared: Prepared,
    ids: Collection[uuid.UUID],
    unnoted: Collection[uuid.UUID],
    notes: Notes,
) -> None:
    """Run quanta in warm processes, and note what becomes of them."""
    graph = prepared.graph(ids)
    executor: QuantumExecutor = prepared.executor(graph)
    quanta = prepared.quanta(ids)
    settle_unnoted({quantum_id: quanta[quantum_id] for quantum_id in unnoted}, executor, options.log_folders)
    if options.isolation == "none":
        executor = _Noting(executor, notes)
    if prepared.lacks_tasks:
        # A task that is not there now may want to read them later.
        options = replace(options, metadata_in_log=False)
    execute(options, graph, executor, notes)


def execute(
    options: RunOptions, graph: PredictedQuantumGraph, executor: QuantumExecutor, watcher: Watcher
) -> None:
    """Run the quanta of a graph in warm processes, as the options say."""
    runner = WarmGraphExecutor(
        quantum_executor=executor,
        jobs=options.jobs,
        isolation=options.isolation,
        timeout=_LONGEST if options.timeout is None else options.timeout,
        fail_fast=options.fail_fast,
        retries=options.retries,
        memory_limit=options.memory_limit,
        watcher=watcher,
        metadata_in_log=options.metadata_in_log,
    )
    try:
        # What has failed has been noted.
        with contextlib.suppress(MPGraphExecutorError), _logging_to(options):
            runner.execute(graph)
    except ForkRefusedError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"no process can be started for quanta: {error}") from error


@contextmanager
def _logging_to(options: RunOptions) -> Iterator[None]:
    """Have the provenance of quanta logged."""
    if options.logs is None:
        yield
        return
    set_log_folder(options.logs, contents=options.contents or options.metadata_in_log)
    set_log_failure(options.log_failure)
    try:
        yield
    finally:
        set_log_folder(None)
        set_log_failure(None)


class _Noting(QuantumExecutor):
    """An executor of single quanta in this process that has each of them noted."""

    def __init__(self, executor: QuantumExecutor, notes: Notes):
        self._executor = executor
        self._notes = notes

    def execute(
        self,
        task_node: TaskNode,
        /,
        quantum: Quantum,
        quantum_id: uuid.UUID | None = None,
        *,
        log_records: ButlerLogRecords | None = None,
    ) -> QuantumExecutionResult:
        """Run a quantum, and note what becomes of it."""
        assert quantum_id is not None, "graphs know the ids of their quanta"
        if self._notes.wants_end:
            raise KeyboardInterrupt
        self._notes.starts(quantum_id)
        known: dict[str, Any] = {
            "quantumId": quantum_id,
            "dataId": quantum.dataId,
            "taskLabel": task_node.label,
        }
        try:
            result = self._executor.execute(
                task_node, quantum, quantum_id=quantum_id, log_records=log_records
            )
        except Exception as error:
            self._notes.ended(quantum_id, QuantumReport.from_exception(exception=error, **known))
            raise
        self._notes.ended(quantum_id, result.report or QuantumReport(**known))
        return result
