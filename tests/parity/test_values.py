"""Texts and numbers that are not exactly `str` and `int`, in runs and data IDs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from lsst.daf.butler import DataCoordinate, DatasetRef
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from scenarios import Run, scenario

from quantum_butler.quantum.values import data_id_value
from repositories import dataset_id


class _Formatted(str):
    """Text that puts itself together, and takes nothing from itself."""

    def __format__(self, spec: str) -> str:
        return f"formatted:{spec}"

    def translate(self, table: Any) -> str:
        return _Formatted(f"{self}?")

    def replace(self, *_: Any) -> str:
        return self


def _in_enum(text: str) -> str:
    return enum.Enum("_InEnum", {"IT": text}, type=str).IT  # type: ignore[attr-defined,no-any-return]


TEXTS: dict[str, Callable[[str], str]] = {
    "str": str,
    "numpy": numpy.str_,
    "enum": _in_enum,
    "subclass": type("_Plain", (str,), {}),
    "formatted": _Formatted,
}
NUMBERS: dict[str, Any] = {
    "int64": numpy.int64(3),
    "uint8": numpy.uint8(3),
    "bool": True,
    "enum": enum.IntEnum("_Numbers", {"THREE": 3}).THREE,  # type: ignore[attr-defined]
    "2**63": 2**63,
    "negative": -1,
    "float": 1.5,
}


def _made(run: Run, name: str, in_run: str, instrument: str, detector: Any) -> DatasetRef:
    """Make a ref of values that nothing has looked through."""
    like = run.ref(name)
    dataset_type = like.datasetType
    data_id = DataCoordinate.from_required_values(dataset_type.dimensions, (instrument, detector))
    data_id = data_id.expanded(like.dataId.records)
    return DatasetRef(dataset_type, data_id, run=in_run, id=dataset_id(f"{name} {detector!r}"))


def _use(run: Run, ref: DatasetRef, value: Any) -> None:
    """Do with a dataset what an executor does."""
    butler = run.butler(outputs=[ref])
    run(butler.export_predicted_datastore_records, [ref])
    run(butler.stored, ref)
    run(butler.put, value, ref)
    run(butler.stored_many, [ref])
    run(butler.getURI, ref)
    run(butler.get, ref)
    other = run.butler(inputs=[ref], recorded=[])
    run(other.get, ref)
    run(other.getURI, ref, predict=True)
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
    run(butler.stored, ref)


@pytest.mark.parametrize("kind", TEXTS)
@scenario
def test_texts(run: Run, kind: str) -> None:
    text = TEXTS[kind]
    _use(run, _made(run, "derived", text("u/me"), text("Cam/1 a"), 7), {"a": 1})


@pytest.mark.parametrize("kind", NUMBERS)
@scenario
def test_numbers(run: Run, kind: str) -> None:
    _use(run, _made(run, "derived", "u/me", "Cam", NUMBERS[kind]), {"a": 1})


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("path", ["a/b.json", "a b/\u00fc.json", "a%20b.json"])
@scenario
def test_texts_in_records(run: Run, kind: str, path: str) -> None:
    ref = run.ref("measured")
    info = StoredFileInfo(
        "lsst.daf.butler.formatters.json.JsonFormatter",
        TEXTS[kind](path),
        None,
        None,
        None,
        -1,
        storage_class_name="StructuredDataDict",
    )
    file = run.repository.root / path.replace("%20", " ")
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"a": 1}')
    butler = run.butler(inputs=[ref], recorded=[])
    butler._datastore._register_datasets([(ref, info)])
    run(butler.stored, ref)
    run(butler.getURI, ref)
    run(butler.get, ref)


@pytest.mark.parametrize("kind", TEXTS)
def test_one_rule_for_texts(kind: str) -> None:
    value = data_id_value(TEXTS[kind]("u/me"))
    assert (type(value), value) == (str, "u/me")


@pytest.mark.parametrize("kind", [kind for kind in NUMBERS if kind != "float"])
def test_one_rule_for_numbers(kind: str) -> None:
    value = data_id_value(NUMBERS[kind])
    assert (type(value), value) == (int, NUMBERS[kind])


@pytest.mark.parametrize("value", [1.5, None, b"a", numpy.float64(1)])
def test_no_value(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        data_id_value(value)
