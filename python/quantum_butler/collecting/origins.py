"""Origins of quanta: logs, graphs and archives."""

from __future__ import annotations

__all__ = ("Origin", "with_origin")

import enum

import numpy as np
import pyarrow as pa


class Origin(enum.IntEnum):
    """Origin of a quantum. Of several origins, the one with the highest number decides."""

    PREDICTED = 0
    """A predicted graph."""

    PROVENANCE = 1
    """A provenance graph of upstream's."""

    LINE = 2
    """A log, or a file, of ours: it knows what was really used."""


def with_origin(quanta: pa.Table, origin: Origin) -> pa.Table:
    """Return quanta of a part with the column that tells where they are known from."""
    return quanta.append_column(
        pa.field("origin", pa.int8(), nullable=False), pa.array(np.full(len(quanta), origin, np.int8))
    )
