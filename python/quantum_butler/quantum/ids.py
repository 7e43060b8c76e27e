"""Python's view of the dataset-id sets that are kept in Rust."""

from __future__ import annotations

__all__ = ("DatasetIdSet", "IdSample", "id_set")

import uuid
from collections.abc import Iterable, Iterator, MutableSet, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .. import _core


class DatasetIdSet(MutableSet[Any]):
    """A live set of dataset ids in Rust.

    Compares and combines with `set`, by operators; the result of combining is
    a `set`.
    """

    __slots__ = ("_ids",)

    def __init__(self, ids: _core.IdSet):
        self._ids = ids

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        return set(it)

    def __contains__(self, dataset_id: object) -> bool:
        # The set in Rust would also know a ref by its id.
        return isinstance(dataset_id, uuid.UUID | int) and dataset_id in self._ids

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


def id_set(role: Any, doc: str) -> Any:
    """Make a property of a butler that is one of its tracker's sets, to be used and assigned like a `set`."""

    def get(butler: Any) -> DatasetIdSet:
        return DatasetIdSet(butler._tracker.view(role))

    def assign(butler: Any, ids: Iterable[DatasetId]) -> None:
        wanted = set(ids)
        current = get(butler)
        current |= wanted
        current &= wanted

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
