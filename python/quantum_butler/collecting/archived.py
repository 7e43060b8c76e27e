"""Reads archives back into parts, to add to one or to merge several."""

from __future__ import annotations

__all__ = ("archive_parts", "past_attempts")

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import _core
from ..archive.columns import batches_of
from ..archive.errors import ArchiveError, unreadable
from ..archive.format import ROLES, read_manifest
from ..archive.rows import QuantumRows, read_quanta, read_rows
from ..paths import is_there
from .origins import Origin
from .parts import Part, PartWriter
from .tables import ATTEMPTS, EXECUTION, KNOWN_FROM, part_schemas

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
_KINDS = {pa.int64(): "integers", pa.float64(): "numbers", EXECUTION[16].type: "times"}
_EXECUTION = {"run": "text", **{field.name: _KINDS.get(field.type, "text") for field in EXECUTION}}
_ORIGIN = {"known_from": "text", "source": "integers"}
_ATTEMPTS = {
    "quantum_id": "ids",
    **_ATTEMPT,
    "actual_inputs": "integers",
    "actual_outputs": "integers",
    "content": "ids",
}
_EDGES = {"dataset_id": "ids", **dict.fromkeys(ROLES, "booleans")}


def archive_parts(archive: Path, folder: str, number: int, first_source: int) -> Iterator[Part]:
    """Make parts of an archive, numbered from there on; its sources are counted from there on, too."""
    first = 0
    is_first_format = read_manifest(archive).version == 1
    columns = dict(_QUANTA)
    if not is_first_format:
        columns |= _ATTEMPT | _EXECUTION | _ORIGIN
    elif _has_attempts(archive):
        columns |= _ATTEMPT
    for some in read_quanta(archive, columns, _EDGES, _AT_ONCE):
        yield _write_part(some, archive, first, number, folder, first_source)
        first += some.quanta.num_rows
        number += 1
    if not is_first_format:
        yield _write_rest(archive, number, folder)


def past_attempts(archives: Iterable[Path], folder: str) -> Part | None:
    """Make a part, ``Duplicates.PAST``, of the attempts that archives know and do not keep, if any."""
    number = _core.Duplicates.PAST
    writer = PartWriter(folder, number)
    for archive in archives:
        before, path = writer.rows["quanta"], archive / "attempts.parquet"
        for rows in _attempts(archive):
            writer.write("quanta", rows.filter(pc.is_valid(rows["content"])))
        found, expected = writer.rows["quanta"] - before, _expected_attempts(archive)
        if found != expected:
            raise ArchiveError(f"{path}: there are {found} attempts, and the archive tells of {expected}")
    writer.close()
    quanta = writer.rows["quanta"]
    return Part(number, quanta, 0, 0, 0, 0, 0, 0) if quanta else None


def _expected_attempts(archive: Path) -> int:
    """Return of how many attempts that it does not keep an archive tells."""
    manifest = read_manifest(archive)
    if manifest.version != 1:
        return int(manifest.counts.get("attempts", 0))
    expected = 0
    if _has_attempts(archive):
        for rows in read_rows(archive / "quanta.parquet", {"attempts": "integers"}, _AT_ONCE):
            expected += int((rows["attempts"].to_numpy().astype(np.int64) - 1).sum())
    return expected


def _attempts(archive: Path) -> Iterator[pa.Table]:
    """Yield the attempts that an archive does not keep, with all columns."""
    path = archive / "attempts.parquet"
    if not is_there(path):
        return
    columns = dict(_ATTEMPTS)
    if read_manifest(archive).version != 1:
        columns |= {"task_label": "text", "data_id": "text", **_EXECUTION}
    for rows in read_rows(path, columns, _AT_ONCE):
        for field in ATTEMPTS:
            if field.name not in rows.column_names:
                rows = rows.append_column(field, pa.nulls(len(rows), field.type))
        try:
            yield rows.select(ATTEMPTS.names).cast(ATTEMPTS)
        except pa.ArrowException as error:
            raise unreadable(path, error) from error


def _has_attempts(archive: Path) -> bool:
    """Return whether the table of quanta tells of attempts; earlier releases did not write that."""
    path = archive / "quanta.parquet"
    try:
        return "attempts" in pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _write_part(
    some: QuantumRows, archive: Path, first: int, number: int, folder: str, first_source: int
) -> Part:
    """Write quanta, of which the first has that number, with their rows."""
    quanta, of_edges, length = some.quanta, some.edges, some.quanta.num_rows
    bits = sum(of_edges[role].to_numpy().astype(np.uint8) << position for position, role in enumerate(ROLES))
    schemas = part_schemas()
    columns = {
        "source": pa.nulls(length, pa.int32()),
        **dict(zip(quanta.column_names, quanta.columns, strict=True)),
        "offset": pa.array(np.arange(first, first + length)),
        "origin": _origins(quanta),
    }
    if "known_from" in columns:
        columns["source"] = pc.add(quanta["source"], first_source)
    try:
        table = pa.table(
            [columns.get(field.name, pa.nulls(length, field.type)) for field in schemas["quanta"]],
            schemas["quanta"].names,
        )
        # Of sources nothing may be known.
        schema = schemas["quanta"].set(
            schemas["quanta"].get_field_index("source"), pa.field("source", pa.int32())
        )
        table = table.cast(schema).unify_dictionaries().combine_chunks()
        edges = pa.table([of_edges["dataset_id"], pa.array(bits)], schemas["edges"].names).cast(
            schemas["edges"]
        )
        records = some.records.cast(schemas["records"]).unify_dictionaries().combine_chunks()
    except (pa.ArrowException, ValueError) as error:
        raise unreadable(archive, error) from error
    writer = PartWriter(folder, number)
    for name, rows in (("quanta", table), ("edges", edges.combine_chunks()), ("records", records)):
        writer.write(name, rows)  # type: ignore[arg-type]
    writer.close()
    return Part(number, length, len(edges), len(records), 0, 0, 0, 0)


def _origins(quanta: pa.Table) -> pa.Array:
    """Return where quanta are known from."""
    if "known_from" not in quanta.column_names:
        return pa.array(np.full(quanta.num_rows, Origin.LINE, np.int8))
    known = pc.index_in(quanta["known_from"].cast(pa.string()), pa.array(KNOWN_FROM))
    return known.fill_null(int(Origin.LINE)).cast(pa.int8()).combine_chunks()


def _write_rest(archive: Path, number: int, folder: str) -> Part:
    """Write a part without quanta: names of datasets, and attempts that only later ones have told of."""
    writer = PartWriter(folder, number)
    schemas = part_schemas()
    for name, schema in schemas.items():
        writer.write(name, schema.empty_table())  # type: ignore[arg-type]
    for rows in _attempts(archive):
        told = rows.filter(pc.is_null(rows["content"]))
        writer.write("earlier", told.select(schemas["earlier"].names).cast(schemas["earlier"]))
    path = archive / "datasets.parquet"
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in batches_of(file, _AT_ONCE):
                names = pa.table(batch)
                names = names.filter(pc.is_valid(names["dataset_type"]))
                data_ids = names["data_id"].combine_chunks()
                columns = {
                    name: names[name] for name in ("dataset_id", "dataset_type", "run", "storage_class")
                }
                columns["producer"] = names["producer"]
                for field in data_ids.type:
                    column = data_ids.field(field.name)
                    if column.null_count < len(column):
                        columns[field.name] = column
                writer.write_names(pa.table(columns).unify_dictionaries().combine_chunks())
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise unreadable(path, error) from error
    writer.close()
    return Part(number, 0, 0, 0, 0, 0, 0, 0, names=writer.names)
