"""A picture of how many times faster each operation is, as SVG."""

from __future__ import annotations

__all__ = ("Bar", "draw")

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _LABELS, _MARGIN, _ROW, _TOP = 940, 400, 70, 26, 56
_BLUE, _RED, _GREY, _INK = "#2f6f9f", "#b5483a", "#d8d8d8", "#222222"


class Bar(NamedTuple):
    """One operation."""

    label: str
    ratio: float
    others: Sequence[float]
    """Ratios at other sizes, drawn as dots."""


def draw(title: str, bars: Sequence[Bar]) -> str:
    """Return an SVG document of horizontal bars on a logarithmic scale."""
    ratios = [ratio for bar in bars for ratio in (bar.ratio, *bar.others)]
    low = min(0, math.floor(math.log10(min(ratios))))
    high = max(1, math.ceil(math.log10(max(ratios))))
    bottom = _TOP + _ROW * len(bars)

    def x(ratio: float) -> float:
        return _LABELS + (math.log10(ratio) - low) / (high - low) * (_WIDTH - _LABELS - _MARGIN)

    def text(x: float, y: float, content: str, anchor: str = "start", size: int = 13) -> str:
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
        return f"<text {place}>{escape(content)}</text>"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{bottom + 34}" '
        f'viewBox="0 0 {_WIDTH} {bottom + 34}" font-family="sans-serif" fill="{_INK}" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        text(16, 26, title, size=16),
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        colour = _INK if power == 0 else _GREY
        lines.append(f'<path d="M{at:.1f} {_TOP - 8}V{bottom}" stroke="{colour}"/>')
        lines.append(text(at, bottom + 20, f"{10.0**power:g}x", "middle"))
    for row, bar in enumerate(bars):
        y = _TOP + _ROW * row
        start, end = sorted((x(1), x(bar.ratio)))
        colour = _BLUE if bar.ratio >= 1 else _RED
        lines.append(text(_LABELS - 10, y + 15, bar.label, "end"))
        lines.append(
            f'<rect x="{start:.1f}" y="{y + 4}" width="{end - start:.1f}" height="{_ROW - 10}" '
            f'fill="{colour}"/>'
        )
        for ratio in bar.others:
            lines.append(
                f'<circle cx="{x(ratio):.1f}" cy="{y + _ROW / 2 - 1}" r="4" fill="white" '
                f'stroke="{_INK}" stroke-width="1.2"/>'
            )
        lines.append(text(_WIDTH - 16, y + 15, figure(bar.ratio), "end"))
    return "\n".join([*lines, "</svg>", ""])


def figure(ratio: float) -> str:
    """Return a ratio with two significant digits."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{float(f'{ratio:.2g}'):.0f}"
