"""Keeping metadata and logs of quanta in the log of their process alone, without files."""

from __future__ import annotations

__all__ = ("keeping_in_log", "kept_types")

from collections.abc import Iterator
from contextlib import contextmanager

from ..switches import contents_wanted, wanted_log_folder

_types: frozenset[str] = frozenset()


@contextmanager
def keeping_in_log(types: frozenset[str]) -> Iterator[None]:
    """Have datasets of some types kept in the log alone meanwhile, here and in processes forked from here."""
    global _types
    before, _types = _types, types
    try:
        yield
    finally:
        _types = before


def kept_types() -> frozenset[str]:
    """Return the names of these types; there are none without a log that keeps contents."""
    if not _types or wanted_log_folder() is None or not contents_wanted():
        return frozenset()
    return _types
