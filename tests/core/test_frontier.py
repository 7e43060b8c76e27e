"""The frontier hands out, and blocks, what upstream's `GraphWalker` does."""

from __future__ import annotations

from array import array

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.pipe.base.graph_walker import GraphWalker

from quantum_butler._core import Frontier


def frontier(quanta: int, edges: list[tuple[int, int]]) -> Frontier:
    return Frontier(quanta, array("I", [a for a, _ in edges]), array("I", [b for _, b in edges]))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    quanta = draw(st.integers(1, 30))
    numbers = st.integers(0, quanta - 1)
    pairs = draw(st.lists(st.tuples(numbers, numbers), max_size=80))
    order = draw(st.permutations(range(quanta)))
    # Edges go up in an order that is not that of the numbers.
    return quanta, [(order[min(pair)], order[max(pair)]) for pair in pairs if pair[0] != pair[1]]


@given(graphs(), st.data())
def test_order_and_blocking_are_upstreams(
    graph: tuple[int, list[tuple[int, int]]], data: st.DataObject
) -> None:
    quanta, edges = graph
    ours = frontier(quanta, edges)
    xgraph = networkx.DiGraph(edges)
    xgraph.add_nodes_from(range(quanta))
    walker = GraphWalker[int](xgraph)
    active: set[int] = set()
    for unblocked in walker:
        taken = ours.take(quanta)
        assert taken == sorted(unblocked)
        assert not ours.has_ready
        active.update(taken)
        number = data.draw(st.sampled_from(sorted(active)))
        active.remove(number)
        if data.draw(st.integers(0, 4)) == 0:
            assert ours.fail(number) == sorted(walker.fail(number))
        else:
            ours.finish([number])
            walker.finish(number)
        assert ours.left == len(walker._incomplete)
    assert ours.left == 0 and not active


def test_what_is_given_back_comes_again() -> None:
    quanta = frontier(3, [(0, 2)])
    assert quanta.take(2) == [0, 1]
    quanta.give_back([1])
    assert quanta.has_ready and quanta.take(2) == [1]


def test_errors() -> None:
    with pytest.raises(ValueError, match="circle"):
        frontier(2, [(0, 1), (1, 0)])
    with pytest.raises(ValueError, match="no quantum number 5"):
        frontier(2, [(0, 5)])
    with pytest.raises(ValueError, match="1 edges begin and 0 end"):
        Frontier(2, array("I", [0]), array("I"))
    with pytest.raises(BufferError):
        Frontier(2, array("d", [0.0]), array("d", [1.0]))
    quanta = frontier(1, [])
    quanta.finish([0])
    with pytest.raises(ValueError, match="ended before"):
        quanta.finish([0])
    with pytest.raises(ValueError, match="not handed out"):
        quanta.give_back([0])
