"""Reads an archive back into parts, to add to it."""

from __future__ import annotations

__all__ = ("archive_parts",)

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..archive.errors import unreadable
from ..archive.rows import RECORD_COLUMNS, TableRows, row_counts, table_rows
from .pieces import Part, PartWriter
from .tables import RECORDS, ROLES

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
    with ExitStack() as files:
        quanta, edges, records = (
            files.enter_context(table_rows(archive / f"{name}.parquet", columns))
            for name, columns in {"quanta": _QUANTA, "edges": _EDGES, "records": RECORD_COLUMNS}.items()
        )
        number = first = 0
        while (some := quanta.take(_AT_ONCE)).num_rows:
            part = _write_part(some, edges, records, first, PartWriter(folder, number))
            yield Part(number, *part, 0, 0, 0, 0)
            number, first = number + 1, first + some.num_rows
        for table in (edges, records):
            table.require_end()


def _write_part(
    quanta: pa.Table, edges: TableRows, records: TableRows, first: int, writer: PartWriter
) -> tuple[int, int, int]:
    """Write quanta, of which the first has that number, with their rows; return how many of each."""
    length = quanta.num_rows
    of_edges = edges.take_all(int(row_counts(quanta["edges"], edges).sum()))
    of_records = records.take_all(int(row_counts(quanta["records"], records).sum()))
    bits = sum(of_edges[role].to_numpy().astype(np.uint8) << position for position, role in enumerate(ROLES))
    of_edges = pa.table(
        [of_edges["dataset_id"], pa.array(bits)],
        schema=pa.schema([of_edges.field("dataset_id"), pa.field("roles", pa.uint8(), nullable=False)]),
    ).combine_chunks()
    try:
        of_records = of_records.cast(RECORDS).unify_dictionaries().combine_chunks()
    except pa.ArrowException as error:
        raise unreadable(records.path, error) from error
    quanta = quanta.unify_dictionaries().combine_chunks()
    quanta = quanta.append_column("source", pa.array(np.zeros(length, np.int32)))
    quanta = quanta.append_column("offset", pa.array(np.arange(first, first + length)))
    writer.write("quanta", quanta)
    writer.write("edges", of_edges)
    writer.write("records", of_records)
    writer.close()
    return length, len(of_edges), len(of_records)
