"""Works out conditions on data IDs for many rows at once; as in SQL, comparing with null gives null."""

from __future__ import annotations

__all__ = ("Columns", "conjunction", "dimensions_of", "evaluate")

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy
import pyarrow
import pyarrow.compute as pc

from .arrays import FALSE, array_of, indices_of, numpy_of, scalar_of
from .errors import ConditionError
from .expressions import Binary, Identifier, In, Literal, Node, Range, Unary, Word

Columns: TypeAlias = Mapping[str, pyarrow.Array | pyarrow.ChunkedArray]
"""Values of dimensions by name: whole numbers or texts, null where a data ID lacks the dimension."""

# An array, or a scalar where it is the same in all rows.
_Value: TypeAlias = Any

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_SUMS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": pc.add_checked,
    "-": pc.subtract_checked,
    "*": pc.multiply_checked,
}
_NOTHING = frozenset(("NULL", "NONE"))


def conjunction(nodes: Iterable[Node]) -> Node | None:
    """Return the condition that is met where all of some are; `None` if there is none."""
    return reduce(lambda one, other: Binary("AND", one, other), nodes) if (nodes := [*nodes]) else None


def dimensions_of(node: Node) -> set[str]:
    """Return the names of the dimensions in a condition."""
    match node:
        case Identifier(name):
            return set() if name.upper() in _NOTHING else {name}
        case Unary(_, operand):
            return dimensions_of(operand)
        case Binary(_, left, right):
            return dimensions_of(left) | dimensions_of(right)
        case In(term, values):
            return dimensions_of(term).union(*map(dimensions_of, values))
    return set()


def evaluate(node: Node, columns: Columns, length: int) -> pyarrow.Array:
    """Return which rows meet a condition; where that is unknown they do not."""
    try:
        found = _Evaluator(columns, length).value(node)
    except pyarrow.ArrowException as error:
        raise ConditionError(f"it cannot be worked out: {error}") from error
    if not pyarrow.types.is_boolean(found.type):
        raise ConditionError("this is no condition: it is neither true nor false")
    found = pc.fill_null(found, FALSE)
    if isinstance(found, pyarrow.Scalar):
        found = pyarrow.repeat(found, length)
    return found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found


class _Evaluator:
    def __init__(self, columns: Columns, length: int):
        self._columns = columns
        self._length = length

    def value(self, node: Node) -> _Value:
        """Return what something is worth in each row."""
        match node:
            case Literal(value):
                return _scalar(value)
            case Identifier(name):
                return self._dimension(name)
            case Unary(operator, operand):
                return self._unary(operator, operand)
            case In():
                return self._is_in(node)
            case Binary("AND" | "OR" as operator, left, right):
                combine = pc.and_kleene if operator == "AND" else pc.or_kleene
                return combine(self._condition(left, operator), self._condition(right, operator))
            case Binary("=" | "!=" as operator, left, right) if _is_nothing(left) or _is_nothing(right):
                one = self.value(left if _is_nothing(right) else right)
                return pc.is_null(one) if operator == "=" else pc.is_valid(one)
            case Binary("=", Identifier(name) as left, Word(word)):
                return self._is_word(self.value(left), name, word)
            case Binary(operator, left, right):
                return self._binary(operator, left, right)
        raise ConditionError("a range of numbers stands within IN (...) only")

    def _dimension(self, name: str) -> _Value:
        if name.upper() in _NOTHING:
            raise ConditionError(f"{name} is only compared with = and !=")
        if name not in self._columns:
            there = ", ".join(sorted(self._columns)) or "none"
            raise ConditionError(f"{name} is no dimension of these data IDs, which have {there}")
        column = self._columns[name]
        return column.cast(pyarrow.string()) if pyarrow.types.is_dictionary(column.type) else column

    def _is_word(self, column: _Value, name: str, word: str) -> _Value:
        """Return where a dimension has a value that is written without quotes."""
        if not _is_number(column.type):
            return pc.equal(column, scalar_of(word))
        try:
            return pc.equal(column, _scalar(int(word)))
        except ValueError:
            raise ConditionError(f"{name} is a number, not {word!r}") from None

    def _condition(self, node: Node, operator: str) -> _Value:
        value = self.value(node)
        if not pyarrow.types.is_boolean(value.type):
            raise ConditionError(f"what {operator} is said of is neither true nor false")
        return value

    def _number(self, node: Node, operator: str) -> _Value:
        value = self.value(node)
        if not _is_number(value.type):
            raise ConditionError(f"{operator} is for numbers only")
        return value

    def _unary(self, operator: str, operand: Node) -> _Value:
        if operator == "NOT":
            return pc.invert(self._condition(operand, "NOT"))
        value = self._number(operand, operator)
        return pc.negate_checked(value) if operator == "-" else value

    def _binary(self, operator: str, left: Node, right: Node) -> _Value:
        if operator in _COMPARISONS:
            return _compare(_COMPARISONS[operator], self.value(left), self.value(right))
        one, other = self._number(left, operator), self._number(right, operator)
        if operator in _SUMS:
            return _SUMS[operator](one, other)
        if operator == "/":
            return pc.divide_checked(one.cast(pyarrow.float64()), other.cast(pyarrow.float64()))
        return self._remainder(one, other)

    def _remainder(self, one: _Value, other: _Value) -> _Value:
        # The sign is that of the dividend, as in SQL.
        if not (pyarrow.types.is_integer(one.type) and pyarrow.types.is_integer(other.type)):
            raise ConditionError("% is for whole numbers only")
        if pc.any(pc.equal(other, scalar_of(0))).as_py():
            raise ConditionError("there is a division by zero")
        known = pc.and_(pc.is_valid(one), pc.is_valid(other))
        left, right = (_numpy(value, self._length) for value in (one, other))
        rest = indices_of(numpy.fmod(left, numpy.where(right == 0, 1, right)))
        return pc.if_else(known, rest, scalar_of(None, pyarrow.int64()))

    def _is_in(self, node: In) -> _Value:
        term = self.value(node.term)
        if pyarrow.types.is_boolean(term.type):
            raise ConditionError("IN is for numbers and texts only")
        singles = [one.value for one in node.values if isinstance(one, Literal)]
        found = [FALSE]
        if singles:
            found.append(_is_among(term, singles))
        for one in node.values:
            if isinstance(one, Range):
                found.append(self._is_within(term, one))
            elif isinstance(one, Identifier):
                if not _is_nothing(one):
                    raise ConditionError(f"{one.name} is no value; texts are in single quotes")
                found.append(pc.is_null(term))
        either = reduce(pc.or_kleene, found)
        return pc.invert(either) if node.is_not else either

    def _is_within(self, term: _Value, span: Range) -> _Value:
        if not _is_number(term.type):
            raise ConditionError("text and numbers do not compare")
        start = _scalar(span.start)
        inside = pc.and_kleene(
            _compare(pc.greater_equal, term, start),
            _compare(pc.less_equal, term, _scalar(span.stop)),
        )
        if span.stride == 1:
            return inside
        if not pyarrow.types.is_integer(term.type):
            raise ConditionError("ranges with a step are for whole numbers only")
        # What is far outside of the span may not be subtracted from.
        near = pc.if_else(pc.fill_null(inside, FALSE), term, start)
        steps = self._remainder(pc.subtract_checked(near, start), scalar_of(span.stride))
        return pc.and_kleene(inside, pc.equal(steps, scalar_of(0)))


def _compare(operation: Callable[[Any, Any], Any], one: _Value, other: _Value) -> _Value:
    kinds = {_is_number(one.type), _is_number(other.type)}
    if pyarrow.types.is_boolean(one.type) or pyarrow.types.is_boolean(other.type):
        raise ConditionError("what is true or false is not compared")
    if len(kinds) > 1 and not (pyarrow.types.is_null(one.type) or pyarrow.types.is_null(other.type)):
        raise ConditionError("text and numbers do not compare")
    return operation(one, other)


def _is_among(term: _Value, values: list[Any]) -> _Value:
    """Return whether a term is one of some values, each of which has to be of its kind."""
    is_number = _is_number(term.type)
    if any(isinstance(value, str) is is_number for value in values) and not pyarrow.types.is_null(term.type):
        raise ConditionError("text and numbers do not compare")
    scalars = [_scalar(value) for value in values]
    if all(one.type == term.type for one in scalars):
        among = pc.is_in(term, array_of([one.as_py() for one in scalars], term.type))
        return pc.if_else(pc.is_valid(term), among, scalar_of(None, pyarrow.bool_()))
    return reduce(pc.or_kleene, (pc.equal(term, one) for one in scalars))


def _scalar(value: int | float | str) -> pyarrow.Scalar:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    # What no whole number of a data ID can be is as good as infinite.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = float("inf") if value > 0 else float("-inf")
    return scalar_of(value)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Identifier) and node.name.upper() in _NOTHING


def _is_number(type_: pyarrow.DataType) -> bool:
    return bool(pyarrow.types.is_integer(type_) or pyarrow.types.is_floating(type_))


def _numpy(value: _Value, length: int) -> Any:
    if isinstance(value, pyarrow.Scalar):
        return numpy.full(length, value.as_py() or 0, numpy.int64)
    whole = value.combine_chunks() if isinstance(value, pyarrow.ChunkedArray) else value
    return numpy_of(pc.fill_null(whole, scalar_of(0, whole.type))).astype(numpy.int64)
