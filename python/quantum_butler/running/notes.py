"""Notes of a run as it goes on: in the journal, in the counts, and for watchers."""

from __future__ import annotations

__all__ = ("Display", "Notes")

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lsst.pipe.base.quantum_reports import ExceptionInfo, ExecutionStatus, QuantumReport

from ..execution import Watcher
from .errors import JournalError
from .tally import Failure, Tally

if TYPE_CHECKING:
    from .journal import Journal
    from .plan import Plan


class Display(Protocol):
    """Whoever shows how far a run is."""

    def show(self, tally: Tally) -> None:
        """Show it, unless it has been shown a moment ago."""

    def tell(self, line: str) -> None:
        """Print one line that stays."""


class Notes(Watcher):
    """Notes each quantum that starts and ends."""

    def __init__(self, plan: Plan, journal: Journal, tally: Tally, display: Display):
        self._plan = plan
        self._journal = journal
        self._tally = tally
        self._display = display
        self.error: JournalError | None = None
        """Why the journal cannot be written, which ends the run."""
        self._running: set[int] = set()

    @property
    def wants_end(self) -> bool:
        """Return whether no further quantum is to be started."""
        return self.error is not None

    def starts(self, quantum_id: uuid.UUID) -> None:
        """Note that a quantum is about to be started."""
        number = self._plan.number_of[quantum_id]
        if number not in self._running:
            self._running.add(number)
            self._tally.move(self._plan.labels[number], "waiting", "running")
        try:
            self._journal.note_started([number])
        except JournalError as error:
            self._give_up(error)

    def starts_all(self, numbers: Sequence[int]) -> None:
        """Note that quanta are about to be started."""
        for number in numbers:
            self._running.add(number)
            self._tally.move(self._plan.labels[number], "waiting", "running")
        try:
            self._journal.note_started(numbers)
        except JournalError as error:
            self._give_up(error)

    def waits_again(self, numbers: Sequence[int]) -> None:
        """Count quanta as not started."""
        for number in numbers:
            self._running.discard(number)
            self._tally.move(self._plan.labels[number], "running", "waiting")

    def done_all(self, numbers: Sequence[int]) -> None:
        """Note that quanta have succeeded."""
        for number in numbers:
            self._running.discard(number)
            self._tally.move(self._plan.labels[number], "running", "done")
        self._tally.completed += len(numbers)
        try:
            self._journal.note_done(numbers)
        except JournalError as error:
            self._give_up(error)
        self._display.show(self._tally)

    def ended(self, quantum_id: uuid.UUID, report: QuantumReport) -> None:
        """Note that a quantum has succeeded or failed."""
        number = self._plan.number_of[quantum_id]
        self._running.discard(number)
        self._tally.completed += 1
        try:
            if report.status is ExecutionStatus.SUCCESS:
                self._tally.move(self._plan.labels[number], "running", "done")
                self._journal.note_done([number])
            else:
                self._tally.move(self._plan.labels[number], "running", "failed")
                failure = Failure(self._plan.name(number), reason_of(report))
                self._tally.failures.append(failure)
                self._display.tell(f"{failure.name} failed: {failure.reason}")
                self._journal.note_failed(number, report.model_dump(mode="json", exclude_none=True))
        except JournalError as error:
            self._give_up(error)
        self._display.show(self._tally)

    def fail_all(self, numbers: Sequence[int], reason: str, names: str) -> None:
        """Note that quanta cannot be run at all, and say so once."""
        self._display.tell(f"{names} failed: {reason}")
        self._tally.failures.append(Failure(names, reason))
        for number in numbers:
            self._tally.move(self._plan.labels[number], "waiting", "failed")
            report = QuantumReport(
                quantumId=self._plan.ids[number],
                status=ExecutionStatus.FAILURE,
                dataId=self._plan.data_id(number),
                taskLabel=self._plan.labels[number],
                exitCode=1,
                exceptionInfo=ExceptionInfo(className="ImportError", message=reason),
            )
            self._journal.note_failed(number, report.model_dump(mode="json", exclude_none=True))

    def _give_up(self, error: JournalError) -> None:
        """Let the run come to its end, since nobody would know what else it does."""
        if self.error is None:
            self.error = error
            self._display.tell(f"{error}; waiting for the quanta that run")

    def tell(self, line: str) -> None:
        """Say something that stays."""
        self._display.tell(line)

    def tries_again(self, quantum_id: uuid.UUID, reason: str) -> None:
        """Say that a quantum is tried again."""
        self._display.tell(f"{self._plan.name(self._plan.number_of[quantum_id])} is tried again: {reason}")

    def blocked(self, quantum_ids: Sequence[uuid.UUID]) -> None:
        """Count quanta that cannot run."""
        for quantum_id in quantum_ids:
            self._tally.move(self._plan.labels[self._plan.number_of[quantum_id]], "waiting", "blocked")

    def interrupted(self) -> None:
        """Say what an interruption does."""
        self._display.tell("Interrupted: waiting for the quanta that run. Interrupt again to end them.")

    def waits(self) -> None:
        """Show how far it is."""
        self._display.show(self._tally)


def reason_of(report: QuantumReport) -> str:
    """Return why a quantum has failed, in one line."""
    if report.status is ExecutionStatus.TIMEOUT:
        return "it took too long"
    if (info := report.exceptionInfo) is not None:
        first, _, rest = info.message.strip().partition("\n")
        return f"{info.className.rpartition('.')[2]}: {first}{' [...]' if rest else ''}"
    code = report.exitCode
    if code is not None and code < 0:
        return f"its process was killed by signal {-code}"
    return f"its process ended with exit code {code}"
