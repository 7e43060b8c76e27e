"""Tables that were read from a piece of the input. They are in files that all workers see."""

from __future__ import annotations

__all__ = ("Part", "PartWriter", "TableName", "part_path", "read_names", "read_part")

import collections
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from .. import _core
from .found import Piece
from .origins import Origin, with_origin

TableName: TypeAlias = Literal["quanta", "edges", "records", "earlier", "contents"]

_TABLES: tuple[TableName, ...] = ("quanta", "edges", "records", "earlier")


@dataclass(frozen=True)
class Part:
    """Tables that were read from a piece."""

    number: int
    """Which part it is."""

    quanta: int
    """How many quanta it has."""

    edges: int
    """How many pairs of quantum and dataset."""

    records: int
    """How many datastore records."""

    rejected: int
    """How many entries could not be read."""

    size: int
    """Bytes of the input, as they are stored."""

    start: int
    """Where it starts in the content of its source, if that is known."""

    content: int
    """How many bytes of that it has."""

    by_source: tuple[tuple[int, int, int], ...] = ()
    """Bytes, quanta and rejected entries of each log or file, if they are listed apart."""

    names: int = 0
    """How many tables of names of datasets it has."""


class PartWriter:
    """Writes the tables of one part."""

    def __init__(self, folder: str, number: int, *, has_contents: bool = False):
        self._folder, self._number = folder, number
        self._has_contents = has_contents
        self._writers: dict[str, pa.ipc.RecordBatchStreamWriter] = {}
        self.rows = dict.fromkeys((*_TABLES, "contents"), 0)
        """How many rows each table has (`dict` [`str`, `int`])."""
        self.names = 0
        """How many tables of names there are (`int`)."""
        self.rejected = 0
        """How many entries were rejected (`int`)."""
        self.quanta_of: collections.Counter[int] = collections.Counter()
        """How many quanta each source has (`collections.Counter` [`int`])."""
        self.rejected_of: collections.Counter[int] = collections.Counter()
        """How many entries of each were rejected (`collections.Counter` [`int`])."""

    def write(self, name: TableName, table: pa.Table) -> None:
        """Add rows to a table."""
        if (writer := self._writers.get(name)) is None:
            path = part_path(self._folder, self._number, name)
            writer = self._writers[name] = pa.ipc.new_stream(path, table.schema)
        writer.write_table(table)
        self.rows[name] += len(table)

    def write_names(self, names: pa.Table) -> None:
        """Add names of datasets, which have a table of their own, since their dimensions may be others."""
        if len(names):
            path = part_path(self._folder, self._number, f"names{self.names}")
            with pa.ipc.new_stream(path, names.schema) as writer:
                writer.write_table(names)
            self.names += 1

    def take(self, scanner: _core.ProvenanceScanner, piece: Piece) -> None:
        """Add whatever a scanner has read."""
        found, rejected = scanner.take()
        *others, names, contents = map(pa.table, found)
        tables = dict(zip(_TABLES, others, strict=True))
        tables["quanta"] = with_origin(tables["quanta"], Origin.LINE)
        if self._has_contents:
            tables["contents"] = contents
        for name, table in tables.items():
            self.write(name, table)
        self.write_names(names)
        if len(piece.entries) > 1:
            sources = tables["quanta"]["source"].to_numpy()
            self.quanta_of.update(dict(enumerate(np.bincount(sources).tolist())))
            self.rejected_of.update(source for source, _, _ in rejected)
        for entry in rejected:
            self.reject(piece, *entry)

    def reject(self, piece: Piece, source: int, offset: int, reason: str) -> None:
        """Note an entry of a source that could not be read."""
        with open(part_path(self._folder, self._number, "rejected"), "a", encoding="utf-8") as stream:
            entry = {"source": piece.name(source), "offset": offset, "reason": reason}
            stream.write(json.dumps(entry) + "\n")
        self.rejected += 1

    def part(
        self, size: int, start: int = 0, content: int = 0, by_source: tuple[tuple[int, int, int], ...] = ()
    ) -> Part:
        """Return what was written, and how much of the input it was read from."""
        quanta, edges, records = (self.rows[name] for name in ("quanta", "edges", "records"))
        number, rejected, names = self._number, self.rejected, self.names
        return Part(number, quanta, edges, records, rejected, size, start, content, by_source, names)

    def close(self) -> None:
        """End the tables."""
        for writer in self._writers.values():
            writer.close()


def part_path(folder: str, number: int, name: str) -> str:
    """Return where something of a part is."""
    return os.path.join(folder, f"{number:08d}.{name}")


@contextmanager
def read_part(folder: str, number: int, name: TableName) -> Iterator[pa.Table]:
    """Give a table of a part, which must not be used afterwards."""
    with pa.memory_map(part_path(folder, number, name)) as mapped, pa.ipc.open_stream(mapped) as reader:
        # Each batch has dictionaries of its own, and kernels that group or join want one.
        yield reader.read_all().unify_dictionaries()


def read_names(part: Part, folder: str) -> Iterator[pa.Table]:
    """Yield the tables of names of a part."""
    for table in range(part.names):
        with pa.memory_map(part_path(folder, part.number, f"names{table}")) as mapped:
            yield pa.ipc.open_stream(mapped).read_all()
