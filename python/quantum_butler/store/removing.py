"""Removing datasets and their local files, without URI objects.

Upstream removes in two steps: `Datastore.trash` notes what is to go, and
`Datastore.emptyTrash` removes files and records of what has been noted.  The
functions here take both for files below a local root.
"""

from __future__ import annotations

__all__ = ("empty_trash", "trash")

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE

from .. import _core
from ..upstream import NotOurs
from ..upstream.refs import carried_records, dataset_key
from .local import LOG

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .local import LocalStore


def trash(
    store: LocalStore,
    refs: DatasetRef | Collection[DatasetRef],
    ignore_errors: bool,
    *,
    transaction: Callable[[], DatastoreTransaction | None],
    upstreams: Callable[[Any, bool], None],
) -> None:
    """Move recorded datasets to the trash, remove unrecorded files, and leave some of either to upstream."""
    root = store.folder()
    if not store.is_trusting:
        raise NotOurs
    refs = [refs] if isinstance(refs, DatasetRef) else list(refs)
    if not set(map(type, refs)) <= {DatasetRef} or len(set(map(dataset_key, refs))) < len(refs):
        raise NotOurs
    known = store.records.known(refs)
    recorded = refs
    if not all(known):
        recorded = [ref for ref, is_known in zip(refs, known, strict=True) if is_known]
        if not ignore_errors or store.has_words(VERBOSE):
            # Upstream counts them, or stops at the first that it cannot remove.
            raise NotOurs
        _remove_expected(
            store, root, (ref for ref, is_known in zip(refs, known, strict=True) if not is_known)
        )
    if not recorded:
        return
    one_or_many = recorded[0] if len(recorded) == 1 else recorded
    if len(recorded) == 1:
        # Upstream makes sure that a single dataset is there, and warns if not.
        [ref] = recorded
        if carried_records(ref) is not None or not store.records.exist(root, recorded)[0]:
            upstreams(one_or_many, ignore_errors)
            return
    try:
        undo = store.records.locations.move_to_trash(recorded)
    except Exception:
        # Upstream fails, too, and says so.
        upstreams(one_or_many, ignore_errors)
    else:
        if (current := transaction()) is not None:
            current.registerUndo(f"Trash datasets of {store.name}", undo)


def _remove_expected(store: LocalStore, root: str, refs: Iterable[DatasetRef]) -> None:
    """Remove the files of unrecorded datasets from where they are expected, each once."""
    paths = list({path for ref in refs for path, _ in store.expected(store.as_registered(ref))})
    existence = _core.files_exist(root, paths)
    # What cannot be removed is of interest to upstream's debug log only.
    _core.remove_files(root, [path for path, exists in zip(paths, existence, strict=True) if exists])


def empty_trash(
    store: LocalStore, selected_ids: Collection[DatasetId] | None, *, ignore_errors: bool, dry_run: bool
) -> set[ResourcePath]:
    """Remove files and records of what is in the trash, or of a selection; return what files these are.

    If files cannot be removed an `ExceptionGroup` is raised, unless errors are ignored, and all records stay.
    """
    root, says_more = store.folder(may_be_cached=True), store.has_words(VERBOSE)
    # Upstream takes an empty selection for no selection at all.
    found = store.records.trash(selected_ids or None)
    if found is None:
        # Some path is not a plain one.
        raise NotOurs
    paths = found.artifacts
    if says_more:
        _tell(store, paths, found.kept, "Would be" if dry_run else "Now")
    if not dry_run:
        if failures := found.remove_files(root):
            if not ignore_errors:
                s = "s" if len(failures) != 1 else ""
                raise ExceptionGroup(
                    f"Error{s} removing {len(failures)} artifact{s}", [error for _, error in failures]
                )
            failed = {position for position, _ in failures}
            paths = [path for position, path in enumerate(paths) if position not in failed]
        found.empty()
    return set(map(store.locations.artifact, paths))


def _tell(store: LocalStore, paths: Sequence[str], kept: int, tense: str) -> None:
    """Say what upstream says of the files that are removed or kept."""
    if kept:
        LOG.verbose(
            "%d %s not deleted because of association with other datasets",
            kept,
            "artifact was" if kept == 1 else "artifacts were",
        )
    if len(paths) == 1:
        uri = store.locations.artifact(paths[0])
        LOG.verbose("%s removing file artifact %s from datastore %s", tense, uri, store.name)
    elif paths:
        LOG.verbose("%s removing %d file artifacts from datastore %s", tense, len(paths), store.name)
