"""`extract_provenance_data`: what it says, changes and warns about."""

from __future__ import annotations

import json
import uuid

import pytest
from lsst.daf.butler import QuantumProvenanceData
from scenarios import Run, scenario

from repositories import dataset_id, example_metrics

_HARNESS = "Execution harness did not check predicted inputs "
_INCOMPLETE = " for existence; available inputs recorded in provenance may be incomplete."
_DEFERRED = (
    " were marked as actually used (probably because a DeferredDatasetHandle) was obtained, but did not "
    "actually exist.  This task should be be using markInputUnused directly to clarify its provenance."
)


def _warnings(run: Run) -> list[str]:
    return [message for level, message in run.steps[-1].effects["logs"] if level == "WARNING"]


@scenario
def test_a_whole_quantum(run: Run) -> None:
    inputs, outputs = run.refs("measured"), run.refs("derived")
    init = run.ref("calibration")
    run.remove(inputs[3])
    butler = run.butler(inputs=inputs, outputs=outputs, init_inputs=[init])
    run(butler.stored_many, [*inputs, init])
    run(butler.get, init)
    run(butler.get, inputs[0])
    run(butler.getDeferred, inputs[1])
    run(butler.markInputUnused, inputs[1])
    run(butler.put, {"a": 1}, outputs[0])
    run(butler.put, {"a": 2}, outputs[1])
    provenance = run(butler.extract_provenance_data)
    assert _warnings(run) == []
    assert isinstance(provenance, QuantumProvenanceData)
    assert provenance.predicted_inputs == {ref.id for ref in [*inputs, init]}
    assert provenance.available_inputs == {ref.id for ref in [*inputs[:3], init]}
    assert provenance.actual_inputs == {init.id, inputs[0].id}
    assert provenance.predicted_outputs == {ref.id for ref in outputs}
    assert provenance.actual_outputs == {ref.id for ref in outputs[:2]}
    (name,) = provenance.datastore_records
    assert name == "FileDatastore@<butlerRoot>"
    assert set(provenance.datastore_records[name].dataset_ids) == provenance.actual_outputs
    (kind,) = provenance.datastore_records[name].records
    assert kind == "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"
    assert provenance.datastore_records[name].records[kind][outputs[0].id.hex] == {
        "file_datastore_records": [
            {
                "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
                "path": "observed/night1/derived/derived_Cam_D0_observed_night1.json",
                "storage_class": "StructuredDataDict",
                "component": "__NULL_STRING__",
                "checksum": None,
                "file_size": 8,
            }
        ]
    }


@scenario
def test_json_means_the_same(run: Run) -> None:
    outputs = [*run.refs("derived", 0, 1), run.ref("parts_out")]
    inputs = run.refs("measured")
    butler = run.butler(inputs=inputs, outputs=outputs)
    run(butler.stored_many, inputs)
    run(butler.get, inputs[0])
    run(butler.put, {}, outputs[0])
    run(butler.put, example_metrics(1), outputs[2])
    provenance = run(butler.extract_provenance_data)
    text = provenance.model_dump_json()
    loaded = json.loads(text)
    for ids in (*loaded.values(), *(records for records in loaded["datastore_records"].values())):
        if isinstance(ids, list):
            ids.sort()
        elif "dataset_ids" in ids:
            ids["dataset_ids"].sort()
    run.note("as JSON", loaded)
    for again in (
        QuantumProvenanceData.model_validate_json(text),
        QuantumProvenanceData.direct(**json.loads(text)),
        QuantumProvenanceData.model_validate(provenance.model_dump()),
        type(provenance).model_validate_json(text),
        type(provenance).direct(**json.loads(text)),
    ):
        assert run.plain(again) == run.plain(provenance)
    assert type(run.error(provenance.parse_raw, text)) is NotImplementedError


@scenario
def test_unavailable_inputs_are_no_longer_actual(run: Run) -> None:
    here, gone = run.refs("measured", 0, 1)
    run.remove(gone)
    butler = run.butler(inputs=[here, gone])
    run(butler.stored_many, [here, gone])
    run(butler.getDeferred, here)
    run(butler.getDeferred, gone)
    assert butler._actual_inputs == {here.id, gone.id}
    assert run(butler.extract_provenance_data).actual_inputs == {here.id}
    assert _warnings(run) == [f"Inputs {{{gone.id!r}}}{_DEFERRED}"]
    assert butler._actual_inputs == {here.id}
    # It has been said, and it stays corrected.
    assert run(butler.extract_provenance_data).actual_inputs == {here.id}
    assert _warnings(run) == []


@scenario
def test_inputs_that_nobody_checked(run: Run) -> None:
    first, second, third = run.refs("measured", 0, 1, 2)
    butler = run.butler(inputs=[first, second, third])
    run(butler.stored, first)
    run(butler.get, second)
    run(butler.extract_provenance_data)
    assert _warnings(run) == [f"{_HARNESS}{{{third.id!r}}}{_INCOMPLETE}"]
    run(butler.stored, third)
    run(butler.extract_provenance_data)
    assert _warnings(run) == []


@scenario
def test_unpredicted_input_that_failed_counts_as_checked(run: Run) -> None:
    # The sets differ, but nothing is missing.
    ref, other = run.refs("measured", 0, 1)
    run.remove(other)
    butler = run.butler(inputs=[ref], recorded=[ref, other])
    run(butler.stored, ref)
    run.error(butler.get, other)
    run(butler.extract_provenance_data)
    assert _warnings(run) == [f"{_HARNESS}set(){_INCOMPLETE}"]


@scenario
def test_both_warnings(run: Run) -> None:
    first, gone, third, fourth = run.refs("measured")
    run.remove(gone)
    butler = run.butler(inputs=[first, gone, third, fourth])
    run.error(run(butler.getDeferred, gone).get)
    run(butler.extract_provenance_data)
    first_warning, second_warning = _warnings(run)
    assert str(gone.id) in first_warning and first_warning.endswith(_DEFERRED)
    assert second_warning.startswith(_HARNESS) and second_warning.endswith(_INCOMPLETE)
    assert all(str(ref.id) in second_warning for ref in (first, third, fourth))
    assert str(gone.id) not in second_warning


@scenario
def test_nothing_was_predicted(run: Run) -> None:
    butler = run.butler()
    provenance = run(butler.extract_provenance_data)
    assert _warnings(run) == []
    assert provenance.predicted_inputs == provenance.actual_outputs == set()
    (records,) = provenance.datastore_records.values()
    assert records.dataset_ids == [] and records.records == {}


@scenario
def test_nothing_was_done(run: Run) -> None:
    butler = run.butler(inputs=run.refs("measured"), outputs=run.refs("derived"))
    provenance = run(butler.extract_provenance_data)
    assert provenance.actual_inputs == provenance.available_inputs == provenance.actual_outputs == set()


@scenario
def test_records_of_what_was_not_written_are_left_out(run: Run) -> None:
    inputs = run.refs("measured")
    butler = run.butler(inputs=inputs, outputs=run.refs("derived"))
    run(butler.get, inputs[0])
    (records,) = run(butler.extract_provenance_data).datastore_records.values()
    assert records.dataset_ids == []


@scenario
def test_it_may_be_asked_for_again(run: Run) -> None:
    first, second = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[first, second])
    run(butler.put, {}, first)
    early = run(butler.extract_provenance_data)
    run(butler.put, {}, second)
    late = run(butler.extract_provenance_data)
    assert late.actual_outputs == {first.id, second.id}
    # The earlier answer is what it was.
    assert early.actual_outputs == {first.id}
    (records,) = early.datastore_records.values()
    assert records.dataset_ids == [first.id]


@scenario
def test_answer_belongs_to_the_caller(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    provenance = run(butler.extract_provenance_data)
    provenance.predicted_outputs.add(ref.id)
    provenance.datastore_records.clear()
    assert ref.id not in run(butler.extract_provenance_data).predicted_outputs
    assert len(run(butler.extract_provenance_data).datastore_records) == 1


@pytest.mark.parametrize("count", [0, 1, 100_000])
@scenario
def test_number_of_predicted_ids(run: Run, count: int) -> None:
    inputs = [uuid.UUID(int=2 * n, version=4) for n in range(count)]
    outputs = [uuid.UUID(int=2 * n + 1, version=4) for n in range(count)]
    butler = run.butler_class.from_predicted(
        str(run.repository.root), inputs, outputs, run.repository.universe, {}
    )
    assert butler._predicted_inputs == set(inputs)
    assert butler._predicted_outputs == set(outputs)
    # Stock makes messages of all ids; what it says then has its own tests.
    provenance = butler.extract_provenance_data()
    assert provenance.predicted_inputs == set(inputs)
    assert provenance.predicted_outputs == set(outputs)
    assert provenance.available_inputs == set()
    assert len(json.loads(provenance.model_dump_json())["predicted_inputs"]) == count
    butler.close()
    run.note("predicted", (len(inputs), len(outputs)))


@scenario
def test_100_000_outputs_and_one_that_is_real(run: Run) -> None:
    ref, measured = run.ref("derived"), run.ref("measured")
    inputs = [measured.id, *(dataset_id("in", n) for n in range(50_000))]
    outputs = [ref.id, *(dataset_id("out", n) for n in range(50_000))]
    butler = run.butler_class.from_predicted(
        str(run.repository.root),
        predicted_inputs=inputs,
        predicted_outputs=outputs,
        dimensions=run.repository.universe,
        datastore_records=run.repository.records,
    )
    assert butler.get(measured) == run.value(measured)
    butler.put({}, ref)
    provenance = butler.extract_provenance_data()
    assert provenance.actual_inputs == provenance.available_inputs == {measured.id}
    assert provenance.actual_outputs == {ref.id}
    assert provenance.predicted_inputs == set(inputs)
    butler.close()
    run.note("the file", True)
