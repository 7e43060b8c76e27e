"""Everything about a butler that does not change between quanta, made once.

A `QuantumBackedButlerFactory` is for executors that create it themselves.
`QuantumBackedButler.initialize` and `~QuantumBackedButler.from_predicted` use
`cached_blueprint`, which keeps the last few configurations of this process.
"""

from __future__ import annotations

__all__ = (
    "Blueprint",
    "Parts",
    "QuantumBackedButlerFactory",
    "cached_blueprint",
    "check_durability",
    "file_wanted",
    "kept_in_rust",
    "stock_parts",
)

import functools
import itertools
import os
import pickle
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lsst.daf.butler import DimensionConfig, DimensionUniverse, StorageClassFactory, _quantum_backed
from lsst.daf.butler.datastore import Datastore

from .. import _core
from ..datastore.managers import NativeDatastoreRegistryBridgeManager, NativeOpaqueTableStorageManager
from ..datastore.spawn import can_spawn, make_bridge_manager, spawn
from ..locks import ForkSafeLock
from ..paths import local_path
from ..quantum.process_log import require_writable_log
from ..record_file import Journal
from ..record_file.schema import FileSchema
from ..switches import native_enabled
from ..upstream.configuration import (
    Watch,
    configuration_key,
    read_configuration,
    watch_configuration,
)

if TYPE_CHECKING:
    from lsst.daf.butler import (
        ButlerConfig,
        ButlerMetrics,
        Config,
        DatasetId,
        DatasetRef,
        DatasetType,
        Quantum,
    )
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData
    from lsst.daf.butler.registry.interfaces import (
        Database,
        DatastoreRegistryBridgeManager,
        OpaqueTableStorageManager,
    )
    from lsst.resources import ResourcePathExpression

    from ..record_file.database import Durability
    from .butler import QuantumBackedButler

# Bound here, because the name in upstream's module may come to mean ours.
_UpstreamButler = _quantum_backed.QuantumBackedButler

# A process works with one repository, rarely with more than a few.
_MOST_BLUEPRINTS = 16


class Parts(NamedTuple):
    """What a butler is made of, beside the identity of its quantum."""

    datastore: Datastore
    storage_classes: StorageClassFactory
    database: Database | Journal | None
    """Database or file that the datastore keeps its records in, if it does."""


class Blueprint:
    """A configured datastore to make other datastores from.

    Parameters
    ----------
    butler_config : `ButlerConfig`
        Whole configuration of the butler.
    dimensions : `DimensionUniverse`
        All dimension definitions.
    """

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
        filename: str | os.PathLike[str] | None = None,
        durability: Durability = "disk",
        *,
        must_exist: bool = False,
    ) -> Parts | None:
        """Make what one butler needs, without other records than a file's.

        Parameters
        ----------
        filename : `str` or `os.PathLike`, optional
            SQLite file to read records from and write them through to.
        durability : `str`, optional
            What is to survive what.
        must_exist : `bool`, optional
            Whether not to create the file.

        Returns
        -------
        parts : `Parts` or `None`
            New datastore and what goes with it; `None` if the configured
            class is not one of those that can be made from a blueprint.
        """
        if filename is not None and not can_spawn(self._prototype):
            return None
        if (datastore := spawn(self._spawned, self._dimensions)) is None:
            return None
        journal = None
        if filename is not None:
            journal = Journal.open(filename, self._file_schema, durability, must_exist=must_exist)
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
            return FileSchema(cast("Database", stock._database))
        finally:
            stock.close()

    def _add_storage_classes(self) -> None:
        """Tell the process of the storage classes in the configuration."""
        self._storage_classes.addFromConfig(self._butler_config)
        known = self._storage_classes._storageClasses
        self._definitions = {
            name: known[name] for name in self._butler_config.get("storageClasses", {}) if name in known
        }
        self._known = _core.Contents(known)

    def roots_exist(self) -> bool:
        """Tell whether the datastore's local root folders are still there."""
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
    """Return a blueprint for a configuration as it is at this moment.

    Parameters
    ----------
    config : `Config` or `~lsst.resources.ResourcePathExpression`
        A butler repository root, configuration filename, or configuration
        instance.
    dimensions : `DimensionUniverse`
        All dimension definitions.
    search_paths : `~collections.abc.Sequence` or `None`, optional
        Additional folders to search for defaults.

    Returns
    -------
    blueprint : `Blueprint`
        Blueprint made just now, or made earlier from the same configuration.
    """
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


def kept_in_rust(
    OpaqueManagerClass: type[OpaqueTableStorageManager] | None,
    BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None,
) -> bool:
    """Tell whether the records of a butler are to be kept in Rust.

    Parameters
    ----------
    OpaqueManagerClass : `type` or `None`
        Manager of opaque records that is asked for.
    BridgeManagerClass : `type` or `None`
        Manager of locations that is asked for.

    Returns
    -------
    in_rust : `bool`
        Whether nothing else is asked for.
    """
    return OpaqueManagerClass in (None, NativeOpaqueTableStorageManager) and BridgeManagerClass in (
        None,
        NativeDatastoreRegistryBridgeManager,
    )


def file_wanted(filename: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return the file that records are to be kept in, if they are.

    Parameters
    ----------
    filename : `str`, `os.PathLike` or `None`
        Name as a caller gives it.

    Returns
    -------
    filename : `str`, `os.PathLike` or `None`
        The name; `None` if they are to be kept in memory.
    """
    return None if filename in (None, "", ":memory:") else local_path(filename)


def check_durability(durability: str) -> None:
    """Raise `ValueError` for a durability that there is not.

    Parameters
    ----------
    durability : `str`
        Durability as a caller gives it.
    """
    if durability not in ("disk", "process"):
        raise ValueError(f"A file's durability is 'disk' or 'process', not {durability!r}.")


def stock_parts(
    config: Config | ResourcePathExpression,
    dimensions: DimensionUniverse,
    search_paths: list[str] | None = None,
    filename: str | os.PathLike[str] | None = None,
    OpaqueManagerClass: type[OpaqueTableStorageManager] | None = None,
    BridgeManagerClass: type[DatastoreRegistryBridgeManager] | None = None,
) -> Parts:
    """Make what one butler needs the stock way.

    Parameters
    ----------
    config : `Config` or `~lsst.resources.ResourcePathExpression`
        A butler repository root, configuration filename, or configuration
        instance.
    dimensions : `DimensionUniverse`
        All dimension definitions.
    search_paths : `list` of `str`, optional
        Additional folders to search for defaults.
    filename : `str` or `os.PathLike`, optional
        Name of an SQLite file to keep the records in.
    OpaqueManagerClass : `type`, optional
        Manager of opaque records; upstream's by default.
    BridgeManagerClass : `type`, optional
        Manager of locations.  The default suits the other manager: upstream's
        works on upstream's tables alone, ours on any tables.

    Returns
    -------
    parts : `Parts`
        New datastore and what goes with it.
    """
    if (
        BridgeManagerClass is None
        and OpaqueManagerClass is not None
        and issubclass(OpaqueManagerClass, NativeOpaqueTableStorageManager)
    ):
        BridgeManagerClass = NativeDatastoreRegistryBridgeManager
    stock = _UpstreamButler.from_predicted(
        config,
        (),
        (),
        dimensions,
        {},
        filename=":memory:" if filename is None else os.fspath(filename),
        OpaqueManagerClass=OpaqueManagerClass,
        BridgeManagerClass=BridgeManagerClass,
        search_paths=search_paths,
    )
    return Parts(stock._datastore, stock.storageClasses, stock._database)


class QuantumBackedButlerFactory:
    """Makes butlers for the quanta of one repository.

    The configuration is read when the factory is made, and never again.

    Parameters
    ----------
    config : `Config` or `~lsst.resources.ResourcePathExpression`
        A butler repository root, configuration filename, or configuration
        instance.
    dimensions : `DimensionUniverse`
        Object managing all dimension definitions.
    dataset_types : `~collections.abc.Mapping` [`str`, `DatasetType`], optional
        Mapping of the dataset type name to its registry definition.
    search_paths : `list` of `str`, optional
        Additional search paths for butler configuration.

    Notes
    -----
    An instance can be called with a `Quantum`, so it is ready to be the
    ``limited_butler_factory`` of ``lsst.pipe.base``'s
    ``SingleQuantumExecutor``.  It can be used from several threads and pickled
    to worker processes, where it reads the configuration again.
    """

    def __init__(
        self,
        config: Config | ResourcePathExpression,
        dimensions: DimensionUniverse,
        dataset_types: Mapping[str, DatasetType] | None = None,
        search_paths: list[str] | None = None,
    ):
        self._config = config
        self._dimensions = dimensions
        self._dataset_types = dataset_types
        self._search_paths = search_paths
        self._blueprint = Blueprint(read_configuration(config, search_paths), dimensions)

    def __call__(
        self,
        quantum: Quantum,
        *,
        metrics: ButlerMetrics | None = None,
        filename: str | os.PathLike[str] | None = None,
        durability: Durability = "disk",
    ) -> QuantumBackedButler:
        """Make a butler for one quantum.

        Parameters
        ----------
        quantum : `Quantum`
            Object describing the predicted input and output datasets, with
            the datastore records of the inputs.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep the records in.
        durability : `str`, optional
            What the file survives; see `QuantumBackedButler.initialize`.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler that backs the execution of the quantum.
        """
        from .butler import predictions

        require_writable_log()
        butler = self.from_predicted(
            *predictions(quantum),
            quantum.datastore_records,
            metrics=metrics,
            filename=filename,
            durability=durability,
        )
        butler._note_quantum(quantum)
        return butler

    def from_predicted(
        self,
        predicted_inputs: Iterable[DatasetId | DatasetRef],
        predicted_outputs: Iterable[DatasetId | DatasetRef],
        datastore_records: Mapping[str, DatastoreRecordData] | None = None,
        *,
        metrics: ButlerMetrics | None = None,
        filename: str | os.PathLike[str] | None = None,
        durability: Durability = "disk",
    ) -> QuantumBackedButler:
        """Make a butler from sets of input and output dataset IDs.

        Parameters
        ----------
        predicted_inputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs (or refs) for datasets that can be read from this
            butler.
        predicted_outputs : `~collections.abc.Iterable` [`DatasetId`]
            Dataset IDs (or refs) for datasets that can be stored in this
            butler.
        datastore_records : `dict` [`str`, `DatastoreRecordData`] or `None`, \
                optional
            Datastore records to import into the datastore.
        metrics : `ButlerMetrics` or `None`, optional
            Metrics object for gathering butler statistics.
        filename : `str` or `os.PathLike`, optional
            Name of an SQLite file to keep the records in.
        durability : `str`, optional
            What the file survives; see `QuantumBackedButler.initialize`.

        Returns
        -------
        butler : `QuantumBackedButler`
            Butler for those datasets.
        """
        from .butler import QuantumBackedButler

        check_durability(durability)
        filename = file_wanted(filename)
        parts = self._blueprint.make_parts(filename, durability) if native_enabled() else None
        if parts is None:
            parts = stock_parts(self._config, self._dimensions, self._search_paths, filename)
        return QuantumBackedButler._from_parts(
            parts,
            predicted_inputs,
            predicted_outputs,
            self._dimensions,
            datastore_records,
            dataset_types=self._dataset_types,
            metrics=metrics,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _unpickle_factory,
            (
                self._config,
                _universe_definition(self._dimensions),
                # To be unpickled only once the universe exists over there.
                pickle.dumps(None if self._dataset_types is None else dict(self._dataset_types)),
                self._search_paths,
            ),
        )


def _unpickle_factory(
    config: Any, definition: DimensionConfig | None, dataset_types: bytes, search_paths: list[str] | None
) -> QuantumBackedButlerFactory:
    """Make a factory in another process."""
    universe = DimensionUniverse(definition)
    return QuantumBackedButlerFactory(config, universe, pickle.loads(dataset_types), search_paths)


def _universe_definition(universe: DimensionUniverse) -> DimensionConfig | None:
    """Return what makes a universe anew; `None` for the default one."""
    definition, default = universe.dimensionConfig, DimensionConfig()
    identity = ("namespace", "version")
    return None if all(definition[key] == default[key] for key in identity) else definition
