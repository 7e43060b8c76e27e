"""Knowledge of formatters and of the storage classes that they serve."""

from __future__ import annotations

__all__ = (
    "FormatterCopies",
    "cached_dataset",
    "convert",
    "import_formatter",
    "import_reader",
    "override_storage_class",
    "temporary_file",
    "temporary_suffix",
    "with_todays_interface",
    "writes_as_upstream",
)

import copy
import functools
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any, cast

from lsst.daf.butler import (
    DatasetRef,
    Formatter,
    FormatterFactory,
    FormatterV1inV2,
    FormatterV2,
    StorageClass,
    _formatter,
)
from lsst.daf.butler.formatters.typeless import TypelessFormatter
from lsst.daf.butler.mapping_factory import MappingFactory
from lsst.resources import ResourcePath
from lsst.utils import doImportType

from ..locks import ForkSafeLock
from . import NotOurs

# The methods of `FormatterV2` that decide what happens around the formatter's
# own reading and writing, as they were before anybody could replace them.
_reading = attrgetter(
    "__init__",
    "read_directly_from_possibly_cached_uri",
    "read_from_possibly_cached_stream",
    "read_from_possibly_cached_local_file",
    "segregate_parameters",
)
_writing = attrgetter("write", "write_direct", "write_locally_then_move")
_READING, _WRITING = _reading(FormatterV2), _writing(FormatterV2)

# The ways of reading that are known here: as it is, or converted by upstream's
# base class for formats that do not keep the Python type.
_READ_AS_IT_IS = FormatterV2.read
_READ_AND_CONVERT = TypelessFormatter.read

# Upstream imports converters one by one when it first looks for one.  Another
# thread that comes in between finds those there are so far, and may conclude
# that there is none for its dataset.
_importing = ForkSafeLock()

# Subclasses convert in ways of their own.
_converting = attrgetter("coerce_type", "_get_converters_by_type")
_CONVERTING = _converting(StorageClass)


@functools.lru_cache(maxsize=1024)
def import_formatter(name: str) -> type[Formatter | FormatterV2]:
    """Import a formatter class."""
    try:
        formatter_class = doImportType(name)
    except (ImportError, TypeError):
        raise NotOurs from None
    if not issubclass(formatter_class, Formatter | FormatterV2):
        raise NotOurs
    return formatter_class


def import_reader(name: str) -> type[FormatterV2]:
    """Import a formatter class that replaces only how contents are read, and nothing around that."""
    reader = import_formatter(name)
    if not issubclass(reader, FormatterV2):
        raise NotOurs
    as_upstream = _READ_AND_CONVERT if issubclass(reader, TypelessFormatter) else _READ_AS_IT_IS
    if reader.read is not as_upstream or _reading(reader) != _READING:
        raise NotOurs
    return reader


def with_todays_interface(formatter: Formatter | FormatterV2, ref: DatasetRef) -> FormatterV2:
    """Return a formatter, or a shim for one of the earlier generation."""
    if isinstance(formatter, FormatterV2):
        return formatter
    return FormatterV1inV2(
        formatter.file_descriptor,
        ref=ref,
        formatter=formatter,
        write_parameters=formatter.write_parameters,
        write_recipes=formatter.write_recipes,
    )


def writes_as_upstream(formatter: FormatterV2) -> bool:
    """Return whether all that surrounds a formatter's ``to_bytes`` and ``write_local_file`` is upstream's."""
    return _writing(type(formatter)) == _WRITING


@functools.lru_cache(maxsize=256)
def temporary_suffix(extension: str) -> str | None:
    """Return how names of temporary files end, for upstream to find them; `None` if it cannot."""
    try:
        example = ResourcePath(f"name{extension}", forceAbsolute=False, forceDirectory=False)
        names: Any = vars(_formatter)["TemporaryForIngest"]
        suffix: str = names._get_temporary_suffix(example)
    except (AttributeError, KeyError):
        return None
    return suffix.removeprefix("name") if suffix.startswith("name") else None


def temporary_file(uri: ResourcePath) -> AbstractContextManager[ResourcePath]:
    """Return the time of a temporary file that is then copied to a server."""
    names: Any = vars(_formatter)["TemporaryForIngest"]
    return cast("AbstractContextManager[ResourcePath]", names.make_path(uri))


def cached_dataset(formatter: FormatterV2) -> DatasetRef:
    """Return the dataset or component under which the file cache keeps what a formatter writes."""
    return formatter._get_cache_ref()


def convert(dataset: Any, storage_class: StorageClass) -> Any:
    """Convert a dataset as a storage class does; converters are imported all at once, if it needs any."""
    if dataset is not None and not storage_class.validateInstance(dataset):
        with _importing:
            if storage_class._converters_by_type is None and _converting(type(storage_class)) == _CONVERTING:
                # The copy takes its time where nobody sees it.
                twin = copy.copy(storage_class)
                storage_class._converters_by_type = dict(twin._get_converters_by_type())
    return storage_class.coerce_type(dataset)


def override_storage_class(ref: DatasetRef, storage_class: StorageClass | str) -> DatasetRef:
    """Return a ref with another storage class, for which upstream may have to look at converters."""
    with _importing:
        return ref.overrideStorageClass(storage_class)


class FormatterCopies:
    """Copies of one factory of formatters, to which formatters can be added alone."""

    def __init__(self, original: FormatterFactory):
        self.original = original

    def make(self, like: FormatterFactory | None = None) -> FormatterFactory:
        """Make a copy, of the original or of another copy, that notices an addition."""
        factory = self.original if like is None else like
        other, mapping = FormatterFactory.__new__(FormatterFactory), factory._mappingFactory
        other.__dict__.update(factory.__dict__)
        other._mappingFactory = MappingFactory.__new__(MappingFactory)
        other._mappingFactory.__dict__.update(mapping.__dict__)
        registry = other._mappingFactory._registry = _Registry(mapping._registry)
        registry.copies = self
        registry.is_changed = like is not None and not self.have_unchanged(like)
        return other

    def have_unchanged(self, factory: FormatterFactory) -> bool:
        """Return whether a factory is a copy to which nothing was added."""
        registry = factory._mappingFactory._registry
        return type(registry) is _Registry and registry.copies is self and not registry.is_changed


class _Registry(dict[Any, Any]):
    """Upstream's registry of formatters, which notices an addition."""

    is_changed = False
    copies: FormatterCopies

    def __setitem__(self, key: Any, value: Any) -> None:
        self.is_changed = True
        super().__setitem__(key, value)
