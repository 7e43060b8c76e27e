"""`pruneDatasets`: refusals, what goes, what stays."""

from __future__ import annotations

from typing import Any

import pytest
from scenarios import Run, scenario

from repositories import example_metrics

PURGE = {"disassociate": True, "unstore": True, "purge": True}
UNSTORE = {"disassociate": False, "unstore": True}


@pytest.mark.parametrize(
    ["options", "message"],
    [
        ({}, "Cannot pass disassociate=True without purge=True."),
        ({"unstore": True}, "Cannot pass disassociate=True without purge=True."),
        ({"purge": True}, "Cannot pass purge=True without unstore=True."),
        (
            {"purge": True, "unstore": True, "disassociate": False},
            "Cannot pass purge=True without disassociate=True.",
        ),
        ({"purge": True, "disassociate": False}, "Cannot pass purge=True without disassociate=True."),
    ],
)
@scenario
def test_refusals(run: Run, options: dict[str, Any], message: str) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    run(butler.put, {}, ref)
    error = run.error(butler.pruneDatasets, [ref], **options)
    assert type(error) is TypeError
    assert str(error) == message
    assert run(butler.stored, ref) is True


@pytest.mark.parametrize("options", [PURGE, UNSTORE, {"disassociate": False}])
@scenario
def test_component(run: Run, options: dict[str, Any]) -> None:
    first, second = run.refs("whole_out", 0, 1)
    component = second.makeComponentRef("summary")
    butler = run.butler(outputs=[first, second])
    run(butler.put, example_metrics(1), first)
    error = run.error(butler.pruneDatasets, [first, component], **options)
    assert type(error) is ValueError
    assert str(error) == f"Can not prune a component of a dataset (ref={component})"
    assert run(butler.stored, first) is True


@scenario
def test_purge(run: Run) -> None:
    outputs = [*run.refs("derived"), *run.refs("parts_out", 0, 1), *run.refs("whole_out", 0, 1)]
    butler = run.butler(outputs=outputs)
    for ref in outputs:
        metrics = "_out" in ref.datasetType.name
        run(butler.put, example_metrics(1) if metrics else {"a": 1}, ref)
    gone, kept = outputs[::2], outputs[1::2]
    run(butler.pruneDatasets, gone, **PURGE)
    assert butler._actual_output_refs == set(kept)
    assert run(butler.stored_many, outputs) == {**dict.fromkeys(gone, False), **dict.fromkeys(kept, True)}
    assert run(butler._datastore.knows_these, outputs) == {
        **dict.fromkeys(gone, False),
        **dict.fromkeys(kept, True),
    }
    provenance = run(butler.extract_provenance_data)
    assert provenance.actual_outputs == {ref.id for ref in kept}
    (records,) = provenance.datastore_records.values()
    assert set(records.dataset_ids) == {ref.id for ref in kept}


@scenario
def test_unstore_alone_leaves_the_ref_an_actual_output(run: Run) -> None:
    first, second = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[first, second])
    run(butler.put, {}, first)
    run(butler.put, {}, second)
    run(butler.pruneDatasets, [first], **UNSTORE)
    assert butler._actual_output_refs == {first, second}
    assert run(butler.stored_many, [first, second]) == {first: False, second: True}
    provenance = run(butler.extract_provenance_data)
    assert provenance.actual_outputs == {first.id, second.id}
    (records,) = provenance.datastore_records.values()
    assert records.dataset_ids == [second.id]


@scenario
def test_neither_does_nothing(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(outputs=[ref])
    run(butler.put, {}, ref)
    run(butler.pruneDatasets, [ref], disassociate=False)
    assert run(butler.stored, ref) is True
    assert butler._actual_output_refs == {ref}


@pytest.mark.parametrize("options", [PURGE, UNSTORE], ids=["purge", "unstore"])
@pytest.mark.parametrize("name", ["derived", "parts_out"])
@scenario
def test_put_again(run: Run, name: str, options: dict[str, Any]) -> None:
    ref = run.ref(name)
    first, second = (example_metrics(1), example_metrics(2)) if name == "parts_out" else ({"a": 1}, {"a": 2})
    butler = run.butler(outputs=[ref])
    run(butler.put, first, ref)
    run(butler.pruneDatasets, [ref], **options)
    assert run(butler.stored, ref) is False
    run(butler.put, second, ref)
    assert run(butler.get, ref) == second
    assert butler._actual_output_refs == {ref}
    run(butler.pruneDatasets, [ref], **options)
    assert run(butler.stored, ref) is False


@scenario
def test_any_iterable_will_do(run: Run) -> None:
    refs = run.refs("derived")
    butler = run.butler(outputs=refs)
    for ref in refs:
        run(butler.put, {}, ref)
    run(butler.pruneDatasets, (ref for ref in refs[:2]), **PURGE)
    run(butler.pruneDatasets, {refs[2]}, tags=["ignored"], **PURGE)
    run(butler.pruneDatasets, [refs[3], refs[3]], **PURGE)
    run(butler.pruneDatasets, [], **PURGE)
    run(butler.pruneDatasets, [], **UNSTORE)
    assert butler._actual_output_refs == set()
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, False)


@scenario
def test_what_was_never_there(run: Run) -> None:
    refs = run.refs("derived")
    butler = run.butler(outputs=refs)
    run(butler.pruneDatasets, refs[:1], **PURGE)
    run(butler.pruneDatasets, refs, **PURGE)
    run(butler.put, {}, refs[0])
    run(butler.pruneDatasets, refs, **PURGE)
    assert not any("derived" in path for path in run.repository.artifacts())


@scenario
def test_inputs_go_too(run: Run) -> None:
    refs = run.refs("measured")
    butler = run.butler(inputs=refs)
    run(butler.get, refs[0])
    run(butler.pruneDatasets, refs[:2], **PURGE)
    run(butler.pruneDatasets, refs[2:3], **UNSTORE)
    assert run(butler.stored_many, refs) == dict(zip(refs, [False, False, False, True], strict=True))
    assert butler._actual_inputs == {refs[0].id}


@scenario
def test_files_without_records_go_too(run: Run) -> None:
    # Predicted places are believed.
    measured, parts = run.refs("measured"), run.refs("parts", 0, 1)
    butler = run.butler(inputs=[*measured, *parts], recorded=measured[:1])
    run(butler.pruneDatasets, [*measured[:3], *parts], **PURGE)
    assert run(butler.stored_many, measured) == dict(zip(measured, [False] * 3 + [True], strict=True))
    assert not any("/parts" in path and "_D0_" in path for path in run.repository.artifacts())


@scenario
def test_record_of_one_missing_file_stays(run: Run) -> None:
    ref = run.ref("measured")
    run.remove(ref)
    butler = run.butler(inputs=[ref])
    run(butler.pruneDatasets, [ref], **PURGE)
    assert run(butler._datastore.knows, ref) is True


@scenario
def test_records_of_several_missing_files_go(run: Run) -> None:
    refs = run.refs("measured", 0, 1)
    run.remove(refs[0])
    butler = run.butler(inputs=refs)
    run(butler.pruneDatasets, refs, **PURGE)
    assert run(butler._datastore.knows_these, refs) == dict.fromkeys(refs, False)
    assert not run.repository.paths(refs[1])[0].exists()


@scenario
def test_disassembled_with_a_missing_file(run: Run) -> None:
    first, second, third = run.refs("parts", 0, 1, 2)
    run.remove(first, "data")
    run.remove(second, "data")
    butler = run.butler(inputs=[first, second, third])
    run(butler.pruneDatasets, [first], **PURGE)
    run(butler.pruneDatasets, [second, third], **PURGE)
    run(butler._datastore.knows_these, [first, second, third])


@scenario
def test_override_of_the_storage_class(run: Run) -> None:
    ref, other = run.refs("whole_out", 0, 1)
    butler = run.butler(outputs=[ref, other])
    run(butler.put, example_metrics(1), ref)
    run(butler.put, example_metrics(1), other)
    run(butler.pruneDatasets, [ref.overrideStorageClass("MetricsModel")], **PURGE)
    assert run(butler.stored_many, [ref, other]) == {ref: False, other: True}


@scenario
def test_output_that_was_read_by_two(run: Run) -> None:
    # The datastore's own steps, as `pruneDatasets` takes them.
    refs = run.refs("derived", 0, 1, 2)
    butler = run.butler(outputs=refs)
    for ref in refs:
        run(butler.put, {}, ref)
    datastore = butler._datastore
    run(datastore.trash, refs[0])
    run(datastore.trash, refs[1:])
    # In the trash, but not gone.
    assert run(butler.stored, refs[0]) is True
    assert run(datastore.knows, refs[0]) is True
    assert run(datastore.export_records, refs)[datastore.name].records == {}
    assert len(run(datastore.emptyTrash, refs=refs[:1], dry_run=True)) == 1
    assert run(butler.stored, refs[0]) is True
    assert len(run(datastore.emptyTrash, refs=refs[:1])) == 1
    assert run(butler.stored_many, refs) == dict(zip(refs, [False, True, True], strict=True))
    assert len(run(datastore.emptyTrash)) == 2
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, False)
    assert run(datastore.emptyTrash) == set()
    with pytest.raises(TypeError):
        datastore.trash(run.ref("measured"), ignore_errors=3, nonsense=1)


@scenario
def test_trash_that_does_not_ignore_errors(run: Run) -> None:
    ref, gone = run.refs("measured", 0, 1)
    run.remove(gone)
    butler = run.butler(inputs=[ref, gone])
    assert type(run.error(butler._datastore.trash, gone, ignore_errors=False)) is FileNotFoundError
    run(butler._datastore.trash, ref, ignore_errors=False)
    run(butler._datastore.trash, run.ref("derived"), ignore_errors=False)


@scenario
def test_forget_and_remove(run: Run) -> None:
    first, second, third = run.refs("measured", 0, 1, 2)
    butler = run.butler(inputs=[first, second, third])
    run(butler._datastore.forget, [first])
    assert run(butler._datastore.knows, first) is False
    # The file stays, and trust finds it.
    assert run(butler.stored, first) is True
    run(butler._datastore.remove, second)
    assert run(butler.stored, second) is False
    run(butler._datastore.removeStoredItemInfo, third)
    assert run(butler._datastore.knows, third) is False
