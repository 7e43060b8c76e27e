"""Reads one piece of the input into tables.

This is what an executor does, maybe in another process or on another machine:
arguments and result are small, and the tables go to a folder that all see.
"""

from __future__ import annotations

__all__ = ("scan_piece",)

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .. import _core
from ..quantum_graphs import QuantumGraphError
from .elsewhere import elsewhere
from .found import Piece
from .graphs import read_graph
from .parts import Part, PartWriter
from .tables import part_schemas

# Bytes that are decompressed, or made from YAML, at a time.
_CHUNK = 1 << 20

# The most bytes of JSON that one quantum may have, as in the kernel.
_MOST_BYTES = 1 << 28

# The most entries of a log that are rejected one by one.
_MOST_REJECTED = 1 << 20

# The most bytes of YAML that one quantum may have, how many values, and how deep: a value takes a hundred
# times its text while it is read, and with each level the parser goes deeper into the process's stack.
_MOST_YAML_BYTES = 1 << 26
_MOST_YAML_VALUES = 1 << 20
_MOST_YAML_DEPTH = 100


def scan_piece(piece: Piece, number: int, folder: str, *, contents: bool = False) -> Part:
    """Read one piece into tables; with contents of metadata and logs, if these are wanted."""
    if piece.kind == "graph":
        return _scan_graph(piece, number, folder)
    # Of files of one quantum each, no more is rejected than there are.
    scanner = _core.ProvenanceScanner(most_rejected=_MOST_REJECTED, contents=contents)
    writer = PartWriter(folder, number, has_contents=contents)
    reading = _Reading(piece, scanner)
    try:
        for _ in reading.steps():
            if scanner.is_full:
                writer.take(scanner, piece)
        writer.take(scanner, piece)
    finally:
        writer.close()
    by_source: tuple[tuple[int, int, int], ...] = ()
    if len(piece.entries) > 1:
        by_source = tuple(
            (size, writer.quanta_of[source], writer.rejected_of[source])
            for source, size in enumerate(reading.sizes)
        )
    return writer.part(sum(reading.sizes), reading.start, reading.content, by_source)


def _scan_graph(piece: Piece, number: int, folder: str) -> Part:
    """Read a quantum graph into tables."""
    writer = PartWriter(folder, number)
    size = 0
    try:
        with _local(piece) as path:
            size = os.path.getsize(path)
            for tables in read_graph(path):
                writer.write("quanta", tables.quanta)
                writer.write("edges", tables.edges)
                writer.write("earlier", tables.earlier)
                writer.write("records", part_schemas()["records"].empty_table())
                writer.write_names(tables.names)
    except (OSError, QuantumGraphError) as error:
        writer.reject(piece, 0, 0, f"the graph cannot be read: {_message(error)}")
    finally:
        writer.close()
    return writer.part(size, content=size)


class _Reading:
    """One piece on its way through a scanner."""

    def __init__(self, piece: Piece, scanner: _core.ProvenanceScanner):
        self._piece, self._scanner = piece, scanner
        self.sizes = [0] * len(piece.names)
        """How many bytes of each log or file are read (`list` [`int`])."""
        self.start = 0
        self.content = 0

    def steps(self) -> Iterator[None]:
        """Read step by step; between them the scanner may be emptied."""
        kind = self._piece.kind
        if kind == "files":
            yield from self._files()
            return
        if kind == "logs":
            yield from self._logs()
        else:
            yield from self._log()
        self.content = self._scanner.content

    def _log(self) -> Iterator[None]:
        """Read a log, or part of one."""
        piece, scanner = self._piece, self._scanner
        self.sizes[0] = max(piece.end - piece.start, 0)
        try:
            with _local(piece) as path:
                if piece.kind == "gzip":
                    yield from self._gzip(0, path)
                    return
                # A log from elsewhere is read whole.
                end = piece.end if piece.folder and piece.end >= 0 else os.path.getsize(path)
                self.sizes[0] = end - piece.start
                start = scanner.open_log(path, piece.start, end, compressed=piece.kind == "frames")
                if piece.kind == "lines":
                    self.start = start
                while not scanner.advance():
                    yield
        except OSError as error:
            scanner.skip(f"the log cannot be read: {_message(error)}")

    def _logs(self) -> Iterator[None]:
        """Read many logs; those that need nothing before in one go."""
        piece, scanner = self._piece, self._scanner
        together: list[tuple[int, str, int, bool]] = []
        for source, (name, size) in enumerate(zip(piece.names, piece.sizes, strict=True)):
            self.sizes[source] = size
            if piece.folder and not name.endswith(".gz"):
                together.append((source, piece.path(source), size, name.endswith(".zst")))
                continue
            yield from self._opened(together)
            together = []
            scanner.start(source)
            try:
                with _local(piece, source) as path:
                    self.sizes[source] = size = os.path.getsize(path)
                    if name.endswith(".gz"):
                        yield from self._gzip(source, path)
                    else:
                        yield from self._opened([(source, path, size, name.endswith(".zst"))])
            except OSError as error:
                scanner.skip(f"the log cannot be read: {_message(error)}")
        yield from self._opened(together)

    def _opened(self, logs: list[tuple[int, str, int, bool]]) -> Iterator[None]:
        """Read logs that are there as they are."""
        if logs:
            self._scanner.open_logs(logs)
            while not self._scanner.advance():
                yield

    def _gzip(self, source: int, path: str) -> Iterator[None]:
        """Read a log that Python decompresses."""
        scanner = self._scanner
        scanner.start(source)
        decoder = None
        with open(path, "rb") as stream:
            while data := stream.read(_CHUNK):
                full = False
                while data or full:
                    if decoder is None:
                        # Members follow each other, and zeros may follow the last of them.
                        if not (data := data.lstrip(b"\0")):
                            break
                        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
                    try:
                        content = decoder.decompress(data, _CHUNK)
                    except zlib.error as error:
                        scanner.skip(f"the gzip stream is corrupt: {error}")
                        return
                    scanner.feed(content)
                    yield
                    if scanner.has_given_up:
                        return
                    # What fills the room may have left more behind.
                    full = len(content) == _CHUNK and not decoder.eof
                    data = decoder.unconsumed_tail
                    if decoder.eof:
                        data, decoder = decoder.unused_data, None
        if decoder is None:
            scanner.finish()
        else:
            scanner.skip("the file ends within a gzip stream")

    def _files(self) -> Iterator[None]:
        """Read files of one quantum each; runs of JSON in one call."""
        piece, scanner = self._piece, self._scanner
        # So few at a time that a scanner is not filled beyond measure.
        at_once = 64
        first = 0
        while first < len(piece.names):
            last = first
            while last < min(len(piece.names), first + at_once) and self._is_plain(last):
                last += 1
            if last > first:
                paths = [piece.path(source) for source in range(first, last)]
                self.sizes[first:last] = scanner.files(first, paths)
                first = last
            else:
                self._file(first)
                first += 1
            yield

    def _is_plain(self, source: int) -> bool:
        return bool(self._piece.folder) and self._piece.names[source].endswith((".json", ".json.zst"))

    def _file(self, source: int) -> None:
        """Read a file that has to be converted or fetched first."""
        piece, scanner = self._piece, self._scanner
        name = piece.names[source]
        stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
        try:
            with _local(piece, source) as path:
                self.sizes[source] = os.path.getsize(path)
                if name.endswith((".json", ".json.zst")):
                    scanner.files(source, [path])
                    return
                if name.endswith(".json.gz"):
                    with gzip.open(path) as stream:
                        data = stream.read(_MOST_BYTES + 1)
                else:
                    with open(path, "rb") as stream:
                        data = _json_of_yaml(stream.read(_MOST_YAML_BYTES + 1))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            scanner.start(source)
            scanner.skip(f"the file cannot be read: {_message(error)}")
        else:
            scanner.document(source, stem, data)


@contextmanager
def _local(piece: Piece, source: int = 0) -> Iterator[str]:
    """Give the path of a file, fetched if it is elsewhere."""
    if piece.folder:
        yield piece.path(source)
        return
    from lsst.resources import ResourcePath

    with ExitStack() as stack:
        with elsewhere(piece.names[source]):
            local = stack.enter_context(ResourcePath(piece.names[source]).as_local())
        yield local.ospath


def _message(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _json_of_yaml(data: bytes) -> bytes:
    """Return YAML as JSON."""
    import yaml

    if len(data) > _MOST_YAML_BYTES:
        raise ValueError(f"longer than {_MOST_YAML_BYTES >> 20} MiB")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml(yaml.parse(data, Loader=loader))
        value: Any = yaml.load(data, Loader=loader)
        pieces, length = [], 0
        for piece in json.JSONEncoder(default=_not_json).iterencode(value):
            pieces.append(piece)
            # A few aliases of aliases make any amount of text.
            if (length := length + len(piece)) > _MOST_BYTES:
                raise ValueError(f"longer than {_MOST_BYTES >> 20} MiB")
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    return "".join(pieces).encode()


def _check_yaml(events: Iterator[Any]) -> None:
    """Refuse YAML that would take all memory, or the process with it."""
    values = 0
    # Of the lists and mappings that have begun, the name and how many values were before.
    begun: list[tuple[str | None, int]] = []
    sizes: dict[str | None, int] = {}
    for event in events:
        kind = type(event).__name__
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            begun.append((event.anchor, values))
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, before = begun.pop()
            sizes[anchor] = values - before
        elif kind == "AliasEvent":
            # What it stands for counts again.
            values += sizes.get(event.anchor, 0)
        values += 1
        if len(begun) > _MOST_YAML_DEPTH:
            raise ValueError(f"nested deeper than {_MOST_YAML_DEPTH} levels")
        if values > _MOST_YAML_VALUES:
            raise ValueError(f"more than {_MOST_YAML_VALUES} values")


def _not_json(value: object) -> Any:
    raise ValueError(f"not JSON: a value of type {type(value).__name__}")
