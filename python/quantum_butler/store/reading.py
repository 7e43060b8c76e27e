"""Reading one dataset, a component or a part of it, without parsing URIs.

Records and places are ours, whatever is asked for and wherever the files are.
What is local, in the datastore or in the file cache, is then read here, if
formatters of today's generation do no more than their interface says.  All else
is read by upstream's functions from the same places: remote files that have to
be downloaded, formatters with ideas of their own, and all that upstream has
something to say about in its logs.

Once a formatter has been asked to read its failure is final, as it is
upstream, and raised in upstream's words.
"""

from __future__ import annotations

__all__ = ("read",)

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import (
    DatasetRef,
    FileDescriptor,
    FileIntegrityError,
    FormatterV2,
    Location,
    StorageClass,
)
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.file_datastore.get import (
    generate_datastore_get_information,
    get_dataset_as_python_object_from_get_info,
)
from lsst.daf.butler.formatters.typeless import TypelessFormatter
from lsst.resources import ResourcePath

from .. import _core
from ..upstream import NotOurs, words
from ..upstream.caching import hold_file, release_file
from ..upstream.formatters import convert, import_reader, override_storage_class
from .choosing import Choice, File, choose
from .file_store import LOG

if TYPE_CHECKING:
    from .file_store import FileStore

# Whether a formatter reads from a URI, a stream, a local file.
_ONE_WAY = ((True, False, False), (False, True, False), (False, False, True))
_SEVERAL_WAYS = ((True, True, False), (True, False, True), (False, True, True), (True, True, True))


def read(
    store: FileStore,
    ref: DatasetRef,
    parameters: Mapping[str, Any] | None = None,
    storage_class: StorageClass | str | None = None,
) -> Any:
    """Read a dataset or a component from the files that it is in."""
    wanted = ref if storage_class is None else override_storage_class(ref, storage_class)
    component = wanted.datasetType.component()
    registered = store.as_registered(wanted if component is None else wanted.makeCompositeRef())
    cache = store.cache_folder()
    files, is_expected = store.located(registered)
    # From here on nothing gives way to upstream's method as a whole: some words may have been said.
    has_words = words.are_wanted(words.READING)
    if has_words:
        LOG.debug("Retrieve %s from %s with parameters %s", wanted, store.name, parameters)
    if is_expected:
        store.say_places([registered])
    if len(files) > 1 and store.is_trusting:
        files = _existing(store, files)
        if not files:
            raise FileNotFoundError(f"None of the component files for dataset {wanted} exist.")
    if not has_words and (store.root is not None or cache is not None):
        try:
            if (choice := choose(files, wanted, component)) is not None:
                return _read_here(store, choice, wanted, registered, parameters, cache)
        except NotOurs:
            pass
    return get_dataset_as_python_object_from_get_info(
        generate_datastore_get_information(
            files, registry_ref=registered, read_ref=wanted, parameters=parameters
        ),
        ref=wanted,
        parameters=parameters,
        cache_manager=store.cache,
    )


def _existing(store: FileStore, files: Sequence[File]) -> list[File]:
    """Return those of several files that are there."""
    paths = [info.path for _, info in files]
    if store.root is None or not all(map(_core.is_plain_path, paths)):
        return [file for file in files if file[0].uri.exists()]
    found = store.files_exist(paths)
    return [file for file, exists in zip(files, found, strict=True) if exists]


def _read_here(
    store: FileStore,
    choice: Choice,
    wanted: DatasetRef,
    registered: DatasetRef,
    parameters: Mapping[str, Any] | None,
    cache: str | None,
) -> Any:
    """Read what was chosen from local files, or from a folder of the file cache."""
    if parameters is not None and type(parameters) is not dict:
        raise NotOurs
    readings = []
    for file in choice.files:
        readings.append(_Reading(store, choice, file, registered, parameters))
    if parameters:
        (choice.checks or readings[0].info.storageClass).validateParameters(parameters)
    if not choice.is_assembled:
        return readings[0].read(wanted, parameters, cache)
    names = [info.component or "" for _, info in choice.files]
    try:
        parts = [wanted.makeComponentRef(name) for name in names]
    except Exception:
        # Upstream will say what is wrong, if it gets that far.
        raise NotOurs from None
    components = {
        name: reading.read(part, parameters, cache)
        for name, reading, part in zip(names, readings, parts, strict=True)
    }
    dataset = choice.storage_class.delegate().assemble(components)
    understood = {name for reading in readings for name in reading.understood}
    rest = {name: value for name, value in (parameters or {}).items() if name not in understood}
    return choice.storage_class.delegate().handleParameters(dataset, parameters=rest)


class _Reading:
    """One file that is about to be read."""

    __slots__ = (
        "_component",
        "_formatter",
        "_is_derived",
        "_location",
        "_ref",
        "_rest",
        "_store",
        "_ways",
        "info",
        "understood",
    )

    info: StoredFileInfo
    """The file's record."""

    understood: Mapping[str, Any]
    """Parameters that the formatter cares for."""

    _rest: Mapping[str, Any]
    _location: Location
    _formatter: FormatterV2

    def __init__(
        self,
        store: FileStore,
        choice: Choice,
        file: File,
        registered: DatasetRef,
        parameters: Mapping[str, Any] | None,
    ):
        self._store, self._component = store, choice.component
        self._ref = choice.ref or registered
        self._is_derived = choice.ref is not None
        self._location, info = file
        self.info = info
        reader = import_reader(info.formatter)
        self._ways = reader.can_read_from_uri, reader.can_read_from_stream, reader.can_read_from_local_file
        if self._ways not in _ONE_WAY and self._ways not in _SEVERAL_WAYS:
            raise NotOurs
        if not _core.is_plain_path(info.path):
            raise NotOurs
        # What is put together is read as it was written.
        storage_class = info.storageClass if choice.is_assembled else choice.storage_class
        try:
            self._formatter = reader(
                FileDescriptor(
                    self._location,
                    readStorageClass=storage_class,
                    storageClass=info.storageClass,
                    parameters=parameters,
                    component=info.component,
                ),
                dataId=registered.dataId,
                ref=self._ref,
            )
        except Exception:
            # Upstream will say what is wrong.
            raise NotOurs from None
        self.understood, self._rest = {}, {}
        if parameters:
            self.understood, others = self._formatter.segregate_parameters()
            # A derived component has no parameters of its own.
            self._rest = {} if self._is_derived else storage_class.filterParameters(others)

    def read(self, asked: DatasetRef, parameters: Mapping[str, Any] | None, cache: str | None) -> Any:
        """Read the file or its copy in the file cache, as what was asked for; fail in upstream's words."""
        formatter, held = self._formatter, None
        if cache is not None and (held := self._hold(cache)) is not None:
            uri, path = held, held.ospath
        elif (root := self._store.root) is not None:
            uri, path = self._location.uri, root + self.info.path
        else:
            raise NotOurs
        try:
            try:
                size = os.stat(path).st_size
            except OSError:
                raise NotOurs from None
            if 0 <= self.info.file_size != size:
                raise NotOurs
            # What is to be cached is read from a local file before all else.
            prefers_local = (
                self._ways in _SEVERAL_WAYS
                and self._component is None
                and not parameters
                and self._is_cached_when_read()
            )
            dataset = self._read_from(uri, path, prefers_local)
            if dataset is NotImplemented:
                raise NotOurs
            if isinstance(formatter, TypelessFormatter):
                dataset = formatter._assemble_dataset(dataset, self._component)
                if dataset is None and self._component is None:
                    raise NotOurs
        except (FileNotFoundError, FileIntegrityError, NotOurs):
            raise
        except Exception as err:
            notes = "".join(f"\n{note}" for note in getattr(err, "__notes__", ()))
            raise ValueError(
                f"Failure from formatter '{formatter.name()}' for dataset {asked.id}"
                f" ({asked.datasetType.name} from {self._location.uri}): {err}{notes}"
            ) from err
        finally:
            if held is not None:
                release_file(path)
        storage_class = asked.datasetType.storageClass
        if self._rest:
            dataset = storage_class.delegate().handleParameters(dataset, self._rest)
        if isinstance(dataset, storage_class.pytype) or (dataset is None and self._component is not None):
            return dataset
        return convert(dataset, storage_class)

    def _read_from(self, uri: ResourcePath, path: str, prefers_local: bool) -> Any:
        """Read a local file in each way that the formatter knows, until one works."""
        formatter, component, size = self._formatter, self._component, self.info.file_size
        from_uri, from_stream, from_path = self._ways
        dataset: Any = NotImplemented
        if from_uri and not prefers_local:
            dataset = formatter.read_from_uri(uri, component, expected_size=size)
        if dataset is NotImplemented and from_stream and not (prefers_local and (from_uri or from_path)):
            with uri.open("rb") as stream:
                dataset = formatter.read_from_stream(stream, component, expected_size=size)
        if dataset is NotImplemented and from_path:
            dataset = formatter.read_from_local_file(path, component=component, expected_size=size)
        if dataset is NotImplemented and from_uri:
            dataset = formatter.read_from_uri(uri, component=component, expected_size=size)
        return dataset

    def _hold(self, cache: str) -> ResourcePath | None:
        """Return a URI of the file's copy in the file cache, if there is one; it has to be released."""
        if self._is_derived:
            # Of what else it is derived only upstream knows the name in the cache.
            raise NotOurs
        return hold_file(cache, self._ref, self.info.component, self._location.uri.getExtension())

    def _is_cached_when_read(self) -> bool:
        """Return whether the file cache takes the file when it is read."""
        ref, component = self._ref, self.info.component
        try:
            return self._store.should_be_cached(ref if component is None else ref.makeComponentRef(component))
        except Exception:
            raise NotOurs from None
