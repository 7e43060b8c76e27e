"""Findings: faults of an archive."""

from __future__ import annotations

__all__ = ("Finding", "Findings", "Verification", "id_at")

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Of one kind in one file no more are named; all are counted.
_MOST_OF_A_KIND = 100


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with an archive."""

    file: str
    """Name of the file (`str`)."""

    row: int | None
    """Row of the table, or line of the file, counted from 0, if it is one's fault (`int` or `None`)."""

    id: uuid.UUID | None
    """Id of the quantum or the dataset that it is about, if it is about one (`uuid.UUID` or `None`)."""

    problem: str
    """What is wrong (`str`)."""


@dataclass(frozen=True)
class Verification:
    """Result of a check of a whole archive. See `Archive.verify`."""

    path: str
    """Folder of the archive (`str`)."""

    version: int
    """Version of its format (`int`)."""

    rows: dict[str, int]
    """Rows that were looked at, by name of the file (`dict` [`str`, `int`])."""

    findings: list[Finding]
    """What is wrong, at most 100 of each kind in each file (`list` [`Finding`])."""

    count: int
    """How much is wrong in all (`int`)."""

    @property
    def is_sound(self) -> bool:
        """Return whether nothing is wrong (`bool`)."""
        return not self.count


class Findings:
    """Gathers what is wrong."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        """What is wrong, a bounded number of each kind (`list` [`Finding`])."""
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def count(self) -> int:
        """Number of findings (`int`)."""
        return self._counts.total()

    def add(
        self, file: str, kind: str, detail: str = "", *, row: int | None = None, id: uuid.UUID | None = None
    ) -> None:
        """Add one; the kind is what others have in common with it."""
        self._counts[file, kind] += 1
        if self._counts[file, kind] <= _MOST_OF_A_KIND:
            self.found.append(Finding(file, row, id, f"{kind}: {detail}" if detail else kind))

    def add_rows(
        self,
        file: str,
        kind: str,
        rows: Sequence[int] | Any,
        *,
        first: int = 0,
        ids: Any = None,
        details: Iterable[str] | None = None,
    ) -> None:
        """Add one for each of some rows, counted from ``first``; ids are of all rows from there on."""
        some = rows[:_MOST_OF_A_KIND]
        texts = [""] * len(some) if details is None else details
        for row, detail in zip(some, texts, strict=False):
            number = int(row)
            self.add(file, kind, detail, row=first + number, id=None if ids is None else id_at(ids, number))
        self._counts[file, kind] += len(rows) - len(some)


def id_at(ids: Any, row: int) -> uuid.UUID:
    """Return one of an array of ids."""
    return uuid.UUID(bytes=bytes(ids[row : row + 1].tobytes()))
