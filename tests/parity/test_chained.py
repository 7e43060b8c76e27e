"""A chain of datastores: one in memory, two of files, each with constraints."""

from __future__ import annotations

import pytest
from lsst.daf.butler import DatasetTypeNotSupportedError
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import Run, scenario

from repositories import example_metrics

PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.mark.parametrize("name", ["measured", "exposed", "calibration", "whole", "parts", "plain", "series"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario("chained")
def test_inputs(run: Run, name: str, recorded: bool) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs, recorded=refs if recorded else [])
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)
    for ref in refs:
        assert run(butler.stored, ref) is True
        assert run(butler.get, ref) == run.value(ref)
    assert butler._actual_inputs == {ref.id for ref in refs}


@scenario("chained")
def test_file_in_one_of_two(run: Run) -> None:
    ref, gone = run.refs("measured", 0, 1)
    first, _ = sorted(run.repository.paths(ref))
    first.unlink()
    run.remove(gone)
    butler = run.butler(inputs=[ref, gone])
    assert run(butler.stored_many, [ref, gone]) == {ref: True, gone: False}
    assert run(butler.stored, ref) is True
    assert run(butler.get, ref) == run.value(ref)
    error = run.error(butler.get, gone)
    assert type(error) is FileNotFoundError
    assert str(error) == f"Dataset {gone} could not be found in any of the datastores"


@pytest.mark.parametrize(
    ["name", "in_memory", "files"],
    [
        ("derived", True, ["FileDatastore_1"]),
        ("exposed_out", False, ["FileDatastore_1", "FileDatastore_2"]),
        ("log", True, ["FileDatastore_1", "FileDatastore_2"]),
        ("whole_out", True, ["FileDatastore_1", "FileDatastore_2"]),
        ("parts_out", True, ["FileDatastore_1", "FileDatastore_2"]),
        ("plain_out", True, ["FileDatastore_1", "FileDatastore_2"]),
    ],
)
@scenario("chained")
def test_outputs_go_where_they_are_accepted(run: Run, name: str, in_memory: bool, files: list[str]) -> None:
    ref = run.ref(name)
    composite = name.startswith(("whole", "parts", "plain"))
    value = example_metrics(1) if composite else {"a": 1}
    butler = run.butler(outputs=[ref])
    assert run(butler.stored, ref) is False
    run(butler.put, value, ref)
    assert run(butler.stored, ref) is True
    memory, *_ = butler._datastore.datastores  # type: ignore[attr-defined]
    assert run(memory.exists, ref) is in_memory

    def written() -> list[str]:
        folder = f"/{name}." if name == "parts_out" else f"/{name}/"
        return sorted({path.split("/")[0] for path in run.repository.artifacts() if folder in path})

    assert written() == files
    read = run(butler.get, ref)
    assert read == value
    # What is in memory is the object itself.
    assert (read is value) is in_memory
    if composite:
        assert run(butler.get, ref, storageClass="MetricsAsDict") == value.exportAsDict()
    if name in ("whole_out", "parts_out"):
        assert run(butler.get, ref.makeComponentRef("summary")) == value.summary
        assert run(butler.get, ref.makeComponentRef("counter")) == 6
    provenance = run(butler.extract_provenance_data)
    assert {key.rpartition("/")[2] for key in provenance.datastore_records} == {
        "FileDatastore_1",
        "FileDatastore_2",
    }
    holding = {
        key.rpartition("/")[2] for key, data in provenance.datastore_records.items() if data.dataset_ids
    }
    assert sorted(holding) == files
    run(butler.pruneDatasets, [ref], **PURGE)
    assert run(butler.stored, ref) is False
    assert written() == []
    run(butler.put, value, ref)


@scenario("chained")
def test_each_butler_has_a_memory_of_its_own(run: Run) -> None:
    ref = run.ref("derived")
    first = run.butler(outputs=[ref])
    run(first.put, {"a": 1}, ref)
    for path in run.repository.root.rglob("derived*.json"):
        path.unlink()
    assert run(first.get, ref) == {"a": 1}
    second = run.butler(inputs=[ref])
    assert run(second.stored, ref) is False
    assert type(run.error(second.get, ref)) is FileNotFoundError
    assert run(first.stored, ref) is True


@scenario("chained")
def test_object_of_a_wrong_type(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    assert type(run.error(butler.put, [1], ref)) is TypeError
    assert run(butler.stored, ref) is False


@scenario("chained")
def test_prune_of_several(run: Run) -> None:
    refs = [*run.refs("derived", 0, 1), *run.refs("exposed_out", 0, 1)]
    inputs = run.refs("measured", 0, 1)
    butler = run.butler(inputs=inputs, outputs=refs)
    for ref in refs:
        run(butler.put, {}, ref)
    run(butler.pruneDatasets, [*refs[:3], inputs[0]], **PURGE)
    assert run(butler.stored_many, [*refs, *inputs]) == dict(
        zip([*refs, *inputs], [False, False, False, True, False, True], strict=True)
    )
    run(butler.pruneDatasets, refs, disassociate=False, unstore=True)


@scenario("chained")
def test_deferred(run: Run) -> None:
    ref, output = run.ref("parts"), run.ref("derived")
    butler = run.butler(inputs=[ref], outputs=[output])
    handle = run(butler.getDeferred, ref)
    assert run(handle.get, component="data", parameters={"slice": slice(0, 2)}) == run.value(ref).data[:2]
    run(butler.put, {"a": 1}, output)
    assert run(run(butler.getDeferred, output).get) == {"a": 1}


@scenario("chained")
def test_uris(run: Run) -> None:
    ref, parts, output = run.ref("measured"), run.ref("parts"), run.ref("derived")
    butler = run.butler(inputs=[ref, parts], outputs=[output])
    for predict in (True, False):
        run(butler.getURI, ref, predict=predict)
        run(butler.getURIs, parts, predict=predict)
        run(butler.get_many_uris, [ref, parts], predict=predict)
    run(butler.getURI, output, predict=True)
    assert type(run.error(butler.getURI, output)) is FileNotFoundError
    run(butler.put, {}, output)
    run(butler.getURI, output)


@scenario("chained")
def test_records(run: Run) -> None:
    inputs, output = run.refs("measured"), run.ref("derived")
    butler = run.butler(inputs=inputs, outputs=[output])
    run(butler.put, {}, output)
    exported = run(butler._datastore.export_records, [*inputs, output])
    assert len(exported) == 2
    table = run(butler._datastore.export_table, [ref.id for ref in [*inputs, output]])
    assert len(table) == 9
    assert len(run(butler.export_predicted_datastore_records, [*inputs, output])) == 2
    run(butler._datastore.get_file_info_for_transfer, [ref.id for ref in [*inputs, output]])
    empty = run.butler(inputs=inputs, recorded=[])
    run(empty._datastore.import_records, exported)
    assert run(empty._datastore.knows_these, inputs) == dict.fromkeys(inputs, True)
    other = run.butler(inputs=inputs, recorded=[])
    run(other._datastore.import_table, table)
    assert run(other._datastore.knows_these, inputs) == dict.fromkeys(inputs, True)


@scenario("chained")
def test_put_of_a_model(run: Run) -> None:
    ref = run.ref("model_out")
    butler = run.butler(outputs=[ref])
    run(butler.put, example_metrics(1), ref)
    assert type(run(butler.get, ref)) is MetricsExampleModel


@scenario("constrained")
def test_constraints(run: Run) -> None:
    accepted, rejected, by_class = run.ref("derived"), run.ref("exposed_out"), run.ref("model_out")
    butler = run.butler(outputs=[accepted, rejected, by_class])
    run(butler.put, {}, accepted)
    for ref, value in ((rejected, {}), (by_class, MetricsExampleModel())):
        error = run.error(butler.put, value, ref)
        assert type(error) is DatasetTypeNotSupportedError
        assert str(error) == f"Dataset {ref} has been rejected by this datastore via configuration."
        assert run(butler.stored, ref) is False
    assert butler._actual_output_refs == {accepted}
    (records,) = run(butler.export_predicted_datastore_records, [accepted, rejected, by_class]).values()
    assert set(records.records) == {accepted.id}
    run(butler.get_many_uris, [accepted, rejected, by_class], predict=True)
    # An override does not help: the registry's class decides.
    task_ref = by_class.overrideStorageClass("MetricsPlain")
    assert type(run.error(butler.put, example_metrics(1), task_ref)) is DatasetTypeNotSupportedError


@scenario("constrained")
def test_constraints_do_not_keep_anybody_from_reading(run: Run) -> None:
    # Recorded elsewhere, or put there by somebody with other rules.
    ref = run.ref("exposed_out")
    path = "observed/night1/exposed_out/20260101/cam-7/exposed_out_Cam_Cam-R1_cam-7_D0_observed_night1.json"
    target = run.repository.root / path
    target.parent.mkdir(parents=True)
    target.write_text('{"a": 1}')
    butler = run.butler(inputs=[ref])
    assert run(butler.stored, ref) is True
    assert run(butler.get, ref) == {"a": 1}


@scenario("constrained")
def test_inputs_of_a_constrained_datastore(run: Run) -> None:
    refs = [ref for name in ("measured", "parts", "whole") for ref in run.refs(name)]
    butler = run.butler(inputs=refs)
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)
    for ref in refs:
        assert run(butler.get, ref) == run.value(ref)
