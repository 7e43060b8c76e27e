"""Dataset ids across the boundary, sets of them, and the tracker."""

from __future__ import annotations

import pickle
import threading
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from lsst.daf.butler import (
    AmbiguousDatasetError,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    DimensionUniverse,
    StorageClass,
)
from lsst.daf.butler.registry.interfaces import FakeDatasetRef

from case_names import name_of
from quantum_butler._core import IdSet, Locations, Tracker

A, B, C = (uuid.UUID(int=number) for number in (1, 2, 3))


class OtherUUID(uuid.UUID):
    """A UUID to `isinstance`."""


def real_ref(id_: uuid.UUID) -> DatasetRef:
    universe = DimensionUniverse()
    dataset_type = DatasetType("thing", (), StorageClass("Thing", pytype=dict), universe=universe)
    return DatasetRef(dataset_type, DataCoordinate.make_empty(universe), run="run", id=id_)


@pytest.mark.parametrize(
    ("item", "id_"),
    [
        (A, A),
        (OtherUUID(int=A.int), A),
        (5, 5),
        (-5, -5),
        (real_ref(A), A),
        (FakeDatasetRef(A), A),
        (FakeDatasetRef(5), 5),  # type: ignore[arg-type]
        # Only upstream's own class is known to keep a UUID's number under this name.
        (SimpleNamespace(_id=7, id=A), A),
    ],
    ids=repr,
)
def test_whatever_names_a_dataset_will_do(item: Any, id_: uuid.UUID | int) -> None:
    ids = Tracker([item], []).view("predicted_inputs")
    assert set(ids) == {id_}
    assert item in ids and id_ in ids
    assert Locations("store").ensure([item]) is not None


@pytest.mark.parametrize("number", [0, 1, 2**64, 2**127, 2**128 - 1])
def test_ids_come_back_as_real_uuids(number: int) -> None:
    original = uuid.UUID(int=number)
    (id_,) = Tracker([original], []).view("predicted_inputs")
    assert type(id_) is uuid.UUID
    assert id_ == original and hash(id_) == hash(original)
    assert (str(id_), id_.bytes, id_.is_safe) == (str(original), original.bytes, uuid.SafeUUID.unknown)
    assert pickle.loads(pickle.dumps(id_)) == original
    with pytest.raises(TypeError):
        id_.int = 3  # type: ignore[misc]


@pytest.mark.parametrize("number", [-(2**127), -1, 0, 2**127 - 1])
def test_integer_ids_come_back(number: int) -> None:
    assert list(Tracker([number], []).view("predicted_inputs")) == [number]


def test_kinds_of_ids_are_never_equal() -> None:
    ids = Tracker([uuid.UUID(int=5)], []).view("predicted_inputs")
    assert 5 not in ids
    ids.add(5)
    assert len(ids) == 2
    ids.discard(uuid.UUID(int=5))
    assert list(ids) == [5]


@pytest.mark.parametrize("item", [None, FakeDatasetRef(None), SimpleNamespace(id=None)], ids=repr)  # type: ignore[arg-type]
def test_a_dataset_without_an_id_is_ambiguous(item: Any) -> None:
    tracker = Tracker([], [])
    with pytest.raises(AmbiguousDatasetError, match="has no id"):
        tracker.note_read(item)
    with pytest.raises(AmbiguousDatasetError):
        Tracker([A, item], [])


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("01234567-89ab-cdef-0123-456789abcdef", "str"),
        (True, "bool"),
        (1.5, "float"),
        (object(), "object"),
        (SimpleNamespace(id="abc"), "str"),
        (SimpleNamespace(id=SimpleNamespace(id=A)), "SimpleNamespace"),
    ],
    ids=name_of,
)
def test_anything_else_is_a_type_error_that_names_the_type(item: Any, name: str) -> None:
    tracker = Tracker([], [])
    with pytest.raises(TypeError, match=rf"not {name}$"):
        tracker.note_read_failed(item)
    assert len(tracker.view("unavailable_inputs")) == 0


def test_an_integer_beyond_128_bits_overflows() -> None:
    with pytest.raises(OverflowError):
        Tracker([2**127], [])


def test_errors_of_an_id_property_come_through() -> None:
    class Broken:
        @property
        def id(self) -> uuid.UUID:
            raise OSError("cannot say")

    with pytest.raises(OSError, match="cannot say"):
        Tracker([Broken()], [])


@pytest.mark.parametrize("item", [None, "abc", True, 1.5, object(), [], 2**200, float("nan")], ids=name_of)
def test_a_set_does_not_contain_what_cannot_be_an_id(item: object) -> None:
    ids = Tracker([A, 1], []).view("predicted_inputs")
    assert item not in ids
    ids.discard(item)
    assert len(ids) == 2
    assert item not in Locations("store")


def test_views_are_live() -> None:
    tracker = Tracker([A, B], [C])
    actual = tracker.view("actual_inputs")
    assert isinstance(actual, IdSet) and len(actual) == 0
    tracker.note_read(A)
    assert set(actual) == set(tracker.view("available_inputs")) == {A}
    for id_ in actual:
        # The ids are those of when the iteration began.
        actual.discard(id_)
        actual.add(C)
    assert set(tracker.view("actual_inputs")) == {C}
    with pytest.raises(ValueError, match='no set called "actual_outputs"'):
        tracker.view("actual_outputs")  # type: ignore[arg-type]


def test_the_tracker_notes_what_happens() -> None:
    tracker = Tracker([A, B, 7], [C])
    assert tracker.is_predicted_output(FakeDatasetRef(C)) and not tracker.is_predicted_output(A)
    assert tracker.unpredicted([A, 9, C, uuid.UUID(int=7), 7]) == [1, 3]
    tracker.note_deferred(A)
    tracker.note_deferred(C)
    tracker.note_read(B)
    tracker.note_read_failed(9)
    tracker.note_existence({FakeDatasetRef(A): False, B: 1, C: True})
    assert set(tracker.view("actual_inputs")) == {A, B}
    assert set(tracker.view("available_inputs")) == {B}
    assert set(tracker.view("unavailable_inputs")) == {A, 9}
    assert tracker.settle(5) == (1, [A], True, 1, [7])
    assert set(tracker.view("actual_inputs")) == {B}
    tracker.note_unused(B)
    assert len(tracker.view("actual_inputs")) == 0


def test_settling_names_the_first_of_many() -> None:
    ids = [uuid.UUID(int=number) for number in range(1000)]
    tracker = Tracker(reversed(ids), [])
    assert tracker.settle(3) == (0, [], True, 1000, ids[:3])
    tracker.note_existence(dict.fromkeys(ids, True))
    assert tracker.settle(3) == (0, [], False, 0, [])


def test_a_bad_item_leaves_everything_as_it_was() -> None:
    tracker = Tracker([A], [])
    with pytest.raises(TypeError):
        tracker.note_existence({A: True, "b": True})
    assert len(tracker.view("available_inputs")) == 0


def test_a_tracker_used_by_many_threads_loses_nothing() -> None:
    ids = [uuid.UUID(int=number) for number in range(8000)]
    tracker = Tracker(ids, [])
    actual = tracker.view("actual_inputs")
    start = threading.Barrier(8)
    counts: list[int] = []

    def note(mine: list[uuid.UUID]) -> None:
        start.wait()
        for id_ in mine:
            tracker.note_read(id_)
        tracker.note_existence(dict.fromkeys(mine, True))
        counts.append(sum(id_ in actual for id_ in mine))
        list(actual)
        tracker.settle(10)

    threads = [threading.Thread(target=note, args=(ids[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1000] * 8
    assert set(actual) == set(ids)
    assert tracker.settle(10) == (0, [], False, 0, [])
