"""The file of the lineage index: writing it, and reading it by mapping it into memory."""

from __future__ import annotations

__all__ = ("read_index", "write_index")

from typing import TYPE_CHECKING

from .. import _core
from .errors import unreadable

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pyarrow


def write_index(builder: _core.LineageBuilder, path: str | os.PathLike[str]) -> pyarrow.RecordBatchReader:
    """Write the index that a builder has got everything for.

    Parameters
    ----------
    builder : `_core.LineageBuilder`
        Builder that all quanta have been added to.
    path : `str` or `os.PathLike`
        File to write.

    Returns
    -------
    bytes : `pyarrow.RecordBatchReader`
        The columns of ``quanta.parquet`` with the bytes of each quantum's
        datasets, in order of the quanta.
    """
    import pyarrow

    nodes, sizes = builder.finish()
    with (
        pyarrow.RecordBatchReader.from_stream(nodes) as batches,
        pyarrow.ipc.new_file(path, batches.schema) as file,
    ):
        for batch in batches:
            file.write_batch(batch)
    return pyarrow.RecordBatchReader.from_stream(sizes)


def read_index(path: Path) -> _core.LineageIndex:
    """Map the index into memory.

    Parameters
    ----------
    path : `pathlib.Path`
        File of the index.

    Returns
    -------
    index : `_core.LineageIndex`
        The index, of which nothing has been read yet but where things are.

    Raises
    ------
    ArchiveError
        Raised if the file is missing or damaged.
    """
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_file(mapped) as file:
            table = file.read_all()
        # Sees to it that the columns are within the file; what they hold is looked at when it is read.
        table.validate()
        return _core.LineageIndex(table)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
