"""`stored` and `stored_many`, and the datastore's own questions."""

from __future__ import annotations

import pytest
from lsst.resources import ResourcePath
from scenarios import Run, scenario


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@pytest.mark.parametrize("many", [True, False], ids=["stored_many", "stored"])
@scenario
def test_predicted_inputs_are_noted(run: Run, recorded: bool, many: bool) -> None:
    here, gone = run.refs("measured", 0, 1)
    run.remove(gone)
    butler = run.butler(inputs=[here, gone], recorded=[here, gone] if recorded else [])
    if many:
        assert run(butler.stored_many, [here, gone]) == {here: True, gone: False}
    else:
        assert run(butler.stored, here) is True
        assert run(butler.stored, gone) is False
    assert butler._available_inputs == {here.id}
    assert butler._unavailable_inputs == {gone.id}
    assert butler._actual_inputs == set()


@pytest.mark.parametrize("many", [True, False], ids=["stored_many", "stored"])
@scenario
def test_others_are_not_noted(run: Run, many: bool) -> None:
    predicted, other, output = run.ref("measured"), run.ref("measured", 1), run.ref("derived")
    gone = run.ref("measured", 2)
    run.remove(gone)
    butler = run.butler(inputs=[predicted], outputs=[output], recorded=[predicted, other, gone])
    expected = {other: True, output: False, gone: False}
    if many:
        assert run(butler.stored_many, expected) == expected
    else:
        assert {ref: run(butler.stored, ref) for ref in expected} == expected
    assert butler._available_inputs == butler._unavailable_inputs == set()


@scenario
def test_output_is_stored_once_it_is_put(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    assert run(butler.stored, ref) is False
    run(butler.put, {}, ref)
    assert run(butler.stored, ref) is True
    assert run(butler.stored_many, [ref]) == {ref: True}


@scenario
def test_every_kind_of_record(run: Run) -> None:
    # Datasets that share a file have a test of their own.
    refs = [ref for name in run.repository.stored if name != "grouped" for ref in run.refs(name)]
    butler = run.butler(inputs=refs)
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)
    assert all(run(butler.stored, ref) for ref in refs[::3])
    assert butler._available_inputs == {ref.id for ref in refs}


@scenario
def test_any_iterable_will_do(run: Run) -> None:
    refs = run.refs("measured")
    butler = run.butler(inputs=refs)
    expected = dict.fromkeys(refs, True)
    assert run(butler.stored_many, (ref for ref in refs)) == expected
    assert run(butler.stored_many, set(refs)) == expected
    assert run(butler.stored_many, [*refs, *refs]) == expected
    assert run(butler.stored_many, []) == {}


@scenario
def test_file_that_goes_away(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    assert run(butler.stored, ref) is True
    run.remove(ref)
    assert run(butler.stored, ref) is False
    # Nothing is taken back.
    assert butler._available_inputs == butler._unavailable_inputs == {ref.id}


@scenario
def test_disassembled_needs_all_files_when_recorded(run: Run) -> None:
    complete, broken, gone = run.refs("parts", 0, 1, 2)
    run.remove(broken, "data")
    run.remove(gone)
    butler = run.butler(inputs=[complete, broken, gone])
    expected = {complete: True, broken: False, gone: False}
    assert run(butler.stored_many, expected) == expected
    assert {ref: run(butler.stored, ref) for ref in expected} == expected


@scenario
def test_disassembled_needs_any_file_when_predicted(run: Run) -> None:
    complete, broken, gone = run.refs("parts", 0, 1, 2)
    run.remove(broken, "data", "summary")
    run.remove(gone)
    butler = run.butler(inputs=[complete, broken, gone], recorded=[])
    expected = {complete: True, broken: True, gone: False}
    assert run(butler.stored_many, expected) == expected
    assert {ref: run(butler.stored, ref) for ref in expected} == expected


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_component_is_stored_if_its_dataset_is(run: Run, recorded: bool) -> None:
    whole, parts, broken = run.ref("whole"), run.ref("parts"), run.ref("parts", 1)
    run.remove(broken, "data")
    inputs = [whole, parts, broken]
    butler = run.butler(inputs=inputs, recorded=inputs if recorded else [])
    for name in ("summary", "data", "counter"):
        assert run(butler.stored, whole.makeComponentRef(name)) is True
        assert run(butler.stored, parts.makeComponentRef(name)) is True
        # Not only its own file counts.
        assert run(butler.stored, broken.makeComponentRef(name)) is not recorded
        assert run(butler._datastore.exists, broken.makeComponentRef(name)) is not recorded
    components = [parts.makeComponentRef("summary"), whole.makeComponentRef("summary")]
    assert run(butler.stored_many, components) == dict.fromkeys(components, True)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_one_answer_for_each_dataset(run: Run, recorded: bool) -> None:
    # Of several refs with one id only the last is answered.
    parts, whole = run.ref("parts"), run.ref("whole")
    butler = run.butler(inputs=[parts, whole], recorded=[parts, whole] if recorded else [])
    summary = parts.makeComponentRef("summary")
    assert run(butler.stored_many, [parts, parts.makeComponentRef("data"), summary]) == {summary: True}
    assert run(butler.stored_many, [summary, parts]) == {parts: True}
    model = whole.overrideStorageClass("MetricsModel")
    assert run(butler.stored_many, [model, whole]) == {whole: True}
    assert run(butler.stored_many, [whole, model]) == {model: True}


@scenario
def test_override_of_the_storage_class_comes_back_as_it_was_given(run: Run) -> None:
    whole, gone = run.refs("whole", 0, 1)
    run.remove(gone)
    butler = run.butler(inputs=[whole, gone])
    here = whole.overrideStorageClass("MetricsModel")
    not_here = gone.overrideStorageClass("MetricsModel")
    existence = run(butler.stored_many, [here, not_here])
    assert existence == {here: True, not_here: False}
    assert {ref.datasetType.storageClass_name for ref in existence} == {"MetricsModel"}
    assert run(butler.stored, here) is True
    assert run(butler.stored, not_here) is False


@scenario
def test_datastore_tells_existence_from_knowledge(run: Run) -> None:
    recorded, gone, unrecorded, nowhere = run.refs("measured")
    run.remove(gone)
    run.remove(nowhere)
    inputs = [recorded, gone, unrecorded, nowhere]
    butler = run.butler(inputs=inputs, recorded=[recorded, gone])
    datastore = butler._datastore
    known = {recorded: True, gone: True, unrecorded: False, nowhere: False}
    there = {recorded: True, gone: False, unrecorded: True, nowhere: False}
    assert run(datastore.knows_these, inputs) == known
    assert {ref: run(datastore.knows, ref) for ref in inputs} == known
    assert run(datastore.mexists, inputs) == there
    assert {ref: run(datastore.exists, ref) for ref in inputs} == there
    # The datastore keeps no books on the quantum.
    assert butler._available_inputs == butler._unavailable_inputs == set()


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "not-recorded"])
@scenario
def test_artifact_existence_is_filled_in_and_believed(run: Run, recorded: bool) -> None:
    first, second, parts = run.ref("measured"), run.ref("measured", 1), run.ref("parts")
    run.remove(second)
    inputs = [first, second, parts]
    butler = run.butler(inputs=inputs, recorded=inputs if recorded else [])
    found: dict[ResourcePath, bool] = {}
    existence = run(butler._datastore.mexists, inputs, artifact_existence=found)
    assert existence == {first: True, second: False, parts: True}
    run.note("artifact existence", found)
    assert sorted(found.values()) == [False, True, True, True, True]
    untrue = dict.fromkeys(found, False)
    assert run(butler._datastore.mexists, inputs, untrue) == dict.fromkeys(inputs, False)


@scenario
def test_directory_in_place_of_the_file(run: Run) -> None:
    ref = run.ref("measured")
    (path,) = run.repository.paths(ref)
    path.unlink()
    path.mkdir()
    butler = run.butler(inputs=[ref])
    run(butler.stored, ref)
    run(butler.stored_many, [ref])
    run.error(butler.get, ref)
