"""What a butler's SQLite file has of records and locations: how it is written and read."""

from __future__ import annotations

__all__ = ("LocationContents", "TableContents", "WriteThrough")

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy
from lsst.daf.butler import ddl

from .. import _core
from .keys import hex_of
from .predictions import PredictedArtifact, write_kept
from .record_file import RecordFile
from .units import Change, Unit

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

# Types whose values are the same in Python and in the file.
_PLAIN = (sqlalchemy.Boolean, sqlalchemy.Float, sqlalchemy.Integer, sqlalchemy.String)


class TableContents:
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
        rows = self._table.fetch_for_sqlite({"dataset_id": ids[0] if len(ids) == 1 else ids})
        connection.executemany(self._insert, rows)

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

    def write_everything(self, connection: sqlite3.Connection) -> None:
        """Write all rows instead of what the file has.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        """
        connection.execute(f"DELETE FROM {self._name}")
        connection.executemany(self._insert, self._table.fetch_for_sqlite({}))

    def load(self, file: RecordFile) -> None:
        """Read all rows from a file.

        Parameters
        ----------
        file : `RecordFile`
            The file.
        """
        rows = file.read(self._select)
        self._table.insert([dict(zip(self._columns, self._from_file(row), strict=True)) for row in rows])

    def _from_file(self, row: tuple[Any, ...]) -> list[Any]:
        values = list(row)
        for position in self._guids:
            if (value := values[position]) is not None:
                values[position] = uuid.UUID(hex=value)
        return values


class LocationContents:
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
        self._write_present(connection, self._locations.check(ids))

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
        self._write_trash(connection, self._locations.trashed(ids))

    def write_everything(self, connection: sqlite3.Connection) -> None:
        """Write where all datasets are, instead of what the file has.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        """
        for table in ("dataset_location", "dataset_location_trash"):
            connection.execute(f"DELETE FROM {table} WHERE datastore_name = ?", (self._datastore,))
        self._write_present(connection, self._locations.present())
        self._write_trash(connection, self._locations.trashed())

    def _write_present(self, connection: sqlite3.Connection, ids: Iterable[Any]) -> None:
        connection.executemany(
            "INSERT OR IGNORE INTO dataset_location (datastore_name, dataset_id) VALUES (?, ?)",
            self._keys(ids),
        )

    def _write_trash(self, connection: sqlite3.Connection, ids: Iterable[Any]) -> None:
        connection.executemany(
            "INSERT INTO dataset_location_trash (datastore_name, dataset_id) VALUES (?, ?)", self._keys(ids)
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
    table : `TableContents` or `None`
        Table that is changed.
    locations : `LocationContents` or `None`
        Locations that are changed.
    """

    __slots__ = ("_locations", "_table", "file")

    def __init__(
        self,
        file: RecordFile,
        table: TableContents | None = None,
        locations: LocationContents | None = None,
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

    def change(
        self, ids: Sequence[DatasetId], change: Callable[[], Callable[[], None]], *, only_adds: bool
    ) -> Change:
        """Change something in memory, and write it.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets concerned.
        change : `~collections.abc.Callable`
            Makes the change, and returns what takes it back.
        only_adds : `bool`
            Whether nothing is removed.

        Returns
        -------
        change : `Change`
            Takes that back, in the file as well.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; it is taken back.
        """
        announced = Change(self.file, self, ids, only_adds=only_adds)
        if (unit := self.file.current_unit()) is not None:
            self._make(announced, change, unit)
        else:
            with self.file.unit() as unit:
                self._make(announced, change, unit)
        return announced

    def _make(self, announced: Change, change: Callable[[], Callable[[], None]], unit: Unit) -> None:
        """Announce a change, and make it in memory."""
        unit.announce(announced)
        try:
            announced.undo = change()
        except Exception:
            # Mostly it was refused; a signal handler's exception may come after it was made.
            announced.is_over = True
            self.file.doubt(announced.doubt)
            raise

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
        self._remove(ids, LocationContents.write_emptying, (), empty)

    def forgotten(
        self, ids: Sequence[DatasetId], kept: Sequence[PredictedArtifact], forget: Callable[[], None]
    ) -> None:
        """Drop datasets and their records, and leave their artifacts.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        kept : `~collections.abc.Sequence` [ `PredictedArtifact` ]
            Their artifacts, as they are now.
        forget : `~collections.abc.Callable`
            Does so in memory.

        Raises
        ------
        RecordFileError
            Raised if it cannot be written; nothing was done.
        """
        self._remove(ids, LocationContents.write_forgetting, kept, forget)

    def _remove(
        self,
        ids: Sequence[DatasetId],
        write_locations: Callable[[LocationContents, sqlite3.Connection, Sequence[DatasetId]], None],
        kept: Sequence[PredictedArtifact],
        do: Callable[[], None],
    ) -> None:
        """Write that datasets lose their records and locations, then do it in memory."""

        def write(connection: sqlite3.Connection) -> None:
            if self._table is not None:
                self._table.write_removal(connection, ids)
            if self._locations is not None:
                write_locations(self._locations, connection, ids)
            write_kept(connection, kept)

        self.file.remove((self, ids), write, do)

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

    def write_everything(self, connection: sqlite3.Connection) -> None:
        """Write all that table and locations have.

        Parameters
        ----------
        connection : `sqlite3.Connection`
            Connection in a transaction.
        """
        for contents in (self._table, self._locations):
            if contents is not None:
                contents.write_everything(connection)

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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _to_sql(value: Any) -> Any:
    return hex_of(value) if isinstance(value, uuid.UUID) else value
