"""Writes where attempts that are not kept were read, and those in their place."""

from __future__ import annotations

__all__ = ("write_replaced",)

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ..paths import is_there
from .duplicates import Duplicates
from .found import Piece
from .parts import Part, part_path, read_part


def write_replaced(
    duplicates: Duplicates,
    parts: Sequence[Part],
    folder: str,
    archives: Mapping[int, Path],
    stream: IO[bytes],
) -> None:
    """Write a line for each attempt that is replaced now."""
    starts = {part.number: part.start for part in parts}
    for table in duplicates.replaced:
        dropped, kept = _places(table, "part", "row"), _places(table, "kept_part", "kept_row")
        wanted: dict[int, set[int]] = {}
        for number, row in dropped + kept:
            wanted.setdefault(number, set()).add(row)
        places: dict[tuple[int, int], dict[str, Any]] = {}
        for number, rows in sorted(wanted.items()):
            places.update(_origins(number, sorted(rows), starts.get(number, 0), folder, archives))
        for quantum, of_dropped, of_kept in zip(table["quantum_id"].to_pylist(), dropped, kept, strict=True):
            entry = {"quantum_id": str(quantum), "kept": places[of_kept], "dropped": places[of_dropped]}
            stream.write(json.dumps(entry).encode() + b"\n")


def _origins(
    number: int, rows: list[int], start: int, folder: str, archives: Mapping[int, Path]
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Yield where some quanta of a part were read."""
    with read_part(folder, number, "quanta") as quanta:
        found = quanta.select(["source", "offset"]).take(rows).to_pylist()
    path = part_path(folder, number, "piece")
    piece = Piece.load(path) if is_there(path) else None
    for row, origin in zip(rows, found, strict=True):
        if piece is None:
            yield (number, row), {"archive": os.fspath(archives[number]), "row": origin["offset"]}
        else:
            yield (number, row), {"source": piece.name(origin["source"]), "offset": start + origin["offset"]}


def _places(table: pa.Table, part: str, row: str) -> list[tuple[int, int]]:
    return list(zip(table[part].to_pylist(), table[row].to_pylist(), strict=True))
