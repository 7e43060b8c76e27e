"""Paths of files, as people write them and as records have them."""

from __future__ import annotations

__all__ = ("ids_of_path",)

import uuid
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..queries.arrays import array_of
from .errors import unreadable


def ids_of_path(records: Path, path: str) -> list[uuid.UUID]:
    """Return the ids of the datasets that are in a file, by a table of records."""
    wanted = _path_candidates(path)
    found: dict[str, list[uuid.UUID]] = {}
    try:
        with pq.ParquetFile(records, memory_map=True) as file:
            for group in range(file.num_row_groups):
                paths = file.read_row_group(group, columns=["path"])["path"].cast(pyarrow.string())
                bare = paths if "#" in path else pc.replace_substring_regex(paths, "#.*", "")
                rows = pc.indices_nonzero(pc.is_in(bare, array_of(wanted, pyarrow.string()))).to_pylist()
                if rows:
                    ids = file.read_row_group(group, columns=["dataset_id"])["dataset_id"]
                    for row in rows:
                        found.setdefault(bare[row].as_py(), []).append(_uuid(ids[row].as_py()))
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise unreadable(records, error) from error
    return next(([*dict.fromkeys(found[one])] for one in wanted if one in found), [])


def _path_candidates(path: str) -> list[str]:
    """Return the paths within a datastore that a path may stand for, the longest first."""
    found: dict[str, None] = {}
    _, scheme, rest = path.partition("://")
    parts = (rest if scheme else path).split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if tail:
            found |= dict.fromkeys((tail, quote(tail), unquote(tail)))
    # Files that are outside of the datastore have absolute paths or URIs in their records.
    return [*dict.fromkeys((path, f"file://{path}" if path.startswith("/") else path, *found))]


def _uuid(value: uuid.UUID | bytes) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)
