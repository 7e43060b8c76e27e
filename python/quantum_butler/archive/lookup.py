"""Names that are a task or a dataset type with values of dimensions: the rows of many, found in one pass."""

from __future__ import annotations

__all__ = ("Lookup", "equalities")

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy
import pyarrow
import pyarrow.compute as pc

from ..queries.arrays import indices_of, numpy_of, scalar_of
from ..queries.choice import Choice
from ..queries.data_ids import fields_of, parse_texts
from ..queries.expressions import Binary, Identifier, Literal, Node, Word
from ..queries.found import DATASET, QUANTUM, Found, Kind
from ..queries.resolving import MOST_CANDIDATES
from .name_index import NameIndex
from .naming import keys_of, name_key, name_keys

# What is asked for by as many types is looked for in the table.
_MOST_LABELS = 16

# Numbers of data IDs are no greater.
_END = 1 << 63

Values: TypeAlias = Mapping[str, int | str]


class Rows(Protocol):
    """The tables of an archive, by what `Lookup` needs of them."""

    @property
    def dimensions(self) -> Mapping[str, pyarrow.DataType]:
        """The dimensions of all datasets with names."""

    def rows_of_ids(self, kind: Kind, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[int]]:
        """Return the row of what has each id, if there is any."""

    def found_at(self, kind: Kind, rows: Iterable[int]) -> Iterator[Found]:
        """Yield what some rows, in ascending order, have."""

    def parts(
        self, kind: Kind, labels: Set[str], dimensions: Set[str]
    ) -> Iterator[tuple[int, pyarrow.Array, pyarrow.Array]]:
        """Yield first row, labels and data IDs of the parts of a table that have one of some labels."""


class Lookup:
    """Finds what has ids and names, and keeps it."""

    def __init__(self, names: Rows, archive: Path):
        self._names = names
        self.indexes = {kind: NameIndex(archive, kind) for kind in (QUANTUM, DATASET)}
        self._known: dict[tuple[Kind, uuid.UUID | Choice], list[Found]] = {}

    def by_id(self, kind: Kind, id_: uuid.UUID) -> Found | None:
        """Return what has an id."""
        if (kind, id_) not in self._known:
            self.look_up(kind, (id_,), ())
        return next(iter(self._known[kind, id_]), None)

    def by_name(self, kind: Kind, choice: Choice) -> list[Found]:
        """Return what has a name, as far as it has been looked up, or the index knows."""
        if (kind, choice) not in self._known:
            self._look_up_indexed(kind, self._plain([choice]))
        return self._known.get((kind, choice), [])

    def look_up(self, kind: Kind, ids: Sequence[uuid.UUID], choices: Sequence[Choice]) -> None:
        """Find what has some ids or names in one pass, to have it when one of them is asked for."""
        rows = self._names.rows_of_ids(kind, [*dict.fromkeys(ids)]) if ids else {}
        found = self._found_in(kind, rows.values())
        self._known |= {(kind, id_): [found[row] for row in some] for id_, some in rows.items()}
        wanted = self._plain(choices)
        self._look_up_indexed(kind, wanted)
        if left := {
            one: values for one, values in wanted.items() if values and (kind, one) not in self._known
        }:
            self._note(kind, left, _scanned_rows(self._names, kind, left), is_whole=False)

    def rows_among(self, kind: Kind, choice: Choice) -> Any | None:
        """Return rows, ascending, that all that is wanted is among; `None` if the index does not know."""
        if choice.labels is None or len(choice.labels) > _MOST_LABELS:
            return None
        values = equalities(choice.where, self._names.dimensions)
        index = self.indexes[kind]
        keys = [index.keys(label, values) for label in choice.labels]
        if any(some is None for some in keys):
            return None
        (rows,) = index.rows([numpy.concatenate([numpy.zeros(0, numpy.uint64), *keys])])
        return rows

    def _plain(self, choices: Sequence[Choice]) -> dict[Choice, Values]:
        """Return the values of names that are nothing but a label and a data ID."""
        values = {
            one: _values_of(one.where, self._names.dimensions)
            for one in choices
            if len(one.labels or ()) == 1
        }
        return {choice: known for choice, known in values.items() if known is not None}

    def _look_up_indexed(self, kind: Kind, wanted: Mapping[Choice, Values]) -> None:
        """Find what has a name, or a part of it, by the index, as far as it knows."""
        index = self.indexes[kind]
        # One of an earlier release leads only from whole names.
        is_whole = index.labels is None
        left = {one: values for one, values in wanted.items() if (kind, one) not in self._known}
        keys = {
            one: keys_of(_label(one), [values]) if is_whole else index.keys(_label(one), values)
            for one, values in left.items()
        }
        known = {choice: some for choice, some in keys.items() if some is not None}
        found = dict(zip(known, index.rows([*known.values()]), strict=True))
        # No more are listed of those that a name may mean.
        rows = {
            choice: some if choice.runs is not None else some[: MOST_CANDIDATES + 1]
            for choice, some in found.items()
        }
        self._note(kind, wanted, {choice: some.tolist() for choice, some in rows.items()}, is_whole=is_whole)

    def _note(
        self, kind: Kind, wanted: Mapping[Choice, Values], rows: Mapping[Choice, list[int]], *, is_whole: bool
    ) -> None:
        """Keep what is in some rows, as far as it has the names that they were found by."""
        found = self._found_in(kind, rows.values())
        for choice, some in rows.items():
            values = wanted[choice]
            met = [found[row] for row in some if _is_met(found[row], choice, values)]
            met = [one for one in met if not is_whole or one.data_id == values]
            # What is not found in this way is looked for once more, condition by condition.
            if met:
                self._known[kind, choice] = met

    def _found_in(self, kind: Kind, rows: Iterable[Iterable[int]]) -> dict[int, Found]:
        """Return what some rows have, each of which is read once."""
        order = sorted(set[int]().union(*rows))
        return dict(zip(order, self._names.found_at(kind, order), strict=True))


def _values_of(where: Node | None, dimensions: Mapping[str, pyarrow.DataType]) -> dict[str, int | str] | None:
    """Return the values that a condition asks for, if it is nothing but a data ID."""
    match where:
        case None:
            return {}
        case Binary("AND", left, right):
            one, other = _values_of(left, dimensions), _values_of(right, dimensions)
            return None if one is None or other is None else {**one, **other}
        case Binary("=", Identifier(name), Literal(value) | Word(value)) if name in dimensions:
            if not pyarrow.types.is_integer(dimensions[name]):
                return {name: value} if isinstance(value, str) else None
            is_number = isinstance(where.right, Word) and isinstance(value, str) and value.isdecimal()
            number = int(value) if is_number else value
            return {name: number} if isinstance(number, int) and -_END <= number < _END else None
    return None


def equalities(where: Node | None, dimensions: Mapping[str, pyarrow.DataType]) -> dict[str, int | str]:
    """Return values that dimensions must have, as far as a condition says that, for it to be met."""
    if isinstance(where, Binary) and where.operator == "AND":
        return equalities(where.left, dimensions) | equalities(where.right, dimensions)
    return _values_of(where, dimensions) or {}


def _is_met(found: Found, choice: Choice, values: Values) -> bool:
    """Check that a row has the name asked for. A hash may be another name's as well."""
    return (
        (choice.labels is None or found.name in choice.labels)
        and values.items() <= (found.data_id or {}).items()
        and (choice.runs is None or found.run in choice.runs)
    )


def _scanned_rows(names: Rows, kind: Kind, wanted: Mapping[Choice, Values]) -> dict[Choice, list[int]]:
    """Return the rows of names, and perhaps of others, from one pass over the table."""
    # Names with the same dimensions are looked for together, by the numbers that stand for them.
    groups: dict[tuple[str, tuple[str, ...]], dict[int, list[Choice]]] = {}
    for choice, values in wanted.items():
        by_key = groups.setdefault((_label(choice), (*sorted(values),)), {})
        by_key.setdefault(name_key(_label(choice), values), []).append(choice)
    rows: dict[Choice, list[int]] = {choice: [] for choice in wanted}
    dimensions = {name for _, group in groups for name in group}
    for first, labels, data_ids in names.parts(kind, {label for label, _ in groups}, dimensions):
        for (label, own), by_key in groups.items():
            places = numpy.flatnonzero(
                numpy_of(pc.equal(labels, scalar_of(label)).fill_null(scalar_of(False)))
            )
            if not len(places):
                continue
            taken = indices_of(places)
            keys = _keys(kind, labels.take(taken), data_ids.take(taken), own)
            hits = numpy.flatnonzero(numpy.isin(keys, numpy.array([*by_key], numpy.uint64)))
            for row, key in zip((first + places[hits]).tolist(), keys[hits].tolist(), strict=True):
                for choice in by_key[key]:
                    # No more are listed of those that a name may mean.
                    if choice.runs is not None or len(rows[choice]) <= MOST_CANDIDATES:
                        rows[choice].append(row)
    return rows


def _keys(kind: Kind, labels: pyarrow.Array, data_ids: pyarrow.Array, dimensions: Sequence[str]) -> Any:
    """Return the number of each name, as far as some dimensions go."""
    fields = parse_texts(data_ids, dimensions) if kind == QUANTUM else fields_of(data_ids)
    columns = {}
    for name in dimensions:
        column = fields[name]
        if not pyarrow.types.is_null(column.type):
            whole = isinstance(column, pyarrow.ChunkedArray)
            columns[name] = column.combine_chunks() if whole else column
    return name_keys(labels, columns)


def _label(choice: Choice) -> str:
    return next(iter(choice.labels or ()))
