"""Upstream's record managers, over tables in Rust that go to a file, too."""

from __future__ import annotations

__all__ = ("FiledBridge", "FiledBridgeManager", "FiledTable", "FiledTableManager")

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import ddl
from lsst.daf.butler.registry.bridge.ephemeral import EphemeralDatastoreRegistryBridge
from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridge

from .. import _core
from ..datastore.managers import (
    NativeDatastoreRegistryBridge,
    NativeDatastoreRegistryBridgeManager,
    NativeOpaqueTableStorage,
    NativeOpaqueTableStorageManager,
)
from ..store.columns import sql_errors
from .contents import LocationContents, TableContents, WriteThrough
from .errors import damage_told
from .record_file import RecordFile

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DimensionUniverse
    from lsst.daf.butler.datastore import DatastoreTransaction
    from lsst.daf.butler.registry.interfaces import DatasetIdRef, OpaqueTableStorage


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
        self._contents = TableContents(self._table, spec)
        self.through = WriteThrough(file, table=self._contents)
        """What becomes of changes (`WriteThrough`)."""
        if file.has_table(name):
            with damage_told(file.path, name):
                self._contents.load(file)

    def delete(self, columns: Iterable[str], *rows: dict[str, Any]) -> None:
        # Docstring inherited.
        columns = list(columns)
        ids = [row["dataset_id"] for row in rows] if "dataset_id" in columns else None
        self.through.file.remove(
            (self.through, ids),
            lambda connection: self._contents.write_deletion(connection, columns, rows),
            lambda: super(FiledTable, self).delete(columns, *rows),
        )

    def delete_in_memory(self, ids: Iterable[DatasetId]) -> None:
        """Delete all rows of some datasets, which the file does not have any more.

        Parameters
        ----------
        ids : `~collections.abc.Iterable` [ `DatasetId` ]
            The datasets.
        """
        super().delete(["dataset_id"], *({"dataset_id": dataset_id} for dataset_id in ids))

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
        written = self.through.change(
            list({row["dataset_id"] for row in rows}),
            lambda: self._columns.change(statement, change, rows),
            only_adds=True,
        )
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
        self._contents = LocationContents(self._locations)
        self.through = WriteThrough(file, locations=self._contents)
        """What becomes of changes (`WriteThrough`)."""
        if file.has_table("dataset_location"):
            with damage_told(file.path, "dataset_location"):
                self._contents.load(file)

    def insert(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        with sql_errors("INSERT INTO dataset_location", {"datastore_name": self.datastoreName}):
            self.through.change(
                [ref.id for ref in refs], lambda: self._locations.insert(refs), only_adds=True
            )

    def ensure(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        self.through.change([ref.id for ref in refs], lambda: self._locations.ensure(refs), only_adds=True)

    def forget(self, refs: Iterable[DatasetIdRef]) -> None:
        # Docstring inherited.
        refs = list(refs)
        ids = [ref.id for ref in refs]
        self.through.forgotten(ids, (), lambda: self._locations.forget(refs))

    def moveToTrash(self, refs: Iterable[DatasetIdRef], transaction: DatastoreTransaction | None) -> None:
        # Docstring inherited.
        refs = list(refs)
        with sql_errors("INSERT INTO dataset_location_trash", {"datastore_name": self.datastoreName}):
            moved = self.through.change(
                [ref.id for ref in refs], lambda: self._locations.move_to_trash(refs), only_adds=False
            )
        if transaction is not None:
            transaction.registerUndo(f"Trash datasets of {self.datastoreName}", moved)

    def _drop(self, records_table: OpaqueTableStorage, ids: Collection[DatasetId]) -> None:
        # Docstring inherited.
        if not isinstance(records_table, FiledTable):
            super()._drop(records_table, ids)
            return

        def drop() -> None:
            records_table.delete_in_memory(ids)
            self._drop_from_trash(ids)

        records_table.through.together(self.through).emptied(list(ids), drop)

    def drop_unrecorded(self, ids: Sequence[DatasetId]) -> None:
        """Drop datasets from the trash that have no records.

        Parameters
        ----------
        ids : `~collections.abc.Sequence` [ `DatasetId` ]
            The datasets.
        """
        self.through.emptied(ids, lambda: self._drop_from_trash(ids))


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
