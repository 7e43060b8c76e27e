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
    """Make one butler's own datastore, configured as a prototype.

    Parameters
    ----------
    prototype : `Datastore`
        Datastore to take the configuration from.
    dimensions : `DimensionUniverse`
        All dimensions known to the butler.

    Returns
    -------
    datastore : `Datastore` or `None`
        New datastore that shares no dataset with the prototype; `None` if the
        prototype is of a class that this module does not know.
    """
    # Subclasses may keep state of their own, hence exact types.
    if type(prototype) in (FileDatastore, NativeFileDatastore):
        # Its records are its own, and need no manager.
        return NativeFileDatastore.from_prototype(cast(FileDatastore, prototype))
    return _spawn_managed(prototype, make_bridge_manager(dimensions))


def can_spawn(prototype: Datastore) -> bool:
    """Tell whether `spawn` knows a class of datastore.

    Parameters
    ----------
    prototype : `Datastore`
        Datastore to make another one after.

    Returns
    -------
    can : `bool`
        Whether it knows that of the prototype, and of all its members.
    """
    if type(prototype) in (ChainedDatastore, NativeChainedDatastore):
        return all(map(can_spawn, cast(ChainedDatastore, prototype).datastores))
    return type(prototype) in (FileDatastore, NativeFileDatastore, InMemoryDatastore)


def make_bridge_manager(dimensions: DimensionUniverse) -> NativeDatastoreRegistryBridgeManager:
    """Make managers without any record.

    Parameters
    ----------
    dimensions : `DimensionUniverse`
        All dimensions known to the butler.

    Returns
    -------
    bridgeManager : `NativeDatastoreRegistryBridgeManager`
        Manager of locations, which knows the manager of opaque tables.
    """
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
    """Return the file datastores of ours that a datastore consists of.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore to look into.

    Returns
    -------
    datastores : `list` [ `NativeFileDatastore` ]
        The datastore itself, or its members.
    """
    if isinstance(datastore, ChainedDatastore):
        return [found for member in datastore.datastores for found in file_datastores(member)]
    return [datastore] if isinstance(datastore, NativeFileDatastore) else []


def record_sources(datastore: Datastore) -> list[tuple[str, _core.FileRecords]] | None:
    """Return where a datastore's exportable records are kept in Rust.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore to look into.

    Returns
    -------
    sources : `list` [ `tuple` [ `str`, `_core.FileRecords` ] ] or `None`
        Name and records of each file datastore; `None` if some records are
        not kept in Rust.
    """
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
