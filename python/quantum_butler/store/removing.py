"""Removing datasets and their local files, without URI objects.

Upstream removes in two steps: `Datastore.trash` notes what is to go, and
`Datastore.emptyTrash` removes files and records of what has been noted.  The
functions here take both for files below a local root.  What they cannot do
they leave to upstream before anything has changed.
"""

from __future__ import annotations

__all__ = ("empty_trash", "move_to_trash")

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE, getLogger

from .. import _core
from ..quantum.ids import dataset_key

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from ..datastore.file import NativeFileDatastore

_LOG = getLogger(FileDatastore.__module__)


def move_to_trash(
    datastore: NativeFileDatastore, refs: DatasetRef | Iterable[DatasetRef], ignore_errors: bool
) -> DatasetRef | Iterable[DatasetRef] | None:
    """Move recorded datasets to the trash, and remove unrecorded files.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore that may hold the datasets.
    refs : `DatasetRef` or `~collections.abc.Iterable` [ `DatasetRef` ]
        The datasets.
    ignore_errors : `bool`
        Whether a failure is not to be raised.

    Returns
    -------
    rest : `DatasetRef` or `~collections.abc.Iterable` [ `DatasetRef` ] or \
            `None`
        What upstream has to trash; `None` if nothing is left.
    """
    root = datastore.root_path
    if (
        root is None
        or not datastore.trustGetRequest
        or not datastore._cache_is_empty()
        or _LOG.isEnabledFor(logging.DEBUG)
    ):
        return refs
    refs = [refs] if isinstance(refs, DatasetRef) else list(refs)
    one_or_many = refs[0] if len(refs) == 1 else refs
    if not set(map(type, refs)) <= {DatasetRef} or len(set(map(dataset_key, refs))) < len(refs):
        return one_or_many
    known = datastore._records.known(refs)
    recorded = [ref for ref, is_known in zip(refs, known, strict=True) if is_known]
    if len(recorded) < len(refs):
        missing = [ref for ref, is_known in zip(refs, known, strict=True) if not is_known]
        if _LOG.isEnabledFor(VERBOSE) or not ignore_errors or not _remove_predicted(datastore, root, missing):
            # Upstream counts them, or stops at the first that it cannot remove.
            return one_or_many
    if not recorded:
        return None
    if len(recorded) == 1:
        # Upstream makes sure that a single dataset is there, and warns if not.
        [ref] = recorded
        if ref._datastore_records is not None or not datastore._records.exist(root, recorded)[0]:
            return ref
    try:
        datastore.bridge.moveToTrash(recorded, transaction=datastore._transaction)
    except Exception:
        # Upstream fails, too, and says so.
        return recorded[0] if len(recorded) == 1 else recorded
    return None


def _remove_predicted(datastore: NativeFileDatastore, root: str, refs: Collection[DatasetRef]) -> bool:
    """Remove the files of unrecorded datasets from their predicted places.

    Returns
    -------
    done : `bool`
        `False` if only upstream can tell the places.
    """
    paths: list[str] = []
    for ref in refs:
        if (predicted := datastore._predict(datastore._cast_storage_class(ref))) is None:
            return False
        paths += [path for path, _ in predicted]
    # One of several datasets in one place is enough.
    paths = list(set(paths))
    existence = _core.files_exist(root, paths)
    # What cannot be removed is of interest to upstream's debug log only.
    _core.remove_files(root, [path for path, exists in zip(paths, existence, strict=True) if exists])
    return True


def empty_trash(
    datastore: NativeFileDatastore,
    selected_ids: Collection[DatasetId] | None,
    *,
    ignore_errors: bool,
    dry_run: bool,
) -> set[ResourcePath] | None:
    """Remove what is in the trash, files and records.

    Parameters
    ----------
    datastore : `NativeFileDatastore`
        Datastore whose trash it is.
    selected_ids : `~collections.abc.Collection` [ `DatasetId` ] or `None`
        Datasets to remove if they are in the trash; `None` means all that
        are.
    ignore_errors : `bool`
        Whether a file that cannot be removed is not to be raised.
    dry_run : `bool`
        Whether only to tell what would be removed.

    Returns
    -------
    removed : `set` [ `ResourcePath` ] or `None`
        Files removed; `None` if only upstream can do it.

    Raises
    ------
    ExceptionGroup
        Raised if files cannot be removed.  All records stay, also those of
        files that are gone.
    """
    root = datastore.root_path
    if root is None or _LOG.isEnabledFor(logging.DEBUG):
        return None
    # Upstream takes an empty selection for no selection at all.
    trash = datastore._records.trash(selected_ids or None)
    if trash is None:
        return None
    paths = trash.artifacts
    if trash.kept:
        _LOG.verbose(
            "%d %s not deleted because of association with other datasets",
            trash.kept,
            "artifact was" if trash.kept == 1 else "artifacts were",
        )
    if len(paths) == 1:
        _LOG.verbose(
            "%s removing file artifact %s from datastore %s",
            "Would be" if dry_run else "Now",
            datastore._fixed.locations.artifact(paths[0]),
            datastore.name,
        )
    elif paths:
        _LOG.verbose(
            "%s removing %d file artifacts from datastore %s",
            "Would be" if dry_run else "Now",
            len(paths),
            datastore.name,
        )
    if not dry_run:
        if failures := trash.remove_files(root):
            if not ignore_errors:
                s = "s" if len(failures) != 1 else ""
                raise ExceptionGroup(
                    f"Error{s} removing {len(failures)} artifact{s}", [error for _, error in failures]
                )
            failed = {position for position, _ in failures}
            paths = [path for position, path in enumerate(paths) if position not in failed]
        trash.empty()
    return set(map(datastore._fixed.locations.artifact, paths))
