"""Reading one dataset from one local file, without parsing URIs.

Upstream's way from a ref to an object serves every kind of file and store.
`read_artifact` serves the common kind only: a whole dataset in one local file,
read by a formatter of today's generation that does no more than its interface
says.  Anything else it leaves to upstream: `DEFERRED` is returned, nothing has
changed, and upstream's own code gives the answer or raises the error.  Once a
formatter has been asked to read its failure is final, as it is upstream, and
raised in upstream's words.
"""

from __future__ import annotations

__all__ = ("DEFERRED", "read_artifact")

import logging
import os
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, FileIntegrityError, FormatterV2
from lsst.daf.butler.datastore.generic_base import post_process_get
from lsst.daf.butler.formatters.typeless import TypelessFormatter

from ..upstream.converters import import_converters
from ..upstream.formatters import import_formatter, reads_as_upstream
from ..upstream.templates import is_plain_path

if TYPE_CHECKING:
    from lsst.resources import ResourcePath

    from ..datastore.file import NativeFileDatastore

DEFERRED = object()
"""What is returned for a dataset that upstream must read."""

# Upstream times and describes each step at this level.
_UPSTREAM_LOG = logging.getLogger("lsst.daf.butler")

# Whether a formatter reads from a URI, a stream, a local file.
_ONE_WAY = ((True, False, False), (False, True, False), (False, False, True))
_SEVERAL_WAYS = ((True, True, False), (True, False, True), (False, True, True), (True, True, True))


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
    formatter_class = _reader(datastore, registry_ref, info.formatter)
    if formatter_class is None or datastore.may_find_in_cache():
        return DEFERRED
    path = root + info.path
    read_storage_class = ref.datasetType.storageClass
    try:
        size = os.stat(path).st_size
        if info.file_size >= 0 and size != info.file_size:
            return DEFERRED
        location = datastore.locations.of_record(info)
        formatter = formatter_class(
            FileDescriptor(location, readStorageClass=read_storage_class, storageClass=info.storageClass),
            dataId=registry_ref.dataId,
            ref=registry_ref,
        )
    except Exception:
        # Upstream will say what is wrong.
        return DEFERRED
    try:
        dataset = _read(formatter, location.uri, path, info.file_size)
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
    if not isinstance(dataset, read_storage_class.pytype):
        import_converters(read_storage_class)
    return post_process_get(dataset, read_storage_class)


def _read(formatter: FormatterV2, uri: ResourcePath, path: str, size: int) -> Any:
    """Let a formatter read a file in the first way that it knows.

    Parameters
    ----------
    formatter : `FormatterV2`
        The formatter.
    uri, path : `ResourcePath`, `str`
        The file.
    size : `int`
        Size that the file should have; negative if that is not known.

    Returns
    -------
    contents : `object`
        What the formatter made of it, or `NotImplemented`.
    """
    # Upstream's order, unless the dataset is one for the file cache.
    contents = NotImplemented
    if formatter.can_read_from_uri:
        contents = formatter.read_from_uri(uri, None, expected_size=size)
    if contents is NotImplemented and formatter.can_read_from_stream:
        with uri.open("rb") as stream:
            contents = formatter.read_from_stream(stream, None, expected_size=size)
    if contents is NotImplemented and formatter.can_read_from_local_file:
        contents = formatter.read_from_local_file(path, component=None, expected_size=size)
    return contents


def _reader(datastore: NativeFileDatastore, ref: DatasetRef, name: str) -> type[FormatterV2] | None:
    """Return a formatter class if it reads local files in the plain way.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore that the file is in.
    ref : `DatasetRef`
        Dataset with the storage class of the repository.
    name : `str`
        Name of the formatter class.

    Returns
    -------
    formatter_class : `type` or `None`
        The class; `None` if only upstream can tell in which way it will read.
    """
    formatter_class = import_formatter(name)
    if formatter_class is None or not issubclass(formatter_class, FormatterV2):
        return None
    if not reads_as_upstream(formatter_class):
        return None
    ways = (
        formatter_class.can_read_from_uri,
        formatter_class.can_read_from_stream,
        formatter_class.can_read_from_local_file,
    )
    if ways in _ONE_WAY or (ways in _SEVERAL_WAYS and not datastore.cacheManager.should_be_cached(ref)):
        return formatter_class
    return None
