"""The provenance graph of a run, as its file is written."""

from __future__ import annotations

__all__ = ("GraphFile",)

import itertools
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from lsst.pipe.base.quantum_graph import ProvenanceDatasetModel, ProvenanceInitQuantumModel
from lsst.utils.packages import Packages

from .. import _core
from .options import Compression
from .plan import Plan
from .scanning import Block, Scanned, Scanner

# About so much memory for addresses.
_MEMORY = 256 << 20

# Steps that wait to be written.
_AHEAD = 2


class GraphFile:
    """The graph as far as it has been written; the file takes its place as a whole, at the end.

    It is written in a thread of its own, some steps behind, and used as a context manager.
    """

    def __init__(self, path: Path, plan: Plan, compression: Compression):
        self._plan = plan
        self._writer = _core.GraphWriter.training(
            path, path.parent, compression.dictionary, compression.samples, compression.level, _MEMORY
        )
        self._pool = ThreadPoolExecutor(1, "graph")
        self._running: deque[Future[None]] = deque()
        self._inputs: dict[uuid.UUID, Any] = {}
        self.datasets = 0
        """Number of datasets in it, once it is finished."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, scanned: Scanned) -> None:
        """Write what some quanta have left."""
        if scanned.gathered is not None:
            self._later(self._writer.add_gathered, scanned.gathered)
        blocks = list(scanned.blocks)
        blocks += [self._dataset(dataset) for _, dataset in scanned.outputs]
        self._inputs.update(scanned.inputs)
        if blocks:
            self._later(self._writer.add, blocks)

    def finish(self, scanner: Scanner) -> None:
        """Write what belongs to no quantum, and put the file in its place."""
        blocks = [self._dataset(dataset) for _, dataset in scanner.init_outputs()]
        components = scanner.reader.components
        for quantum in components.init_quanta.root:
            if quantum.task_label:
                for dataset in itertools.chain.from_iterable(quantum.inputs.values()):
                    self._inputs[dataset.dataset_id] = dataset
        self._later(self._writer.add, blocks)
        self._wait(0)
        blocks = [
            self._dataset(ProvenanceDatasetModel.from_predicted(self._inputs[uuid.UUID(int=one)]))
            for one in self._writer.without([one.int for one in self._inputs])
        ]
        self._writer.add(blocks)
        self.datasets = self._writer.datasets()
        header = components.header.model_copy(update={"graph_type": "provenance"})
        init_quanta = ",".join(
            _init_quantum(quantum) for quantum in components.init_quanta.root if quantum.task_label
        )
        packages = Packages.fromSystem(include_all=True).toBytes("json")
        members = [
            ("pipeline_graph", self._plan.graph.member("pipeline_graph")),
            ("packages", packages),
            ("init_quanta", f"[{init_quanta}]".encode()),
        ]
        self._writer.finish(header.model_dump_json().encode(), members)

    def _dataset(self, dataset: ProvenanceDatasetModel) -> Block:
        dataset.consumers = self._plan.consumers_of(dataset.dataset_id)
        return "dataset", dataset.dataset_id.int, None, dataset.model_dump_json().encode()

    def _later(self, write: Callable[..., None], blocks: object) -> None:
        self._running.append(self._pool.submit(write, blocks))
        self._wait(_AHEAD)

    def _wait(self, most: int) -> None:
        """Wait until not more than so many steps are still to be written."""
        while len(self._running) > most:
            self._running.popleft().result()


def _init_quantum(predicted: Any) -> str:
    text: str = ProvenanceInitQuantumModel.from_predicted(predicted).model_dump_json()
    return text
