"""Which datastores a butler's SQLite file belongs to."""

from __future__ import annotations

__all__ = ("DatastoreIdentity", "check_datastores", "identities", "write_identities")

import errno
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import RecordFileError

if TYPE_CHECKING:
    from lsst.daf.butler.datastore import Datastore

    from .record_file import RecordFile


class DatastoreIdentity(NamedTuple):
    """What tells a file datastore from others."""

    name: str
    """Its name, which records are kept under."""

    table: str
    """Table of its records."""

    root: str
    """Folder or URI that paths are relative to."""


def identities(datastore: Datastore) -> list[DatastoreIdentity]:
    """Return what the file datastores are that a datastore consists of.

    Parameters
    ----------
    datastore : `Datastore`
        A butler's datastore.

    Returns
    -------
    identities : `list` [ `DatastoreIdentity` ]
        One for each.
    """
    from ..datastore.spawn import file_datastores

    return [
        DatastoreIdentity(
            member.name,
            member._opaque_table_name,
            str(member.root) if member.root_path is None else os.path.realpath(member.root_path),
        )
        for member in file_datastores(datastore)
    ]


def write_identities(connection: sqlite3.Connection, datastores: Iterable[DatastoreIdentity]) -> None:
    """Write which datastores a file belongs to.

    Parameters
    ----------
    connection : `sqlite3.Connection`
        Connection in a transaction.
    datastores : `~collections.abc.Iterable` [ `DatastoreIdentity` ]
        The datastores.
    """
    connection.executemany("INSERT OR REPLACE INTO quantum_butler_datastore VALUES (?, ?, ?)", datastores)


def check_datastores(
    file: RecordFile, datastores: Sequence[DatastoreIdentity], *, same_roots: bool = False
) -> None:
    """Raise if a file belongs to other datastores than those of a butler.

    Parameters
    ----------
    file : `RecordFile`
        The file.
    datastores : `~collections.abc.Sequence` [ `DatastoreIdentity` ]
        Those of the butler.
    same_roots : `bool`, optional
        Whether they must be at the same places, too.  Only then it can be
        told which artifacts are missing and which have no records.

    Raises
    ------
    RecordFileError
        Raised if they differ.
    """
    if file.has_table("quantum_butler_datastore"):
        rows = file.read("SELECT datastore_name, records_table, root FROM quantum_butler_datastore")
        if known := [DatastoreIdentity(*row) for row in rows]:
            if {one[:2] for one in known} != {one[:2] for one in datastores}:
                raise _other(file, _named(known), _named(datastores))
            if same_roots and {*known} != {*datastores}:
                raise RecordFileError(
                    errno.EINVAL,
                    "Nothing can be repaired: the artifacts of the file are in "
                    f"{_listed(one.root for one in known)}, those of the configured datastore in "
                    f"{_listed(one.root for one in datastores)}",
                    file.path,
                )
            return
    if file.has_table("dataset_location"):
        rows = file.read(
            "SELECT datastore_name FROM dataset_location "
            "UNION SELECT datastore_name FROM dataset_location_trash"
        )
        names = {name for (name,) in rows}
        if not names <= {one.name for one in datastores}:
            raise _other(file, _listed(names), _listed(one.name for one in datastores))


def _other(file: RecordFile, known: str, configured: str) -> RecordFileError:
    return RecordFileError(
        errno.EINVAL,
        f"The file belongs to another datastore: it has records of {known}, and configured is {configured}",
        file.path,
    )


def _named(datastores: Iterable[DatastoreIdentity]) -> str:
    return _listed(f"{one.name} (table {one.table})" for one in datastores)


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"
