"""Gathers, without upstream's classes, what quanta have left that have just succeeded."""

from __future__ import annotations

__all__ = ("Gathered", "Gathering")

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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
            places = {} if self._logged is None else self._logged.places(chunk)
            if self._logged is not None and not self._logged.check_all and places:
                yield self._gather_logged(places)
            else:
                yield Gathered(None, True, list(places))
            others = [one for one in chunk if one not in places]
            for first in range(0, len(others), _STORED):
                yield self._gather_stored(others[first : first + _STORED])

    def check(self, places: Mapping[uuid.UUID, Place]) -> bool:
        """Return whether what logs tell of some quanta is what is on disk."""
        assert self._contents is not None
        unsure = dict(places)
        for quantum, metadata, log in self._files_of(list(places)):
            quantum_id = uuid.UUID(int=quantum)
            place = places[quantum_id]
            try:
                texts = self._contents.read(place)
                found = Path(metadata).read_bytes(), Path(log).read_bytes()
            except (ValueError, OSError):
                continue
            if found == texts:
                del unsure[quantum_id]
        return not unsure or self._scanner.check(unsure)

    def _gather_logged(self, places: Mapping[uuid.UUID, Place]) -> Gathered:
        assert self._contents is not None
        packed = self._contents.packed_at(list(places.values()))
        logged = [(one.int, *texts) for one, texts in zip(places, packed, strict=True)]
        return _gathered(self._kernel.gather(logged), list(places), is_logged=True)

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
    taken = set(blocks.quanta())
    rest = [one for one in quanta if one.int not in taken]
    return Gathered(blocks if taken else None, is_logged, rest)
