"""What users write, for the type checker; nothing here runs.

mypy reads this file together with the package: a use that stops checking is a
break of the public types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from lsst.daf.butler import (
    Butler,
    DatasetRef,
    DatasetType,
    DeferredDatasetHandle,
    DimensionUniverse,
    LimitedButler,
    Quantum,
)
from lsst.daf.butler import QuantumBackedButler as Stock
from lsst.daf.butler import QuantumProvenanceData as StockProvenance

import quantum_butler
from quantum_butler import (
    Archive,
    ClosedButlerError,
    QuantumBackedButler,
    QuantumProvenanceData,
    TransferReport,
)


def execute(
    config: str, quantum: Quantum, universe: DimensionUniverse, types: Mapping[str, DatasetType]
) -> str:
    with QuantumBackedButler.initialize(config, quantum, universe, dataset_types=types) as butler:
        refs: list[DatasetRef] = [ref for refs in quantum.inputs.values() for ref in refs]
        existing: dict[DatasetRef, bool] = butler.stored_many(refs)
        contents: list[Any] = [butler.get(ref) for ref, exists in existing.items() if exists]
        handle: DeferredDatasetHandle = butler.getDeferred(refs[0], storageClass="StructuredDataDict")
        butler.markInputUnused(refs[0])
        for [output] in quantum.outputs.values():
            written: DatasetRef = butler.put((contents, handle), output)
            butler.pruneDatasets([written], disassociate=True, unstore=True, purge=True)
        provenance: QuantumProvenanceData = butler.extract_provenance_data()
    ids: set[UUID] = provenance.actual_inputs
    return provenance.model_dump_json() if ids else ""


def documented_names(butler: QuantumBackedButler, ref: DatasetRef) -> DatasetRef:
    if butler.datasetExistsDirect(ref):
        content = butler.getDirect(ref, parameters=None, storageClass=None)
        return butler.putDirect(content, ref)
    return butler.getDirectDeferred(ref).ref


def stands_in_for_upstream(butler: QuantumBackedButler) -> tuple[LimitedButler, Stock, StockProvenance]:
    return butler, butler, butler.extract_provenance_data()


def drop_in() -> str:
    quantum_butler.install()
    quantum_butler.uninstall()
    version: str = quantum_butler.__version__
    return version


def into_a_repository(full: Butler, quanta: list[Quantum], provenance: list[QuantumProvenanceData]) -> bool:
    QuantumProvenanceData.collect_and_transfer(full, iter(quanta), provenance)
    report: TransferReport = quantum_butler.transfer("archive", full, "graph.qg", batch=100, dry_run=True)
    return report.is_clean


def after_close(butler: QuantumBackedButler, ref: DatasetRef) -> RuntimeError | bool:
    butler.close()
    try:
        return butler.stored(ref)
    except ClosedButlerError as error:
        return error


def questions(folder: str, dataset: UUID) -> tuple[int, list[str]]:
    archive = Archive(folder)
    try:
        lineage = archive.lineage(dataset, direction="down", depth=3, actual=False)
    except LookupError:
        return 0, []
    producer = archive.producer(str(dataset))
    labels = [
        quantum.task_label or ""
        for quantum in (*archive.consumers(dataset), *([producer] if producer else ()))
    ]
    missing = sum(task.missing_outputs for task in archive.stats().tasks)
    return missing + len(lineage.datasets) + len(archive.diff(archive).changes), labels
