"""A small graph as an SVG picture."""

from __future__ import annotations

__all__ = ("MOST_NODES", "to_svg")

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .layers import arrange

if TYPE_CHECKING:
    from .graph import Graph, Node

MOST_NODES = 300
"""More nodes than this make no readable picture."""

_FONT = 12
# Generous for a sans-serif font, so that no text sticks out of its box whatever font there is.
_CHARACTER = 0.6 * _FONT
_LINE = 16.0
_PADDING = 10.0
_COLUMN_GAP = 56.0
_ROW_GAP = 14.0
_MARGIN = 20.0
_HEAD = 54.0

_STYLE = """
    text { font: 12px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #222; }
    .heading { font-size: 15px; font-weight: bold; }
    .first { font-weight: bold; }
    .second { fill: #555; }
    .dataset { fill: #dcebf7; stroke: #2e6da4; }
    .quantum { fill: #fde8c8; stroke: #b9770e; }
    .start { stroke-width: 3; }
    .edge { fill: none; stroke: #777; stroke-width: 1.2; }
    .arrow { fill: #777; }
"""


def to_svg(graph: Graph) -> str:
    """Draw a graph, data flowing from left to right.

    Parameters
    ----------
    graph : `Graph`
        The graph, of at most `MOST_NODES` nodes.

    Returns
    -------
    svg : `str`
        The picture.
    """
    sizes = [2 * _PADDING + _LINE * len(node.lines) - 4 for node in graph.nodes]
    widths = [_width(node) for node in graph.nodes]
    layout = arrange(sizes, graph.edges, _ROW_GAP, _LINE)
    columns = [0.0] * (max(layout.layers, default=-1) + 1)
    for layer, width in zip(layout.layers, widths, strict=True):
        columns[layer] = max(columns[layer], width)
    lefts = [_MARGIN]
    for width in columns:
        lefts.append(lefts[-1] + width + _COLUMN_GAP)
    middles = [left + width / 2 for left, width in zip(lefts, columns, strict=False)]
    bottoms = [height + size / 2 for height, size in zip(layout.heights, sizes, strict=True)]
    bottoms += [height for route in layout.routes for _, height in route]
    width = max(lefts[-1] - _COLUMN_GAP + _MARGIN, 2 * _MARGIN + 1.3 * _CHARACTER * len(graph.title), 420)
    height = _HEAD + max(bottoms, default=0) + 2 * _MARGIN
    # A picture that is narrower than its heading goes in the middle.
    shift = (width - (lefts[-1] - _COLUMN_GAP + _MARGIN)) / 2
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"  <title>{escape(graph.title)}</title>",
        f"  <style>{_STYLE}  </style>",
        '  <defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="arrow" d="M0 0 10 5 0 10z"/></marker></defs>',
        f'  <rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'  <text class="heading" x="{_MARGIN:.0f}" y="26">{escape(graph.title)}</text>',
        *_legend(),
        f'  <g transform="translate({shift:.1f} {_HEAD + _MARGIN / 2:.1f})">',
    ]
    for (source, target), route in zip(graph.edges, layout.routes, strict=True):
        ahead = layout.layers[source] < layout.layers[target]
        side = 1 if ahead else -1
        first, last = layout.layers[source], layout.layers[target]
        # Straight within a column, so that it goes behind no other box there, and curved between two.
        points = [
            (middles[first] + side * widths[source] / 2, layout.heights[source]),
            (middles[first] + side * columns[first] / 2, layout.heights[source]),
        ]
        for layer, down in route:
            points += [(middles[layer] + n * side * columns[layer] / 2, down) for n in (-1, 1)]
        points += [
            (middles[last] - side * columns[last] / 2, layout.heights[target]),
            (middles[last] - side * widths[target] / 2, layout.heights[target]),
        ]
        out.append(f'    <path class="edge" marker-end="url(#arrow)" d="{_curve(points)}"/>')
    for node, layer, down, width, size in zip(
        graph.nodes, layout.layers, layout.heights, widths, sizes, strict=True
    ):
        out += _box(node, middles[layer], down, width, size)
    return "\n".join([*out, "  </g>", "</svg>", ""])


def _width(node: Node) -> float:
    first, *others = map(len, node.lines)
    # The first line is bold, and takes more room.
    return 2 * _PADDING + _CHARACTER * max(1.12 * first, *others, 8)


def _curve(points: list[tuple[float, float]]) -> str:
    (x, y), *rest = points
    out = [f"M{x:.1f} {y:.1f}"]
    for right, down in rest:
        if abs(right - x) < 0.05:
            continue
        half = (x + right) / 2
        out.append(f"C{half:.1f} {y:.1f} {half:.1f} {down:.1f} {right:.1f} {down:.1f}")
        x, y = right, down
    return " ".join(out)


def _box(node: Node, middle: float, down: float, width: float, size: float) -> list[str]:
    kind = "quantum" if node.is_quantum else "dataset start" if node.is_start else "dataset"
    corner = 2 if node.is_quantum else 12
    out = [
        f"    <g><title>{escape(chr(10).join(node.details))}</title>"
        f'<rect class="{kind}" x="{middle - width / 2:.1f}" y="{down - size / 2:.1f}" width="{width:.1f}" '
        f'height="{size:.1f}" rx="{corner}"/>'
    ]
    for number, line in enumerate(node.lines):
        y = down - size / 2 + _PADDING + _LINE * number + 9
        style = "second" if number else "first"
        out.append(
            f'      <text class="{style}" text-anchor="middle" x="{middle:.1f}" y="{y:.1f}">'
            f"{escape(line)}</text>"
        )
    return [*out, "    </g>"]


def _legend() -> list[str]:
    return [
        f'  <rect class="dataset" x="{_MARGIN:.0f}" y="38" width="22" height="14" rx="6"/>'
        f'<text x="{_MARGIN + 28:.0f}" y="49">dataset</text>',
        f'  <rect class="quantum" x="{_MARGIN + 96:.0f}" y="38" width="22" height="14" rx="2"/>'
        f'<text x="{_MARGIN + 124:.0f}" y="49">quantum</text>',
    ]
