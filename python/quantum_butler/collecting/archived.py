"""Reads an archive back into parts, to add to it."""

from __future__ import annotations

__all__ = ("archive_parts", "past_attempts")

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import _core
from ..archive.errors import ArchiveError, unreadable
from ..archive.format import ROLES
from ..archive.rows import QuantumRows, read_quanta, read_rows
from .pieces import Part, PartWriter
from .tables import ATTEMPTS, QUANTA, RECORDS

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
_ATTEMPT = {"begin": "times", "end": "times", "failed": "booleans"}
_ATTEMPTS = {
    "quantum_id": "ids",
    **_ATTEMPT,
    "actual_inputs": "integers",
    "actual_outputs": "integers",
    "content": "ids",
}
_EDGES = {"dataset_id": "ids", **dict.fromkeys(ROLES, "booleans")}


def archive_parts(archive: Path, folder: str) -> Iterator[Part]:
    """Make parts of an archive; their numbers come after ``Duplicates.PAST``."""
    first = 0
    columns = _QUANTA | (_ATTEMPT if _has_attempts(archive) else {})
    parts = enumerate(read_quanta(archive, columns, _EDGES, _AT_ONCE), _core.Duplicates.PAST + 1)
    for number, some in parts:
        yield _write_part(some, archive, first, number, folder)
        first += some.quanta.num_rows


def past_attempts(archive: Path, folder: str) -> Part | None:
    """Make a part, ``Duplicates.PAST``, of the attempts that an archive knows and does not keep, if any."""
    expected = 0
    if _has_attempts(archive):
        for rows in read_rows(archive / "quanta.parquet", {"attempts": "integers"}, _AT_ONCE):
            expected += int((rows["attempts"].to_numpy().astype(np.int64) - 1).sum())
    path = archive / "attempts.parquet"
    number = _core.Duplicates.PAST
    writer = PartWriter(folder, number)
    if path.exists():
        for rows in read_rows(path, _ATTEMPTS, _AT_ONCE):
            try:
                writer.write("quanta", rows.select(ATTEMPTS.names).cast(ATTEMPTS))
            except pa.ArrowException as error:
                raise unreadable(path, error) from error
    writer.close()
    quanta = writer.rows["quanta"]
    if quanta != expected:
        raise ArchiveError(f"{path}: there are {quanta} attempts, and quanta.parquet tells of {expected}")
    return Part(number, quanta, 0, 0, 0, 0, 0, 0) if quanta else None


def _has_attempts(archive: Path) -> bool:
    """Return whether the table of quanta tells of attempts; earlier releases did not write that."""
    path = archive / "quanta.parquet"
    try:
        return "attempts" in pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


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
    for name in _ATTEMPT:
        type_ = QUANTA.field(name).type
        if name in quanta.column_names:
            quanta = quanta.set_column(quanta.column_names.index(name), name, quanta[name].cast(type_))
        else:
            quanta = quanta.append_column(name, pa.nulls(length, type_))
    quanta = quanta.append_column("source", pa.array(np.zeros(length, np.int32)))
    quanta = quanta.append_column("offset", pa.array(np.arange(first, first + length)))
    writer = PartWriter(folder, number)
    writer.write("quanta", quanta)
    writer.write("edges", of_edges)
    writer.write("records", of_records)
    writer.close()
    return Part(number, length, len(of_edges), len(of_records), 0, 0, 0, 0)
