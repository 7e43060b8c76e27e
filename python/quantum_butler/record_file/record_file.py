"""The connection to a butler's SQLite file, and its transactions.

The unit of writing is the dataset: a change only says which datasets it
concerns, and when it is written, what Rust has of them at that moment takes
the place of what the file has.  So the order of changes from several threads
does not matter, and taking a change back is written in the same way.
"""

from __future__ import annotations

__all__ = ("RecordFile",)

import contextlib
import errno
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import sqlalchemy

from ..locks import ForkSafeLock
from .database import (
    Durability,
    OpenedFile,
    close_connection,
    end_log,
    file_identity,
    gone_error,
    is_closed,
    open_file,
    remove_database,
    remove_mark,
)
from .errors import RecordFileError, record_file_error
from .units import BeginningContext, Doubt, Unit, UnitContext, is_running

if TYPE_CHECKING:
    from .quantum import OutputHolder, QuantumTables
    from .schema import FileSchema


class RecordFile:
    """A SQLite file that a butler's records are written through to.

    Parameters
    ----------
    opened : `OpenedFile`
        The file, just opened.
    """

    def __init__(self, opened: OpenedFile):
        self.path = opened.path
        """Absolute name of the file (`str`)."""
        self._connection: sqlite3.Connection | None = opened.connection
        self._process = os.getpid()
        # For a butler that nobody closes.
        self._last_resort = weakref.finalize(
            self,
            close_connection,
            opened.connection,
            opened.path,
            opened.identity,
            self._process,
            not opened.lacks_log,
        )
        self.lacks_log = opened.lacks_log
        """Whether what was written last may be missing (`bool`); see
        `~.opening.lacks_log`.
        """
        self._is_marked = opened.is_marked
        self._identity = opened.identity
        self._version = opened.version
        self._to_create = opened.to_create
        self._created = opened.created
        self._lock = ForkSafeLock()
        self._threads = threading.local()
        self._quantum: QuantumTables | None = None
        # Units that have begun; one that has not ended may have been broken off.
        self._units: set[Unit] = set()
        self._writing: FrameType | None = None
        # What the file may have otherwise than memory.
        self._doubts: list[Doubt] = []

    @classmethod
    def open(
        cls,
        filename: str | os.PathLike[str],
        schema: FileSchema,
        durability: Durability = "disk",
        *,
        must_exist: bool = False,
    ) -> RecordFile:
        """Open a file, or create it; see `open_file`."""
        return cls(open_file(filename, schema, durability, must_exist=must_exist))

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read from the file.

        Parameters
        ----------
        statement : `str`
            The query.
        parameters : `~collections.abc.Sequence`, optional
            Values for its placeholders.

        Returns
        -------
        rows : `list` [ `tuple` ]
            All rows.

        Raises
        ------
        RecordFileError
            Raised if the file cannot be read.
        """
        with self._lock:
            try:
                return self._usable().execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise record_file_error(self.path, error) from error

    def has_table(self, name: str) -> bool:
        """Tell whether a table has been created already.

        Parameters
        ----------
        name : `str`
            Name of the table.

        Returns
        -------
        has_table : `bool`
            Whether it is in the file.
        """
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)))

    def keep_quantum(self, quantum: QuantumTables) -> None:
        """Keep the provenance of a quantum in the file from now on.

        Parameters
        ----------
        quantum : `QuantumTables`
            What knows it.
        """
        self._quantum = quantum

    # Units.

    def unit(
        self, *, join: bool = False, or_nothing: bool = False
    ) -> contextlib.AbstractContextManager[Unit]:
        """Return a context for changes to be written in one transaction.

        Parameters
        ----------
        join : `bool`, optional
            Whether the changes belong to the unit that the thread is at
            already, if it is.
        or_nothing : `bool`, optional
            Whether nothing is written if the block raises, because everything
            is taken back.  Otherwise, after an `Exception`, what has been done
            and not taken back stays, as without a file.

        Returns
        -------
        unit : `contextlib.AbstractContextManager`
            Context for one thread.  At its end there is a `RecordFileError`
            if its changes cannot be written, and all are taken back.
        """
        return UnitContext(self, join, or_nothing)

    def beginning(self) -> contextlib.AbstractContextManager[Unit]:
        """Return a context to write all that a butler begins with.

        Returns
        -------
        beginning : `contextlib.AbstractContextManager`
            Context that closes the file if the block raises, and removes it
            if it was created just now.
        """
        return BeginningContext(self)

    def current_unit(self) -> Unit | None:
        """Return the unit that this thread is at.

        Returns
        -------
        unit : `Unit` or `None`
            The unit, if there is one.
        """
        unit: Unit | None = getattr(self._threads, "unit", None)
        if unit is not None and not unit.is_above():
            # Something like `KeyboardInterrupt` did not let it come to its end.
            self.end_unit(unit)
            return None
        return unit

    def begin_unit(self, frame: FrameType) -> Unit:
        """Begin a unit; see `unit`.

        Parameters
        ----------
        frame : `~types.FrameType`
            Call that the changes are made in.

        Returns
        -------
        unit : `Unit`
            The unit that this thread is at now.
        """
        unit = Unit(frame)
        self._units.add(unit)
        self._threads.unit = unit
        return unit

    def end_unit(self, unit: Unit) -> None:
        """End this thread's unit.

        Parameters
        ----------
        unit : `Unit`
            The unit.
        """
        self._doubt(unit)
        self._threads.unit = None
        self._units.discard(unit)
        unit.frame = None

    def _doubt(self, unit: Unit) -> None:
        """Have written anew what a unit has announced, and nobody knows to be written."""
        if unit.unsettled or unit.unsettled_outputs:
            with self._lock:
                self._doubts += list(unit.unsettled.values())
                if self._quantum is not None:
                    for ref in list(unit.unsettled_outputs.values()):
                        self._quantum.note_output(ref)

    def commit(self, unit: Unit | None = None, *, only_changes: bool = False) -> None:
        """Write what this thread's unit, if any, has so far.

        Parameters
        ----------
        unit : `Unit`, optional
            The unit, if it is known.
        only_changes : `bool`, optional
            Whether not to write what has been read meanwhile unless something
            was changed, too.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written.  It is taken back.
        """
        if (unit := unit or self.current_unit()) is None:
            return
        while True:
            changes, unit.changes = unit.changes, []
            outputs, unit.outputs = unit.outputs, []
            changes = [change for change in changes if not change.is_over]
            if only_changes and not (changes or outputs):
                return
            try:
                self._write(changes, [ref for ref, _ in outputs])
            except BaseException:
                for change in reversed(changes):
                    change.take_back()
                for _, restore in reversed(outputs):
                    restore()
                # The file has them as they are now.
                unit.outputs.clear()
                raise
            unit.settle(changes, outputs)
            # A signal handler may have added to it meanwhile.
            only_changes = True

    # Changing.

    def note_output(self, ref: Any, restore: Callable[[], None]) -> None:
        """Note that a dataset is about to become an actual output, or none.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset.
        restore : `~collections.abc.Callable`
            Takes this back in memory.
        """
        if (unit := self.current_unit()) is not None:
            unit.announce_output(ref, restore)
            return
        with self._lock:
            if self._quantum is not None:
                self._quantum.note_output(ref)

    def replace_outputs(self, refs: Iterable[Any], butler: OutputHolder) -> None:
        """Let other refs be a butler's actual outputs.

        Parameters
        ----------
        refs : `~collections.abc.Iterable` [ `DatasetRef` ]
            The refs.
        butler : `OutputHolder`
            The butler, which gets them in a set that tells the file what is
            changed.
        """
        with self._lock:
            assert self._quantum is not None, "a butler's file has a quantum"
            self._quantum.replace_outputs(refs, self, butler)

    def doubt(self, doubt: Doubt) -> None:
        """Have something written anew with what comes next.

        Parameters
        ----------
        doubt : `Doubt`
            What the file may have otherwise than memory.
        """
        with self._lock:
            self._doubts.append(doubt)

    def rewrite(self, doubt: Doubt) -> None:
        """Write what datasets have become after a change was taken back.

        Parameters
        ----------
        doubt : `Doubt`
            What was changed.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; it will be, with what comes next.
        """
        self.doubt(doubt)
        with self.unit(join=True):
            """It is written at its end."""

    def remove(self, doubt: Doubt, write: Callable[[sqlite3.Connection], None], do: Callable[[], Any]) -> Any:
        """Write a removal, then do it in memory.

        Parameters
        ----------
        doubt : `Doubt`
            What is removed from.
        write : `~collections.abc.Callable`
            Writes it.
        do : `~collections.abc.Callable`
            Does it; must not fail.

        Returns
        -------
        result : `typing.Any`
            What ``do`` returned.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; then nothing was done.
        """
        with self.unit(join=True) as unit, self._lock:
            unit.unsettled[write] = doubt
            self._write((), removal=write)
            result = do()
            del unit.unsettled[write]
            return result

    def _write(
        self,
        changes: Sequence[Any],
        outputs: Iterable[Any] = (),
        removal: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Write changes, and what else has not been written, all or nothing."""
        with self._lock:
            connection, quantum = self._usable(), self._quantum
            self._check_transaction(connection)
            self._look_for_what_was_broken_off()
            noted = None if quantum is None else quantum.take(outputs)
            doubts = list(self._doubts)
            if not (changes or noted or doubts or removal is not None):
                return
            before, self._writing = self._writing, sys._getframe()
            try:
                if self._is_marked:
                    remove_mark(connection)
                    self._is_marked = False
                connection.execute("BEGIN IMMEDIATE")
                self._check_file(connection)
                self._create_tables(connection)
                for contents, ids in doubts:
                    if ids is None:
                        contents.write_everything(connection)
                    else:
                        contents.write(connection, ids)
                for change in changes:
                    change.write(connection)
                if quantum is not None and noted is not None:
                    quantum.write(connection, noted)
                if removal is not None:
                    removal(connection)
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                if quantum is not None and noted is not None:
                    quantum.give_back(noted)
                if isinstance(error, sqlite3.IntegrityError):
                    raise sqlalchemy.exc.IntegrityError(f"(writing to {self.path})", None, error) from error
                if isinstance(error, sqlite3.Error):
                    raise record_file_error(self.path, error) from error
                raise
            finally:
                self._writing = before
            for change in changes:
                change.is_written = True
            self._to_create = ()
            del self._doubts[: len(doubts)]
            if quantum is not None:
                quantum.settle()

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables that were missing, unless a call that was broken off has done so."""
        known = "SELECT 1 FROM sqlite_master WHERE name = 'quantum_butler_meta'"
        if self._to_create and not connection.execute(known).fetchall():
            for statement in self._to_create:
                connection.execute(statement)

    def _look_for_what_was_broken_off(self) -> None:
        """End the units of threads that are not at them any more."""
        # A single one is that of whoever writes.
        if len(self._units) > 1:
            for unit in [unit for unit in list(self._units) if not unit.is_running()]:
                self._units.discard(unit)
                self._doubt(unit)

    def _check_transaction(self, connection: sqlite3.Connection) -> None:
        """Make sure that this thread is not in the middle of a transaction."""
        if not connection.in_transaction:
            return
        if self._writing is not None and is_running(self._writing):
            raise RecordFileError(
                errno.EDEADLK,
                "The file is being written to by a call that a signal has interrupted",
                self.path,
            )
        # It was broken off before it could be rolled back.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

    def _check_file(self, connection: sqlite3.Connection) -> None:
        """Raise if somebody else has changed the file, or it is gone."""
        if file_identity(self.path) != self._identity:
            raise gone_error(self.path)
        if connection.execute("PRAGMA data_version").fetchone() != (self._version,):
            raise RecordFileError(
                errno.EBUSY, "Another program has changed the file since it was opened", self.path
            )

    def _usable(self) -> sqlite3.Connection:
        if (connection := self._connection) is None:
            raise RecordFileError(errno.EBADF, "The file has been closed", self.path)
        if os.getpid() != self._process:
            raise RecordFileError(errno.EBUSY, f"The file is in use by process {self._process}", self.path)
        return connection

    # The end.

    def abandon(self) -> None:
        """Close the file, and remove it if it was not there before."""
        if os.getpid() != self._process:
            return
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            is_ours = self._created and file_identity(self.path) == self._identity
            self._last_resort()
            if is_ours:
                remove_database(self.path)

    def dispose(self) -> None:
        """Close the file, and leave nothing beside it.

        The name is that of upstream's `Database` interface.  Closing a closed
        file does nothing.

        Raises
        ------
        RecordFileError
            Raised if what is still to be written cannot be, or somebody else
            is using the file.  It can be closed again, unless the file is
            gone.
        """
        if os.getpid() != self._process:
            return
        with self._lock:
            if (connection := self._connection) is None or is_closed(connection):
                self._connection = None
                return
            is_gone = file_identity(self.path) != self._identity
            if not is_gone:
                with self.unit():
                    """What was noted is written at its end."""
                self._is_marked = True
                end_log(connection, self.path, is_ours=True)
            connection.close()
            self._connection = None
            self._last_resort.detach()
            if is_gone:
                raise gone_error(self.path)
