"""Where the nodes of a small graph go: in layers from left to right, with few edges crossing."""

from __future__ import annotations

__all__ = ("Layout", "arrange")

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 12


@dataclass
class Layout:
    """Places of nodes and edges.

    Parameters
    ----------
    layers : `list` [`int`]
        The layer of each node.
    heights : `list` [`float`]
        How far down the middle of each node is.
    routes : `list` [`list` [`tuple` [`int`, `float`]]]
        The layers between the ends of each edge, and how far down it crosses
        them; from where it begins to where it ends.
    """

    layers: list[int]
    heights: list[float]
    routes: list[list[tuple[int, float]]]


def arrange(sizes: Sequence[float], edges: Sequence[tuple[int, int]], gap: float, thin: float) -> Layout:
    """Find places for the nodes of a graph, which may have cycles.

    Parameters
    ----------
    sizes : `~collections.abc.Sequence` [`float`]
        Height of each node.
    edges : `~collections.abc.Sequence` [`tuple` [`int`, `int`]]
        The edges.
    gap : `float`
        Room between nodes of a layer.
    thin : `float`
        Height of an edge that crosses a layer.

    Returns
    -------
    layout : `Layout`
        The places.
    """
    forward = _without_cycles(len(sizes), edges)
    layers = _layers(len(sizes), forward)
    heights_of = list(sizes)
    all_layers = list(layers)
    chains = []
    # An edge over several layers becomes a chain with a node in each of them.
    for source, target in forward:
        between = range(layers[source] + 1, layers[target])
        first = len(heights_of)
        heights_of += [thin] * len(between)
        all_layers += between
        chains.append([source, *range(first, first + len(between)), target])
    before, after = defaultdict(list), defaultdict(list)
    for chain in chains:
        for a, b in pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    rows: list[list[int]] = [[] for _ in range(max(all_layers, default=-1) + 1)]
    for node, layer in enumerate(all_layers):
        rows[layer].append(node)
    rows = _with_few_crossings(rows, before, after)
    places = _heights(rows, before, after, heights_of, gap)
    routes = []
    for (source, _), (begin, _), chain in zip(edges, forward, chains, strict=True):
        route = [(all_layers[node], places[node]) for node in chain[1:-1]]
        routes.append(route if source == begin else route[::-1])
    return Layout(layers, places[: len(sizes)], routes)


def _without_cycles(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn round the edges that close a cycle."""
    after = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    state = [0] * count
    closing = set()
    for start in range(count):
        if state[start]:
            continue
        state[start] = 1
        path = [(start, iter(after[start]))]
        while path:
            node, targets = path[-1]
            for target in targets:
                if state[target] == 1:
                    closing.add((node, target))
                elif not state[target]:
                    state[target] = 1
                    path.append((target, iter(after[target])))
                    break
            else:
                state[node] = 2
                path.pop()
    return [edge[::-1] if edge in closing else edge for edge in edges]


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Put each node right of all that lead to it, and as near as can be to those that it leads to."""
    after, waiting = defaultdict(list), [0] * count
    for source, target in edges:
        after[source].append(target)
        waiting[target] += 1
    layers = [0] * count
    order = [node for node in range(count) if not waiting[node]]
    for node in order:
        for target in after[node]:
            layers[target] = max(layers[target], layers[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    for node in reversed(order):
        if after[node]:
            layers[node] = min(layers[target] for target in after[node]) - 1
    return layers


_Neighbours = defaultdict[int, list[int]]


def _with_few_crossings(rows: list[list[int]], before: _Neighbours, after: _Neighbours) -> list[list[int]]:
    """Order each layer by where the neighbours are, to and fro, and keep the best that was seen."""
    best, fewest = [list(row) for row in rows], _crossings(rows, after)
    place = {node: n for row in rows for n, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        neighbours = after if sweep % 2 else before
        for row in rows[:: -1 if sweep % 2 else 1]:
            middles = {}
            for node in row:
                near = [place[other] for other in neighbours[node]]
                middles[node] = sum(near) / len(near) if near else place[node]
            row.sort(key=middles.__getitem__)
            place.update((node, n) for n, node in enumerate(row))
        found = _crossings(rows, after)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    return best


def _crossings(rows: list[list[int]], after: _Neighbours) -> int:
    total = 0
    for row, right in pairwise(rows):
        place = {node: n for n, node in enumerate(right)}
        ends = [end for node in row for end in sorted(place[other] for other in after[node])]
        total += sum(a > b for n, a in enumerate(ends) for b in ends[n + 1 :])
    return total


def _heights(
    rows: list[list[int]], before: _Neighbours, after: _Neighbours, sizes: Sequence[float], gap: float
) -> list[float]:
    """Move nodes towards the middle of their neighbours, without changing their order."""
    places = [0.0] * len(sizes)
    for row in rows:
        at = 0.0
        for node in row:
            places[node] = at + sizes[node] / 2
            at += sizes[node] + gap
    for sweep in range(_SWEEPS):
        for row in rows[:: -1 if sweep % 2 else 1]:
            wishes = []
            for node in row:
                near = [places[other] for other in (*before[node], *after[node])]
                wishes.append(sum(near) / len(near) if near else places[node])
            for node, place in zip(row, _apart(wishes, [sizes[node] for node in row], gap), strict=True):
                places[node] = place
    top = min((place - size / 2 for place, size in zip(places, sizes, strict=True)), default=0)
    return [place - top for place in places]


def _apart(wishes: Sequence[float], sizes: Sequence[float], gap: float) -> list[float]:
    """Find the places nearest to the wished ones (least squares) that leave room for each node."""
    # Without the room that they need at least, places need only not to descend: isotonic regression.
    needed = [0.0]
    for above, below in pairwise(sizes):
        needed.append(needed[-1] + (above + below) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for wish, room in zip(wishes, needed, strict=False):
        total, count = wish - room, 1
        while pools and pools[-1][0] * count > total * pools[-1][1]:
            more, others = pools.pop()
            total, count = total + more, count + others
        pools.append((total, count))
    free = [total / count for total, count in pools for _ in range(count)]
    return [place + room for place, room in zip(free, needed, strict=False)]
