"""Looking into a butler's SQLite file, and opening it as upstream does."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lsst.daf.butler import ButlerConfig, QuantumBackedButler
from lsst.daf.butler._standalone_datastore import _DatasetRecordStorageManagerDatastoreConstructionMimic
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.registry.bridge.monolithic import MonolithicDatastoreRegistryBridgeManager
from lsst.daf.butler.registry.databases.sqlite import SqliteDatabase
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager

from repositories import Repository

Contents = dict[str, list[tuple[Any, ...]]]


def contents(file: Path) -> Contents:
    """Return all rows of all tables and views of a file, in order."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        ).fetchall()
        return {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
            for (name,) in names
        }


def stock_contents(file: Path) -> Contents:
    """Return the rows of the tables that files of the stock class have."""
    return {name: rows for name, rows in contents(file).items() if not name.startswith("quantum_butler_")}


def definitions(file: Path) -> set[str]:
    """Return how the tables and indexes that stock files have are defined."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        return {sql for name, sql in rows if not name.startswith("quantum_butler_")}


def beside(file: Path) -> list[str]:
    """Return the files whose names begin as that of a file does, and go on."""
    return sorted(
        name for name in os.listdir(file.parent) if name.startswith(file.name) and name != file.name
    )


def roles(file: Path) -> dict[str, set[str]]:
    """Return the ids in each role, as anybody would ask the file for them."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM quantum_butler_dataset").fetchall()
    assert rows
    names = [name for name in rows[0].keys() if name != "dataset_id"]
    return {name: {row["dataset_id"] for row in rows if row[name]} for name in names}


def roles_of(butler: QuantumBackedButler) -> dict[str, set[str]]:
    """Return the ids that a butler has in each role."""
    return {
        "predicted_input": {dataset_id.hex for dataset_id in butler._predicted_inputs},
        "predicted_output": {dataset_id.hex for dataset_id in butler._predicted_outputs},
        "available_input": {dataset_id.hex for dataset_id in butler._available_inputs},
        "unavailable_input": {dataset_id.hex for dataset_id in butler._unavailable_inputs},
        "actual_input": {dataset_id.hex for dataset_id in butler._actual_inputs},
        "actual_output": {ref.id.hex for ref in butler._actual_output_refs},
    }


@contextlib.contextmanager
def stock_datastore(file: Path, repository: Repository) -> Iterator[Datastore]:
    """Open a file with upstream's own managers, and a datastore on them."""
    database = SqliteDatabase.fromUri(f"sqlite:///{file}", origin=0)
    try:
        with database.declareStaticTables(create=False) as context:
            opaque = ByNameOpaqueTableStorageManager.initialize(database, context)
            bridges = MonolithicDatastoreRegistryBridgeManager.initialize(
                database,
                context,
                opaque=opaque,
                datasets=_DatasetRecordStorageManagerDatastoreConstructionMimic,  # type: ignore[arg-type]
                universe=repository.universe,
            )
        config = ButlerConfig(str(repository.root))
        datastore = Datastore.fromConfig(config, bridges, str(repository.root))
        datastore._set_trust_mode(True)
        datastore.set_retrieve_dataset_type_method(repository.dataset_types.get)
        yield datastore
    finally:
        database.dispose()
