"""Upstream's record managers and ours, made alike for tests of both.

Upstream's keep opaque tables and dataset locations in an SQLite database, and
what they do is what SQLAlchemy and SQLite do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from lsst.daf.butler import ddl
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.registry.interfaces import (
    Database,
    DatastoreRegistryBridge,
    DatastoreRegistryBridgeManager,
    FakeDatasetRef,
    OpaqueTableStorage,
    OpaqueTableStorageManager,
)

Row = dict[str, Any]

IDS = [uuid.UUID(int=(n + 1) << 96) for n in range(40)]
REFS = [FakeDatasetRef(dataset_id) for dataset_id in IDS]


@dataclasses.dataclass(frozen=True)
class Managers:
    """A pair of managers and the database that they were given."""

    name: str
    database: Database
    opaque: OpaqueTableStorageManager
    bridges: DatastoreRegistryBridgeManager

    @contextlib.contextmanager
    def rolled_back(self) -> Iterator[DatastoreTransaction]:
        """Give a transaction and take back what is done with it.

        Upstream's managers leave that to the database; ours must do what the
        transaction says.
        """
        transaction = DatastoreTransaction()
        if self.name == "stock":
            with contextlib.suppress(_TakeBackError), self.database.transaction():
                yield transaction
                raise _TakeBackError
        else:
            yield transaction
            transaction.rollback()


class _TakeBackError(Exception):
    pass


class NoDatasets:
    """What a bridge manager asks a manager of datasets for: a column."""

    @classmethod
    def getIdColumnType(cls) -> type:
        return ddl.GUID

    @classmethod
    def addDatasetForeignKey(
        cls, tableSpec: ddl.TableSpec, *, name: str = "dataset", constraint: bool = True, **kwargs: Any
    ) -> ddl.FieldSpec:
        kwargs.pop("onDelete", None)
        field = ddl.FieldSpec(f"{name}_id", dtype=ddl.GUID, **kwargs)
        tableSpec.fields.add(field)
        return field


class MakeManagers(Protocol):
    """Makes new managers of one of the two kinds, with nothing in them."""

    def __call__(self, name: str) -> contextlib.AbstractContextManager[Managers]: ...


def record(n: int, path: str | None = None, component: str = "__NULL_STRING__", **other: Any) -> Row:
    """Return a row of the table of file records."""
    return {
        "dataset_id": IDS[n],
        "path": f"p{n}" if path is None else path,
        "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
        "storage_class": "StructuredDataDict",
        "component": component,
        "checksum": None,
        "file_size": n,
        **other,
    }


def rows_of(table: OpaqueTableStorage, **where: Any) -> list[Row]:
    return [dict(row) for row in table.fetch(**where)]


def _key(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, repr(value)) for name, value in sorted(row.items()))


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return rows in an order of their own, where SQL promises none."""
    return sorted(rows, key=_key)


def numbers(rows: Sequence[Row]) -> list[int]:
    return sorted(IDS.index(row["dataset_id"]) for row in rows)


def trash(
    bridge: DatastoreRegistryBridge,
    table: OpaqueTableStorage,
    *,
    dry_run: bool = True,
    record_column: str | None = "path",
    **options: Any,
) -> tuple[list[tuple[int, str, str | None]], set[str] | None]:
    """Return what `emptyTrash` gives, sorted."""
    with bridge.emptyTrash(
        table, record_class=StoredFileInfo, record_column=record_column, dry_run=dry_run, **options
    ) as (matches, keep):
        found = []
        for ref, info in matches:
            assert isinstance(ref, FakeDatasetRef)
            assert isinstance(info, StoredFileInfo)
            found.append((IDS.index(ref.id), info.path, info.component))
    return sorted(found, key=repr), keep
