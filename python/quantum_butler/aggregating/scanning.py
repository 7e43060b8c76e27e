"""What quanta have left on disk, as blocks of a graph; upstream's own classes say what it means."""

from __future__ import annotations

__all__ = ("Block", "Entry", "Scanned", "Scanner")

import importlib
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskMetadata
from lsst.pipe.base import automatic_connection_constants as acc
from lsst.pipe.base.pipeline_graph import TaskImportMode
from lsst.pipe.base.quantum_graph import (
    PredictedQuantumDatasetsModel,
    PredictedQuantumGraphReader,
    ProvenanceDatasetModel,
    ProvenanceQuantumModel,
    ProvenanceQuantumScanModels,
    ProvenanceQuantumScanStatus,
)

from ..butler.butler import QuantumBackedButler

Block = tuple[str, int, int | None, bytes]
"""Kind, id, the dataset that a log or metadata is of, and JSON."""


@dataclass(frozen=True)
class Entry:
    """What a journal has of some quanta that had succeeded."""

    quanta: list[uuid.UUID]
    blocks: list[Block]
    produced: frozenset[uuid.UUID]


@dataclass
class Scanned:
    """Some quanta."""

    blocks: list[Block] = field(default_factory=list)
    """Of quanta, logs and metadata."""

    outputs: list[tuple[uuid.UUID, ProvenanceDatasetModel]] = field(default_factory=list)
    """Datasets that they were to write, without those that read them, after the quantum."""

    inputs: dict[uuid.UUID, Any] = field(default_factory=dict)
    """Datasets that they were to read, as they were predicted."""

    failed: set[uuid.UUID] = field(default_factory=set)
    """Quanta that failed or were blocked; what they were to write stands in the way of others."""

    abandoned: set[uuid.UUID] = field(default_factory=set)
    """Those of them that have not succeeded yet, where the run is not complete."""


class Scanner:
    """Scans quanta of one graph in one repository; each process has one of its own."""

    def __init__(
        self, graph_file: str, repository: str, mock_storage_classes: bool, incomplete: bool = False
    ):
        self._incomplete = incomplete
        if mock_storage_classes:
            importlib.import_module("lsst.pipe.base.tests.mocks")
        self._opened = PredictedQuantumGraphReader.open(graph_file, import_mode=TaskImportMode.DO_NOT_IMPORT)
        self._reader = self._opened.__enter__()
        self._reader.read_dimension_data()
        self._reader.read_init_quanta()
        pipeline = self._reader.pipeline_graph
        self._butler = QuantumBackedButler.from_predicted(
            repository,
            predicted_inputs=[],
            predicted_outputs=[],
            dimensions=pipeline.universe,
            datastore_records={},
            dataset_types={node.name: node.dataset_type for node in pipeline.dataset_types.values()},
        )

    def close(self) -> None:
        """Close the graph and the butler."""
        self._butler.close()
        self._opened.__exit__(None, None, None)

    @property
    def reader(self) -> PredictedQuantumGraphReader:
        """Upstream's reader of the graph."""
        return self._reader

    @property
    def butler(self) -> QuantumBackedButler:
        """A butler that has no records, and so looks for files where they would be."""
        return self._butler

    def scan(self, quanta: Iterable[uuid.UUID], lost: Collection[uuid.UUID]) -> Scanned:
        """Scan quanta; those that were to read one of the lost datasets were blocked."""
        scanned = Scanned()
        for predicted in self._predicted(quanta):
            for dataset in chain.from_iterable(predicted.inputs.values()):
                scanned.inputs[dataset.dataset_id] = dataset
            if any(one in lost for one in predicted.iter_input_dataset_ids()):
                self._add_blocked(scanned, predicted)
            else:
                self._add(scanned, predicted)
        return scanned

    def restore(self, entry: Entry, lost: Collection[uuid.UUID]) -> Scanned:
        """Return what was scanned earlier of quanta that had succeeded."""
        scanned = Scanned()
        for predicted in self._predicted(entry.quanta):
            for dataset in chain.from_iterable(predicted.inputs.values()):
                scanned.inputs[dataset.dataset_id] = dataset
            if any(one in lost for one in predicted.iter_input_dataset_ids()):
                self._add_blocked(scanned, predicted)
                continue
            quantum = predicted.quantum_id.int
            scanned.blocks += (block for block in entry.blocks if block[1] == quantum)
            for dataset in chain.from_iterable(predicted.outputs.values()):
                output = self._output(predicted, dataset, dataset.dataset_id in entry.produced)
                scanned.outputs.append((predicted.quantum_id, output))
        return scanned

    def init_outputs(self) -> Iterator[tuple[uuid.UUID, ProvenanceDatasetModel]]:
        """Yield what tasks were to write before their quanta, with the id of what comes before them."""
        for predicted in self._reader.components.init_quanta.root:
            if predicted.task_label:
                for dataset in chain.from_iterable(predicted.outputs.values()):
                    yield predicted.quantum_id, self._output(predicted, dataset, self._is_stored(dataset))

    def stored_init_outputs(self) -> Iterator[Any]:
        """Yield what there is of what was to be written before the quanta, the versions of packages too."""
        for predicted in self._reader.components.init_quanta.root:
            for dataset in chain.from_iterable(predicted.outputs.values()):
                if self._is_stored(dataset):
                    yield dataset

    def _predicted(self, quanta: Iterable[uuid.UUID]) -> Iterator[PredictedQuantumDatasetsModel]:
        wanted = list(quanta)
        self._reader.read_quantum_datasets(wanted)
        for quantum_id in wanted:
            yield self._reader.components.quantum_datasets.pop(quantum_id)

    def _add_blocked(self, scanned: Scanned, predicted: PredictedQuantumDatasetsModel) -> None:
        model = ProvenanceQuantumModel.from_predicted(predicted)
        scanned.failed.add(predicted.quantum_id)
        scanned.blocks.append(("quantum", predicted.quantum_id.int, None, model.model_dump_json().encode()))
        for dataset in chain.from_iterable(predicted.outputs.values()):
            scanned.outputs.append((predicted.quantum_id, self._output(predicted, dataset, False)))

    def _add(self, scanned: Scanned, predicted: PredictedQuantumDatasetsModel) -> None:
        (log,) = predicted.outputs[acc.LOG_OUTPUT_CONNECTION_NAME]
        (metadata,) = predicted.outputs[acc.METADATA_OUTPUT_CONNECTION_NAME]
        records: ButlerLogRecords | None = self._get(log)
        task_metadata: TaskMetadata | None = self._get(metadata, storageClass="TaskMetadata")
        models = ProvenanceQuantumScanModels.from_metadata_and_logs(
            predicted, task_metadata, records, incomplete=self._incomplete
        )
        if models.status is ProvenanceQuantumScanStatus.ABANDONED:
            scanned.abandoned.add(predicted.quantum_id)
            self._add_blocked(scanned, predicted)
            return
        outputs = list(chain.from_iterable(predicted.outputs.values()))
        for dataset in outputs:
            if dataset.dataset_id not in models.output_existence:
                models.output_existence[dataset.dataset_id] = self._is_stored(dataset)
        data = models.to_scan_data(predicted)
        quantum = predicted.quantum_id.int
        scanned.blocks.append(("quantum", quantum, None, data.quantum))
        for kind, dataset, text in (("log", log, data.logs), ("metadata", metadata, data.metadata)):
            if text:
                scanned.blocks.append((kind, quantum, dataset.dataset_id.int, text))
        for dataset in outputs:
            output = self._output(predicted, dataset, dataset.dataset_id in data.existing_outputs)
            scanned.outputs.append((predicted.quantum_id, output))
        if data.status is ProvenanceQuantumScanStatus.FAILED:
            scanned.failed.add(predicted.quantum_id)

    @staticmethod
    def _output(
        predicted: PredictedQuantumDatasetsModel, dataset: Any, produced: bool
    ) -> ProvenanceDatasetModel:
        output = ProvenanceDatasetModel.from_predicted(dataset, producer=predicted.quantum_id)
        output.produced = produced
        return output

    def _get(self, dataset: Any, **options: Any) -> Any:
        try:
            return self._butler.get(self._reader.components.make_dataset_ref(dataset), **options)
        except FileNotFoundError:
            return None

    def _is_stored(self, dataset: Any) -> bool:
        return self._butler.stored(self._reader.components.make_dataset_ref(dataset))
