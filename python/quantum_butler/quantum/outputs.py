"""The datasets that one butler has written."""

from __future__ import annotations

__all__ = ("OTHER_CHANGES", "ActualOutputs")

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef

    from .. import _core


OTHER_CHANGES = (
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
"""Methods by which a `set` is changed, but for `set.add` (`tuple` [ `str` ])."""


class ActualOutputs(set["DatasetRef"]):
    """Refs of the datasets that were written, with their ids kept in Rust.

    A `set` to everybody.  Once it was changed in another way than by adding a
    single ref, the tracker's ids are no longer those of the refs; see
    `refs_to_look_at`.
    """

    # Operators make copies without calling ``__init__``.
    _tracker: _core.Tracker | None = None

    def __init__(self, tracker: _core.Tracker):
        super().__init__()
        self._tracker = tracker

    def refs_to_look_at(self) -> set[DatasetRef] | None:
        """Return a copy, as another thread may be adding; `None` if the tracker has all their ids."""
        return self.copy() if self._tracker is None else None

    def add(self, ref: DatasetRef, /) -> None:
        """Add a ref."""
        super().add(ref)
        if (tracker := self._tracker) is not None:
            tracker.note_written(ref)

    def copy(self) -> set[DatasetRef]:
        """Return the refs that there are now."""
        return set(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return set, (list(self),)


def _telling_no_more(name: str) -> Any:
    """Make a method of `set` that ends what the tracker is told."""
    change = getattr(set, name)

    def changed(refs: ActualOutputs, *others: Iterable[Any]) -> Any:
        refs._tracker = None
        return change(refs, *others)

    changed.__name__, changed.__doc__ = name, change.__doc__
    return changed


for _name in OTHER_CHANGES:
    setattr(ActualOutputs, _name, cast(Any, _telling_no_more(_name)))
