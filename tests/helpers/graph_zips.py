"""Quantum graphs with members that are not as upstream wrote them."""

from __future__ import annotations

__all__ = ("Change", "changed", "frame", "unframe")

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

Change = Callable[[bytes], bytes]


def changed(path: Path, into: Path, changes: Mapping[str, Change | None]) -> Path:
    """Write a graph with the content of some members changed, or without them."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(into, "w") as target:
        assert changes.keys() <= set(source.namelist())
        for name in source.namelist():
            change = changes.get(name, bytes)
            if change is not None:
                target.writestr(name, change(source.read(name)))
    return into


def unframe(data: bytes, dictionary: bytes = b"") -> bytes:
    """Return what a frame becomes."""
    return zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(dictionary)).decompress(data)


def frame(data: bytes) -> bytes:
    """Return a frame of some bytes."""
    return zstandard.ZstdCompressor().compress(data)
