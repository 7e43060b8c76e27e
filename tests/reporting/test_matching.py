"""Rows of two runs are put together as one would by hand."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler import _core
from quantum_butler.reporting.datasets import GraphDatasets, taken
from quantum_butler.reporting.matching import Matches, match, match_datasets, names_of

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


def names(columns: list[pa.Array]) -> _core.Names:
    return names_of(pa.table(columns, [f"c{number}" for number in range(len(columns))]))


def check(found: Matches, left: list[Any], right: list[Any]) -> None:
    expected = partners(left, right)
    assert dict(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert found.only_left.tolist() == [row for row in range(len(left)) if row not in expected]
    assert found.only_right.tolist() == [row for row in range(len(right)) if row not in expected.values()]
    assert found.of_left[found.left].tolist() == [*expected.values()]
    assert found.of_right[found.right].tolist() == [*expected]


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
    rows = [list(zip(*(column.to_pylist() for column in side), strict=True)) for side in made]
    check(match(*map(names, made)), *rows)


def test_more_rows_than_are_put_in_order_together() -> None:
    random = np.random.default_rng(1)
    sides = [random.integers(0, 50_000, 40_000) for _ in range(2)]
    check(match(*(names([pa.array(side)]) for side in sides)), *(side.tolist() for side in sides))


def test_values_that_change_places_are_another_name() -> None:
    one, other = names([pa.array(["a"]), pa.array(["b"])]), names([pa.array(["b"]), pa.array(["a"])])
    assert not len(match(one, other).left)


def datasets(order: list[int], types: list[str | None], **data_ids: Any) -> GraphDatasets:
    ids = pa.array([uuid.UUID(int=number).bytes for number in order], pa.binary(16))
    columns = {name: pa.array(values) for name, values in data_ids.items()}
    written = np.zeros(len(order), bool)
    return GraphDatasets(pa.chunked_array([ids]), pa.array(types, pa.string()), columns, written)


def test_a_dimension_whose_values_are_numbers_on_one_side_and_texts_on_the_other() -> None:
    left, right = ["t"] * 3, ["t"] * 3
    sides = datasets([0, 1, 2], left, visit=[1, 2, None]), datasets([3, 4, 5], right, visit=["2", "01", None])
    found = match_datasets(*sides)
    assert (found.left.tolist(), found.right.tolist()) == ([1, 2], [0, 2])


def test_datasets_without_a_name_are_matched_by_their_ids() -> None:
    left = datasets([0, 1, 2, 3], ["t", None, None, "u"], band=["r", "g", None, "r"])
    right = datasets([1, 4, 3, 2], [None, "t", "u", None], band=["i", "r", "g", None])
    found = match_datasets(left, right)
    assert dict(zip(found.left.tolist(), found.right.tolist(), strict=True)) == {0: 1, 1: 0, 2: 3}
    rows = np.array([3, 2])
    left.prepare(rows)
    assert left.texts(rows).to_pylist() == ["band=r", ""]


@given(st.lists(st.lists(st.integers(0, 9), max_size=5)), st.lists(st.integers(0, 20)))
def test_rows_of_a_column_in_pieces(pieces: list[list[int]], rows: list[int]) -> None:
    column = pa.chunked_array(pieces, pa.int64())
    wanted = np.array([row for row in rows if row < len(column)], np.int64)
    assert taken(column, wanted).to_pylist() == [column[row].as_py() for row in wanted.tolist()]


ROLES = st.lists(
    st.dictionaries(st.integers(0, 7), st.sampled_from([1, 4, 5, 16, 21])), min_size=1, max_size=6
)


@given(ROLES, ROLES, st.permutations(range(8)), st.integers(0, 8), st.randoms())
def test_inputs_that_only_one_side_has(
    left: list[dict[int, int]], right: list[dict[int, int]], order: list[int], alone: int, random: Any
) -> None:
    """Datasets have a partner if they are not the last ones; inputs are counted by one of two roles."""
    nobody = np.iinfo(np.uint32).max
    of_left = np.array([nobody if row >= 8 - alone else order[row] for row in range(8)], np.uint32)
    of_right = np.full(8, nobody, np.uint32)
    for row, partner in enumerate(of_left.tolist()):
        if partner != nobody:
            of_right[partner] = row
    count = min(len(left), len(right))
    pairs = [
        (one, other, random.random() < 0.5) for one, other in enumerate(random.sample(range(count), count))
    ]
    expected: list[list[tuple[int, int]]] = [[], []]
    for number, (one, other, is_actual) in enumerate(pairs):
        bit = 4 if is_actual else 1
        here = {row for row, roles in left[one].items() if roles & bit}
        there = {row for row, roles in right[other].items() if roles & bit}
        expected[0] += [(number, row) for row in sorted(here) if of_left[row] not in there]
        expected[1] += [(number, row) for row in sorted(there) if of_right[row] not in here]
    expected[1].sort(key=lambda one: (pairs[one[0]][1], one[1]))
    columns = zip(*pairs, strict=True)
    table = pa.table(
        [
            pa.array(column, type_)
            for column, type_ in zip(columns, (pa.uint32(), pa.uint32(), pa.bool_()), strict=True)
        ],
        ["left", "right", "actual"],
    )
    found = _core.lone_inputs(
        lists(left), lists(right), table, pa.table({"row": of_left}), pa.table({"row": of_right})
    )
    assert [
        [(one["pair"], one["dataset"]) for one in pa.table(side).to_pylist()] for side in found
    ] == expected


def lists(uses: list[dict[int, int]]) -> pa.Table:
    item = pa.struct([pa.field("row", pa.uint32()), pa.field("roles", pa.uint8())])
    of_each = [[{"row": row, "roles": roles} for row, roles in sorted(of.items())] for of in uses]
    half = len(uses) // 2
    pieces = [pa.array(some, pa.list_(item)) for some in (of_each[:half], of_each[half:])]
    return pa.table({"neighbours": pa.chunked_array(pieces)})
