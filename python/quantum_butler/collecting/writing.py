"""Writes an archive from the parts that were read."""

from __future__ import annotations

__all__ = ("ArchiveWriter",)

import concurrent.futures as cf
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import _core
from ..archive.index import write_index
from ..paths import is_there
from .details import Details
from .duplicates import Duplicates
from .found import Piece
from .name_indexes import write_names_of_quanta
from .names import write_datasets
from .parts import Part, part_path
from .supplements import supplemented
from .tables import TableWriter, edge_rows, kept_rows, quantum_rows, record_rows

# Memory for sorting edges by dataset; the rest is on disk.
_LINEAGE_MEMORY = 96 << 20

# What is looked at of records to tell how large datasets are.
_OF_RECORDS = ("dataset_id", "storage_class", "component", "file_size")


class ArchiveWriter:
    """Writes the tables of an archive into a folder.

    ``sources`` has the number of the first source of a part's piece, and
    ``tell`` is told how many quanta are written.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        duplicates: Duplicates,
        folder: str,
        result: str,
        first_source: int,
        tell: Callable[[int], None],
    ):
        self._all = parts
        self._parts = [part for part in parts if len(duplicates.dropped.get(part.number, ())) < part.quanta]
        self._duplicates = duplicates
        self._folder, self._result = folder, result
        self._first_source = first_source
        self._tell = tell
        self._details = Details(parts, duplicates, folder)

    def write(self, told_of_tasks: Sequence[Path]) -> Mapping[str, int]:
        """Write all tables, with the tasks that other archives tell of; return how many rows they have."""
        # The index takes longest, and what it finds goes into the table of quanta; the others need not wait.
        with cf.ThreadPoolExecutor(2) as others:
            edges = others.submit(self._write_edges)
            records = others.submit(self._write_records)
            nodes, sizes = self._lineage()
            quanta = others.submit(self._write_quanta, sizes)
            datasets = write_index(nodes, os.path.join(self._result, "lineage.arrow"))
            counts = {"datasets": datasets, "edges": edges.result(), "records": records.result()}
            quanta.result()
        counts["named"] = write_datasets(self._all, self._sized(), self._folder, self._result)
        write_names_of_quanta(self._folder, self._result)
        counts.update(self._details.write(self._result, told_of_tasks))
        return counts

    def _kept(self, *names: str) -> Iterator[tuple[Part, list[pa.Table]]]:
        for part in self._parts:
            with kept_rows(part, self._folder, self._duplicates.dropped.get(part.number), names) as tables:
                yield part, tables

    def _lineage(self) -> tuple[pa.RecordBatchReader, pa.RecordBatchReader]:
        """Return the nodes of the index, and the bytes of each quantum's datasets."""
        builder = _core.LineageBuilder(self._folder, _LINEAGE_MEMORY)
        added = 0
        for _, (quanta, edges, records) in self._kept("quanta", "edges", "records"):
            builder.add(
                quanta.select(["quantum_id", "edges"]), edges, records.select(["dataset_id", "file_size"])
            )
            added += len(quanta)
            self._tell(added)
        nodes, sizes = map(pa.RecordBatchReader.from_stream, builder.finish())
        return nodes, sizes

    def _write_edges(self) -> int:
        with TableWriter("edges", self._result) as writer:
            for _, (quanta, edges) in self._kept("quanta", "edges"):
                writer.write(edge_rows(quanta, edges))
        return writer.rows

    def _write_records(self) -> int:
        with TableWriter("records", self._result) as writer:
            for _, (_, records) in self._kept("quanta", "records"):
                writer.write(record_rows(records))
        return writer.rows

    def _sized(self) -> Iterator[pa.Table]:
        """Yield what records tell of the sizes of datasets."""
        for _, (_, records) in self._kept("quanta", "records"):
            yield records.select(_OF_RECORDS)

    def _write_quanta(self, sizes: pa.RecordBatchReader) -> None:
        left = sizes.schema.empty_table()
        with TableWriter("quanta", self._result) as writer:
            for part, (quanta,) in self._kept("quanta"):
                while len(left) < len(quanta):
                    left = pa.concat_tables([left, pa.table(sizes.read_next_batch())])
                own = left.slice(0, len(quanta)).combine_chunks()
                rows = np.delete(np.arange(part.quanta), self._duplicates.dropped.get(part.number, ()))
                quanta = supplemented(quanta, rows, part.number, self._folder)
                self._details.note(quanta)
                quanta = self._with_source(quanta, part)
                writer.write(quantum_rows(quanta, own, self._duplicates.attempts_of(part)))
                left = left.slice(len(own))

    def _with_source(self, quanta: pa.Table, part: Part) -> pa.Table:
        """Return quanta with the numbers of their sources in the list of the archive."""
        path = part_path(self._folder, part.number, "piece")
        if not is_there(path):
            # Those of an archive have them.
            return quanta
        entries: Any = np.array(Piece.load(path).entries, np.int32)
        within = quanta["source"].to_numpy()
        numbers = entries[within] if len(entries) > 1 else np.full(len(within), entries[0])
        column = pa.array((numbers + self._first_source).astype(np.int32))
        return quanta.set_column(quanta.column_names.index("source"), "source", column)
