"""Function that an engine calls on its workers. It hands a batch of quanta to a process that stays warm.

Only the standard library is imported here; the process imports the rest.
"""

from __future__ import annotations

__all__ = ("Batch", "StartError", "run_batch", "stop_servers")

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

from ..errors import QuantumButlerError

# How much of what a process has said last is told.
_LAST_WORDS = 4000

# What a process may print before that is thrown away.
_MOST_PRINTED = 16 << 20


class StartError(QuantumButlerError, RuntimeError):
    """Raised when the process that runs quanta cannot be started, or does not live to run any."""


class LostError(QuantumButlerError, RuntimeError):
    """Raised when the process that runs quanta has ended in the middle of a batch."""


class Batch(NamedTuple):
    """Some quanta, and what is to be known to run them."""

    setup: str
    """What is the same for all batches, in JSON."""

    name: str
    """What no other batch has."""

    quanta: Sequence[str]
    """Ids of the quanta."""

    unnoted: bool
    """Whether some of them may have been started before."""

    markers: str | None
    """Folder for a file that tells whether the batch was started before; an engine may do that by itself."""


class _Server:
    """A process that runs batches, one after the other."""

    def __init__(self, setup: str):
        self.setup = setup
        # Closed with the process, and not seen by others.
        self._said: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__.replace("remote", "server"), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # Ctrl-C is for whoever hands out the batches.
            start_new_session=True,
        )
        try:
            answer = self._ask(setup)
        except LostError as error:
            raise StartError(str(error)) from None
        if "error" in answer:
            self.stop()
            raise StartError(answer["error"])

    def _ask(self, request: str) -> dict[str, Any]:
        """Return the answer to a request."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n".encode())
            self._process.stdin.flush()
        if not (line := self._process.stdout.readline()).endswith(b"\n"):
            code = self._process.wait()
            said = self._last_words()
            self.stop()
            raise LostError(f"the process that runs quanta has ended with exit code {code}: {said}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """Return what the process has said last."""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _LAST_WORDS))
        return self._said.read().decode(errors="backslashreplace").strip() or "it has said nothing"

    def run(self, quanta: Sequence[str], *, unnoted: bool) -> list[tuple[str, dict[str, Any] | None]]:
        """Return the results of quanta: those that have failed, with their reports."""
        answer = self._ask(json.dumps({"quanta": quanta, "unnoted": unnoted}))
        if "error" in answer:
            raise StartError(answer["error"])
        if self._said.seek(0, os.SEEK_END) > _MOST_PRINTED:
            self._said.truncate(0)
        return [(quantum, report) for quantum, report in answer["results"]]

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
        self._said.close()


_lock = threading.Lock()
_idle: list[_Server] = []
_busy: set[_Server] = set()


def run_batch(batch: Batch) -> tuple[float, list[tuple[str, Mapping[str, Any] | None]]]:
    """Run quanta. Return the time in s, and a report for each; `None` for one that is done."""
    unnoted = _mark(batch) or batch.unnoted
    server = _take(batch.setup)
    begin = time.monotonic()
    try:
        results = server.run(batch.quanta, unnoted=unnoted)
    except BaseException:
        with _lock:
            _busy.discard(server)
        server.stop()
        raise
    with _lock:
        _busy.discard(server)
        _idle.append(server)
    return time.monotonic() - begin, list(results)


def _mark(batch: Batch) -> bool:
    """Leave a mark that a batch has been started, and return whether there was one."""
    if batch.markers is None:
        return True
    try:
        os.close(os.open(os.path.join(batch.markers, f".batch-{batch.name}"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return True
    return False


def _take(setup: str) -> _Server:
    """Return a process that waits for a batch, a new one if there is none."""
    with _lock:
        others = [server for server in _idle if server.setup != setup]
        fit = [server for server in _idle if server.setup == setup]
        _idle[:] = fit[1:]
        server = fit[0] if fit else None
    for other in others:
        # It belongs to an earlier run.
        other.stop()
    if server is None:
        server = _Server(setup)
    with _lock:
        _busy.add(server)
    return server


@atexit.register
def stop_servers() -> None:
    """End all processes that run quanta for this one."""
    with _lock:
        servers = [*_idle, *_busy]
        _idle.clear()
        _busy.clear()
    for server in servers:
        server._process.kill()
