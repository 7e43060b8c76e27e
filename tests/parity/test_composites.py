"""Composite datasets in one file or in many, and their components."""

from __future__ import annotations

import pytest
from lsst.daf.butler import DatasetRef, StorageClassFactory, UnknownComponentError
from lsst.daf.butler.tests import MetricsExample
from scenarios import Run, scenario

from repositories import example_metrics


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@pytest.mark.parametrize("name", ["whole", "parts"])
@scenario
def test_components_of_inputs(run: Run, name: str, recorded: bool) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs, recorded=refs if recorded else [])
    for ref in refs:
        value = run.value(ref)
        assert run(butler.get, ref.makeComponentRef("summary")) == value.summary
        assert run(butler.get, ref.makeComponentRef("output")) == value.output
        assert run(butler.get, ref.makeComponentRef("data")) == value.data
        assert run(butler.get, ref.makeComponentRef("counter")) == len(value.data)
        assert run(butler.get, ref) == value
    # A component has the id of its dataset.
    assert butler._actual_inputs == butler._available_inputs == {ref.id for ref in refs}
    assert butler._metrics.n_get == 5 * len(refs)


@pytest.mark.parametrize("name", ["whole_out", "parts_out"])
@scenario
def test_outputs(run: Run, name: str) -> None:
    first, second = run.refs(name, 0, 1)
    butler = run.butler(outputs=[first, second])
    run(butler.put, example_metrics(1), first)
    run(butler.put, example_metrics(2), second)
    assert run(butler.get, first) == example_metrics(1)
    assert run(butler.get, second.makeComponentRef("summary")) == example_metrics(2).summary
    assert run(butler.get, second.makeComponentRef("counter")) == 6
    written = [
        path for path in run.repository.artifacts() if f"/{name}{'.' if name == 'parts_out' else '/'}" in path
    ]
    assert len(written) == (6 if name == "parts_out" else 2)
    (data,) = run(butler._datastore.export_records, [first]).values()
    (infos,) = data.records[first.id].values()
    components = {info.component for info in infos}
    assert components == ({"summary", "output", "data"} if name == "parts_out" else {None})


@scenario
def test_dataset_without_one_of_its_components(run: Run) -> None:
    ref = run.ref("parts_out")
    butler = run.butler(outputs=[ref])
    run(butler.put, MetricsExample(summary={"a": 1}, output={"b": 2}, data=None), ref)
    value = run(butler.get, ref)
    assert (value.summary, value.output, value.data) == ({"a": 1}, {"b": 2}, None)
    assert run(butler.get, ref.makeComponentRef("summary")) == {"a": 1}
    assert type(run.error(butler.get, ref.makeComponentRef("data"))) is FileNotFoundError
    assert run(butler.stored, ref) is True
    assert run(butler.stored, ref.makeComponentRef("data")) is True


@scenario
def test_dataset_with_only_one_of_its_components(run: Run) -> None:
    ref = run.ref("parts_out")
    butler = run.butler(outputs=[ref])
    run(butler.put, MetricsExample(summary={"a": 1}, output=None, data=None), ref)
    assert run(butler.stored, ref) is True
    # One record looks like a dataset in one file.
    assert type(run.error(butler.get, ref.makeComponentRef("summary"))) is ValueError
    error = run.error(butler.get, ref)
    assert type(error) is FileNotFoundError
    assert str(error) == f"Component None not found for ref {ref} in datastore"


@pytest.mark.parametrize("name", ["whole", "parts"])
@scenario
def test_conversion_of_a_component(run: Run, name: str) -> None:
    ref = run.ref(name)
    butler = run.butler(inputs=[ref])
    summary = ref.makeComponentRef("summary")
    assert run(butler.get, summary, storageClass="StructuredDataDict") == run.value(ref).summary
    assert run(butler.get, summary.overrideStorageClass("StructuredDataDict")) == run.value(ref).summary
    assert type(run.error(butler.get, summary, storageClass="MetricsList")) is ValueError


@scenario
def test_component_of_a_converted_dataset(run: Run) -> None:
    # Written without components; the class it is read as has some.
    ref = run.ref("plain")
    butler = run.butler(inputs=[ref])
    seen = ref.overrideStorageClass("MetricsWhole")
    assert run(butler.get, seen) == run.value(ref)
    assert run(butler.get, seen.makeComponentRef("summary")) == run.value(ref).summary
    # Stock says that this is slow.
    assert any("does not define it" in message for _, message in run.steps[-1].effects["logs"])
    assert run(butler.get, seen.makeComponentRef("counter")) == 6
    assert run(butler.stored, seen.makeComponentRef("summary")) is True


@scenario
def test_broken_disassembled_input(run: Run) -> None:
    first, second, third = run.refs("parts", 0, 1, 2)
    run.remove(first, "data")
    run.remove(second, "data", "summary", "output")
    butler = run.butler(inputs=[first, second, third])
    value = run(butler.get, first)
    assert (value.summary, value.output, value.data) == (*_two(run, first), None)
    assert run(butler.get, first.makeComponentRef("summary")) == run.value(first).summary
    error = run.error(butler.get, first.makeComponentRef("data"))
    assert type(error) is FileNotFoundError
    assert str(error).startswith("Component data not found for ref parts.data@")
    assert type(run.error(butler.get, first.makeComponentRef("counter"))) is ValueError
    assert type(run.error(butler.get, second)) is FileNotFoundError
    assert butler._unavailable_inputs == {first.id, second.id}
    assert butler._available_inputs == butler._actual_inputs == {first.id}


def _two(run: Run, ref: DatasetRef) -> tuple[object, object]:
    value = run.value(ref)
    return value.summary, value.output


@scenario
def test_one_component_of_a_broken_dataset_is_unreadable(run: Run) -> None:
    ref = run.ref("parts")
    for path in run.repository.paths(ref):
        if ".output/" in path.as_posix():
            path.write_text("?" * path.stat().st_size)
    butler = run.butler(inputs=[ref])
    assert type(run.error(butler.get, ref)) is ValueError
    assert type(run.error(butler.get, ref.makeComponentRef("output"))) is ValueError
    assert run(butler.get, ref.makeComponentRef("summary")) == run.value(ref).summary


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("name", ["whole", "parts"])
@scenario
def test_conversion_of_a_composite(run: Run, name: str, kind: str) -> None:
    if kind == "input":
        ref = run.ref(name)
        butler = run.butler(inputs=[ref])
        value = run.value(ref)
    else:
        ref, value = run.ref(f"{name}_out"), example_metrics(5)
        butler = run.butler(outputs=[ref])
        run(butler.put, value, ref)
    if name == "parts":
        # It is put together as what it is read as.
        assert run(butler.get, ref, storageClass="MetricsWhole") == value
        error = run.error(butler.get, ref, storageClass="MetricsModel")
        assert type(error) is UnknownComponentError
        assert butler._unavailable_inputs == {ref.id}
        return
    model = run(butler.get, ref, storageClass="MetricsModel")
    assert (model.summary, model.output, model.data) == (value.summary, value.output, value.data)
    storage_class = StorageClassFactory().getStorageClass("MetricsAsDict")
    assert run(butler.get, ref, storageClass=storage_class) == value.exportAsDict()
