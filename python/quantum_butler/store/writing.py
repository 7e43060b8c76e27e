"""Writing one dataset as one local file, and recording it.

Upstream's way from an object to a file serves every kind of store.  `put`
serves local ones: the place comes from a template that has been compiled for
the dataset type, and the contents go to a temporary file in the same folder,
which then takes the final name.  The formatter gives bytes or writes that file
itself, as it does upstream; one with its own idea of writing does all of it.
"""

from __future__ import annotations

__all__ = ("put",)

import contextlib
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, Formatter, FormatterV2
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.resources import ResourcePath
from lsst.utils.introspection import get_full_type_name

from .. import _core
from ..upstream import NotOurs
from ..upstream.formatters import (
    convert,
    import_formatter,
    temporary_suffix,
    with_todays_interface,
    writes_as_upstream,
)

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance

    from .local import LocalStore

_FROM_BYTES = FormatterV2.write_local_file


def put(
    store: LocalStore,
    dataset: Any,
    ref: DatasetRef,
    provenance: DatasetProvenance | None,
    *,
    transaction: Callable[[], DatastoreTransaction | None],
) -> None:
    """Write a whole dataset to its one local file, and record it; a transaction can take that back."""
    artifact = _Artifact(store, ref)
    if not artifact.formatter.can_accept(dataset):
        storage_class = ref.datasetType.storageClass
        dataset = convert(dataset, storage_class)
        if not isinstance(dataset, storage_class.pytype):
            raise NotOurs
    formatter = with_todays_interface(artifact.formatter, ref)
    as_upstream = writes_as_upstream(formatter)
    try:
        info = artifact.write(formatter, as_upstream, dataset, provenance)
        undo = store.add([ref], [info])
    except BaseException:
        # A transaction tells, as upstream's does, if that fails as well.
        failed = DatastoreTransaction()
        failed.registerUndo("artifactWrite", _remove_file, artifact.ospath)
        failed.rollback()
        raise
    if (current := transaction()) is not None:
        current.registerUndo("artifactWrite", _remove_file, artifact.ospath)
        current.registerUndo("registerDatasets", undo)


class _Artifact:
    """The one file of a dataset that is about to be written."""

    __slots__ = ("_location", "_path", "_placement", "_ref", "_store", "_suffix", "formatter", "ospath")

    formatter: Formatter | FormatterV2
    """What writes the file."""

    ospath: str
    """Where it goes, for the operating system."""

    def __init__(self, store: LocalStore, ref: DatasetRef):
        self._store = store
        self._ref = ref
        root = store.folder(may_be_cached=True)
        if store.as_registered(ref) is not ref:
            raise NotOurs
        path, placement = store.whole(ref)
        self._path, self._placement = path, placement
        self.ospath = root + path
        formatter_class = import_formatter(placement.formatter)
        if (suffix := temporary_suffix(placement.extension)) is None:
            raise NotOurs
        self._suffix = suffix
        try:
            # Upstream, too, tells the formatter of a path without extension.
            stem = path.removesuffix(placement.extension)
            self._location = store.locations.fromPath(stem, trusted_path=True)
            self.formatter = formatter_class(
                FileDescriptor(self._location, storageClass=ref.datasetType.storageClass),
                **placement.options,
                dataId=ref.dataId,
                ref=ref,
                provenance=None,
            )
        except Exception:
            # Upstream will say what is wrong.
            raise NotOurs from None

    def write(
        self, formatter: FormatterV2, as_upstream: bool, dataset: Any, provenance: DatasetProvenance | None
    ) -> StoredFileInfo:
        """Let a formatter write the file, which may have ideas of its own; return the record."""
        size = checksum = None
        try:
            if not as_upstream:
                formatter.write(dataset, cache_manager=self._store.cache, provenance=provenance)
            else:
                contents = formatter.add_provenance(dataset, provenance=provenance)
                if type(formatter).write_local_file is _FROM_BYTES:
                    size, checksum = self._write_bytes(formatter, contents)
                else:
                    size = self._let_write(formatter, contents)
        except Exception as err:
            raise RuntimeError(
                f"Failed to serialize dataset {self._ref} of type {get_full_type_name(dataset)} "
                f"using formatter {self.formatter.name()}."
            ) from err
        if size is None:
            size = self._final_uri().size()
        if checksum is None and self._store.has_checksums:
            checksum = FileDatastore.computeChecksum(self._final_uri())
        return StoredFileInfo(
            formatter=self._placement.formatter,
            path=self._path,
            storageClass=self._ref.datasetType.storageClass,
            component=None,
            checksum=checksum,
            file_size=size,
        )

    def _write_bytes(self, formatter: FormatterV2, contents: Any) -> tuple[int, str | None]:
        """Write the bytes that a formatter makes; return their number and, if wanted, their checksum."""
        temporary = self._temporary_name()
        try:
            # Only once: a dataset may be used up by being serialized.
            data = formatter.to_bytes(contents)
            if type(data) is not bytes:
                data = _to_bytes(data)
            try:
                _core.write_file(self.ospath, temporary, data)
            except FileNotFoundError:
                self._make_folder()
                _core.write_file(self.ospath, temporary, data)
        except Exception as err:
            self._add_note(err, contents, temporary)
            raise
        return len(data), hashlib.blake2b(data).hexdigest() if self._store.has_checksums else None

    def _let_write(self, formatter: FormatterV2, contents: Any) -> int | None:
        """Let a formatter write a temporary file, and move it into place; return its size, if known."""
        name = self._temporary_name()
        folder = os.path.dirname(self.ospath)
        temporary = f"{folder}/{name}"
        # Formatters do not make folders, and fail in many ways without.
        if not os.path.isdir(folder):
            self._make_folder()
        uri = self._store.locations.temporary_beside(self._location, name)
        size = None
        try:
            try:
                formatter.write_local_file(contents, uri)
            except Exception as err:
                self._add_note(err, contents, name)
                raise
            if (size := _move(temporary, self.ospath)) is None:
                # Upstream knows other ways, and what to say.
                self._final_uri().transfer_from(uri, transfer="move", overwrite=True)
        finally:
            if size is None:
                _remove_file(temporary)
        return size

    def _temporary_name(self) -> str:
        """Draw a name for a temporary file, of upstream's form."""
        # What an interrupted process leaves is known by all but the first
        # sixteen characters.
        stem = os.path.basename(self.ospath).removesuffix(self._placement.extension)
        return f"{secrets.token_hex(8)}{stem}{self._suffix}"

    def _make_folder(self) -> None:
        """Make the folder that the file goes into."""
        self._location.uri.dirname().mkdir()

    def _final_uri(self) -> ResourcePath:
        """Return where the file goes."""
        return self._store.locations.uri(self._path)

    def _add_note(self, error: Exception, contents: Any, temporary: str) -> None:
        """Say, as upstream does, what could not be written where."""
        uri = self._store.locations.temporary_beside(self._location, temporary)
        error.add_note(
            f"Failed to serialize dataset {self._ref} of type {get_full_type_name(contents)} to "
            f"temporary location {uri}."
        )


def _to_bytes(data: Any) -> bytes:
    """Return the bytes of anything that can be written to a file."""
    buffer = io.BytesIO()
    buffer.write(data)
    return buffer.getvalue()


def _move(path: str, to: str) -> int | None:
    """Rename an ordinary file; return its size, or `None` if it could not be moved or is none."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        os.rename(path, to)
    except OSError:
        return None
    return status.st_size


def _remove_file(path: str) -> None:
    """Remove a file unless that has happened."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
