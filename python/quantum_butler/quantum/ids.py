"""Python's view of the dataset-id sets that are kept in Rust."""

from __future__ import annotations

__all__ = ("DatasetIdSet", "IdSample", "dataset_key")

import uuid
from collections.abc import Iterable, Iterator, MutableSet, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .. import _core

# Today's refs keep the id as an integer and make a UUID of it when asked.
dataset_key = attrgetter("_id" if "_id" in getattr(DatasetRef, "__slots__", ()) else "id")
"""Returns what is unique to a ref's dataset id (`~operator.attrgetter`)."""


class DatasetIdSet(MutableSet[Any]):
    """A live set of dataset ids.

    Parameters
    ----------
    ids : `_core.IdSet`
        Ids in Rust.

    Notes
    -----
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
        """Add an id.

        Parameters
        ----------
        value : `DatasetId`
            Id to add.
        """
        self._ids.add(value)

    def discard(self, value: DatasetId) -> None:
        """Remove an id, if it is there.

        Parameters
        ----------
        value : `DatasetId`
            Id to remove.
        """
        self._ids.discard(value)


class IdSample:
    """Some of many dataset ids, written out only if a log wants them.

    Parameters
    ----------
    ids : `~collections.abc.Sequence` [ `DatasetId` ]
        The ids to show.
    total : `int`
        How many there are in all.
    """

    __slots__ = ("_ids", "_total")

    def __init__(self, ids: Sequence[DatasetId | int], total: int):
        self._ids = ids
        self._total = total

    def __str__(self) -> str:
        if not self._ids:
            return "set()"
        more = f", ... ({self._total} in all)" if self._total > len(self._ids) else ""
        return "{" + ", ".join(map(repr, self._ids)) + more + "}"
