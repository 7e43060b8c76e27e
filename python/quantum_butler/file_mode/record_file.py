"""The connection to a butler's SQLite file, and its transactions.

The unit of writing is the dataset: a change only says which datasets it
concerns, and when it is written, what Rust has of them at that moment takes
the place of what the file has.  So the order of changes from several threads
does not matter, and taking a change back is written in the same way.
"""

from __future__ import annotations

__all__ = ("Change", "Durability", "RecordFile", "hex_of")

import contextlib
import errno
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import sqlalchemy

from .errors import RecordFileError, record_file_error

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .quantum import QuantumTables
    from .schema import FileSchema

_LOG = logging.getLogger(__name__)

Durability = Literal["disk", "process"]
"""What survives what: power cuts, or killed processes."""

# How long to wait for others, in seconds.  Nobody has a reason to write.
_PATIENCE = 5.0


class _Contents(Protocol):
    """What can be written to the file as it is in memory."""

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None: ...

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None: ...


class Change:
    """A change in memory that is in the file or will soon be.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    contents : `_Contents`
        What was changed.
    ids : `~collections.abc.Sequence` [ `DatasetId` ]
        The datasets concerned.
    undo : `~collections.abc.Callable`
        Takes the change back in memory; a second time it does nothing.
    only_adds : `bool`
        Whether nothing was removed, so that there is nothing to remove from
        the file.
    """

    __slots__ = ("_contents", "_file", "_ids", "_only_adds", "_undo", "is_over", "is_written")

    def __init__(
        self,
        file: RecordFile,
        contents: _Contents,
        ids: Sequence[DatasetId],
        undo: Callable[[], None],
        *,
        only_adds: bool,
    ):
        self._file = file
        self._contents = contents
        self._ids = ids
        self._undo = undo
        self._only_adds = only_adds
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
        self._undo()

    def __call__(self) -> None:
        """Take the change back, in the file, too."""
        if self.is_over:
            return
        self.take_back()
        if self.is_written:
            self._file.apply(self.again(), keep=True)

    def again(self) -> Change:
        """Return a change that writes whatever these datasets have become.

        Returns
        -------
        change : `Change`
            A change that is not to be taken back.
        """
        return Change(self._file, self._contents, self._ids, _nothing, only_adds=False)


def _nothing() -> None:
    """Take back what must stay."""


class _Unit:
    """What one thread wants written in one transaction."""

    __slots__ = ("changes", "outputs")

    def __init__(self) -> None:
        self.changes: list[Any] = []
        self.outputs: list[tuple[Any, Callable[[], None]]] = []

    def live_changes(self) -> list[Any]:
        """Return the changes that nobody has taken back."""
        return [change for change in self.changes if not change.is_over]

    def take_back(self) -> None:
        """Take everything back in memory, the last first."""
        for change in reversed(self.live_changes()):
            change.take_back()
        for _, restore in reversed(self.outputs):
            restore()


class _UnitContext(contextlib.AbstractContextManager[None]):
    """The time in which one thread makes changes that belong together."""

    __slots__ = ("_all_or_nothing", "_file", "_is_outermost")

    def __init__(self, file: RecordFile, all_or_nothing: bool):
        self._file = file
        self._all_or_nothing = all_or_nothing

    def __enter__(self) -> None:
        self._is_outermost = self._file._unit is None
        if self._is_outermost:
            self._file._unit = _Unit()

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if not self._is_outermost:
            return
        try:
            if error_type is None:
                self._file.commit()
            elif not self._all_or_nothing:
                try:
                    self._file.commit(only_changes=True)
                except Exception as another:
                    _LOG.warning("After another failure: %s", another)
        finally:
            self._file._unit = None


class RecordFile:
    """A SQLite file that a butler's records are written through to.

    Parameters
    ----------
    path : `str`
        Absolute name of the file.
    connection : `sqlite3.Connection`
        Connection to it.
    version : `int`
        Changes when somebody else changes the file.
    to_create : `~collections.abc.Sequence` [ `str` ]
        What creates the tables that are missing, with the first change.
    created : `bool`
        Whether the file was not there before.
    """

    def __init__(
        self,
        path: str,
        connection: sqlite3.Connection,
        version: int,
        to_create: Sequence[str],
        created: bool,
    ):
        self.path = path
        """Absolute name of the file (`str`)."""
        self._connection: sqlite3.Connection | None = connection
        self._process = os.getpid()
        # For a butler that nobody closes.
        self._last_resort = weakref.finalize(self, _close, connection, self._process)
        self._version = version
        self._to_create = to_create
        self._created = created
        self._lock = threading.RLock()
        self._threads = threading.local()
        self._quantum: QuantumTables | None = None
        self._unwritten: list[Change] = []

    @classmethod
    def open(
        cls,
        filename: str | os.PathLike[str],
        schema: FileSchema,
        durability: Durability = "disk",
        *,
        must_exist: bool = False,
    ) -> RecordFile:
        """Open a file, or create it.

        Parameters
        ----------
        filename : `str` or `os.PathLike`
            Name of the file.
        schema : `FileSchema`
            The tables that it must have.
        durability : `str`, optional
            What is to survive what.
        must_exist : `bool`, optional
            Whether not to create it.

        Returns
        -------
        file : `RecordFile`
            The open file.

        Raises
        ------
        FileNotFoundError
            Raised if the file must exist and does not.
        RecordFileError
            Raised if it cannot be opened, or is not such a file.
        """
        path = os.path.abspath(os.fspath(filename))
        there_before = os.path.exists(path)
        if must_exist and not there_before:
            raise FileNotFoundError(errno.ENOENT, "There is no file of a quantum's records", path)
        is_new = schema.create(path, on_disk=durability == "disk")
        try:
            connection = sqlite3.connect(
                path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise record_file_error(path, error) from error
        try:
            # Looked at before anything of it is changed.
            to_create = [] if is_new else schema.missing(connection, path)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'disk' else 'OFF'}")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            [(version,)] = connection.execute("PRAGMA data_version").fetchall()
        except BaseException as error:
            connection.close()
            if not there_before:
                _remove(path)
            if isinstance(error, sqlite3.Error):
                raise record_file_error(path, error) from error
            raise
        return cls(path, connection, version, to_create, not there_before)

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

    # Changing.

    def apply(self, change: Any, *, keep: bool = False) -> None:
        """Write a change that was made in memory.

        Parameters
        ----------
        change : `Change`
            The change.  In a `unit` it is written at the end of that.
        keep : `bool`, optional
            Whether to try again with the next change if it cannot be written
            now.  Otherwise it is taken back.

        Raises
        ------
        RecordFileError
            Raised if the change cannot be written.
        sqlalchemy.exc.IntegrityError
            Raised if the file's constraints do not allow it.
        """
        if (unit := self._unit) is not None:
            unit.changes.append(change)
            return
        try:
            self._write([change])
        except BaseException:
            if keep:
                self._unwritten.append(change)
            else:
                change.take_back()
            raise

    def note_output(self, ref: Any, restore: Callable[[], None]) -> None:
        """Note that a dataset was made an actual output, or is none any more.

        Parameters
        ----------
        ref : `DatasetRef`
            The dataset.
        restore : `~collections.abc.Callable`
            Takes this back in memory.
        """
        if (unit := self._unit) is not None:
            unit.outputs.append((ref, restore))
        elif self._quantum is not None:
            self._quantum.note_output(ref)

    def unit(self, *, all_or_nothing: bool = False) -> contextlib.AbstractContextManager[None]:
        """Return a context for changes to be written in one transaction.

        Parameters
        ----------
        all_or_nothing : `bool`, optional
            Whether to write nothing if the block raises.  Otherwise what has
            been done and not taken back stays, as without a file.

        Returns
        -------
        unit : `contextlib.AbstractContextManager`
            Context for one thread.  At its end there is a `RecordFileError`
            if its changes cannot be written, and all are taken back.
        """
        return _UnitContext(self, all_or_nothing)

    @property
    def _unit(self) -> _Unit | None:
        unit: _Unit | None = getattr(self._threads, "unit", None)
        return unit

    @_unit.setter
    def _unit(self, unit: _Unit | None) -> None:
        self._threads.unit = unit

    def commit(self, *, only_changes: bool = False) -> None:
        """Write what this thread's unit, if any, has so far.

        Parameters
        ----------
        only_changes : `bool`, optional
            Whether not to write what has been read meanwhile unless something
            was changed, too.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written.  It is taken back.
        """
        if (unit := self._unit) is None:
            return
        changes, outputs = unit.live_changes(), [ref for ref, _ in unit.outputs]
        try:
            if changes or outputs or not only_changes:
                self._write(changes, outputs)
        except BaseException:
            unit.take_back()
            raise
        finally:
            unit.changes.clear()
            unit.outputs.clear()

    def remove(self, write: Callable[[sqlite3.Connection], None], do: Callable[[], Any]) -> Any:
        """Write a removal, then do it in memory.

        Parameters
        ----------
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
        with self._lock:
            self._write((), removal=write)
            return do()

    def _write(
        self,
        changes: Sequence[Any],
        outputs: Iterable[Any] = (),
        removal: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Write changes, and what else has not been written, all or nothing."""
        with self._lock:
            connection, unwritten, quantum = self._usable(), self._unwritten, self._quantum
            noted = None if quantum is None else quantum.take(outputs)
            if not (changes or unwritten or noted or removal is not None):
                return
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._check_version(connection)
                for statement in self._to_create:
                    connection.execute(statement)
                for change in (*unwritten, *changes):
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
                if not isinstance(error, Exception):
                    # An interrupted transaction may be in the file or not.
                    self._unwritten = [*unwritten, *(change.again() for change in changes)]
                if isinstance(error, sqlite3.IntegrityError):
                    raise sqlalchemy.exc.IntegrityError(f"(writing to {self.path})", None, error) from error
                if isinstance(error, sqlite3.Error):
                    raise record_file_error(self.path, error) from error
                raise
            self._to_create = ()
            self._unwritten = []
            for change in changes:
                change.is_written = True

    def _check_version(self, connection: sqlite3.Connection) -> None:
        """Raise if somebody else has changed the file."""
        [(version,)] = connection.execute("PRAGMA data_version").fetchall()
        if self._version != version:
            raise RecordFileError(
                errno.EBUSY, "Another program has changed the file since it was opened", self.path
            )

    def _usable(self) -> sqlite3.Connection:
        if (connection := self._connection) is None:
            raise RecordFileError(errno.EBADF, "The file has been closed", self.path)
        if os.getpid() != self._process:
            raise RecordFileError(errno.EBUSY, f"The file is in use by process {self._process}", self.path)
        return connection

    # Beginning and end.

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Write all that a butler begins with, or leave nothing of it."""
        try:
            with self.unit(all_or_nothing=True):
                yield
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Close the file, and remove it if it was not there before."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None or os.getpid() != self._process:
                return
            self._last_resort()
            if self._created:
                _remove(self.path)

    def dispose(self) -> None:
        """Close the file, and leave nothing beside it.

        The name is that of upstream's `Database` interface.  Closing a closed
        file does nothing.

        Raises
        ------
        RecordFileError
            Raised if what is still to be written cannot be, or somebody else
            is using the file.  It can be closed again.
        """
        with self._lock:
            connection = self._connection
            if connection is None or os.getpid() != self._process:
                return
            self._write(())
            try:
                # Brings everything into the file, and removes the log.
                connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            except sqlite3.Error as error:
                raise record_file_error(self.path, error) from error
            self._last_resort()
            self._connection = None


def hex_of(dataset_id: DatasetId | int) -> str:
    """Return an id as upstream's column type for SQLite has it.

    Parameters
    ----------
    dataset_id : `DatasetId` or `int`
        The id.

    Returns
    -------
    text : `str`
        Thirty-two hexadecimal digits.
    """
    return f"{dataset_id if isinstance(dataset_id, int) else dataset_id.int:032x}"


def _close(connection: sqlite3.Connection, process: int) -> None:
    """Close a connection, and leave nothing beside the file if possible."""
    if os.getpid() == process:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.close()


def _remove(path: str) -> None:
    """Remove a database with what is beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.remove(path + suffix)
