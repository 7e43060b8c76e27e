"""Conditions on data IDs, in the language of the ``--where`` of upstream's commands, parsed without ``lsst``.

Upstream's language has more: times, regions, names that are bound to values, functions. None of these is in a
data ID, and a condition with one of them is refused.
"""

from __future__ import annotations

__all__ = (
    "Binary",
    "Identifier",
    "In",
    "Literal",
    "Node",
    "Range",
    "Unary",
    "Word",
    "parse",
)

import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from .errors import ConditionError


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a text."""

    value: int | float | str


@dataclass(frozen=True, slots=True)
class Word:
    """A value without quotes in a name: a number where the dimension has numbers, and else a text."""

    value: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """The name of a dimension."""

    name: str


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers, the last one included."""

    start: int
    stop: int
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Unary:
    """``NOT``, ``-`` or ``+`` of something."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """A comparison, a calculation, ``AND`` or ``OR``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class In:
    """Membership of a value in a list."""

    term: Node
    values: tuple[Literal | Range | Identifier, ...]
    is_not: bool = False


Node: TypeAlias = Literal | Word | Identifier | Unary | Binary | In | Range

# As upstream's lexer has them, in its order.
_TOKENS = re.compile(
    r"""
    (?P<space>[ \t\n]+)
    | (?P<time>T'[^'\n]*')
    | (?P<text>'[^'\n]*')
    | (?P<range>-?\d+\s*\.\.\s*-?\d+(?:\s*:\s*[1-9]\d*)?)
    | (?P<number>\d+(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)
    | (?P<qualified>[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*){1,2})
    | (?P<name>[a-z_][a-z0-9_]*)
    | (?P<bound>:[a-z_][a-z0-9_]*)
    | (?P<operator><=|>=|!=|[<>=()+*/%,-])
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_RESERVED = frozenset(("IN", "OR", "AND", "NOT", "OVERLAPS"))
_COMPARISONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "OVERLAPS"))

# More would exhaust the stack of the interpreter.
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def parse(text: str) -> Node:
    """Return what a condition says, or raise `ConditionError`."""
    parser = _Parser(text)
    node = parser.alternatives()
    parser.expect_end()
    return node


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text):
        match = _TOKENS.match(text, place)
        if match is None:
            raise ConditionError(f"what is {text[place : place + 20]!r} at character {place + 1}?")
        kind, word = str(match.lastgroup), match.group()
        if kind == "name" and word.upper() in _RESERVED:
            kind, word = "operator", word.upper()
        if kind != "space":
            found.append(_Token(kind, word, place))
        place = match.end()
    return [*found, _Token("end", "", place)]


class _Parser:
    """Goes down upstream's grammar, from what binds least to what binds most."""

    def __init__(self, text: str):
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def alternatives(self) -> Node:
        """Return what ``OR`` stands between."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConditionError(f"it is nested more than {_DEEPEST} times")
        node = self._conjunction()
        while self._accept("OR"):
            node = Binary("OR", node, self._conjunction())
        self._depth -= 1
        return node

    def expect_end(self) -> None:
        """Raise if there is anything left."""
        if self._token.kind != "end":
            self._fail()

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, *operators: str) -> str | None:
        token = self._token
        if token.kind != "operator" or token.text not in operators:
            return None
        self._next += 1
        return token.text

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            self._fail()

    def _fail(self) -> NoReturn:
        token = self._token
        if token.kind == "end":
            raise ConditionError("it ends too early")
        if token.kind in ("time", "bound", "qualified"):
            raise ConditionError(
                f"{token.text} is not understood here: only dimensions, numbers and texts are"
            )
        raise ConditionError(f"{token.text!r} at character {token.place + 1} is not expected there")

    def _conjunction(self) -> Node:
        node = self._negation()
        while self._accept("AND"):
            node = Binary("AND", node, self._negation())
        return node

    def _negation(self) -> Node:
        times = 0
        while self._accept("NOT"):
            times += 1
        node = self._comparison()
        # Two of them leave everything as it is, even what is neither true nor false.
        for _ in range(times):
            node = Unary("NOT", node)
            if times > _DEEPEST:
                raise ConditionError(f"it is nested more than {_DEEPEST} times")
        return node

    def _comparison(self) -> Node:
        node = self._membership()
        while operator := self._accept(*_COMPARISONS):
            if operator == "OVERLAPS":
                raise ConditionError("OVERLAPS is not understood here: data IDs have numbers and texts only")
            node = Binary(operator, node, self._membership())
        return node

    def _membership(self) -> Node:
        term = self._sum()
        is_not = self._accept("NOT") is not None
        if is_not:
            self._expect("IN")
        elif not self._accept("IN"):
            return term
        self._expect("(")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")")
        return In(term, tuple(values), is_not)

    def _value(self) -> Literal | Range | Identifier:
        sign = self._accept("-", "+")
        token = self._token
        if sign:
            if token.kind != "number":
                self._fail()
            self._next += 1
            number = _number(token.text)
            return Literal(-number if sign == "-" else number)
        if token.kind not in ("number", "text", "range", "name"):
            self._fail()
        self._next += 1
        found = _leaf(token)
        assert isinstance(found, Literal | Range | Identifier)
        return found

    def _sum(self) -> Node:
        node = self._product()
        while operator := self._accept("+", "-"):
            node = Binary(operator, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._simple()
        while operator := self._accept("*", "/", "%"):
            node = Binary(operator, node, self._simple())
        return node

    def _simple(self) -> Node:
        token = self._token
        if operator := self._accept("+", "-"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise ConditionError(f"it is nested more than {_DEEPEST} times")
            operand = self._simple()
            self._depth -= 1
            return Unary(operator, operand)
        if self._accept("("):
            node = self.alternatives()
            if self._token.text == ",":
                raise ConditionError("two values in parentheses are a span of time, which no data ID has")
            self._expect(")")
            return node
        if token.kind not in ("number", "text", "range", "name"):
            self._fail()
        self._next += 1
        if token.kind == "name" and self._token.text == "(":
            raise ConditionError(f"{token.text}() is not understood here: there are no functions")
        return _leaf(token)


def _leaf(token: _Token) -> Node:
    if token.kind == "name":
        return Identifier(token.text)
    if token.kind == "text":
        return Literal(token.text[1:-1])
    if token.kind == "number":
        return Literal(_number(token.text))
    start, stop, stride = re.fullmatch(r"(-?\d+)\s*\.\.\s*(-?\d+)(?:\s*:\s*(\d+))?", token.text).groups()  # type: ignore[union-attr]
    return Range(int(start), int(stop), int(stride or 1))


def _number(text: str) -> int | float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError as error:
        raise ConditionError(f"{text[:20]}... has too many digits") from error
