"""Upstream's file datastore, with whole operations over records in Rust.

`NativeFileDatastore` is upstream's `FileDatastore` in everything that touches
formatters, templates, storage classes and remote files.  What it replaces are
the operations whose cost lies in the records and in the Python around them:
looking records up, adding, importing and exporting them, predicting where
datasets are, and reading, writing and looking for local files.  Each is a verb
of `quantum_butler.store`, or else upstream's own.
"""

from __future__ import annotations

__all__ = ("NativeFileDatastore",)

import contextlib
import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pyarrow
from lsst.daf.butler import DatasetRef, Location
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastore.record_data import DatastoreRecordData, DatastoreRecordTable
from lsst.daf.butler.datastore.stored_file_info import StoredDatastoreItemInfo, StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.interfaces import DatabaseInsertMode
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE

from .. import _core
from ..store import finding, reading, removing, writing
from ..store.file_store import Configuration, FileStore
from ..upstream import NotOurs
from ..upstream.datastores import shared_attributes
from ..upstream.refs import carried_records
from .managers import NativeDatastoreRegistryBridge, NativeOpaqueTableStorage
from .transactions import ThreadTransactions

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId, DatasetProvenance, StorageClass
    from lsst.daf.butler.datastore import DatasetRefURIs, FileTransferMap
    from lsst.daf.butler.registry.interfaces import DatasetIdRef, DatastoreRegistryBridgeManager

T = TypeVar("T")

_INSERT_MODES: Mapping[DatabaseInsertMode, Literal["insert", "ensure", "replace"]] = {
    DatabaseInsertMode.INSERT: "insert",
    DatabaseInsertMode.ENSURE: "ensure",
    DatabaseInsertMode.REPLACE: "replace",
}

# How many datasets upstream looks for at once.
_CHUNK = 50_000


def _of_store(name: str, doc: str) -> Any:
    """Make a property that is an attribute of the store."""

    def assign(datastore: NativeFileDatastore, value: Any) -> None:
        setattr(datastore.store, name, value)

    return property(attrgetter(f"store.{name}"), assign, doc=doc)


class NativeFileDatastore(ThreadTransactions, FileDatastore):  # type: ignore[misc]  # transaction()
    """Upstream's file datastore over records kept in Rust.

    Instances are made after another datastore, by `from_prototype` and
    `clone`, never from a configuration.
    """

    store: FileStore
    """What of it is ours."""

    templates = _of_store("templates", "What decides on paths.")
    composites = _of_store("composites", "What decides on disassembly.")
    constraints = _of_store("constraints", "What decides on datasets that are taken.")
    trustGetRequest = _of_store("is_trusting", "Whether there may be datasets without records.")
    useChecksum = _of_store("has_checksums", "Whether records have checksums.")
    formatterFactory = _of_store("formatters", "Formatters of this datastore alone.")
    cacheManager = _of_store("cache", "Manager of the local file cache.")
    _retrieve_dataset_method = _of_store("retrieve_dataset_type", "Looks up registry dataset types.")
    _records = _of_store("records", "Its records.")
    journal = _of_store("journal", "File that has the records, too, if there is one.")
    root_path = property(attrgetter("store.root"), doc="Local root with a final slash, or `None`.")

    @classmethod
    def from_prototype(
        cls, prototype: FileDatastore, bridgeManager: DatastoreRegistryBridgeManager | None = None
    ) -> NativeFileDatastore | None:
        """Make a datastore configured as another one, with its own records.

        A manager keeps the records if others need to find them there; the result is `None` if that one keeps
        them elsewhere than in Rust.
        """
        ours = prototype if isinstance(prototype, NativeFileDatastore) else None
        configuration = Configuration(prototype) if ours is None else ours.store.configuration
        self = cls.__new__(cls)
        self.__dict__ = shared_attributes(prototype, ("store", "_thread"))
        if bridgeManager is None:
            self.store = FileStore(configuration, configuration.new_records(), prototype)
        else:
            table = bridgeManager.opaque.register(configuration.table_name, configuration.table_spec)
            bridge = bridgeManager.register(configuration.name)
            if not isinstance(table, NativeOpaqueTableStorage):
                return None
            if not isinstance(bridge, NativeDatastoreRegistryBridge):
                return None
            self._table, self._bridge = table, bridge
            records = _core.FileRecords(table._table, bridge._locations, StoredFileInfo)
            self.store = FileStore(configuration, records, prototype)
        if ours is not None:
            self.store.take_formatters_of(ours.store)
        self.locationFactory = self.store.locations
        return self

    def clone(self, bridgeManager: DatastoreRegistryBridgeManager) -> Datastore:
        return self.from_prototype(self, bridgeManager) or super().clone(bridgeManager)

    @functools.cached_property
    def _table(self) -> NativeOpaqueTableStorage:  # type: ignore[override]
        """Table of the records, as upstream's methods know it."""
        return NativeOpaqueTableStorage.over(self.store.records.table, self.store.configuration.table_spec)

    @functools.cached_property
    def _bridge(self) -> NativeDatastoreRegistryBridge:  # type: ignore[override]
        """Locations of the datasets, as upstream's methods know them."""
        return NativeDatastoreRegistryBridge.over(self.store.records.locations)

    def _ours_or(self, upstreams: Callable[..., T], verb: Callable[..., T], /, *args: Any, **ours: Any) -> T:
        """Do something our way, or upstream's with the same positional arguments."""
        try:
            return verb(self.store, *args, **ours)
        except NotOurs:
            pass
        return upstreams(*args)

    def get(
        self,
        ref: DatasetRef,
        parameters: Mapping[str, Any] | None = None,
        storageClass: StorageClass | str | None = None,
    ) -> Any:
        return self._ours_or(super().get, reading.read, ref, parameters, storageClass)

    def put(self, inMemoryDataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None = None) -> None:
        self._ours_or(
            super().put, writing.put, inMemoryDataset, ref, provenance, transaction=self.current_transaction
        )

    def _register_datasets(
        self,
        refsAndInfos: Iterable[tuple[DatasetRef, StoredFileInfo]],
        insert_mode: DatabaseInsertMode = DatabaseInsertMode.INSERT,
    ) -> None:
        pairs = list(refsAndInfos)
        refs = [ref for ref, _ in pairs]
        infos = [info.rebase(ref) if ref.isComponent() else info for ref, info in pairs]
        self._register_undo("registerDatasets", self.store.add(refs, infos, _INSERT_MODES[insert_mode]))

    def forget(self, refs: Iterable[DatasetRef]) -> None:
        if self.journal is None:
            super().forget(refs)
        else:
            self.journal.forget(self, list(refs), super().forget)

    def _register_undo(self, name: str, undo: Callable[[], None]) -> None:
        """Let this thread's transaction, if any, know how to take a change back."""
        if (transaction := self.current_transaction()) is not None:
            transaction.registerUndo(name, undo)

    def getStoredItemsInfo(
        self, ref: DatasetIdRef, ignore_datastore_records: bool = False
    ) -> list[StoredFileInfo]:
        return self._ours_or(super().getStoredItemsInfo, FileStore.recorded, ref, ignore_datastore_records)

    def _get_dataset_locations_info(
        self, ref: DatasetIdRef, ignore_datastore_records: bool = False
    ) -> list[tuple[Location, StoredFileInfo]]:
        infos = self.getStoredItemsInfo(ref, ignore_datastore_records)
        return [(self.store.locations.of_record(info), info) for info in infos]

    def _get_stored_records_associated_with_refs(
        self, refs: Iterable[DatasetIdRef], ignore_datastore_records: bool = False
    ) -> dict[DatasetId, list[StoredFileInfo]]:
        refs = list(refs)
        if not ignore_datastore_records and any(carried_records(ref) is not None for ref in refs):
            return super()._get_stored_records_associated_with_refs(refs, ignore_datastore_records)
        # Upstream goes on to look up datasets without records.
        return defaultdict(list, self.store.records.get_many(refs))

    def knows(self, ref: DatasetRef) -> bool:
        if carried_records(ref) is not None:
            return super().knows(ref)
        return self.store.records.known([ref])[0]

    def knows_these(self, refs: Iterable[DatasetRef]) -> dict[DatasetRef, bool]:
        refs = list(refs)
        return dict(zip(refs, self.store.records.known(refs), strict=True))

    def exists(self, ref: DatasetRef) -> bool:
        return self._ours_or(super().exists, finding.exists, ref)

    def stored(self, ref: DatasetRef) -> bool:
        """Return whether one dataset exists, as `mexists` does for many."""
        return self._ours_or(self._stored_of_many, finding.exists, ref)

    def _stored_of_many(self, ref: DatasetRef) -> bool:
        return self.mexists([ref])[ref]

    def mexists(
        self, refs: Iterable[DatasetRef], artifact_existence: dict[ResourcePath, bool] | None = None
    ) -> dict[DatasetRef, bool]:
        refs = list(refs)
        if len(refs) < _CHUNK and not self.store.has_words(VERBOSE):
            return self._mexists(refs, artifact_existence)
        return super().mexists(refs, artifact_existence)

    def _mexists(
        self, refs: Sequence[DatasetRef], artifact_existence: dict[ResourcePath, bool] | None = None
    ) -> dict[DatasetRef, bool]:
        upstreams = super()._mexists
        return self._ours_or(upstreams, finding.all_exist, refs, artifact_existence, upstreams=upstreams)

    def _get_expected_dataset_locations_info(self, ref: DatasetRef) -> list[tuple[Location, StoredFileInfo]]:
        return self._ours_or(super()._get_expected_dataset_locations_info, finding.expected_locations, ref)

    def export_predicted_records(self, refs: Iterable[DatasetRef]) -> dict[str, DatastoreRecordData]:
        upstreams = super().export_predicted_records
        return self._ours_or(upstreams, finding.predict_records, list(refs), upstreams=upstreams)

    def unrecorded_files(self, refs: Sequence[DatasetRef]) -> list[tuple[str, str]] | None:
        """Return local files of datasets without records, and their formatters; `None` if that is not all."""
        try:
            return finding.unrecorded_files(self.store, refs)
        except NotOurs:
            return None

    def _cast_storage_class(self, ref: DatasetRef) -> DatasetRef:
        return self.store.as_registered(ref)

    def import_records(self, data: Mapping[str, DatastoreRecordData]) -> None:
        record_data = data.get(self.name)
        if not record_data:
            return
        records = cast(Any, record_data.records)
        try:
            undo = self.store.change(self.store.records.import_data, records)
        except TypeError as err:
            # What upstream raises for a record of another class.
            raise AssertionError("Expecting StoredFileInfo records") from err
        self._register_undo("importRecords", undo)

    def export_records(self, refs: Iterable[DatasetIdRef]) -> Mapping[str, DatastoreRecordData]:
        table_name = self.store.configuration.table_name
        records: dict[DatasetId, dict[str, list[StoredDatastoreItemInfo]]] = {
            dataset_id: {table_name: infos} for dataset_id, infos in self.store.records.export(refs).items()
        }
        return {self.name: DatastoreRecordData(records=records)}

    def export_table(self, datasets: Collection[DatasetId]) -> DatastoreRecordTable:
        return DatastoreRecordTable(pyarrow.table(self.store.records.export_table(datasets)))

    def import_table(self, table: DatastoreRecordTable) -> None:
        # Upstream checks the columns and casts them.
        columns = table.to_stored_file_info_table().to_arrow()
        try:
            undo = self.store.change(self.store.records.import_table, columns)
        except UnicodeError:
            # Upstream can tell what is wrong with the text.
            super().import_table(table)
        else:
            self._register_undo("importTable", undo)

    def trash(self, ref: DatasetRef | Iterable[DatasetRef], ignore_errors: bool = True) -> None:
        upstreams, refs = super().trash, ref if isinstance(ref, DatasetRef) else list(ref)
        with contextlib.nullcontext() if self.journal is None else self.transaction():
            self._ours_or(
                upstreams,
                removing.trash,
                refs,
                ignore_errors,
                transaction=self.current_transaction,
                upstreams=upstreams,
            )
            if self.journal is not None:
                self.journal.commit_if_alone()

    def _empty_trash_subset(
        self,
        *,
        ignore_errors: bool = True,
        selected_ids: Collection[DatasetId] | None = None,
        dry_run: bool = False,
    ) -> set[ResourcePath]:
        journal = None if dry_run else self.journal
        if journal is not None:
            # That they are in the trash, before anything is removed.
            journal.commit()
        options: dict[str, Any] = {"ignore_errors": ignore_errors, "dry_run": dry_run}
        confined = functools.partial(self._empty_confined_trash, **options)
        removed: set[ResourcePath] = self._ours_or(confined, removing.empty_trash, selected_ids, **options)
        if journal is not None:
            journal.commit_if_alone()
        return removed

    def _empty_confined_trash(
        self, selected_ids: Collection[DatasetId] | None, **options: bool
    ) -> set[ResourcePath]:
        """Empty the trash upstream's way; some path is not a plain one, and may lead anywhere."""
        with self.store.locations.confined():
            return super()._empty_trash_subset(selected_ids=selected_ids, **options)

    def getManyURIs(
        self, refs: Iterable[DatasetRef], predict: bool = False, allow_missing: bool = False
    ) -> dict[DatasetRef, DatasetRefURIs]:
        upstreams = super().getManyURIs
        return self._ours_or(upstreams, finding.many_uris, refs, predict, allow_missing, upstreams=upstreams)

    def get_file_info_for_transfer(self, dataset_ids: Iterable[DatasetId]) -> FileTransferMap:
        return finding.find_recorded_files(self.store, dataset_ids)

    def locate_missing_files_for_transfer(
        self, refs: Iterable[DatasetRef], artifact_existence: dict[ResourcePath, bool]
    ) -> FileTransferMap:
        return self._ours_or(
            super().locate_missing_files_for_transfer,
            finding.find_unrecorded_files,
            refs,
            artifact_existence,
        )
