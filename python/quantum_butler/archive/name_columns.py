"""Names of rows of quanta and datasets: a label, and a column for each dimension."""

from __future__ import annotations

__all__ = ("NameColumns", "dimensions_of", "names_of_datasets", "names_of_quanta")

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow

from ..queries.data_ids import parse_texts
from ..queries.errors import ConditionError
from .columns import in_one_piece


class NameColumns(NamedTuple):
    """Names of some rows."""

    labels: pyarrow.Array
    """Tasks or dataset types, null where nobody tells."""

    values: Mapping[str, pyarrow.Array]
    """Values of each dimension, null where the data ID lacks it."""


def dimensions_of(type_: pyarrow.DataType) -> dict[str, pyarrow.DataType]:
    """Return the dimensions of the datasets, from the type of their data IDs."""
    return {field.name: field.type for field in type_}


def names_of_datasets(rows: pyarrow.Table) -> NameColumns:
    """Return the names of rows of ``datasets.parquet``."""
    data_ids = in_one_piece(rows["data_id"])
    values = {field.name: data_ids.field(field.name) for field in data_ids.type}
    return NameColumns(in_one_piece(rows["dataset_type"]), values)


def names_of_quanta(rows: pyarrow.Table, dimensions: Mapping[str, pyarrow.DataType]) -> NameColumns | None:
    """Return the names of rows of ``quanta.parquet``.

    `None` if these have values of another type than the datasets have for the same dimension, or no plain
    values: conditions on such data IDs do not mean values that are equal.
    """
    try:
        found = parse_texts(rows["data_id"].cast(pyarrow.string()))
    except (ConditionError, pyarrow.ArrowException, TypeError, OverflowError):
        return None
    values = {}
    for name, column in found.items():
        whole = in_one_piece(column) if isinstance(column, pyarrow.ChunkedArray) else column
        if pyarrow.types.is_null(whole.type):
            continue
        if name in dimensions and pyarrow.types.is_integer(whole.type) != pyarrow.types.is_integer(
            dimensions[name]
        ):
            return None
        values[name] = whole
    return NameColumns(in_one_piece(rows["task_label"]), values)
