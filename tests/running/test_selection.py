"""Quanta are chosen by task and by data ID as upstream's expressions say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantum_butler.running.errors import SelectionError
from quantum_butler.running.plan import Plan
from quantum_butler.running.selection import select

DATA_IDS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("isr", {"instrument": "Cam", "visit": visit, "detector": detector, "day_obs": visit // 8})
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
        implied={"isr": ("day_obs", "physical_filter"), "coadd": ()},
        whole_data_id=lambda number: DATA_IDS[number][1],
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
        ("day_obs = 1 AND detector = 2", {5}),
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
    with pytest.raises(SelectionError, match="no quanta of task 'ISRR'; there are isr, coadd"):
        select(PLAN, ("ISRR",))


@pytest.mark.parametrize(
    ("tasks", "where", "said"),
    [
        ((), "visit = 9", r"no quantum is chosen: none of 7 meets --where 'visit = 9'"),
        (("isr",), "visit = 9", r"none of 6 of the chosen tasks"),
        (("coadd",), "visit = 7", r"visit is no dimension .* which have band, skymap, tract"),
        (("isr",), "physical_filter = 'r'", r"physical_filter is no dimension"),
    ],
)
def test_what_chooses_nothing_is_refused(tasks: tuple[str, ...], where: str, said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        select(PLAN, tasks, where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dector = 1", "dector is no dimension .* which have band, day_obs, detector, instrument"),
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
    with pytest.raises(SelectionError, match=f"--where.*{message}"):
        select(PLAN, where=where)
