"""Numbers of quanta of each task, by state."""

from __future__ import annotations

__all__ = ("STATES", "Failure", "Tally")

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

STATES = ("waiting", "running", "done", "failed", "blocked")

# How many failures are remembered to be shown.
_MOST_FAILURES = 5


class Failure(NamedTuple):
    """A quantum that has failed, for people."""

    name: str
    """Task and data ID."""

    reason: str
    """What is known of the reason."""


class Tally:
    """Counts of quanta by task and state, and the last failures."""

    def __init__(self, tasks: Iterable[str]):
        self.counts: Mapping[str, Counter[str]] = {task: Counter() for task in tasks}
        """Number of quanta in each state, by task."""
        self.failures: deque[Failure] = deque(maxlen=_MOST_FAILURES)
        """The last failures, oldest first."""
        self.completed = 0
        """Quanta that have ended in this run."""
        self._begun = time.monotonic()

    def add(self, task: str, state: str) -> None:
        """Count a quantum."""
        self.counts[task][state] += 1

    def move(self, task: str, before: str, state: str) -> None:
        """Count a quantum in another state than before."""
        self.counts[task][before] -= 1
        self.counts[task][state] += 1

    def total(self, state: str) -> int:
        """Return how many quanta are in a state."""
        return sum(counts[state] for counts in self.counts.values())

    def rate(self) -> float:
        """Return how many quanta end in a second."""
        return self.completed / max(time.monotonic() - self._begun, 1e-9)

    def seconds_left(self) -> float | None:
        """Return how long it will take if it goes on like this; `None` if that is not known yet."""
        left = self.total("waiting") + self.total("running")
        return left / self.rate() if self.completed else None
