"""What one thread wants written to a butler's SQLite file in one transaction.

A change is announced before it is made in memory, and done with when it is
written or taken back.  So whatever an exception that nobody handles, such as
`KeyboardInterrupt`, breaks off can be told from what has come to its end: then
it is in doubt what the file has, and with the next transaction everything is
written to it anew.
"""

from __future__ import annotations

__all__ = ("BeginningContext", "Change", "Contents", "Unit", "UnitContext", "is_running")

import contextlib
import logging
import sqlite3
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .record_file import RecordFile


_LOG = logging.getLogger(__name__)


class Contents(Protocol):
    """What can be written to the file as it is in memory."""

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write what some datasets have got."""

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write all that some datasets have, instead of what the file has."""

    def write_everything(self, connection: sqlite3.Connection) -> None:
        """Write all that there is, instead of what the file has."""


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
    undo : `~collections.abc.Callable`, optional
        Takes the change back in memory; a second time it does nothing.
    """

    __slots__ = ("_contents", "_file", "_ids", "_only_adds", "is_over", "is_written", "undo")

    def __init__(
        self,
        file: RecordFile,
        contents: Contents,
        ids: Sequence[DatasetId],
        *,
        only_adds: bool,
        undo: Callable[[], None] | None = None,
    ):
        self._file = file
        self._contents = contents
        self._ids = ids
        self._only_adds = only_adds
        self.undo = undo
        """Takes the change back in memory (`~collections.abc.Callable` or
        `None`); there is nothing to take back as long as it has not been made.
        """
        self.is_written = False
        """Whether it is in the file (`bool`)."""
        self.is_over = False
        """Whether it was taken back (`bool`)."""

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
            self._file.rewrite(self._contents, self._ids)


class Unit:
    """Changes that are written in one transaction, or none of them.

    Parameters
    ----------
    frame : `~types.FrameType`
        Call that they are made in.
    outer : `Unit` or `None`
        Unit that the thread was at before, as a signal handler interrupts.
    """

    __slots__ = ("changes", "frame", "outer", "outputs")

    def __init__(self, frame: FrameType, outer: Unit | None):
        self.frame: FrameType | None = frame
        """Call that they are made in (`~types.FrameType` or `None`)."""
        self.outer = outer
        """Unit that the thread was at before (`Unit` or `None`)."""
        self.changes: list[Any] = []
        """Changes of records (`list` [ `Change` ])."""
        self.outputs: list[tuple[Any, Callable[[], None]]] = []
        """Refs that were made actual outputs or are none any more, each with
        what takes that back (`list`).
        """

    def take(self) -> tuple[list[Any], list[tuple[Any, Callable[[], None]]]]:
        """Take what there is to write.

        Returns
        -------
        changes : `list` [ `Change` ]
            Changes that nobody has taken back.
        outputs : `list`
            Refs, each with what takes it back.
        """
        changes, self.changes = self.changes, []
        outputs, self.outputs = self.outputs, []
        return [change for change in changes if not change.is_over], outputs

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
    """

    __slots__ = ("_file", "_join", "_unit")

    def __init__(self, file: RecordFile, join: bool = False):
        self._file = file
        self._join = join
        self._unit: Unit | None = None

    def __enter__(self) -> Unit:
        current = self._file.current_unit()
        if self._join and current is not None:
            return current
        self._unit = self._file.begin_unit(sys._getframe(1), current)
        return self._unit

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if (unit := self._unit) is None:
            return
        is_settled = False
        try:
            if error_type is None:
                self._file.commit()
            elif issubclass(error_type, Exception):
                self._commit_the_rest()
            is_settled = error_type is None or issubclass(error_type, Exception)
        except Exception:
            # What could not be written was taken back.
            is_settled = True
            raise
        finally:
            self._file.end_unit(unit, is_settled)

    def _commit_the_rest(self) -> None:
        """Write what stays after a failure, as it does without a file."""
        try:
            self._file.commit(only_changes=True)
        except Exception as another:
            _LOG.warning("After another failure: %s", another)


class BeginningContext(UnitContext):
    """The time in which a butler begins: all of it is written, or no file stays."""

    __slots__ = ()

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        try:
            super().__exit__(error_type, error, traceback)
        except BaseException:
            self._file.abandon()
            raise
        if error_type is not None:
            self._file.abandon()

    def _commit_the_rest(self) -> None:
        """Write nothing."""


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
    return any(_leads_to(current, frame) for current in sys._current_frames().values())


def _leads_to(current: FrameType, frame: FrameType) -> bool:
    """Tell whether one call was made by another, or by one that it made."""
    caller: FrameType | None = current
    while caller is not None:
        if caller is frame:
            return True
        caller = caller.f_back
    return False
