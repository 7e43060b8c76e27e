"""Runs of one graph, one after the other, and how they are watched."""

from __future__ import annotations

__all__ = ("DETECTORS", "Recorded", "Runs", "only_threads_of_tests")

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

from graph_runs import Deeds, Mischief
from quantum_butler.execution import forking
from quantum_butler.running import prepared
from quantum_butler.running.campaign import Campaign, RunResult
from quantum_butler.running.options import RunOptions

DETECTORS = 3


@contextlib.contextmanager
def only_threads_of_tests() -> Iterator[None]:
    """Do not mind the threads that are there, such as that of pytest-xdist that only waits for its master."""
    native_threads: Callable[[int], list[int]] = forking._native_threads
    before = set(native_threads(os.getpid()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            forking,
            "_native_threads",
            lambda process: [thread for thread in native_threads(process) if thread not in before],
        )
        yield


class Recorded:
    """A display that remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, tally: Any) -> None:
        """Look at the counts."""
        assert all(count >= 0 for counts in tally.counts.values() for count in counts.values())

    def tell(self, line: str) -> None:
        """Remember a line."""
        self.lines.append(line)


class Runs:
    """Runs of one graph in one repository, one after the other."""

    def __init__(self, folder: Path, graph: Path, monkeypatch: pytest.MonkeyPatch):
        self.root = folder / "repo"
        self.graph = graph
        self.journal = folder / "journal"
        self.logs = folder / "logs"
        self._monkeypatch = monkeypatch
        self.display = Recorded()
        self.campaign: Campaign

    def options(self, **options: Any) -> RunOptions:
        """Return the options of a run."""
        known: dict[str, Any] = {
            "repository": str(self.root),
            "graph": str(self.graph),
            "journal": str(self.journal),
            "logs": str(self.logs),
            "jobs": 2,
            "timeout": 60.0,
        }
        return RunOptions(**known | options)

    def run(self, deeds: Deeds | None = None, **options: Any) -> RunResult:
        """Run the graph, with what some quanta do before."""
        executor = functools.partial(SingleQuantumExecutor, task_factory=Mischief(deeds or {}))
        self._monkeypatch.setattr(prepared, "SingleQuantumExecutor", executor)
        self.campaign = Campaign(self.options(**options))
        return self.campaign.run(self.display)
