"""The repository that benchmarks run in, and the quanta that run there."""

from __future__ import annotations

__all__ = ("CLASSES", "QUANTUM", "RUN", "Datasets", "Repository", "make_repository", "whole_quantum")

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lsst.daf.butler
from lsst.daf.butler import (
    Butler,
    Config,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    DimensionUniverse,
    Quantum,
    StorageClassConfig,
    StorageClassFactory,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData

import quantum_butler

CLASSES: Mapping[str, type[lsst.daf.butler.QuantumBackedButler]] = {
    "stock": lsst.daf.butler.QuantumBackedButler,
    "ours": quantum_butler.QuantumBackedButler,
}
INSTRUMENT = "BenchCam"
RUN = "benches/run"
"""The run of all datasets."""

QUANTUM = (10, 5)
"""Inputs and outputs of a typical quantum."""

# Storage classes by the way in which their formatters read and write.
_STORAGE_CLASSES = {"bytes": "StructuredDataDict", "local": "LocalDict", "whole": "Whole"}
_TYPES = "lsst.daf.butler.tests"
_CONFIG = {
    "datastore": {
        "formatters": {
            "StructuredDataDict": "lsst.daf.butler.formatters.json.JsonFormatter",
            "LocalDict": "bench_formatters.LocalFormatter",
            "Whole": "bench_formatters.WholeFormatter",
        }
    },
    "storageClasses": {
        "LocalDict": {"pytype": "dict"},
        "Part": {"pytype": "dict"},
        "Parts": {"pytype": "list"},
        "Whole": {
            "pytype": f"{_TYPES}.MetricsExample",
            "delegate": f"{_TYPES}.MetricsDelegate",
            "components": {"summary": "Part", "output": "Part", "data": "Parts"},
            "parameters": ["slice"],
        },
    },
}


@dataclass(frozen=True)
class Datasets:
    """Datasets whose files one formatter reads and writes, one for each detector."""

    inputs: list[DatasetRef]
    """Datasets with files, unless they were not asked for."""

    outputs: list[DatasetRef]
    """Datasets of the same data IDs, without files."""


@dataclass(frozen=True)
class Repository:
    """A data repository on a local disk."""

    root: Path
    universe: DimensionUniverse
    dataset_types: Mapping[str, DatasetType]
    data_ids: list[DataCoordinate]

    def datasets(self, formatter: str = "bytes") -> Datasets:
        """Return one input and one output for each data ID.

        ``formatter`` is "bytes" for one that is given and gives bytes,
        "local" for one that reads and writes local files, or "whole" for one
        of a composite, which can read a component or a part alone.
        """
        inputs, outputs = (
            [DatasetRef(self.dataset_types[f"{name}_{formatter}"], data_id, RUN) for data_id in self.data_ids]
            for name in ("measured", "derived")
        )
        return Datasets(inputs, outputs)

    def write(self, refs: Iterable[DatasetRef]) -> Mapping[str, DatastoreRecordData]:
        """Write some datasets with the stock butler, and return their records."""
        refs = list(refs)
        with self.butler(CLASSES["stock"], [], refs, {}) as butler:
            for number, ref in enumerate(refs):
                butler.put({"data": number}, ref)
            return butler._datastore.export_records(refs)

    def butler(
        self,
        butler_class: type[lsst.daf.butler.QuantumBackedButler],
        inputs: Iterable[DatasetRef],
        outputs: Iterable[DatasetRef],
        records: Mapping[str, DatastoreRecordData],
    ) -> lsst.daf.butler.QuantumBackedButler:
        """Initialize a butler for one quantum."""
        return self.initialize(butler_class, self.quantum(inputs, outputs, records))

    def initialize(
        self, butler_class: type[lsst.daf.butler.QuantumBackedButler], quantum: Quantum
    ) -> lsst.daf.butler.QuantumBackedButler:
        """Initialize a butler as executors do: by the repository's path."""
        return butler_class.initialize(
            str(self.root), quantum, self.universe, dataset_types=self.dataset_types
        )

    def quantum(
        self,
        inputs: Iterable[DatasetRef],
        outputs: Iterable[DatasetRef],
        records: Mapping[str, DatastoreRecordData],
    ) -> Quantum:
        """Return a quantum with such inputs, which have such records, and outputs."""
        return Quantum(
            taskName="some.Task",
            inputs=_by_type(inputs),
            outputs=_by_type(outputs),
            datastore_records=records,
        )


def make_repository(root: Path, detectors: int, more: Mapping[str, Any] | None = None) -> Repository:
    """Make a repository of the default layout; no dataset is in it yet.

    ``more`` is configuration of formatters and storage classes besides those of `Datasets`.

    Its registry stays empty, too: quantum-backed butlers do not look at it.
    """
    config = Config(_CONFIG)
    config.update(more or {})
    Butler.makeRepo(str(root), config=config)
    factory = StorageClassFactory()
    factory.addFromConfig(StorageClassConfig(config))
    universe = DimensionUniverse()
    dimensions = universe.conform(("instrument", "detector"))
    dataset_types = {
        f"{name}_{formatter}": DatasetType(
            f"{name}_{formatter}", dimensions, factory.getStorageClass(storage_class)
        )
        for name in ("measured", "derived")
        for formatter, storage_class in _STORAGE_CLASSES.items()
    }
    instrument = universe["instrument"].RecordClass(name=INSTRUMENT, detector_max=detectors)
    detector_record = universe["detector"].RecordClass
    data_ids = [
        DataCoordinate.standardize(instrument=INSTRUMENT, detector=number, universe=universe).expanded(
            {
                "instrument": instrument,
                "detector": detector_record(instrument=INSTRUMENT, id=number, full_name=f"d{number}"),
            }
        )
        for number in range(detectors)
    ]
    return Repository(root, universe, dataset_types, data_ids)


def whole_quantum(
    butler: lsst.daf.butler.QuantumBackedButler, inputs: Sequence[DatasetRef], outputs: Sequence[DatasetRef]
) -> tuple[list[Any], str]:
    """Do what a quantum does, from its inputs to its provenance, and close its butler."""
    with butler:
        there = butler.stored_many(inputs)
        contents = [butler.get(ref) for ref in inputs if there[ref]]
        for ref in outputs:
            butler.put({"data": contents}, ref)
        return contents, butler.extract_provenance_data().model_dump_json()


def _by_type(refs: Iterable[DatasetRef]) -> dict[DatasetType, list[DatasetRef]]:
    grouped: dict[DatasetType, list[DatasetRef]] = {}
    for ref in refs:
        grouped.setdefault(ref.datasetType, []).append(ref)
    return grouped
