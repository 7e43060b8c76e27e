"""Aggregates a run: scans its quanta, task by task, and writes what they have left as one graph."""

from __future__ import annotations

__all__ = ("AggregateReport", "aggregate")

import itertools
import multiprocessing
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import ProvenanceDatasetModel, ProvenanceInitQuantumModel
from lsst.utils.packages import Packages

from .. import _core
from ..paths import Name, local_path
from ..progress import Progress
from ..quantum_graphs import PredictedGraph
from .consumers import Consumers
from .scanning import Block, Scanned, Scanner

# Quanta that are scanned at once, and those that a dictionary is trained with.
_CHUNK = 128
_SAMPLES = 512

# Bytes of the dictionary, upstream's level of compression, and about so much memory for addresses.
_DICTIONARY = 32768
_LEVEL = 10
_MEMORY = 256 << 20


@dataclass(frozen=True)
class AggregateReport:
    """What has been aggregated.

    Parameters
    ----------
    path : `str`
        The provenance graph.
    quanta : `int`
        Number of quanta in it.
    datasets : `int`
        Number of datasets in it.
    failed : `int`
        Number of quanta that failed or were blocked.
    """

    path: str
    quanta: int
    datasets: int
    failed: int


def aggregate(
    graph: Name,
    repository: str,
    output: Name,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    mock_storage_classes: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> AggregateReport:
    """Write the provenance graph of a run, from the metadata and logs that its quanta have left.

    Parameters
    ----------
    graph : `str` or `os.PathLike`
        The predicted graph.
    repository : `str`
        The repository that the run wrote to.
    output : `str` or `os.PathLike`
        The provenance graph to write. It takes its place as a whole, at the end.
    jobs : `int`, optional
        Number of processes that scan.
    overwrite : `bool`, optional
        Replace a file that is there.
    mock_storage_classes : `bool`, optional
        Know the storage classes of upstream's mocked pipelines, in every process.
    progress : `~collections.abc.Callable`, optional
        Called with how far the work is.

    Returns
    -------
    report : `AggregateReport`
        What has been written.

    Raises
    ------
    QuantumGraphError
        Raised if the graph is no predicted graph.
    FileExistsError
        Raised if the output is there, and ``overwrite`` is not given.

    Notes
    -----
    The graph tells what that of upstream's ``butler aggregate-graph`` tells. Nothing is registered in the
    repository.
    """
    target = Path(local_path(output))
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already")
    source = str(local_path(graph))
    planned = PredictedGraph(source)
    with ExitStack() as stack:
        scanner = Scanner(source, repository, mock_storage_classes)
        stack.callback(scanner.close)
        writing = _Writing(target, planned)
        scan = _scan_here(scanner)
        if jobs > 1:
            # A forked process would have its parent's threads and connections.
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(jobs, context, _begin, (source, repository, mock_storage_classes))
            scan = _scan_there(stack.enter_context(pool), 2 * jobs)
        total, done = planned.headers[0]["n_quanta"], 0
        for quanta in _by_task(scanner, planned):
            for scanned in scan(quanta, writing.lost):
                writing.add(scanned)
                done += sum(block[0] == "quantum" for block in scanned.blocks)
                if progress is not None:
                    progress(Progress("scanning quanta", done, total, done, False))
        return writing.finish(scanner)


def _by_task(scanner: Scanner, planned: PredictedGraph) -> Iterator[list[uuid.UUID]]:
    """Yield the quanta of each task, those of tasks that others depend on first."""
    pipeline = scanner.reader.pipeline_graph
    pipeline.sort()
    by_task: dict[str, list[uuid.UUID]] = {label: [] for label in pipeline.tasks}
    for quanta, _ in planned.quanta_tables():
        labels = quanta["task_label"].to_pylist()
        for label, quantum_id in zip(labels, quanta["quantum_id"].to_pylist(), strict=True):
            by_task[label].append(quantum_id)
    yield from by_task.values()


_Scan = Callable[[list[uuid.UUID], set[uuid.UUID]], Iterator[Scanned]]


def _chunks(quanta: list[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    return (quanta[start : start + _CHUNK] for start in range(0, len(quanta), _CHUNK))


def _scan_here(scanner: Scanner) -> _Scan:
    """Return a function that scans quanta in this process."""
    return lambda quanta, lost: (scanner.scan(chunk, lost) for chunk in _chunks(quanta))


def _scan_there(pool: Executor, most: int) -> _Scan:
    """Return a function that scans quanta in the processes of a pool, so many chunks at a time."""

    def scan(quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Scanned]:
        chunks = _chunks(quanta)
        # What is lost does not grow while the quanta of one task are scanned.
        waiting = [pool.submit(_scan_chunk, chunk, lost) for chunk in itertools.islice(chunks, most)]
        while waiting:
            yield waiting.pop(0).result()
            waiting.extend(pool.submit(_scan_chunk, chunk, lost) for chunk in itertools.islice(chunks, 1))

    return scan


_scanner: Scanner | None = None


def _begin(graph: str, repository: str, mock_storage_classes: bool) -> None:
    """Open the graph and a butler in a process of the pool."""
    global _scanner
    _scanner = Scanner(graph, repository, mock_storage_classes)


def _scan_chunk(quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Scanned:
    assert _scanner is not None
    return _scanner.scan(quanta, lost)


class _Writing:
    """The graph as far as it has been written."""

    def __init__(self, path: Path, planned: PredictedGraph):
        self._path = path
        self._planned = planned
        self._consumers = Consumers(planned)
        self._writer: _core.GraphWriter | None = None
        self._waiting: list[Block] = []
        self._quanta = 0
        self._failed = 0
        self._datasets: set[uuid.UUID] = set()
        self._inputs: dict[uuid.UUID, Any] = {}
        self.lost: set[uuid.UUID] = set()
        """What failed or blocked quanta were to write."""

    def add(self, scanned: Scanned) -> None:
        """Take over what some quanta have left."""
        blocks = list(scanned.blocks)
        self._quanta += sum(block[0] == "quantum" for block in blocks)
        self._failed += len(scanned.failed)
        for producer, dataset in scanned.outputs:
            blocks.append(self._dataset(dataset))
            if producer in scanned.failed:
                self.lost.add(dataset.dataset_id)
        self._inputs.update(scanned.inputs)
        self._put(blocks)

    def finish(self, scanner: Scanner) -> AggregateReport:
        """Write what belongs to no quantum, and the file."""
        blocks = [self._dataset(dataset) for _, dataset in scanner.init_outputs()]
        components = scanner.reader.components
        for quantum in components.init_quanta.root:
            if quantum.task_label:
                for dataset in itertools.chain.from_iterable(quantum.inputs.values()):
                    self._inputs[dataset.dataset_id] = dataset
        for dataset_id, dataset in self._inputs.items():
            if dataset_id not in self._datasets:
                blocks.append(self._dataset(ProvenanceDatasetModel.from_predicted(dataset)))
        self._put(blocks)
        writer = self._writer or self._begin()
        header = components.header.model_copy(update={"graph_type": "provenance"})
        init_quanta = ",".join(
            _init_quantum(quantum) for quantum in components.init_quanta.root if quantum.task_label
        )
        packages = Packages.fromSystem(include_all=True).toBytes("json")
        members = [
            ("pipeline_graph", self._planned.member("pipeline_graph")),
            ("packages", packages),
            ("init_quanta", f"[{init_quanta}]".encode()),
        ]
        writer.finish(header.model_dump_json().encode(), members)
        return AggregateReport(str(self._path), self._quanta, len(self._datasets), self._failed)

    def _dataset(self, dataset: ProvenanceDatasetModel) -> Block:
        self._datasets.add(dataset.dataset_id)
        dataset.consumers = self._consumers.of(dataset.dataset_id)
        return "dataset", dataset.dataset_id.int, None, dataset.model_dump_json().encode()

    def _put(self, blocks: list[Block]) -> None:
        if self._writer is not None:
            self._writer.add(blocks)
            return
        self._waiting += blocks
        if sum(block[0] == "quantum" for block in self._waiting) >= _SAMPLES:
            self._begin()

    def _begin(self) -> _core.GraphWriter:
        """Train the dictionary with what there is, as much of each kind, and begin the file."""
        taken: Counter[str] = Counter()
        samples = []
        for kind, _, _, text in self._waiting:
            taken[kind] += 1
            if taken[kind] <= _SAMPLES:
                samples.append(text)
        dictionary = _core.train_dictionary(samples, _DICTIONARY)
        self._writer = _core.GraphWriter(self._path, self._path.parent, dictionary, _LEVEL, _MEMORY)
        self._writer.add(self._waiting)
        self._waiting = []
        return self._writer


def _init_quantum(predicted: Any) -> str:
    text: str = ProvenanceInitQuantumModel.from_predicted(predicted).model_dump_json()
    return text
