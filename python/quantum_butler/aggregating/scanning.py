"""Scanning: files that quanta have left become blocks of a graph. Upstream's classes interpret them."""

from __future__ import annotations

__all__ = ("Block", "Entry", "Scanned", "Scanner")

import importlib
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
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

from .. import _core
from ..butler.butler import QuantumBackedButler
from ..collecting.contents import ContentsFiles, Place

Block = tuple[str, int, int | None, bytes]
"""Kind, id, the dataset that a log or metadata is of, and JSON."""


@dataclass(frozen=True)
class Entry:
    """Entry of a journal for some quanta that had succeeded."""

    quanta: list[uuid.UUID]
    blocks: list[Block]
    produced: frozenset[uuid.UUID]


@dataclass
class Scanned:
    """Some quanta."""

    blocks: list[Block] = field(default_factory=list)
    """Of quanta, logs and metadata."""

    gathered: _core.GatheredBlocks | None = None
    """Quanta that native code has read, and their datasets."""

    outputs: list[tuple[uuid.UUID, ProvenanceDatasetModel]] = field(default_factory=list)
    """Datasets that they were to write, without those that read them, after the quantum."""

    inputs: dict[uuid.UUID, Any] = field(default_factory=dict)
    """Datasets that they were to read, as they were predicted."""

    failed: set[uuid.UUID] = field(default_factory=set)
    """Quanta that failed or were blocked; what they were to write stands in the way of others."""

    abandoned: set[uuid.UUID] = field(default_factory=set)
    """Those of them that have not succeeded yet, where the run is not complete."""

    wrong: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    """Quanta of which logs do not tell what is on disk, and what that is."""

    logged: int = 0
    """How many were told by logs."""

    untold: int = 0
    """How many have left outputs, but neither metadata nor a log."""

    ended: list[uuid.UUID] = field(default_factory=list)
    """Those of them that have left all their outputs, or have run although they seem to be blocked."""

    has_told: bool = False
    """Whether one of them has left metadata or a log."""

    has_metadata: bool = False
    """Whether one of them has left metadata, which only a success does."""

    @property
    def quanta(self) -> int:
        """Number of quanta."""
        gathered = 0 if self.gathered is None else len(self.gathered)
        return gathered + sum(block[0] == "quantum" for block in self.blocks)


def _telling(predicted: PredictedQuantumDatasetsModel) -> tuple[Any, Any]:
    """Return the log and the metadata of a quantum, as they were predicted."""
    (log,) = predicted.outputs[acc.LOG_OUTPUT_CONNECTION_NAME]
    (metadata,) = predicted.outputs[acc.METADATA_OUTPUT_CONNECTION_NAME]
    return log, metadata


def _results(predicted: PredictedQuantumDatasetsModel) -> Iterator[Any]:
    """Yield the other outputs."""
    for name, datasets in predicted.outputs.items():
        if name not in (acc.LOG_OUTPUT_CONNECTION_NAME, acc.METADATA_OUTPUT_CONNECTION_NAME):
            yield from datasets


class Scanner:
    """Scans quanta of one graph in one repository; each process has one of its own."""

    def __init__(
        self,
        graph_file: str,
        repository: str,
        mock_storage_classes: bool,
        incomplete: bool = False,
        contents: str | None = None,
    ):
        self._incomplete = incomplete
        if mock_storage_classes:
            importlib.import_module("lsst.pipe.base.tests.mocks")
        with ExitStack() as stack:
            self._reader = stack.enter_context(
                PredictedQuantumGraphReader.open(graph_file, import_mode=TaskImportMode.DO_NOT_IMPORT)
            )
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
            stack.callback(self._butler.close)
            self._contents = None if contents is None else ContentsFiles(contents)
            self._open = stack.pop_all()

    def take_contents(self, folder: str) -> None:
        """Read the contents of logs in another folder from now on."""
        self._contents = ContentsFiles(folder)

    def close(self) -> None:
        """Close the graph and the butler."""
        self._open.close()

    @property
    def reader(self) -> PredictedQuantumGraphReader:
        """Upstream's reader of the graph."""
        return self._reader

    @property
    def butler(self) -> QuantumBackedButler:
        """A butler that has no records, and so looks for files where they would be."""
        return self._butler

    def scan(
        self,
        quanta: Iterable[uuid.UUID],
        lost: Collection[uuid.UUID],
        logged: Mapping[uuid.UUID, Place] = MappingProxyType({}),
        check: bool = False,
    ) -> Scanned:
        """Scan quanta; those that were to read one of the lost datasets were blocked.

        What logs have of some of them is taken from there, and checked if that is asked for.
        """
        scanned = Scanned()
        for predicted in self._predicted(quanta):
            for dataset in chain.from_iterable(predicted.inputs.values()):
                scanned.inputs[dataset.dataset_id] = dataset
            if any(one in lost for one in predicted.iter_input_dataset_ids()):
                self._add_blocked(scanned, predicted)
                if not self._incomplete and predicted.quantum_id not in logged:
                    self._look_at_blocked(scanned, predicted)
            elif (place := logged.get(predicted.quantum_id)) is None:
                self._add(scanned, predicted, *self._stored(predicted))
            else:
                self._add_logged(scanned, predicted, place, check)
        return scanned

    def restore(self, entry: Entry, lost: Collection[uuid.UUID]) -> Scanned:
        """Return what was scanned earlier of quanta that had succeeded."""
        scanned = Scanned()
        blocks: defaultdict[int, list[Block]] = defaultdict(list)
        for block in entry.blocks:
            blocks[block[1]].append(block)
        for predicted in self._predicted(entry.quanta):
            for dataset in chain.from_iterable(predicted.inputs.values()):
                scanned.inputs[dataset.dataset_id] = dataset
            if any(one in lost for one in predicted.iter_input_dataset_ids()):
                self._add_blocked(scanned, predicted)
                continue
            scanned.has_told = scanned.has_metadata = True
            scanned.blocks += blocks[predicted.quantum_id.int]
            for dataset in chain.from_iterable(predicted.outputs.values()):
                output = self._output(predicted, dataset, dataset.dataset_id in entry.produced)
                scanned.outputs.append((predicted.quantum_id, output))
        return scanned

    def check(self, logged: Mapping[uuid.UUID, Place]) -> bool:
        """Return whether what logs tell of some quanta is what is on disk."""
        scanned = Scanned()
        for predicted in self._predicted(logged):
            self._add_logged(scanned, predicted, logged[predicted.quantum_id], True)
        return not scanned.wrong

    def all_blocked(self, quanta: Iterable[uuid.UUID], lost: set[uuid.UUID]) -> bool:
        """Return whether all of some quanta were to read lost datasets. Then their outputs are lost, too."""
        for predicted in self._predicted(quanta):
            if not any(one in lost for one in predicted.iter_input_dataset_ids()):
                return False
            lost.update(one.dataset_id for one in chain.from_iterable(predicted.outputs.values()))
        return True

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

    def _look_at_blocked(self, scanned: Scanned, predicted: PredictedQuantumDatasetsModel) -> None:
        """Find out whether a blocked quantum has run, of which nothing tells."""
        if self._stored_of(_results(predicted)) and not self._stored_of(_telling(predicted)):
            scanned.untold += 1
            scanned.ended.append(predicted.quantum_id)

    def _add_logged(
        self, scanned: Scanned, predicted: PredictedQuantumDatasetsModel, place: Place, check: bool
    ) -> None:
        """Add a quantum as logs tell of it, or as it is on disk if they are wrong."""
        assert self._contents is not None
        log, metadata = _telling(predicted)
        wrong = None
        try:
            metadata_text, log_text = self._contents.read(place)
            records = None if log_text is None else ButlerLogRecords.from_raw(log_text)
            task_metadata = None if metadata_text is None else TaskMetadata.model_validate_json(metadata_text)
        except ValueError as error:
            wrong = f"the contents in a log cannot be read: {' '.join(str(error).split())}"
        else:
            if task_metadata is None and self._is_stored(metadata):
                # An attempt of which there is no line has gone on from there.
                self._add(scanned, predicted, *self._stored(predicted))
                return
            if check:
                told = ("log", log, log_text), ("metadata", metadata, metadata_text)
                wrong = self._difference(self._contents.recorded(place), *told)
        if wrong is None:
            scanned.logged += 1
            self._add(scanned, predicted, records, task_metadata)
        else:
            scanned.wrong.append((predicted.quantum_id, wrong))
            self._add(scanned, predicted, *self._stored(predicted), has_line=True)

    def kept(self, logged: Mapping[uuid.UUID, Place]) -> Iterator[tuple[uuid.UUID, list[tuple[Any, bytes]]]]:
        """Yield quanta of which logs alone have the log and the metadata, with these datasets as texts.

        The metadata comes last: where it is, all is there.
        """
        assert self._contents is not None
        for predicted in self._predicted(logged):
            place = logged[predicted.quantum_id]
            recorded = self._contents.recorded(place)
            log, metadata = _telling(predicted)
            metadata_text, log_text = self._contents.read(place)
            kept = [
                (dataset, text)
                for dataset, text in ((log, log_text), (metadata, metadata_text))
                if text is not None and dataset.dataset_id not in recorded
            ]
            if kept:
                yield predicted.quantum_id, kept

    def _difference(
        self, recorded: Collection[uuid.UUID], *told: tuple[str, Any, bytes | None]
    ) -> str | None:
        """Return in what way a log does not tell what is on disk; `None` if it does.

        Of a dataset without a record it does not tell that there is a file.
        """
        for name, dataset, text in told:
            uri = self._butler.getURI(self._reader.components.make_dataset_ref(dataset), predict=True)
            try:
                found = uri.read()
            except FileNotFoundError:
                found = None
            if found != text and (found is not None or dataset.dataset_id in recorded):
                what = "is not there" if found is None else "is not what a log tells"
                return f"{uri}: the {name} of the quantum {what}"
        return None

    def _stored(
        self, predicted: PredictedQuantumDatasetsModel
    ) -> tuple[ButlerLogRecords | None, TaskMetadata | None]:
        """Return the log and the metadata that are on disk."""
        log, metadata = _telling(predicted)
        return self._get(log), self._get(metadata, storageClass="TaskMetadata")

    def _add(
        self,
        scanned: Scanned,
        predicted: PredictedQuantumDatasetsModel,
        records: ButlerLogRecords | None,
        task_metadata: TaskMetadata | None,
        *,
        has_line: bool = False,
    ) -> None:
        log, metadata = _telling(predicted)
        models = ProvenanceQuantumScanModels.from_metadata_and_logs(
            predicted, task_metadata, records, incomplete=self._incomplete
        )
        if models.status is ProvenanceQuantumScanStatus.ABANDONED:
            scanned.abandoned.add(predicted.quantum_id)
            self._add_blocked(scanned, predicted)
            return
        outputs = list(chain.from_iterable(predicted.outputs.values()))
        existence = models.output_existence
        if unknown := [dataset for dataset in outputs if dataset.dataset_id not in existence]:
            there = self._stored_of(unknown)
            existence.update({one.dataset_id: one.dataset_id in there for one in unknown})
        data = models.to_scan_data(predicted)
        if task_metadata is not None or records is not None:
            scanned.has_told = True
            scanned.has_metadata |= task_metadata is not None
        elif data.existing_outputs and not has_line:
            scanned.untold += 1
            if all(dataset.dataset_id in data.existing_outputs for dataset in _results(predicted)):
                scanned.ended.append(predicted.quantum_id)
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

    def _stored_of(self, datasets: Iterable[Any]) -> set[uuid.UUID]:
        """Return the ids of those of some datasets that have files; an object store is asked once."""
        refs = list(map(self._reader.components.make_dataset_ref, datasets))
        return {ref.id for ref, is_there in self._butler.stored_many(refs).items() if is_there}

    def _is_stored(self, dataset: Any) -> bool:
        return self._butler.stored(self._reader.components.make_dataset_ref(dataset))
