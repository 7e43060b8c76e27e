"""Storage class overrides and conversions, on reading and on writing."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest
from lsst.daf.butler import StorageClass
from lsst.daf.butler.tests import MetricsExample, MetricsExampleModel
from scenarios import Run, scenario

from repositories import example_metrics

_MODEL = MetricsExampleModel.from_metrics(example_metrics(2))


@pytest.mark.parametrize(
    ["override", "pytype"],
    [("MetricsModel", MetricsExampleModel), ("MetricsAsDict", dict), ("MetricsWhole", MetricsExample)],
)
@pytest.mark.parametrize("name", ["whole", "plain"])
@scenario
def test_override_on_reading(run: Run, name: str, override: str, pytype: type) -> None:
    ref = run.ref(name)
    butler = run.butler(inputs=[ref])
    by_option = run(butler.get, ref, storageClass=override)
    by_ref = run(butler.get, ref.overrideStorageClass(override))
    assert type(by_option) is type(by_ref) is pytype
    assert by_option == by_ref
    # The option comes after the ref, and must be compatible with it.
    model = ref.overrideStorageClass("MetricsModel")
    if override == "MetricsAsDict":
        assert type(run.error(butler.get, model, storageClass=override)) is ValueError
    else:
        assert run(butler.get, model, storageClass=override) == by_option


@pytest.mark.parametrize(
    "dataset", [example_metrics(2), _MODEL, example_metrics(2).exportAsDict()], ids=["same", "model", "dict"]
)
@pytest.mark.parametrize("name", ["whole_out", "plain_out", "parts_out"])
@scenario
def test_put_converts_to_the_storage_class(run: Run, name: str, dataset: Any) -> None:
    ref = run.ref(name)
    butler = run.butler(outputs=[ref])
    if name == "parts_out" and not isinstance(dataset, MetricsExample):
        # The delegate takes apart what it is given as it is.
        try:
            run(butler.put, dataset, ref)
        except Exception as error:
            run.note("refused", type(error).__name__)
            return
    else:
        run(butler.put, dataset, ref)
    run(butler.get, ref)
    if name != "parts_out":
        assert butler.get(ref) == example_metrics(2)


@pytest.mark.parametrize(
    "dataset", [example_metrics(2), _MODEL, {"summary": {"a": 1}}], ids=["other", "same", "dict"]
)
@scenario
def test_put_of_a_model(run: Run, dataset: Any) -> None:
    ref = run.ref("model_out")
    butler = run.butler(outputs=[ref])
    if isinstance(dataset, dict):
        assert type(run.error(butler.put, dataset, ref)) is TypeError
        return
    run(butler.put, dataset, ref)
    assert run(butler.get, ref) == _MODEL
    assert run(butler.get, ref, storageClass="MetricsPlain") == example_metrics(2)


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "not-registered"])
@scenario
def test_put_of_a_ref_with_another_storage_class(run: Run, registered: bool) -> None:
    # As a task that declares its connection with another class.
    ref, plain = run.ref("model_out"), run.ref("whole_out")
    task_ref = ref.overrideStorageClass("MetricsPlain")
    plain_ref = plain.overrideStorageClass("MetricsModel")
    types = run.repository.dataset_types if registered else None
    butler = run.butler(outputs=[ref, plain], dataset_types=types)
    run(butler.put, example_metrics(2), task_ref)
    run(butler.put, _MODEL, plain_ref)
    assert butler._actual_output_refs == {task_ref, plain_ref}
    assert run(butler.get, task_ref) == example_metrics(2)
    assert run(butler.get, plain_ref) == _MODEL
    assert run(butler.stored_many, [task_ref, plain_ref]) == {task_ref: True, plain_ref: True}
    (records,) = run(butler._datastore.export_records, [ref, plain]).values()
    written = {
        name: info.storage_class_name
        for name, dataset in (("model_out", ref), ("whole_out", plain))
        for infos in records.records[dataset.id].values()
        for info in infos
    }
    # What the registry says is what is written.
    assert written == (
        {"model_out": "MetricsModel", "whole_out": "MetricsWhole"}
        if registered
        else {"model_out": "MetricsPlain", "whole_out": "MetricsModel"}
    )
    if registered:
        assert run(butler.get, ref) == _MODEL
        assert run(butler.get, plain.makeComponentRef("summary")) == example_metrics(2).summary
    run(butler.pruneDatasets, [task_ref, plain_ref], disassociate=True, unstore=True, purge=True)
    assert run(butler.stored_many, [ref, plain]) == {ref: False, plain: False}


@scenario
def test_dataset_type_that_has_changed_since(run: Run) -> None:
    # Written as one class, registered as another by now.
    refs = run.refs("whole", 0, 1)
    changed = run.repository.dataset_types["whole"].overrideStorageClass("MetricsModel")
    types = {**run.repository.dataset_types, "whole": changed}
    butler = run.butler(inputs=refs, recorded=refs[:1], dataset_types=types)
    new_refs = [ref.overrideStorageClass("MetricsModel") for ref in refs]
    assert type(run(butler.get, new_refs[0])) is MetricsExampleModel
    assert run(butler.get, refs[0]) == run.value(refs[0])
    # Without a record the place is that of the new class.
    assert run(butler.stored, refs[1]) is False
    assert type(run.error(butler.get, refs[1])) is FileNotFoundError


@scenario
def test_dataset_types_of_only_some(run: Run) -> None:
    ref, other = run.ref("whole"), run.ref("plain")
    types = {"plain": run.repository.dataset_types["plain"]}
    butler = run.butler(inputs=[ref, other], dataset_types=types)
    for seen in (ref.overrideStorageClass("MetricsModel"), other.overrideStorageClass("MetricsModel")):
        assert run(butler.stored, seen) is True
        assert type(run(butler.get, seen)) is MetricsExampleModel


@scenario
def test_dict_from_metrics(run: Run) -> None:
    ref = run.ref("dict_out")
    butler = run.butler(outputs=[ref])
    run(butler.put, example_metrics(3), ref)
    assert run(butler.get, ref) == example_metrics(3).exportAsDict()
    assert run(butler.get, ref, storageClass="MetricsPlain") == example_metrics(3)


def _with_converters(storage_class: StorageClass, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let a storage class convert from types, as if nobody had asked it to so far."""
    monkeypatch.setattr(storage_class, "_converters", dict.fromkeys(names, "builtins.dict"))
    monkeypatch.setattr(storage_class, "_converters_by_type", None)


@scenario
def test_converters_are_imported_only_if_needed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, other, third = run.refs("derived", 0, 1, 2)
    _with_converters(ref.datasetType.storageClass, monkeypatch, "no.such.module.Type", "collections.UserDict")
    butler = run.butler(inputs=run.refs("measured"), outputs=[ref, other, third])
    run(butler.put, {"a": 1}, ref)
    run(butler.get, ref)
    run(butler.get, run.ref("measured"))
    assert not any(step.effects.get("logs") for step in run.steps)
    # Now they are, and what cannot be imported is told.
    run(butler.put, UserDict({"b": 2}), other)
    assert "no.such.module.Type" in str(run.steps[-1].effects["logs"])
    assert run(butler.get, other) == {"b": 2}
    assert type(run.error(butler.put, 7, third)) is TypeError


@scenario
def test_nothing_is_no_reason_to_import_converters(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = run.ref("derived")
    _with_converters(ref.datasetType.storageClass, monkeypatch, "no.such.module.Type")
    butler = run.butler(outputs=[ref])
    run.error(butler.put, None, ref)
    assert not any(step.effects.get("logs") for step in run.steps)
