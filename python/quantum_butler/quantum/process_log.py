"""The log that the butlers of this process append to when they are closed.

It is switched on by `quantum_butler.install` or by the environment variable
``QUANTUM_BUTLER_PROVENANCE``, either of which names a folder.  A relative one
is taken from where the process works when it is first seen.  Each process that
closes a butler makes a file of its own there; forked ones that never live at
the same time share one (`share_log`), so that a campaign leaves few files.
"""

from __future__ import annotations

__all__ = (
    "ProcessLog",
    "QuantumLabel",
    "label_of",
    "log_name",
    "process_log",
    "require_writable_log",
    "share_log",
)

import functools
import itertools
import os
import socket
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core
from ..locks import ForkSafeLock
from ..paths import require_writable
from ..switches import LogFailure, contents_wanted, wanted_log_failure, wanted_log_folder
from .execution import connections_of
from .log import ProvenanceLog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from lsst.daf.butler import DataCoordinate, Quantum

    from .log import ProvenanceSource

# Quanta without an id of their own get one in this namespace.
_NAMESPACE = uuid.UUID("0b8a2f6e-6d0c-4a8e-9c3a-3f1d5e7b9a42")

# How far up the stack the executor is, at most, and what variables tell it.
_MOST_FRAMES = 12
_EXECUTOR_HAS = frozenset(("quantum", "quantum_id", "task_node"))

_lock = ForkSafeLock()

_shared_name: str | None = None


class QuantumLabel(NamedTuple):
    """Facts of a quantum in a log besides its provenance."""

    quantum_id: uuid.UUID
    """Its id."""

    task_label: str | None
    """Label of its task."""

    data_id: DataCoordinate | None
    """Its data ID."""

    connections: Mapping[str, Mapping[str, str]] | None = None
    """Names of the dataset types of its task, by connection."""


class _LenientLog(ProvenanceLog):
    """A log in which no quantum fails because of its label, and whose file is opened with the first line."""

    _lenient = True

    _opens_late = True

    def _make_writer(self, path: str) -> _core.LogWriter:
        """Open a file, in a folder that is made, or another one beside it if somebody has that open."""
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        try:
            return super()._make_writer(path)
        except ValueError:
            # What the process before has started may live on, and keep the log locked.
            return super()._make_writer(os.path.join(folder, log_name()))


class ProcessLog:
    """The log of one process: a file that is made in a folder with the first quantum."""

    def __init__(self, folder: str, failure: LogFailure | None = None, *, has_contents: bool = False):
        self._folder = folder
        self._failure = failure or LogFailure()
        self.has_contents = has_contents
        """Whether it keeps the contents of metadata and logs (`bool`)."""
        self._log: ProvenanceLog | None = None
        self._tried = False

    def require_writable(self, *, strict: bool = False) -> None:
        """Raise `OSError` if nothing can be written in the folder; it is tried once.

        Unless it is strict, it is enough if a line would not be an error later.
        """
        if self._tried:
            return
        try:
            require_writable(self._folder)
        except OSError:
            if strict or self._failure.policy == "fail":
                raise
            if self._failure.spill_to is not None:
                require_writable(self._failure.spill_to)
        else:
            if strict and self._failure.spill_to is not None:
                require_writable(self._failure.spill_to)
        self._tried = True

    def append(self, label: QuantumLabel, source: ProvenanceSource, *, failed: bool) -> bool:
        """Append the provenance of one quantum, and whether it failed, or raise `OSError`.

        It returns whether that is written: where a warning is all that is wanted, it need not be.
        """
        with _lock:
            if (log := self._log) is None:
                log = self._log = _LenientLog(
                    os.path.join(self._folder, _shared_name or log_name()),
                    provenance_contents=self.has_contents,
                    on_failure=self._failure.policy,
                    spill_to=self._failure.spill_to,
                )
        quantum_id, task_label, data_id, connections = label
        return log.append(
            quantum_id,
            source,
            task_label=task_label,
            data_id=data_id,
            failed=failed,
            connections=connections,
            warn=False,
        )


def log_name() -> str:
    """Return a name that no other log has."""
    # In order of time, for whoever looks.  Hosts that share the folder may have processes of one number.
    begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return f"{begun}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"


def share_log(name: str) -> None:
    """Have this process append to the log of that name, to which no other writes at the same time."""
    global _shared_name
    _shared_name = name


def process_log() -> ProcessLog | None:
    """Return the log of this process, if one is wanted."""
    folder = wanted_log_folder()
    if folder is None:
        return None
    return _log_of_process(folder, wanted_log_failure(), os.getpid(), contents_wanted())


def require_writable_log(*, strict: bool = False) -> None:
    """Raise `OSError` if a log is wanted and cannot be written, before a quantum writes anything."""
    if (log := process_log()) is not None:
        log.require_writable(strict=strict)


@functools.lru_cache(maxsize=4)
def _log_of_process(folder: str, failure: LogFailure, process: int, has_contents: bool) -> ProcessLog:
    """Return one and the same log for a folder and a process."""
    return ProcessLog(folder, failure, has_contents=has_contents)


def label_of(quantum: Quantum) -> QuantumLabel:
    """Return which quantum an executor is about to run.

    A `Quantum` does not know the id that it has in its graph, nor the label of
    its task; upstream's executors do, and have them in variables of the
    functions that ask for a butler.  Without such an executor the id is made
    from those of the predicted outputs, and so always the same for the same
    quantum, and the label is the name of the task's class.
    """
    frame: FrameType | None = sys._getframe(1)
    quantum_id, task_label, connections = None, quantum.taskName, None
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        if _EXECUTOR_HAS.issubset(frame.f_code.co_varnames):
            names = frame.f_locals
            if names.get("quantum") is quantum:
                quantum_id = names.get("quantum_id")
                node: Any = names.get("task_node")
                task_label = getattr(node, "label", None) or task_label
                connections = connections_of(node) if hasattr(node, "prerequisite_inputs") else None
                break
        frame = frame.f_back
    if not isinstance(quantum_id, uuid.UUID):
        outputs = sorted(str(ref.id) for ref in itertools.chain.from_iterable(quantum.outputs.values()))
        quantum_id = uuid.uuid5(_NAMESPACE, " ".join(outputs))
    return QuantumLabel(quantum_id, task_label, quantum.dataId, connections)
