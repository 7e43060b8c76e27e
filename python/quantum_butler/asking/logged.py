"""Logs and metadata of an archive's quanta, read from what the archive was made of."""

from __future__ import annotations

__all__ = ("ContentsOfSources", "MissingSourceError")

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

from ..archive.archive import Archive
from ..archive.origins import LINE, origins_of
from ..collecting.contents import Contents, ContentsFiles, Place
from ..collecting.sources import NoSuchSourceError, NotASourceError
from ..errors import QuantumButlerError
from ..paths import Name, is_there, is_uri, local_path
from ..quantum_graphs import ProvenanceGraph, QuantumGraphError
from ..quantum_graphs.errors import UnknownNameError

_GRAPH = ".qg"

# What upstream leaves out of a record in a log, and not in a graph.
_OF_RECORDS: dict[str, Any] = {"funcName": None, "exc_info": None, "MDC": {}}


class MissingSourceError(QuantumButlerError, LookupError):
    """Raised when a log or graph that an archive was made of does not exist any more."""


class ContentsOfSources:
    """The logs and metadata of some quanta of an archive, which has none itself.

    They are read from the log that tells of a quantum, or else from the provenance graphs among the archive's
    sources. Folders say where these are now, if they have been moved.
    """

    def __init__(self, archive: Archive, quanta: Sequence[uuid.UUID], folders: Sequence[Name], scratch: str):
        self._archive = archive
        self._folders = [local_path(folder) for folder in folders]
        self._sources = [str(one.get("source", "")) for one in archive.manifest.sources]
        self._places: dict[uuid.UUID, Place] = {}
        self._files = ContentsFiles(scratch)
        # Of a quantum that was never tried no log tells anything.
        self._has_contents = not all(source.endswith(_GRAPH) for source in self._sources)
        if logs := self._logs_of(quanta):
            try:
                contents = Contents(logs, scratch)
            except (NoSuchSourceError, NotASourceError) as error:
                raise MissingSourceError(str(error)) from error
            self._places = contents.places(quanta)
            self._has_contents = len(contents) > 0

    def __bool__(self) -> bool:
        """Return whether anything where they were looked for has contents."""
        return self._has_contents or self._graph is not None

    def read(self, quantum_id: uuid.UUID, kind: Literal["logs", "metadata"]) -> list[Any]:
        """Return the records of the log, or the metadata, of all attempts, as provenance graphs have them."""
        if (place := self._places.get(quantum_id)) is not None:
            metadata, log = self._files.read(place)
            return [*_attempts(kind, metadata, log)]
        if self._graph is not None:
            try:
                found: list[Any] = getattr(self._graph, kind)(quantum_id)
                return found
            except UnknownNameError:
                pass
        return []

    def _logs_of(self, quanta: Sequence[uuid.UUID]) -> list[str]:
        """Return the logs that tell of quanta, where they are now."""
        origins = origins_of(self._archive.path, quanta).values()
        numbers = {number for known_from, number in origins if known_from == LINE}
        if None in numbers:
            numbers = {n for n, source in enumerate(self._sources) if not source.endswith(_GRAPH)}
        names = [self._sources[number] for number in sorted(n for n in numbers if n is not None)]
        return [*dict.fromkeys(place for name in names for place in self._found(name))]

    def _found(self, source: str) -> list[str]:
        """Return where a source is now."""
        if self._folders:
            # Whoever says where logs are now may have put them into other folders, too.
            places = [os.path.join(folder, os.path.basename(source)) for folder in self._folders]
            return [place for place in places if is_there(place)] or self._folders
        if is_uri(source):
            return [source]
        # Relative names are those of the folder that the archive was made in.
        for place in (source, os.path.join(self._archive.path.parent, source)):
            if is_there(place):
                return [place]
        raise MissingSourceError(f"{self._archive.path}: {source}, which it was made of, is not there")

    @cached_property
    def _graph(self) -> ProvenanceGraph | None:
        """The provenance graphs among the sources, as far as they are there."""
        files = []
        for source in self._sources:
            if not source.endswith(_GRAPH) or is_uri(source):
                continue
            try:
                places = [place for place in self._found(source) if place.endswith(_GRAPH)]
                for place in places:
                    ProvenanceGraph(place)
                    files.append(place)
            except (MissingSourceError, QuantumGraphError):
                # It may be a predicted graph, which has no contents.
                continue
        return ProvenanceGraph(*files) if files else None


def _attempts(kind: Literal["logs", "metadata"], metadata: bytes | None, log: bytes | None) -> Iterator[Any]:
    """Yield what each attempt has left; the log of the last one tells of those before it."""
    told = {} if log is None else json.loads(log)
    # Logs of earlier releases of upstream's are lists of records.
    records, extra = (told, {}) if isinstance(told, list) else (told.get("records"), told)
    for earlier in extra.get("previous_attempts") or ():
        yield _records(earlier.get("logs")) if kind == "logs" else earlier.get("metadata")
    if kind == "logs":
        yield None if log is None else _records(records)
    else:
        yield extra.get("metadata") if metadata is None else json.loads(metadata)


def _records(told: Any) -> list[dict[str, Any]]:
    """Return records of a log as provenance graphs have them."""
    return [_OF_RECORDS | one for one in told or ()]
