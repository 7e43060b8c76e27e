"""Replaces upstream's executor of quantum graphs in commands that know only upstream's.

Importing this module imports next to nothing besides upstream's executor,
since most commands run their quanta in one process.
"""

from __future__ import annotations

__all__ = ("StandInGraphExecutor", "quanta_with_full_butler")

import multiprocessing
from typing import TYPE_CHECKING, Any, Literal

from lsst.pipe.base.mp_graph_executor import MPGraphExecutor

from ..upstream.sharing import has_full_butler

if TYPE_CHECKING:
    from lsst.pipe.base import QuantumGraph
    from lsst.pipe.base.execution_graph_fixup import ExecutionGraphFixup
    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor


quanta_with_full_butler = 0
"""Quanta that this process has had executed with a butler that they share, and that nobody logs (`int`)."""


class StandInGraphExecutor(MPGraphExecutor):
    """Upstream's executor, which has quanta run in warm processes if there are to be several.

    With one process it is upstream's.  So it is with a start method that
    somebody has chosen.  With a butler that all quanta share, as ``pipetask
    run`` has, upstream starts processes that have its modules imported.
    """

    def __init__(
        self,
        *,
        num_proc: int,
        timeout: float,
        quantum_executor: QuantumExecutor,
        start_method: Literal["spawn", "forkserver"] | None = None,
        fail_fast: bool = False,
        pdb: str | None = None,
        execution_graph_fixup: ExecutionGraphFixup | None = None,
    ):
        super().__init__(
            num_proc=num_proc,
            timeout=timeout,
            quantum_executor=quantum_executor,
            start_method=start_method,
            fail_fast=fail_fast,
            pdb=pdb,
            execution_graph_fixup=execution_graph_fixup,
        )
        self._is_free_to_choose = num_proc > 1 and start_method is None
        self._arguments: dict[str, Any] = {
            "jobs": num_proc,
            "timeout": timeout,
            "quantum_executor": quantum_executor,
            "fail_fast": fail_fast,
            "pdb": pdb,
            "execution_graph_fixup": execution_graph_fixup,
        }

    def execute(
        self, graph: QuantumGraph | PredictedQuantumGraph, *, provenance_graph_file: str | None = None
    ) -> None:
        """Execute a whole graph."""
        global quanta_with_full_butler
        if is_full := has_full_butler(self._arguments["quantum_executor"]):
            quanta_with_full_butler += len(graph)
        if not self._is_free_to_choose:
            super().execute(graph, provenance_graph_file=provenance_graph_file)
            return
        # Not imported where one process does it all.
        from ..execution import WarmGraphExecutor

        if is_full:
            self._start_method = "forkserver"
            multiprocessing.set_forkserver_preload(["__main__", MPGraphExecutor.__module__])
            super().execute(graph, provenance_graph_file=provenance_graph_file)
            return
        executor = WarmGraphExecutor(**self._arguments)
        try:
            executor.execute(graph, provenance_graph_file=provenance_graph_file)
        finally:
            self._report = executor._report
