"""Scheduling: decides which quantum runs when, and reports it.

A quantum is started as soon as all quanta before it have succeeded and a
process is free.  Nothing is polled: the pipes of the processes and their ends
are waited for together.
"""

from __future__ import annotations

__all__ = ("GraphRun",)

import itertools
import selectors
import signal
import time
import uuid
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from lsst.pipe.base import InvalidQuantumError
from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError, MPTimeoutError
from lsst.pipe.base.quantum_reports import ExecutionStatus, QuantumReport, Report
from lsst.utils.logging import getLogger

from .. import _core
from ..upstream.executors import FINAL_EXIT_CODES, make_butler, write_provenance
from .child import Outcome, Settings
from .interruptions import Interruptions
from .watching import Watcher
from .worker import Worker

if TYPE_CHECKING:
    import networkx

# People look for its messages under this name.
_LOG = getLogger(MPGraphExecutorError.__module__)

# Seconds that a process has between a request to end and its end by force; as upstream.
_GRACE = 1.0

# How often a quantum may come to a process that ends before it has read which one it is.
_MOST_LOST = 3


def _say_how_to_end() -> None:
    _LOG.warning("Interrupted: waiting for the quanta that run. Interrupt again to end them.")


class GraphRun:
    """One run of the quanta of an upstream graph, and what is added to its report."""

    def __init__(
        self,
        graph: networkx.DiGraph,
        settings: Settings,
        report: Report,
        provenance_writer: Any,
        *,
        jobs: int,
        most_quanta: int | None,
        timeout: float,
        retries: int,
        watcher: Watcher,
    ):
        self._quanta = settings.quanta
        self._settings = settings
        self._report = report
        self._provenance_writer = provenance_writer
        self._jobs = jobs
        self._most_quanta = most_quanta
        self._timeout = timeout
        self._retries = retries
        self._watcher = watcher
        # A quantum's place in the order does not depend on when others end.
        self._in_order = sorted(self._quanta, key=self._sort_key)
        self._number = {quantum_id: number for number, quantum_id in enumerate(self._in_order)}
        edges = [(self._number[before], self._number[after]) for before, after in graph.edges]
        self._frontier = _core.Frontier(
            len(self._in_order),
            array("I", [before for before, _ in edges]),
            array("I", [after for _, after in edges]),
        )
        self._selector = selectors.DefaultSelector()
        self._workers: set[Worker] = set()
        self._outcomes: dict[uuid.UUID, Outcome] = {}
        self._attempts: Counter[uuid.UUID] = Counter()
        self._n_lost: Counter[uuid.UUID] = Counter()
        self._n_done = 0
        self._failed: dict[uuid.UUID, str] = {}
        self._timed_out: set[uuid.UUID] = set()
        self._interruptions = Interruptions(_say_how_to_end)
        self._has_told_of_interruption = False
        self._error: MPGraphExecutorError | None = None

    def _sort_key(self, quantum_id: uuid.UUID) -> tuple[Any, ...]:
        attributes = self._quanta[quantum_id]
        return (attributes["task_label"], *attributes["data_id"].required_values)

    def execute(self) -> None:
        """Run all quanta; raise `MPGraphExecutorError` if one failed, `KeyboardInterrupt` if interrupted."""
        with self._interruptions.counted():
            try:
                while self._is_going_on():
                    self._start_quanta()
                    self._wait()
            finally:
                self._end_all()
        if self._error is not None:
            raise self._error
        if self._interruptions.count:
            raise KeyboardInterrupt
        if self._failed:
            self._raise_failed()

    def _is_going_on(self) -> bool:
        """Return whether there is anything left to do or to wait for."""
        if self._interruptions.count > 1 or self._error is not None:
            return False
        return self._n_busy() > 0 or (self._frontier.has_ready and not self._is_over)

    @property
    def _is_over(self) -> bool:
        """Return whether no further quantum is started."""
        return self._interruptions.count > 0 or self._watcher.wants_end

    def _n_busy(self) -> int:
        return sum(worker.quantum_id is not None for worker in self._workers)

    def _end_all(self) -> None:
        """End all processes: those without a quantum by request, the others by force."""
        for worker in self._workers:
            worker.take_no_more() if worker.quantum_id is None else worker.kill()
        for worker in list(self._workers):
            self._dispose(worker)
        self._selector.close()

    def _dispose(self, worker: Worker) -> None:
        if not worker.is_silent:
            self._selector.unregister(worker.outcomes)
        self._selector.unregister(worker.sentinel)
        self._workers.remove(worker)
        worker.dispose()

    def _start_quanta(self) -> None:
        """Hand the next quanta to processes as long as there are both."""
        if self._is_over:
            return
        for number in self._frontier.take(self._jobs - self._n_busy()):
            quantum_id = self._in_order[number]
            self._attempts[quantum_id] += 1
            self._watcher.starts(quantum_id)
            self._free_worker().assign(quantum_id)

    def _free_worker(self) -> Worker:
        """Return a process that waits for a quantum, a new one if there is none."""
        for worker in self._workers:
            if worker.quantum_id is None and not worker.is_full:
                return worker
        worker = Worker(self._settings, self._most_quanta)
        self._workers.add(worker)
        self._selector.register(worker.outcomes, selectors.EVENT_READ, worker)
        self._selector.register(worker.sentinel, selectors.EVENT_READ, worker)
        return worker

    def _wait(self) -> None:
        """Wait until something has happened, and see to it."""
        if self._interruptions.count and not self._has_told_of_interruption:
            self._has_told_of_interruption = True
            self._watcher.interrupted()
        self._watcher.waits()
        now = time.monotonic()
        due = min((self._due(worker, now) for worker in self._workers), default=now)
        events = self._selector.select(max(0.0, due - now))
        ended = {key.data for key, _ in events if key.fd == key.data.sentinel}
        for worker in {key.data for key, _ in events}:
            if (outcome := self._receive(worker)) is not None and worker.quantum_id is not None:
                self._outcomes[worker.quantum_id] = outcome
            if worker in ended:
                self._note_end(worker)
            elif outcome is not None:
                self._note_outcome(worker, outcome)
        self._see_to_deadlines()

    def _receive(self, worker: Worker) -> Outcome | None:
        """Read what has come from a process, and wait no more for its pipe once that is closed."""
        was_silent = worker.is_silent
        outcome = worker.receive()
        if worker.is_silent and not was_silent:
            # It takes a process milliseconds to end after that; the pipe would be ready all the while.
            self._selector.unregister(worker.outcomes)
        return outcome

    def _due(self, worker: Worker, now: float) -> float:
        """Return when a process has to be looked at again at the latest."""
        # A signal does not end the waiting: it is noticed a second later at the latest.
        due = now + 1.0
        if worker.kill_at is not None:
            return min(due, worker.kill_at)
        if worker.quantum_id is not None and not worker.is_ending:
            return min(due, worker.started + self._timeout)
        return due

    def _see_to_deadlines(self) -> None:
        """End processes whose quantum takes too long."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.kill_at is not None:
                if worker.kill_at <= now:
                    worker.kill()
            elif worker.quantum_id is not None and not worker.is_ending:
                if worker.started + self._timeout <= now:
                    _LOG.debug("Ending quantum %s, which takes too long.", worker.quantum_id)
                    worker.end(_GRACE)

    def _note_outcome(self, worker: Worker, outcome: Outcome) -> None:
        """Note a quantum whose process goes on; others are noted when their process has ended."""
        if outcome.goes_on and not worker.is_full and (quantum_id := worker.quantum_id) is not None:
            worker.quantum_id = None
            self._settle(quantum_id, 0, was_ended=False)

    def _note_end(self, worker: Worker) -> None:
        """Note the end of a process, and of its quantum if it had one."""
        quantum_id, code, was_ended = worker.quantum_id, worker.exit_code, worker.was_ended
        self._dispose(worker)
        if quantum_id is None:
            return
        if not worker.has_begun and not was_ended and self._n_lost[quantum_id] < _MOST_LOST:
            # The process has ended while it waited, and never read what it was asked for.
            self._n_lost[quantum_id] += 1
            self._attempts[quantum_id] -= 1
            self._frontier.give_back([self._number[quantum_id]])
            return
        self._settle(quantum_id, code, was_ended=was_ended)

    def _settle(self, quantum_id: uuid.UUID, code: int, *, was_ended: bool) -> None:
        """Note that a quantum has ended with an exit code."""
        outcome = self._outcomes.pop(quantum_id, None)
        if code and self._is_to_be_tried_again(quantum_id, code, was_ended=was_ended):
            self._frontier.give_back([self._number[quantum_id]])
            return
        report = self._report_of(quantum_id, outcome, code)
        if was_ended:
            report.status = ExecutionStatus.TIMEOUT
        self._report.quantaReports.append(report)
        if code == 0:
            self._n_done += 1
            self._frontier.finish([self._number[quantum_id]])
        self._write_provenance(quantum_id, outcome)
        self._watcher.ended(quantum_id, report)
        if code:
            self._note_failure(quantum_id, code, was_ended=was_ended)
        n_failed, n_all = len(self._failed), len(self._quanta)
        _LOG.info(
            "Executed %d quanta successfully, %d failed and %d remain out of total %d quanta.",
            self._n_done,
            n_failed,
            n_all - self._n_done - n_failed,
            n_all,
        )

    def _is_to_be_tried_again(self, quantum_id: uuid.UUID, code: int, *, was_ended: bool) -> bool:
        """Return whether a quantum that has failed gets another attempt."""
        attempt = self._attempts[quantum_id]
        if attempt > self._retries or self._is_over or (code in FINAL_EXIT_CODES and not was_ended):
            return False
        reason = self._reason(code, was_ended=was_ended)
        _LOG.warning("%s: attempt %d failed (%s); trying it again.", self._name(quantum_id), attempt, reason)
        self._watcher.tries_again(quantum_id, reason)
        return True

    def _report_of(self, quantum_id: uuid.UUID, outcome: Outcome | None, code: int) -> QuantumReport:
        """Return the report of a quantum: its own, or one made from the exit code of its process."""
        if outcome is not None:
            outcome.report.exitCode = code
            return outcome.report
        attributes = self._quanta[quantum_id]
        return QuantumReport.from_exit_code(
            quantumId=quantum_id,
            exitCode=code,
            dataId=attributes["data_id"],
            taskLabel=attributes["task_label"],
        )

    def _write_provenance(self, quantum_id: uuid.UUID, outcome: Outcome | None) -> None:
        """Hand what a quantum has left to upstream's writer."""
        if (writer := self._provenance_writer) is None:
            return
        quantum = self._quanta[quantum_id]["quantum"]

        def find_existence() -> dict[uuid.UUID, bool]:
            with make_butler(self._settings.executor, quantum) as butler:
                stored = butler.stored_many(itertools.chain.from_iterable(quantum.outputs.values()))
            return {ref.id: exists for ref, exists in stored.items()}

        metadata, logs = (None, None) if outcome is None else (outcome.metadata, outcome.logs)
        write_provenance(writer, quantum_id, metadata, logs, find_existence)

    def _note_failure(self, quantum_id: uuid.UUID, code: int, *, was_ended: bool) -> None:
        """Note a quantum that has failed, and those that cannot run because of it."""
        reason = self._reason(code, was_ended=was_ended)
        message = f"Task {self._name(quantum_id)} failed, {reason}"
        if was_ended:
            message = f"Timeout ({self._timeout} sec) for task {self._name(quantum_id)}, task is killed"
            self._timed_out.add(quantum_id)
        if not was_ended:
            self._report.status = ExecutionStatus.FAILURE
        elif self._report.status is ExecutionStatus.SUCCESS:
            self._report.status = ExecutionStatus.TIMEOUT
        self._failed[quantum_id] = "TIMED_OUT" if was_ended else "FAILED"
        blocked = [self._in_order[number] for number in self._frontier.fail(self._number[quantum_id])]
        self._failed.update(dict.fromkeys(blocked, "FAILED_DEP"))
        if self._settings.fail_fast or code == InvalidQuantumError.EXIT_CODE:
            self._error = (MPTimeoutError if was_ended else MPGraphExecutorError)(message)
            return
        _LOG.error("%s; processing will continue for remaining tasks.", message)
        self._watcher.blocked(blocked)
        for blocked_id in blocked:
            attributes = self._quanta[blocked_id]
            self._report.quantaReports.append(
                QuantumReport(
                    quantumId=blocked_id,
                    status=ExecutionStatus.SKIPPED,
                    dataId=attributes["data_id"],
                    taskLabel=attributes["task_label"],
                )
            )
            write_blocked = getattr(self._provenance_writer, "write_blocked_quantum_provenance", None)
            if write_blocked is not None:
                write_blocked(blocked_id)
            _LOG.error("Upstream job failed for task %s, skipping this task.", self._name(blocked_id))

    @staticmethod
    def _reason(code: int, *, was_ended: bool) -> str:
        """Return why a process has ended, in words."""
        if was_ended:
            return "it took too long"
        if code > 0:
            return f"exit code={code}"
        try:
            return f"killed by signal {-code} ({signal.strsignal(-code)})"
        except ValueError:
            return f"killed by signal {-code}"

    def _name(self, quantum_id: uuid.UUID) -> str:
        attributes = self._quanta[quantum_id]
        return f"<{attributes['task_label']} dataId={attributes['data_id']}>"

    def _raise_failed(self) -> None:
        """Say what has failed, in upstream's words."""
        _LOG.error("Failed jobs:")
        for quantum_id, state in self._failed.items():
            _LOG.error("  - %s: %s", state, self._name(quantum_id))
        if self._failed.keys() == self._timed_out:
            raise MPTimeoutError("One or more tasks timed out during execution.")
        raise MPGraphExecutorError("One or more tasks failed or timed out during execution.")
