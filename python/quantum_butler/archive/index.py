"""The file of the lineage index: writing it, and reading it by mapping it into memory."""

from __future__ import annotations

__all__ = ("lists_of", "map_nodes", "read_index", "write_index")

import os
from pathlib import Path
from typing import Any

import numpy
import pyarrow

from .. import _core
from .errors import unreadable


def write_index(nodes: pyarrow.RecordBatchReader, path: str | os.PathLike[str]) -> int:
    """Write the nodes that a `_core.LineageBuilder` gives, and return how many datasets are among them."""
    with pyarrow.ipc.new_file(path, nodes.schema) as file:
        for batch in nodes:
            file.write_batch(batch)
    return int(nodes.schema.metadata[b"datasets"])


def map_nodes(path: Path) -> pyarrow.Table:
    """Map the rows of the index into memory, or raise what pyarrow and the core say of them."""
    with pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_file(mapped) as file:
        table = file.read_all()
    # Sees to it that the columns are within the file; what they hold is looked at when it is read.
    table.validate()
    return table


def read_index(path: Path) -> _core.LineageIndex:
    """Map the index into memory: nothing of it has been read then but where things are."""
    try:
        return _core.LineageIndex(map_nodes(path))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def lists_of(neighbours: pyarrow.Array | pyarrow.ChunkedArray) -> tuple[Any, Any, Any]:
    """Return where the lists of some nodes begin, and all rows and roles in them."""
    if isinstance(neighbours, pyarrow.ChunkedArray):
        if not neighbours.num_chunks:
            return numpy.zeros(1, "i8"), numpy.zeros(0, "u4"), numpy.zeros(0, "u1")
        neighbours = pyarrow.concat_arrays(neighbours.chunks)
    offsets = neighbours.offsets.to_numpy().astype(numpy.int64)
    values = neighbours.values.slice(offsets[0], offsets[-1] - offsets[0])
    return offsets - offsets[0], values.field("row").to_numpy(), values.field("roles").to_numpy()
