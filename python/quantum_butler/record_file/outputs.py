"""A quantum's actual outputs, which its butler's SQLite file is told of."""

from __future__ import annotations

__all__ = ("FiledOutputs",)

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from lsst.daf.butler import DatasetRef

from .. import _core
from ..quantum.outputs import OTHER_CHANGES, ActualOutputs

if TYPE_CHECKING:
    from .record_file import RecordFile


class FiledOutputs(ActualOutputs):
    """Refs of the datasets that were written, which go to a file, too.

    Parameters
    ----------
    tracker : `_core.Tracker`
        The quantum's bookkeeping, which is told of each dataset.
    file : `RecordFile`
        The file.
    """

    # Operators make copies without calling ``__init__``.
    _file: RecordFile | None = None

    def __init__(self, tracker: _core.Tracker, file: RecordFile):
        super().__init__(tracker)
        self._file = file

    @classmethod
    def of(cls, refs: Iterable[DatasetRef], file: RecordFile) -> FiledOutputs:
        """Return a set of some refs, of which the file has not been told.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` [ `DatasetRef` ]
            The refs.
        file : `RecordFile`
            The file.

        Returns
        -------
        outputs : `FiledOutputs`
            The set.
        """
        self = cls.__new__(cls)
        set.update(self, refs)
        self._file = file
        return self

    def add(self, ref: DatasetRef, /) -> None:
        # Docstring inherited.
        if (file := self._file) is None:
            super().add(ref)
            return
        # To look for it first would take as long as to add it.
        addition = _Addition(self, ref)
        file.note_output(ref, addition)
        before = len(self)
        super().add(ref)
        addition.is_new = len(self) > before

    def discard(self, ref: object, /) -> None:
        """Remove a ref, if it is there.

        Parameters
        ----------
        ref : `DatasetRef`
            Ref of a dataset that is none of the outputs any more.
        """
        if ref in self:
            if self._file is not None:
                self._file.note_output(ref, functools.partial(self.add, cast(DatasetRef, ref)))
            super().discard(ref)


class _Addition:
    """What takes back that a ref was added, unless it was there before."""

    __slots__ = ("_ref", "_refs", "is_new")

    def __init__(self, refs: FiledOutputs, ref: DatasetRef):
        self._refs = refs
        self._ref = ref
        self.is_new = True

    def __call__(self) -> None:
        if self.is_new:
            self._refs.discard(self._ref)


def _telling_the_file(name: str) -> Callable[..., Any]:
    """Make a method of `set` that tells the file what has changed."""
    change = getattr(ActualOutputs, name)

    def changed(refs: FiledOutputs, *others: Iterable[Any]) -> Any:
        given: list[Any] = list(others) if name == "remove" else [set(other) for other in others]
        if (file := refs._file) is not None:
            # Whatever may change; what it becomes is seen when it is written.
            for ref in refs.copy().union(*(other for other in given if isinstance(other, set))):
                file.note_output(ref, functools.partial(_nothing))
        return change(refs, *given)

    changed.__name__, changed.__doc__ = name, change.__doc__
    return changed


for _name in OTHER_CHANGES:
    if _name != "discard":
        setattr(FiledOutputs, _name, _telling_the_file(_name))


def _nothing() -> None:
    """Restore nothing."""
