"""Gathers, without upstream's classes, what quanta have left that have just succeeded."""

from __future__ import annotations

__all__ = ("Gathered", "Gathering")

import itertools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskMetadata

from .. import _core
from ..collecting.contents import ContentsFiles, Place
from ..transferring.datasets import unrecorded_files
from .logs import LoggedQuanta
from .plan import Plan
from .registering import Named, expanded_refs
from .scanning import Scanner

# Quanta that are gathered at once: from logs, and from files, of which the journal takes note.
_LOGGED, _STORED = 1024, 256

# Ids; as text they compare as numbers do.
_ID = np.dtype("S16")

# By which formatters, and as what, the files are read that are taken as they are.
_METADATA = ("lsst.daf.butler.formatters.json.JsonFormatter", TaskMetadata)
_LOG = ("lsst.daf.butler.formatters.logs.ButlerLogRecordsFormatter", ButlerLogRecords)


class Gathered(NamedTuple):
    """Result of gathering some quanta."""

    blocks: _core.GatheredBlocks | None
    """Quanta, logs, metadata and datasets; `None` if nothing was gathered."""

    is_logged: bool
    """Whether that is from logs."""

    rest: list[uuid.UUID]
    """Those that have to be scanned: all of which upstream's classes have more to say."""


class Gathering:
    """Quanta that have succeeded at their first attempt, with metadata and log in logs or local files."""

    def __init__(
        self, source: str, plan: Plan, scanner: Scanner, logged: LoggedQuanta | None, *, reads_files: bool
    ):
        self._scanner = scanner
        self._logged = logged
        self._reads_files = reads_files
        self._contents = None if logged is None else ContentsFiles(logged.folder)
        self._kernel = _core.Gatherer(source, *plan.edges(), plan.outputs)

    def gather(self, quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Gathered]:
        """Yield what can be gathered of quanta that do not depend on each other.

        What failed or blocked quanta were to write is lost.
        """
        self._kernel.lose([one.int for one in lost])
        for start in range(0, len(quanta), _LOGGED):
            chunk = quanta[start : start + _LOGGED]
            if self._logged is not None:
                ids = np.array([one.bytes for one in chunk], _ID)
                found, places = self._logged.find(ids)
                logged = list(itertools.compress(chunk, found))
                if logged and not self._logged.check_all:
                    yield self._gather_logged(logged, ids[found], places)
                else:
                    yield Gathered(None, True, logged)
                chunk = list(itertools.compress(chunk, ~found))
            for first in range(0, len(chunk), _STORED):
                yield self._gather_stored(chunk[first : first + _STORED])

    def check(self, places: Mapping[uuid.UUID, Place]) -> bool:
        """Return whether what logs tell of some quanta is what is on disk."""
        assert self._contents is not None
        unsure = dict(places)
        files = {uuid.UUID(int=one): both for one, *both in self._files_of(list(places))}
        read = self._contents.read_later([places[one] for one in files]) if files else ()
        for (quantum_id, both), texts in zip(files.items(), read, strict=True):
            try:
                is_same = texts() == tuple(Path(path).read_bytes() for path in both)
            except (ValueError, OSError):
                continue
            if is_same:
                del unsure[quantum_id]
        return not unsure or self._scanner.check(unsure)

    def _gather_logged(self, quanta: list[uuid.UUID], ids: Any, places: Any) -> Gathered:
        assert self._contents is not None
        numbers, table = self._contents.taken(places)
        return _gathered(self._kernel.gather(ids[numbers].tobytes(), table), quanta, is_logged=True)

    def _gather_stored(self, quanta: list[uuid.UUID]) -> Gathered:
        files = self._files_of(quanta) if self._reads_files else []
        return _gathered(self._kernel.gather_files(files), quanta, is_logged=False)

    def _files_of(self, quanta: list[uuid.UUID]) -> list[tuple[int, str, str]]:
        """Return quanta of which upstream would read metadata and log from two local files, with these."""
        plans = self._kernel.plans([one.int for one in quanta])
        told = [Named.of(dataset) for _, *both in plans for dataset in both]
        refs = list(expanded_refs(self._scanner, told).values())
        places = unrecorded_files(self._scanner.butler, refs)
        if places is None:
            return []
        files = {
            ref.id: path
            for ref, (path, formatter) in zip(refs, places, strict=True)
            if (formatter, ref.datasetType.storageClass.pytype) in (_METADATA, _LOG)
        }
        of_quanta = []
        for quantum, *both in plans:
            metadata, log = (files.get(uuid.UUID(int=dataset_id)) for dataset_id, *_ in both)
            if metadata is not None and log is not None:
                of_quanta.append((quantum, metadata, log))
        return of_quanta


def _gathered(blocks: _core.GatheredBlocks, quanta: list[uuid.UUID], *, is_logged: bool) -> Gathered:
    if len(blocks) == len(quanta):
        return Gathered(blocks, is_logged, [])
    taken = set(blocks.quanta())
    rest = [one for one in quanta if one.int not in taken]
    return Gathered(blocks if taken else None, is_logged, rest)
