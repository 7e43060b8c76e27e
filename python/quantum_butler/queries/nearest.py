"""Quanta or datasets near a name that nothing has, of those with its task or type."""

from __future__ import annotations

__all__ = ("nearest",)

import difflib
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations, islice

from .choice import Choice
from .conditions import conjunction
from .expressions import Binary, Node
from .found import Found

_MOST_SHOWN = 3

# Where very many have as many values in common with the name, the first of them are compared.
_MOST_COMPARED = 20_000


def nearest(
    find: Callable[[Choice], Iterator[Found]], label: str, nodes: Sequence[Node], values: Mapping[str, str]
) -> list[Found]:
    """Return what has most of the values of a name, those with the closest other values first."""
    for where in _weaker(nodes):
        choice = Choice(frozenset((label,)), where=where)
        if found := [*islice(find(choice), _MOST_COMPARED)]:
            return heapq.nsmallest(_MOST_SHOWN, found, key=lambda one: _rank(one, values))
    return []


def _weaker(nodes: Sequence[Node]) -> Iterator[Node | None]:
    """Yield the conditions that all values are met, all but one, all but two, and so on to none."""
    for count in range(len(nodes), 0, -1):
        several = [one for some in combinations(nodes, count) if (one := conjunction(some)) is not None]
        yield reduce(lambda one, other: Binary("OR", one, other), several)
    yield None


def _rank(one: Found, values: Mapping[str, str]) -> tuple[int, float]:
    """Return how many values are others, and how far these are in all."""
    has = {**(one.data_id or {}), "run": one.run}
    far = [_distance(has.get(name), value) for name, value in values.items()]
    return sum(some > 0 for some in far), sum(far)


def _distance(has: object, wanted: str) -> float:
    """Return how far a value is from one that is written, 0 if they are the same."""
    if has is None:
        return 1.0
    if isinstance(has, int) and wanted.lstrip("+-").isdecimal():
        return float(abs(has - int(wanted)))
    return 1 - difflib.SequenceMatcher(None, str(has).casefold(), wanted.casefold()).ratio()
