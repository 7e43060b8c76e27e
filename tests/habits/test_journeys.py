"""Everyday operations may not wander through more rooms than they do now.

`make journeys` prints what they do.  A change that needs fewer rooms or
returns lowers the budget here; one that needs more has to say why.
"""

from __future__ import annotations

import pytest
from journeys import Journey, measure, table

# At most so many rooms, and returns.
# Get and put have two rooms more since they serve components, servers and debug logs, too: whether anybody
# listens, and what is read of which file, or how one artifact is written.
BUDGETS = {
    "get": (10, 6),
    "put": (14, 15),
    "put, with a file": (19, 32),
    "prune": (9, 12),
    "prune, with a file": (14, 48),
    "extract + dump": (7, 1),
    # One of them is for how the attempt went.
    "log.append": (9, 1),
    "archive + lineage": (6, 5),
}


@pytest.fixture(scope="module")
def journeys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Journey]:
    """Return what each operation did, without a cache that executors have wanted before."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DAF_BUTLER_CACHE_DIRECTORY", "DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET"):
            patch.delenv(name, raising=False)
        return measure(tmp_path_factory.mktemp("journeys"))


def test_each_journey_has_a_budget_and_is_one(journeys: dict[str, Journey]) -> None:
    print(table(journeys))
    assert journeys.keys() == BUDGETS.keys()
    # A journey of no steps would be within any budget.
    assert all(journey.calls > 5 and journey.rooms > 2 for journey in journeys.values()), table(journeys)


@pytest.mark.parametrize("name", BUDGETS)
def test_no_journey_is_longer_than_it_was(journeys: dict[str, Journey], name: str) -> None:
    journey = journeys[name]
    rooms, returns = BUDGETS[name]
    steps = "\n".join(f"  {room:<40} {function}" for room, function in journey.steps)
    assert journey.rooms <= rooms, f"{name} enters {journey.rooms} rooms:\n{steps}"
    assert journey.returns <= returns, f"{name} returns {journey.returns} times:\n{steps}"


def test_what_is_counted() -> None:
    steps = [("a.py", "f"), ("a.py", "g"), ("b.py", "h"), ("_core", "T.m"), ("a.py", "f"), ("b.py", "h")]
    journey = Journey(tuple(steps))
    assert (journey.calls, journey.rooms, journey.moves, journey.returns) == (5, 3, 4, 2)
    assert Journey(()).returns == 0
