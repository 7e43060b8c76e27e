"""Refusal of what a choice names and nobody knows: tasks, types, runs and dimensions."""

from __future__ import annotations

__all__ = ("require_known",)

from collections.abc import Iterator

from ..errors import QuantumButlerError
from .alike import SORTS, listing
from .choice import Choice
from .errors import ConditionError
from .found import DATASET, QUANTUM, Kind
from .resolving import Source

_PLURALS = {QUANTUM: "quanta", DATASET: "datasets"}


def require_known(source: Source, kind: Kind, choice: Choice) -> None:
    """Raise `ConditionError` if a task, a type or a run is not known, or no such row has a dimension."""
    if choice.labels:
        _require_labels(source, kind, choice.labels)
    if choice.runs:
        _require_runs(source, kind, choice.runs)
    if choice.dimensions:
        _require_dimensions(source, kind, choice)


def _require_labels(source: Source, kind: Kind, wanted: frozenset[str]) -> None:
    known: set[str] = set()
    for labels in source.some_labels(kind):
        known.update(labels)
        # Where they are all known, which is soon, no more is read.
        if wanted <= known:
            return
    if known:
        word, other = min(wanted - known), DATASET if kind == QUANTUM else QUANTUM
        is_other = word in source.labels(other)
        near = f"; {word} is a {SORTS[other]}" if is_other else listing(word, [*known])
        raise ConditionError(f"{source.shown()}: there is no {SORTS[kind]} {word!r}{near}")


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
