"""Upstream's file datastore, with whole operations over records in Rust.

`NativeFileDatastore` is upstream's `FileDatastore` in everything that touches
formatters, templates, storage classes and remote files.  What it replaces are
the operations whose cost lies in the records and in the Python around them:
looking records up, adding, importing and exporting them, predicting where
datasets are, and reading, writing and looking for local files.
"""

from __future__ import annotations

__all__ = ("NativeFileDatastore",)

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from lsst.daf.butler import DatasetRef, FormatterFactory, Location
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastore.cache_manager import (
    AbstractDatastoreCacheManager,
    DatastoreCacheManager,
    DatastoreDisabledCacheManager,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredDatastoreItemInfo, StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.mapping_factory import MappingFactory
from lsst.daf.butler.registry.interfaces import DatabaseInsertMode
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE, getLogger

from . import _core
from .columns import sql_errors
from .local_files import DEFERRED, read_artifact, write_artifact
from .managers import NativeDatastoreRegistryBridge, NativeOpaqueTableStorage
from .placement import Placement, Placements
from .transactions import ThreadTransactions

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetProvenance, StorageClass
    from lsst.daf.butler.registry.interfaces import DatasetIdRef, DatastoreRegistryBridgeManager

_INSERT_MODES: Mapping[DatabaseInsertMode, Any] = {
    DatabaseInsertMode.INSERT: "insert",
    DatabaseInsertMode.ENSURE: "ensure",
    DatabaseInsertMode.REPLACE: "replace",
}

# What a datastore must not take over from the one it is made after.
_PER_BUTLER = ("_transaction", "_thread", "cacheManager", "_cache_manager", "_retrieve_dataset_method")

# Today's refs keep the id as an integer and make a UUID of it when asked.
_dataset_id = attrgetter("_id" if "_id" in getattr(DatasetRef, "__slots__", ()) else "id")

# Upstream's log of what it checks, and the number of datasets it checks at once.
_LOG = getLogger(FileDatastore.__module__)
_CHUNK = 50_000


class NativeFileDatastore(ThreadTransactions, FileDatastore):
    """Upstream's file datastore over records kept in Rust.

    Instances are made after another datastore, by `from_prototype` and
    `clone`, never from a configuration.
    """

    _fixed: _Fixed
    _records: _core.FileRecords
    _formatters: _FormatterRegistry
    _cache_folder: str | None
    _cache_manager: AbstractDatastoreCacheManager | None

    root_path: str | None
    """Root of a datastore on a local file system, with a final slash."""

    @classmethod
    def from_prototype(
        cls, prototype: FileDatastore, bridgeManager: DatastoreRegistryBridgeManager
    ) -> NativeFileDatastore | None:
        """Make a datastore configured as another one, with its own records.

        Parameters
        ----------
        prototype : `FileDatastore`
            Datastore to take the configuration from.
        bridgeManager : `DatastoreRegistryBridgeManager`
            Manager that the new datastore keeps its records with.

        Returns
        -------
        datastore : `NativeFileDatastore` or `None`
            The new datastore; `None` if ``bridgeManager`` keeps its records
            elsewhere than in Rust.
        """
        if (fixed := prototype.__dict__.get("_fixed")) is None:
            # Kept by the prototype, for all that are made after it.
            fixed = prototype.__dict__["_fixed"] = _Fixed(prototype)
        table = bridgeManager.opaque.register(prototype._opaque_table_name, fixed.table_spec)
        bridge = bridgeManager.register(prototype.name)
        if not isinstance(table, NativeOpaqueTableStorage) or not isinstance(
            bridge, NativeDatastoreRegistryBridge
        ):
            return None
        # The constructor would build again what the configuration fixes once
        # and for all; what a caller may change at run time is copied.
        self = cls.__new__(cls)
        attributes = dict(prototype.__dict__)
        for own in _PER_BUTLER:
            attributes.pop(own, None)
        self.__dict__.update(attributes)
        self._transaction = None
        self.root_path = fixed.root_path
        self._cache_manager = None
        self._cache_folder = fixed.cache_folder()
        self.formatterFactory, self._formatters = _copy_formatter_factory(prototype.formatterFactory)
        self._table = table
        self._bridge = bridge
        self._records = _core.FileRecords(table._table, bridge._locations, StoredFileInfo)
        return self

    def clone(self, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore:
        # Docstring inherited.
        return self.from_prototype(self, bridgeManager) or super().clone(bridgeManager)

    @property
    def cacheManager(self) -> AbstractDatastoreCacheManager:
        """Manager of the local file cache, made when first needed."""
        if (manager := self._cache_manager) is None:
            manager = self._cache_manager = _make_cache_manager(self)
        return manager

    @cacheManager.setter
    def cacheManager(self, manager: AbstractDatastoreCacheManager) -> None:
        self._cache_manager = manager

    def _cache_is_empty(self) -> bool:
        """Tell whether the file cache knows of no file."""
        return self._cache_manager is None or self._cache_manager.file_count == 0

    def may_find_in_cache(self) -> bool:
        """Tell whether upstream might read a file from the file cache."""
        if not self._cache_is_empty():
            return True
        if self._cache_folder is None:
            return False
        try:
            with os.scandir(self._cache_folder) as files:
                return next(files, None) is not None
        except FileNotFoundError:
            return False

    def get(
        self,
        ref: DatasetRef,
        parameters: Mapping[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        # Docstring inherited.
        if parameters is None:
            wanted = ref if storageClass is None else ref.overrideStorageClass(storageClass)
            if (dataset := read_artifact(self, wanted)) is not DEFERRED:
                return dataset
        return super().get(ref, parameters, storageClass)

    def put(self, inMemoryDataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None = None) -> None:
        # Docstring inherited.
        with self.transaction() as transaction:
            info = write_artifact(self, inMemoryDataset, ref, provenance, transaction)
            if info is not DEFERRED:
                self._register_datasets([(ref, info)])
        if info is DEFERRED:
            super().put(inMemoryDataset, ref, provenance)

    def _register_datasets(
        self,
        refsAndInfos: Iterable[tuple[DatasetRef, StoredFileInfo]],
        insert_mode: DatabaseInsertMode = DatabaseInsertMode.INSERT,
    ) -> None:
        # Docstring inherited.
        pairs = list(refsAndInfos)
        refs = [ref for ref, _ in pairs]
        infos = [info.rebase(ref) if ref.isComponent() else info for ref, info in pairs]
        with sql_errors(f"INSERT INTO {self._table.name}", {"datastore_name": self.name}):
            undo = self._records.add(refs, infos, _INSERT_MODES[insert_mode])
        self._register_undo("registerDatasets", undo)

    def _register_undo(self, name: str, undo: _core.Undo) -> None:
        """Tell this thread's transaction, if any, how to take a change back."""
        if (transaction := self._transaction) is not None:
            transaction.registerUndo(name, undo)

    def getStoredItemsInfo(
        self, ref: DatasetIdRef, ignore_datastore_records: bool = False
    ) -> list[StoredFileInfo]:
        # Docstring inherited.
        if not ignore_datastore_records and ref._datastore_records is not None:
            return super().getStoredItemsInfo(ref, ignore_datastore_records)
        return self._records.get(ref)

    def _get_stored_records_associated_with_refs(
        self, refs: Iterable[DatasetIdRef], ignore_datastore_records: bool = False
    ) -> dict[DatasetId, list[StoredFileInfo]]:
        # Docstring inherited.
        refs = list(refs)
        if not ignore_datastore_records and any(ref._datastore_records is not None for ref in refs):
            return super()._get_stored_records_associated_with_refs(refs, ignore_datastore_records)
        # Upstream goes on to look up datasets without records.
        return defaultdict(list, self._records.get_many(refs))

    def knows(self, ref: DatasetRef) -> bool:
        # Docstring inherited.
        if ref._datastore_records is not None:
            return super().knows(ref)
        return self._records.known([ref])[0]

    def knows_these(self, refs: Iterable[DatasetRef]) -> dict[DatasetRef, bool]:
        # Docstring inherited.
        refs = list(refs)
        return dict(zip(refs, self._records.known(refs), strict=True))

    def exists(self, ref: DatasetRef) -> bool:
        # Docstring inherited.
        if self.root_path is not None and self._cache_is_empty():
            recorded = self._records.exist(self.root_path, [ref])[0]
            if recorded is not None:
                return recorded
        return super().exists(ref)

    def mexists(
        self, refs: Iterable[DatasetRef], artifact_existence: dict[ResourcePath, bool] | None = None
    ) -> dict[DatasetRef, bool]:
        # Docstring inherited.
        refs = list(refs)
        if len(refs) < _CHUNK and not _LOG.isEnabledFor(VERBOSE):
            return self._mexists(refs, artifact_existence)
        return super().mexists(refs, artifact_existence)

    def _mexists(
        self, refs: Sequence[DatasetRef], artifact_existence: dict[ResourcePath, bool] | None = None
    ) -> dict[DatasetRef, bool]:
        # Docstring inherited.
        if artifact_existence is not None or self.root_path is None or not self._cache_is_empty():
            return super()._mexists(refs, artifact_existence)
        if len(set(map(_dataset_id, refs))) != len(refs):
            # Upstream answers only once for each dataset id.
            return super()._mexists(refs)
        recorded = self._records.exist(self.root_path, refs)
        existence = {ref: exists for ref, exists in zip(refs, recorded, strict=True) if exists is not None}
        if len(existence) < len(refs):
            rest = [ref for ref, exists in zip(refs, recorded, strict=True) if exists is None]
            existence.update(self._expected_exist(self.root_path, rest))
            if len(existence) < len(refs):
                existence.update(super()._mexists([ref for ref in rest if ref not in existence]))
        return existence

    def _expected_exist(self, root: str, refs: Sequence[DatasetRef]) -> dict[DatasetRef, bool]:
        """Check datasets without records at the places predicted for them.

        Parameters
        ----------
        root : `str`
            Root of the datastore.
        refs : `~collections.abc.Sequence` [ `DatasetRef` ]
            Datasets to check.

        Returns
        -------
        existence : `dict` [ `DatasetRef`, `bool` ]
            Whether any artifact of the dataset exists, for those datasets
            whose places can be told without upstream's help.
        """
        if not self.trustGetRequest:
            return {}
        known = self._records.known(refs)
        owners: list[DatasetRef] = []
        paths: list[str] = []
        for ref, recorded in zip(refs, known, strict=True):
            # A recorded dataset is here because its path is a peculiar one.
            if not recorded and (predicted := self._predict(self._cast_storage_class(ref))) is not None:
                owners += [ref] * len(predicted)
                paths += [path for path, _ in predicted]
        if len(set(paths)) < len(paths):
            # Upstream answers for only one of several datasets in one place.
            return {}
        existence: dict[DatasetRef, bool] = {}
        for ref, exists in zip(owners, _core.files_exist(root, paths), strict=True):
            existence[ref] = exists or existence.get(ref, False)
        return existence

    def _predict(self, ref: DatasetRef) -> list[tuple[str, Placement]] | None:
        """Predict the paths of a dataset's artifacts.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository.

        Returns
        -------
        predicted : `list` [ `tuple` [ `str`, `Placement` ] ] or `None`
            Path of each artifact and what else is known of it; `None` if only
            upstream can tell.
        """
        if ref.isComponent() or not self._is_as_configured():
            return None
        if (placements := self._fixed.placements.of(ref)) is None:
            return None
        predicted = []
        for placement in placements:
            if (path := placement.path(ref)) is None:
                return None
            predicted.append((path, placement))
        return predicted

    def _is_as_configured(self) -> bool:
        """Tell whether nobody has changed what decides on places."""
        return (
            self.formatterFactory._mappingFactory._registry is self._formatters
            and not self._formatters.changed
            and self._fixed.placements.are_for(self)
        )

    def _get_expected_dataset_locations_info(self, ref: DatasetRef) -> list[tuple[Location, StoredFileInfo]]:
        # Docstring inherited.
        predicted = self._predict(ref.makeCompositeRef() if ref.isComponent() else ref)
        if predicted is None:
            return super()._get_expected_dataset_locations_info(ref)
        return [
            (self.locationFactory.fromPath(path, trusted_path=True), placement.predict(path))
            for path, placement in predicted
        ]

    def export_predicted_records(self, refs: Iterable[DatasetRef]) -> dict[str, DatastoreRecordData]:
        # Docstring inherited.
        table_name = self._table.name
        records: dict[DatasetId, dict[str, list[StoredDatastoreItemInfo]]] = {}
        slow: list[DatasetRef] = []
        for ref in refs:
            stored_ref = self._cast_storage_class(ref)
            if (predicted := self._predict(stored_ref)) is None:
                slow.append(ref)
            elif predicted and self._fixed.placements.acceptable(stored_ref):
                infos = records.setdefault(ref.id, {}).setdefault(table_name, [])
                infos += [placement.predict(path) for path, placement in predicted]
        for dataset_id, tables in super().export_predicted_records(slow)[self.name].records.items():
            for infos in tables.values():
                records.setdefault(dataset_id, {}).setdefault(table_name, []).extend(infos)
        return {self.name: DatastoreRecordData(records=records)}

    def _cast_storage_class(self, ref: DatasetRef) -> DatasetRef:
        # Docstring inherited.  Upstream copies the ref in any case.
        if (retrieve := self._retrieve_dataset_method) is not None:
            dataset_type = retrieve(ref.datasetType.name)
            if dataset_type is None or dataset_type.storageClass_name == ref.datasetType.storageClass_name:
                return ref
        return super()._cast_storage_class(ref)

    def import_records(self, data: Mapping[str, DatastoreRecordData]) -> None:
        # Docstring inherited.
        record_data = data.get(self.name)
        if not record_data:
            return
        try:
            with sql_errors(f"INSERT INTO {self._table.name}", {"datastore_name": self.name}):
                undo = self._records.import_data(cast(Any, record_data.records))
        except TypeError as err:
            # What upstream raises for a record of another class.
            raise AssertionError("Expecting StoredFileInfo records") from err
        self._register_undo("importRecords", undo)

    def export_records(self, refs: Iterable[DatasetIdRef]) -> Mapping[str, DatastoreRecordData]:
        # Docstring inherited.
        table_name = self._table.name
        records: dict[DatasetId, dict[str, list[StoredDatastoreItemInfo]]] = {
            dataset_id: {table_name: infos} for dataset_id, infos in self._records.export(refs).items()
        }
        return {self.name: DatastoreRecordData(records=records)}


class _Fixed:
    """What the configuration of a file datastore fixes once and for all.

    Parameters
    ----------
    prototype : `FileDatastore`
        The datastore that was configured.
    """

    def __init__(self, prototype: FileDatastore):
        self.table_spec = prototype.makeTableSpec()
        self.root_path = prototype.root.ospath if prototype.root.isLocal else None
        self.placements = Placements(prototype)
        self._caches = "cached" in prototype.config
        self._cache_root: str | None = prototype.config.get(("cached", "root")) if self._caches else None

    def cache_folder(self) -> str | None:
        """Return the file cache's folder, if there is one from the start.

        Without any of these settings upstream makes a new folder for the
        first file that it puts there.
        """
        if not self._caches:
            return None
        folder = os.environ.get("DAF_BUTLER_CACHE_DIRECTORY") or self._cache_root
        if folder is None:
            folder = os.environ.get("DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET")
        return (
            None if folder is None else ResourcePath(folder, forceAbsolute=True, forceDirectory=True).ospath
        )


def _copy_formatter_factory(factory: FormatterFactory) -> tuple[FormatterFactory, _FormatterRegistry]:
    """Return a factory to which formatters can be added alone.

    Parameters
    ----------
    factory : `FormatterFactory`
        Factory to copy.

    Returns
    -------
    other : `FormatterFactory`
        The copy.
    registry : `_FormatterRegistry`
        What the copy knows.
    """
    other, mapping = FormatterFactory.__new__(FormatterFactory), factory._mappingFactory
    other.__dict__.update(factory.__dict__)
    other._mappingFactory = MappingFactory.__new__(MappingFactory)
    other._mappingFactory.__dict__.update(mapping.__dict__)
    registry = _FormatterRegistry(mapping._registry)
    registry.changed = getattr(mapping._registry, "changed", False)
    other._mappingFactory._registry = registry
    return other, registry


class _FormatterRegistry(dict[Any, Any]):
    """Upstream's registry of formatters, which notices an addition."""

    changed = False

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changed = True
        super().__setitem__(key, value)


def _make_cache_manager(datastore: FileDatastore) -> AbstractDatastoreCacheManager:
    """Make the file cache manager that the configuration asks for."""
    if "cached" in datastore.config:
        return DatastoreCacheManager(datastore.config["cached"], universe=datastore.universe)
    return DatastoreDisabledCacheManager("", universe=datastore.universe)
