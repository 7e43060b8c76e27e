"""The formatters that pipelines use: tables, metadata, logs, packages and pickles, read and written alike."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import astropy.table
import astropy.units
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lsst.daf.butler import DatasetRef, DatasetType, StorageClassFactory
from lsst.daf.butler.logging import ButlerLogRecordHandler, ButlerLogRecords
from lsst.pipe.base import TaskMetadata
from lsst.utils.packages import Packages
from scenarios import Butler, Run, plain, scenario

from repositories import RUN, dataset_id

ROWS = 50


def _columns() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {
        "id": np.arange(ROWS, dtype=np.int64),
        "flux": random.normal(size=ROWS).astype(np.float32),
        "flag": random.random(ROWS) > 0.5,
        "band": np.array(["g", "r", "i", "zé", ""] * (ROWS // 5)),
    }


def _astropy() -> astropy.table.Table:
    table = astropy.table.Table(_columns(), meta={"a": "b"})
    table["flux"].unit = astropy.units.nJy
    return table


def _numpy() -> np.ndarray:
    return astropy.table.Table(_columns()).as_array()


def _metadata() -> TaskMetadata:
    metadata = TaskMetadata.from_dict({"a": 1, "b": {"c": [1.5, float("nan")], "d": "é"}})
    metadata["big"] = 2**80
    return metadata


def _logs() -> ButlerLogRecords:
    handler = ButlerLogRecordHandler()
    for level in (logging.DEBUG, logging.WARNING):
        record = logging.LogRecord("a.b", level, "f.py", 3, "%s is %d", ("é", 4), None)
        # The rest tells of this process and thread.
        record.created, record.msecs, record.process, record.thread = 1.5e9, 0.0, 1, 1
        record.threadName = record.processName = "one"
        handler.emit(record)
    return handler.records


DATASETS: dict[str, Callable[[], Any]] = {
    "ArrowTable": lambda: pa.table(_columns()),
    "ArrowAstropy": _astropy,
    "ArrowNumpy": _numpy,
    "ArrowNumpyDict": _columns,
    "DataFrame": lambda: pd.DataFrame(_columns()).set_index("id"),
    "AstropyTable": _astropy,
    "AstropyQTable": lambda: astropy.table.QTable(_astropy()),
    "NumpyArray": lambda: np.arange(12.0).reshape(3, 4),
    "TaskMetadata": _metadata,
    "ButlerLogRecords": _logs,
    "Packages": lambda: Packages({"a": "1.0", "b": "2+é"}),
    "int": lambda: 2**70,
}
"""What is written, by storage class."""

TABLES = [name for name in DATASETS if name.startswith(("Arrow", "DataFrame"))]


def _shown(value: Any) -> Any:
    """Return something that can be compared with ``==`` and tells all."""
    match value:
        case np.ndarray():
            return ("array", str(value.dtype), value.shape, value.tobytes().hex())
        case astropy.table.Table():
            columns = {
                name: (_shown(np.asarray(value[name])), str(value[name].unit)) for name in value.columns
            }
            return (type(value).__name__, columns, dict(value.meta))
        case pd.DataFrame():
            return (
                "frame",
                value.reset_index().to_dict("list"),
                list(map(str, value.dtypes)),
                value.index.name,
            )
        case pd.Index():
            return ("index", list(value))
        case pa.Table():
            return ("table", str(value.schema), value.to_pydict())
        case pa.Schema():
            return ("schema", str(value))
        case ButlerLogRecords():
            return [record.model_dump_json() for record in value]
        case TaskMetadata():
            return value.model_dump_json()
        case dict():
            return {name: _shown(one) for name, one in value.items()}
        case int() | float() | str() | list() | None:
            return plain(value)
    return (type(value).__name__, str(value))


def _dataset_type(run: Run, storage_class: str) -> DatasetType:
    """Return a dataset type with a storage class of upstream's."""
    dimensions = run.repository.dataset_types["measured"].dimensions
    return DatasetType(
        f"of_{storage_class}", dimensions, StorageClassFactory().getStorageClass(storage_class)
    )


def _refs(run: Run, dataset_type: DatasetType) -> list[DatasetRef]:
    return [
        DatasetRef(dataset_type, other.dataId, RUN, id=dataset_id(dataset_type.name, number))
        for number, other in enumerate(run.refs("measured"))
    ]


def _butler(run: Run, dataset_type: DatasetType, **refs: list[DatasetRef]) -> Butler:
    types = {**run.repository.dataset_types, dataset_type.name: dataset_type}
    butler = run.butler(dataset_types=types, **refs)
    # Stock warns once in a process of types that are not installed and that it would convert from.
    for storage_class in (
        dataset_type.storageClass,
        StorageClassFactory().getStorageClass(dataset_type.storageClass_name),
    ):
        storage_class._get_converters_by_type()
    return butler


def _attempt(run: Run, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Make a call that may be refused; return what it gives, in a form that can be compared."""

    def call() -> Any:
        return _shown(function(*args, **options))

    call.__name__ = function.__name__
    try:
        return run(call)
    except Exception as error:
        run.note("refused", type(error).__name__)
        return None


def _write_and_read(run: Run, name: str) -> None:
    dataset_type = _dataset_type(run, name)
    refs = _refs(run, dataset_type)
    butler = _butler(run, dataset_type, outputs=refs)
    dataset = DATASETS[name]()
    assert _attempt(run, butler.put, dataset, refs[0]) == _shown(refs[0])
    _attempt(run, butler.put, "of another type", refs[1])
    assert _attempt(run, butler.put, dataset, refs[2]) == _shown(refs[2])
    # With the records of the butler that wrote, and with none.
    for reader in (butler, _butler(run, dataset_type, inputs=refs)):
        _attempt(run, reader.get, refs[0])
        _attempt(run, reader.get, refs[1])
        for component in sorted(dataset_type.storageClass.allComponents()):
            _attempt(run, reader.get, refs[0].makeComponentRef(component))
        if "columns" in dataset_type.storageClass.parameters:
            _attempt(run, reader.get, refs[2], parameters={"columns": ["flux", "flag"]})
            _attempt(run, reader.get, refs[2], parameters={"columns": "no such column"})
            _attempt(run, reader.getDeferred(refs[2]).get, parameters={"columns": ["flux"]})
        _attempt(run, reader.get, refs[2], parameters={"none": 1})
        run(reader.stored_many, refs)


@pytest.mark.parametrize("name", DATASETS)
@scenario
def test_writing_and_reading(run: Run, name: str) -> None:
    _write_and_read(run, name)


@pytest.mark.parametrize("name", ["ArrowAstropy", "NumpyArray", "TaskMetadata", "ButlerLogRecords"])
@scenario("checksum")
def test_with_checksums(run: Run, name: str) -> None:
    _write_and_read(run, name)


@pytest.mark.parametrize("stored", TABLES)
@scenario
def test_tables_in_other_forms(run: Run, stored: str) -> None:
    dataset_type = _dataset_type(run, stored)
    ref, *others = _refs(run, dataset_type)
    butler = _butler(run, dataset_type, outputs=[ref, *others])
    run(butler.put, DATASETS[stored](), ref)
    for name in TABLES:
        _attempt(run, butler.get, ref, storageClass=name)
        _attempt(run, butler.get, ref.makeComponentRef("columns"), storageClass=name)
        other = others[0]
        # What is given has another type than what is stored.
        _attempt(run, butler.put, DATASETS[name](), other)
        _attempt(run, butler.get, other)
        _attempt(run, butler.pruneDatasets, [other], disassociate=True, unstore=True, purge=True)
