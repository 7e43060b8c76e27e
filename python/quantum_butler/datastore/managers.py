"""Upstream's two record managers, over tables kept in Rust.

A `Datastore` keeps what it knows in two places: *opaque tables* of records,
and a *bridge* that says which datasets it holds and which are in its trash.
Upstream puts both into a SQL database.  Here both live in memory, in
`quantum_butler._core`; no SQL is involved.

The classes satisfy upstream's interfaces in full, so they can also be passed
to the stock `lsst.daf.butler.QuantumBackedButler` through its
``OpaqueManagerClass`` and ``BridgeManagerClass`` arguments (both together:
upstream's own bridge insists on upstream's own tables).

Failures carry the exception types that SQLAlchemy would raise, because that
is what callers of the stock class catch.
"""

from __future__ import annotations

__all__ = (
    "NativeDatastoreRegistryBridge",
    "NativeDatastoreRegistryBridgeManager",
    "NativeOpaqueTableStorage",
    "NativeOpaqueTableStorageManager",
)

import copy
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from lsst.daf.butler import ddl
from lsst.daf.butler.registry.bridge.ephemeral import EphemeralDatastoreRegistryBridge
from lsst.daf.butler.registry.interfaces import (
    DatastoreRegistryBridge,
    DatastoreRegistryBridgeManager,
    FakeDatasetRef,
    OpaqueTableStorage,
    OpaqueTableStorageManager,
    VersionTuple,
)

from .. import _core
from ..store.columns import Columns, sql_errors

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId
    from lsst.daf.butler.datastore import DatastoreTransaction
    from lsst.daf.butler.datastore.stored_file_info import StoredDatastoreItemInfo
    from lsst.daf.butler.dimensions import DimensionUniverse
    from lsst.daf.butler.registry.interfaces import (
        Database,
        DatasetIdRef,
        DatasetRecordStorageManager,
        StaticTablesContext,
    )

# The layouts these classes stand in for are those of upstream's
# ByNameOpaqueTableStorageManager and MonolithicDatastoreRegistryBridgeManager.
_VERSION = VersionTuple(0, 2, 0)


class NativeOpaqueTableStorage(OpaqueTableStorage):
    """One opaque table in Rust; `NotImplementedError` for what a table of records never needs."""

    def __init__(self, name: str, spec: ddl.TableSpec):
        super().__init__(name)
        self._columns = Columns.of(name, spec)
        self._table = self._columns.make_table()

    @classmethod
    def over(cls, table: _core.Table, spec: ddl.TableSpec) -> NativeOpaqueTableStorage:
        """Return the interface to a table that there is already."""
        self = cls.__new__(cls)
        OpaqueTableStorage.__init__(self, table.name)
        self._columns = Columns.of(table.name, spec)
        self._table = table
        return self

    def insert(self, *data: dict[str, Any], transaction: DatastoreTransaction | None = None) -> None:
        self._change("INSERT INTO", self._table.insert, data, transaction)

    def ensure(self, *data: dict[str, Any], transaction: DatastoreTransaction | None = None) -> None:
        self._change("INSERT OR IGNORE INTO", self._table.ensure, data, transaction)

    def replace(self, *data: dict[str, Any], transaction: DatastoreTransaction | None = None) -> None:
        self._change("INSERT OR REPLACE INTO", self._table.replace, data, transaction)

    def fetch(self, **where: Any) -> Iterator[Mapping[Any, Any]]:
        yield from self._rows(where)

    def fetch_batches(self, **where: Any) -> Iterator[Sequence[Mapping[Any, Any]]]:
        yield self._rows(where)

    def delete(self, columns: Iterable[str], *rows: dict[str, Any]) -> None:
        columns = list(columns)
        statement = f"DELETE FROM {self.name}"
        # Like upstream, by the named columns of rows that may have more.
        keys = [self._columns.constraints(statement, {name: row[name] for name in columns}) for row in rows]
        if not columns:
            keys = [{}]
        self._table.delete(columns, keys)

    def _rows(self, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows that satisfy all of some constraints."""
        where = self._columns.constraints(f"SELECT FROM {self.name}", where)
        return self._columns.from_columns(self._table.fetch(where))

    def _change(
        self,
        verb: str,
        change: Callable[[Sequence[Mapping[str, Any]]], _core.Undo],
        rows: Sequence[dict[str, Any]],
        transaction: DatastoreTransaction | None,
    ) -> None:
        """Apply a change to the table and tell the transaction its inverse."""
        if not rows:
            return
        statement = f"{verb} {self.name}"
        undo = self._columns.change(statement, change, rows)
        if transaction is not None:
            transaction.registerUndo(statement, undo)


class NativeOpaqueTableStorageManager(OpaqueTableStorageManager):
    """The opaque tables of one butler, in Rust."""

    def __init__(self, *, registry_schema_version: VersionTuple | None = None):
        super().__init__(registry_schema_version=registry_schema_version)
        self._tables: dict[str, NativeOpaqueTableStorage] = {}
        self._lock = threading.Lock()

    @classmethod
    def initialize(
        cls,
        db: Database | None = None,
        context: StaticTablesContext | None = None,
        registry_schema_version: VersionTuple | None = None,
    ) -> NativeOpaqueTableStorageManager:
        # There is nothing to declare in a database.
        return cls(registry_schema_version=registry_schema_version)

    def clone(self, db: Database | None = None) -> NativeOpaqueTableStorageManager:
        """Return another manager of the same tables; there is no database to choose."""
        return copy.copy(self)

    def get(self, name: str) -> NativeOpaqueTableStorage | None:
        return self._tables.get(name)

    def register(self, name: str, spec: ddl.TableSpec) -> NativeOpaqueTableStorage:
        with self._lock:
            if (table := self._tables.get(name)) is None:
                table = self._tables[name] = NativeOpaqueTableStorage(name, spec)
            return table

    @classmethod
    def currentVersions(cls) -> list[VersionTuple]:
        return [_VERSION]


class NativeDatastoreRegistryBridge(DatastoreRegistryBridge):
    """Bookkeeping of the datasets that one datastore holds, and of those in its trash."""

    def __init__(self, datastoreName: str):
        super().__init__(datastoreName)
        self._locations = _core.Locations(datastoreName)

    @classmethod
    def over(cls, locations: _core.Locations) -> NativeDatastoreRegistryBridge:
        """Return the interface to locations that there are already."""
        self = cls.__new__(cls)
        DatastoreRegistryBridge.__init__(self, locations.datastore)
        self._locations = locations
        return self

    def insert(self, refs: Iterable[DatasetIdRef]) -> None:
        with sql_errors("INSERT INTO dataset_location", {"datastore_name": self.datastoreName}):
            self._locations.insert(refs)

    def ensure(self, refs: Iterable[DatasetIdRef]) -> None:
        self._locations.ensure(refs)

    def forget(self, refs: Iterable[DatasetIdRef]) -> None:
        self._locations.forget(refs)

    def moveToTrash(self, refs: Iterable[DatasetIdRef], transaction: DatastoreTransaction | None) -> None:
        with sql_errors("INSERT INTO dataset_location_trash", {"datastore_name": self.datastoreName}):
            undo = self._locations.move_to_trash(refs)
        if transaction is not None:
            transaction.registerUndo(f"Trash datasets of {self.datastoreName}", undo)

    def check(self, datasets: Iterable[DatasetId]) -> set[DatasetId]:
        return cast("set[DatasetId]", self._locations.check(datasets))

    @contextmanager
    def emptyTrash(
        self,
        records_table: OpaqueTableStorage | None = None,
        record_class: type[StoredDatastoreItemInfo] | None = None,
        record_column: str | None = None,
        selected_ids: Collection[DatasetId] | None = None,
        dry_run: bool = False,
    ) -> Iterator[tuple[Iterable[tuple[DatasetIdRef, StoredDatastoreItemInfo | None]], set[str] | None]]:
        if records_table is None:
            raise ValueError("This implementation requires a records table.")
        if record_class is None:
            raise ValueError("Record class must be provided if records table is given.")

        # Upstream takes an empty selection for no selection at all.
        trashed = self._locations.trashed(selected_ids or None)
        rows = list(records_table.fetch(dataset_id=trashed)) if trashed else []
        preserved = None if record_column is None else self._still_needed(records_table, record_column, rows)

        yield ((FakeDatasetRef(row["dataset_id"]), record_class.from_record(row)) for row in rows), preserved

        # A dataset in the trash without any record stays there, as upstream
        # leaves it: the join of the trash with the records misses it.
        if rows and not dry_run:
            ids = {row["dataset_id"] for row in rows}
            records_table.delete(["dataset_id"], *({"dataset_id": dataset_id} for dataset_id in ids))
            self._locations.drop_from_trash(ids)

    def _still_needed(
        self, records_table: OpaqueTableStorage, record_column: str, trashed_rows: Sequence[Mapping[str, Any]]
    ) -> set[str]:
        """Return the artifacts of trashed rows that other datasets share."""
        artifacts = {row[record_column] for row in trashed_rows}
        if not artifacts:
            return set()
        # A list is matched to the letter, which matters for an artifact whose
        # name ends in "%".
        users = list(records_table.fetch(**{record_column: list(artifacts)}))
        held = self._locations.check({row["dataset_id"] for row in users})
        return {row[record_column] for row in users if row["dataset_id"] in held}


class NativeDatastoreRegistryBridgeManager(DatastoreRegistryBridgeManager):
    """The bridges of one butler's datastores, in Rust."""

    def __init__(
        self,
        *,
        opaque: OpaqueTableStorageManager,
        universe: DimensionUniverse,
        registry_schema_version: VersionTuple | None = None,
    ):
        super().__init__(opaque=opaque, universe=universe, registry_schema_version=registry_schema_version)
        self._bridges: dict[str, NativeDatastoreRegistryBridge] = {}
        self._ephemeral: dict[str, EphemeralDatastoreRegistryBridge] = {}
        self._lock = threading.Lock()

    @classmethod
    def initialize(
        cls,
        db: Database | None = None,
        context: StaticTablesContext | None = None,
        *,
        opaque: OpaqueTableStorageManager,
        datasets: type[DatasetRecordStorageManager] | None = None,
        universe: DimensionUniverse,
        registry_schema_version: VersionTuple | None = None,
    ) -> NativeDatastoreRegistryBridgeManager:
        # There is nothing to declare in a database.
        return cls(opaque=opaque, universe=universe, registry_schema_version=registry_schema_version)

    def clone(
        self, *, db: Database | None = None, opaque: OpaqueTableStorageManager
    ) -> NativeDatastoreRegistryBridgeManager:
        """Return another manager of the same locations, but for those of ephemeral datastores."""
        other = copy.copy(self)
        other.opaque = opaque
        other._ephemeral = {}
        return other

    def refresh(self) -> None:
        # Nobody else can change what is in memory here.
        pass

    def register(self, name: str, *, ephemeral: bool = False) -> DatastoreRegistryBridge:
        with self._lock:
            if ephemeral:
                return self._ephemeral.setdefault(name, EphemeralDatastoreRegistryBridge(name))
            if (bridge := self._bridges.get(name)) is None:
                bridge = self._bridges[name] = NativeDatastoreRegistryBridge(name)
            return bridge

    def findDatastores(self, ref: DatasetIdRef) -> Iterable[str]:
        for name, bridge in self._bridges.items():
            if ref in bridge._locations:
                yield name
        for name, ephemeral in self._ephemeral.items():
            if ref in ephemeral:
                yield name

    @classmethod
    def currentVersions(cls) -> list[VersionTuple]:
        return [_VERSION]
