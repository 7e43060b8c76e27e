"""The log that the butlers of this process append to when they are closed.

It is switched on by `quantum_butler.install` or by the environment variable
``QUANTUM_BUTLER_PROVENANCE``, either of which names a folder.  Each process
that closes a butler makes a file of its own there.
"""

from __future__ import annotations

__all__ = ("ProcessLog", "QuantumLabel", "label_of", "process_log", "set_folder", "wanted_folder")

import functools
import itertools
import os
import socket
import sys
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from ..dropin.launcher import LOG_SWITCH
from ..locks import ForkSafeLock
from ..upstream.configuration import environment_values
from .log import ProvenanceLog

if TYPE_CHECKING:
    from types import FrameType

    from lsst.daf.butler import DataCoordinate, Quantum

    from .log import ProvenanceSource

_SWITCH = (os.fsencode(LOG_SWITCH),)

# Quanta without an id of their own get one in this namespace.
_NAMESPACE = uuid.UUID("0b8a2f6e-6d0c-4a8e-9c3a-3f1d5e7b9a42")

# How far up the stack the executor is, at most, and what variables tell it.
_MOST_FRAMES = 12
_EXECUTOR_HAS = frozenset(("quantum", "quantum_id", "task_node"))

_folder: str | None = None
_lock = ForkSafeLock()


class QuantumLabel(NamedTuple):
    """What a log says of a quantum besides its provenance."""

    quantum_id: uuid.UUID
    """Its id."""

    task_label: str | None
    """Label of its task."""

    data_id: DataCoordinate | None
    """Its data ID."""


class _LenientLog(ProvenanceLog):
    """A log in which no quantum fails because of its label."""

    _lenient = True


class ProcessLog:
    """The log of one process.

    Parameters
    ----------
    folder : `str`
        Folder that its file is made in, with the first quantum.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._log: ProvenanceLog | None = None

    def append(self, label: QuantumLabel, source: ProvenanceSource, *, failed: bool) -> None:
        """Append the provenance of one quantum.

        Parameters
        ----------
        label : `QuantumLabel`
            Which quantum it is.
        source : `QuantumBackedButler` or `QuantumProvenanceData`
            Where the provenance is.
        failed : `bool`
            Whether the quantum failed.

        Raises
        ------
        OSError
            Raised if it cannot be written.
        """
        with _lock:
            if (log := self._log) is None:
                os.makedirs(self._folder, exist_ok=True)
                # In order of time, for whoever looks.  Hosts that share the folder may have processes of
                # one number.
                begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
                name = f"{begun}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
                log = self._log = _LenientLog(os.path.join(self._folder, name))
        quantum_id, task_label, data_id = label
        log.append(quantum_id, source, task_label=task_label, data_id=data_id, failed=failed, warn=False)


def set_folder(folder: str | os.PathLike[str] | None) -> None:
    """Choose the folder for the logs of this process.

    Parameters
    ----------
    folder : `str`, `os.PathLike` or `None`
        The folder; `None` leaves it to the environment variable.
    """
    global _folder
    _folder = None if folder is None else os.path.abspath(folder)


def wanted_folder() -> str | None:
    """Return the folder for the logs of this process.

    Returns
    -------
    folder : `str` or `None`
        The folder; `None` if no log is wanted.
    """
    if _folder is not None:
        return _folder
    (folder,) = environment_values(_SWITCH)
    return os.fsdecode(folder) if folder else None


def process_log() -> ProcessLog | None:
    """Return the log of this process.

    Returns
    -------
    log : `ProcessLog` or `None`
        The log; `None` if none is wanted.
    """
    folder = wanted_folder()
    return None if folder is None else _log_of_process(os.path.abspath(folder), os.getpid())


@functools.lru_cache(maxsize=4)
def _log_of_process(folder: str, process: int) -> ProcessLog:
    """Return one and the same log for a folder and a process."""
    return ProcessLog(folder)


def label_of(quantum: Quantum) -> QuantumLabel:
    """Tell which quantum this is.

    Parameters
    ----------
    quantum : `Quantum`
        Quantum that an executor is about to run.

    Returns
    -------
    label : `QuantumLabel`
        Its id, label and data ID.

    Notes
    -----
    A `Quantum` does not know the id that it has in its graph, nor the label of
    its task; upstream's executors do, and have them in variables of the
    functions that ask for a butler.  Without such an executor the id is made
    from those of the predicted outputs, and so always the same for the same
    quantum, and the label is the name of the task's class.
    """
    frame: FrameType | None = sys._getframe(1)
    quantum_id, task_label = None, quantum.taskName
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        if _EXECUTOR_HAS.issubset(frame.f_code.co_varnames):
            names = frame.f_locals
            if names.get("quantum") is quantum:
                quantum_id = names.get("quantum_id")
                task_label = getattr(names.get("task_node"), "label", None) or task_label
                break
        frame = frame.f_back
    if not isinstance(quantum_id, uuid.UUID):
        outputs = sorted(str(ref.id) for ref in itertools.chain.from_iterable(quantum.outputs.values()))
        quantum_id = uuid.uuid5(_NAMESPACE, " ".join(outputs))
    return QuantumLabel(quantum_id, task_label, quantum.dataId)
