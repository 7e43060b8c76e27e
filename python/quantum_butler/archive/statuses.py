"""Statuses of quanta in an archive, in upstream's numbers."""

from __future__ import annotations

__all__ = ("TELLING", "statuses")

from collections.abc import Collection

import pyarrow
import pyarrow.compute as pc

from ..queries.arrays import FALSE, scalar_of

TELLING = ("failed", "known_from")
"""Columns that tell of a quantum without a status, as far as there are any (`tuple` [ `str` ])."""

_UNKNOWN, _FAILED, _SUCCESSFUL = -3, -1, 1


def statuses(table: pyarrow.Table, there: Collection[str]) -> pyarrow.ChunkedArray:
    """Return statuses; lines of earlier releases tell no more than whether a quantum failed, if that.

    What the archive itself has of the columns is ``there``; others the table has, if at all, as nulls.
    """
    said = pyarrow.chunked_array([pyarrow.repeat(scalar_of(_UNKNOWN), len(table))])
    if "failed" in there:
        said = pc.if_else(table["failed"], scalar_of(_FAILED), scalar_of(_SUCCESSFUL))
        said = pc.fill_null(said, scalar_of(_UNKNOWN))
    if "known_from" in there:
        # Of others nobody has told anything.
        from_line = pc.equal(table["known_from"].cast(pyarrow.string()), scalar_of("line"))
        said = pc.if_else(pc.fill_null(from_line, FALSE), said, scalar_of(None, pyarrow.int64()))
    return pc.coalesce(table["status"], said) if "status" in there else said
