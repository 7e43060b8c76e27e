"""Which quanta make datasets again, beside a model that knows nothing but the quanta."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pytest
from archives import Made, campaigns, chain, dataset_id, quantum_id, used, write, wrote
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler import Archive, NotMadeError, UnknownIdError

PREDICTED = frozenset({"predicted_input"})
PLANNED = frozenset({"predicted_output"})


def maker(quanta: list[Made], dataset: uuid.UUID, actual: bool) -> Made | None:
    """Return the first quantum that has written a dataset, or else the first that was to."""
    roles = ("actual_output", "predicted_output") if actual else ("predicted_output", "actual_output")
    return next((made for role in roles for made in quanta if dataset in made.having(role)), None)


def expected(quanta: list[Made], start: uuid.UUID, actual: bool) -> tuple[set[uuid.UUID], set[uuid.UUID]]:
    """Return the quanta that make a dataset, and the datasets that have to be there before."""
    wanted, seen = [start], {start}
    chosen: dict[uuid.UUID, Made] = {}
    inputs = set()
    while wanted:
        dataset = wanted.pop()
        made = maker(quanta, dataset, actual)
        if made is None:
            inputs.add(dataset)
        elif made.id not in chosen:
            chosen[made.id] = made
            fresh = made.having("actual_input" if actual else "predicted_input") - seen
            seen |= fresh
            wanted += fresh
    return set(chosen), inputs


@given(campaigns, st.booleans())
def test_it_is_what_the_model_finds(quanta: list[Made], actual: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(write(Path(folder, "archive"), quanta))
        for number in sorted({number for made in quanta for number in made.datasets}):
            start = dataset_id(number)
            written = any(start in made.having("actual_output") for made in quanta)
            chosen, inputs = expected(quanta, start, actual)
            try:
                found = archive.rebuild(start, actual=actual)
            except NotMadeError as error:
                if "each other" not in str(error):
                    assert maker(quanta, start, actual) is None or (actual and not written)
                continue
            assert maker(quanta, start, actual) is not None and (written or not actual)
            assert {one.quantum_id for one in found.quanta} == chosen and len(found.quanta) == len(chosen)
            assert {one.dataset_id for one in found.inputs} == inputs and len(found.inputs) == len(inputs)
            steps = {one.quantum_id: step for one, step in zip(found.quanta, found.steps, strict=True)}
            assert found.steps == sorted(found.steps)
            by_id = {made.id: made for made in quanta}
            for id_ in chosen:
                for other in chosen - {id_}:
                    outputs = by_id[other].having("actual_output") | by_id[other].having("predicted_output")
                    alone = {
                        one
                        for one in outputs
                        if not any(
                            one in by_id[it].having(role)
                            for it in chosen - {other}
                            for role in ("actual_output", "predicted_output")
                        )
                    }
                    reads = by_id[id_].having("predicted_input")
                    reads |= by_id[id_].having("actual_input") if actual else set()
                    # It waits for whoever writes what it reads, if that is only one.
                    assert not alone & reads or steps[other] < steps[id_]


def test_what_was_read_and_what_was_predicted(tmp_path: Path) -> None:
    # 3 was to read 12 and has not; the quantum that made it is needed only if all is to be as predicted.
    quanta = [
        Made(1, {**used(1), **wrote(11)}),
        Made(2, {**used(2), **wrote(12)}),
        Made(3, {**used(11), 12: PREDICTED, **wrote(13), 14: PLANNED}),
        Made(4, {**used(13), 14: PREDICTED, **wrote(15)}),
    ]
    archive = Archive(write(tmp_path / "archive", quanta))
    found = archive.rebuild(dataset_id(15))
    assert [one.quantum_id for one in found.quanta] == [quantum_id(n) for n in (1, 3, 4)]
    assert found.steps == [1, 2, 3] and found.actual and found.not_read == 1 and found.assumed == 0
    assert [one.dataset_id for one in found.inputs] == [dataset_id(1)]
    whole = archive.rebuild(dataset_id(15), actual=False)
    assert {one.quantum_id for one in whole.quanta} == {quantum_id(n) for n in (1, 2, 3, 4)}
    assert whole.steps == [1, 1, 2, 3] and not whole.not_read
    # The same as a graph.
    edges = archive.to_networkx().edges
    assert (dataset_id(12), quantum_id(3)) not in edges and (quantum_id(3), dataset_id(14)) not in edges
    assert len(edges) == 8 and (quantum_id(3), dataset_id(14)) in archive.to_networkx(actual=False).edges
    with pytest.raises(NotMadeError, match="never written; --predicted"):
        archive.rebuild(dataset_id(14))
    assert len(archive.rebuild(dataset_id(14), actual=False).quanta) == 3
    with pytest.raises(NotMadeError, match=r"no quantum makes .*overall input"):
        archive.rebuild(dataset_id(1))
    with pytest.raises(UnknownIdError):
        archive.rebuild(dataset_id(9))
    with pytest.raises(ValueError, match="no dataset"):
        archive.rebuild()
    # All that a quantum has written, and several at once.
    of_quantum = archive.rebuild(quantum_id(3))
    assert [one.dataset_id for one in of_quantum.datasets] == [dataset_id(13)]
    several = archive.rebuild(dataset_id(11), dataset_id(12))
    assert [one.dataset_id for one in several.datasets] == [dataset_id(11), dataset_id(12)]
    assert several.steps == [1, 1] and len(several.inputs) == 2


def test_in_a_notebook(tmp_path: Path) -> None:
    found = Archive(write(tmp_path / "archive", chain())).rebuild(dataset_id(200))
    tables = found.to_arrow()
    assert tables["quanta"]["step"].to_pylist() == found.steps == [1, 1, 2, 2, 3]
    assert len(tables["inputs"]) == len(found.inputs) and len(tables["datasets"]) == 1
    html = found._repr_html_()
    assert "5 quanta to make 1 dataset again" in html and "calibrate" in html
