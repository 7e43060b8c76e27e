"""Paths of files, as people write them and as records have them."""

from __future__ import annotations

__all__ = ("path_candidates",)

from urllib.parse import quote, unquote


def path_candidates(path: str) -> list[str]:
    """Return the paths within a datastore that a path may stand for, the longest first."""
    found: dict[str, None] = {}
    _, scheme, rest = path.partition("://")
    parts = (rest if scheme else path).split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if tail:
            found |= dict.fromkeys((tail, quote(tail), unquote(tail)))
    # Files that are outside of the datastore have absolute paths or URIs in their records.
    return [*dict.fromkeys((path, f"file://{path}" if path.startswith("/") else path, *found))]
