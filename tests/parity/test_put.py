"""`put`: files, records, bookkeeping, and nothing left behind on failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy.exc
from lsst.daf.butler import DatasetProvenance
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import Run, scenario

from repositories import example_metrics


@scenario
def test_output_is_written_recorded_and_noted(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(inputs=run.refs("measured"), outputs=run.refs("derived"))
    assert run(butler.put, {"a": [1, 2]}, ref) is ref
    path = "observed/night1/derived/derived_Cam_D0_observed_night1.json"
    contents = run.repository.artifacts()[path]
    assert json.loads(contents) == {"a": [1, 2]}
    assert butler._actual_output_refs == {ref}
    (info,) = run(butler._datastore.export_records, [ref])[butler._datastore.name].records[ref.id][
        "file_datastore_records"
    ]
    assert (info.path, info.file_size, info.checksum, info.component) == (path, len(contents), None, None)
    assert info.storage_class_name == "StructuredDataDict"
    assert info.formatter == "lsst.daf.butler.formatters.json.JsonFormatter"
    assert butler._metrics.n_put == 1


@scenario
def test_every_kind_of_output(run: Run) -> None:
    names = list(run.repository.predicted)
    butler = run.butler(outputs=[ref for name in names for ref in run.refs(name)])
    for number, ref in enumerate(ref for name in names for ref in run.refs(name)[:2]):
        metrics = ref.datasetType.storageClass_name.startswith("Metrics")
        run(butler.put, example_metrics(number) if metrics else {"number": number}, ref)
        run(butler.get, ref)
    assert len(run.repository.artifacts()) > len(names)


@pytest.mark.parametrize("name", ["measured", "derived"])
@scenario
def test_not_predicted(run: Run, name: str) -> None:
    predicted, input_ref, other = run.ref("derived"), run.ref("measured"), run.ref(name, 1)
    butler = run.butler(inputs=[input_ref], outputs=[predicted])
    error = run.error(butler.put, {}, other)
    assert type(error) is RuntimeError
    assert str(error) == "Cannot `put` dataset that was not predicted as an output."
    assert butler._actual_output_refs == set()
    assert butler._metrics.n_put == 0


@scenario
def test_an_input_is_not_an_output(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref], outputs=run.refs("derived"))
    assert type(run.error(butler.put, {}, ref)) is RuntimeError


@scenario
def test_second_put_fails_and_takes_the_file_away(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    run(butler.put, {"a": 1}, ref)
    assert type(run.error(butler.put, {"a": 2}, ref)) is sqlalchemy.exc.IntegrityError
    assert not any("derived" in path for path in run.repository.artifacts())
    assert butler._actual_output_refs == {ref}
    assert run(butler._datastore.knows, ref) is True
    assert run(butler.stored, ref) is False
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)


@scenario
def test_file_left_by_somebody_else_is_overwritten(run: Run) -> None:
    # As after an attempt that was killed.
    ref, parts = run.ref("derived"), run.ref("parts_out")
    leftovers = [
        "observed/night1/derived/derived_Cam_D0_observed_night1.json",
        "observed/night1/parts_out.data/parts_out_data_Cam_D0_observed_night1.yaml",
    ]
    for leftover in leftovers:
        path = run.repository.root / leftover
        path.parent.mkdir(parents=True)
        path.write_text("rubbish")
    butler = run.butler(outputs=[ref, parts])
    run(butler.put, {"a": 1}, ref)
    run(butler.put, example_metrics(3), parts)
    assert run(butler.get, ref) == {"a": 1}
    assert run(butler.get, parts) == example_metrics(3)


@pytest.mark.parametrize("dataset", [[1, 2], "text", None, 3, {1, 2}], ids=repr)
@scenario
def test_object_of_a_wrong_type(run: Run, dataset: Any) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    assert type(run.error(butler.put, dataset, ref)) is TypeError
    assert butler._actual_output_refs == set()
    assert butler._metrics.n_put == 0
    # It can be put right.
    run(butler.put, {}, ref)


@scenario
def test_object_that_cannot_be_serialized(run: Run) -> None:
    ref, parts = run.ref("derived"), run.ref("parts_out")
    butler = run.butler(outputs=[ref, parts])
    assert type(run.error(butler.put, {"a": object()}, ref)) is RuntimeError
    metrics = example_metrics(1)
    metrics.output = {"a": object()}
    # One of the components may have been written by then.
    assert type(run.error(butler.put, metrics, parts)) is RuntimeError
    assert not any("/parts_out." in path or "derived" in path for path in run.repository.artifacts())
    assert run(butler._datastore.knows_these, [ref, parts]) == {ref: False, parts: False}
    run(butler.put, example_metrics(1), parts)


@pytest.mark.parametrize("exception", ["RuntimeError", "OSError", "KeyError", "KeyboardInterrupt"])
@pytest.mark.parametrize("name", ["fragile_out", "fragile_v1_out", "fragile_direct_out"])
@scenario
def test_formatter_that_fails_half_way(run: Run, name: str, exception: str) -> None:
    ref = run.ref(name)
    butler = run.butler(outputs=[ref])
    before = run.repository.artifacts()
    error = run.error(butler.put, {"fail_write": exception, "filler": "x" * 5000}, ref)
    if exception == "KeyboardInterrupt":
        assert type(error) is KeyboardInterrupt
    else:
        assert type(error) is RuntimeError
        assert str(error).startswith("Failed to serialize dataset fragile")
        assert type(error.__cause__).__name__ == exception
    assert run.repository.artifacts() == before
    assert run(butler._datastore.knows, ref) is False
    assert butler._actual_output_refs == set()
    assert butler._metrics.n_put == 0
    # And the butler is as good as before.
    run(butler.put, {"a": 1}, ref)
    assert run(butler.get, ref) == {"a": 1}


@scenario
def test_directory_in_place_of_the_file(run: Run) -> None:
    ref = run.ref("derived")
    path = run.repository.root / "observed/night1/derived/derived_Cam_D0_observed_night1.json"
    path.mkdir(parents=True)
    butler = run.butler(outputs=[ref])
    run.error(butler.put, {"a": 1}, ref)
    assert butler._actual_output_refs == set()
    assert run(butler._datastore.knows, ref) is False


@scenario
def test_file_in_place_of_the_directory(run: Run) -> None:
    ref = run.ref("derived")
    (run.repository.root / "observed/night1/derived").write_text("in the way")
    butler = run.butler(outputs=[ref])
    run.error(butler.put, {"a": 1}, ref)
    assert butler._actual_output_refs == set()
    assert run(butler._datastore.knows, ref) is False


@scenario
def test_provenance_reaches_the_formatter(run: Run) -> None:
    plain, traced, nothing = run.ref("derived"), run.ref("traced_out"), run.ref("traced_out", 1)
    inputs = run.refs("measured", 0, 1)
    butler = run.butler(inputs=inputs, outputs=[plain, traced, nothing])
    provenance = DatasetProvenance(quantum_id=plain.id)
    for ref in inputs:
        provenance.add_input(ref)
    run(butler.put, {"a": 1}, plain, provenance=provenance)
    run(butler.put, MetricsExampleModel(summary={"a": 1}), traced, provenance=provenance)
    run(butler.put, MetricsExampleModel(summary={"a": 1}), nothing)
    read = run(butler.get, traced)
    assert read.dataset_id == traced.id
    assert read.provenance.quantum_id == plain.id
    assert [ref.id for ref in read.provenance.inputs] == [ref.id for ref in inputs]
    assert run(butler.get, nothing).provenance is None


@scenario
def test_component_ref_of_a_predicted_output(run: Run) -> None:
    # Odd, but accepted: the id is predicted.
    ref = run.ref("whole_out")
    component = ref.makeComponentRef("summary")
    butler = run.butler(outputs=[ref])
    run(butler.put, {"a": 1}, component)
    assert butler._actual_output_refs == {component}
    run.error(butler.put, example_metrics(1), ref)


@scenario("checksum")
def test_checksums(run: Run) -> None:
    ref, parts = run.ref("derived"), run.ref("parts_out")
    inputs = [run.ref("measured")]
    butler = run.butler(inputs=inputs, outputs=[ref, parts])
    run(butler.put, {"a": 1}, ref)
    run(butler.put, example_metrics(1), parts)
    provenance = run(butler.extract_provenance_data)
    tables = provenance.datastore_records["FileDatastore@<butlerRoot>"].records
    infos = [
        info
        for datasets in tables.values()
        for tables_of_dataset in datasets.values()
        for infos_of_table in tables_of_dataset.values()
        for info in infos_of_table
    ]
    assert len(infos) == 4
    assert all(len(info["checksum"]) == 128 for info in infos)
    assert len({info["checksum"] for info in infos}) == 4
    assert run(butler.get, inputs[0]) == run.value(inputs[0])


@pytest.mark.parametrize("name", ["derived", "parts_out"])
@scenario
def test_object_that_is_refused_takes_no_file_away(run: Run, name: str) -> None:
    ref = run.ref(name)
    with run.repository.butler(run.butler_class, outputs=[ref]) as other:
        other.put(example_metrics(1) if name == "parts_out" else {"a": 1}, ref)
    before = run.repository.artifacts()
    butler = run.butler(outputs=[ref])
    run.error(butler.put, "text" if name == "parts_out" else example_metrics(2), ref)
    assert run.repository.artifacts() == before
    assert len(before) > 1


@scenario
def test_second_part_that_is_refused_takes_the_first_away(run: Run) -> None:
    ref = run.ref("parts_out")
    butler = run.butler(outputs=[ref])
    broken = example_metrics(1)
    broken.data = object()
    run.error(butler.put, broken, ref)
    run.note("files", run.repository.artifacts())
    assert run(butler.stored, ref) is False
