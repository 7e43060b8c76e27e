"""Upstream's record managers, over tables in Rust that go to a file, too."""

from __future__ import annotations

__all__ = ("FiledBridge", "FiledBridgeManager", "FiledTable", "FiledTableManager", "WriteThrough")

import contextlib
import errno
import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy
from lsst.daf.butler import ddl
from lsst.daf.butler.registry.bridge.ephemeral import EphemeralDatastoreRegistryBridge
from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridge

from .. import _core
from ..columns import sql_errors
from ..managers import (
    NativeDatastoreRegistryBridge,
    NativeDatastoreRegistryBridgeManager,
    NativeOpaqueTableStorage,
    NativeOpaqueTableStorageManager,
)
from .errors import RecordFileError
from .record_file import Change, RecordFile, hex_of

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import DatastoreTransaction
    from lsst.daf.butler.registry.interfaces import DatasetIdRef

# Types whose values are the same in Python and in the file.
_PLAIN = (sqlalchemy.Boolean, sqlalchemy.Float, sqlalchemy.Integer, sqlalchemy.String)


class _TableContents:
    """The rows of an opaque table, as the file has them.

    Parameters
    ----------
    table : `_core.Table`
        Table in Rust.
    spec : `lsst.daf.butler.ddl.TableSpec`
        What it was made from.

    Raises
    ------
    NotImplementedError
        Raised if it has columns that no table of file records has.
    """

    def __init__(self, table: _core.Table, spec: ddl.TableSpec):
        kinds = {field.name: field.dtype for field in spec.fields}
        known = (ddl.GUID, *_PLAIN)
        if "dataset_id" not in kinds or not all(issubclass(kind, known) for kind in kinds.values()):
            raise NotImplementedError(f"Table {table.name} is not one of file records.")
        self._table = table
        self._columns = columns = table.columns
        self._guids = [position for position, name in enumerate(columns) if issubclass(kinds[name], ddl.GUID)]
        self._name = _quoted(table.name)
        names = ", ".join(map(_quoted, columns))
        self._select = f"SELECT {names} FROM {self._name}"
        places = ", ".join("?" * len(columns))
        self._insert = f"INSERT OR REPLACE INTO {self._name} ({names}) VALUES ({places})"
        self._delete = f"DELETE FROM {self._name} WHERE dataset_id = ?"

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write rows that were added or replaced.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            Datasets that have such rows.
        """
        rows = self._table.fetch({"dataset_id": ids[0] if len(ids) == 1 else ids})
        connection.executemany(self._insert, map(self._to_file, rows))

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write all rows of some datasets instead of what the file has.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        self.write_removal(connection, ids)
        self.write_added(connection, ids)

    def write_removal(self, connection: sqlite3.Connection, ids: Iterable[DatasetId]) -> None:
        """Remove all rows of some datasets from the file.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Iterable` [ `DatasetId` ]
            The datasets.
        """
        connection.executemany(self._delete, [(hex_of(dataset_id),) for dataset_id in ids])

    def write_deletion(
        self, connection: sqlite3.Connection, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Remove rows with certain values in certain columns.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        columns : `~collections.abc.Sequence` [ `str` ]
            The columns; without any, all rows go.
        rows : `~collections.abc.Sequence` [ `~collections.abc.Mapping` ]
            The values, of which each row may match any.
        """
        if not columns:
            connection.execute(f"DELETE FROM {self._name}")
            return
        where = " AND ".join(f"{_quoted(name)} IS ?" for name in columns)
        keys = [tuple(_to_sql(row[name]) for name in columns) for row in rows]
        connection.executemany(f"DELETE FROM {self._name} WHERE {where}", keys)

    def load(self, file: RecordFile) -> None:
        """Read all rows from a file.

        Parameters
        ----------
        file : `RecordFile`
            The file.
        """
        rows = file.read(self._select)
        self._table.insert([dict(zip(self._columns, self._from_file(row), strict=True)) for row in rows])

    def _to_file(self, row: dict[str, Any]) -> tuple[Any, ...]:
        values = list(row.values())
        for position in self._guids:
            if (value := values[position]) is not None:
                values[position] = hex_of(value)
        return tuple(values)

    def _from_file(self, row: tuple[Any, ...]) -> list[Any]:
        values = list(row)
        for position in self._guids:
            if (value := values[position]) is not None:
                values[position] = uuid.UUID(hex=value)
        return values


class _LocationContents:
    """The locations of one datastore, as the file has them.

    Parameters
    ----------
    locations : `_core.Locations`
        Locations in Rust.
    """

    def __init__(self, locations: _core.Locations):
        self._locations = locations
        self._datastore = locations.datastore

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write locations that were added.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        connection.executemany(
            "INSERT OR IGNORE INTO dataset_location (datastore_name, dataset_id) VALUES (?, ?)",
            self._keys(self._locations.check(ids)),
        )

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write where some datasets are, instead of what the file has.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        self.write_forgetting(connection, ids)
        self.write_emptying(connection, ids)
        self.write_added(connection, ids)
        connection.executemany(
            "INSERT INTO dataset_location_trash (datastore_name, dataset_id) VALUES (?, ?)",
            self._keys(self._locations.trashed(ids)),
        )

    def write_forgetting(self, connection: sqlite3.Connection, ids: Iterable[DatasetId]) -> None:
        """Remove datasets from the locations in the file.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Iterable` [ `DatasetId` ]
            The datasets.
        """
        connection.executemany(
            "DELETE FROM dataset_location WHERE datastore_name = ? AND dataset_id = ?", self._keys(ids)
        )

    def write_emptying(self, connection: sqlite3.Connection, ids: Iterable[DatasetId]) -> None:
        """Remove datasets from the trash in the file.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Iterable` [ `DatasetId` ]
            The datasets.
        """
        connection.executemany(
            "DELETE FROM dataset_location_trash WHERE datastore_name = ? AND dataset_id = ?", self._keys(ids)
        )

    def load(self, file: RecordFile) -> None:
        """Read the locations from a file.

        Parameters
        ----------
        file : `RecordFile`
            The file.
        """
        select = "SELECT dataset_id FROM {} WHERE datastore_name = ?"
        tables = ("dataset_location_trash", "dataset_location")
        trashed, present = (
            [uuid.UUID(hex=text) for (text,) in file.read(select.format(table), (self._datastore,))]
            for table in tables
        )
        # A dataset can be in both.
        self._locations.insert(trashed)
        self._locations.move_to_trash(trashed)
        self._locations.insert(present)

    def _keys(self, ids: Iterable[Any]) -> list[tuple[str, str]]:
        datastore = self._datastore
        return [(datastore, hex_of(dataset_id)) for dataset_id in ids]


class WriteThrough:
    """What becomes of the changes of one datastore's records.

    Parameters
    ----------
    file : `RecordFile`
        Where they are written to.
    table : `_TableContents` or `None`
        Table that is changed.
    locations : `_LocationContents` or `None`
        Locations that are changed.
    """

    __slots__ = ("_locations", "_table", "file")

    def __init__(
        self,
        file: RecordFile,
        table: _TableContents | None = None,
        locations: _LocationContents | None = None,
    ):
        self.file = file
        """Where changes are written to (`RecordFile`)."""
        self._table = table
        self._locations = locations

    def together(self, other: WriteThrough) -> WriteThrough:
        """Return what becomes of changes of both, a table and locations.

        Parameters
        ----------
        other : `WriteThrough`
            That of the locations, if this is that of the table.

        Returns
        -------
        both : `WriteThrough`
            The two in one.
        """
        return WriteThrough(self.file, self._table, other._locations)

    def added(self, ids: Sequence[DatasetId], undo: Callable[[], None]) -> Change:
        """Write what was added.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            Datasets that were added, or got records.
        undo : `~collections.abc.Callable`
            Takes that back in memory.

        Returns
        -------
        change : `Change`
            Takes that back in the file as well.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; it is taken back.
        """
        return self._apply(ids, undo, only_adds=True)

    def moved(self, ids: Sequence[DatasetId], undo: Callable[[], None]) -> Change:
        """Write what was moved.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            Datasets that were moved to the trash.
        undo : `~collections.abc.Callable`
            Takes that back in memory.

        Returns
        -------
        change : `Change`
            Takes that back in the file as well.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; it is taken back.
        """
        return self._apply(ids, undo, only_adds=False)

    def _apply(self, ids: Sequence[DatasetId], undo: Callable[[], None], *, only_adds: bool) -> Change:
        change = Change(self.file, self, ids, undo, only_adds=only_adds)
        self.file.apply(change)
        return change

    def emptied(self, ids: Sequence[DatasetId], empty: Callable[[], None]) -> None:
        """Drop datasets in the trash and their records.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        empty : `~collections.abc.Callable`
            Does so in memory.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; nothing was done.
        """

        def write(connection: sqlite3.Connection) -> None:
            if self._table is not None:
                self._table.write_removal(connection, ids)
            if self._locations is not None:
                self._locations.write_emptying(connection, ids)

        self.file.remove(write, empty)

    def write_added(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write what was added to table and locations.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        for contents in (self._table, self._locations):
            if contents is not None:
                contents.write_added(connection, ids)

    def write(self, connection: sqlite3.Connection, ids: Sequence[DatasetId]) -> None:
        """Write what table and locations have of some datasets.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        for contents in (self._table, self._locations):
            if contents is not None:
                contents.write(connection, ids)


class FiledTable(NativeOpaqueTableStorage):
    """One opaque table in Rust and in a file.

    Parameters
    ----------
    name : `str`
        Name of the table.
    spec : `lsst.daf.butler.ddl.TableSpec`
        What it is made from.
    file : `RecordFile`
        The file.
    """

    def __init__(self, name: str, spec: ddl.TableSpec, file: RecordFile):
        super().__init__(name, spec)
        self._contents = _TableContents(self._table, spec)
        self.through = WriteThrough(file, table=self._contents)
        """What becomes of changes (`WriteThrough`)."""
        if file.has_table(name):
            with _damage_told(file, name):
                self._contents.load(file)

    def delete(self, columns: Iterable[str], *rows: dict[str, Any]) -> None:
        # Docstring inherited.
        columns = list(columns)
        self.through.file.remove(
            lambda connection: self._contents.write_deletion(connection, columns, rows),
            lambda: super(FiledTable, self).delete(columns, *rows),
        )

    def _change(
        self,
        verb: str,
        change: Callable[[Sequence[Mapping[str, Any]]], _core.Undo],
        rows: Sequence[dict[str, Any]],
        transaction: DatastoreTransaction | None,
    ) -> None:
        # Docstring inherited.
        if not rows:
            return
        statement = f"{verb} {self.name}"
        undo = self._columns.change(statement, change, rows)
        ids = list({row["dataset_id"] for row in rows})
        written = self.through.added(ids, undo)
        if transaction is not None:
            transaction.registerUndo(statement, written)


class FiledTableManager(NativeOpaqueTableStorageManager):
    """The opaque tables of one butler, in Rust and in a file.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    """

    def __init__(self, file: RecordFile):
        super().__init__()
        self._file = file

    def register(self, name: str, spec: ddl.TableSpec) -> NativeOpaqueTableStorage:
        # Docstring inherited.
        with self._lock:
            if (table := self._tables.get(name)) is None:
                table = self._tables[name] = FiledTable(name, spec, self._file)
            return table


class FiledBridge(NativeDatastoreRegistryBridge):
    """Locations of one datastore, in Rust and in a file.

    Parameters
    ----------
    datastoreName : `str`
        Name of the datastore.
    file : `RecordFile`
        The file.
    """

    def __init__(self, datastoreName: str, file: RecordFile):
        super().__init__(datastoreName)
        self._contents = _LocationContents(self._locations)
        self.through = WriteThrough(file, locations=self._contents)
        """What becomes of changes (`WriteThrough`)."""
        if file.has_table("dataset_location"):
            with _damage_told(file, "dataset_location"):
                self._contents.load(file)

    def insert(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        with sql_errors("INSERT INTO dataset_location", {"datastore_name": self.datastoreName}):
            undo = self._locations.insert(refs)
        self.through.added([ref.id for ref in refs], undo)

    def ensure(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        self.through.added([ref.id for ref in refs], self._locations.ensure(refs))

    def forget(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        ids = [ref.id for ref in refs]
        self.through.file.remove(
            lambda connection: self._contents.write_forgetting(connection, ids),
            lambda: self._locations.forget(refs),
        )

    def moveToTrash(self, refs: Iterable[DatasetIdRef], transaction: DatastoreTransaction | None) -> None:
        # Docstring inherited.
        refs = list(refs)
        with sql_errors("INSERT INTO dataset_location_trash", {"datastore_name": self.datastoreName}):
            undo = self._locations.move_to_trash(refs)
        moved = self.through.moved([ref.id for ref in refs], undo)
        if transaction is not None:
            transaction.registerUndo(f"Trash datasets of {self.datastoreName}", moved)

    def _drop_from_trash(self, ids: Collection[DatasetId]) -> None:
        # Docstring inherited.
        self.through.file.remove(
            lambda connection: self._contents.write_emptying(connection, ids),
            lambda: super(FiledBridge, self)._drop_from_trash(ids),
        )


class FiledBridgeManager(NativeDatastoreRegistryBridgeManager):
    """The bridges of one butler's datastores, in Rust and in a file.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    universe : `DimensionUniverse`
        All dimensions known to the butler.
    """

    def __init__(self, file: RecordFile, universe: DimensionUniverse):
        super().__init__(opaque=FiledTableManager(file), universe=universe)
        self.file = file
        """The file (`RecordFile`)."""

    def register(self, name: str, *, ephemeral: bool = False) -> DatastoreRegistryBridge:
        # Docstring inherited.
        with self._lock:
            if ephemeral:
                return self._ephemeral.setdefault(name, EphemeralDatastoreRegistryBridge(name))
            if (bridge := self._bridges.get(name)) is None:
                bridge = self._bridges[name] = FiledBridge(name, self.file)
            return bridge


@contextlib.contextmanager
def _damage_told(file: RecordFile, table: str) -> Any:
    """Raise what cannot be understood in a file as damage of the file."""
    try:
        yield
    except (_core.DuplicateKeyError, _core.UnfitValueError, AttributeError, TypeError, ValueError) as error:
        raise RecordFileError(
            errno.EINVAL, f"Table {table} of the file holds what cannot be ({error})", file.path
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _to_sql(value: Any) -> Any:
    return hex_of(value) if isinstance(value, uuid.UUID) else value
