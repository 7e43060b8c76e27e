"""Runs quanta in a forked process, and reports them.

It goes as in the processes of upstream's own executor: the same report, the
same exit codes, and a quantum that has failed ends the process.
"""

from __future__ import annotations

__all__ = ("Outcome", "Settings", "run_quanta")

import contextlib
import multiprocessing
import os
import pickle
import resource
import sys
import threading
import traceback
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import InvalidQuantumError, RepeatableQuantumError
from lsst.pipe.base.mp_graph_executor import MPGraphExecutorError
from lsst.pipe.base.quantum_reports import QuantumReport
from lsst.utils.logging import getLogger

from ..quantum.process_log import share_log
from ..upstream.executors import forget_earlier_quanta
from .forking import settle_in_child

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor

# People look for its messages under this name.
_LOG = getLogger(MPGraphExecutorError.__module__)

# Of how many earlier quanta of its process a quantum's log tells.
_MOST_EARLIER_QUANTA = 100


class Outcome(NamedTuple):
    """Message of a child to its parent about one quantum."""

    report: QuantumReport
    """Upstream's report."""

    metadata: Any
    """Metadata of the task, if it is to be kept."""

    logs: ButlerLogRecords | None
    """Log records, if they are to be kept."""

    goes_on: bool
    """Whether the process takes another quantum."""


class Settings(NamedTuple):
    """Settings that are the same for all quanta of a run."""

    executor: QuantumExecutor
    """Upstream's executor of single quanta."""

    quanta: Mapping[uuid.UUID, Mapping[str, Any]]
    """Attributes of the quanta, as in upstream's graph."""

    fail_fast: bool
    """Whether the first failure ends the run."""

    keep_contents: bool
    """Whether metadata and log records go to the parent."""

    memory_limit: int | None
    """Most bytes of data that a process may have."""

    most_resident: int | None
    """Resident bytes beyond which a process takes no further quantum."""


def run_quanta(settings: Settings, parent: int, log: str, requests: int, outcomes: int) -> None:
    """Run quanta whose ids come through one pipe, until no more do, and send each `Outcome` into another."""
    settle_in_child(parent)
    share_log(log)
    code = 0
    try:
        _run_requested(settings, requests, outcomes)
    except BaseException as error:
        if not _threads_left():
            raise
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
        if not isinstance(error, SystemExit):
            traceback.print_exc()
    if threads := _threads_left():
        _LOG.warning("A quantum has left threads, which end with its process: %s", ", ".join(threads))
        # Python would wait for them for ever.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _threads_left() -> list[str]:
    """Return the names of threads that Python would wait for."""
    here = threading.current_thread()
    return [thread.name for thread in threading.enumerate() if thread is not here and not thread.daemon]


def _run_requested(settings: Settings, requests: int, outcomes: int) -> None:
    """Run quanta as long as they are asked for and this process is fit for another one."""
    if settings.memory_limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_limit, settings.memory_limit))
    threads = threading.active_count()
    while len(request := os.read(requests, 16)) == 16:
        # That the quantum has begun: one that a dying process has not even read is not lost with it.
        _send(outcomes, b"")
        quantum_id = uuid.UUID(bytes=request)
        attributes = settings.quanta[quantum_id]
        multiprocessing.current_process().name = f"task-{attributes['quantum'].dataId}"
        if not _run_quantum(settings, quantum_id, attributes, outcomes, threads):
            return
        forget_earlier_quanta(settings.executor, _MOST_EARLIER_QUANTA)


def _run_quantum(
    settings: Settings, quantum_id: uuid.UUID, attributes: Mapping[str, Any], outcomes: int, threads: int
) -> bool:
    """Run one quantum, and return whether to go on. A failure ends the process, as upstream's does."""
    node, quantum = attributes["pipeline_node"], attributes["quantum"]
    logs = ButlerLogRecords([]) if settings.keep_contents else None
    report: QuantumReport | None = None
    metadata, goes_on = None, False
    known = {"quantumId": quantum_id, "dataId": quantum.dataId, "taskLabel": node.label}
    try:
        result = settings.executor.execute(node, quantum, quantum_id=quantum_id, log_records=logs)
        report, metadata = result.report, getattr(result, "task_metadata", None)
        # Threads that a quantum has left would disturb the next one.
        goes_on = threading.active_count() <= threads and not _is_too_large(settings.most_resident)
    except RepeatableQuantumError as error:
        code = error.EXIT_CODE if settings.fail_fast else None
        report = QuantumReport.from_exception(exception=error, exitCode=code, **known)
        if not settings.fail_fast:
            raise
        _LOG.warning("Caught repeatable quantum error for %s (%s):", node.label, quantum.dataId)
        _LOG.warning("%s", error, exc_info=True)
        sys.exit(error.EXIT_CODE)
    except InvalidQuantumError as error:
        _LOG.fatal("Invalid quantum error for %s (%s):", node.label, quantum.dataId)
        _LOG.fatal("%s", error, exc_info=True)
        report = QuantumReport.from_exception(exception=error, exitCode=error.EXIT_CODE, **known)
        sys.exit(error.EXIT_CODE)
    except Exception as error:
        report = QuantumReport.from_exception(exception=error, **known)
        raise
    finally:
        if report is not None:
            metadata = metadata if settings.keep_contents else None
            _send(outcomes, pickle.dumps(Outcome(report, metadata, logs, goes_on)))
    return goes_on


def _send(descriptor: int, contents: bytes) -> None:
    """Send an outcome, or nothing, with its length before it."""
    rest = memoryview(len(contents).to_bytes(8, "big") + contents)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _is_too_large(most: int | None) -> bool:
    """Return whether this process has more resident memory than it should."""
    if most is None:
        return False
    with open("/proc/self/statm", "rb") as status:
        return int(status.read().split()[1]) * resource.getpagesize() > most
