"""One file datastore as far as it is ours: its records in Rust, its places, its file cache."""

from __future__ import annotations

__all__ = ("LOG", "Configuration", "Journal", "FileStore")

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from lsst.daf.butler import DatasetType, FormatterFactory
from lsst.daf.butler.datastore.cache_manager import AbstractDatastoreCacheManager
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.resources import ResourcePath

from .. import _core
from ..upstream import NotOurs, words
from ..upstream.caching import CacheSettings, cache_folder, is_known
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

LOG = words.DATASTORE
"""Log in which upstream's datastore counts what it does."""

Undo = Callable[[], None]


class Journal(Protocol):
    """Place besides memory where a butler's records are kept."""

    def commit(self) -> None:
        """Write what has changed, or raise."""

    def commit_if_alone(self) -> None:
        """Write what has changed, unless the thread is in a call at whose end that is done."""

    def commit_rest(self, error: BaseException) -> None:
        """Write what stays after a failure, if possible."""

    def forget(self, datastore: Any, refs: Sequence[Any], forget: Any) -> None:
        """Drop datasets with their records, but not their artifacts."""


class Configuration:
    """Facts that the configuration of a file datastore fixes once and for all."""

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


class FileStore:
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
    _has_foreign_cache = False

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
        if words.are_wanted(words.CACHING):
            # Upstream's manager says how it is configured when the datastore is made.
            self._cache = configuration.cache.make_manager()

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

    def take_formatters_of(self, other: FileStore) -> None:
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
        self._cache, self._has_foreign_cache = cache, True

    def has_words(self, level: int) -> bool:
        """Return whether upstream's datastore has words of this level or above that are wanted."""
        return LOG.isEnabledFor(level)

    def say_places(self, refs: Iterable[DatasetRef]) -> None:
        """Say, if that is wanted, what upstream says when it works out where datasets are expected."""
        for ref in refs:
            words.say_place(self, ref)

    def folder(self) -> str:
        """Return the local root."""
        if (root := self.root) is None:
            raise NotOurs
        return root

    def may_be_cached(self, refs: Iterable[DatasetRef]) -> bool:
        """Return whether the file cache is known to have a file of any of some datasets."""
        cache = self._cache
        return cache is not None and cache.file_count > 0 and any(is_known(cache, ref) for ref in refs)

    def remove_from_cache(self, refs: Iterable[DatasetRef]) -> None:
        """Remove what the file cache is known to have of some datasets."""
        if (cache := self._cache) is not None:
            cache.remove_from_cache(refs)

    def cache_folder(self) -> str | None:
        """Return the folder of the file cache, if it is there to be looked into."""
        return self._cache_folder if (cache := self._cache) is None else cache_folder(cache)

    def should_be_cached(self, ref: DatasetRef) -> bool:
        """Return whether the file cache takes a remote dataset that is read."""
        if self._has_foreign_cache:
            return self.cache.should_be_cached(ref)
        return self.configuration.cache.wants(ref)

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

    def configured_placements(self) -> Placements:
        """Return what decides on places, unless somebody has changed that."""
        formatters = self._formatters
        if formatters is not None and not self.configuration.formatters.have_unchanged(formatters):
            raise NotOurs
        placements = self._placements
        if not placements.are_by(self.templates, self.constraints, self.composites):
            raise NotOurs
        return placements

    def files_exist(self, paths: Sequence[str]) -> Sequence[bool]:
        """Return which files there are, by their plain paths, remote ones by upstream's bulk call."""
        if (root := self.root) is not None:
            return _core.files_exist(root, paths)
        uris = [self.locations.uri(path) for path in paths]
        found = ResourcePath.mexists(uris)
        return [found[uri] for uri in uris]

    def located(self, ref: DatasetRef) -> tuple[list[tuple[Location, StoredFileInfo]], bool]:
        """Return places and records of a dataset that is no component, and whether they are only expected."""
        if infos := self.recorded(ref):
            of_record = self.locations.of_record
            # Mostly one; a comprehension would cost more than that.
            files = []
            for info in infos:
                files.append((of_record(info), info))
            return files, False
        if not self.is_trusting:
            raise NotOurs
        of_path = self.locations.of_predicted
        return [(of_path(path), placement.predict(path)) for path, placement in self.expected(ref)], True

    def add(
        self,
        refs: Sequence[DatasetRef],
        infos: Sequence[StoredFileInfo],
        mode: Literal["insert", "ensure", "replace"] = "insert",
    ) -> Undo:
        """Add one record to each of some datasets; return what takes them back."""
        return self.change(self.records.add, refs, infos, mode)

    def change(self, change: Callable[..., Undo], *args: Any) -> Undo:
        """Add records, to the record file as well. Return a function that takes them back."""
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
