"""Shares out the scan of a graph: to this process, others of a pool, or workers elsewhere."""

from __future__ import annotations

__all__ = ("Opening", "Scan", "chunks_of", "scan_here", "scan_there")

import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import NamedTuple, TypeAlias

from ..collecting.contents import Place
from ..paths import is_there
from .logs import LoggedQuanta
from .plan import Plan
from .scanning import Scanned, Scanner

# Quanta that are scanned at once.
_CHUNK = 128

# Chunks that wait for each worker; and workers of an executor that does not tell how many it has.
_WAITING, _WORKERS = 2, 32

Scan: TypeAlias = Callable[[list[uuid.UUID], set[uuid.UUID]], Iterator[Scanned]]
"""Scans the quanta of a task, given the datasets that are lost."""


class Opening(NamedTuple):
    """Arguments with which a `Scanner` is made."""

    graph: str
    repository: str
    mock_storage_classes: bool
    incomplete: bool
    contents: str | None

    def anywhere(self) -> Opening:
        """Return the same for processes that have another working folder."""
        repository = os.path.abspath(self.repository) if is_there(self.repository) else self.repository
        contents = None if self.contents is None else os.path.abspath(self.contents)
        return self._replace(graph=os.path.abspath(self.graph), repository=repository, contents=contents)


def chunks_of(quanta: list[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    """Yield some quanta at a time."""
    return (quanta[start : start + _CHUNK] for start in range(0, len(quanta), _CHUNK))


def scan_here(scanner: Scanner, logged: LoggedQuanta | None) -> Scan:
    """Return a function that scans quanta in this process."""
    return lambda quanta, lost: (
        scanner.scan(chunk, lost, *_with_logs(chunk, logged)) for chunk in chunks_of(quanta)
    )


def scan_there(executor: Executor, opening: Opening, plan: Plan, logged: LoggedQuanta | None) -> Scan:
    """Return a function that has the workers of an executor scan quanta, so many chunks at a time.

    With each chunk goes which of the lost datasets its own quanta were to read: all of them may be many.
    """
    most = _WAITING * (getattr(executor, "_max_workers", None) or _WORKERS)

    def scan(quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Scanned]:
        # What is lost does not grow while the quanta of one task are scanned.
        blocked = plan.readers_of(lost) if quanta else {}
        submitted = (
            executor.submit(
                _scan_chunk,
                opening,
                chunk,
                {dataset_id for quantum_id in chunk for dataset_id in blocked.get(quantum_id, ())},
                *_with_logs(chunk, logged),
            )
            for chunk in chunks_of(quanta)
        )
        waiting = list(itertools.islice(submitted, most))
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting.extend(itertools.islice(submitted, 1))
        finally:
            for future in waiting:
                future.cancel()

    return scan


def _with_logs(chunk: list[uuid.UUID], logged: LoggedQuanta | None) -> tuple[Mapping[uuid.UUID, Place], bool]:
    """Return where the contents of some quanta are in logs, and whether that is to be checked."""
    return ({}, False) if logged is None else (logged.places(chunk), logged.check_all)


# A thread of a worker has its own: the butler in it is for one thread.
_opened = threading.local()


def _scan_chunk(
    opening: Opening,
    quanta: list[uuid.UUID],
    lost: set[uuid.UUID],
    places: Mapping[uuid.UUID, Place],
    check: bool,
) -> Scanned:
    """Scan quanta in a worker, which keeps the graph and the butler for the next ones."""
    known: tuple[Opening, Scanner] | None = getattr(_opened, "last", None)
    if known is None or known[0] != opening:
        if known is not None:
            _opened.last = None
            known[1].close()
        known = _opened.last = (opening, Scanner(*opening))
    return known[1].scan(quanta, lost, places, check)
