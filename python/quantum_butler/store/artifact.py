"""One file of a dataset: where it goes, which formatter writes it, and how.

Upstream's way from an object to a file serves every kind of store.  Here a local
file's contents go to a temporary file in the same folder, which then takes the
final name.  The formatter gives bytes or writes that file itself, as it does
upstream; one with its own idea of writing does all of it.  Remote files are
written by upstream's URIs, as often as upstream's formatters do.
"""

from __future__ import annotations

__all__ = ("Artifact",)

import contextlib
import hashlib
import io
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, FormatterNotImplementedError, FormatterV2
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.resources import ResourcePath
from lsst.utils.introspection import get_full_type_name
from lsst.utils.timer import time_this

from .. import _core
from ..upstream import NotOurs, words
from ..upstream.formatters import (
    cached_dataset,
    convert,
    import_formatter,
    temporary_file,
    temporary_suffix,
    with_todays_interface,
    writes_as_upstream,
)
from .file_store import LOG
from .kept import KEPT

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance

    from .file_store import FileStore
    from .placement import Placement

_FROM_BYTES = FormatterV2.write_local_file


class Artifact:
    """One file of a dataset that is about to be written; the dataset is a component if it is taken apart."""

    __slots__ = ("_formatter", "_location", "_ospath", "_path", "_placement", "_ref", "_store", "_suffix")

    def __init__(self, store: FileStore, ref: DatasetRef, placement: Placement, path: str):
        self._store = store
        self._ref = ref
        self._path, self._placement = path, placement
        # For the operating system.
        self._ospath = "" if store.root is None else store.root + path
        formatter_class = import_formatter(placement.formatter)
        if (suffix := temporary_suffix(placement.extension)) is None:
            raise NotOurs
        self._suffix = suffix
        try:
            # Upstream, too, tells the formatter of a path without extension.
            stem = path.removesuffix(placement.extension)
            self._location = store.locations.fromPath(stem, trusted_path=True)
            self._formatter = formatter_class(
                FileDescriptor(
                    self._location,
                    storageClass=ref.datasetType.storageClass,
                    component=placement.component,
                ),
                **placement.options,
                dataId=ref.dataId,
                ref=ref,
                provenance=None,
            )
        except Exception:
            # Upstream will say what is wrong.
            raise NotOurs from None

    def converted(self, dataset: Any) -> Any:
        """Return a dataset as something that the formatter takes."""
        if not self._formatter.can_accept(dataset):
            storage_class = self._ref.datasetType.storageClass
            dataset = convert(dataset, storage_class)
            if not isinstance(dataset, storage_class.pytype):
                raise TypeError(
                    f"Inconsistency between supplied object ({type(dataset)}) "
                    f"and storage class type ({storage_class.pytype})"
                )
        return dataset

    def write(self, dataset: Any, provenance: DatasetProvenance | None, has_words: bool) -> StoredFileInfo:
        """Write a dataset to the file; return the record."""
        if not has_words:
            size, checksum = self._write(dataset, provenance, has_words)
        else:
            name = self._formatter.name()
            with time_this(LOG, msg="Writing dataset %s with formatter %s", args=(self._ref, name)):
                size, checksum = self._write(dataset, provenance, has_words)
        if size is None:
            size = self._final_uri().size()
        # Upstream has none of remote files.
        if checksum is None and self._ospath and self._store.has_checksums:
            checksum = FileDatastore.computeChecksum(self._final_uri())
        return StoredFileInfo(
            formatter=self._placement.formatter,
            path=self._path,
            storageClass=self._ref.datasetType.storageClass,
            component=self._placement.component,
            checksum=checksum,
            file_size=size,
        )

    def say_place(self) -> None:
        """Say what upstream says when it works out where the file goes."""
        words.say_artifact(self._store, self._ref)

    def remove(self) -> None:
        """Remove the file, unless that has happened."""
        if self._ospath:
            _remove_file(self._ospath)
        else:
            with contextlib.suppress(FileNotFoundError):
                self._final_uri().remove()

    def _write(
        self, dataset: Any, provenance: DatasetProvenance | None, has_words: bool
    ) -> tuple[int | None, str | None]:
        """Let a formatter write the file, maybe in its own way; return size and checksum, if known."""
        formatter = with_todays_interface(self._formatter, self._ref)
        try:
            # What is said of local files comes from many places.
            if not writes_as_upstream(formatter) or (has_words and self._ospath):
                formatter.write(dataset, cache_manager=self._store.cache, provenance=provenance)
                return None, None
            contents = formatter.add_provenance(dataset, provenance=provenance)
            if not self._ospath:
                return self._write_remote(formatter, contents, has_words), None
            if type(formatter).write_local_file is _FROM_BYTES:
                return self._write_bytes(formatter, contents)
            return self._let_write(formatter, contents), None
        except Exception as err:
            raise RuntimeError(
                f"Failed to serialize dataset {self._ref} of type {get_full_type_name(dataset)} "
                f"using formatter {self._formatter.name()}."
            ) from err

    def _write_remote(self, formatter: FormatterV2, contents: Any, has_words: bool) -> int | None:
        """Write to a server as upstream does, but do not ask it afterwards what has been written."""
        store, uri = self._store, self._final_uri()
        cached_as = cached_dataset(formatter)
        is_cached = store.cache.should_be_cached if has_words else store.should_be_cached
        if not is_cached(cached_as):
            try:
                data = formatter.to_bytes(contents)
            except FormatterNotImplementedError:
                pass
            except Exception as err:
                err.add_note(
                    f"Failed to serialize dataset {formatter.dataset_ref} of "
                    f"type {get_full_type_name(contents)} to bytes."
                )
                raise
            else:
                words.FORMATTER.debug("Writing bytes directly to %s", uri)
                uri.write(data, overwrite=True)
                words.FORMATTER.debug("Successfully wrote bytes directly to %s", uri)
                return len(data) if type(data) is bytes else None
        size = None
        with temporary_file(uri) as temporary:
            words.FORMATTER.debug("Writing dataset to temporary location at %s", temporary)
            try:
                formatter.write_local_file(contents, temporary)
            except Exception as err:
                _add_note(err, formatter, contents, temporary)
                raise
            # Upstream knows what to say of a file that is not there.
            with contextlib.suppress(OSError):
                size = temporary.size()
            uri.transfer_from(temporary, transfer="copy", overwrite=True)
            store.cache.move_to_cache(temporary, cached_as)
        words.FORMATTER.debug("Successfully wrote dataset to %s via a temporary file.", uri)
        return size

    def _write_bytes(self, formatter: FormatterV2, contents: Any) -> tuple[int, str | None]:
        """Write the bytes that a formatter makes to a local file."""
        temporary = self._temporary_name()
        try:
            # Only once: a dataset may be used up by being serialized.
            data = formatter.to_bytes(contents)
            if type(data) is not bytes:
                data = _to_bytes(data)
            try:
                _core.write_file(self._ospath, temporary, data)
            except FileNotFoundError:
                self._make_folder()
                _core.write_file(self._ospath, temporary, data)
        except Exception as err:
            uri = self._store.locations.temporary_beside(self._location, temporary)
            _add_note(err, formatter, contents, uri)
            raise
        if (kept := KEPT.get()) is not None:
            kept.append((self._placement.formatter, data))
        return len(data), hashlib.blake2b(data).hexdigest() if self._store.has_checksums else None

    def _let_write(self, formatter: FormatterV2, contents: Any) -> int | None:
        """Let a formatter write a temporary file, and move it into place; return its size, if known."""
        name = self._temporary_name()
        folder = os.path.dirname(self._ospath)
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
                _add_note(err, formatter, contents, uri)
                raise
            if (size := _move(temporary, self._ospath)) is None:
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
        stem = os.path.basename(self._ospath).removesuffix(self._placement.extension)
        return f"{secrets.token_hex(8)}{stem}{self._suffix}"

    def _make_folder(self) -> None:
        """Make the folder that the file goes into."""
        self._location.uri.dirname().mkdir()

    def _final_uri(self) -> ResourcePath:
        """Return where the file goes."""
        return self._store.locations.uri(self._path)


def _add_note(error: Exception, formatter: FormatterV2, contents: Any, uri: ResourcePath) -> None:
    """Say, as upstream does, what could not be written where."""
    error.add_note(
        f"Failed to serialize dataset {formatter.dataset_ref} of type {get_full_type_name(contents)} to "
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
