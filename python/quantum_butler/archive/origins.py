"""Origin of each quantum: a log or a graph, and its number among the sources of the archive."""

from __future__ import annotations

__all__ = ("LINE", "origins_of")

import uuid
from collections.abc import Collection
from pathlib import Path

import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import unreadable

LINE = "line"
"""What a quantum is known from that a log, or a file, of ours tells of."""

_ERRORS = (pyarrow.ArrowException, OSError, ValueError, KeyError)


def origins_of(archive: Path, quanta: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[str, int | None]]:
    """Return what quanta are known from, and the number of the source, if that is known."""
    path = archive / "quanta.parquet"
    buffer = pyarrow.py_buffer(b"".join(one.bytes for one in quanta))
    wanted = pyarrow.Array.from_buffers(pyarrow.binary(16), len(quanta), [None, buffer])
    found: dict[uuid.UUID, tuple[str, int | None]] = {}
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            more = [name for name in ("known_from", "source") if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["quantum_id"])["quantum_id"].cast(
                    pyarrow.binary(16)
                )
                rows = pc.indices_nonzero(pc.is_in(ids, wanted))
                if not len(rows):
                    continue
                table = file.read_row_group(group, columns=["quantum_id", *more])
                for row in table.take(rows).to_pylist():
                    id_ = row["quantum_id"]
                    key = id_ if isinstance(id_, uuid.UUID) else uuid.UUID(bytes=id_)
                    # All quanta of the first format are from logs.
                    found[key] = row.get("known_from") or LINE, row.get("source")
    except _ERRORS as error:
        raise unreadable(path, error) from error
    return found
