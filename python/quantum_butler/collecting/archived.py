"""Reads an archive back into parts, to add to it."""

from __future__ import annotations

__all__ = ("archive_parts",)

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .pieces import Part, PartWriter
from .tables import RECORDS, ROLES

# Quanta of one part.
_QUANTA = 1 << 14

_OWN = ("quantum_id", "task_label", "data_id", *(f"{role}s" for role in ROLES), "edges", "records")


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
    """
    edges, records = _Rows(archive / "edges.parquet"), _Rows(archive / "records.parquet")
    first = 0
    with pq.ParquetFile(archive / "quanta.parquet") as file:
        for number, batch in enumerate(file.iter_batches(_QUANTA, columns=list(_OWN))):
            quanta = pa.table(batch).select(list(_OWN))
            of_edges = edges.take(int(np.sum(quanta["edges"].to_numpy())))
            bits = sum(
                of_edges[role].to_numpy().astype(np.uint8) << position for position, role in enumerate(ROLES)
            )
            of_edges = pa.table(
                [of_edges["dataset_id"], pa.array(bits)],
                schema=pa.schema(
                    [of_edges.field("dataset_id"), pa.field("roles", pa.uint8(), nullable=False)]
                ),
            ).combine_chunks()
            of_records = records.take(int(np.sum(quanta["records"].to_numpy()))).cast(RECORDS)
            of_records = of_records.unify_dictionaries().combine_chunks()
            length = len(quanta)
            quanta = quanta.append_column("source", pa.array(np.zeros(length, np.int32)))
            quanta = quanta.append_column("offset", pa.array(np.arange(first, first + length)))
            writer = PartWriter(folder, number)
            writer.write("quanta", quanta)
            writer.write("edges", of_edges)
            writer.write("records", of_records)
            writer.close()
            first += length
            yield Part(number, length, len(of_edges), len(of_records), 0, 0, 0, 0)


class _Rows:
    """The rows of a table, some at a time."""

    def __init__(self, path: Path):
        file = pq.ParquetFile(path)
        self._batches = (pa.table(batch) for batch in file.iter_batches(1 << 16))
        self._left = file.schema_arrow.empty_table()

    def take(self, rows: int) -> pa.Table:
        """Return the next rows."""
        taken = [self._left.slice(0, rows)]
        self._left = self._left.slice(rows)
        missing = rows - len(taken[0])
        while missing:
            batch = next(self._batches)
            taken.append(batch.slice(0, missing))
            self._left = batch.slice(missing)
            missing -= len(taken[-1])
        return pa.concat_tables(taken)
