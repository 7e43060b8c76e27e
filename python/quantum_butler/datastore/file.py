"""Upstream's file datastore, with whole operations over records in Rust.

`NativeFileDatastore` is upstream's `FileDatastore` in everything that touches
formatters, templates, storage classes and remote files.  What it replaces are
the operations whose cost lies in the records and in the Python around them:
looking records up, adding, importing and exporting them, predicting where
datasets are, and reading, writing and looking for local files.
"""

from __future__ import annotations

__all__ = ("NativeFileDatastore",)

import contextlib
import functools
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow
from lsst.daf.butler import DatasetRef, FormatterFactory, Location
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastore.cache_manager import (
    AbstractDatastoreCacheManager,
    DatastoreCacheManager,
    DatastoreDisabledCacheManager,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData, DatastoreRecordTable
from lsst.daf.butler.datastore.stored_file_info import StoredDatastoreItemInfo, StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.mapping_factory import MappingFactory
from lsst.daf.butler.registry.interfaces import DatabaseInsertMode
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE, getLogger

from .. import _core
from ..quantum.ids import dataset_key
from ..store.columns import Columns, sql_errors
from ..store.finding import many_uris
from ..store.placement import Placement, Placements
from ..store.predicted_records import predict_records
from ..store.reading import DEFERRED, read_artifact
from ..store.removing import empty_trash, move_to_trash
from ..store.transfers import find_recorded_files, find_unrecorded_files
from ..store.writing import put_artifact
from ..upstream.locations import PlainLocationFactory
from .managers import NativeDatastoreRegistryBridge, NativeOpaqueTableStorage
from .transactions import ThreadTransactions

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetProvenance, StorageClass
    from lsst.daf.butler.datastore import DatasetRefURIs, FileTransferMap
    from lsst.daf.butler.registry.interfaces import DatasetIdRef, DatastoreRegistryBridgeManager

_INSERT_MODES: Mapping[DatabaseInsertMode, Any] = {
    DatabaseInsertMode.INSERT: "insert",
    DatabaseInsertMode.ENSURE: "ensure",
    DatabaseInsertMode.REPLACE: "replace",
}

# What a datastore must not take over from the one it is made after.
_PER_BUTLER = (
    "_transaction",
    "_thread",
    "cacheManager",
    "_cache_manager",
    "_retrieve_dataset_method",
    "formatterFactory",
    "_formatters",
    "_table",
    "_bridge",
    "_records",
    "journal",
)

# Upstream's log of what it checks, and the number of datasets it checks at once.
_LOG = getLogger(FileDatastore.__module__)
_CHUNK = 50_000


class NativeFileDatastore(ThreadTransactions, FileDatastore):  # type: ignore[misc]  # transaction()
    """Upstream's file datastore over records kept in Rust.

    Instances are made after another datastore, by `from_prototype` and
    `clone`, never from a configuration.
    """

    _fixed: _Fixed
    _records: _core.FileRecords
    _cache_folder: str | None
    _cache_manager: AbstractDatastoreCacheManager | None = None
    _formatters: FormatterFactory | None = None

    root_path: str | None
    """Root of a datastore on a local file system, with a final slash."""

    locations: PlainLocationFactory
    """Makes locations in the datastore; its ``locationFactory``, too."""

    @classmethod
    def from_prototype(
        cls, prototype: FileDatastore, bridgeManager: DatastoreRegistryBridgeManager | None = None
    ) -> NativeFileDatastore | None:
        """Make a datastore configured as another one, with its own records.

        Parameters
        ----------
        prototype : `FileDatastore`
            Datastore to take the configuration from.
        bridgeManager : `DatastoreRegistryBridgeManager`, optional
            Manager that the new datastore keeps its records with, if others
            need to find them there.

        Returns
        -------
        datastore : `NativeFileDatastore` or `None`
            The new datastore; `None` if ``bridgeManager`` keeps its records
            elsewhere than in Rust.
        """
        if (fixed := prototype.__dict__.get("_fixed")) is None:
            # Kept by the prototype, for all that are made after it.
            fixed = prototype.__dict__["_fixed"] = _Fixed(prototype)
        # The constructor would build again what the configuration fixes once
        # and for all; what a caller may change at run time is copied, be it
        # only when somebody asks for it.
        self = cls.__new__(cls)
        self.__dict__ = fixed.attributes_of(prototype)
        if (formatters := getattr(prototype, "_formatters", None)) is not None:
            self._formatters = _copy_formatter_factory(formatters)
        self._cache_folder = fixed.cache_folder()
        if bridgeManager is None:
            self._records = fixed.no_records.empty_copy()
            return self
        table = bridgeManager.opaque.register(prototype._opaque_table_name, fixed.table_spec)
        bridge = bridgeManager.register(prototype.name)
        if not isinstance(table, NativeOpaqueTableStorage) or not isinstance(
            bridge, NativeDatastoreRegistryBridge
        ):
            return None
        self._table, self._bridge = table, bridge
        self._records = _core.FileRecords(table._table, bridge._locations, StoredFileInfo)
        return self

    def clone(self, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore:
        # Docstring inherited.
        return self.from_prototype(self, bridgeManager) or super().clone(bridgeManager)

    @functools.cached_property
    def _table(self) -> NativeOpaqueTableStorage:  # type: ignore[override]
        """Table of the records, as upstream's methods know it."""
        return NativeOpaqueTableStorage.over(self._records.table, self._fixed.table_spec)

    @functools.cached_property
    def _bridge(self) -> NativeDatastoreRegistryBridge:  # type: ignore[override]
        """Locations of the datasets, as upstream's methods know them."""
        return NativeDatastoreRegistryBridge.over(self._records.locations)

    @property
    def formatterFactory(self) -> FormatterFactory:
        """Formatters of this datastore alone, copied when first needed."""
        if (formatters := self._formatters) is None:
            # Two threads that come here at once must get the same.
            copy = _copy_formatter_factory(self._fixed.formatters)
            formatters = self.__dict__.setdefault("_formatters", copy)
        return formatters

    @formatterFactory.setter
    def formatterFactory(self, formatters: FormatterFactory) -> None:
        self._formatters = formatters

    @property
    def cacheManager(self) -> AbstractDatastoreCacheManager:
        """Manager of the local file cache, made when first needed."""
        if (manager := self._cache_manager) is None:
            manager = self.__dict__.setdefault("_cache_manager", _make_cache_manager(self))
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
        if not put_artifact(self, inMemoryDataset, ref, provenance):
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
        self._register_undo("registerDatasets", self.add_records(refs, infos, insert_mode))

    def add_records(
        self,
        refs: Sequence[DatasetRef],
        infos: Sequence[StoredFileInfo],
        insert_mode: DatabaseInsertMode = DatabaseInsertMode.INSERT,
    ) -> Callable[[], None]:
        """Add one record to each of some datasets.

        Parameters
        ----------
        refs : `~collections.abc.Sequence` [ `DatasetRef` ]
            The datasets.
        infos : `~collections.abc.Sequence` [ `StoredFileInfo` ]
            Their records.
        insert_mode : `DatabaseInsertMode`, optional
            What to do with those that have records already.

        Returns
        -------
        undo : `~collections.abc.Callable`
            Call it to take the records back.
        """
        mode = _INSERT_MODES[insert_mode]
        with sql_errors(f"INSERT INTO {self._opaque_table_name}", {"datastore_name": self.name}):
            return self._filed(self._records.add(refs, infos, mode))

    def _filed(self, undo: Callable[[], None]) -> Callable[[], None]:
        """Have the file take a change, if there is one, or take it back; return what does so."""
        if (journal := self.journal) is not None:
            try:
                journal.commit_if_alone()
            except BaseException:
                undo()
                raise
        return undo

    def forget(self, refs: Iterable[DatasetRef]) -> None:
        # Docstring inherited.
        if self.journal is None:
            super().forget(refs)
        else:
            self.journal.forget(self, list(refs), super().forget)

    def _register_undo(self, name: str, undo: Callable[[], None]) -> None:
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

    def _get_dataset_locations_info(
        self, ref: DatasetIdRef, ignore_datastore_records: bool = False
    ) -> list[tuple[Location, StoredFileInfo]]:
        # Docstring inherited.
        infos = self.getStoredItemsInfo(ref, ignore_datastore_records)
        return [(self.locations.of_record(info), info) for info in infos]

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
            recorded = self._records.exists(self.root_path, ref)
            if recorded is not None:
                return recorded
        return super().exists(ref)

    def recorded_exists(self, ref: DatasetRef) -> bool | None:
        """Tell whether a recorded dataset exists, as `mexists` would.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset to check.

        Returns
        -------
        exists : `bool` or `None`
            Whether all its artifacts exist; `None` if `mexists` has to look.
        """
        if self.root_path is None or not self._cache_is_empty() or _LOG.isEnabledFor(VERBOSE):
            return None
        return self._records.exists(self.root_path, ref)

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
        if len(set(map(dataset_key, refs))) != len(refs):
            # Upstream answers only once for each dataset id.
            return super()._mexists(refs)
        recorded = self._records.exist(self.root_path, refs)
        if None not in recorded:
            return cast("dict[DatasetRef, bool]", dict(zip(refs, recorded, strict=True)))
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

    def place_of_whole(self, ref: DatasetRef) -> tuple[str, Placement] | None:
        """Predict the path of a dataset that is written as one artifact.

        Parameters
        ----------
        ref : `DatasetRef`
            Dataset with the storage class of the repository.

        Returns
        -------
        path : `str`
            Path of the artifact.
        placement : `Placement`
            What else is known of it.  Instead of both there is `None` if only
            upstream can tell, or there is more than one artifact.
        """
        if not self._is_as_configured() or (placement := self._fixed.placements.of_whole(ref)) is None:
            return None
        path = placement.path(ref)
        return None if path is None else (path, placement)

    def _is_as_configured(self) -> bool:
        """Tell whether nobody has changed what decides on places."""
        if (formatters := self._formatters) is not None:
            registry = formatters._mappingFactory._registry
            if type(registry) is not _FormatterRegistry or registry.origin is not self._fixed.formatters:
                return False
            if registry.changed:
                return False
        return self._fixed.placements.are_for(self)

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
        records, rest = predict_records(self, refs)
        if rest:
            for dataset_id, tables in super().export_predicted_records(rest)[self.name].records.items():
                known = records.setdefault(dataset_id, {}).setdefault(self._opaque_table_name, [])
                for infos in tables.values():
                    known += infos
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
        records = cast(Any, record_data.records)
        try:
            with sql_errors(f"INSERT INTO {self._opaque_table_name}", {"datastore_name": self.name}):
                undo = self._filed(self._records.import_data(records))
        except TypeError as err:
            # What upstream raises for a record of another class.
            raise AssertionError("Expecting StoredFileInfo records") from err
        self._register_undo("importRecords", undo)

    def export_records(self, refs: Iterable[DatasetIdRef]) -> Mapping[str, DatastoreRecordData]:
        # Docstring inherited.
        table_name = self._opaque_table_name
        records: dict[DatasetId, dict[str, list[StoredDatastoreItemInfo]]] = {
            dataset_id: {table_name: infos} for dataset_id, infos in self._records.export(refs).items()
        }
        return {self.name: DatastoreRecordData(records=records)}

    def export_table(self, datasets: Collection[DatasetId]) -> DatastoreRecordTable:
        # Docstring inherited.
        return DatastoreRecordTable(pyarrow.table(self._records.export_table(datasets)))

    def import_table(self, table: DatastoreRecordTable) -> None:
        # Docstring inherited.  Upstream checks the columns and casts them.
        columns = table.to_stored_file_info_table().to_arrow()
        try:
            with sql_errors(f"INSERT INTO {self._opaque_table_name}", {"datastore_name": self.name}):
                undo = self._filed(self._records.import_table(columns))
        except UnicodeError:
            # Upstream can tell what is wrong with the text.
            super().import_table(table)
        else:
            self._register_undo("importTable", undo)

    def trash(self, ref: DatasetRef | Iterable[DatasetRef], ignore_errors: bool = True) -> None:
        # Docstring inherited.
        with contextlib.nullcontext() if self.journal is None else self.transaction():
            if (rest := move_to_trash(self, ref, ignore_errors)) is not None:
                super().trash(rest, ignore_errors)
            if self.journal is not None:
                self.journal.commit_if_alone()

    def _empty_trash_subset(
        self,
        *,
        ignore_errors: bool = True,
        selected_ids: Collection[DatasetId] | None = None,
        dry_run: bool = False,
    ) -> set[ResourcePath]:
        # Docstring inherited.
        journal = None if dry_run else self.journal
        if journal is not None:
            # That they are in the trash, before anything is removed.
            journal.commit()
        removed = empty_trash(self, selected_ids, ignore_errors=ignore_errors, dry_run=dry_run)
        if removed is None:
            # Some path is not a plain one, and may lead anywhere.
            with self._fixed.locations.confined():
                removed = super()._empty_trash_subset(
                    ignore_errors=ignore_errors, selected_ids=selected_ids, dry_run=dry_run
                )
        if journal is not None:
            journal.commit_if_alone()
        return removed

    def getManyURIs(
        self, refs: Iterable[DatasetRef], predict: bool = False, allow_missing: bool = False
    ) -> dict[DatasetRef, DatasetRefURIs]:
        # Docstring inherited.  An iterator would be at its end when upstream
        # goes through it again.
        if self.root_path is not None and isinstance(refs, Collection):
            if not any(ref._datastore_records is not None for ref in refs):
                if (uris := many_uris(self, refs, predict)) is not None:
                    return uris
        return super().getManyURIs(refs, predict, allow_missing)

    def get_file_info_for_transfer(self, dataset_ids: Iterable[DatasetId]) -> FileTransferMap:
        # Docstring inherited.
        return find_recorded_files(self, dataset_ids)

    def locate_missing_files_for_transfer(
        self, refs: Iterable[DatasetRef], artifact_existence: dict[ResourcePath, bool]
    ) -> FileTransferMap:
        # Docstring inherited.
        if not isinstance(refs, Collection) or not self.trustGetRequest or _LOG.isEnabledFor(VERBOSE):
            return super().locate_missing_files_for_transfer(refs, artifact_existence)
        files = None
        if self._cache_is_empty():
            files = find_unrecorded_files(self, list(refs), artifact_existence)
        if files is None:
            return super().locate_missing_files_for_transfer(refs, artifact_existence)
        return files


class _Fixed:
    """What the configuration of a file datastore fixes once and for all.

    Parameters
    ----------
    prototype : `FileDatastore`
        The datastore that was configured.
    """

    def __init__(self, prototype: FileDatastore):
        self._prototype = prototype
        self.table_spec = prototype.makeTableSpec()
        self.formatters = prototype.formatterFactory
        self.placements = Placements(prototype)
        self.no_records = _core.FileRecords(
            Columns.of(prototype._opaque_table_name, self.table_spec).make_table(),
            _core.Locations(prototype.name),
            StoredFileInfo,
        )
        self._attributes = self._without_own(prototype)
        self._attributes["_fixed"] = self
        self._attributes["root_path"] = _readable(prototype.root.ospath) if prototype.root.isLocal else None
        self.locations = PlainLocationFactory(prototype.locationFactory)
        self._attributes["locationFactory"] = self._attributes["locations"] = self.locations
        self._caches = "cached" in prototype.config
        self._cache_root: str | None = prototype.config.get(("cached", "root")) if self._caches else None

    def attributes_of(self, prototype: FileDatastore) -> dict[str, Any]:
        """Return the attributes that a new datastore begins with.

        Parameters
        ----------
        prototype : `FileDatastore`
            The datastore that was configured, or one made after it.

        Returns
        -------
        attributes : `dict` [ `str`, `typing.Any` ]
            A new dictionary.
        """
        # Nobody but its maker has the one that was configured.
        return self._attributes.copy() if prototype is self._prototype else self._without_own(prototype)

    @staticmethod
    def _without_own(prototype: FileDatastore) -> dict[str, Any]:
        attributes = prototype.__dict__.copy()
        for own in _PER_BUTLER:
            attributes.pop(own, None)
        return attributes

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


def _readable(path: str) -> str | None:
    """Return a path if it is text, which file systems do not demand."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return None
    return path


def _copy_formatter_factory(factory: FormatterFactory) -> FormatterFactory:
    """Return a factory to which formatters can be added alone.

    Parameters
    ----------
    factory : `FormatterFactory`
        Factory to copy.

    Returns
    -------
    other : `FormatterFactory`
        The copy, which notices an addition.
    """
    other, mapping = FormatterFactory.__new__(FormatterFactory), factory._mappingFactory
    other.__dict__.update(factory.__dict__)
    other._mappingFactory = MappingFactory.__new__(MappingFactory)
    other._mappingFactory.__dict__.update(mapping.__dict__)
    original = mapping._registry
    registry = other._mappingFactory._registry = _FormatterRegistry(original)
    registry.origin = getattr(original, "origin", factory)
    registry.changed = getattr(original, "changed", False)
    return other


class _FormatterRegistry(dict[Any, Any]):
    """Upstream's registry of formatters, which notices an addition."""

    changed = False

    origin: FormatterFactory
    """Factory that this was first copied from."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.changed = True
        super().__setitem__(key, value)


def _make_cache_manager(datastore: FileDatastore) -> AbstractDatastoreCacheManager:
    """Make the file cache manager that the configuration asks for."""
    if "cached" in datastore.config:
        return DatastoreCacheManager(datastore.config["cached"], universe=datastore.universe)
    return DatastoreDisabledCacheManager("", universe=datastore.universe)
