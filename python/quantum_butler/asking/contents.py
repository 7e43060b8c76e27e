"""Logs and metadata of quanta, from provenance graphs, or from what an archive was made of."""

from __future__ import annotations

__all__ = ("NoContentsError", "QuantumContents", "contents_of", "log_line")

import datetime
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..archive.archive import Archive
from ..errors import QuantumButlerError
from ..paths import Name
from ..quantum_graphs import ProvenanceGraph
from ..queries.choice import make_choice
from ..queries.found import Found
from ..queries.known import require_known
from .logged import ContentsOfSources, MissingSourceError
from .runs import GraphRun

_ADVICE = (
    "the contents of logs and metadata are in provenance graphs (.qg), which quantum-butler aggregate or "
    "upstream's butler aggregate-graph writes; or butler retrieve-artifacts fetches the files"
)
_NOT_LOGGED = (
    "what it was made of has no contents of metadata and logs: logs keep them with --provenance-contents of "
    "quantum-butler exec and run, or with QUANTUM_BUTLER_PROVENANCE_CONTENTS=1, when the quanta run; else"
)


class NoContentsError(QuantumButlerError, LookupError):
    """Something that has no logs and metadata in it."""


@dataclass(frozen=True)
class QuantumContents:
    """The logs, or the metadata, of the attempts at a quantum."""

    found: Found
    """The quantum (`Found`)."""

    attempts: list[Any]
    """Of each attempt the records of its log, or its metadata; `None` if it left none (`list`)."""


def contents_of(
    run: Archive | GraphRun,
    kind: Literal["logs", "metadata"],
    *,
    quantum: str | uuid.UUID | Sequence[str] | None = None,
    tasks: Sequence[str] = (),
    statuses: Sequence[str] = (),
    where: str | None = None,
    logs: Sequence[Name] = (),
) -> Iterator[QuantumContents]:
    """Yield the logs or the metadata of a quantum, or of all that are asked for.

    Those of an archive are read from what it was made of, which is in other folders now if these are given.
    """
    wanted = _wanted(run, quantum, tasks, statuses, where)
    if isinstance(run, Archive):
        yield from _of_archive(run, kind, [*wanted], logs)
        return
    if not isinstance(run.graph, ProvenanceGraph):
        raise NoContentsError(f"{run.source.shown()} is a predicted graph: {_ADVICE}")
    for found in wanted:
        yield QuantumContents(found, getattr(run.graph, kind)(found.id))


def _of_archive(
    archive: Archive, kind: Literal["logs", "metadata"], wanted: Sequence[Found], folders: Sequence[Name]
) -> Iterator[QuantumContents]:
    """Yield the logs or the metadata of quanta of an archive."""
    with tempfile.TemporaryDirectory(prefix="contents-") as scratch:
        try:
            contents = ContentsOfSources(archive, [one.id for one in wanted], folders, scratch)
        except MissingSourceError as error:
            raise NoContentsError(f"{error}; --logs FOLDER says where the logs are now") from error
        if wanted and not contents:
            raise NoContentsError(f"{archive.path}: {_NOT_LOGGED} {_ADVICE}")
        for found in wanted:
            try:
                yield QuantumContents(found, contents.read(found.id, kind))
            except ValueError as error:
                raise NoContentsError(
                    f"{archive.path}: {found}: its {kind} cannot be read: {error}"
                ) from error


def _wanted(
    run: Archive | GraphRun,
    quantum: str | uuid.UUID | Sequence[str] | None,
    tasks: Sequence[str],
    statuses: Sequence[str],
    where: str | None,
) -> Iterator[Found]:
    if quantum:
        yield run.resolve(quantum, kind="quantum")
        return
    require_known(run.source, "quantum", make_choice(tasks or None, None, None, where))
    table = run.find_quanta(task=list(tasks) or None, status=list(statuses) or None, where=where)
    yield from run.source.rows_of("quantum", table)


def log_line(record: dict[str, Any]) -> str:
    """Return a record of a log as upstream prints it, with the traceback if it has one."""
    line = (
        f"{record.get('levelname', '')} {_time(record.get('asctime'))} {record.get('name', '')} "
        f"{record.get('filename', '')}:{record.get('lineno', '')} - {record.get('message', '')}"
    )
    return f"{line}\n{error.rstrip()}" if (error := record.get("exc_info")) else line


def _time(text: Any) -> str:
    try:
        return datetime.datetime.fromisoformat(text).isoformat()
    except (TypeError, ValueError):
        return str(text)
