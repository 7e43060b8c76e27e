"""Differences between what two runs have written."""

from __future__ import annotations

__all__ = ("DifferingDatasets", "dataset_rows", "differing_datasets", "no_datasets")

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from .comparison import TypeComparison
from .datasets import Datasets, decoded, taken
from .matching import Matches

_Numbers: TypeAlias = np.ndarray[Any, Any]


class DifferingDatasets(NamedTuple):
    """Rows of datasets that were written on one side only or with another size."""

    resized_left: _Numbers
    """Those of the left whose size differs."""
    resized_right: _Numbers
    """The partner of each."""
    only_left: _Numbers
    """Those written on the left only."""
    only_right: _Numbers
    """Those written on the right only."""


def differing_datasets(
    one: Datasets, other: Datasets, names: Matches, types: dict[str, TypeComparison]
) -> DifferingDatasets:
    """Find what was written on one side only or with another size, and count by type."""
    codes = [side.types.indices.fill_null(-1).to_numpy() for side in (one, other)]
    _add(types, one, codes[0][one.written], "left")
    _add(types, other, codes[1][other.written], "right")
    left, right = names.left, names.right
    here, there = one.written[left], other.written[right]
    sizes = one.sizes[left], other.sizes[right]
    sized = here & there & (sizes[0] >= 0) & (sizes[1] >= 0)
    resized = sized & (sizes[0] != sizes[1])
    of_sized = codes[0][left[sized]]
    _add(types, one, of_sized, "sized")
    _add(types, one, codes[0][left[resized]], "resized")
    for some, word in zip(sizes, ("left_bytes", "right_bytes"), strict=True):
        summed = pa.table({"type": of_sized, "bytes": some[sized]}).group_by("type")
        for row in summed.aggregate([("bytes", "sum")]).to_pylist():
            if row["type"] >= 0:
                setattr(types[one.types.dictionary[row["type"]].as_py()], word, row["bytes_sum"])
    alone_left = np.append(left[here & ~there], names.only_left[one.written[names.only_left]])
    alone_right = np.append(right[there & ~here], names.only_right[other.written[names.only_right]])
    _add(types, one, codes[0][alone_left], "only_left")
    _add(types, other, codes[1][alone_right], "only_right")
    return DifferingDatasets(left[resized], right[resized], alone_left, alone_right)


def _add(types: dict[str, TypeComparison], side: Datasets, codes: _Numbers, word: str) -> None:
    """Add to a number of each type."""
    known = side.types.dictionary.to_pylist()
    for name, count in zip(known, np.bincount(codes[codes >= 0], minlength=len(known)).tolist(), strict=True):
        if name is not None and count:
            of_type = types.setdefault(name, TypeComparison(name))
            setattr(of_type, word, getattr(of_type, word) + count)


def dataset_rows(one: Datasets, other: Datasets, differing: DifferingDatasets) -> pa.Table:
    """Return rows of the table of such datasets."""
    nothing = np.zeros(0, np.int64)
    return pa.concat_tables(
        [
            _rows(one, other, differing.resized_left, differing.resized_right),
            _rows(one, other, differing.only_left, nothing),
            _rows(one, other, nothing, differing.only_right),
        ]
    )


def _rows(one: Datasets, other: Datasets, left: _Numbers, right: _Numbers) -> pa.Table:
    """Return rows of both sides, or of the one that has some."""
    count = max(len(left), len(right))
    side, rows = (one, left) if len(left) else (other, right)
    columns: dict[str, Any] = {
        "dataset_type": decoded(side.types.take(pa.array(rows))),
        "data_id": side.texts(rows),
    }
    for word, of, own in (("left", one, left), ("right", other, right)):
        has = len(own) == count
        sizes = of.sizes[own]
        columns[f"{word}_id"] = taken(of.ids, own) if has else pa.nulls(count, pa.uuid())
        columns[f"{word}_size"] = pa.array(sizes, mask=sizes < 0) if has else pa.nulls(count, pa.int64())
    return pa.table(columns)


def no_datasets() -> pa.Table:
    """Return the table without rows."""
    columns = {name: pa.nulls(0, pa.string()) for name in ("dataset_type", "data_id")}
    for word in ("left", "right"):
        columns |= {f"{word}_id": pa.nulls(0, pa.uuid()), f"{word}_size": pa.nulls(0, pa.int64())}
    return pa.table(columns)
