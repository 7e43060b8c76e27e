"""Where a quantum's outputs are going to be, and what was there before."""

from __future__ import annotations

__all__ = (
    "PredictedArtifact",
    "identity_if_known",
    "identity_of",
    "predict_artifacts",
    "write_kept",
    "write_predicted",
)

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lsst.daf.butler import DatasetRef

from ..upstream import NotOurs
from ..upstream.datastores import expected_records
from .keys import key_of

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetId
    from lsst.daf.butler.datastore import Datastore

    from ..datastore.file import NativeFileDatastore


class PredictedArtifact(NamedTuple):
    """Where one artifact of a predicted output is going to be."""

    datastore: str
    """Name of the datastore."""

    dataset_id: DatasetId
    """The dataset."""

    path: str
    """Where it is going to be, below the datastore's root."""

    before: str | None
    """What was there when the butler was made, or what `Datastore.forget` has
    left there, as `identity_of` has it; `None` if that is not known.
    """


def predict_artifacts(datastore: Datastore, outputs: Iterable[Any]) -> list[PredictedArtifact]:
    """Tell where predicted outputs are going to be.

    Parameters
    ----------
    datastore : `Datastore`
        Datastore that they are going to be put into.
    outputs : `~collections.abc.Iterable` [ `DatasetId` or `DatasetRef` ]
        The outputs.  Nothing can be told of those that are given as ids.

    Returns
    -------
    predicted : `list` [ `PredictedArtifact` ]
        Where each of their artifacts is going to be, in each file datastore.
    """
    from ..datastore.spawn import file_datastores

    refs = [ref for ref in outputs if isinstance(ref, DatasetRef)]
    return [found for member in file_datastores(datastore) for found in _predict(member, refs)]


def _predict(datastore: NativeFileDatastore, refs: Iterable[DatasetRef]) -> Iterator[PredictedArtifact]:
    owners: list[DatasetId] = []
    paths: list[str] = []
    for ref in refs:
        # What the datastore refuses, or cannot place, is never put there.
        with contextlib.suppress(Exception):
            ref = datastore.store.as_registered(ref)
            try:
                found = [path for path, _ in datastore.store.expected(ref)]
            except NotOurs:
                found = [info.path for info in expected_records(datastore, ref)]
            owners += [ref.id] * len(found)
            paths += found
    root = datastore.root_path
    before = [identity_if_known(root, path) for path in paths]
    for owner, path, what in zip(owners, paths, before, strict=True):
        yield PredictedArtifact(datastore.name, owner, path, what)


def identity_if_known(root: str | None, path: str) -> str | None:
    """Return what tells an artifact from one that takes its place, if that can be told.

    Parameters
    ----------
    root : `str` or `None`
        Root of its datastore, with a final slash; `None` if that is remote.
    path : `str`
        Where it is below that.

    Returns
    -------
    identity : `str` or `None`
        As `identity_of` has it.
    """
    try:
        return None if root is None else identity_of(root + path)
    except OSError:
        # There may be one that cannot be looked at.
        return None


def identity_of(ospath: str) -> str:
    """Return what tells a file from one that takes its place.

    Parameters
    ----------
    ospath : `str`
        Name of the file.

    Returns
    -------
    identity : `str`
        Its size, and when it was changed; empty if there is none.

    Raises
    ------
    OSError
        Raised if it cannot be told whether there is one.
    """
    try:
        status = os.stat(ospath)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def write_predicted(connection: sqlite3.Connection, predicted: Iterable[PredictedArtifact]) -> None:
    """Write where outputs are going to be.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        Connection in a transaction.
    predicted : `~collections.abc.Iterable` [ `PredictedArtifact` ]
        Where their artifacts are going to be.
    """
    connection.executemany(
        "INSERT OR REPLACE INTO quantum_butler_predicted_artifact VALUES (?, ?, ?, ?)",
        [(name, key_of(dataset_id), path, before) for name, dataset_id, path, before in predicted],
    )


def write_kept(connection: sqlite3.Connection, kept: Iterable[PredictedArtifact]) -> None:
    """Write that artifacts are to stay, though they lose their records.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        Connection in a transaction.
    kept : `~collections.abc.Iterable` [ `PredictedArtifact` ]
        The artifacts, as they are now; those at other than predicted places
        stay in any case.
    """
    connection.executemany(
        "UPDATE quantum_butler_predicted_artifact SET before = ? "
        "WHERE datastore_name = ? AND dataset_id = ? AND path = ?",
        [(before, name, key_of(dataset_id), path) for name, dataset_id, path, before in kept],
    )
