"""Quanta that are run by an engine, in batches of those that are ready."""

from __future__ import annotations

__all__ = ("BatchRun",)

import contextlib
import dataclasses
import json
import os
import queue
import uuid
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from lsst.pipe.base import InvalidQuantumError
from lsst.pipe.base.quantum_reports import QuantumReport

from ..execution.interruptions import Interruptions
from .errors import RunError
from .remote import Batch, StartError

if TYPE_CHECKING:
    from .. import _core
    from .engines import Engine, Submitted
    from .notes import Notes
    from .options import RunOptions
    from .plan import Plan

# Seconds that a batch should take, and most quanta in one.  The first ones of a task have one quantum.
_SPAN = 1.0
_MOST_QUANTA = 500

# How often the worker of a quantum may be lost before the quantum is taken for the reason, and how often
# processes may fail to start, one after the other, before the run ends.
_MOST_LOST = 3
_MOST_FAILED_STARTS = 3


class _Given(NamedTuple):
    """A batch that the engine has."""

    numbers: list[int]
    """Its quanta."""

    submitted: Submitted
    """What the engine knows it by."""


class BatchRun:
    """A run of quanta in batches."""

    def __init__(
        self,
        options: RunOptions,
        plan: Plan,
        frontier: _core.Frontier,
        unnoted: set[int],
        notes: Notes,
        engine: Engine,
    ):
        self._options = options
        self._plan = plan
        self._frontier = frontier
        self._unnoted = unnoted
        self._notes = notes
        self._engine = engine
        self._setup = json.dumps(dataclasses.asdict(options))
        self._given: dict[str, _Given] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lost: Counter[int] = Counter()
        self._failed_starts = 0
        self._seconds: dict[str, float] = {}
        self._interruptions = Interruptions()
        self._is_over = False

    def execute(self) -> None:
        """Run all quanta that can be run; raise `KeyboardInterrupt` if interrupted."""
        told = False
        with self._interruptions.counted():
            try:
                while self._given or (self._frontier.has_ready and not self._wants_end()):
                    self._submit()
                    self._wait()
                    if self._interruptions.count and not told:
                        told = True
                        self._notes.interrupted()
                    if self._interruptions.count > 1 or self._is_over:
                        break
            finally:
                if self._given:
                    self._engine.stop()
                    for name in self._given:
                        self._remove_mark(name)
        if self._interruptions.count:
            raise KeyboardInterrupt

    def _wants_end(self) -> bool:
        return self._interruptions.count > 0 or self._is_over or self._notes.wants_end

    def _submit(self) -> None:
        """Give the engine as many batches as its workers can take."""
        if self._wants_end():
            return
        slots = self._engine.slots()
        for _ in range(2 * slots - len(self._given)):
            if not (first := self._frontier.take(1)):
                return
            label = self._plan.labels[first[0]]
            # While a worker runs a batch of short quanta, the next one is on its way.
            if len(self._given) >= slots and self._seconds.get(label, _SPAN) > _SPAN / 4:
                self._frontier.give_back(first)
                return
            self._give(self._fill(first, label))

    def _fill(self, first: list[int], label: str) -> list[int]:
        """Return a batch that begins with a quantum."""
        if self._lost[first[0]]:
            # Alone it shows whether it is the reason.
            return first
        seconds = self._seconds.get(label, _SPAN)
        # A quantum that takes longer is a batch of its own.
        most = min(_MOST_QUANTA, max(1, int(_SPAN / max(seconds, 1e-6))))
        more = self._frontier.take(most - 1)
        # What is known of one task is not known of the next one.
        fit = [number for number in more if self._plan.labels[number] == label and not self._lost[number]]
        self._frontier.give_back(sorted(set(more).difference(fit)))
        return first + fit

    def _give(self, numbers: list[int]) -> None:
        """Give the engine a batch."""
        name = uuid.uuid4().hex
        unnoted = not self._unnoted.isdisjoint(numbers)
        self._notes.starts_all(numbers)
        ids = [str(quantum_id) for quantum_id in self._plan.quantum_ids(numbers)]
        batch = Batch(self._setup, name, ids, unnoted, self._options.logs)
        submitted = self._engine.submit(batch, lambda: self._ended.put(name))
        self._given[name] = _Given(numbers, submitted)

    def _wait(self) -> None:
        """Wait until a batch has ended, or a moment, and see to all that have ended."""
        self._notes.waits()
        with contextlib.suppress(queue.Empty):
            name = self._ended.get(timeout=1.0)
            while True:
                if name in self._given:
                    self._see_to(name)
                name = self._ended.get_nowait()

    def _see_to(self, name: str) -> None:
        """Note what has become of a batch."""
        given = self._given.pop(name)
        try:
            try:
                seconds, results = given.submitted.result()
            finally:
                # If a worker is lost before it has handed over the result, the engine runs the batch again.
                self._remove_mark(name)
        except StartError as error:
            self._note_failed_start(given.numbers, error)
            return
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self._note_lost(given.numbers, error)
            return
        self._failed_starts = 0
        label, each = self._plan.labels[given.numbers[0]], seconds / len(given.numbers)
        self._seconds[label] = (self._seconds.get(label, each) + each) / 2
        rest = set(given.numbers)
        done = [self._plan.number_of[uuid.UUID(text)] for text, report in results if report is None]
        rest.difference_update(done)
        self._notes.done_all(done)
        self._frontier.finish(done)
        for text, report in results:
            if report is not None:
                number = self._plan.number_of[uuid.UUID(text)]
                rest.discard(number)
                self._note_failure(number, QuantumReport.model_validate(report))
        # With fail_fast, and after an InvalidQuantumError, the others of the batch were not run.
        self._put_back(sorted(rest))

    def _note_failure(self, number: int, report: QuantumReport) -> None:
        """Note a quantum that has failed, and those that cannot run because of it."""
        self._notes.ended(self._plan.ids[number], report)
        blocked = self._frontier.fail(number)
        self._notes.blocked(self._plan.quantum_ids(blocked))
        if self._options.fail_fast or report.exitCode == InvalidQuantumError.EXIT_CODE:
            self._is_over = True

    def _note_failed_start(self, numbers: list[int], error: StartError) -> None:
        """Note that no process could be started for a batch; say so once."""
        self._failed_starts += 1
        self._put_back(numbers)
        if self._failed_starts == 1:
            self._notes.tell(f"a worker cannot run quanta: {error}")
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise RunError(f"no worker can run quanta; the last one said: {error}")

    def _remove_mark(self, name: str) -> None:
        """Remove the mark that a batch has been started."""
        if self._options.logs is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._options.logs, f".batch-{name}"))

    def _note_lost(self, numbers: list[int], error: BaseException) -> None:
        """Note that a worker was lost with a batch; others run its quanta."""
        reason = f"{type(error).__name__}: {error}"
        self._notes.tell(f"a worker was lost with {len(numbers)} quanta, which run again elsewhere: {reason}")
        self._unnoted.update(numbers)
        # Only a batch of one quantum shows that this is the reason.
        if len(numbers) == 1 and self._lost[numbers[0]] + 1 >= _MOST_LOST:
            [number] = numbers
            report = QuantumReport.from_exception(
                exception=RuntimeError(f"its worker was lost {_MOST_LOST} times, at last by {reason}"),
                dataId=self._plan.data_id(number),
                taskLabel=self._plan.labels[number],
                quantumId=self._plan.ids[number],
            )
            self._note_failure(number, report)
            return
        self._lost.update(numbers)
        self._put_back(numbers)

    def _put_back(self, numbers: list[int]) -> None:
        """Let quanta be started again."""
        self._frontier.give_back(numbers)
        self._notes.waits_again(numbers)
