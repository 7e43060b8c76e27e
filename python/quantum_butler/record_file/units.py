"""What one thread wants written to a butler's SQLite file in one transaction.

A change is announced before it is made in memory.  If the call that makes it
does not come to its end, because something like `KeyboardInterrupt` or an
exception of a signal handler breaks it off, or because it fails, then it is in
doubt whether the file has what memory has; what was announced is written anew
with the next transaction.
"""

from __future__ import annotations

__all__ = ("BeginningContext", "Change", "Contents", "Doubt", "Unit", "UnitContext", "is_running")

import contextlib
import errno
import logging
import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from .errors import RecordFileError

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .record_file import RecordFile


_LOG = logging.getLogger(__name__)

# How often to look for a call before it is taken for broken off.
_LOOKS = 5


class Contents(Protocol):
    """What can be written to the file as it is in memory."""

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write what some datasets have got."""

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write all that some datasets have, instead of what the file has."""

    def write_everything(self, connection: sqlite3.Connection) -> None:
        """Write all that there is, instead of what the file has."""


Doubt = tuple[Contents, "Sequence[DatasetId] | None"]
"""What the file may have otherwise than memory: some datasets, or all."""


class Change:
    """A change in memory that is in the file or will soon be.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    contents : `Contents`
        What is changed.
    ids : `~collections.abc.Sequence` [ `DatasetId` ]
        The datasets concerned.
    only_adds : `bool`
        Whether nothing is removed, so that there is nothing to remove from
        the file.
    """

    __slots__ = ("_contents", "_file", "_ids", "_only_adds", "is_over", "is_written", "undo")

    def __init__(self, file: RecordFile, contents: Contents, ids: Sequence[DatasetId], *, only_adds: bool):
        self._file = file
        self._contents = contents
        self._ids = ids
        self._only_adds = only_adds
        self.undo: Callable[[], None] | None = None
        """Takes the change back in memory (`~collections.abc.Callable` or
        `None`); there is nothing to take back as long as it has not been made.
        """
        self.is_written = False
        """Whether it is in the file (`bool`)."""
        self.is_over = False
        """Whether it was taken back (`bool`)."""

    @property
    def doubt(self) -> Doubt:
        """What the file may have otherwise than memory (`tuple`)."""
        return self._contents, self._ids

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what is in memory now.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        """
        if self._only_adds:
            self._contents.write_added(connection, self._ids)
        else:
            self._contents.write(connection, self._ids)

    def take_back(self) -> None:
        """Take the change back in memory only."""
        self.is_over = True
        if self.undo is not None:
            self.undo()

    def __call__(self) -> None:
        """Take the change back, in the file, too."""
        if self.is_over:
            return
        self.take_back()
        if self.is_written:
            self._file.rewrite(self.doubt)


class Unit:
    """Changes that are written in one transaction, or none of them.

    Parameters
    ----------
    frame : `~types.FrameType`
        Call that they are made in.
    """

    __slots__ = ("changes", "frame", "outputs", "unsettled", "unsettled_outputs")

    def __init__(self, frame: FrameType):
        self.frame: FrameType | None = frame
        """Call that they are made in (`~types.FrameType` or `None`)."""
        self.changes: list[Any] = []
        """Changes of records to be written (`list` [ `Change` ])."""
        self.outputs: list[tuple[Any, Callable[[], None]]] = []
        """Refs that were made actual outputs or are none any more, each with
        what takes that back (`list`).
        """
        self.unsettled: dict[object, Doubt] = {}
        """What was announced and is not known to be written (`dict`), by what
        tells one change from another.
        """
        self.unsettled_outputs: dict[object, Any] = {}
        """The same of actual outputs (`dict`)."""

    def announce(self, change: Change) -> None:
        """Note a change that is about to be made.

        Parameters
        ----------
        change : `Change`
            The change.
        """
        self.unsettled[change] = change.doubt
        self.changes.append(change)

    def announce_output(self, ref: Any, restore: Callable[[], None]) -> None:
        """Note that a dataset is about to become an actual output, or none.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset.
        restore : `~collections.abc.Callable`
            Takes that back.
        """
        self.unsettled_outputs[restore] = ref
        self.outputs.append((ref, restore))

    def settle(self, changes: Iterable[Any], outputs: Iterable[tuple[Any, Callable[[], None]]]) -> None:
        """Note what has been written.

        Parameters
        ----------
        changes : `~collections.abc.Iterable` [ `Change` ]
            Changes of records.
        outputs : `~collections.abc.Iterable`
            Refs, each with what takes it back.
        """
        for change in changes:
            self.unsettled.pop(change, None)
        for _, restore in outputs:
            self.unsettled_outputs.pop(restore, None)

    def is_above(self) -> bool:
        """Tell whether this thread is in the call that the changes are made in.

        Returns
        -------
        is_above : `bool`
            `False` if an exception has broken that off.
        """
        return self.frame is not None and _leads_to(sys._getframe(), self.frame)

    def is_running(self) -> bool:
        """Tell whether some thread is in the call that the changes are made in.

        Returns
        -------
        is_running : `bool`
            `False` if an exception has broken that off.
        """
        return self.frame is not None and is_running(self.frame)


class UnitContext(contextlib.AbstractContextManager[Unit]):
    """The time in which one thread makes changes that belong together.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    join : `bool`, optional
        Whether they belong to the unit that the thread is at already.
    or_nothing : `bool`, optional
        Whether nothing is written if something fails.
    """

    __slots__ = ("_file", "_join", "_or_nothing", "_unit")

    def __init__(self, file: RecordFile, join: bool = False, or_nothing: bool = False):
        self._file = file
        self._join = join
        self._or_nothing = or_nothing
        self._unit: Unit | None = None

    def __enter__(self) -> Unit:
        current = self._file.current_unit()
        if current is not None and self._join:
            return current
        if current is not None:
            raise RecordFileError(
                errno.EDEADLK,
                "This thread is in a call that writes to the file, which a signal has interrupted",
                self._file.path,
            )
        self._unit = self._file.begin_unit(sys._getframe(1))
        return self._unit

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if (unit := self._unit) is None:
            return
        try:
            if error_type is None:
                self._file.commit(unit)
            elif self._or_nothing:
                for _, restore in reversed(unit.outputs):
                    restore()
            elif issubclass(error_type, Exception):
                self._commit_the_rest()
        finally:
            self._file.end_unit(unit)

    def _commit_the_rest(self) -> None:
        """Write what stays after a failure, as it does without a file."""
        try:
            self._file.commit(only_changes=True)
        except Exception as another:
            _LOG.warning("After another failure: %s", another)


class BeginningContext(UnitContext):
    """The time in which a butler begins: all of it is written, or no file stays.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    """

    __slots__ = ()

    def __init__(self, file: RecordFile):
        super().__init__(file, or_nothing=True)

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        try:
            super().__exit__(error_type, error, traceback)
        except BaseException:
            self._file.abandon()
            raise
        if error_type is not None:
            self._file.abandon()


def is_running(frame: FrameType) -> bool:
    """Tell whether a call goes on, in whatever thread.

    Parameters
    ----------
    frame : `~types.FrameType`
        The call.

    Returns
    -------
    is_running : `bool`
        Whether it does.
    """
    # The call of a generator loses its caller when it yields, be it while somebody looks.
    return any(_leads_to(current, frame) for _ in range(_LOOKS) for current in sys._current_frames().values())


def _leads_to(current: FrameType, frame: FrameType) -> bool:
    """Tell whether one call was made by another, or by one that it made."""
    caller: FrameType | None = current
    while caller is not None:
        if caller is frame:
            return True
        caller = caller.f_back
    return False
