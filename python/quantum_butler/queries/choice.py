"""Choices of quanta or datasets, and the rows of a table that they select."""

from __future__ import annotations

__all__ = ("Choice", "make_choice")

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow
import pyarrow.compute as pc

from .arrays import FALSE, array_of
from .conditions import Columns, dimensions_of, evaluate
from .errors import ConditionError
from .expressions import Node, parse
from .statuses import status_of_word


@dataclass(frozen=True, slots=True)
class Choice:
    """Choice of quanta or datasets. `None` stands for all."""

    labels: frozenset[str] | None = None
    """Tasks of quanta, or types of datasets."""

    runs: frozenset[str] | None = None
    statuses: frozenset[int | None] | None = None
    """Statuses of quanta; `None` among them is that of those that nobody has tried."""

    where: Node | None = None
    """Condition on data IDs."""

    @property
    def dimensions(self) -> set[str]:
        """The dimensions that the condition is about."""
        return set() if self.where is None else dimensions_of(self.where)

    def simple_mask(self, table: pyarrow.Table, label: str) -> pyarrow.ChunkedArray | None:
        """Return a mask of the rows with the wanted label, run and status; `None` if no row is left out."""
        mask = None
        for name, wanted in ((label, self.labels), ("run", self.runs), ("status", self.statuses)):
            if wanted is None:
                continue
            among = _among(table[name], wanted)
            mask = among if mask is None else pc.and_(mask, among)
        return mask

    def met(self, columns: Callable[[], Columns], length: int) -> pyarrow.Array | None:
        """Return which rows meet the condition; `None` if there is none."""
        return None if self.where is None else evaluate(self.where, columns(), length)


def _among(column: pyarrow.ChunkedArray, wanted: frozenset[Any]) -> pyarrow.ChunkedArray:
    """Return where a column has one of some values."""
    if not pyarrow.types.is_dictionary(column.type):
        # A status that is not known is a value like others.
        return pc.is_in(column, array_of([*wanted], column.type), skip_nulls=None not in wanted)
    values = array_of([*wanted], column.type.value_type)
    # Each text is looked at once, and not in all rows.
    parts = [pc.take(pc.is_in(chunk.dictionary, values), chunk.indices) for chunk in column.chunks]
    return pc.fill_null(pyarrow.chunked_array(parts, pyarrow.bool_()), FALSE)


def make_choice(
    labels: str | Iterable[str] | None,
    runs: str | Iterable[str] | None,
    statuses: str | Iterable[str] | None,
    where: str | None,
) -> Choice:
    """Return what is wanted, as callers say it and people on the command line."""
    condition = None
    if where is not None:
        try:
            condition = parse(where)
        except ConditionError as error:
            raise ConditionError(f"{where!r}: {error}") from error
    wanted = _several(statuses)
    numbers = None if wanted is None else frozenset(map(status_of_word, wanted))
    return Choice(_several(labels), _several(runs), numbers, condition)


def _several(values: str | Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset((values,) if isinstance(values, str) else values)
