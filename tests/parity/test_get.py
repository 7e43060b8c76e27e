"""`get` of one dataset: values, bookkeeping, and what happens when it fails."""

from __future__ import annotations

from typing import Any

import pytest
from lsst.daf.butler import FileIntegrityError
from scenarios import Run, scenario


@scenario
def test_predicted_input_becomes_actual_and_available(run: Run) -> None:
    first, second = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[first, second])
    assert run(butler.get, first) == {"type": "measured", "number": 0}
    assert butler._actual_inputs == {first.id}
    assert butler._available_inputs == {first.id}
    assert butler._unavailable_inputs == set()
    assert butler._predicted_inputs == {first.id, second.id}


@scenario
def test_bookkeeping_compares_equal_to_sets_from_both_sides(run: Run) -> None:
    inputs, outputs = run.refs("measured"), run.refs("derived")
    butler = run.butler(inputs=inputs, outputs=outputs)
    ids = {ref.id for ref in inputs}
    assert butler._predicted_inputs == ids and ids == butler._predicted_inputs
    assert not butler._predicted_inputs != ids
    assert butler._predicted_inputs != ids - {inputs[0].id}
    assert butler._predicted_outputs == {ref.id for ref in outputs}
    run(butler.put, {}, outputs[0])
    assert butler._actual_output_refs == {outputs[0]} and {outputs[0]} == butler._actual_output_refs
    assert inputs[0].id in butler._predicted_inputs
    assert len(butler._predicted_inputs) == 4
    assert butler._predicted_inputs - {inputs[0].id} == {ref.id for ref in inputs[1:]}
    assert butler._predicted_inputs & {inputs[0].id} == {inputs[0].id}
    assert butler._predicted_inputs | butler._predicted_outputs == {ref.id for ref in [*inputs, *outputs]}
    assert butler._predicted_inputs.isdisjoint(butler._predicted_outputs)


@scenario
def test_init_input_is_a_predicted_input(run: Run) -> None:
    init, ref = run.ref("calibration"), run.ref("measured")
    butler = run.butler(inputs=[ref], init_inputs=[init])
    assert butler._predicted_inputs == {init.id, ref.id}
    assert run(butler.get, init) == run.value(init)
    assert butler._actual_inputs == butler._available_inputs == {init.id}


@scenario
def test_input_not_predicted_is_read_but_not_noted(run: Run) -> None:
    predicted, other = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[predicted], recorded=[predicted, other])
    assert run(butler.get, other) == run.value(other)
    assert butler._actual_inputs == butler._available_inputs == set()


@scenario
def test_output_read_back_is_not_an_input(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    run(butler.put, {"a": 1}, ref)
    assert run(butler.get, ref) == {"a": 1}
    assert butler._actual_inputs == butler._available_inputs == set()


@scenario
def test_every_kind_of_record_can_be_read(run: Run) -> None:
    refs = [ref for name in run.repository.stored for ref in run.refs(name)]
    butler = run.butler(inputs=refs)
    for ref in refs:
        assert run(butler.get, ref) == run.value(ref)
    assert butler._actual_inputs == {ref.id for ref in refs}
    assert butler._metrics.n_get == len(refs)


@scenario
def test_reading_twice_counts_twice_and_notes_once(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    first = run(butler.get, ref)
    first["changed"] = True
    assert run(butler.get, ref) == run.value(ref)
    assert butler._metrics.n_get == 2
    assert butler._actual_inputs == {ref.id}


@pytest.mark.parametrize("predicted", [True, False], ids=["predicted", "not-predicted"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_missing_file(run: Run, predicted: bool, recorded: bool) -> None:
    ref = run.ref("measured")
    run.remove(ref)
    butler = run.butler(inputs=[ref] if predicted else [], recorded=[ref] if recorded else [])
    error = run.error(butler.get, ref)
    assert type(error) is FileNotFoundError
    # Even one that was not predicted.
    assert butler._unavailable_inputs == {ref.id}
    assert butler._actual_inputs == butler._available_inputs == set()
    assert butler._metrics.n_get == 0


@scenario
def test_file_that_appears_later_is_both_unavailable_and_available(run: Run) -> None:
    ref = run.ref("measured")
    (path,) = run.repository.paths(ref)
    contents = path.read_bytes()
    path.unlink()
    butler = run.butler(inputs=[ref])
    run.error(butler.get, ref)
    path.write_bytes(contents)
    run(butler.get, ref)
    assert butler._unavailable_inputs == butler._available_inputs == butler._actual_inputs == {ref.id}


@scenario
def test_wrong_size(run: Run) -> None:
    ref = run.ref("measured")
    run.repository.paths(ref)[0].write_text("{}")
    butler = run.butler(inputs=[ref])
    error = run.error(butler.get, ref)
    assert type(error) is FileIntegrityError
    assert "does not match size recorded in registry of" in str(error)
    assert butler._unavailable_inputs == butler._available_inputs == butler._actual_inputs == set()


@scenario
def test_broken_contents(run: Run) -> None:
    ref = run.ref("measured")
    (path,) = run.repository.paths(ref)
    path.write_text("x" * path.stat().st_size)
    butler = run.butler(inputs=[ref])
    error = run.error(butler.get, ref)
    assert type(error) is ValueError
    assert str(error).startswith("Failure from formatter 'lsst.daf.butler.formatters.json.JsonFormatter'")
    assert butler._unavailable_inputs == butler._available_inputs == butler._actual_inputs == set()


@pytest.mark.parametrize("exception", ["KeyError", "OSError", "ValueError", "FileNotFoundError"])
@pytest.mark.parametrize("kind", ["fragile_out", "fragile_v1_out"])
@scenario
def test_formatter_that_fails(run: Run, kind: str, exception: str) -> None:
    ref = run.ref(kind)
    butler = run.butler(outputs=[ref])
    run(butler.put, {"fail_read": exception}, ref)
    error = run.error(butler.get, ref)
    if exception == "FileNotFoundError":
        assert type(error) is FileNotFoundError
        assert butler._unavailable_inputs == {ref.id}
    else:
        # The datastore hides what it was.
        assert type(error) is ValueError
        assert type(error.__cause__).__name__ == exception
        assert butler._unavailable_inputs == set()


@pytest.mark.parametrize(
    ["exception", "unavailable"],
    [
        (OSError, True),
        (PermissionError, True),
        (LookupError, True),
        (IndexError, True),
        (ValueError, False),
        (RuntimeError, False),
        (KeyboardInterrupt, False),
    ],
)
@scenario
def test_datastore_that_fails(run: Run, exception: type[BaseException], unavailable: bool) -> None:
    # A formatter's exceptions are hidden by the datastore, but not its own.
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])

    def fail(*args: Any, **options: Any) -> None:
        raise exception("from the datastore")

    butler._datastore.get = fail  # type: ignore[method-assign]
    assert type(run.error(butler.get, ref)) is exception
    assert butler._unavailable_inputs == ({ref.id} if unavailable else set())
    assert butler._actual_inputs == butler._available_inputs == set()
    assert butler._metrics.n_get == 0


@pytest.mark.parametrize(
    ["options", "exception", "unavailable"],
    [
        ({"parameters": {"unknown": 1}}, KeyError, True),
        ({"storageClass": "Unknown"}, KeyError, True),
        ({"storageClass": "MetricsList"}, ValueError, False),
        ({"parameters": 3}, TypeError, False),
        ({"unknown": 3}, TypeError, False),
    ],
    ids=["parameter", "no-such-class", "incompatible-class", "parameters", "keyword"],
)
@scenario
def test_bad_options(
    run: Run, options: dict[str, Any], exception: type[Exception], unavailable: bool
) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    error = run.error(butler.get, ref, **options)
    assert type(error) is exception
    # A LookupError marks the dataset although its file is there.
    assert butler._unavailable_inputs == ({ref.id} if unavailable else set())
    assert butler._actual_inputs == set()


@scenario
def test_ref_is_positional_only(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    assert type(run.error(lambda: butler.get(ref=ref))) is TypeError  # type: ignore[call-arg]
    assert type(run.error(lambda: butler.getDeferred(ref=ref))) is TypeError  # type: ignore[call-arg]
    assert type(run.error(lambda: butler.put({}, ref=ref))) is TypeError  # type: ignore[call-arg]


@pytest.mark.parametrize("parameters", [None, {}], ids=["none", "empty"])
@scenario
def test_no_parameters(run: Run, parameters: dict[str, Any] | None) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    assert run(butler.get, ref, parameters=parameters, storageClass=None) == run.value(ref)


@scenario
def test_parameters_select_a_part(run: Run) -> None:
    series, whole, parts = run.ref("series"), run.ref("whole"), run.ref("parts")
    butler = run.butler(inputs=[series, whole, parts])
    first = {"slice": slice(0, 2)}
    assert run(butler.get, series, parameters=first) == run.value(series)[:2]
    for ref in (whole, parts):
        assert run(butler.get, ref, parameters=first).data == run.value(ref).data[:2]
        assert run(butler.get, ref.makeComponentRef("data"), parameters=first) == run.value(ref).data[:2]
        assert run(butler.get, ref.makeComponentRef("counter"), parameters=first) == 2


@scenario
def test_ref_that_carries_its_own_records(run: Run) -> None:
    # Records in the ref come before those of the butler.
    first, second = run.refs("measured", 0, 1)
    (name,) = run.repository.records
    carried = run.repository.records[name].records[second.id]
    butler = run.butler(inputs=[first])
    assert run(butler.get, first.replace(datastore_records=carried)) == run.value(second)
    wrong = first.replace(datastore_records={table: ["wrong"] for table in carried})
    assert type(run.error(butler.get, wrong)) is TypeError
    elsewhere = first.replace(datastore_records={"other_table": []})
    assert run(butler.get, elsewhere) == run.value(first)
    assert run(butler.stored, first.replace(datastore_records={})) is True
