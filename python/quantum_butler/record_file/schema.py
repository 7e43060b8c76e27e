"""The tables of a butler's SQLite file: the stock ones, and the quantum's."""

from __future__ import annotations

__all__ = ("FORMAT_VERSION", "FileSchema")

import contextlib
import errno
import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy

from .errors import RecordFileError

if TYPE_CHECKING:
    from lsst.daf.butler.registry.interfaces import Database

FORMAT_VERSION = 1
"""Version of the layout of the tables that stock files do not have."""

# A change touches some six pages, which are added up and copied; SQLite's default
# of 4096 bytes takes twice the time.
_PAGE_SIZE = 1024

_STOCK_TABLES = ("dataset_location", "dataset_location_trash", "opaque_meta")

# Only repositories have it; no quantum may write into one of their databases.
_REGISTRY_TABLE = "butler_attributes"

_QUANTUM_TABLES: Mapping[str, str] = {
    "quantum_butler_meta": """
        CREATE TABLE quantum_butler_meta (
            name TEXT NOT NULL PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID""",
    "quantum_butler_datastore": """
        CREATE TABLE quantum_butler_datastore (
            datastore_name TEXT NOT NULL PRIMARY KEY,
            records_table TEXT NOT NULL,
            root TEXT NOT NULL
        ) WITHOUT ROWID""",
    "quantum_butler_role": """
        CREATE TABLE quantum_butler_role (
            dataset_id NOT NULL PRIMARY KEY,
            predicted_input BOOLEAN NOT NULL,
            predicted_output BOOLEAN NOT NULL,
            available_input BOOLEAN NOT NULL,
            unavailable_input BOOLEAN NOT NULL,
            actual_input BOOLEAN NOT NULL
        ) WITHOUT ROWID""",
    "quantum_butler_output": """
        CREATE TABLE quantum_butler_output (
            dataset_id NOT NULL PRIMARY KEY,
            dataset_type TEXT NOT NULL,
            dimensions TEXT NOT NULL,
            storage_class TEXT NOT NULL,
            parent_storage_class TEXT,
            is_calibration BOOLEAN NOT NULL,
            run TEXT NOT NULL,
            data_id TEXT NOT NULL,
            in_memory BOOLEAN NOT NULL
        ) WITHOUT ROWID""",
    "quantum_butler_predicted_artifact": """
        CREATE TABLE quantum_butler_predicted_artifact (
            datastore_name TEXT NOT NULL,
            dataset_id NOT NULL,
            path TEXT NOT NULL,
            before TEXT,
            PRIMARY KEY (datastore_name, dataset_id, path)
        ) WITHOUT ROWID""",
    "quantum_butler_dataset": """
        CREATE VIEW quantum_butler_dataset AS
        SELECT role.*, output.dataset_id IS NOT NULL AS actual_output
        FROM quantum_butler_role AS role LEFT JOIN quantum_butler_output AS output USING (dataset_id)""",
}


class FileSchema:
    """Schema of the tables in the files of one repository."""

    def __init__(self, database: Database):
        with database.query(
            sqlalchemy.text(
                "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
            )
        ) as result:
            entries = result.fetchall()
        with database.query(sqlalchemy.text("SELECT table_name FROM opaque_meta")) as result:
            opaque = list(result.scalars())
        self._statements: dict[str, list[str]] = {}
        for _, _, table, sql in entries:
            self._statements.setdefault(table, []).append(sql)
        for name in opaque:
            self._statements[name].append(f"INSERT OR IGNORE INTO opaque_meta VALUES ({_quoted(name)})")
        self._statements |= {name: [sql] for name, sql in _QUANTUM_TABLES.items()}
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as example:
            example.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
            for statements in self._statements.values():
                for statement in statements:
                    example.execute(statement)
            self._columns = {name: _columns(example, name) for name in self._statements}
            self._image = _image(example)

    def create(self, path: str, *, on_disk: bool) -> bool:
        """Create a file with all tables at once; return whether there was none, and this file system can."""
        if self._image is None or not hasattr(os, "O_TMPFILE") or os.path.lexists(path):
            return False
        # A file without a name leaves nothing behind if the process is killed.
        folder = os.path.dirname(path)
        try:
            file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError:
            # SQLite has other ways, and knows what is wrong.
            return False
        try:
            written = os.write(file, self._image)
            if written < len(self._image):
                return False
            if on_disk:
                os.fsync(file)
            # Python follows the link to the file only if it is given a folder,
            # which does not matter to an absolute name.
            os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
        except OSError:
            return False
        finally:
            # It was waited for already if it has to be on the disk.
            with contextlib.suppress(OSError):
                os.close(file)
        return True

    def missing(self, connection: sqlite3.Connection, path: str) -> list[str]:
        """Return the SQL for the tables that a file lacks. Raise if the file is no record file."""
        found = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            )
            if not name.startswith("sqlite_")
        }
        if found and (_REGISTRY_TABLE in found or not found.issuperset(_STOCK_TABLES)):
            raise RecordFileError(
                errno.EINVAL,
                "The file is a SQLite database, but not one of a quantum's records; it has the tables "
                f"{', '.join(sorted(found)[:5])}{', ...' if len(found) > 5 else ''}",
                path,
            )
        for name in found.intersection(self._columns):
            if (columns := _columns(connection, name)) != self._columns[name]:
                raise RecordFileError(
                    errno.EINVAL,
                    f"Table {name} of the file has columns ({', '.join(columns)}), not "
                    f"({', '.join(self._columns[name])})",
                    path,
                )
        return [
            statement
            for name, statements in self._statements.items()
            if name not in found
            for statement in statements
        ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(connection: sqlite3.Connection, table: str) -> Sequence[str]:
    """Return the names of a table's columns; their order matters in the quantum's tables only."""
    order = "cid" if table in _QUANTUM_TABLES else "name"
    rows = connection.execute(f"SELECT name FROM pragma_table_info({_quoted(table)}) ORDER BY {order}")
    return [name for (name,) in rows]


def _image(connection: sqlite3.Connection) -> bytes | None:
    """Return a database as the contents of a file, set to write-ahead log."""
    if not hasattr(connection, "serialize"):
        return None
    image = bytearray(connection.serialize())
    # Versions of the format for writing and for reading.
    image[18:20] = b"\x02\x02"
    return bytes(image)
