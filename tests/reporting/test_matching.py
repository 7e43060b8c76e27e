"""Rows of two runs are put together as one would by hand."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler.archive.naming import name_keys
from quantum_butler.reporting import matching
from quantum_butler.reporting.matching import match, match_by_keys, match_datasets, rows_without_partner
from quantum_butler.reporting.sides import Names

NUMBERS = st.one_of(st.none(), st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.sampled_from([None, "", "a", "b", "é"])
KINDS: dict[str, Any] = {
    "integers": lambda values: pa.array(values, pa.int64()),
    "texts": lambda values: pa.array(values, pa.string()),
    "dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "nothing": lambda values: pa.nulls(len(values)),
}


def partners(left: list[Any], right: list[Any]) -> dict[int, int]:
    """Return the partner of each row on the left: of equal rows the first gets the first, and so on."""
    places: dict[Any, list[int]] = defaultdict(list)
    for row, name in enumerate(right):
        places[name].append(row)
    return {row: places[name].pop(0) for row, name in enumerate(left) if places[name]}


def check(left: list[pa.Array], right: list[pa.Array]) -> None:
    found = match(left, right)
    names = [list(zip(*(column.to_pylist() for column in side), strict=True)) for side in (left, right)]
    expected = partners(*names)
    assert dict(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert found.only_left.tolist() == [row for row in range(len(names[0])) if row not in expected]
    assert found.only_right.tolist() == [row for row in range(len(names[1])) if row not in expected.values()]
    # Rows have one number where they are partners, and only there.
    assert len({*found.left_codes.tolist()}) == len(found.left_codes)
    assert dict(zip(found.left_codes[found.left], found.right_codes[found.right], strict=True)) == {
        code: code for code in found.left_codes[found.left]
    }
    assert len({*found.left_codes.tolist(), *found.right_codes.tolist()}) == sum(map(len, names)) - len(
        expected
    )


@given(
    st.lists(st.tuples(NUMBERS, TEXTS, TEXTS), max_size=12),
    st.lists(st.tuples(NUMBERS, TEXTS, TEXTS), max_size=12),
    st.sampled_from(["texts", "dictionary", "nothing"]),
)
def test_rows_with_equal_values(left: list[Any], right: list[Any], kind: str) -> None:
    columns = [[list(one) for one in zip(*side, strict=True)] or [[], [], []] for side in (left, right)]
    made = [
        [KINDS["integers"](numbers), KINDS["dictionary"](texts), KINDS[of_last](last)]
        for (numbers, texts, last), of_last in zip(columns, ("texts", kind), strict=True)
    ]
    check(*made)


def test_more_names_than_a_number_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MOST", 5)
    random = np.random.default_rng(1)
    sides = [[pa.array(random.integers(0, 4, 40)) for _ in range(5)] for _ in range(2)]
    check(*sides)


def test_a_dimension_whose_values_are_numbers_on_one_side_and_texts_on_the_other() -> None:
    found = match([pa.array([1, 2, None])], [pa.array(["2", "01", None])])
    assert (found.left.tolist(), found.right.tolist()) == ([1, 2], [0, 2])


def test_datasets_without_a_name_are_matched_by_their_ids() -> None:
    ids = [uuid.UUID(int=number) for number in range(5)]

    def names(order: list[int], types: list[str | None], **data_ids: list[Any]) -> Names:
        return Names(
            pa.array([ids[number].bytes for number in order], pa.binary(16)),
            pa.array(types, pa.string()).dictionary_encode(),
            {name: pa.array(values).dictionary_encode() for name, values in data_ids.items()},
            pa.nulls(len(order), pa.int64()),
            np.zeros(len(order), bool),
        )

    left = names([0, 1, 2, 3], ["t", None, None, "u"], band=["r", "g", None, "r"])
    right = names([1, 4, 3, 2], [None, "t", "u", None], band=["i", "r", "g", None])
    found = match_datasets(left, right)
    assert dict(zip(found.left.tolist(), found.right.tolist(), strict=True)) == {0: 1, 1: 0, 2: 3}
    assert left.texts(np.array([3, 2])).to_pylist() == ["band=r", ""]


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=30))
def test_numbers_that_are_not_elsewhere(here: list[int], there: list[int]) -> None:
    found = rows_without_partner(np.array(here, np.int64), np.array(there, np.int64))
    assert found.tolist() == [row for row, number in enumerate(here) if number not in there]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), TEXTS), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), TEXTS), min_size=1, max_size=12),
    st.sampled_from([0, 1, 64]),
)
def test_the_indexes_by_name_give_the_same_partners(left: list[Any], right: list[Any], bits: int) -> None:
    """Or they are not used: where names have one number, and where they are not the same in both."""
    sides = []
    for rows in (left, right):
        types, visits, bands = (list(one) for one in zip(*rows, strict=True))
        columns = {"visit": pa.array(visits, pa.int64()), "band": pa.array(bands, pa.string())}
        of_types = pa.array(types).dictionary_encode()
        numbers = name_keys(of_types, columns) & np.uint64(2**bits - 1)
        order = np.argsort(numbers, kind="stable")
        ids = pa.array([uuid.uuid4().bytes for _ in rows], pa.binary(16))
        written = np.ones(len(rows), bool)
        keys = numbers[order], order.astype(np.uint32)
        sides.append(Names(ids, of_types, columns, pa.nulls(len(rows), pa.int64()), written, keys))
    expected = partners(left, right)
    found = match_by_keys(*sides)
    assert found is not None or bits < 64
    for one in filter(None, (found, match_datasets(*sides))):
        assert dict(zip(one.left.tolist(), one.right.tolist(), strict=True)) == expected
        assert one.only_left.tolist() == [row for row in range(len(left)) if row not in expected]
        assert one.only_right.tolist() == [row for row in range(len(right)) if row not in expected.values()]
        both = {*one.left_codes.tolist(), *one.right_codes.tolist()}
        assert len(both) == len(left) + len(right) - len(expected)
        assert (one.left_codes[one.left] == one.right_codes[one.right]).all()
