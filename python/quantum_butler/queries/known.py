"""Refusal of what a choice names and nobody knows: tasks, types, runs and dimensions."""

from __future__ import annotations

__all__ = ("SORTS", "listing", "near", "require_known")

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import QuantumButlerError
from .choice import Choice
from .errors import ConditionError
from .found import DATASET, QUANTUM, Kind

if TYPE_CHECKING:
    from .resolving import Source

SORTS = {QUANTUM: "task", DATASET: "dataset type"}
"""What the rows of a kind are sorted by, in words."""

_PLURALS = {QUANTUM: "quanta", DATASET: "datasets"}

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
    """Return the end of a message: the names that are like a word, or some of those that there are."""
    some = near(word, names) or sorted(names)[:_MOST_NAMES]
    return f"; there are {', '.join(some)}{' and others' if len(some) < len(names) else ''}" if some else ""


def require_known(source: Source, kind: Kind, choice: Choice) -> None:
    """Raise `ConditionError` if a task, a type or a run is not known, or no such row has a dimension."""
    place = source.shown()
    if choice.labels and (labels := source.labels(kind)):
        other = DATASET if kind == QUANTUM else QUANTUM
        for word in sorted(choice.labels.difference(labels)):
            text = f"{place}: there is no {SORTS[kind]} {word!r}"
            if word in source.labels(other):
                raise ConditionError(f"{text}; {word} is a {SORTS[other]}")
            raise ConditionError(f"{text}{listing(word, labels)}")
    if choice.runs:
        _require_runs(source, kind, choice.runs)
    if choice.dimensions:
        _require_dimensions(source, kind, choice)


def _require_runs(source: Source, kind: Kind, wanted: frozenset[str]) -> None:
    known: set[str] = set()
    for run in _runs(source, kind):
        known.add(run)
        # Where they are all known, which is soon, no more is read.
        if wanted <= known:
            return
    if known:
        word = min(wanted - known)
        raise ConditionError(f"{source.shown()}: there is no run {word!r}{listing(word, [*known])}")


def _runs(source: Source, kind: Kind) -> Iterator[str]:
    """Yield the runs of rows of a kind, and then those of the other."""
    yield from source.runs(kind)
    try:
        yield from source.runs(DATASET if kind == QUANTUM else QUANTUM)
    except QuantumButlerError:
        # Archives of the first format have no table of datasets.
        return


def _require_dimensions(source: Source, kind: Kind, choice: Choice) -> None:
    unknown, there = choice.dimensions, set[str]()
    for label, dimensions in source.dimensions_by_label(kind, choice.labels):
        if choice.labels is None or label in choice.labels:
            there.update(dimensions)
            if unknown <= there:
                return
    if not there:
        # Nothing has a data ID: whatever is asked, there is no such row.
        return
    whose = (
        _PLURALS[kind] if choice.labels is None else f"{_PLURALS[kind]} of {', '.join(sorted(choice.labels))}"
    )
    raise ConditionError(
        f"{source.shown()}: {', '.join(sorted(unknown - there))} is no dimension in the data IDs of the "
        f"{whose}, which have {', '.join(sorted(there))}; dimensions that these imply, such as band or "
        "physical_filter of a visit, are not in data IDs"
    )
