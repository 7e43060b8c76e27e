"""Gathers from logs, without upstream's classes, what quanta have left that have just succeeded."""

from __future__ import annotations

__all__ = ("Gathered", "Gathering")

import uuid
from collections.abc import Iterator
from typing import NamedTuple

from .. import _core
from ..collecting.contents import ContentsFiles
from .logs import LoggedQuanta
from .plan import Plan
from .scanning import Block

# Quanta that are gathered at once.
_CHUNK = 1024


class Gathered(NamedTuple):
    """Result of gathering some quanta."""

    blocks: list[Block]
    """Blocks of quanta, logs, metadata and datasets."""

    quanta: int
    """How many quanta there are among them."""

    rest: list[uuid.UUID]
    """Those that have to be scanned: all of which upstream's classes have more to say."""


class Gathering:
    """Quanta that have succeeded at their first attempt, and of which logs have metadata and log."""

    def __init__(self, source: str, plan: Plan, logged: LoggedQuanta):
        self._logged = logged
        self._files = ContentsFiles(logged.folder)
        self._kernel = _core.Gatherer(source, *plan.edges(), plan.outputs)

    def gather(self, quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Gathered]:
        """Yield what can be gathered of quanta that do not depend on each other.

        What failed or blocked quanta were to write is lost.
        """
        self._kernel.lose([one.int for one in lost])
        for start in range(0, len(quanta), _CHUNK):
            chunk = quanta[start : start + _CHUNK]
            places = self._logged.places(chunk)
            packed = self._files.packed_at(list(places.values()))
            logged = [(one.int, *texts) for one, texts in zip(places, packed, strict=True)]
            blocks, taken = self._kernel.gather(logged)
            known = set(taken)
            yield Gathered(blocks, len(taken), [one for one in chunk if one.int not in known])
