"""Batches of quanta are as large as the time that the quanta of their task take allows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_butler.running.batches import BatchRun
from quantum_butler.running.engines import Engine, Submitted
from quantum_butler.running.journal import Identity, Journal
from quantum_butler.running.notes import Notes
from quantum_butler.running.options import RunOptions
from quantum_butler.running.plan import Plan
from quantum_butler.running.remote import Batch
from quantum_butler.running.tally import Tally

QUANTA = 40


class Told:
    """A batch that has taken as long as is said of it."""

    def __init__(self, seconds: float, batch: Batch):
        self._results = seconds, [(one, None) for one in batch.quanta]

    def result(self, timeout: float | None = None) -> Any:
        return self._results


class Timed(Engine):
    """An engine whose quanta take so many seconds each, and no time at all."""

    def __init__(self, seconds: float, slots: int):
        super().__init__("nobody")
        self._seconds, self._workers = seconds, slots
        self.sizes: list[int] = []

    def __exit__(self, *exc_info: object) -> None:
        pass

    def _count_slots(self) -> int:
        return self._workers

    def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
        self.sizes.append(len(batch.quanta))
        ended()
        return Told(self._seconds * len(batch.quanta), batch)

    def stop(self) -> None:
        pass


class Silent:
    """A display that shows nothing."""

    def show(self, tally: Tally) -> None:
        pass

    def tell(self, line: str) -> None:
        raise AssertionError(line)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize(("seconds", "largest"), [(3600.0, 1), (1.5, 1), (1.0, 1), (0.4, 2), (0.01, 39)])
def test_quanta_of_any_length_are_run(tmp_path: Path, seconds: float, largest: int, slots: int) -> None:
    ids = [uuid.UUID(int=number + 1) for number in range(QUANTA)]
    quanta = [("slow", (number,), one) for number, one in enumerate(ids)]
    plan = Plan("graph.qg", {"slow": ("Slow", ("detector",), ())}, quanta, ())
    engine = Timed(seconds, slots)
    tally = Tally(plan.dimensions)
    for label in plan.labels:
        tally.add(label, "waiting")
    options = RunOptions(repository="repository", graph="graph.qg", journal=str(tmp_path / "journal"))
    journal = Journal(options.journal, Identity(plan.digest(), options.repository, len(plan)))
    try:
        notes = Notes(plan, journal, tally, Silent())
        BatchRun(options, plan, plan.frontier(), set(), notes, engine).execute()
    finally:
        journal.close()
    assert journal.done == set(range(QUANTA)) and tally.total("done") == QUANTA
    assert max(engine.sizes) <= largest
    assert sum(engine.sizes) == QUANTA
