"""Keeps what is written of a dataset, for who would have to serialize it again."""

from __future__ import annotations

__all__ = ("KEPT", "kept_bytes")

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

KEPT: ContextVar[list[tuple[str, bytes]] | None] = ContextVar("KEPT", default=None)
"""Where the bytes of each file go that is written, after the name of its formatter; `None` if nowhere."""


@contextmanager
def kept_bytes() -> Iterator[list[tuple[str, bytes]]]:
    """Keep what this thread writes meanwhile."""
    kept: list[tuple[str, bytes]] = []
    token = KEPT.set(kept)
    try:
        yield kept
    finally:
        KEPT.reset(token)
