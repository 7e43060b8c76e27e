"""Quanta are chosen by task and by data ID as upstream's expressions say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantum_butler.running.errors import RunError
from quantum_butler.running.plan import Plan
from quantum_butler.running.selection import select

DATA_IDS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("isr", {"instrument": "Cam", "visit": visit, "detector": detector})
        for visit in (7, 8)
        for detector in range(3)
    ),
    ("coadd", {"skymap": "s", "tract": 5, "band": "r"}),
]

PLAN = cast(
    Plan,
    SimpleNamespace(
        uri="graph.qg",
        labels=[label for label, _ in DATA_IDS],
        dimensions={"isr": ("instrument", "visit", "detector"), "coadd": ("skymap", "tract", "band")},
        data_id=lambda number: DATA_IDS[number][1],
    ),
)


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("detector = 1", {1, 4}),
        ("detector != 1", {0, 2, 3, 5}),
        ("NOT (detector = 1)", {0, 2, 3, 5}),
        ("detector IN (0, 2) AND visit = 7", {0, 2}),
        ("detector IN (0..2:2)", {0, 2, 3, 5}),
        ("detector NOT IN (1..9)", {0, 3}),
        ("visit > 7 OR detector = 0", {0, 3, 4, 5}),
        ("visit % 2 = 1", {0, 1, 2}),
        ("visit * 2 - 1 <= +13 and -detector < 0", {1, 2}),
        ("band = 'r'", {6}),
        ("band = 'r' OR detector = 0", {0, 3, 6}),
        ("band IN ('r', 'g') AND tract >= 5", {6}),
        ("instrument = 'Cam' AND detector < 0.5", {0, 3}),
        ("visit = 9", set()),
        # Neither true nor false where there is no such dimension, as in SQL.
        ("NOT (band = 'g')", {6}),
        ("band = 'g' OR NOT (band = 'g')", {6}),
        ("band NOT IN ('g')", {6}),
    ],
)
def test_expressions(where: str, chosen: set[int]) -> None:
    assert select(PLAN, where=where) == chosen


def test_tasks() -> None:
    assert select(PLAN) == set(range(7))
    assert select(PLAN, ("coadd",)) == {6}
    assert select(PLAN, ("coadd", "isr"), "tract = 5 OR visit = 8") == {3, 4, 5, 6}
    with pytest.raises(RunError, match="no quanta of task isrr; its tasks are isr, coadd"):
        select(PLAN, ("isrr",))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dector = 1", "dector is no dimension .* which have band, detector, instrument"),
        ("visit.exposure_time > 3", "only dimensions"),
        ("detector = 'one'", "do not compare"),
        ("detector", "neither true nor false"),
        ("detector = ", ""),
        ("detector = 1)", ""),
        ("", ""),
        ("detector = :x", "not understood"),
        ("visit % 0 = 1", ""),
    ],
)
def test_what_is_no_condition(where: str, message: str) -> None:
    with pytest.raises(RunError, match=f"--where.*{message}"):
        select(PLAN, where=where)
