"""Watchers of a run: they are called as it goes on."""

from __future__ import annotations

__all__ = ("Watcher",)

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_reports import QuantumReport


class Watcher:
    """Someone who is told of each quantum of a run, and may end the run; this one does nothing."""

    @property
    def wants_end(self) -> bool:
        """Return whether no further quantum is to be started."""
        return False

    def starts(self, quantum_id: uuid.UUID) -> None:
        """Take note that a quantum is about to be handed to a process."""

    def ended(self, quantum_id: uuid.UUID, report: QuantumReport) -> None:
        """Take note that a quantum has succeeded or failed, and is not tried again."""

    def tries_again(self, quantum_id: uuid.UUID, reason: str) -> None:
        """Take note that a quantum has failed, and is tried again."""

    def blocked(self, quantum_ids: Sequence[uuid.UUID]) -> None:
        """Take note of quanta that cannot run because one before them has failed."""

    def interrupted(self) -> None:
        """Take note that no more quanta are started, because somebody has interrupted the run."""

    def waits(self) -> None:
        """Take note that the run goes on; this comes once a second at least."""
