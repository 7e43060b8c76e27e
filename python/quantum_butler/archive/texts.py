"""Numbers and names as a person reads them."""

from __future__ import annotations

__all__ = ("counted", "data_id_text", "plain", "size_text")

from typing import Any

from ..queries.order import ordered


def plain(text: str) -> str:
    """Return a text with everything escaped that would do something to a terminal or a file format."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def data_id_text(data_id: dict[str, Any]) -> str:
    """Return a data ID on one line."""
    return ", ".join(f"{dimension}={value}" for dimension, value in ordered(data_id).items())


def size_text(size: int | None) -> str:
    """Return a number of bytes, if it is known, in a unit that makes it short."""
    if size is None:
        return "unknown"
    if size < 1000:
        return f"{size} B"
    value, units = float(size), iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = ""
    # Up to what is rounded to the next unit.
    while value >= 999.95:
        value, unit = value / 1000, next(units)
    return f"{value:.1f} {unit}"


_PLURALS = {"quantum": "quanta", "entry": "entries"}


def counted(number: int, word: str, one: str = "", several: str = "") -> str:
    """Return a number with the word for what it counts, and with what is said of one and of several."""
    noun = word if number == 1 else _PLURALS.get(word, f"{word}s")
    rest = one if number == 1 else several
    return f"{number:,} {noun}{rest and ' '}{rest}"
