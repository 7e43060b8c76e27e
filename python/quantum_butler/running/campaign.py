"""A graph that is run, as far as it has not been yet."""

from __future__ import annotations

__all__ = ("Campaign", "RunResult")

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError, MPTimeoutError
from lsst.pipe.base.quantum_reports import ExecutionStatus, QuantumReport, Report

from .. import _core
from ..paths import is_folder, require_writable
from .batches import BatchRun
from .engines import DaskEngine, Engine, ParslEngine
from .errors import RunError
from .journal import Identity, Journal
from .local import run_here
from .notes import Notes
from .plan import read_plan
from .prepared import Prepared
from .selection import select
from .tally import Tally

if TYPE_CHECKING:
    from .notes import Display
    from .options import RunOptions


# How many quanta are named where there may be many.
_MOST_NAMED = 3


@dataclass(frozen=True)
class RunResult:
    """Result of a run."""

    tally: Tally
    """Counts of the quanta that were chosen."""

    was_interrupted: bool
    """Whether somebody has ended it."""

    @property
    def is_success(self) -> bool:
        """Return whether all quanta that were chosen are done."""
        return not (self.was_interrupted or any(map(self.tally.total, ("waiting", "failed", "blocked"))))


class Campaign:
    """A graph, and what is known of the quanta that are to be run.

    Making one reads the graph and the journal, and decides which quanta there
    are to run.  Nothing is written but a journal, with what logs alone tell to
    be done, and with ``dry`` not even that.
    """

    def __init__(self, options: RunOptions, *, dry: bool = False):
        self._options = options
        self.plan = read_plan(options.graph)
        for folder in () if dry else options.log_folders:
            try:
                require_writable(folder)
            except OSError as error:
                raise RunError(f"{folder}: no provenance logs can be written here: {error}") from error
        self._chosen = select(self.plan, options.tasks, options.where)
        identity = Identity(self.plan.digest(), options.repository, len(self.plan))
        self.journal = Journal(options.journal, identity, read_only=dry)
        try:
            self._decide()
        except BaseException:
            self.journal.close()
            raise

    def _decide(self) -> None:
        """Decide which quanta can be run, and which are blocked by what has happened before."""
        journal = self.journal
        stay_failed = set(journal.failed)
        if self._options.retry_failed:
            stay_failed -= self._chosen
        self._not_chosen: set[int] = set()
        self._there: set[int] = set()
        wanted = self._chosen - journal.done - stay_failed
        logs = self._existing_logs()
        if logs and (self._options.metadata_in_log or not journal.done):
            # Without a journal, the logs alone tell what an earlier run with that option has done.
            kept = self.prepared.find_kept(self.plan.quantum_ids(sorted(wanted)), logs)
            journal.take_for_done([self.plan.number_of[quantum_id] for quantum_id in kept])
            wanted -= journal.done
        ready = wanted - self._blocked_by(stay_failed)
        if needed := self.plan.direct_needs(ready) - journal.done - stay_failed:
            ids = self.plan.quantum_ids(sorted(needed))
            there = self.prepared.find_done(ids)
            # Logs are read only for those whose metadata is not there.
            rest = [one for one in ids if one not in there]
            there |= self.prepared.find_kept(rest, logs)
            self._there = {number for number in needed if self.plan.ids[number] in there}
            self._not_chosen = needed - self._there
        self.to_run = sorted(wanted - self._blocked_by(stay_failed | self._not_chosen))
        """Numbers of the quanta that are to be run."""
        blocked_by_choice = sorted(ready.difference(self.to_run))
        self.blocked_by_choice_count = len(blocked_by_choice)
        """Number of quanta that need others which were not chosen and are not done."""
        self.blocked_by_choice = [self.plan.name(number) for number in blocked_by_choice[:_MOST_NAMED]]
        """Some of them, by name."""

    def _existing_logs(self) -> list[str]:
        """Return the folders for provenance logs that are there."""
        return [folder for folder in self._options.log_folders if is_folder(folder)]

    def _blocked_by(self, failed: set[int]) -> set[int]:
        """Return the quanta that cannot run because of others."""
        frontier = self.plan.frontier()
        frontier.finish(sorted(self.journal.done))
        blocked: set[int] = set()
        for number in sorted(failed - self.journal.done):
            if number not in blocked:
                blocked.update(frontier.fail(number))
        return blocked

    @cached_property
    def prepared(self) -> Prepared:
        """Objects that are needed to run quanta."""
        return Prepared(self._options, self.plan)

    def _states(self, failed: set[int]) -> Iterator[tuple[int, str]]:
        """Return the quanta that were chosen, each with its state."""
        blocked = self._blocked_by(failed | self._not_chosen)
        for number in sorted(self._chosen):
            if number in self.journal.done:
                yield number, "done"
            elif number in failed:
                yield number, "failed"
            else:
                yield number, "blocked" if number in blocked else "waiting"

    def tally(self) -> Tally:
        """Return counts of the quanta that were chosen, as they are now."""
        tally = Tally(sorted({self.plan.labels[number] for number in self._chosen}))
        failed = self.journal.failed.keys() - set(self.to_run)
        for number, state in self._states(failed):
            tally.add(self.plan.labels[number], state)
        return tally

    def run(self, display: Display) -> RunResult:
        """Run what there is to run."""
        tally = self.tally()
        notes = Notes(self.plan, self.journal, tally, display)
        was_interrupted = False
        try:
            self.journal.note_session(
                {
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                    "host": socket.gethostname(),
                    "process": os.getpid(),
                }
            )
            display.show(tally)
            if self.to_run:
                self._run_quanta(notes)
        except KeyboardInterrupt:
            was_interrupted = True
        finally:
            self.journal.close()
        if notes.error is not None:
            raise notes.error
        tally = Tally(tally.counts)
        for number, state in self._states(set(self.journal.failed)):
            tally.add(self.plan.labels[number], state)
        return RunResult(tally, was_interrupted)

    def _run_quanta(self, notes: Notes) -> None:
        """Write the init-outputs, and run the quanta."""
        faults = self.prepared.import_tasks(self.plan)
        for label, fault in faults.items():
            self._fail_task(label, fault, notes)
        if not self.to_run:
            return
        is_here = self._options.dask is None and self._options.parsl is None
        ids = self.plan.quantum_ids(self.to_run if is_here else self._first_ones())
        unnoted = self.journal.started.intersection(self.to_run)
        if not self.journal.done:
            self.prepared.require_inputs(self.plan, ids)
        with contextlib.nullcontext() if is_here else self._engine() as engine:
            if not self.journal.has_init_outputs:
                self.prepared.write_init_outputs(ids)
                if not faults:
                    self.journal.note_init_outputs()
            if engine is None:
                run_here(self._options, self.prepared, ids, self.plan.quantum_ids(sorted(unnoted)), notes)
            else:
                BatchRun(self._options, self.plan, self._frontier(), unnoted, notes, engine).execute()

    def _engine(self) -> Engine:
        """Return the engine that runs batches."""
        if self._options.parsl is not None:
            return ParslEngine(self._options.parsl)
        assert self._options.dask is not None, "one of them has been asked for"
        return DaskEngine(self._options.dask)

    def _first_ones(self) -> list[int]:
        """Return some quanta of each task that need no others of the graph."""
        found: dict[str, list[int]] = {}
        for number in self.plan.frontier().take(len(self.plan)):
            found.setdefault(self.plan.labels[number], []).append(number)
        wanted = set(self.to_run)
        return [number for numbers in found.values() for number in numbers[:_MOST_NAMED] if number in wanted]

    def _frontier(self) -> _core.Frontier:
        """Return the quanta that are to be run, with those before them done, and without all others."""
        frontier = self.plan.frontier()
        over = self.journal.done | self._there
        frontier.finish(sorted(over))
        gone: set[int] = set()
        for number in sorted(set(range(len(self.plan))).difference(over, self.to_run)):
            if number not in gone:
                gone.update(frontier.fail(number))
        return frontier

    def _fail_task(self, label: str, fault: str, notes: Notes) -> None:
        """Note the quanta of a task that cannot be imported as failed."""
        numbers = [number for number in self.to_run if self.plan.labels[number] == label]
        if not numbers:
            return
        first = self.plan.name(numbers[0])
        notes.fail_all(
            numbers, f"task {label} cannot be imported: {fault}", f"{first}, and all others of the task"
        )
        blocked = self._blocked_by(set(numbers) | self._not_chosen)
        notes.blocked(self.plan.quantum_ids([number for number in self.to_run if number in blocked]))
        over = blocked.union(numbers)
        self.to_run = [number for number in self.to_run if number not in over]

    def report(self) -> Report:
        """Return upstream's report of all quanta that were chosen, from the journal."""
        ids = self.plan.quantum_ids(sorted(self._chosen))
        report = Report(qgraphSummary=self.prepared.summary(ids))
        for number, state in self._states(set(self.journal.failed)):
            match state:
                case "failed":
                    one = QuantumReport.model_validate(self.journal.failed[number])
                case "done":
                    one = self._plain_report(number, ExecutionStatus.SUCCESS, 0)
                case "blocked":
                    one = self._plain_report(number, ExecutionStatus.SKIPPED, None)
                case _:
                    continue
            report.quantaReports.append(one)
        statuses = {one.status for one in report.quantaReports}
        stopped = statuses - {ExecutionStatus.SUCCESS, ExecutionStatus.SKIPPED}
        if stopped == {ExecutionStatus.TIMEOUT}:
            report.status = ExecutionStatus.TIMEOUT
            report.set_exception(MPTimeoutError("One or more tasks timed out during execution."))
        elif statuses - {ExecutionStatus.SUCCESS}:
            report.status = ExecutionStatus.FAILURE
            report.set_exception(
                MPGraphExecutorError("One or more tasks failed or timed out during execution.")
            )
        return report

    def _plain_report(self, number: int, status: ExecutionStatus, code: int | None) -> QuantumReport:
        return QuantumReport(
            quantumId=self.plan.ids[number],
            status=status,
            dataId=self.plan.data_id(number),
            taskLabel=self.plan.labels[number],
            exitCode=code,
        )
