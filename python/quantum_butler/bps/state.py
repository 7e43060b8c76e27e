"""The file that tells what has become of the jobs of a run.

The process that runs them appends a line of JSON for each thing that happens,
and holds a lock on the file as long as it lives.  Whoever asks only reads.
"""

from __future__ import annotations

__all__ = ("RunState", "StateWriter", "read_state", "request_cancellation", "state_file")

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..paths import is_there

_NAME = "quantum_butler_run.jsonl"
_CANCEL = "quantum_butler_cancel"

# Names of upstream's `WmsStates`, which nothing follows.
_ENDED = frozenset(("SUCCEEDED", "FAILED", "PRUNED", "DELETED"))


def state_file(folder: str) -> str:
    """Return the name of the file for the run with a submit folder."""
    return os.path.join(folder, _NAME)


def request_cancellation(folder: str) -> None:
    """Ask the process that runs the jobs to end."""
    with open(os.path.join(folder, _CANCEL), "w"):
        pass


class StateWriter:
    """Appends what happens; one process at a time can."""

    def __init__(self, folder: str):
        self._folder = folder
        self._lock = threading.Lock()
        self._stream = open(state_file(folder), "a")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._stream.close()
            raise RuntimeError(f"{folder}: this run is being executed by another process.") from None
        except OSError:
            # A file system without locks.
            pass
        _cut_off_half_a_line(state_file(folder))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, _CANCEL))

    def write(self, **event: Any) -> None:
        """Append an event."""
        line = json.dumps({**event, "time": time.time()}) + "\n"
        with self._lock:
            if not self._stream.closed:
                self._stream.write(line)
                self._stream.flush()

    @property
    def is_cancelled(self) -> bool:
        """Return whether somebody wants the run to end."""
        return is_there(os.path.join(self._folder, _CANCEL))

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            self._stream.close()


def _cut_off_half_a_line(path: str) -> None:
    """Remove what a process that was killed, or a full disk, has left of its last line."""
    with open(path, "rb+") as stream:
        content = stream.read()
        if not content.endswith(b"\n"):
            stream.truncate(content.rfind(b"\n") + 1)


@dataclass
class RunState:
    """State of a run, from its file."""

    folder: str

    about: dict[str, str] = field(default_factory=dict)
    """Name, project, campaign and so on."""

    labels: dict[str, str] = field(default_factory=dict)
    """Label of each job by its name."""

    parents: dict[str, Sequence[str]] = field(default_factory=dict)
    """Names of the jobs before each job."""

    errors: dict[str, str] = field(default_factory=dict)
    """File for the standard error stream of each job, which is there when it has begun."""

    jobs: dict[str, str] = field(default_factory=dict)
    """State of each job."""

    exit_codes: dict[str, int] = field(default_factory=dict)
    """Exit codes of jobs that have failed."""

    state: str = "UNREADY"
    """State of the run."""

    is_abandoned: bool = False
    """Whether the process that ran it has ended before its time."""

    changed: float = 0.0
    """When something was written last."""

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take over what one line tells."""
        self.changed = event["time"]
        if "about" in event:
            self.about = event["about"]
            self.labels, self.parents, self.errors = event["labels"], event["parents"], event["errors"]
        if "run" in event:
            self.state = event["run"]
            if self.state == "RUNNING":
                # A restart runs again what has not succeeded.
                self.jobs = {name: state for name, state in self.jobs.items() if state == "SUCCEEDED"}
                self.exit_codes.clear()
        if "job" in event:
            self.jobs[event["job"]] = event["state"]
            if event.get("code"):
                self.exit_codes[event["job"]] = event["code"]

    def settle(self, *, is_alive: bool) -> None:
        """Work out the state of the jobs that no line tells of."""
        self.is_abandoned = self.state == "RUNNING" and not is_alive
        if self.is_abandoned:
            self.state = "FAILED"
        for name in self.labels:
            if self.jobs.get(name) not in _ENDED:
                self.jobs[name] = self._open_state(name)

    def _open_state(self, name: str) -> str:
        """Return the state of a job that has not ended."""
        if self.state == "DELETED":
            return "DELETED"
        if any(self.jobs.get(parent) != "SUCCEEDED" for parent in self.parents.get(name, ())):
            return "UNREADY"
        if self.is_abandoned:
            return "UNKNOWN"
        if self.state != "RUNNING":
            return "READY"
        return "RUNNING" if is_there(self.errors[name]) else "PENDING"


def read_state(folder: str) -> RunState:
    """Read what there is of a run; `FileNotFoundError` if there is nothing."""
    found = RunState(folder)
    with open(state_file(folder)) as stream:
        is_alive = _is_locked(stream.fileno())
        for line in stream:
            if not line.endswith("\n"):
                # Half a line, which was being written.
                break
            # Where earlier releases went on after half a line, nobody knows what it told.
            with contextlib.suppress(ValueError):
                found.apply(json.loads(line))
    found.settle(is_alive=is_alive)
    return found


def _is_locked(descriptor: int) -> bool:
    """Return whether a process that writes the file lives, as far as can be known."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        # Without locks nobody knows.
        return error.errno in (errno.EWOULDBLOCK, errno.ENOLCK, errno.EOPNOTSUPP)
    return False
