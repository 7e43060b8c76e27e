"""Upstream's executors of graphs and of single quanta, as far as ours rely on their insides."""

from __future__ import annotations

__all__ = (
    "FINAL_EXIT_CODES",
    "GraphExecutor",
    "forget_connections",
    "forget_earlier_quanta",
    "make_butler",
    "write_provenance",
)

import contextlib
import sys
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lsst.pipe.base import InvalidQuantumError, RepeatableQuantumError, mp_graph_executor
from lsst.pipe.base.quantum_graph import ProvenanceQuantumScanModels

if TYPE_CHECKING:
    import networkx
    from lsst.daf.butler import LimitedButler, Quantum
    from lsst.daf.butler.logging import ButlerLogRecords
    from lsst.pipe.base import TaskMetadata
    from lsst.pipe.base.mp_graph_executor import MPGraphExecutor
    from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphWriter
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor
    from lsst.pipe.base.quantum_reports import Report

if not TYPE_CHECKING:
    # The name in upstream's module may have come to mean ours.
    _classes = mp_graph_executor.MPGraphExecutor.__mro__
    MPGraphExecutor = next(one for one in _classes if one.__module__ == mp_graph_executor.__name__)

FINAL_EXIT_CODES = frozenset((1, 2, RepeatableQuantumError.EXIT_CODE, InvalidQuantumError.EXIT_CODE))
"""Exit codes after which another attempt is useless: those of ``retryUnlessExit`` in the defaults of
``lsst.ctrl.bps``, and those of upstream's two errors that time does not mend.
"""

# Clients of object stores that a process keeps, by module and function.  Upstream's HTTP sessions know
# their process.
_CONNECTIONS = (("lsst.resources.s3utils", "_get_s3_client"),)


class GraphExecutor(MPGraphExecutor):
    """Upstream's executor of graphs, with another way to run the quanta."""

    def __init__(self, *, jobs: int, **kwargs: Any):
        # Upstream hands its writer of provenance only to its way of running quanta in one process.
        super().__init__(num_proc=1, **kwargs)
        self._jobs = jobs

    def _execute_quanta_in_process(
        self, xgraph: networkx.DiGraph, report: Report, provenance_writer: Any = None
    ) -> None:
        # Docstring inherited.
        self.run_quanta(xgraph, report, provenance_writer)

    def run_in_this_process(self, graph: networkx.DiGraph, report: Report, provenance_writer: Any) -> None:
        """Run the quanta as upstream does in one process."""
        super()._execute_quanta_in_process(graph, report, provenance_writer)

    @abstractmethod
    def run_quanta(self, graph: networkx.DiGraph, report: Report, provenance_writer: Any) -> None:
        """Run all quanta of a graph, and report of each."""


@contextlib.contextmanager
def make_butler(executor: QuantumExecutor, quantum: Quantum) -> Iterator[LimitedButler]:
    """Make the butler that an executor of single quanta would make for a quantum."""
    make: Callable[[Quantum], LimitedButler] = getattr(executor, "_limited_butler_factory")  # noqa: B009
    butler = make(quantum)
    try:
        yield butler
    finally:
        butler.close()


def write_provenance(
    writer: ProvenanceQuantumGraphWriter,
    quantum_id: uuid.UUID,
    metadata: TaskMetadata | None,
    logs: ButlerLogRecords | None,
    find_existence: Callable[[], Mapping[uuid.UUID, bool]],
) -> None:
    """Hand to upstream's writer what a quantum has left.

    It goes as in the writer's own method, which fails where neither metadata nor log tells of an output: the
    process was killed, or the quantum failed before it began to log.  Such outputs are looked for.
    """
    predicted = writer._predicted_quanta[quantum_id]
    models = ProvenanceQuantumScanModels.from_metadata_and_logs(predicted, metadata, logs, incomplete=False)
    outputs = {output.dataset_id for outputs in predicted.outputs.values() for output in outputs}
    if unknown := outputs - models.output_existence.keys():
        exists = find_existence()
        models.output_existence.update({dataset_id: exists[dataset_id] for dataset_id in unknown})
    writer.write_scan_data(models.to_scan_data(predicted, compressor=writer.compressor))


def forget_earlier_quanta(executor: QuantumExecutor, most: int) -> None:
    """Let an executor of single quanta remember no more than the last few quanta of its process."""
    earlier: list[uuid.UUID] | None = getattr(executor, "_previous_process_quanta", None)
    if earlier is not None and len(earlier) > most:
        del earlier[:-most]


def forget_connections() -> None:
    """Forget the connections that a forked process has in common with its parent."""
    for module, name in _CONNECTIONS:
        if (clear := getattr(getattr(sys.modules.get(module), name, None), "cache_clear", None)) is not None:
            clear()
