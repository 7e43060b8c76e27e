"""One butler's own datastore, made after a prototype.

`spawn` knows upstream's own three datastore classes; for any other it returns
`None` and the caller configures a stock datastore instead.
"""

from __future__ import annotations

__all__ = ("can_spawn", "file_datastores", "make_bridge_manager", "record_sources", "spawn")

from typing import TYPE_CHECKING, cast

from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastores.chainedDatastore import ChainedDatastore
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore

from .chained import NativeChainedDatastore
from .file import NativeFileDatastore
from .managers import NativeDatastoreRegistryBridgeManager, NativeOpaqueTableStorageManager

if TYPE_CHECKING:
    from lsst.daf.butler import DimensionUniverse
    from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridgeManager

    from .. import _core


def spawn(prototype: Datastore, dimensions: DimensionUniverse) -> Datastore | None:
    """Make a butler's own datastore, configured as a prototype is. It is `None` for an unknown class."""
    # Subclasses may keep state of their own, hence exact types.
    if type(prototype) in (FileDatastore, NativeFileDatastore):
        # Its records are its own, and need no manager.
        return NativeFileDatastore.from_prototype(cast(FileDatastore, prototype))
    return _spawn_managed(prototype, make_bridge_manager(dimensions))


def can_spawn(prototype: Datastore) -> bool:
    """Return whether `spawn` knows a class of datastore."""
    if type(prototype) in (ChainedDatastore, NativeChainedDatastore):
        return all(map(can_spawn, cast(ChainedDatastore, prototype).datastores))
    return type(prototype) in (FileDatastore, NativeFileDatastore, InMemoryDatastore)


def make_bridge_manager(dimensions: DimensionUniverse) -> NativeDatastoreRegistryBridgeManager:
    """Make a manager of locations, and in it one of opaque tables, without any record."""
    return NativeDatastoreRegistryBridgeManager(opaque=NativeOpaqueTableStorageManager(), universe=dimensions)


def _spawn_managed(prototype: Datastore, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore | None:
    """Make a datastore whose records a manager knows, with those of others."""
    if type(prototype) in (FileDatastore, NativeFileDatastore):
        return NativeFileDatastore.from_prototype(cast(FileDatastore, prototype), bridgeManager)
    if type(prototype) is InMemoryDatastore:
        # Its clone would share the prototype's datasets.
        return InMemoryDatastore(prototype.config, bridgeManager)
    if type(prototype) in (ChainedDatastore, NativeChainedDatastore):
        chain = cast(ChainedDatastore, prototype)
        members = [_spawn_managed(member, bridgeManager) for member in chain.datastores]
        if None in members:
            return None
        return NativeChainedDatastore(chain, bridgeManager, cast("list[Datastore]", members))
    return None


def file_datastores(datastore: Datastore) -> list[NativeFileDatastore]:
    """Return the file datastores of ours that a datastore consists of."""
    if isinstance(datastore, ChainedDatastore):
        return [found for member in datastore.datastores for found in file_datastores(member)]
    return [datastore] if isinstance(datastore, NativeFileDatastore) else []


def record_sources(datastore: Datastore) -> list[tuple[str, _core.FileRecords]] | None:
    """Return where a datastore's exportable records are in Rust, by name; `None` if some are not there."""
    if "export_records" in vars(datastore):
        # Somebody has put another in its place.
        return None
    if type(datastore) is NativeFileDatastore:
        return [(datastore.name, datastore._records)]
    if type(datastore) is InMemoryDatastore:
        # Its records cannot be exported.
        return []
    if type(datastore) is NativeChainedDatastore:
        sources: list[tuple[str, _core.FileRecords]] = []
        for member in datastore.datastores:
            if (found := record_sources(member)) is None:
                return None
            sources += found
        # Upstream refuses to export from members of one name.
        return sources if len({name for name, _ in sources}) == len(sources) else None
    return None
