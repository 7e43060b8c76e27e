"""Conditions are read as upstream's parser reads them, and worked out as upstream's database does."""

from __future__ import annotations

import sqlite3
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import DimensionUniverse
from lsst.daf.butler.queries.expressions.parser import exprTree, parse_expression

from quantum_butler.queries.conditions import evaluate
from quantum_butler.queries.errors import ConditionError
from quantum_butler.queries.expressions import Binary, Identifier, In, Literal, Node, Range, Unary, parse
from quantum_butler.queries.order import ordered

ROWS = [
    {"visit": visit, "detector": detector, "band": band}
    for visit in (None, 0, 3, 7, 8)
    for detector in (None, 0, 2, 5)
    for band in (None, "g", "r", "it")
]
COLUMNS = {
    "visit": pa.array([row["visit"] for row in ROWS], pa.int64()),
    "detector": pa.array([row["detector"] for row in ROWS], pa.int64()),
    "band": pa.array([row["band"] for row in ROWS]).dictionary_encode(),
}


def of_upstream(node: Any) -> Node:
    """Return what upstream's parser has read in our classes."""
    match node:
        case exprTree.Parens():
            return of_upstream(node.expr)
        case exprTree.NumericLiteral():
            text = node.value
            return Literal(float(text) if set(text) & set(".eE") else int(text))
        case exprTree.StringLiteral():
            return Literal(node.value)
        case exprTree.RangeLiteral():
            return Range(node.start, node.stop, node.stride or 1)
        case exprTree.Identifier():
            return Identifier(node.name)
        case exprTree.UnaryOp():
            return signed(Unary(node.op, of_upstream(node.operand)))
        case exprTree.BinaryOp():
            return Binary(node.op, of_upstream(node.lhs), of_upstream(node.rhs))
        case exprTree.IsIn():
            values = tuple(map(of_upstream, node.values))
            return In(of_upstream(node.lhs), values, node.not_in)  # type: ignore[arg-type]
    raise NotImplementedError(node)


def signed(node: Node) -> Node:
    """Return a number with its sign, which upstream's grammar has in two ways."""
    match node:
        case Unary("-" | "+" as operator, operand):
            inner = signed(operand)
            if isinstance(inner, Literal) and not isinstance(inner.value, str):
                return inner if operator == "+" else Literal(-inner.value)
            return Unary(operator, inner)
        case Unary(operator, operand):
            return Unary(operator, signed(operand))
        case Binary(operator, left, right):
            return Binary(operator, signed(left), signed(right))
        case In(term, values, is_not):
            return In(signed(term), values, is_not)
    return node


_numbers = st.sampled_from(["visit", "detector", "3", "0", "7", "2.5", "-1", "+4", "1e1"])
_terms = st.recursive(
    _numbers,
    lambda some: st.one_of(
        st.builds("{} {} {}".format, some, st.sampled_from("+-*"), some),
        st.builds("({})".format, some),
        st.builds("-{}".format, some),
    ),
    max_leaves=4,
)
_texts = st.sampled_from(["band", "'g'", "'r'", "'it'", "''"])
_comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_values = st.lists(
    st.sampled_from(["0", "3", "-2", "1..5", "0..8:3", "-3 .. 2", "7.0"]), min_size=1, max_size=3
)
_names = st.lists(st.sampled_from(["'g'", "'r'", "'x'"]), min_size=1, max_size=3)
_membership = st.sampled_from(["IN", "in", "NOT IN", "not in"])
_conditions = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, _terms, _comparisons, _terms),
        st.builds("{}{}{}".format, _texts, _comparisons, _texts),
        st.builds("{} {} ({})".format, _terms, _membership, _values.map(", ".join)),
        st.builds("band {} ({})".format, _membership, _names.map(",".join)),
        st.builds("{} {} NULL".format, st.sampled_from(["visit", "band"]), st.sampled_from(["=", "!="])),
    ),
    lambda some: st.one_of(
        st.builds("{} {} {}".format, some, st.sampled_from(["AND", "OR", "and", "or"]), some),
        st.builds("NOT {}".format, some),
        st.builds("({})".format, some),
    ),
    max_leaves=5,
)


@given(_conditions)
def test_read_as_by_upstream(text: str) -> None:
    assert signed(parse(text)) == signed(of_upstream(parse_expression(text)))


@given(
    st.lists(
        st.sampled_from(
            """visit band 1 2. 'a' ( ) , = != < + - * 1..2 -1..5:2 AND OR NOT IN % / ! ' " x.y :b T'x'
            """.split()
        ),
        max_size=8,
    ).map(" ".join)
)
def test_refused_as_by_upstream(text: str) -> None:
    """What upstream's parser refuses is refused; what it reads is the same, or refused with a reason."""
    try:
        theirs = parse_expression(text)
    except Exception:
        with pytest.raises(ConditionError):
            parse(text)
        return
    try:
        ours = parse(text)
    except ConditionError:
        return
    assert signed(ours) == signed(of_upstream(theirs))


def test_dimensions_are_in_upstreams_order() -> None:
    """Data IDs look the same, whatever they are read from."""
    names = [*DimensionUniverse().dimensions.names]
    assert len(names) > 40
    mixed = {name: number for number, name in enumerate(sorted(names, reverse=True))}
    assert [*ordered({**mixed, "zeta": 1, "alpha": 2})] == [*names, "alpha", "zeta"]
    assert ordered(mixed) == mixed


def in_sql(node: Node) -> str:
    match node:
        case Literal(str() as value):
            return f"'{value}'"
        case Literal(value):
            return f"({value})"
        case Identifier(name):
            return name
        case Unary(operator, operand):
            return f"({operator} {in_sql(operand)})"
        case Binary("=" | "!=" as operator, left, Identifier("NULL")):
            return f"({in_sql(left)} IS {'NOT ' if operator == '!=' else ''}NULL)"
        case Binary(operator, left, right):
            return f"({in_sql(left)} {operator} {in_sql(right)})"
        case In(term, values, is_not):
            text = in_sql(term)
            either = [
                f"({text} BETWEEN {one.start} AND {one.stop} AND ({text} - {one.start}) % {one.stride} = 0)"
                if isinstance(one, Range)
                else f"({text} = {in_sql(one)})"
                for one in values
            ]
            joined = " OR ".join(either)
            return f"(NOT ({joined}))" if is_not else f"({joined})"
    raise NotImplementedError(node)


@given(_conditions)
def test_worked_out_as_by_a_database(text: str) -> None:
    node = parse(text)
    try:
        met = evaluate(node, COLUMNS, len(ROWS)).to_pylist()
    except ConditionError as error:
        # A range with a step is for whole numbers.
        assert "whole numbers" in str(error)
        return
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (row integer, visit integer, detector integer, band text)")
        database.executemany(
            "insert into t values (?, ?, ?, ?)", [(row, *one.values()) for row, one in enumerate(ROWS)]
        )
        found = {row for (row,) in database.execute(f"select row from t where {in_sql(node)}")}
    assert {row for row, is_met in enumerate(met) if is_met} == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "too early"),
        ("visit =", "too early"),
        ("visit = 1)", "not expected"),
        ('band = "r"', "what is"),
        ("visit.id = 3", "not understood"),
        ("visit = :x", "not understood"),
        ("visit.timespan OVERLAPS (T'2020-01-01', T'2020-02-01')", "not understood|OVERLAPS"),
        ("POINT(1, 2) = 3", "no functions"),
        ("(" * 5000 + "visit" + ")" * 5000 + " = 1", "nested"),
        ("NOT " * 5000 + "visit = 1", "nested"),
        ("- " * 5000 + "visit = 1", "nested"),
        ("visit = " + "9" * 5000, "too many digits"),
        ("visit", "neither true nor false"),
        ("NOT visit", "neither true nor false"),
        ("visit = 1 AND detector", "neither true nor false"),
        ("visit = 'x'", "do not compare"),
        ("band IN (1, 2)", "do not compare"),
        ("band IN (1..5)", "do not compare"),
        ("band < 3", "do not compare"),
        ("-band = 'x'", "for numbers only"),
        ("visit = 1..5", "within IN"),
        ("(visit = 1) = (detector = 2)", "not compared"),
        ("skymap = 'x'", "no dimension .* which have band, detector, visit"),
        ("visit % 0 = 1", "division by zero"),
        ("visit / 0 = 1", "cannot be worked out|division"),
        ("visit * 9223372036854775807 > 1", "cannot be worked out"),
        ("visit < NULL", "only compared with"),
    ],
)
def test_what_is_no_condition(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        evaluate(parse(text), COLUMNS, len(ROWS))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("visit < 99999999999999999999", 64),
        ("visit > -99999999999999999999", 64),
        ("visit = 99999999999999999999", 0),
        ("visit = 7.0", 16),
        ("visit % 3 = 1", 16),
        ("1 = 1", 80),
        ("visit in (0..99999999999999999999)", 64),
        ("VISIT = 7", None),
    ],
)
def test_odd_numbers(text: str, count: int | None) -> None:
    if count is None:
        with pytest.raises(ConditionError, match="no dimension"):
            evaluate(parse(text), COLUMNS, len(ROWS))
    else:
        assert sum(evaluate(parse(text), COLUMNS, len(ROWS)).to_pylist()) == count
