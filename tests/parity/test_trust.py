"""Datasets without records: places are predicted from template and formatter."""

from __future__ import annotations

import pytest
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import Run, scenario

from repositories import example_metrics


@pytest.mark.parametrize("name", ["measured", "exposed", "calibration", "whole", "parts", "plain", "series"])
@scenario
def test_input_without_a_record(run: Run, name: str) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs, recorded=[])
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)
    for ref in refs:
        assert run(butler.stored, ref) is True
        assert run(butler._datastore.knows, ref) is False
        assert run(butler.get, ref) == run.value(ref)
    assert butler._actual_inputs == butler._available_inputs == {ref.id for ref in refs}


@scenario
def test_some_with_and_some_without(run: Run) -> None:
    refs = run.refs("measured")
    run.remove(refs[1])
    run.remove(refs[3])
    butler = run.butler(inputs=refs, recorded=refs[:2])
    expected = dict(zip(refs, [True, False, True, False], strict=True))
    assert run(butler.stored_many, refs) == expected
    assert {ref: run(butler.stored, ref) for ref in refs} == expected
    for ref in refs:
        if expected[ref]:
            assert run(butler.get, ref) == run.value(ref)
        else:
            assert type(run.error(butler.get, ref)) is FileNotFoundError


@pytest.mark.parametrize("name", ["grouped", "zipped", "external"])
@scenario
def test_places_that_cannot_be_predicted(run: Run, name: str) -> None:
    ref = run.ref(name)
    butler = run.butler(inputs=[ref], recorded=[])
    assert run(butler.stored, ref) is False
    assert type(run.error(butler.get, ref)) is FileNotFoundError


@pytest.mark.parametrize("override", ["MetricsModel", "MetricsPlain", "MetricsAsDict"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_registry_storage_class_decides_the_place(run: Run, recorded: bool, override: str) -> None:
    # Another class has another formatter, and another extension.
    ref = run.ref("whole")
    seen = ref.overrideStorageClass(override)
    butler = run.butler(inputs=[ref], recorded=[ref] if recorded else [])
    assert run(butler.stored, seen) is True
    assert run(butler.stored_many, [seen]) == {seen: True}
    value = run(butler.get, seen)
    assert type(value) is seen.datasetType.storageClass.pytype
    run(butler.getURI, seen, predict=True)
    run(butler.get_many_uris, [seen], predict=True)
    run(butler._datastore.export_predicted_records, [seen])


@pytest.mark.parametrize("override", ["MetricsModel", "MetricsPlain"])
@scenario
def test_without_dataset_types_the_ref_decides(run: Run, override: str) -> None:
    ref = run.ref("whole")
    seen = ref.overrideStorageClass(override)
    butler = run.butler(inputs=[ref], recorded=[], dataset_types=None)
    assert run(butler.stored, ref) is True
    assert run(butler.stored, seen) is False
    assert type(run.error(butler.get, seen)) is FileNotFoundError
    run(butler.getURI, seen, predict=True)


@scenario
def test_disassembled_input_with_some_components(run: Run) -> None:
    ref, gone = run.refs("parts", 0, 1)
    run.remove(ref, "data")
    run.remove(gone)
    butler = run.butler(inputs=[ref, gone], recorded=[])
    value = run(butler.get, ref)
    assert (value.summary, value.data) == (run.value(ref).summary, None)
    assert run(butler.get, ref.makeComponentRef("output")) == run.value(ref).output
    assert type(run.error(butler.get, ref.makeComponentRef("data"))) is FileNotFoundError
    error = run.error(butler.get, gone)
    assert type(error) is FileNotFoundError
    assert str(error) == f"None of the component files for dataset {gone} exist."


@scenario
def test_output_of_another_butler(run: Run) -> None:
    # As when a later quantum runs in another process.
    refs = [run.ref("derived"), run.ref("whole_out"), run.ref("parts_out"), run.ref("model_out")]
    first = run.butler(outputs=refs)
    second = run.butler(inputs=refs)
    values = [{"a": 1}, example_metrics(1), example_metrics(2), MetricsExampleModel(summary={"b": 2})]
    for ref, value in zip(refs, values, strict=True):
        assert run(second.stored, ref) is False
        run(first.put, value, ref)
        assert run(second.stored, ref) is True
        assert run(second.get, ref) == value
    assert second._actual_inputs == second._available_inputs == {ref.id for ref in refs}
    # Both came to pass.
    assert second._unavailable_inputs == {ref.id for ref in refs}


@scenario
def test_outputs_of_another_butler_pruned_without_records(run: Run) -> None:
    refs = [run.ref("derived"), run.ref("parts_out")]
    first, second = run.butler(outputs=refs), run.butler(outputs=refs)
    run(first.put, {"a": 1}, refs[0])
    run(first.put, example_metrics(1), refs[1])
    run(second.pruneDatasets, refs, disassociate=True, unstore=True, purge=True)
    assert run(first.stored_many, refs) == dict.fromkeys(refs, False)
    assert first._actual_output_refs == set(refs)
