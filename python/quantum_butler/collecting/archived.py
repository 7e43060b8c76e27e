"""Reads an archive back into parts, to add to it."""

from __future__ import annotations

__all__ = ("archive_parts",)

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..archive.errors import unreadable
from ..archive.format import ROLES
from ..archive.rows import QuantumRows, read_quanta
from .pieces import Part, PartWriter
from .tables import RECORDS

# Quanta of one part.
_AT_ONCE = 1 << 14

# Of each table, the columns that are read, and what they have.
_QUANTA = {
    "quantum_id": "ids",
    "task_label": "text",
    "data_id": "text",
    **dict.fromkeys((f"{role}s" for role in ROLES), "integers"),
    "edges": "integers",
    "records": "integers",
}
_EDGES = {"dataset_id": "ids", **dict.fromkeys(ROLES, "booleans")}


def archive_parts(archive: Path, folder: str) -> Iterator[Part]:
    """Make parts of an archive.

    Parameters
    ----------
    archive : `pathlib.Path`
        The archive.
    folder : `str`
        Where the parts go.

    Yields
    ------
    part : `Part`
        The next part; they are numbered from 0.

    Raises
    ------
    ArchiveError
        Raised if a table cannot be read, or the tables do not fit together.
    """
    first = 0
    for number, some in enumerate(read_quanta(archive, _QUANTA, _EDGES, _AT_ONCE)):
        yield _write_part(some, archive, first, number, folder)
        first += some.quanta.num_rows


def _write_part(some: QuantumRows, archive: Path, first: int, number: int, folder: str) -> Part:
    """Write quanta, of which the first has that number, with their rows."""
    quanta, of_edges, of_records, length = some.quanta, some.edges, some.records, some.quanta.num_rows
    bits = sum(of_edges[role].to_numpy().astype(np.uint8) << position for position, role in enumerate(ROLES))
    of_edges = pa.table(
        [of_edges["dataset_id"], pa.array(bits)],
        schema=pa.schema([of_edges.field("dataset_id"), pa.field("roles", pa.uint8(), nullable=False)]),
    ).combine_chunks()
    try:
        of_records = of_records.cast(RECORDS).unify_dictionaries().combine_chunks()
    except pa.ArrowException as error:
        raise unreadable(archive / "records.parquet", error) from error
    quanta = quanta.unify_dictionaries().combine_chunks()
    quanta = quanta.append_column("source", pa.array(np.zeros(length, np.int32)))
    quanta = quanta.append_column("offset", pa.array(np.arange(first, first + length)))
    writer = PartWriter(folder, number)
    writer.write("quanta", quanta)
    writer.write("edges", of_edges)
    writer.write("records", of_records)
    writer.close()
    return Part(number, length, len(of_edges), len(of_records), 0, 0, 0, 0)
