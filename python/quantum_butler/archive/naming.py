"""Quanta and datasets by task or type and data ID: a number for each name, by which its row is found."""

from __future__ import annotations

__all__ = ("INDEXES", "keys_of", "mixed", "name_key", "name_keys")

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy
import pyarrow

from ..queries.arrays import array_of, numpy_of, scalar_of
from ..queries.found import DATASET, QUANTUM, Kind

INDEXES: Mapping[Kind, str] = {DATASET: "names.arrow", QUANTUM: "quantum_names.arrow"}
"""The files with the numbers in ascending order, and the rows that they stand for in the table of datasets
and of quanta."""

_Numbers: TypeAlias = numpy.ndarray[Any, numpy.dtype[numpy.uint64]]


def name_key(label: str, data_id: Mapping[str, int | str]) -> int:
    """Return the number of a name; another name may have the same, if rarely."""
    return int(keys_of(label, [data_id])[0])


def keys_of(label: str, data_ids: Sequence[Mapping[str, int | str | None]]) -> _Numbers:
    """Return the numbers of names of one task or type, whose data IDs have the same dimensions."""
    columns = {}
    for name in data_ids[0] if data_ids else ():
        values = [one[name] for one in data_ids]
        type_ = pyarrow.string() if any(isinstance(one, str) for one in values) else pyarrow.int64()
        columns[name] = array_of(values, type_)
    return name_keys(array_of([label] * len(data_ids), pyarrow.string()), columns)


def name_keys(labels: pyarrow.Array, data_ids: Mapping[str, pyarrow.Array]) -> _Numbers:
    """Return the numbers of names: tasks or types, and values of dimensions, null where there is none."""
    # A sum does not depend on the order of the dimensions.
    keys = _of_texts(labels)
    for name, column in data_ids.items():
        values = _of_texts(column) if _is_text(column.type) else mixed(_integers(column))
        values = mixed(values ^ numpy.uint64(_of_text(name)))
        keys += numpy.where(_is_valid(column), values, numpy.uint64(0))
    return mixed(keys)


def _is_text(type_: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_dictionary(type_) or pyarrow.types.is_string(type_))


def _is_valid(column: pyarrow.Array) -> numpy.ndarray[Any, Any]:
    """Return where a column is not null."""
    return numpy.asarray(numpy_of(column.is_valid()))


def _of_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _of_texts(column: pyarrow.Array) -> _Numbers:
    """Return a number for each text; each different one is worked out once."""
    encoded = column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()
    numbers = numpy.array([0, *map(_of_text, encoded.dictionary.to_pylist())], numpy.uint64)
    places = numpy_of(encoded.indices.fill_null(scalar_of(-1, encoded.indices.type))).astype(numpy.int64)
    found: _Numbers = numbers[places + 1]
    return found


def _integers(column: pyarrow.Array) -> _Numbers:
    values: _Numbers = numpy_of(column.fill_null(scalar_of(0, column.type))).astype(numpy.int64).view("u8")
    return values


def mixed(numbers: _Numbers) -> _Numbers:
    """Return numbers in which each bit depends on all of before: the finalizer of SplitMix64."""
    mixed: _Numbers = numbers ^ (numbers >> numpy.uint64(30))
    mixed = mixed * numpy.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> numpy.uint64(31)
    return mixed
