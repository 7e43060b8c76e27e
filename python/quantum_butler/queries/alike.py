"""Names that are like a word that is none."""

from __future__ import annotations

__all__ = ("SORTS", "listing", "near")

import difflib
from collections.abc import Iterable, Sequence

from .found import DATASET, QUANTUM

SORTS = {QUANTUM: "task", DATASET: "dataset type"}
"""What the rows of a kind are sorted by, in words."""

# As many are named of names that are alike, and of those that are there.
_MOST_ALIKE = 20
_MOST_NAMES = 10


def near(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that are like a word, the nearest first; capital letters do not matter."""
    by_plain: dict[str, list[str]] = {}
    for name in sorted({*names}):
        by_plain.setdefault(name.casefold(), []).append(name)
    alike = difflib.get_close_matches(word.casefold(), by_plain, _MOST_ALIKE, 0.5)
    return [name for plain in alike for name in by_plain[plain]]


def listing(word: str, names: Sequence[str]) -> str:
    """Return the end of a message: some of the names that there are, first those that are like a word."""
    alike = near(word, names)
    others = sorted({*names}.difference(alike))
    some = [*alike, *others[: max(_MOST_NAMES - len(alike), 0)]]
    return f"; there are {', '.join(some)}{' and others' if len(some) < len(names) else ''}" if some else ""
