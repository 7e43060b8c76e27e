"""Puts quanta and datasets of two runs together by what they are called."""

from __future__ import annotations

__all__ = ("Matches", "match", "match_by_keys", "match_datasets", "rows_without_partner")

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .sides import Names, decoded

_Numbers: TypeAlias = np.ndarray[Any, Any]

# Beyond that, the product of two numbers may not fit.
_MOST = 1 << 62

# The span of integers whose differences are their numbers.
_NEAR = 1 << 20


@dataclass(frozen=True)
class Matches:
    """Rows of two sides with the same names."""

    left: _Numbers
    """Rows of the left that have a partner (`numpy.ndarray`)."""

    right: _Numbers
    """The partner of each (`numpy.ndarray`)."""

    only_left: _Numbers
    """Rows of the left without one (`numpy.ndarray`)."""

    only_right: _Numbers
    """Rows of the right without one (`numpy.ndarray`)."""

    left_codes: _Numbers
    """A number for each name, of all rows of the left (`numpy.ndarray`)."""

    right_codes: _Numbers
    """The same of the right (`numpy.ndarray`)."""


def match(left: Sequence[pa.Array], right: Sequence[pa.Array]) -> Matches:
    """Match rows with equal values; of several rows with one name the first matches the first, and so on."""
    codes = _codes(zip(left, right, strict=True), len(left[0]) + len(right[0]))
    count = len(left[0])
    one, other = codes[:count], codes[count:]
    places = [_occurrences(one), _occurrences(other)]
    most = 1 + max((int(some.max()) for some in places if len(some)), default=0)
    if most > 1:
        codes, _ = _dense(np.concatenate([one * most + places[0], other * most + places[1]]))
        one, other = codes[:count], codes[count:]
    rows = np.full(int(codes.max(initial=-1)) + 1, -1, np.int64)
    rows[other] = np.arange(len(other))
    partner = rows[one]
    has_partner = partner >= 0
    alone = np.ones(len(other), bool)
    alone[partner[has_partner]] = False
    return Matches(
        np.flatnonzero(has_partner),
        partner[has_partner],
        np.flatnonzero(~has_partner),
        np.flatnonzero(alone),
        one,
        other,
    )


def match_datasets(one: Names, other: Names) -> Matches:
    """Match datasets by type and data ID; those of which nobody tells these, by their ids."""
    if (found := match_by_keys(one, other)) is not None:
        return found
    dimensions = sorted(one.data_ids.keys() | other.data_ids.keys())
    left, right = (_columns(names, dimensions) for names in (one, other))
    return match(left, right)


def match_by_keys(one: Names, other: Names) -> Matches | None:
    """Return the same by the indexes by name; `None` if there is none, or it would give another answer."""
    if one.keys is None or other.keys is None:
        return None
    (keys, rows), (other_keys, other_rows) = one.keys, other.keys
    places = np.searchsorted(other_keys, keys)
    if len(keys) and (keys[1:] == keys[:-1]).any():
        # Of several with one name the first matches the first, and so on; their rows ascend.
        places += _occurrences(np.searchsorted(keys, keys))
    if not len(other_keys):
        return None
    found = np.minimum(places, len(other_keys) - 1)
    has_partner = (other_keys[found] == keys) & (found == places)
    partner = np.full(len(keys), -1, np.int64)
    partner[rows[has_partner]] = other_rows[found[has_partner]]
    left = np.flatnonzero(partner >= 0)
    right = partner[left]
    alone = np.ones(len(other_keys), bool)
    alone[right] = False
    only_left, only_right = np.flatnonzero(partner < 0), np.flatnonzero(alone)
    # Two names may have one number.
    nothing, others = pa.nulls(len(keys)), pa.nulls(len(other_keys))
    dimensions = sorted(one.data_ids.keys() | other.data_ids.keys())
    columns = [(one.types, other.types)]
    columns += [(one.data_ids.get(name, nothing), other.data_ids.get(name, others)) for name in dimensions]
    if not all(_are_same(*pair, left, right) for pair in columns):
        return None
    # And numbers and texts have not the same, though they may be the same in words.
    rest = [(mine.take(pa.array(only_left)), its.take(pa.array(only_right))) for mine, its in columns]
    if len(only_left) and len(only_right) and len(match(*zip(*rest, strict=True)).left):
        return None
    codes = np.empty(len(other_keys), np.int64)
    codes[right] = left
    codes[only_right] = len(keys) + np.arange(len(only_right))
    return Matches(left, right, only_left, only_right, np.arange(len(keys)), codes)


def _are_same(one: pa.Array, other: pa.Array, left: _Numbers, right: _Numbers) -> bool:
    """Return whether rows of two columns have the same values."""
    if one.type == other.type == pa.int64():
        smallest = np.iinfo(np.int64).min
        if smallest not in {*pc.min_max(one).as_py().values(), *pc.min_max(other).as_py().values()}:
            numbers = [pc.fill_null(side, smallest).to_numpy() for side in (one, other)]
            return bool((numbers[0][left] == numbers[1][right]).all())
    codes, _ = _numbers(one, other)
    return bool((codes[: len(one)][left] == codes[len(one) :][right]).all())


def _columns(names: Names, dimensions: Iterable[str]) -> list[pa.Array]:
    """Return what datasets are matched by."""
    nothing = pa.nulls(len(names.types))
    values = [names.data_ids.get(name, nothing) for name in dimensions]
    if not names.types.null_count:
        return [names.types, nothing, *values]
    is_nameless = pc.is_null(names.types)
    ids = pc.if_else(is_nameless, getattr(names.ids, "storage", names.ids), None)
    return [names.types, ids, *(pc.if_else(is_nameless, None, decoded(one)) for one in values)]


def _codes(columns: Iterable[tuple[pa.Array, pa.Array]], length: int) -> _Numbers:
    """Return a number from 0 for each row of both sides: the same if all columns have the same values."""
    codes, most = np.zeros(length, np.int64), 1
    for left, right in columns:
        numbers, count = _numbers(left, right)
        if count == 1:
            continue
        if most > _MOST // count:
            codes, most = _dense(codes)
        codes, most = codes * count + numbers, most * count
    return _dense(codes)[0]


def _dense(codes: _Numbers) -> tuple[_Numbers, int]:
    """Return numbers from 0 without gaps, and how many there are."""
    # A table of hashes takes a fraction of the time of sorting.
    encoded = pa.array(codes).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _numbers(left: pa.Array, right: pa.Array) -> tuple[_Numbers, int]:
    """Return a number for each value of two columns, 0 for none, and how many there are."""
    sides = [_plain(left), _plain(right)]
    kinds = {side.type for side in sides if not pa.types.is_null(side.type)}
    if not kinds:
        return np.zeros(len(left) + len(right), np.int64), 1
    kind = kinds.pop() if len(kinds) == 1 else pa.string()
    # A side without values has no type of its own.
    whole = [pa.nulls(len(one), kind) if pa.types.is_null(one.type) else one.cast(kind) for one in sides]
    if kind == pa.int64() and (found := _of_range(whole)) is not None:
        return found
    chunks = pa.chunked_array([one.dictionary_encode() for one in whole]).unify_dictionaries().chunks
    places = [pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(places).astype(np.int64) + 1, len(chunks[0].dictionary) + 1


def _of_range(sides: Sequence[pa.Array]) -> tuple[_Numbers, int] | None:
    """Return the same of integers that are near to each other, for which they need not be looked up."""
    least, greatest = pc.min_max(pa.chunked_array(sides)).as_py().values()
    if least is None:
        return np.zeros(sum(map(len, sides)), np.int64), 1
    if greatest - least > _NEAR or least <= -_MOST:
        return None
    parts = [pc.fill_null(one, least - 1).to_numpy() for one in sides]
    return np.concatenate(parts) - (least - 1), greatest - least + 2


def _plain(column: pa.Array) -> pa.Array:
    """Return integers in one type, and texts as a dictionary or as such."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.dictionary(pa.int32(), pa.string()))
    return column


def rows_without_partner(here: _Numbers, there: _Numbers) -> _Numbers:
    """Return where there are numbers, from 0 to a quarter of what there can be, that are not elsewhere."""
    # Two sorted halves are merged, which is linear; looking each one up would miss the processor's cache.
    both = np.concatenate([np.sort(here) * 2, np.sort(there) * 2 + 1])
    both.sort(kind="stable")
    names = both >> 1
    is_new = np.append(True, names[1:] != names[:-1])[: len(both)]
    lasts = np.flatnonzero(np.append(is_new[1:], True)[: len(both)])
    # The last of equal numbers is from there, if one of them is.
    alone = names[lasts[both[lasts] & 1 == 0]]
    if not len(alone):
        return np.zeros(0, np.int64)
    return np.flatnonzero(alone[np.minimum(np.searchsorted(alone, here), len(alone) - 1)] == here)


def _occurrences(codes: _Numbers) -> _Numbers:
    """Return how many rows before each have the same code."""
    if np.bincount(codes).max(initial=0) <= 1:
        return np.zeros(len(codes), np.int64)
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(codes)]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(codes)), 0))
    found = np.zeros(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - first
    return found
