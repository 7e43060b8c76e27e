"""The provenance graph of a run, as its file is written."""

from __future__ import annotations

__all__ = ("GraphFile",)

import itertools
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import ProvenanceDatasetModel, ProvenanceInitQuantumModel
from lsst.utils.packages import Packages

from .. import _core
from .options import Compression
from .plan import Plan
from .scanning import Block, Scanned, Scanner

# About so much memory for addresses.
_MEMORY = 256 << 20


class GraphFile:
    """The graph as far as it has been written; the file takes its place as a whole, at the end."""

    def __init__(self, path: Path, plan: Plan, compression: Compression):
        self._path = path
        self._plan = plan
        self._compression = compression
        self._writer: _core.GraphWriter | None = None
        self._waiting: list[Block] = []
        self._written: set[int] = set()
        self._inputs: dict[uuid.UUID, Any] = {}

    @property
    def datasets(self) -> int:
        """Number of datasets in it."""
        return len(self._written)

    def add(self, scanned: Scanned) -> None:
        """Write what some quanta have left."""
        if scanned.gathered is not None:
            self._written.update(scanned.gathered.datasets())
            if self._writer is None:
                self._put(scanned.gathered.blocks())
            else:
                self._writer.add_gathered(scanned.gathered)
        blocks = list(scanned.blocks)
        blocks += [self._dataset(dataset) for _, dataset in scanned.outputs]
        self._inputs.update(scanned.inputs)
        self._put(blocks)

    def finish(self, scanner: Scanner) -> None:
        """Write what belongs to no quantum, and put the file in its place."""
        blocks = [self._dataset(dataset) for _, dataset in scanner.init_outputs()]
        components = scanner.reader.components
        for quantum in components.init_quanta.root:
            if quantum.task_label:
                for dataset in itertools.chain.from_iterable(quantum.inputs.values()):
                    self._inputs[dataset.dataset_id] = dataset
        for dataset_id, dataset in self._inputs.items():
            if dataset_id.int not in self._written:
                blocks.append(self._dataset(ProvenanceDatasetModel.from_predicted(dataset)))
        self._put(blocks)
        writer = self._writer or self._begin()
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
        writer.finish(header.model_dump_json().encode(), members)

    def _dataset(self, dataset: ProvenanceDatasetModel) -> Block:
        self._written.add(dataset.dataset_id.int)
        dataset.consumers = self._plan.consumers_of(dataset.dataset_id)
        return "dataset", dataset.dataset_id.int, None, dataset.model_dump_json().encode()

    def _put(self, blocks: list[Block]) -> None:
        if self._writer is not None:
            self._writer.add(blocks)
            return
        self._waiting += blocks
        if sum(block[0] == "quantum" for block in self._waiting) >= self._compression.samples:
            self._begin()

    def _begin(self) -> _core.GraphWriter:
        """Train the dictionary with what there is, as much of each kind, and begin the file."""
        compression = self._compression
        dictionary = b""
        if compression.dictionary:
            taken: Counter[str] = Counter()
            samples = []
            for kind, _, _, text in self._waiting:
                taken[kind] += 1
                if taken[kind] <= compression.samples:
                    samples.append(text)
            dictionary = _core.train_dictionary(samples, compression.dictionary)
        folder = self._path.parent
        self._writer = _core.GraphWriter(self._path, folder, dictionary, compression.level, _MEMORY)
        self._writer.add(self._waiting)
        self._waiting = []
        return self._writer


def _init_quantum(predicted: Any) -> str:
    text: str = ProvenanceInitQuantumModel.from_predicted(predicted).model_dump_json()
    return text
