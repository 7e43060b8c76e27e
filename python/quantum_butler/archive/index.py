"""The file of the lineage index: writing it, and reading it by mapping it into memory."""

from __future__ import annotations

__all__ = ("read_index", "write_index")

import os
from pathlib import Path

import pyarrow

from .. import _core
from .errors import unreadable


def write_index(nodes: pyarrow.RecordBatchReader, path: str | os.PathLike[str]) -> int:
    """Write the nodes that a `_core.LineageBuilder` gives, and return how many datasets are among them."""
    with pyarrow.ipc.new_file(path, nodes.schema) as file:
        for batch in nodes:
            file.write_batch(batch)
    return int(nodes.schema.metadata[b"datasets"])


def read_index(path: Path) -> _core.LineageIndex:
    """Map the index into memory: nothing of it has been read then but where things are."""
    try:
        with pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_file(mapped) as file:
            table = file.read_all()
        # Sees to it that the columns are within the file; what they hold is looked at when it is read.
        table.validate()
        return _core.LineageIndex(table)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
