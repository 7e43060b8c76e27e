"""Reading and writing one dataset as one local file, without URI objects.

Upstream's way from a ref to an object and back serves every kind of file,
store and formatter.  The functions here serve the common kind only: a whole
dataset in one local file, in and out of a formatter of today's generation
that does no more than its interface says.  Anything else they leave to
upstream: `DEFERRED` is returned, nothing has changed, and upstream's own code
gives the answer or raises the error.  Once a formatter has been asked to work
its failure is final, as it is upstream, and raised in upstream's words.
"""

from __future__ import annotations

__all__ = ("DEFERRED", "read_artifact", "write_artifact")

import contextlib
import functools
import hashlib
import logging
import os
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, FileIntegrityError, FormatterV2
from lsst.daf.butler.datastore.generic_base import post_process_get
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.formatters.typeless import TypelessFormatter
from lsst.utils import doImportType
from lsst.utils.introspection import get_full_type_name

from . import _core
from .path_templates import is_plain_path

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance
    from lsst.daf.butler.datastore import DatastoreTransaction

    from .file_datastore import NativeFileDatastore

DEFERRED = object()
"""What is returned for a dataset that upstream must handle."""

# Upstream times and describes each step at this level.
_UPSTREAM_LOG = logging.getLogger("lsst.daf.butler")

# What a formatter must leave as it is for these functions to stand in for it.
_READING = (
    "__init__",
    "read_directly_from_possibly_cached_uri",
    "read_from_possibly_cached_local_file",
    "segregate_parameters",
)
_WRITING = ("__init__", "write", "write_direct", "write_locally_then_move", "write_local_file")

# As they were before anybody could replace them.
_ORIGINAL = {method: getattr(FormatterV2, method) for method in (*_READING, *_WRITING)}

# The ways of reading that are known here: as it is, or converted by upstream's
# base class for formats that do not keep the Python type.
_READ_AS_IT_IS = FormatterV2.read
_READ_AND_CONVERT = TypelessFormatter.read


def read_artifact(datastore: NativeFileDatastore, ref: DatasetRef) -> Any:
    """Read a whole dataset from its one local file.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore with a local root.
    ref : `DatasetRef`
        Dataset, with the storage class to return it as.

    Returns
    -------
    dataset : `object`
        The dataset, or `DEFERRED`.
    """
    root = datastore.root_path
    if root is None or ref.isComponent() or _UPSTREAM_LOG.isEnabledFor(logging.DEBUG):
        return DEFERRED
    registry_ref = datastore._cast_storage_class(ref)
    infos = datastore.getStoredItemsInfo(registry_ref)
    if not infos and datastore.trustGetRequest:
        infos = [placement.predict(path) for path, placement in datastore._predict(registry_ref) or ()]
    if len(infos) != 1 or (info := infos[0]).component is not None or not is_plain_path(info.path):
        return DEFERRED
    formatter_class = _reader(info.formatter)
    if formatter_class is None or datastore.may_find_in_cache():
        return DEFERRED
    path = root + info.path
    try:
        size = os.stat(path).st_size
        if info.file_size >= 0 and size != info.file_size:
            return DEFERRED
        location = datastore.locationFactory.fromPath(info.path, trusted_path=True)
        formatter = formatter_class(
            FileDescriptor(
                location, readStorageClass=ref.datasetType.storageClass, storageClass=info.storageClass
            ),
            dataId=registry_ref.dataId,
            ref=registry_ref,
        )
    except Exception:
        # Upstream will say what is wrong.
        return DEFERRED
    try:
        if formatter_class.can_read_from_local_file:
            dataset = formatter.read_from_local_file(path, expected_size=info.file_size)
        else:
            dataset = formatter.read_from_uri(location.uri, expected_size=info.file_size)
        if dataset is NotImplemented:
            return DEFERRED
        if isinstance(formatter, TypelessFormatter):
            dataset = formatter._assemble_dataset(dataset, None)
            if dataset is None:
                return DEFERRED
    except (FileNotFoundError, FileIntegrityError):
        raise
    except Exception as err:
        notes = "".join(f"\n{note}" for note in getattr(err, "__notes__", ()))
        raise ValueError(
            f"Failure from formatter '{formatter.name()}' for dataset {ref.id}"
            f" ({ref.datasetType.name} from {location.uri}): {err}{notes}"
        ) from err
    return post_process_get(dataset, ref.datasetType.storageClass)


def write_artifact(
    datastore: NativeFileDatastore,
    dataset: Any,
    ref: DatasetRef,
    provenance: DatasetProvenance | None,
    transaction: DatastoreTransaction,
) -> Any:
    """Write a whole dataset to its one local file.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore with a local root.
    dataset : `object`
        The dataset.
    ref : `DatasetRef`
        Reference to the dataset.
    provenance : `DatasetProvenance` or `None`
        Provenance to attach to the file.
    transaction : `DatastoreTransaction`
        Transaction that removes the file again if it fails.

    Returns
    -------
    info : `StoredFileInfo`
        Record of the file, or `DEFERRED`.
    """
    root = datastore.root_path
    if root is None or _UPSTREAM_LOG.isEnabledFor(logging.DEBUG):
        return DEFERRED
    if datastore._cast_storage_class(ref) is not ref:
        return DEFERRED
    predicted = datastore._predict(ref)
    if predicted is None or len(predicted) != 1 or not datastore._fixed.placements.acceptable(ref):
        return DEFERRED
    path, placement = predicted[0]
    formatter_class = _writer(placement.formatter)
    if placement.component is not None or formatter_class is None:
        return DEFERRED
    storage_class = ref.datasetType.storageClass
    try:
        # Upstream, too, tells the formatter of a path without extension.
        stem = path.removesuffix(placement.extension)
        location = datastore.locationFactory.fromPath(stem, trusted_path=True)
        formatter = formatter_class(
            FileDescriptor(location, storageClass=storage_class),
            **placement.options,
            dataId=ref.dataId,
            ref=ref,
            provenance=None,
        )
    except Exception:
        # Upstream will say what is wrong.
        return DEFERRED
    if not formatter.can_accept(dataset):
        coerced = storage_class.coerce_type(dataset)
        if not isinstance(coerced, storage_class.pytype):
            return DEFERRED
        dataset = coerced
    transaction.registerUndo("artifactWrite", _remove_file, root + path)
    try:
        # Only once: a dataset may be used up by being serialized.
        data: Any = formatter.to_bytes(formatter.add_provenance(dataset, provenance=provenance))
        if isinstance(data, bytearray | memoryview):
            data = bytes(data)
        _core.write_file(root + path, data)
    except Exception as err:
        raise RuntimeError(
            f"Failed to serialize dataset {ref} of type {get_full_type_name(dataset)} "
            f"using formatter {formatter.name()}."
        ) from err
    return StoredFileInfo(
        formatter=placement.formatter,
        path=path,
        storageClass=storage_class,
        component=None,
        checksum=hashlib.blake2b(data).hexdigest() if datastore.useChecksum else None,
        file_size=len(data),
    )


def _remove_file(path: str) -> None:
    """Remove a file unless that has happened."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _reader(name: str) -> type[FormatterV2] | None:
    """Return a formatter class if it reads local files in the plain way."""
    formatter_class = _plain_formatter(name, _READING)
    if formatter_class is None:
        return None
    convert = issubclass(formatter_class, TypelessFormatter)
    if formatter_class.read is not (_READ_AND_CONVERT if convert else _READ_AS_IT_IS):
        return None
    # With several, the file cache's configuration decides which is asked first.
    can_read = (
        formatter_class.can_read_from_local_file,
        formatter_class.can_read_from_uri,
        formatter_class.can_read_from_stream,
    )
    return formatter_class if can_read in ((True, False, False), (False, True, False)) else None


def _writer(name: str) -> type[FormatterV2] | None:
    """Return a formatter class if it writes by making bytes alone."""
    formatter_class = _plain_formatter(name, _WRITING)
    if formatter_class is None or formatter_class.to_bytes is FormatterV2.to_bytes:
        return None
    return formatter_class


def _plain_formatter(name: str, inherited: tuple[str, ...]) -> type[FormatterV2] | None:
    """Return a formatter class of that name if it leaves methods alone."""
    formatter_class = _import_formatter(name)
    if formatter_class is None or any(
        getattr(formatter_class, method) is not _ORIGINAL[method] for method in inherited
    ):
        return None
    return formatter_class


@functools.lru_cache(maxsize=1024)
def _import_formatter(name: str) -> type[FormatterV2] | None:
    """Import a formatter class of today's generation."""
    try:
        formatter_class = doImportType(name)
    except (ImportError, TypeError):
        # Upstream will say so.
        return None
    return formatter_class if issubclass(formatter_class, FormatterV2) else None
