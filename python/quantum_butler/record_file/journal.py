"""The connection to a butler's SQLite file, and its transactions.

Rust is the truth, and knows which datasets have changed since they were last
settled.  `Journal.commit` writes what these are now instead of what the file
has, in one transaction, and settles them.  A call that fails, is taken back or
is broken off leaves its datasets unsettled, and the next commit writes them
anew.  So nobody has to know what a call was about to do, and in which order.
"""

from __future__ import annotations

__all__ = ("Journal",)

import contextlib
import errno
import logging
import os
import sqlite3
import weakref
from _thread import RLock, get_ident
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .. import _core
from ..datastore.spawn import file_datastores
from ..datastore.transactions import ThreadTransactions
from ..locks import ForkSafeLock
from ..quantum.outputs import ActualOutputs
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
from .errors import RecordFileError, damage_errors, record_file_error
from .rows import (
    DatastoreIdentity,
    PredictedArtifact,
    QuantumRows,
    RecordRows,
    identity_if_known,
    key_of,
    ref_of,
)
from .schema import FORMAT_VERSION

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, DimensionUniverse
    from lsst.daf.butler.datastore import Datastore

    from ..datastore.file import NativeFileDatastore
    from .schema import FileSchema

_LOG = logging.getLogger(__name__)

Write = Callable[[sqlite3.Connection], object]


class OutputHolder(Protocol):
    """A butler, as far as its actual outputs go."""

    _outputs: Any


class _Call(RLock):  # type: ignore[misc]
    """A `put` or `pruneDatasets` of one thread, as long as the thread owns this.

    It is entered and left by the interpreter itself, so that it ends with the
    block, however that is broken off.
    """

    refs: Sequence[DatasetRef] = ()
    """Datasets that nobody else writes meanwhile."""
    has_written = False
    was_refused = False


class Journal:
    """A SQLite file that has what its butler has acknowledged."""

    def __init__(self, opened: OpenedFile):
        self.path = opened.path
        self.lacks_log = opened.lacks_log
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
        self._opened = opened
        self._is_marked = opened.is_marked
        self._to_create = opened.to_create
        self._lock = ForkSafeLock()
        self._calls: dict[int, weakref.ref[_Call]] = {}
        self._records: list[RecordRows] = []
        self._quantum: QuantumRows | None = None

    @classmethod
    def open(
        cls,
        filename: str | os.PathLike[str],
        schema: FileSchema,
        durability: Durability = "disk",
        *,
        must_exist: bool = False,
    ) -> Journal:
        """Open a file, or create it; see `open_file`."""
        return cls(open_file(filename, schema, durability, must_exist=must_exist))

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows that a query gives."""
        with self._lock:
            try:
                return self._usable().execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise record_file_error(self.path, error) from error

    def has_table(self, name: str) -> bool:
        """Return whether a table has been created already."""
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)))

    # The beginning.

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Close the file if the block raises, and remove it if it was created just now."""
        try:
            yield
        except BaseException:
            self.abandon()
            raise

    def load(self, datastore: Datastore) -> None:
        """Read the file's records into a datastore, and keep in mind what changes from now on."""
        members = file_datastores(datastore)
        self._records = [RecordRows(member) for member in members]
        loaded: set[str] = set()
        for records in self._records:
            with damage_errors(self.path, records.table.name):
                # Several datastores may share a table.
                if records.table.name not in loaded and self.has_table(records.table.name):
                    records.load_rows(self.read)
                loaded.add(records.table.name)
            with damage_errors(self.path, "dataset_location"):
                if self.has_table("dataset_location"):
                    records.load_locations(self.read)
        for member in members:
            member._records.watch()

    def begin(
        self,
        tracker: _core.Tracker,
        outputs: ActualOutputs,
        datastore: Datastore,
        datastores: Sequence[DatastoreIdentity],
        predicted: Sequence[PredictedArtifact] = (),
    ) -> None:
        """Write a quantum's provenance from now on, and all that it begins with."""
        self._quantum = QuantumRows(tracker, outputs, datastore)
        tracker.watch(True)

        def begin(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO quantum_butler_meta VALUES ('format_version', ?)",
                (str(FORMAT_VERSION),),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO quantum_butler_datastore VALUES (?, ?, ?)", datastores
            )
            connection.executemany(
                "INSERT OR REPLACE INTO quantum_butler_predicted_artifact VALUES (?, ?, ?, ?)", predicted
            )

        self.commit(begin)
        self._attach(datastore)

    def go_on(
        self,
        tracker: _core.Tracker,
        outputs: ActualOutputs,
        datastore: Datastore,
        universe: DimensionUniverse,
    ) -> None:
        """Go on writing the provenance of the quantum that the file has."""
        with damage_errors(self.path, "quantum_butler_output"):
            for row in self.read("SELECT * FROM quantum_butler_output"):
                outputs.add(ref_of(row, universe))
        self._quantum = QuantumRows(tracker, outputs, datastore)
        tracker.watch(False)
        self._attach(datastore)

    def _attach(self, datastore: Datastore) -> None:
        for member in getattr(datastore, "datastores", ()):
            self._attach(member)
        if isinstance(datastore, ThreadTransactions):
            datastore.journal = self

    # Calls.

    def call(self, refs: Sequence[DatasetRef]) -> contextlib.AbstractContextManager[Any]:
        """Return the time in which a thread changes some datasets, which only it writes meanwhile."""
        if self._current() is not None:
            raise RecordFileError(
                errno.EDEADLK,
                "This thread is in a call that writes to the file, which a signal has interrupted",
                self.path,
            )
        call = _Call()
        call.refs = refs
        self._calls[get_ident()] = weakref.ref(call)
        return call

    def _current(self) -> _Call | None:
        """Return the call that this thread is at, if there is one."""
        known = self._calls.get(get_ident())
        call = None if known is None else known()
        return call if call is not None and call._is_owned() else None  # type: ignore[attr-defined]

    def was_refused(self) -> bool:
        """Return whether the first commit of this thread's call has failed."""
        return (call := self._current()) is not None and call.was_refused

    def _note_outcome(self, *, written: bool) -> None:
        if (call := self._current()) is not None and not call.has_written:
            call.has_written, call.was_refused = written, not written

    def _held(self) -> list[DatasetRef]:
        """Return the datasets that other threads are changing."""
        me, calls = get_ident(), list(self._calls.items())
        others = [call for thread, known in calls if thread != me and (call := known()) is not None]
        return [ref for call in others for ref in call.refs]

    # Writing.

    def commit(self, write: Write | None = None) -> None:
        """Write what has changed, and what else is to be, all or nothing."""
        try:
            self._write(write)
        except BaseException:
            self._note_outcome(written=False)
            raise
        self._note_outcome(written=True)

    def commit_if_alone(self) -> None:
        """Write what has changed, unless this thread is in a call at whose end that is done."""
        if self._current() is None:
            self._write()

    def commit_rest(self, error: BaseException) -> None:
        """Write what stays after a failure, as it does without a file, unless the thread is in a call."""
        if isinstance(error, Exception) and not isinstance(error, RecordFileError) and not self._current():
            try:
                self._write()
            except Exception as another:
                _LOG.warning("After %r: %s", error, another)

    def _write(self, write: Write | None = None) -> None:
        is_mine = self._lock._is_owned()  # type: ignore[attr-defined]
        with self._lock:
            connection = self._usable()
            if connection.in_transaction:
                if is_mine:
                    raise RecordFileError(
                        errno.EDEADLK,
                        "The file is being written to by a call that a signal has interrupted",
                        self.path,
                    )
                # It was broken off before it could be rolled back.
                connection.execute("ROLLBACK")
            kept = self._changed()
            if not (kept or write):
                return
            try:
                if self._is_marked:
                    self._is_marked = not remove_mark(connection)
                connection.execute("BEGIN IMMEDIATE")
                self._check_file(connection)
                self._create_tables(connection)
                if write is not None:
                    write(connection)
                held = self._held()
                # Read within the transaction: what interrupts it cannot write anything newer.
                written = [one.write(connection, held) for one in kept]
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise record_file_error(self.path, error) from error
                raise
            self._to_create = ()
            for one, upto in zip(kept, written, strict=True):
                one.settle(upto, held)

    def _changed(self) -> list[RecordRows | QuantumRows]:
        kept: list[RecordRows | QuantumRows] = [one for one in self._records if not one.is_settled()]
        if (quantum := self._quantum) is not None and not quantum.is_settled():
            kept.append(quantum)
        return kept

    def replace_outputs(self, refs: Iterable[DatasetRef], butler: OutputHolder) -> None:
        """Let other refs be a butler's actual outputs."""
        assert self._quantum is not None, "a butler's file has a quantum"
        outputs = self._quantum.outputs.replaced_by(refs)
        # Nothing comes between the two.
        self._quantum.outputs = butler._outputs = outputs

    def forget(self, datastore: NativeFileDatastore, refs: Sequence[DatasetRef], forget: Any) -> None:
        """Drop datasets and their records from a datastore, and leave their artifacts."""
        table, locations = datastore._records.table, datastore._records.locations
        ids = [ref.id for ref in refs]
        rows, present = table.fetch({"dataset_id": ids}), locations.check(ids)
        # Those at other than predicted places stay in any case.
        kept = [
            (
                identity_if_known(datastore.root_path, row["path"]),
                datastore.name,
                key_of(row["dataset_id"]),
                row["path"],
            )
            for row in rows
        ]
        try:
            forget(refs)
            self.commit(
                lambda connection: connection.executemany(
                    "UPDATE quantum_butler_predicted_artifact SET before = ? "
                    "WHERE datastore_name = ? AND dataset_id = ? AND path = ?",
                    kept,
                )
            )
        except BaseException:
            table.ensure(rows)
            locations.ensure(present)
            raise

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables that were missing, unless a call that was broken off has done so."""
        known = "SELECT 1 FROM sqlite_master WHERE name = 'quantum_butler_meta'"
        if self._to_create and not connection.execute(known).fetchall():
            for statement in self._to_create:
                connection.execute(statement)

    def _check_file(self, connection: sqlite3.Connection) -> None:
        """Raise if somebody else has changed the file, or it is gone."""
        if file_identity(self.path) != self._opened.identity:
            raise gone_error(self.path)
        if connection.execute("PRAGMA data_version").fetchone() != (self._opened.version,):
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
            is_ours = self._opened.created and file_identity(self.path) == self._opened.identity
            self._last_resort()
            if is_ours:
                remove_database(self.path)

    def close(self) -> None:
        """Write what is left, and close the file. After an error it can be tried again."""
        if os.getpid() != self._process:
            return
        if (connection := self._connection) is None or is_closed(connection):
            self._connection = None
            return
        is_gone = file_identity(self.path) != self._opened.identity
        if not is_gone:
            self._write()
        with self._lock:
            if not is_gone:
                self._is_marked = True
                end_log(connection, self.path, is_ours=True)
            connection.close()
            self._connection = None
            self._last_resort.detach()
        if is_gone:
            raise gone_error(self.path)
