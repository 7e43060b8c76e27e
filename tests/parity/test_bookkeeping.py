"""The sets of ids that a butler keeps, used in every way in which a `set` is used."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from scenarios import Run, scenario

OPERATORS: tuple[Callable[[Any, Any], Any], ...] = (
    operator.and_,
    operator.or_,
    operator.sub,
    operator.xor,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
)
IN_PLACE = (operator.iand, operator.ior, operator.isub, operator.ixor)
CHANGES = {"add", "clear", "discard", "pop", "remove", "update"}
QUESTIONS = [name for name in dir(set) if not name.startswith("_") and name.rpartition("_")[2] not in CHANGES]


@scenario
def test_methods_that_ask(run: Run) -> None:
    first, second, third = run.refs("measured", 0, 1, 2)
    butler = run.butler(inputs=[first, second, third])
    run(butler.get, first)
    run(butler.stored, second)
    assert {"union", "difference", "issubset", "copy"} <= set(QUESTIONS)
    others: list[tuple[Any, ...]] = [
        (),
        ({first.id},),
        ([first.id, third.id],),
        (butler._available_inputs, [third.id]),
        (iter([second.id]),),
        (butler._predicted_inputs,),
    ]
    for ids in (butler._predicted_inputs, butler._available_inputs, butler._unavailable_inputs):
        for name in QUESTIONS:
            for arguments in others:
                try:
                    answer = getattr(ids, name)(*map(copy.copy, arguments))
                except TypeError:
                    answer = "not so many"
                run.note(name, answer)
                assert isinstance(answer, set | bool | str)


@pytest.mark.parametrize("others", [set, frozenset, list, dict.fromkeys])
@scenario
def test_operators(run: Run, others: Callable[[Any], Any]) -> None:
    inputs = run.refs("measured")
    butler = run.butler(inputs=inputs)
    run(butler.get, inputs[0])
    run(butler.get, inputs[1])
    for made_of in ([], inputs[:1], inputs[:2], inputs[1:3], inputs):
        other = others([ref.id for ref in made_of])
        for apply in OPERATORS:
            for left, right in ((butler._available_inputs, other), (other, butler._available_inputs)):
                try:
                    answer = apply(left, right)
                except TypeError:
                    answer = "no such operator"
                run.note(apply.__name__, answer)
        run.note("with another", butler._available_inputs <= butler._predicted_inputs)


@scenario
def test_methods_that_change(run: Run) -> None:
    inputs, (output,) = run.refs("measured"), run.refs("derived", 0)
    butler = run.butler(inputs=inputs, outputs=[output])
    ids = [ref.id for ref in inputs]
    run(butler._available_inputs.update, ids[:3], {output.id})
    run(butler._available_inputs.difference_update, [output.id], iter(ids[:1]))
    run(butler._available_inputs.intersection_update, butler._predicted_inputs)
    run(butler._available_inputs.symmetric_difference_update, ids[2:])
    run.error(butler._available_inputs.update, 5)
    run.error(butler._available_inputs.remove, output.id)
    for apply in IN_PLACE:
        butler._actual_inputs |= {*ids[:2], output.id}
        for other in ({ids[0]}, {ids[1], ids[2]}, butler._available_inputs):
            run.note(apply.__name__, set(apply(butler._actual_inputs, other)))
        with pytest.raises(TypeError):
            apply(butler._actual_inputs, ids)
    run(butler._actual_inputs.clear)
    assert butler._actual_inputs == set()


@scenario
def test_copies_are_sets_of_their_own(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    for make in (
        copy.copy,
        copy.deepcopy,
        lambda ids: pickle.loads(pickle.dumps(ids)),
        lambda ids: ids.copy(),
    ):
        made = make(butler._predicted_inputs)
        made.add(5)
        run.note("made", made)
        assert type(made) is set
        assert butler._predicted_inputs == {ref.id}


@scenario
def test_integers_of_other_libraries(run: Run) -> None:
    # They equal Python's own, and so do the sets.
    butler = run(
        run.butler_class.from_predicted,
        str(run.repository.root),
        [numpy.int64(3), numpy.uint8(5)],
        list(numpy.arange(2)),
        run.repository.universe,
        {},
    )
    assert butler._predicted_inputs == {3, 5}
    assert butler._predicted_outputs == {0, 1}
    assert numpy.int32(3) in butler._predicted_inputs and 3 in butler._predicted_inputs
    assert run.ref("measured") not in butler._predicted_inputs
    assert run(butler.stored, run.ref("measured"))
    with pytest.raises(ValueError):
        butler.extract_provenance_data()
    butler.close()


@scenario
def test_an_id_is_not_a_dataset(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    run(butler.get, ref)
    for wrong in (ref.id, 5, "measured", None, ref.datasetType):
        run.error(butler.markInputUnused, wrong)
        run.error(butler.export_predicted_datastore_records, [wrong])
    assert butler._actual_inputs == {ref.id}
