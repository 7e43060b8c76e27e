"""Provenance logs of the quanta of a graph."""

from __future__ import annotations

__all__ = ("Check", "LoggedQuanta", "OtherGraphError", "opened_logs")

import json
import os
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ..collecting.contents import Contents, Place
from ..errors import QuantumButlerError
from ..paths import Name
from .plan import Plan
from .report import AggregateReport
from .scratch import scratch_folder

Check: TypeAlias = Literal["all", "sample", "none"]
"""Of which quanta that logs tell of it is looked whether the same is on disk."""

# Of every so many quanta one is looked at, but of so many at least.
_ONE_OF = 100
_LEAST = 100


class OtherGraphError(QuantumButlerError, ValueError):
    """Logs that tell of no quantum of the graph."""


@contextmanager
def opened_logs(logs: Sequence[Name] | Name, target: Path, plan: Plan, jobs: int) -> Iterator[LoggedQuanta]:
    """Give what logs tell; their contents, and what is wrong with them, go beside a file."""
    if isinstance(logs, (str, os.PathLike)):
        logs = [logs]
    with scratch_folder(target) as folder:
        yield LoggedQuanta(logs, folder, plan, Path(f"{target}.rejected.jsonl"), jobs=jobs)


class LoggedQuanta:
    """Quanta of a graph that logs have contents of; the contents are in files of a folder."""

    def __init__(
        self,
        logs: Sequence[str | os.PathLike[str]],
        folder: str,
        plan: Plan,
        rejected: Path,
        *,
        jobs: int = 1,
    ):
        self._rejected = rejected
        self.taken = 0
        """How many quanta were taken from logs (`int`)."""
        self.wrong: list[tuple[uuid.UUID, str]] = []
        """Quanta of which logs do not tell what is on disk (`list` [`tuple`])."""
        self.folder = folder
        """The folder (`str`)."""
        self._contents = Contents(logs, folder, jobs=jobs)
        known = self._contents.known()
        in_graph = np.isin(known, plan.quanta)
        self.foreign = int(len(known) - in_graph.sum())
        """How many quanta the logs tell of that are not in the graph (`int`)."""
        if self.foreign and not in_graph.any():
            raise OtherGraphError(f"none of the {self.foreign:,} quanta in the logs is in the graph")
        self._known = known[in_graph]
        self.without_contents = int(len(self._known) - self._contents.find(self._known)[0].sum())
        """Of how many quanta of the graph the logs have lines, but no contents (`int`)."""
        self.check_all = False
        """Whether each quantum is looked at (`bool`)."""

    def note(self, logged: int, wrong: Iterable[tuple[uuid.UUID, str]]) -> None:
        """Note how many quanta were taken from logs, and of which logs do not tell what is on disk."""
        self.taken += logged
        self.wrong += wrong

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Entries of the logs that could not be read (`list` [`dict`])."""
        return self._contents.rejected

    def write_rejected(self) -> None:
        """Write what was wrong to a file, if anything was."""
        wrong = [{"quantum_id": str(quantum_id), "reason": reason} for quantum_id, reason in self.wrong]
        self._rejected.unlink(missing_ok=True)
        if entries := [*self.rejected, *wrong]:
            self._rejected.write_text("".join(f"{json.dumps(one)}\n" for one in entries))

    def told(self, report: AggregateReport, restored: int) -> AggregateReport:
        """Return a report that tells of the logs, too, and write to a file what was wrong."""
        self.write_rejected()
        return replace(
            report,
            logged=self.taken,
            foreign=self.foreign,
            wrong=len(self.wrong),
            rejected=len(self.rejected),
            restored=restored,
            without_contents=self.without_contents,
        )

    def find(self, wanted: Any) -> tuple[Any, Any]:
        """Return of which quanta there are contents, and part and row of those, as arrays."""
        return self._contents.find(wanted)

    def places(self, quanta: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Place]:
        """Return where the contents of quanta are, of those that have them."""
        return self._contents.places(quanta)

    @property
    def attempts(self) -> int:
        """Number of attempts in the logs (`int`)."""
        return self._contents.attempts_count

    def known_of(self, quanta: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        """Return those of some quanta that the logs tell of."""
        known = np.isin(np.array([one.bytes for one in quanta], "S16"), self._known)
        return [quanta[n] for n in np.flatnonzero(known).tolist()]

    def sample(self, among: Sequence[uuid.UUID] | None = None) -> Mapping[uuid.UUID, Place]:
        """Return some of the quanta, and where their contents are."""
        of = len(self._known) if among is None else len(among)
        count = min(of, max(_LEAST, of // _ONE_OF))
        at = np.linspace(0, of - 1, count).astype(np.int64).tolist()
        if among is not None:
            return self.places([among[n] for n in at])
        return self.places([uuid.UUID(bytes=self._known[n : n + 1].tobytes()) for n in at])
