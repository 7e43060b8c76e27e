"""The datasets that one butler has written."""

from __future__ import annotations

__all__ = ("ActualOutputs",)

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef

    from .. import _core


_numbers = itertools.count()

# Methods by which a `set` is changed, but for `set.add`.
_OTHER_CHANGES = (
    "__iand__",
    "__ior__",
    "__isub__",
    "__ixor__",
    "clear",
    "difference_update",
    "discard",
    "intersection_update",
    "pop",
    "remove",
    "symmetric_difference_update",
    "update",
)


class ActualOutputs(set["DatasetRef"]):
    """Refs of the datasets that were written, with their ids kept in Rust.

    A `set` to everybody.  Once it was changed in another way than by adding a
    single ref, the tracker's ids are no longer those of the refs; see
    `refs_to_look_at`.
    """

    # Operators make copies without calling ``__init__``.
    _tracker: _core.Tracker | None = None
    _notes: dict[int, DatasetRef] | None = None

    def __init__(self, tracker: _core.Tracker):
        super().__init__()
        self._tracker = tracker

    def refs_to_look_at(self) -> set[DatasetRef] | None:
        """Return a copy, as another thread may be adding; `None` if the tracker has all their ids."""
        return self.copy() if self._tracker is None else None

    def add(self, ref: DatasetRef, /) -> None:
        """Add a ref."""
        if (notes := self._notes) is not None:
            notes[next(_numbers)] = ref
        super().add(ref)
        if (tracker := self._tracker) is not None:
            tracker.note_written(ref)
        # Meanwhile somebody may have settled it as it was.
        if (notes := self._notes) is not None:
            notes[next(_numbers)] = ref

    def watch(self) -> dict[int, DatasetRef]:
        """Note from now on which refs come or go; whoever has dealt with a note removes it."""
        if self._notes is None:
            self._notes = {}
        return self._notes

    def _note(self, *refs: Any) -> None:
        if (notes := self._notes) is not None:
            for ref in refs:
                notes[next(_numbers)] = ref

    def replaced_by(self, refs: Iterable[DatasetRef]) -> ActualOutputs:
        """Return a set of other refs, which shares the notes."""
        other = type(self)._from(refs)
        other._notes = self._notes
        self._note(*(set(self) ^ set(other)))
        return other

    @classmethod
    def _from(cls, refs: Iterable[DatasetRef]) -> ActualOutputs:
        self = cls.__new__(cls)
        set.update(self, refs)
        return self

    def copy(self) -> set[DatasetRef]:
        """Return the refs that there are now."""
        return set(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return set, (list(self),)


def _telling_no_more(name: str) -> Any:
    """Make a method of `set` that ends what the tracker is told."""
    change = getattr(set, name)

    def changed(refs: ActualOutputs, *others: Any) -> Any:
        refs._tracker = None
        if refs._notes is None:
            return change(refs, *others)
        if name in ("discard", "remove"):
            noted = others
        else:
            # Whatever may change; what it becomes is seen when it is written.
            others = tuple(set(other) for other in others)
            noted = tuple(set(refs).union(*others))
        refs._note(*noted)
        try:
            return change(refs, *others)
        finally:
            refs._note(*noted)

    changed.__name__, changed.__doc__ = name, change.__doc__
    return changed


for _name in _OTHER_CHANGES:
    setattr(ActualOutputs, _name, cast(Any, _telling_no_more(_name)))
