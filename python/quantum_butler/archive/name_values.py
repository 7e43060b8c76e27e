"""Values that the dimensions of each task or dataset type have, by which a part of a name is completed."""

from __future__ import annotations

__all__ = ("METADATA", "MOST_VALUES", "NameValues", "Value", "distinct_values")

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Self, TypeAlias

import numpy
import pyarrow

from ..queries.arrays import numpy_of, scalar_of

METADATA = b"dataset_types"
"""Where they are in the metadata of the index by name."""

MOST_VALUES = 512
"""Of a dimension that has more of them in a type, they are not told."""

# Flags for pairs of a type and a value are set in as much memory.
_MOST_FLAGS = 1 << 24

Value: TypeAlias = int | str | None

# The values of a dimension that a type does not have.
_NONE: Set[Value] = {None}


class NameValues:
    """The values of each dimension in each task or type: null if some lack it, no set if they are many."""

    def __init__(self, known: dict[str, dict[str, Set[Value] | None]] | None = None):
        self.known: dict[str, dict[str, Set[Value] | None]] = {} if known is None else known

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Return what the metadata tell, or raise `ValueError`."""
        try:
            told = json.loads(content)
            values = [{*some} for some in told["values"]]
            return cls(
                {
                    name: {
                        dimension: None if place is None else values[place]
                        for dimension, place in places.items()
                    }
                    for name, places in told["types"].items()
                }
            )
        except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"its metadata do not tell the values of dimensions: {error!r}") from error

    def content(self) -> bytes:
        """Return the metadata: each set of values once, since types of one task have the same."""
        values: dict[tuple[Value, ...], int] = {}
        types = {
            name: {
                dimension: None if some is None else values.setdefault(_sorted(some), len(values))
                for dimension, some in sorted(dimensions.items())
                if some != _NONE
            }
            for name, dimensions in sorted(self.known.items())
        }
        return json.dumps({"types": types, "values": [*values]}, separators=(",", ":")).encode()

    def add(self, labels: pyarrow.Array, data_ids: Mapping[str, pyarrow.Array]) -> None:
        """Add those of some rows; a dimension that has no column is one that all these rows lack."""
        told: dict[str, dict[str, Set[Value] | None]] = {
            name: {} for name in labels.unique().to_pylist() if name is not None
        }
        for name, dimension, some in distinct_values(labels, data_ids):
            told[name][dimension] = some
        for name, now in told.items():
            before = self.known.setdefault(name, now)
            self.known[name] = {
                dimension: _together(before.get(dimension, _NONE), now.get(dimension, _NONE))
                for dimension in before.keys() | now.keys()
            }

    def completions(
        self, name: str, values: Mapping[str, int | str], most: int
    ) -> Sequence[dict[str, Value]] | None:
        """Return all data IDs that datasets of a type may have with some values; `None` if too many."""
        if name not in self.known:
            return []
        dimensions = self.known[name]
        for dimension, value in values.items():
            if (some := dimensions.get(dimension, _NONE)) is not None and value not in some:
                return []
        found: list[dict[str, Value]] = [{**values}]
        for dimension, some in dimensions.items():
            if dimension in values:
                continue
            if some is None or len(some) * len(found) > most:
                return None
            found = [{**one, dimension: value} for one in found for value in some]
        return found


def distinct_values(
    labels: pyarrow.Array, data_ids: Mapping[str, pyarrow.Array]
) -> Iterator[tuple[str, str, set[Value] | None]]:
    """Yield tasks or types of some rows, dimensions and their values: `None` if they are too many."""
    types = _encoded(labels)
    names, type_of = types.dictionary.to_pylist(), _places(types)
    for dimension, column in data_ids.items():
        encoded = _encoded(column)
        count = len(encoded.dictionary) + 1
        pairs = _distinct(type_of * count + _places(encoded), (len(names) + 1) * count)
        owners = pairs // count
        starts = numpy.searchsorted(owners, numpy.arange(1, len(names) + 2))
        for number, name in enumerate(names):
            own = pairs[starts[number] : starts[number + 1]] % count
            if len(own) > MOST_VALUES:
                yield name, dimension, None
            elif len(own):
                yield name, dimension, _at(encoded.dictionary, own)


def _together(one: Set[Value] | None, other: Set[Value] | None) -> Set[Value] | None:
    """Return the values of both, unless they are too many."""
    if one is None or other is None or len(one | other) > MOST_VALUES:
        return None
    return one | other


def _at(dictionary: pyarrow.Array, places: Any) -> set[Value]:
    """Return values by their numbers from 1; 0 is none."""
    found = set[Value](dictionary.take(pyarrow.array(places[places > 0] - 1)).to_pylist())
    return found | _NONE if places[0] == 0 else found


def _distinct(numbers: Any, stop: int) -> Any:
    """Return which numbers from 0 there are, ascending."""
    if stop > _MOST_FLAGS:
        return numpy.unique(numbers)
    flags = numpy.zeros(stop, bool)
    flags[numbers] = True
    return numpy.flatnonzero(flags)


def _encoded(column: pyarrow.Array) -> pyarrow.DictionaryArray:
    return column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()


def _places(encoded: pyarrow.DictionaryArray) -> Any:
    """Return the number of each value from 1, and 0 for none."""
    indices = encoded.indices
    return numpy_of(indices.fill_null(scalar_of(-1, indices.type))).astype(numpy.int64) + 1


def _sorted(values: Set[Value]) -> tuple[Value, ...]:
    """Return values in one order: none, numbers, texts."""
    return (*sorted(values, key=lambda one: (one is not None, isinstance(one, str), one or 0)),)
