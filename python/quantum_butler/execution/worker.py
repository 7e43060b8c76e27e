"""A forked process that runs quanta, as its parent sees it."""

from __future__ import annotations

__all__ = ("Worker",)

import contextlib
import fcntl
import multiprocessing
import os
import pickle
import signal
import time
import uuid
import warnings
from typing import TYPE_CHECKING, cast

from ..quantum.process_log import log_name
from .child import Outcome, Settings, run_quanta

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

_FORK = multiprocessing.get_context("fork")

# Size of one read from a pipe, and the length that stands before an outcome.
_CHUNK = 1 << 20
_LENGTH = 8

# Workers whose pipes are open here, and so in every process that is forked now.
_alive: set[Worker] = set()

# Names of provenance logs to which nobody writes any more, by the process that forks.
_free_logs: dict[int, list[str]] = {}


class Worker:
    """A process made by forking this one, which runs a number of quanta at most, or any (`None`)."""

    def __init__(self, settings: Settings, most_quanta: int | None):
        self.quantum_id: uuid.UUID | None = None
        """The quantum that it runs."""
        self.has_begun = False
        """Whether the process has told that it runs that quantum."""
        self.started = 0.0
        """When that was handed to it, by `time.monotonic`."""
        self._left = most_quanta
        self._received = bytearray()
        self.kill_at: float | None = None
        """When `kill` is due, by `time.monotonic`."""
        self.is_ending = False
        """Whether the process was asked to end, or forced."""
        self.is_silent = False
        """Whether nothing more can come from it, because it has closed its end of the pipe."""
        # Otherwise a campaign of forked processes would leave a log for each quantum.
        logs = _free_logs.setdefault(os.getpid(), [])
        self._log = logs.pop() if logs else log_name()
        requests, self._requests = os.pipe()
        self.outcomes, outcomes = os.pipe()
        _alive.add(self)
        try:
            self._process = self._fork(settings, requests, outcomes)
        except BaseException:
            _alive.discard(self)
            self._close(self._requests, self.outcomes)
            raise
        finally:
            self._close(requests, outcomes)
        fcntl.fcntl(self.outcomes, fcntl.F_SETFL, os.O_NONBLOCK)
        self.sentinel = self._open_sentinel()

    def _fork(self, settings: Settings, requests: int, outcomes: int) -> ForkProcess:
        """Fork this process."""
        parent = os.getpid()

        def run() -> None:
            # Only its own ends stay open: it, and others, wait for the parent's to be closed.
            for worker in _alive:
                self._close(worker._requests, worker.outcomes)
            run_quanta(settings, parent, self._log, requests, outcomes)

        process = _FORK.Process(target=run, name="quantum-worker")
        with warnings.catch_warnings():
            # The threads have been looked at.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            process.start()
        return process

    def _open_sentinel(self) -> int:
        """Open a descriptor that tells of the end of the process."""
        # The pipe that multiprocessing has for that stays open as long as anything lives that the process
        # has forked.
        if (pidfd_open := getattr(os, "pidfd_open", None)) is not None:
            with contextlib.suppress(OSError):
                return cast(int, pidfd_open(self._process.pid))
        return os.dup(self._process.sentinel)

    @staticmethod
    def _close(*descriptors: int) -> None:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    @property
    def exit_code(self) -> int:
        """Exit code of a process that has ended; negative for a signal."""
        # What tells of the end may be a moment ahead of it.
        self._process.join()
        return cast(int, self._process.exitcode)

    @property
    def was_ended(self) -> bool:
        """Return whether the process was ended from here, and did not end before that by itself."""
        return self.is_ending and self.exit_code < 0

    @property
    def is_full(self) -> bool:
        """Return whether it takes no further quantum."""
        return self._left == 0

    def assign(self, quantum_id: uuid.UUID) -> None:
        """Have a quantum run."""
        if self._left is not None:
            self._left -= 1
        self.quantum_id, self.has_begun, self.started = quantum_id, False, time.monotonic()
        # A process that has just ended does not read; that is noticed by its sentinel.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._requests, quantum_id.bytes)
        if self.is_full:
            self.take_no_more()

    def take_no_more(self) -> None:
        """Let the process end when it has done what was asked for."""
        if self._requests >= 0:
            self._close(self._requests)
            self._requests = -1

    def receive(self) -> Outcome | None:
        """Read what has come, without waiting; return an outcome if it is complete."""
        with contextlib.suppress(BlockingIOError):
            while contents := os.read(self.outcomes, _CHUNK):
                self._received += contents
            self.is_silent = True
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "big")
            if len(self._received) < end:
                break
            contents = bytes(self._received[_LENGTH:end])
            del self._received[:end]
            if contents:
                outcome: Outcome = pickle.loads(contents)
                return outcome
            self.has_begun = True
        return None

    def end(self, grace: float) -> None:
        """End the process and what it has started: now by request, by force if it is still there later."""
        if not self.is_ending:
            self.is_ending = True
            self.kill_at = time.monotonic() + grace
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and what it has started by force."""
        self.is_ending = True
        self.kill_at = None
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the group of the process, or to itself if it has none yet."""
        process = cast(int, self._process.pid)
        try:
            os.killpg(process, number)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def dispose(self) -> None:
        """Wait for the end of the process, and release what belongs to it."""
        self.take_no_more()
        self._process.join()
        _alive.discard(self)
        _free_logs[os.getpid()].append(self._log)
        if self.is_ending:
            # What it has started, and what has not heard the request.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(cast(int, self._process.pid), signal.SIGKILL)
        self._close(self.outcomes, self.sentinel)
        self._process.close()
