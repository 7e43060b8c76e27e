"""Python's view of the dataset-id sets that are kept in Rust."""

from __future__ import annotations

__all__ = ("DatasetIdSet", "IdSample", "id_set")

import uuid
from collections.abc import Iterable, Iterator, MutableSet, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .. import _core


class DatasetIdSet(MutableSet[Any]):
    """A live set of dataset ids in Rust, with all that a `set` can do.

    What is made of it, by combining, copying or pickling, is a `set`.
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: _core.IdSet):
        self._ids = ids

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        return set(it)

    def __contains__(self, dataset_id: object) -> bool:
        # The set in Rust would also know a ref by its id.
        return isinstance(dataset_id, uuid.UUID | SupportsIndex) and dataset_id in self._ids

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return repr(set(self._ids))

    def add(self, value: DatasetId) -> None:
        """Add an id."""
        self._ids.add(value)

    def discard(self, value: DatasetId) -> None:
        """Remove an id, if it is there."""
        self._ids.discard(value)

    def become(self, wanted: set[Any]) -> None:
        """Have just these ids; what is in both sets is there all the time."""
        for value in wanted:
            self.add(value)
        for value in set(self) - wanted:
            self.discard(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return set, (list(self),)


def _making_a_set(name: str) -> Any:
    """Make a method of `set` that leaves the ids as they are."""
    method = getattr(set, name)

    def call(ids: DatasetIdSet, *others: Any) -> Any:
        return method(set(ids), *map(_plain, others))

    call.__name__, call.__doc__ = name, method.__doc__
    return call


def _changing(name: str) -> Any:
    """Make a method of `set` that changes the ids."""
    method = getattr(set, name)

    def call(ids: DatasetIdSet, *others: Any) -> Any:
        wanted = set(ids)
        answer = method(wanted, *map(_plain, others))
        if answer is not NotImplemented:
            ids.become(wanted)
        return ids if answer is wanted else answer

    call.__name__, call.__doc__ = name, method.__doc__
    return call


def _plain(other: Any) -> Any:
    """Return a `set` of ids, or anything else as it is; operators of `set` know no other kind."""
    return set(other) if isinstance(other, DatasetIdSet) else other


for _name in (
    *("__and__", "__or__", "__sub__", "__xor__", "__rand__", "__ror__", "__rsub__", "__rxor__"),
    *("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"),
    *("union", "intersection", "difference", "symmetric_difference"),
    *("issubset", "issuperset", "isdisjoint", "copy"),
):
    setattr(DatasetIdSet, _name, _making_a_set(_name))
for _name in (
    *("__ior__", "__iand__", "__isub__", "__ixor__"),
    *("update", "intersection_update", "difference_update", "symmetric_difference_update"),
):
    setattr(DatasetIdSet, _name, _changing(_name))


def id_set(role: Any, doc: str) -> Any:
    """Make a property of a butler that is one of its tracker's sets, to be used and assigned like a `set`."""

    def get(butler: Any) -> DatasetIdSet:
        return DatasetIdSet(butler._tracker.view(role))

    def assign(butler: Any, ids: Iterable[DatasetId]) -> None:
        get(butler).become(set(ids))

    return property(get, assign, doc=doc)


class IdSample:
    """Some of many dataset ids, written out only if a log wants them."""

    __slots__ = ("_ids", "_total")

    def __init__(self, ids: Sequence[DatasetId | int], total: int):
        self._ids = ids
        self._total = total

    def __str__(self) -> str:
        if not self._ids:
            return "set()"
        more = f", ... ({self._total} in all)" if self._total > len(self._ids) else ""
        return "{" + ", ".join(map(repr, self._ids)) + more + "}"
