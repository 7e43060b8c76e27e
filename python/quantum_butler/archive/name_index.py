"""The file that leads from a task or dataset type and a data ID, or a part of one, to rows of a table."""

from __future__ import annotations

__all__ = ("NameIndex",)

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import pyarrow

from ..paths import is_there
from ..queries.arrays import numpy_of
from ..queries.found import Kind
from .errors import unreadable
from .name_values import METADATA, NameValues
from .naming import INDEXES, keys_of

# With more numbers than that a scan of the table takes no longer.
_MOST_KEYS = 1 << 14


class NameIndex:
    """Opened when it is asked; archives of earlier releases have none."""

    def __init__(self, archive: Path, kind: Kind):
        self._path = archive / INDEXES[kind]

    @cached_property
    def labels(self) -> Sequence[str] | None:
        """All tasks or dataset types, sorted; `None` if nobody tells, as in archives of earlier releases."""
        return None if self._values is None else sorted(self._values.known)

    def keys(self, label: str, values: Mapping[str, int | str]) -> Any | None:
        """Return the numbers of all names with some values, and perhaps others; `None` if nobody knows."""
        if self._values is None:
            return None
        data_ids = self._values.completions(label, values, _MOST_KEYS)
        return None if data_ids is None else keys_of(label, data_ids)

    def rows(self, keys: Sequence[Any]) -> list[Any]:
        """Return of some numbers, and of others, and so on, the rows that have any of these, ascending."""
        every = numpy.concatenate([numpy.zeros(0, numpy.uint64), *keys])
        owners = numpy.repeat(numpy.arange(len(keys)), [len(some) for some in keys])
        found = [numpy.zeros(0, numpy.int64)]
        try:
            for batch in self._table.to_batches() if self._table is not None else ():
                known, rows = numpy_of(batch["key"]), numpy_of(batch["row"])
                starts, stops = (numpy.searchsorted(known, every, side) for side in ("left", "right"))
                counts = stops - starts
                first = starts - (counts.cumsum() - counts)
                places = numpy.arange(counts.sum()) + numpy.repeat(first, counts)
                # A row is a number of 32 bits.
                found.append(numpy.repeat(owners, counts) << 32 | rows[places].astype(numpy.int64))
        except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
            raise unreadable(self._path, error) from error
        pairs = numpy.unique(numpy.concatenate(found))
        bounds = numpy.searchsorted(pairs, numpy.arange(1, len(keys)) << 32)
        return numpy.split(pairs & 0xFFFFFFFF, bounds) if keys else []

    @cached_property
    def _table(self) -> pyarrow.Table | None:
        if not is_there(self._path):
            return None
        try:
            with pyarrow.memory_map(str(self._path)) as mapped, pyarrow.ipc.open_file(mapped) as file:
                return file.read_all()
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise unreadable(self._path, error) from error

    @cached_property
    def _values(self) -> NameValues | None:
        content = None if self._table is None else (self._table.schema.metadata or {}).get(METADATA)
        try:
            return None if content is None else NameValues.read(content)
        except ValueError as error:
            raise unreadable(self._path, error) from error
