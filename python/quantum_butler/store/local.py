"""One file datastore as far as it is ours: its records in Rust, its places, its files below a local root."""

from __future__ import annotations

__all__ = ("LOG", "Configuration", "Journal", "LocalStore")

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from lsst.daf.butler import DatasetType, FormatterFactory
from lsst.daf.butler.datastore.cache_manager import AbstractDatastoreCacheManager
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.utils.logging import getLogger

from .. import _core
from ..upstream import NotOurs
from ..upstream.datastores import CacheSettings
from ..upstream.formatters import FormatterCopies, override_storage_class
from ..upstream.locations import PlainLocationFactory
from ..upstream.paths import local_root
from ..upstream.refs import carried_records
from .columns import Columns, sql_error
from .placement import Placement, Placements

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef, Location
    from lsst.daf.butler.datastore.composites import CompositesMap
    from lsst.daf.butler.datastore.constraints import Constraints
    from lsst.daf.butler.datastore.file_templates import FileTemplates
    from lsst.daf.butler.registry.interfaces import DatasetIdRef

LOG = getLogger(FileDatastore.__module__)
"""Log in which upstream's datastore counts what it does."""

# Upstream times and describes each step here.
_PACKAGE_LOG = logging.getLogger("lsst.daf.butler")

Undo = Callable[[], None]


class Journal(Protocol):
    """Where a butler's records are kept besides memory."""

    def commit(self) -> None:
        """Write what has changed, or raise."""

    def commit_if_alone(self) -> None:
        """Write what has changed, unless the thread is in a call at whose end that is done."""

    def commit_rest(self, error: BaseException) -> None:
        """Write what stays after a failure, if possible."""

    def forget(self, datastore: Any, refs: Sequence[Any], forget: Any) -> None:
        """Drop datasets with their records, but not their artifacts."""


class Configuration:
    """What the configuration of a file datastore fixes once and for all."""

    def __init__(self, prototype: FileDatastore):
        [(self.table_name, definition)] = prototype.get_opaque_table_definitions().items()
        self.table_spec = definition.table_spec
        self.name = prototype.name
        self.root = local_root(prototype.root)
        self.locations = PlainLocationFactory(prototype.locationFactory)
        self.formatters = FormatterCopies(prototype.formatterFactory)
        self.placements = Placements(prototype)
        self.cache = CacheSettings(prototype)
        self._no_records = _core.FileRecords(
            Columns.of(self.table_name, self.table_spec).make_table(),
            _core.Locations(self.name),
            StoredFileInfo,
        )

    def new_records(self) -> _core.FileRecords:
        """Make an empty store of records."""
        return self._no_records.empty_copy()


class LocalStore:
    """One file datastore as far as it is ours.

    A question that only upstream can answer raises `NotOurs`.
    """

    # A caller may change at run time what decides.
    templates: FileTemplates
    composites: CompositesMap
    constraints: Constraints
    is_trusting: bool
    """Whether there may be datasets without records."""

    has_checksums: bool
    """Whether records have checksums."""

    retrieve_dataset_type: Callable[[str], DatasetType | None] | None = None
    """Looks up the registry's definition of a dataset type."""

    journal: Journal | None = None
    """File that has the records, too, if there is one."""

    _formatters: FormatterFactory | None = None
    _cache: AbstractDatastoreCacheManager | None = None

    def __init__(self, configuration: Configuration, records: _core.FileRecords, like: FileDatastore):
        self.configuration = configuration
        self.records = records
        self.name = configuration.name
        self.root = configuration.root
        self.locations = configuration.locations
        self._placements = configuration.placements
        self._cache_folder = configuration.cache.folder()
        self.templates = like.templates
        self.composites = like.composites
        self.constraints = like.constraints
        self.is_trusting = like.trustGetRequest
        self.has_checksums = like.useChecksum

    # Formatters and file cache are made when first needed; two threads that
    # come here at once must get the same.

    @property
    def formatters(self) -> FormatterFactory:
        """Formatters of this datastore alone."""
        if (formatters := self._formatters) is None:
            formatters = self.__dict__.setdefault("_formatters", self.configuration.formatters.make())
        return formatters

    @formatters.setter
    def formatters(self, formatters: FormatterFactory) -> None:
        self._formatters = formatters

    def take_formatters_of(self, other: LocalStore) -> None:
        """Begin with the formatters of another store, if it has any of its own."""
        if (formatters := other._formatters) is not None:
            self._formatters = self.configuration.formatters.make(formatters)

    @property
    def cache(self) -> AbstractDatastoreCacheManager:
        """Manager of the local file cache."""
        if (cache := self._cache) is None:
            cache = self.__dict__.setdefault("_cache", self.configuration.cache.make_manager())
        return cache

    @cache.setter
    def cache(self, cache: AbstractDatastoreCacheManager) -> None:
        self._cache = cache

    def has_words(self, level: int) -> bool:
        """Return whether upstream's words of this level or above are wanted."""
        return _PACKAGE_LOG.isEnabledFor(level) or LOG.isEnabledFor(level)

    def folder(self, level: int = logging.DEBUG, *, may_be_cached: bool = False) -> str:
        """Return the local root, if upstream has no words of a level, and the file cache knows of no file."""
        if (root := self.root) is None or self.has_words(level):
            raise NotOurs
        if not may_be_cached and (cache := self._cache) is not None and cache.file_count:
            raise NotOurs
        return root

    def folder_to_read(self) -> str:
        """Return the same, if there is none in the file cache, whether it knows of it or not."""
        if self._cache_folder is not None:
            try:
                with os.scandir(self._cache_folder) as files:
                    if next(files, None) is not None:
                        raise NotOurs
            except FileNotFoundError:
                pass
        return self.folder()

    def as_registered(self, ref: DatasetRef) -> DatasetRef:
        """Return a ref with the repository's storage class; the very same if that is what it has."""
        # Upstream copies it in any case.
        if (retrieve := self.retrieve_dataset_type) is not None:
            dataset_type = retrieve(ref.datasetType.name)
            if (
                dataset_type is not None
                and dataset_type.storageClass_name != ref.datasetType.storageClass_name
            ):
                return override_storage_class(ref, dataset_type.storageClass_name)
        return ref

    def recorded(self, ref: DatasetIdRef, ignore_datastore_records: bool = False) -> list[StoredFileInfo]:
        """Return the records of a dataset, or those that its ref carries."""
        if ignore_datastore_records or (carried := carried_records(ref)) is None:
            return self.records.get(ref)
        infos = carried.get(self.configuration.table_name, [])
        if not all(isinstance(info, StoredFileInfo) for info in infos):
            raise NotOurs
        return cast("list[StoredFileInfo]", infos)

    def expected(self, ref: DatasetRef) -> list[tuple[str, Placement]]:
        """Return where the artifacts of a dataset with the repository's storage class are expected."""
        return self.configured_placements().expected(ref)

    def whole(self, ref: DatasetRef) -> tuple[str, Placement]:
        """Return where such a dataset goes, if it is written as one artifact."""
        return self.configured_placements().whole(ref)

    def configured_placements(self) -> Placements:
        """Return what decides on places, unless somebody has changed that."""
        formatters = self._formatters
        if formatters is not None and not self.configuration.formatters.have_unchanged(formatters):
            raise NotOurs
        placements = self._placements
        if not placements.are_by(self.templates, self.constraints, self.composites):
            raise NotOurs
        return placements

    def find(self, ref: DatasetRef) -> tuple[StoredFileInfo, Location]:
        """Return record and place of a whole dataset in one plain artifact, recorded or expected."""
        infos = self.recorded(ref)
        if not infos and self.is_trusting:
            infos = [placement.predict(path) for path, placement in self.expected(ref)]
        if len(infos) != 1 or (info := infos[0]).component is not None:
            raise NotOurs
        path = info.path
        if _core.is_unquoted_path(path):
            return info, self.locations.of_unquoted(path)
        if _core.is_plain_path(path):
            return info, info.file_location(self.locations)
        raise NotOurs

    def add(
        self,
        refs: Sequence[DatasetRef],
        infos: Sequence[StoredFileInfo],
        mode: Literal["insert", "ensure", "replace"] = "insert",
    ) -> Undo:
        """Add one record to each of some datasets; return what takes them back."""
        return self.change(self.records.add, refs, infos, mode)

    def change(self, change: Callable[..., Undo], *args: Any) -> Undo:
        """Add records, in the file, too, with errors in terms of SQL; return what takes them back."""
        try:
            undo = change(*args)
        except (_core.DuplicateKeyError, _core.UnfitValueError) as err:
            statement = f"INSERT INTO {self.configuration.table_name}"
            raise sql_error(statement, {"datastore_name": self.name}, err) from err
        if (journal := self.journal) is not None:
            try:
                journal.commit_if_alone()
            except BaseException:
                undo()
                raise
        return undo
