"""Fixtures: upstream's managers and ours, with nothing in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from lsst.daf.butler import DimensionUniverse
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.bridge.monolithic import MonolithicDatastoreRegistryBridgeManager
from lsst.daf.butler.registry.databases.sqlite import SqliteDatabase
from lsst.daf.butler.registry.interfaces import (
    DatastoreRegistryBridge,
    DatastoreRegistryBridgeManager,
    OpaqueTableStorage,
    OpaqueTableStorageManager,
)
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager
from pairs import MakeManagers, Managers, NoDatasets


@pytest.fixture(scope="session")
def make_managers(pytestconfig: pytest.Config) -> MakeManagers:
    """Return a function that makes managers, called ``stock`` or ``ours``."""
    classes: dict[str, tuple[type[OpaqueTableStorageManager], type[DatastoreRegistryBridgeManager]]] = {
        "stock": (ByNameOpaqueTableStorageManager, MonolithicDatastoreRegistryBridgeManager)
    }
    if pytestconfig.getoption("--against").startswith("quantum_butler:"):
        from quantum_butler.datastore.managers import (
            NativeDatastoreRegistryBridgeManager,
            NativeOpaqueTableStorageManager,
        )

        classes["ours"] = (NativeOpaqueTableStorageManager, NativeDatastoreRegistryBridgeManager)
    universe = DimensionUniverse()

    @contextlib.contextmanager
    def make(name: str) -> Iterator[Managers]:
        if name not in classes:
            pytest.skip("only the stock classes are being tested")
        opaque_class, bridge_class = classes[name]
        database = SqliteDatabase.fromUri("sqlite:///:memory:", origin=0)
        with database.declareStaticTables(create=True) as context:
            opaque = opaque_class.initialize(database, context)
            bridges = bridge_class.initialize(
                database,
                context,
                opaque=opaque,
                datasets=NoDatasets,  # type: ignore[arg-type]
                universe=universe,
            )
        yield Managers(name, database, opaque, bridges)
        database.dispose()

    return make


@pytest.fixture(params=["stock", "ours"])
def managers(request: pytest.FixtureRequest, make_managers: MakeManagers) -> Iterator[Managers]:
    """Return upstream's managers, then ours."""
    with make_managers(request.param) as made:
        yield made


@pytest.fixture
def table(managers: Managers) -> OpaqueTableStorage:
    """Return an empty table of a file datastore's records."""
    return managers.opaque.register("file_records", FileDatastore.makeTableSpec())


@pytest.fixture
def bridge(managers: Managers) -> DatastoreRegistryBridge:
    """Return a bridge without datasets."""
    return managers.bridges.register("FileDatastore@<butlerRoot>")
