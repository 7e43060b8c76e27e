"""Writing one dataset as one local file, and recording it.

Upstream's way from an object to a file serves every kind of store.
`put_artifact` serves local ones: the place comes from a template that has been
compiled for the dataset type, and the contents go to a temporary file in the
same folder, which then takes the final name.  The formatter gives bytes or
writes that file itself, as it does upstream; one with its own idea of writing
does all of it.  Whatever only upstream can decide is left to it before
anything has happened.
"""

from __future__ import annotations

__all__ = ("put_artifact", "temporary_suffix")

import contextlib
import functools
import hashlib
import io
import logging
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef, FileDescriptor, Formatter, FormatterV1inV2, FormatterV2, _formatter
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.resources import ResourcePath
from lsst.utils.introspection import get_full_type_name

from .. import _core
from ..upstream.converters import import_converters
from ..upstream.formatters import import_formatter, writes_as_upstream

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetProvenance, Location

    from ..datastore.file import NativeFileDatastore
    from .placement import Placement

# Upstream times and describes each step at this level.
_UPSTREAM_LOG = logging.getLogger("lsst.daf.butler")

_FROM_BYTES = FormatterV2.write_local_file


def put_artifact(
    datastore: NativeFileDatastore, dataset: Any, ref: DatasetRef, provenance: DatasetProvenance | None
) -> bool:
    """Write a whole dataset to its one local file, and record it.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore to put it into.
    dataset : `object`
        The dataset.
    ref : `DatasetRef`
        Reference to the dataset.
    provenance : `DatasetProvenance` or `None`
        Provenance to attach to the file.

    Returns
    -------
    done : `bool`
        `False` if nothing has happened, because only upstream can do it or
        say why not.

    Raises
    ------
    RuntimeError
        Raised if the formatter fails.
    TypeError
        Raised if the dataset cannot be made what the storage class demands.
    sqlalchemy.exc.IntegrityError
        Raised if the dataset is recorded already.
    """
    if (artifact := _prepare(datastore, ref)) is None:
        return False
    if not artifact.formatter.can_accept(dataset):
        storage_class = ref.datasetType.storageClass
        import_converters(storage_class)
        coerced = storage_class.coerce_type(dataset)
        if not isinstance(coerced, storage_class.pytype):
            return False
        dataset = coerced
    try:
        info = artifact.write(dataset, provenance)
        undo = datastore.add_records([ref], [info])
    except BaseException:
        # A transaction tells, as upstream's does, if that fails as well.
        failed = DatastoreTransaction()
        failed.registerUndo("artifactWrite", _remove_file, artifact.ospath)
        failed.rollback()
        raise
    if (transaction := datastore._transaction) is not None:
        transaction.registerUndo("artifactWrite", _remove_file, artifact.ospath)
        transaction.registerUndo("registerDatasets", undo)
    return True


def _prepare(datastore: NativeFileDatastore, ref: DatasetRef) -> _Artifact | None:
    """Find out where and by what a dataset is to be written.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore to put it into.
    ref : `DatasetRef`
        Reference to the dataset.

    Returns
    -------
    artifact : `_Artifact` or `None`
        Its artifact; `None` if only upstream can tell.
    """
    if datastore.root_path is None or _UPSTREAM_LOG.isEnabledFor(logging.DEBUG):
        return None
    if datastore._cast_storage_class(ref) is not ref or (found := datastore.place_of_whole(ref)) is None:
        return None
    path, placement = found
    formatter_class = import_formatter(placement.formatter)
    if formatter_class is None or temporary_suffix(placement.extension) is None:
        return None
    try:
        # Upstream, too, tells the formatter of a path without extension.
        stem = path.removesuffix(placement.extension)
        location = datastore.locations.fromPath(stem, trusted_path=True)
        formatter = formatter_class(
            FileDescriptor(location, storageClass=ref.datasetType.storageClass),
            **placement.options,
            dataId=ref.dataId,
            ref=ref,
            provenance=None,
        )
    except Exception:
        # Upstream will say what is wrong.
        return None
    return _Artifact(datastore, ref, path, placement, location, formatter)


class _Artifact:
    """A file that is about to be written.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore that it belongs to.
    ref : `DatasetRef`
        Dataset that it will hold.
    path : `str`
        Where it goes, relative to the datastore's root.
    placement : `Placement`
        What the configuration says of it.
    location : `Location`
        Where it goes, without the extension.
    formatter : `Formatter` or `FormatterV2`
        What writes it.
    """

    __slots__ = ("_datastore", "_location", "_path", "_placement", "_ref", "formatter", "ospath")

    def __init__(
        self,
        datastore: NativeFileDatastore,
        ref: DatasetRef,
        path: str,
        placement: Placement,
        location: Location,
        formatter: Formatter | FormatterV2,
    ):
        self._datastore = datastore
        self._ref = ref
        self._path = path
        self._placement = placement
        self._location = location
        self.formatter = formatter
        """What writes the file (`Formatter` or `FormatterV2`)."""
        self.ospath = f"{datastore.root_path}{path}"
        """Where it goes, for the operating system (`str`)."""

    def write(self, dataset: Any, provenance: DatasetProvenance | None) -> StoredFileInfo:
        """Write the file.

        Parameters
        ----------
        dataset : `object`
            The dataset, as the formatter accepts it.
        provenance : `DatasetProvenance` or `None`
            Provenance to attach to it.

        Returns
        -------
        info : `StoredFileInfo`
            Record of the file.

        Raises
        ------
        RuntimeError
            Raised if the formatter fails.
        """
        size = checksum = None
        formatter = _of_today(self.formatter, self._ref)
        try:
            if not writes_as_upstream(type(formatter)):
                formatter.write(dataset, cache_manager=self._datastore.cacheManager, provenance=provenance)
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
        if checksum is None and self._datastore.useChecksum:
            checksum = self._datastore.computeChecksum(self._final_uri())
        return StoredFileInfo(
            formatter=self._placement.formatter,
            path=self._path,
            storageClass=self._ref.datasetType.storageClass,
            component=None,
            checksum=checksum,
            file_size=size,
        )

    def _write_bytes(self, formatter: FormatterV2, contents: Any) -> tuple[int, str | None]:
        """Write the bytes that a formatter makes of a dataset.

        Returns
        -------
        size : `int`
            How many there were.
        checksum : `str` or `None`
            Their checksum, if files have one.
        """
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
        return len(data), hashlib.blake2b(data).hexdigest() if self._datastore.useChecksum else None

    def _let_write(self, formatter: FormatterV2, contents: Any) -> int | None:
        """Let a formatter write a temporary file, and move that into place.

        Returns
        -------
        size : `int` or `None`
            The file's size, if it was needed.
        """
        name = self._temporary_name()
        folder = os.path.dirname(self.ospath)
        temporary = f"{folder}/{name}"
        # Formatters do not make folders, and fail in many ways without.
        if not os.path.isdir(folder):
            self._make_folder()
        uri = self._datastore.locations.temporary_beside(self._location, name)
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
        extension = self._placement.extension
        stem = os.path.basename(self.ospath).removesuffix(extension)
        return f"{secrets.token_hex(8)}{stem}{temporary_suffix(extension)}"

    def _make_folder(self) -> None:
        """Make the folder that the file goes into."""
        self._location.uri.dirname().mkdir()

    def _final_uri(self) -> ResourcePath:
        """Return where the file goes."""
        return self._datastore.locations.fromPath(self._path, trusted_path=True).uri

    def _add_note(self, error: Exception, contents: Any, temporary: str) -> None:
        """Say, as upstream does, what could not be written where."""
        uri = self._datastore.locations.temporary_beside(self._location, temporary)
        error.add_note(
            f"Failed to serialize dataset {self._ref} of type {get_full_type_name(contents)} to "
            f"temporary location {uri}."
        )


def _of_today(formatter: Formatter | FormatterV2, ref: DatasetRef) -> FormatterV2:
    """Return a formatter with today's interface, which may be a shim."""
    if isinstance(formatter, FormatterV2):
        return formatter
    return FormatterV1inV2(
        formatter.file_descriptor,
        ref=ref,
        formatter=formatter,
        write_parameters=formatter.write_parameters,
        write_recipes=formatter.write_recipes,
    )


@functools.lru_cache(maxsize=256)
def temporary_suffix(extension: str) -> str | None:
    """Return how the names of temporary files end.

    Parameters
    ----------
    extension : `str`
        How the names of the final files end.

    Returns
    -------
    suffix : `str` or `None`
        The same for temporary ones, by which upstream finds those that an
        interrupted process has left; `None` if it calls them otherwise.
    """
    try:
        example = ResourcePath(f"name{extension}", forceAbsolute=False, forceDirectory=False)
        names: Any = vars(_formatter)["TemporaryForIngest"]
        suffix: str = names._get_temporary_suffix(example)
    except (AttributeError, KeyError):
        return None
    return suffix.removeprefix("name") if suffix.startswith("name") else None


def _to_bytes(data: Any) -> bytes:
    """Return the bytes of anything that can be written to a file."""
    buffer = io.BytesIO()
    buffer.write(data)
    return buffer.getvalue()


def _move(path: str, to: str) -> int | None:
    """Give another name to an ordinary file.

    Parameters
    ----------
    path, to : `str`
        The file, and its new name in the same folder.

    Returns
    -------
    size : `int` or `None`
        The file's size; `None` if it could not be moved or is none.
    """
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
