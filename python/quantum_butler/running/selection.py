"""Which quanta of a graph are chosen by task and by data ID."""

from __future__ import annotations

__all__ = ("select",)

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lsst.daf.butler.queries.expressions.parser import (
    ParserLexError,
    ParserYaccError,
    exprTree,
    parse_expression,
)

from .errors import RunError
from .plan import Plan

# What an expression is worth for a data ID; `None` where that lacks a dimension, as NULL in SQL.
_Value: TypeAlias = Any
_Term: TypeAlias = Callable[[Mapping[str, Any]], _Value]

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def select(plan: Plan, tasks: Sequence[str] = (), where: str | None = None) -> set[int]:
    """Return the quanta of some tasks, or of all, that meet a condition.

    The condition is in the language of ``--where`` of upstream's commands, on
    the dimensions of data IDs.  A quantum without a dimension that matters is
    not chosen.
    """
    if unknown := set(tasks) - plan.dimensions.keys():
        raise RunError(
            f"{plan.uri} has no quanta of task {', '.join(sorted(unknown))}; its tasks are "
            f"{', '.join(plan.dimensions)}"
        )
    numbers = [number for number, label in enumerate(plan.labels) if not tasks or label in tasks]
    if where is None:
        return set(numbers)
    known = {name for names in plan.dimensions.values() for name in names}
    try:
        condition = _Compiler(known).term(parse_expression(where))
        return {number for number in numbers if _is_met(condition, plan.data_id(number))}
    except (ParserLexError, ParserYaccError, ValueError, TypeError, ArithmeticError) as error:
        raise RunError(f"--where {where!r}: {error}") from error


def _is_met(condition: _Term, data_id: Mapping[str, Any]) -> bool:
    value = condition(data_id)
    if value is not None and not isinstance(value, bool):
        raise ValueError("this is no condition: it is neither true nor false")
    return value is True


class _Compiler:
    """Makes functions of parsed expressions."""

    def __init__(self, dimensions: set[str]):
        self._dimensions = dimensions

    def term(self, node: Any) -> _Term:
        """Return what gives the value of an expression."""
        match node:
            case exprTree.Parens():
                return self.term(node.expr)
            case exprTree.NumericLiteral():
                number = float(node.value) if set(node.value) & set(".eE") else int(node.value)
                return lambda data_id: number
            case exprTree.StringLiteral():
                return lambda data_id: node.value
            case exprTree.Identifier():
                return self._dimension(node.name)
            case exprTree.IsIn():
                return self._is_in(node)
            case exprTree.UnaryOp():
                return self._unary(node)
            case exprTree.BinaryOp():
                return self._binary(node)
        raise ValueError(f"{node} is not understood here: only comparisons of dimensions are")

    def _dimension(self, name: str) -> _Term:
        if name not in self._dimensions:
            raise ValueError(
                f"{name} is no dimension of the graph's data IDs, which have "
                f"{', '.join(sorted(self._dimensions))}"
            )
        return lambda data_id: data_id.get(name)

    def _unary(self, node: Any) -> _Term:
        operand = self.term(node.operand)
        match node.op.upper():
            case "NOT":
                return lambda data_id: None if (value := operand(data_id)) is None else not value
            case "-":
                return lambda data_id: None if (value := operand(data_id)) is None else -value
            case "+":
                return operand
        raise ValueError(f"{node.op} is not understood here")

    def _binary(self, node: Any) -> _Term:
        left, right = self.term(node.lhs), self.term(node.rhs)
        name = node.op.upper()
        if name in ("AND", "OR"):
            decides = name == "OR"

            def combine(data_id: Mapping[str, Any]) -> _Value:
                values = (left(data_id), right(data_id))
                if decides in values:
                    return decides
                return None if None in values else not decides

            return combine
        if (operation := _OPERATORS.get(name)) is None:
            raise ValueError(f"{node.op} is not understood here")

        def operate(data_id: Mapping[str, Any]) -> _Value:
            first, second = left(data_id), right(data_id)
            if first is None or second is None:
                return None
            if isinstance(first, str) is not isinstance(second, str):
                raise ValueError(f"{node}: text and numbers do not compare")
            return operation(first, second)

        return operate

    def _is_in(self, node: Any) -> _Term:
        term = self.term(node.lhs)
        ranges = [one for one in node.values if isinstance(one, exprTree.RangeLiteral)]
        spans = [range(one.start, one.stop + 1, one.stride or 1) for one in ranges]
        values = [self.term(one) for one in node.values if not isinstance(one, exprTree.RangeLiteral)]

        def is_in(data_id: Mapping[str, Any]) -> _Value:
            if (value := term(data_id)) is None:
                return None
            found = any(value in span for span in spans) or any(value == one(data_id) for one in values)
            return found is not node.not_in

        return is_in
