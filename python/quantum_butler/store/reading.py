"""Reading one dataset from one local file, without parsing URIs.

Upstream's way from a ref to an object serves every kind of file and store.
`read` serves the common kind only: a whole dataset in one local file, read by
a formatter of today's generation that does no more than its interface says.
Once a formatter has been asked to read its failure is final, as it is
upstream, and raised in upstream's words.
"""

from __future__ import annotations

__all__ = ("read",)

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, FileIntegrityError, StorageClass
from lsst.daf.butler.formatters.typeless import TypelessFormatter

from ..upstream import NotOurs
from ..upstream.formatters import convert, import_reader, override_storage_class

if TYPE_CHECKING:
    from .local import LocalStore

# Whether a formatter reads from a URI, a stream, a local file.
_ONE_WAY = ((True, False, False), (False, True, False), (False, False, True))
_SEVERAL_WAYS = ((True, True, False), (True, False, True), (False, True, True), (True, True, True))


def read(
    store: LocalStore,
    ref: DatasetRef,
    parameters: Mapping[str, Any] | None = None,
    storage_class: StorageClass | str | None = None,
) -> Any:
    """Read a whole dataset from its one local file."""
    if parameters is not None and not (isinstance(parameters, dict) and len(parameters) == 0):
        raise NotOurs
    root = store.folder_to_read()
    wanted = ref if storage_class is None else override_storage_class(ref, storage_class)
    if wanted.isComponent():
        raise NotOurs
    registered = store.as_registered(wanted)
    info, location = store.find(registered)
    ospath = root + info.path
    reader = import_reader(info.formatter)
    ways = reader.can_read_from_uri, reader.can_read_from_stream, reader.can_read_from_local_file
    if ways not in _ONE_WAY and (ways not in _SEVERAL_WAYS or store.cache.should_be_cached(registered)):
        # What is to be cached is read from a local file before all else.
        raise NotOurs
    read_storage_class = wanted.datasetType.storageClass
    expected_size = info.file_size
    try:
        size = os.stat(ospath).st_size
        formatter = reader(
            FileDescriptor(
                location,
                readStorageClass=read_storage_class,
                storageClass=info.storageClass,
                parameters=parameters,
            ),
            dataId=registered.dataId,
            ref=registered,
        )
    except Exception:
        # Upstream will say what is wrong.
        raise NotOurs from None
    if expected_size >= 0 and size != expected_size:
        raise NotOurs
    try:
        # In upstream's order, unless the dataset is one for the file cache.
        dataset: Any = NotImplemented
        if reader.can_read_from_uri:
            dataset = formatter.read_from_uri(location.uri, None, expected_size=expected_size)
        if dataset is NotImplemented and reader.can_read_from_stream:
            with location.uri.open("rb") as stream:
                dataset = formatter.read_from_stream(stream, None, expected_size=expected_size)
        if dataset is NotImplemented and reader.can_read_from_local_file:
            dataset = formatter.read_from_local_file(ospath, component=None, expected_size=expected_size)
        if dataset is NotImplemented:
            raise NotOurs
        if isinstance(formatter, TypelessFormatter):
            dataset = formatter._assemble_dataset(dataset, None)
            if dataset is None:
                raise NotOurs
    except (FileNotFoundError, FileIntegrityError, NotOurs):
        raise
    except Exception as err:
        notes = "".join(f"\n{note}" for note in getattr(err, "__notes__", ()))
        raise ValueError(
            f"Failure from formatter '{formatter.name()}' for dataset {ref.id}"
            f" ({ref.datasetType.name} from {location.uri}): {err}{notes}"
        ) from err
    if isinstance(dataset, read_storage_class.pytype):
        return dataset
    return convert(dataset, read_storage_class)
