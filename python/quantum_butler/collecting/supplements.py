"""Supplements from graphs: facts of quanta that their log lines lack."""

from __future__ import annotations

__all__ = ("SUPPLEMENTED", "add_supplements", "supplemented")


import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..paths import is_there
from .parts import part_path
from .tables import EXECUTION

SUPPLEMENTED = ("task_label", "data_id", "run", *(field.name for field in EXECUTION))
"""Columns that are taken from a graph where a line has nothing (`tuple` [`str`, ...])."""


def add_supplements(replaced: pa.Table, rows: pa.Table, folder: str) -> None:
    """Keep what graphs know of quanta until these are written: rows as ``replaced`` tells whose they are."""
    if not len(replaced):
        return
    # Texts as such: each file has other dictionaries.
    plain = pa.table(
        [_plain(rows[name]) for name in SUPPLEMENTED] + [rows["origin"], replaced["kept_row"]],
        [*SUPPLEMENTED, "origin", "kept_row"],
    )
    parts = replaced["kept_part"].to_numpy()
    for number in np.unique(parts).tolist():
        some = plain.filter(pa.array(parts == number))
        # Each share of the quanta has a file of its own for a part.
        path = part_path(folder, number, f"more{_count(folder, number)}")
        with pa.ipc.new_stream(path, some.schema) as writer:
            writer.write_table(some)


def _count(folder: str, number: int) -> int:
    """Return how many files of supplements a part has."""
    count = 0
    while is_there(part_path(folder, number, f"more{count}")):
        count += 1
    return count


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with its texts as such."""
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def supplemented(
    quanta: pa.Table, rows: np.ndarray[tuple[int], np.dtype[np.int64]], number: int, folder: str
) -> pa.Table:
    """Return some rows of a part's quanta, completed from graphs where log lines lack something."""
    tables = []
    for count in range(_count(folder, number)):
        with pa.memory_map(part_path(folder, number, f"more{count}")) as mapped:
            tables.append(pa.ipc.open_stream(mapped).read_all())
    if not tables:
        return quanta
    # What has happened says more than what was planned.
    more = pa.concat_tables(tables).sort_by([("kept_row", "ascending"), ("origin", "descending")])
    kept = more["kept_row"].to_numpy()
    places = np.searchsorted(kept, rows)
    known = (places < len(kept)) & (kept[np.minimum(places, len(kept) - 1)] == rows)
    taken = pa.array(np.where(known, places, 0), mask=~known)
    for name in SUPPLEMENTED:
        column = quanta[name]
        found = pc.coalesce(_plain(column), more[name].take(taken).cast(_plain(column).type))
        if pa.types.is_dictionary(column.type):
            found = found.dictionary_encode()
        quanta = quanta.set_column(quanta.column_names.index(name), name, found)
    return quanta
