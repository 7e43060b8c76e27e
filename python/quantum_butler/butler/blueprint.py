"""Everything about a butler that does not change between quanta, made once.

Here it is decided, for every way to make a butler, whether its records are in
Rust or as upstream has them; see `make_parts`.
"""

from __future__ import annotations

__all__ = ("Blueprint", "Parts", "cached_blueprint", "make_parts", "resumed_parts")

import functools
import itertools
import os
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lsst.daf.butler import StorageClassFactory, _quantum_backed
from lsst.daf.butler.datastore import Datastore

from .. import _core, record_file
from ..datastore.managers import NativeDatastoreRegistryBridgeManager, NativeOpaqueTableStorageManager
from ..datastore.spawn import can_spawn, make_bridge_manager, spawn
from ..locks import ForkSafeLock
from ..paths import local_path
from ..switches import native_enabled
from ..upstream.configuration import (
    Watch,
    configuration_key,
    read_configuration,
    watch_configuration,
)

if TYPE_CHECKING:
    from lsst.daf.butler import ButlerConfig, Config, DimensionUniverse
    from lsst.daf.butler.registry.interfaces import (
        Database,
        DatastoreRegistryBridgeManager,
        OpaqueTableStorageManager,
    )
    from lsst.resources import ResourcePathExpression

    from ..record_file import FileSchema, Journal
    from ..record_file.database import Durability

# Bound here, because the name in upstream's module may come to mean ours.
_UpstreamButler = _quantum_backed.QuantumBackedButler

# A process works with one repository, rarely with more than a few.
_MOST_BLUEPRINTS = 16


class Parts(NamedTuple):
    """Parts of a butler, beside the identity of its quantum."""

    datastore: Datastore
    storage_classes: StorageClassFactory
    journal: Journal | None = None
    """File that has the records, too, if there is one."""

    database: Database | None = None
    """Database that the datastore keeps its records in, if it does."""


class Blueprint:
    """A configured datastore to make other datastores from."""

    _known: _core.Contents
    """The process's storage classes when they were last looked through."""

    def __init__(self, butler_config: ButlerConfig, dimensions: DimensionUniverse):
        self._dimensions = dimensions
        self._prototype = Datastore.fromConfig(
            butler_config,
            make_bridge_manager(dimensions),
            butler_config.get("root", butler_config.configDir),
        )
        # What is made after the prototype takes this over.
        self._prototype._set_trust_mode(True)
        self._butler_config = butler_config
        self._storage_classes = StorageClassFactory()
        self._add_storage_classes()
        # A butler made from the configuration would create a local root that
        # has gone, or refuse to.
        self._local_roots = _core.Folders(
            root.ospath for root in self._prototype.roots.values() if root is not None and root.isLocal
        )

    def make_parts(
        self,
        filename: str | None = None,
        durability: Durability = "disk",
        *,
        must_exist: bool = False,
    ) -> Parts | None:
        """Make the parts of one butler, with records of a file only. `None` means an unknown class."""
        if filename is not None and not can_spawn(self._prototype):
            return None
        if (datastore := spawn(self._spawned, self._dimensions)) is None:
            return None
        journal = None
        if filename is not None:
            journal = record_file.Journal.open(filename, self._file_schema, durability, must_exist=must_exist)
            with journal.beginning():
                journal.load(datastore)
        # They may have been removed since, or replaced by others.
        known = self._storage_classes._storageClasses
        if not self._known.are_in(known):
            if not self._definitions.items() <= known.items():
                self._add_storage_classes()
            self._known = _core.Contents(known)
        return Parts(datastore, self._storage_classes, journal)

    @functools.cached_property
    def _spawned(self) -> Datastore:
        """A datastore of ours that knows what the configuration fixes, if there is one."""
        return spawn(self._prototype, self._dimensions) or self._prototype

    @functools.cached_property
    def _file_schema(self) -> FileSchema:
        """Tables of the files that the records are kept in, if they are."""
        stock = _UpstreamButler.from_predicted(self._butler_config, (), (), self._dimensions, {})
        try:
            return record_file.FileSchema(cast("Database", stock._database))
        finally:
            stock.close()

    def _add_storage_classes(self) -> None:
        """Let the process know the storage classes in the configuration."""
        self._storage_classes.addFromConfig(self._butler_config)
        known = self._storage_classes._storageClasses
        self._definitions = {
            name: known[name] for name in self._butler_config.get("storageClasses", {}) if name in known
        }
        self._known = _core.Contents(known)

    def roots_exist(self) -> bool:
        """Return whether the datastore's local root folders are still there."""
        return self._local_roots.exist()


class _CachedBlueprint:
    """A blueprint with what tells that it is out of date."""

    __slots__ = ("blueprint", "dimensions", "used", "watch")

    def __init__(self, blueprint: Blueprint, dimensions: DimensionUniverse, watch: Watch):
        self.blueprint = blueprint
        self.dimensions = dimensions
        self.watch = watch
        self.used = next(_uses)


# Read without a lock, which is as good: what is found is found as a whole.
_blueprints: dict[Hashable, _CachedBlueprint] = {}
_blueprints_lock = ForkSafeLock()
_uses = itertools.count()


def cached_blueprint(
    config: Config | ResourcePathExpression,
    dimensions: DimensionUniverse,
    search_paths: Sequence[Any] | None = None,
) -> Blueprint:
    """Return a blueprint for a configuration as it is at this moment, be it made earlier."""
    key = configuration_key(config, search_paths)
    if key is not None:
        key = (key, id(dimensions))
        if (cached := _blueprints.get(key)) is not None:
            cached.used = next(_uses)
            if cached.watch.unchanged() and cached.blueprint.roots_exist():
                return cached.blueprint
    # Watch first, read second: a change in between is noticed next time.
    watch = None if key is None else watch_configuration(config, search_paths)
    blueprint = Blueprint(read_configuration(config, search_paths), dimensions)
    if watch is not None:
        with _blueprints_lock:
            # Holding the universe keeps its id from being given to another.
            _blueprints[key] = _CachedBlueprint(blueprint, dimensions, watch)
            while len(_blueprints) > _MOST_BLUEPRINTS:
                del _blueprints[min(_blueprints, key=lambda key: _blueprints[key].used)]
    return blueprint


def make_parts(
    config: Config | ResourcePathExpression,
    dimensions: DimensionUniverse,
    search_paths: list[str] | None = None,
    filename: str | os.PathLike[str] | None = None,
    OpaqueManagerClass: type[OpaqueTableStorageManager] | None = None,
    BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None = None,
    *,
    durability: Durability = "disk",
    blueprint: Blueprint | None = None,
) -> Parts:
    """Make what one butler needs: after a blueprint with records in Rust, or else the stock way."""
    _check_durability(durability)
    file = _file_wanted(filename)
    if (
        native_enabled()
        and OpaqueManagerClass in (None, NativeOpaqueTableStorageManager)
        and BridgeManagerClass in (None, NativeDatastoreRegistryBridgeManager)
    ):
        blueprint = blueprint or cached_blueprint(config, dimensions, search_paths)
        if (parts := blueprint.make_parts(file, durability)) is not None:
            return parts
    return _stock_parts(config, dimensions, search_paths, file, OpaqueManagerClass, BridgeManagerClass)


def resumed_parts(
    config: Config | ResourcePathExpression,
    dimensions: DimensionUniverse,
    search_paths: list[str] | None,
    filename: str | os.PathLike[str],
    durability: Durability,
) -> tuple[Parts, Journal]:
    """Make what a butler needs that goes on with a file; only ours has one."""
    _check_durability(durability)
    if (file := _file_wanted(filename)) is None:
        raise ValueError(f"A butler is resumed from a file, not from {filename!r}.")
    blueprint = cached_blueprint(config, dimensions, search_paths)
    parts = blueprint.make_parts(file, durability, must_exist=True)
    if parts is None or parts.journal is None:
        raise NotImplementedError("Only upstream's own classes of datastores can be resumed.")
    return parts, parts.journal


def _file_wanted(filename: str | os.PathLike[str] | None) -> str | None:
    """Return the file that records are to be kept in; `None` if that is memory."""
    return None if filename in (None, "", ":memory:") else local_path(filename)


def _check_durability(durability: str) -> None:
    """Raise `ValueError` for a durability that there is not."""
    if durability not in ("disk", "process"):
        raise ValueError(f"A file's durability is 'disk' or 'process', not {durability!r}.")


def _stock_parts(
    config: Config | ResourcePathExpression,
    dimensions: DimensionUniverse,
    search_paths: list[str] | None,
    filename: str | None,
    OpaqueManagerClass: type[OpaqueTableStorageManager] | None,
    BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None,
) -> Parts:
    """Make what one butler needs the stock way, with the managers that are asked for."""
    if (
        BridgeManagerClass is None
        and OpaqueManagerClass is not None
        and issubclass(OpaqueManagerClass, NativeOpaqueTableStorageManager)
    ):
        # Upstream's works on upstream's tables alone, ours on any tables.
        BridgeManagerClass = NativeDatastoreRegistryBridgeManager
    stock = _UpstreamButler.from_predicted(
        config,
        (),
        (),
        dimensions,
        {},
        filename=filename or ":memory:",
        OpaqueManagerClass=OpaqueManagerClass,
        BridgeManagerClass=BridgeManagerClass,
        search_paths=search_paths,
    )
    return Parts(stock._datastore, stock.storageClasses, database=stock._database)
