"""Puts quanta and datasets of two runs together by what they are called."""

from __future__ import annotations

__all__ = ("Matches", "match", "match_datasets", "match_quanta", "names_of")

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from .. import _core
from ..archive.columns import in_one_piece
from .datasets import Datasets
from .sides import Side

_Numbers: TypeAlias = np.ndarray[Any, Any]

# What the core has in place of a partner.
_NOBODY = np.iinfo(np.uint32).max


@dataclass(frozen=True)
class Matches:
    """Rows of two sides with the same names."""

    of_left: _Numbers
    """The partner of each row of the left, or the greatest number (`numpy.ndarray`)."""

    of_right: _Numbers
    """The same of the right (`numpy.ndarray`)."""

    left: _Numbers
    """Rows of the left that have a partner (`numpy.ndarray`)."""

    right: _Numbers
    """The partner of each (`numpy.ndarray`)."""

    only_left: _Numbers
    """Rows of the left without one (`numpy.ndarray`)."""

    only_right: _Numbers
    """Rows of the right without one (`numpy.ndarray`)."""


def names_of(table: pa.Table) -> _core.Names:
    """Return names that are the values of columns: integers, texts, dictionaries of these, or nothing."""
    names = _core.Names()
    names.add(table, [])
    return names


def match(left: _core.Names, right: _core.Names) -> Matches:
    """Match rows with equal names; of several rows with one name the first matches the first, and so on."""
    of_left, of_right = (pa.table(rows)["row"].chunk(0).to_numpy() for rows in _core.partners(left, right))
    (rows,) = np.nonzero(of_left != _NOBODY)
    return Matches(
        of_left,
        of_right,
        rows,
        of_left[rows].astype(np.int64),
        np.flatnonzero(of_left == _NOBODY),
        np.flatnonzero(of_right == _NOBODY),
    )


def match_quanta(one: Side, other: Side) -> Matches:
    """Match quanta by task and data ID."""
    sides = (one, other)
    found = match(*(names_of(side.quanta.select(["task_label", "data_id"])) for side in sides))
    # Equal JSON is equal; where it differs, it may only be spelled in another way.
    if one.is_json or other.is_json:
        rest = [_names_in_words(one, found.only_left), _names_in_words(other, found.only_right)]
        if len(found.only_left) and len(found.only_right) and len(match(*rest).left):
            return match(*(_names_in_words(side, np.arange(len(side.quanta))) for side in sides))
    return found


def _names_in_words(side: Side, rows: _Numbers) -> _core.Names:
    labels = in_one_piece(side.quanta["task_label"]).take(pa.array(rows))
    return names_of(pa.table({"task_label": labels, "data_id": side.data_ids(rows)}))


def match_datasets(one: Datasets, other: Datasets) -> Matches:
    """Match datasets by type and data ID; those of which nobody tells these, by their ids."""
    both = one.dimensions.keys() & other.dimensions.keys()
    texts = {name for name in both if _are_unlike(one.dimensions[name], other.dimensions[name])}
    return match(*(side.named(texts) if texts else side.names for side in (one, other)))


def _are_unlike(one: pa.DataType, other: pa.DataType) -> bool:
    """Return whether the values of a dimension are numbers on one side and texts on the other."""
    return not (pa.types.is_null(one) or pa.types.is_null(other)) and pa.types.is_integer(
        one
    ) != pa.types.is_integer(other)
