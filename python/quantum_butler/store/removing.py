"""Removing datasets and their files, local ones without URI objects.

Upstream removes in two steps: `Datastore.trash` notes what is to go, and
`Datastore.emptyTrash` removes files and records of what has been noted.  The
functions here take both.  Remote files are removed by upstream's bulk call.
"""

from __future__ import annotations

__all__ = ("empty_trash", "trash")

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from logging import DEBUG
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.resources import ResourcePath
from lsst.utils.logging import VERBOSE

from .. import _core
from ..upstream import NotOurs, words
from ..upstream.refs import carried_records, dataset_key
from .file_store import LOG

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId

    from .file_store import FileStore


def trash(
    store: FileStore,
    refs: DatasetRef | Collection[DatasetRef],
    ignore_errors: bool,
    *,
    transaction: Callable[[], DatastoreTransaction | None],
    upstreams: Callable[[Any, bool], None],
) -> None:
    """Move recorded datasets to the trash, remove unrecorded files, and leave some of either to upstream."""
    if not store.is_trusting:
        raise NotOurs
    refs = [refs] if isinstance(refs, DatasetRef) else list(refs)
    if not set(map(type, refs)) <= {DatasetRef} or len(set(map(dataset_key, refs))) < len(refs):
        raise NotOurs
    # As upstream does before all else, and once more if it has to do the rest.
    store.remove_from_cache(refs)
    known = store.records.known(refs)
    recorded = refs
    if not all(known):
        recorded = [ref for ref, is_known in zip(refs, known, strict=True) if is_known]
        if not ignore_errors or store.has_words(VERBOSE) or words.are_wanted(words.PLACING):
            # Upstream counts them, or stops at the first that it cannot remove.
            raise NotOurs
        _remove_expected(store, (ref for ref, is_known in zip(refs, known, strict=True) if not is_known))
    if not recorded:
        return
    one_or_many = recorded[0] if len(recorded) == 1 else recorded
    # Upstream makes sure that a single dataset is there, and warns if not.
    if len(recorded) == 1 and not _is_there(store, recorded[0]):
        upstreams(one_or_many, ignore_errors)
        return
    try:
        undo = store.records.locations.move_to_trash(recorded)
    except Exception:
        # Upstream fails, too, and says so.
        upstreams(one_or_many, ignore_errors)
        return
    if store.has_words(DEBUG):
        _say_trashed(store, recorded)
    if (current := transaction()) is not None:
        current.registerUndo(f"Trash datasets of {store.name}", undo)


def _is_there(store: FileStore, ref: DatasetRef) -> bool:
    """Return whether a recorded dataset is known to be there, as a whole."""
    if carried_records(ref) is not None:
        return False
    if (root := store.root) is not None:
        return bool(store.records.exist(root, [ref])[0])
    paths = [path for _, path in store.records.artifacts([ref])[0]]
    return all(map(_core.is_plain_path, paths)) and all(store.locations.uri(path).exists() for path in paths)


def _say_trashed(store: FileStore, refs: Sequence[DatasetRef]) -> None:
    """Say what upstream says of datasets that go to the trash."""
    if len(refs) > 1:
        LOG.debug("Doing multi-dataset trash in datastore %s", store.name)
        return
    [ref] = refs
    LOG.debug("Trashing dataset %s in datastore %s", ref, store.name)
    for _, path in store.records.artifacts(refs)[0]:
        LOG.debug("Checking if resource exists: %s", store.locations.uri(path))


def _remove_expected(store: FileStore, refs: Iterable[DatasetRef]) -> None:
    """Remove the files of unrecorded datasets from where they are expected, each once."""
    paths = list({path for ref in refs for path, _ in store.expected(store.as_registered(ref))})
    existing = [path for path, exists in zip(paths, store.files_exist(paths), strict=True) if exists]
    # What cannot be removed is of interest to upstream's debug log only.
    if (root := store.root) is not None:
        _core.remove_files(root, existing)
        return
    for path in existing:
        with contextlib.suppress(Exception):
            store.locations.uri(path).remove()


def empty_trash(
    store: FileStore, selected_ids: Collection[DatasetId] | None, *, ignore_errors: bool, dry_run: bool
) -> set[ResourcePath]:
    """Remove the files and records of datasets in the trash, or of some of them. Return the files.

    If files cannot be removed an `ExceptionGroup` is raised, unless errors are ignored, and all records stay.
    """
    # Upstream takes an empty selection for no selection at all.
    found = store.records.trash(selected_ids or None)
    if found is None:
        # Some path is not a plain one.
        raise NotOurs
    paths = found.artifacts
    if store.has_words(VERBOSE):
        _tell(store, paths, found.kept, "Would be" if dry_run else "Now")
    if not dry_run:
        failures = _remove_uris(store, paths) if store.root is None else found.remove_files(store.root)
        if failures:
            s = "s" if len(failures) != 1 else ""
            error = ExceptionGroup(
                f"Error{s} removing {len(failures)} artifact{s}", [error for _, error in failures]
            )
            if not ignore_errors:
                raise error
            LOG.debug(
                "Encountered %d error%s removing %d artifact%s from datastore %s: %s",
                len(failures),
                s,
                len(paths),
                "s" if len(paths) != 1 else "",
                store.name,
                error,
            )
            failed = {position for position, _ in failures}
            paths = [path for position, path in enumerate(paths) if position not in failed]
        found.empty()
    return set(map(store.locations.artifact, paths))


def _remove_uris(store: FileStore, paths: Sequence[str]) -> list[tuple[int, Exception]]:
    """Remove remote files by upstream's bulk call; return what failed, by position."""
    uris = list(map(store.locations.artifact, paths))
    results = ResourcePath.mremove(uris, do_raise=False)
    failures = ((position, results[uri].exception) for position, uri in enumerate(uris))
    return [
        (position, error)
        for position, error in failures
        if error is not None and not isinstance(error, FileNotFoundError)
    ]


def _tell(store: FileStore, paths: Sequence[str], kept: int, tense: str) -> None:
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
