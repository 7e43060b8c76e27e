"""Real data repositories for tests, made once and copied as often as needed.

`make` writes a complete repository (SQLite registry, datastore, files) into a
folder and returns a `Repository`: where it is, what is stored in it, and what
quanta may write into it.  A `Repository` can be copied anywhere; the datasets
keep their ids, so the same quantum runs in each copy.

::

    template = make(tmp_path / "template", "file")
    mine = template.copy(tmp_path / "mine")
    measured, derived = mine.stored["measured"], mine.predicted["derived"]
    butler = mine.butler(QuantumBackedButler, inputs=measured[:2], outputs=derived[:2])

Ids are made from names: the same in every process and every run.
"""

from __future__ import annotations

__all__ = (
    "DATASTORES",
    "DETECTORS",
    "RUN",
    "NewRepository",
    "Repository",
    "dataset_id",
    "example_metrics",
    "make",
)

import dataclasses
import hashlib
import itertools
import json
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml
from lsst.daf.butler import (
    Butler,
    Config,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    DimensionUniverse,
    FileDataset,
    Quantum,
    QuantumBackedButler,
    StorageClassFactory,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.tests import MetricsExample, MultiDetectorFormatter
from lsst.utils.introspection import get_full_type_name

from failing_formatters import Failing, FailingDirect, FailingV1

_B = TypeVar("_B", bound=QuantumBackedButler)

RUN = "observed/night1"
"""The run that holds every stored and every predicted dataset (`str`)."""

DETECTORS = 4
"""How many datasets there are of each type that has detectors (`int`)."""

_TEST_TYPES = "lsst.daf.butler.tests"
_TEST_FORMATTERS = "lsst.daf.butler.tests.testFormatters"
_JSON = "lsst.daf.butler.formatters.json.JsonFormatter"

_STORAGE_CLASSES: Mapping[str, Any] = {
    "MetricsDict": {"pytype": "dict"},
    "MetricsList": {
        "pytype": "list",
        "delegate": f"{_TEST_TYPES}.ListDelegate",
        "parameters": ["slice"],
        "derivedComponents": {"counter": "int"},
    },
    # Written as one file.
    "MetricsWhole": {
        "pytype": f"{_TEST_TYPES}.MetricsExample",
        "delegate": f"{_TEST_TYPES}.MetricsDelegate",
        "components": {"summary": "MetricsDict", "output": "MetricsDict", "data": "MetricsList"},
        "derivedComponents": {"counter": "int"},
        "parameters": ["slice"],
        "converters": {
            f"{_TEST_TYPES}.MetricsExampleModel": f"{_TEST_TYPES}.MetricsExample.from_model",
            "dict": f"{_TEST_TYPES}.MetricsExample.makeFromDict",
        },
    },
    # The same, written as one file for each component.
    "MetricsParts": {"inheritsFrom": "MetricsWhole"},
    # The same without components.
    "MetricsPlain": {
        "pytype": f"{_TEST_TYPES}.MetricsExample",
        "converters": {
            f"{_TEST_TYPES}.MetricsExampleModel": f"{_TEST_TYPES}.MetricsExample.from_model",
            "dict": f"{_TEST_TYPES}.MetricsExample.makeFromDict",
        },
    },
    "MetricsModel": {
        "pytype": f"{_TEST_TYPES}.MetricsExampleModel",
        "converters": {f"{_TEST_TYPES}.MetricsExample": f"{_TEST_TYPES}.MetricsExampleModel.from_metrics"},
    },
    # Its formatter writes the provenance that put() is given.
    "MetricsTraced": {"inheritsFrom": "MetricsModel"},
    # A dict that can also be made from a `MetricsExample`.
    "MetricsAsDict": {
        "pytype": "dict",
        "converters": {
            f"{_TEST_TYPES}.MetricsExample": f"{_TEST_TYPES}.MetricsExample.exportAsDict",
        },
    },
    # Their formatters fail when the dataset says so.
    "Fragile": {"pytype": "dict"},
    "FragileV1": {"pytype": "dict"},
    "FragileDirect": {"pytype": "dict"},
}

_FORMATTERS: Mapping[str, Any] = {
    "StructuredDataDict": _JSON,
    "MetricsDict": _JSON,
    "MetricsAsDict": _JSON,
    "MetricsList": f"{_TEST_FORMATTERS}.MetricsExampleDataFormatter",
    "MetricsWhole": f"{_TEST_FORMATTERS}.MetricsExampleFormatter",
    "MetricsParts": f"{_TEST_FORMATTERS}.MetricsExampleFormatter",
    "MetricsPlain": "lsst.daf.butler.formatters.pickle.PickleFormatter",
    "MetricsModel": _JSON,
    "MetricsTraced": f"{_TEST_FORMATTERS}.MetricsExampleModelProvenanceFormatter",
    "Fragile": get_full_type_name(Failing),
    "FragileV1": get_full_type_name(FailingV1),
    "FragileDirect": get_full_type_name(FailingDirect),
}

_BY_DETECTOR = ("instrument", "detector")
_BY_EXPOSURE = ("instrument", "physical_filter", "exposure", "detector")

# Name, dimensions, storage class of what is stored and what is predicted.
_STORED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("measured", _BY_DETECTOR, "StructuredDataDict"),
    ("exposed", _BY_EXPOSURE, "StructuredDataDict"),
    ("calibration", (), "StructuredDataDict"),
    ("whole", _BY_DETECTOR, "MetricsWhole"),
    ("parts", _BY_DETECTOR, "MetricsParts"),
    ("plain", _BY_DETECTOR, "MetricsPlain"),
    ("series", _BY_DETECTOR, "MetricsList"),
    ("fragile", _BY_DETECTOR, "Fragile"),
)
_PREDICTED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("derived", _BY_DETECTOR, "StructuredDataDict"),
    ("exposed_out", _BY_EXPOSURE, "StructuredDataDict"),
    ("log", (), "StructuredDataDict"),
    ("whole_out", _BY_DETECTOR, "MetricsWhole"),
    ("parts_out", _BY_DETECTOR, "MetricsParts"),
    ("plain_out", _BY_DETECTOR, "MetricsPlain"),
    ("model_out", _BY_DETECTOR, "MetricsModel"),
    ("traced_out", _BY_DETECTOR, "MetricsTraced"),
    ("dict_out", _BY_DETECTOR, "MetricsAsDict"),
    ("fragile_out", _BY_DETECTOR, "Fragile"),
    ("fragile_v1_out", _BY_DETECTOR, "FragileV1"),
    ("fragile_direct_out", _BY_DETECTOR, "FragileDirect"),
)
# Stored in ways of their own, by repositories with one file datastore.
_INGESTED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("grouped", _BY_DETECTOR, "StructuredDataDict"),
    ("zipped", _BY_DETECTOR, "StructuredDataDict"),
    ("external", _BY_DETECTOR, "StructuredDataDict"),
)

_FILE_DATASTORE: Mapping[str, Any] = {
    "cls": "lsst.daf.butler.datastores.fileDatastore.FileDatastore",
    "formatters": _FORMATTERS,
    "composites": {"disassembled": {"MetricsParts": True}},
}

DATASTORES: Mapping[str, Mapping[str, Any]] = {
    "file": _FILE_DATASTORE,
    "checksum": {**_FILE_DATASTORE, "checksum": True},
    "cached": {
        **_FILE_DATASTORE,
        "cached": {
            "default": False,
            "expiry": {"mode": "files", "threshold": 100},
            "cacheable": {"measured": True, "derived": True, "parts.data": True},
        },
    },
    "constrained": {
        **_FILE_DATASTORE,
        "constraints": {"accept": ["all"], "reject": ["exposed", "exposed_out", "MetricsModel"]},
    },
    "chained": {
        "cls": "lsst.daf.butler.datastores.chainedDatastore.ChainedDatastore",
        "datastores": [
            {
                "cls": "lsst.daf.butler.datastores.inMemoryDatastore.InMemoryDatastore",
                "constraints": {"accept": ["all"], "reject": ["exposed", "exposed_out"]},
            },
            {**_FILE_DATASTORE, "records": {"table": "first_records"}},
            {
                **_FILE_DATASTORE,
                "records": {"table": "second_records"},
                "constraints": {"accept": ["all"], "reject": ["derived", "whole"]},
            },
        ],
    },
}
"""Datastore configurations that `make` knows, by name."""


def dataset_id(*name: object) -> uuid.UUID:
    """Return the id of the dataset called ``name``.

    Parameters
    ----------
    *name : `object`
        Whatever tells one dataset from another.

    Returns
    -------
    id : `uuid.UUID`
        An id that looks random (version 4) and never changes.
    """
    digest = hashlib.sha256(repr(name).encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def example_metrics(number: int) -> MetricsExample:
    """Return a composite dataset, different for each number.

    Parameters
    ----------
    number : `int`
        What makes it different.

    Returns
    -------
    metrics : `lsst.daf.butler.tests.MetricsExample`
        The dataset.
    """
    return MetricsExample(
        summary={"AM1": number + 0.25, "AM2": 10 * number},
        output={"a": [number, 2, 3], "b": {"blue": number, "red": "green"}},
        data=[number, 1, 2, 3, 4, 5],
    )


@dataclasses.dataclass(frozen=True)
class Repository:
    """A data repository in a folder, with what quanta need to use it."""

    root: Path
    """Folder of the repository (`pathlib.Path`)."""

    universe: DimensionUniverse
    """Dimensions of the repository (`lsst.daf.butler.DimensionUniverse`)."""

    dataset_types: Mapping[str, DatasetType]
    """Registered dataset types by name (`~collections.abc.Mapping`)."""

    stored: Mapping[str, tuple[DatasetRef, ...]]
    """Datasets with files and records, by dataset type
    (`~collections.abc.Mapping` [ `str`, `tuple` [ `DatasetRef` ] ]).
    """

    predicted: Mapping[str, tuple[DatasetRef, ...]]
    """Datasets that quanta may write, by dataset type
    (`~collections.abc.Mapping` [ `str`, `tuple` [ `DatasetRef` ] ]).
    """

    values: Mapping[uuid.UUID, Any]
    """What was stored (`~collections.abc.Mapping` [ `uuid.UUID`,
    `object` ]).
    """

    records: Mapping[str, DatastoreRecordData]
    """Records of all that is stored, by datastore name
    (`~collections.abc.Mapping` [ `str`, `DatastoreRecordData` ]).
    """

    def copy(self, root: Path, *, registry: bool = False) -> Repository:
        """Copy the repository.

        Parameters
        ----------
        root : `pathlib.Path`
            Folder of the copy; must not exist.
        registry : `bool`, optional
            Whether the copy needs the registry too, which quanta do not.

        Returns
        -------
        copy : `Repository`
            The copy; refs, ids and records are those of this one.
        """
        ignore = None if registry else shutil.ignore_patterns("*.sqlite3")
        shutil.copytree(self.root, root, ignore=ignore)
        return dataclasses.replace(self, root=root)

    def open(self, **options: Any) -> Butler:
        """Open the repository with its registry.

        Parameters
        ----------
        **options
            Passed to `Butler.from_config`.

        Returns
        -------
        butler : `lsst.daf.butler.Butler`
            A full butler, writeable unless the options say otherwise.
        """
        return Butler.from_config(str(self.root), **{"writeable": True, **options})

    def records_of(self, refs: Iterable[DatasetRef]) -> dict[str, DatastoreRecordData]:
        """Return the records of some stored datasets.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` [ `DatasetRef` ]
            The datasets.

        Returns
        -------
        records : `dict` [ `str`, `DatastoreRecordData` ]
            New objects, by datastore name; datastores that hold none of
            the datasets are left out.
        """
        ids = {ref.id for ref in refs}
        parts = {name: data.subset(ids) for name, data in self.records.items()}
        return DatastoreRecordData.merge_mappings(
            {name: data for name, data in parts.items() if data is not None}
        )

    def quantum(
        self,
        inputs: Iterable[DatasetRef] = (),
        outputs: Iterable[DatasetRef] = (),
        *,
        init_inputs: Iterable[DatasetRef] = (),
        recorded: Iterable[DatasetRef] | None = None,
        datastore_records: Mapping[str, DatastoreRecordData] | None = None,
    ) -> Quantum:
        """Make a quantum.

        Parameters
        ----------
        inputs : `~collections.abc.Iterable` [ `DatasetRef` ], optional
            Predicted inputs.
        outputs : `~collections.abc.Iterable` [ `DatasetRef` ], optional
            Predicted outputs.
        init_inputs : `~collections.abc.Iterable` [ `DatasetRef` ], optional
            Predicted inputs of the task's construction; one of each type.
        recorded : `~collections.abc.Iterable` [ `DatasetRef` ], optional
            Datasets whose records the quantum carries; the default is every
            input that has some.
        datastore_records : `~collections.abc.Mapping`, optional
            The records themselves, instead of ``recorded``.

        Returns
        -------
        quantum : `lsst.daf.butler.Quantum`
            The quantum.
        """
        inputs, init_inputs = list(inputs), list(init_inputs)
        if datastore_records is None:
            datastore_records = self.records_of([*inputs, *init_inputs] if recorded is None else recorded)
        return Quantum(
            taskName="some.Task",
            inputs=_by_type(inputs),
            outputs=_by_type(outputs),
            initInputs={ref.datasetType: ref for ref in init_inputs},
            datastore_records=datastore_records,
        )

    def butler(
        self,
        butler_class: type[_B],
        quantum: Quantum | None = None,
        *,
        inputs: Iterable[DatasetRef] = (),
        outputs: Iterable[DatasetRef] = (),
        init_inputs: Iterable[DatasetRef] = (),
        recorded: Iterable[DatasetRef] | None = None,
        datastore_records: Mapping[str, DatastoreRecordData] | None = None,
        **options: Any,
    ) -> _B:
        """Initialize a quantum-backed butler.

        Parameters
        ----------
        butler_class : `type`
            Stock class or ours.
        quantum : `lsst.daf.butler.Quantum`, optional
            What it is for; the default is a quantum made from the next five.
        inputs, outputs, init_inputs, recorded, datastore_records
            See `quantum`.
        **options
            More arguments for ``initialize``.

        Returns
        -------
        butler : ``butler_class``
            The butler; the caller closes it.
        """
        if quantum is None:
            quantum = self.quantum(
                inputs,
                outputs,
                init_inputs=init_inputs,
                recorded=recorded,
                datastore_records=datastore_records,
            )
        options = {"dataset_types": self.dataset_types, **options}
        butler = butler_class.initialize(str(self.root), quantum, self.universe, **options)
        assert isinstance(butler, butler_class)
        return butler

    def artifacts(self) -> dict[str, bytes]:
        """Return every file that a datastore holds.

        Returns
        -------
        artifacts : `dict` [ `str`, `bytes` ]
            Contents by path relative to the root.
        """
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not path.name.startswith(("butler.yaml", "gen3.sqlite3"))
        }

    def paths(self, ref: DatasetRef) -> list[Path]:
        """Return where the files of a stored dataset are.

        Parameters
        ----------
        ref : `DatasetRef`
            A dataset of ``stored``.

        Returns
        -------
        paths : `list` [ `pathlib.Path` ]
            Its files, in no particular order.
        """
        return [
            Path(name.partition("@")[2].replace("<butlerRoot>", str(self.root)), info.artifact_path)
            for name, data in self.records_of([ref]).items()
            for infos in data.records[ref.id].values()
            for info in infos
            if isinstance(info, StoredFileInfo)
        ]


class NewRepository(Protocol):
    """Makes a repository that one test may change as it likes."""

    def __call__(self, kind: str = "file", *, registry: bool = False) -> Repository: ...


def make(root: Path, kind: str = "file") -> Repository:
    """Make a repository.

    Parameters
    ----------
    root : `pathlib.Path`
        Folder to make it in.
    kind : `str`, optional
        One of `DATASTORES`.

    Returns
    -------
    repository : `Repository`
        The repository.  Files that it refers to from outside are in a
        folder beside it.
    """
    config = Config({"datastore": DATASTORES[kind], "storageClasses": _STORAGE_CLASSES})
    Butler.makeRepo(str(root), config=config)
    with Butler.from_config(str(root), writeable=True, run=RUN) as butler:
        _insert_dimensions(butler)
        types = {
            name: _register(butler, name, dimensions, storage_class)
            for name, dimensions, storage_class in (*_STORED, *_PREDICTED, *_INGESTED)
        }
        refs = {name: _refs(butler, dataset_type) for name, dataset_type in types.items()}
        values: dict[uuid.UUID, Any] = {}
        stored: dict[str, tuple[DatasetRef, ...]] = {}
        for name, _, _ in _STORED:
            if kind == "constrained" and name == "exposed":
                continue
            stored[name] = refs[name]
            for number, ref in enumerate(refs[name]):
                values[ref.id] = _value(ref, number)
                butler.put(values[ref.id], ref)
        if kind != "chained":
            outside = root.with_name(f"{root.name}-outside")
            outside.mkdir()
            for name, ingest in (("grouped", _group), ("zipped", _zip), ("external", _refer)):
                stored[name] = refs[name]
                values.update(ingest(butler, refs[name], outside))
        everything = list(itertools.chain.from_iterable(stored.values()))
        return Repository(
            root=root,
            universe=butler.dimensions,
            dataset_types=types,
            stored=stored,
            predicted={name: refs[name] for name, _, _ in _PREDICTED},
            values=values,
            records=dict(butler._datastore.export_records(everything)),
        )


def _by_type(refs: Iterable[DatasetRef]) -> dict[DatasetType, list[DatasetRef]]:
    grouped: dict[DatasetType, list[DatasetRef]] = {}
    for ref in refs:
        grouped.setdefault(ref.datasetType, []).append(ref)
    return grouped


def _insert_dimensions(butler: Butler) -> None:
    insert = butler.registry.insertDimensionData
    insert("instrument", {"name": "Cam", "visit_max": 100, "exposure_max": 100, "detector_max": 100})
    insert("physical_filter", {"instrument": "Cam", "name": "Cam-R1", "band": "r"})
    insert("detector", *[{"instrument": "Cam", "id": i, "full_name": f"D{i}"} for i in range(DETECTORS)])
    insert("day_obs", {"instrument": "Cam", "id": 20260101})
    insert("group", {"instrument": "Cam", "name": "group1"})
    exposure = {"id": 7, "obs_id": "cam-7", "day_obs": 20260101, "group": "group1"}
    insert("exposure", {"instrument": "Cam", "physical_filter": "Cam-R1", **exposure})


def _register(butler: Butler, name: str, dimensions: Sequence[str], storage_class: str) -> DatasetType:
    dataset_type = DatasetType(
        name, butler.dimensions.conform(dimensions), StorageClassFactory().getStorageClass(storage_class)
    )
    butler.registry.registerDatasetType(dataset_type)
    return dataset_type


def _refs(butler: Butler, dataset_type: DatasetType) -> tuple[DatasetRef, ...]:
    data_ids: list[DataCoordinate]
    if "exposure" in dataset_type.dimensions:
        exposure = {"instrument": "Cam", "physical_filter": "Cam-R1", "exposure": 7}
        data_ids = [butler.registry.expandDataId(exposure, detector=i) for i in range(DETECTORS)]
    elif "detector" in dataset_type.dimensions:
        data_ids = [butler.registry.expandDataId(instrument="Cam", detector=i) for i in range(DETECTORS)]
    else:
        data_ids = [DataCoordinate.make_empty(butler.dimensions)]
    return tuple(
        DatasetRef(dataset_type, data_id, RUN, id=dataset_id(dataset_type.name, number))
        for number, data_id in enumerate(data_ids)
    )


def _value(ref: DatasetRef, number: int) -> Any:
    if issubclass(ref.datasetType.storageClass.pytype, MetricsExample):
        return example_metrics(number)
    if ref.datasetType.storageClass.pytype is list:
        return [number, 10, 20, 30]
    return {"type": ref.datasetType.name, "number": number}


def _group(butler: Butler, refs: Sequence[DatasetRef], outside: Path) -> dict[uuid.UUID, Any]:
    # One file that is several datasets.
    path = outside / "grouped.yaml"
    contents = {f"detector{ref.dataId['detector']}": _value(ref, n) for n, ref in enumerate(refs)}
    path.write_text(yaml.safe_dump(contents))
    dataset = FileDataset(path=str(path), refs=list(refs), formatter=MultiDetectorFormatter)
    butler.ingest(dataset, transfer="copy")
    return {ref.id: _value(ref, n) for n, ref in enumerate(refs)}


def _zip(butler: Butler, refs: Sequence[DatasetRef], outside: Path) -> dict[uuid.UUID, Any]:
    # One archive whose members are datasets.
    values = {ref.id: _value(ref, n) for n, ref in enumerate(refs)}
    for ref in refs:
        butler.put(values[ref.id], ref)
    archive = butler.retrieve_artifacts_zip(refs, destination=str(outside))
    butler.pruneDatasets(refs, disassociate=True, unstore=True, purge=True)
    butler.ingest_zip(archive, transfer="copy")
    return values


def _refer(butler: Butler, refs: Sequence[DatasetRef], outside: Path) -> dict[uuid.UUID, Any]:
    # Files that stay where they are and do not belong to the repository.
    values = {ref.id: _value(ref, n) for n, ref in enumerate(refs)}
    for number, ref in enumerate(refs):
        path = outside / f"external{number}.json"
        path.write_text(json.dumps(values[ref.id]))
        butler.ingest(FileDataset(path=str(path), refs=[ref]), transfer="direct")
    return values
