"""Collects provenance into an archive."""

from __future__ import annotations

__all__ = (
    "CollectReport",
    "ExistingArchiveError",
    "RejectedInputError",
    "collect",
)

import concurrent.futures as cf
import contextlib
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import _core
from ..archive.errors import ArchiveError
from ..archive.format import FORMAT, MANIFEST, VERSION, Manifest, read_manifest
from ..archive.naming import INDEXES
from ..errors import QuantumButlerError
from ..paths import is_file, is_folder, text_path
from ..progress import Progress
from .archived import archive_parts, past_attempts
from .duplicates import Duplicates, find_duplicates
from .found import Piece
from .parts import Part, part_path
from .pieces import scan_piece
from .replaced import write_replaced
from .scratch import Scratch
from .sources import Sources
from .writing import ArchiveWriter

# Pieces that wait for a worker, beyond those that are worked on, so that none is ever idle.
_WAITING = 8

# More threads would read no faster than the disk, and take memory.
_MOST_THREADS = 16

# After an interruption, seconds to wait for who reads: a disk or a pipe may never answer.
_PATIENCE = 2.0

# Rejected entries that a report holds.
_MOST_SHOWN = 20

# What every archive has.
_TABLES = ("quanta", "edges", "records", "datasets", "attempts", "exceptions", "tasks")
_FILES = {*(f"{name}.parquet" for name in _TABLES), "lineage.arrow", INDEXES["dataset"], MANIFEST}


class ExistingArchiveError(QuantumButlerError, FileExistsError):
    """Raised when there is an archive or another file already, and no option says what to do with it."""


class RejectedInputError(QuantumButlerError, ValueError):
    """Some input could not be read, and nothing was to be written then.

    Parameters
    ----------
    message : `str`
        What to tell.
    report : `CollectReport`
        What there was.
    """

    def __init__(self, message: str, report: CollectReport):
        super().__init__(message)
        self.report = report


@dataclass
class CollectReport:
    """Result of collecting."""

    output: str
    """Folder of the archive."""

    quanta: int = 0
    """Quanta in the archive."""

    datasets: int = 0
    """Datasets that they have in any role."""

    edges: int = 0
    """Pairs of a quantum and a dataset."""

    records: int = 0
    """Datastore records."""

    read: int = 0
    """Quanta that were read from the sources."""

    rejected: int = 0
    """Entries of the sources that could not be read."""

    repeated: int = 0
    """Attempts that were there again."""

    replaced: int = 0
    """Attempts at quanta of which another was kept."""

    empty: int = 0
    """Sources that have no quantum in them, and nothing that could not be read."""

    input_bytes: int = 0
    """Bytes of the sources, as they are stored."""

    content_bytes: int = 0
    """Bytes of the logs, decompressed."""

    archive_bytes: int = 0
    """Bytes of the archive."""

    seconds: float = 0.0
    """How long it took."""

    rejections: list[dict[str, Any]] = field(default_factory=list)
    """The first entries that were rejected."""

    empty_sources: list[str] = field(default_factory=list)
    """The first sources that have no quantum in them."""


def collect(
    sources: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    append: bool = False,
    overwrite: bool = False,
    strict: bool = False,
    executor: cf.Executor | None = None,
    jobs: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CollectReport:
    """Collect the provenance of many quanta into an archive.

    Parameters
    ----------
    sources : `~collections.abc.Sequence` [`str` or `os.PathLike`]
        Provenance logs (``.jsonl``, ``.jsonl.zst``, ``.jsonl.gz``), files of
        one quantum each (``.json``, ``.json.zst``, ``.json.gz``, ``.yaml``,
        ``.yml``), whose names start with the quantum's id, quantum graphs
        (``.qg``), folders of these, glob patterns, and URIs; and archives, to
        merge them.  Or one of these.
    output : `str` or `os.PathLike`
        Folder of the archive.
    append : `bool`, optional
        Add to the archive that is there; the same as collecting its sources
        and the new ones at once.
    overwrite : `bool`, optional
        Replace the archive that is there.
    strict : `bool`, optional
        Write nothing if some input cannot be read.
    executor : `concurrent.futures.Executor` or `None`, optional
        Where the sources are read.  Its workers must see them, and the folder
        that the archive is in, by the same paths.
    jobs : `int` or `None`, optional
        Number of threads that read the sources, without an executor.
    progress : `~collections.abc.Callable` or `None`, optional
        Called with a `Progress` from time to time.

    Returns
    -------
    report : `CollectReport`
        What was collected.

    Raises
    ------
    NoSuchSourceError
        Raised if a source is not there, or has nothing to collect.
    NotASourceError
        Raised if a source is a file of another kind.
    PlaceError
        Raised if a store has no answer about a URI: an `OSError` that names it.
    ExistingArchiveError
        Raised if there is an archive and neither ``append`` nor ``overwrite``
        is given, or if something else is there.
    RejectedInputError
        Raised if ``strict``, and some input could not be read.
    BusyArchiveError
        Raised if another process is collecting into the same archive.
    ArchiveError
        Raised if the archive that is there cannot be added to.
    OSError
        Raised if something cannot be written.

    Notes
    -----
    Whatever is raised, and whenever the process is killed, the archive that
    is there remains as it is.
    """
    begin = time.monotonic()
    if append and overwrite:
        raise ValueError("an archive is added to or overwritten, not both")
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    place = Path(text_path(output))
    old = _existing(place, append=append, overwrite=overwrite)
    found = Sources(sources, os.fspath(place))
    with Scratch(os.fspath(place)) as scratch:
        work = _Work(found, scratch, place, old if append else None, progress)
        with contextlib.ExitStack() as stack:
            if executor is None:
                executor = stack.enter_context(_threads(jobs))
            work.read(executor)
        if strict and work.report.rejected:
            raise RejectedInputError(
                f"{work.report.rejected} entries of the input could not be read; nothing was written",
                work.report,
            )
        work.write()
        scratch.put_in_place()
    work.report.seconds = time.monotonic() - begin
    return work.report


def _existing(place: Path, *, append: bool, overwrite: bool) -> Manifest | None:
    """Return the manifest of what is there, having seen that it may be replaced."""
    try:
        # Whatever cannot be looked at may be there.
        os.lstat(place)
    except FileNotFoundError:
        return None
    if is_folder(place) and not any(place.iterdir()):
        return None
    if not is_file(place / MANIFEST):
        raise ExistingArchiveError(f"{place}: this is there already, and is no provenance archive")
    if not (append or overwrite):
        raise ExistingArchiveError(
            f"{place}: this archive is there already; it can be added to (append) or replaced (overwrite)"
        )
    try:
        return read_manifest(place)
    except ArchiveError as error:
        # It may be anything, so that it is not removed from here.
        raise ArchiveError(
            f"{error}; if it is an archive that was damaged, remove the folder {place}"
        ) from error


@contextlib.contextmanager
def _threads(jobs: int | None) -> Iterator[cf.Executor]:
    """Yield threads that read; they are not waited for after an interruption."""
    executor = cf.ThreadPoolExecutor(jobs or min(len(os.sched_getaffinity(0)), _MOST_THREADS))
    try:
        yield executor
    except KeyboardInterrupt:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


def _end(running: Iterable[cf.Future[Part]], patience: float | None) -> None:
    """Start none of these any more, and wait for those that run, since they write to the scratch folder."""
    for future in running:
        future.cancel()
    cf.wait(running, timeout=patience)


class _Work:
    """One archive on its way from sources to tables."""

    def __init__(
        self,
        sources: Sources,
        scratch: Scratch,
        place: Path,
        old: Manifest | None,
        progress: Callable[[Progress], None] | None,
    ):
        self._sources, self._scratch = sources, scratch
        self._progress = progress
        self._parts: list[Part] = []
        # What is added to comes before what is merged.
        self._archives = [*([place] if old is not None else []), *sources.archives]
        self._archive_of: dict[int, Path] = {}
        self._counts: dict[str, int] = {}
        self._past: Part | None = None
        self.report = CollectReport(os.fspath(place))

    def read(self, executor: cf.Executor) -> None:
        """Read all sources into parts."""
        self._past = past_attempts(self._archives, self._scratch.parts)
        first, sources = _core.Duplicates.PAST + 1, 0
        for archive in self._archives:
            for part in archive_parts(archive, self._scratch.parts, first + len(self._parts), sources):
                self._parts.append(part)
                self._archive_of[part.number] = archive
            sources += len(read_manifest(archive).sources)
        first += len(self._parts)
        self._tell("reading", 0, self._sources.size, bytes=True)
        running: dict[cf.Future[Part], int] = {}
        done: dict[int, Part] = {}
        pieces = enumerate(self._sources.pieces(), first)
        most = _WAITING + 2 * (getattr(executor, "_max_workers", None) or os.cpu_count() or 1)
        try:
            while True:
                for number, piece in pieces:
                    piece.save(self._path(number, "piece"))
                    running[executor.submit(scan_piece, piece, number, self._scratch.parts)] = number
                    if len(running) >= most:
                        break
                if not running:
                    break
                finished, _ = cf.wait(running, return_when=cf.FIRST_COMPLETED)
                for future in finished:
                    done[running.pop(future)] = part = future.result()
                    self.report.read += part.quanta
                    self.report.input_bytes += part.size
                    self._tell("reading", self.report.input_bytes, self._sources.size, bytes=True)
        except KeyboardInterrupt:
            _end(running, _PATIENCE)
            raise
        except BaseException:
            _end(running, None)
            raise
        self._settle([done[number] for number in sorted(done)])

    def _settle(self, parts: list[Part]) -> None:
        """Add up what was read, and find out where in its source each part starts."""
        starts: dict[tuple[int, str], int] = {}
        with open(os.path.join(self._scratch.result, "rejected.jsonl"), "wb") as rejected:
            for archive in self._archives:
                _copy(archive / "rejected.jsonl", rejected)
            for part in parts:
                piece = Piece.load(self._path(part.number, "piece"))
                key = piece.entries[0], piece.names[0]
                if piece.kind == "frames":
                    part = replace(part, start=starts.get(key, 0))
                    starts[key] = part.start + part.content
                counts = part.by_source or [(part.size, part.quanta, part.rejected)]
                for number, counted in zip(piece.entries, counts, strict=True):
                    entry = self._sources.entries[number]
                    for name, count in zip(("bytes", "quanta", "rejected"), counted, strict=True):
                        entry[name] += count
                self.report.rejected += part.rejected
                self.report.content_bytes += part.content if piece.kind != "files" else part.size
                if part.rejected:
                    self._add_rejected(part, rejected)
                if part.quanta or part.names:
                    self._parts.append(replace(part, by_source=()))
        if not os.path.getsize(rejected.name):
            os.remove(rejected.name)
        empty = [
            str(one["source"]) for one in self._sources.entries if not (one["quanta"] or one["rejected"])
        ]
        self.report.empty, self.report.empty_sources = len(empty), empty[:_MOST_SHOWN]

    def _add_rejected(self, part: Part, stream: Any) -> None:
        with open(self._path(part.number, "rejected"), encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                entry["offset"] += part.start
                stream.write(json.dumps(entry).encode() + b"\n")
                if len(self.report.rejections) < _MOST_SHOWN:
                    self.report.rejections.append(entry)

    def write(self) -> None:
        """Write the archive."""
        report, folder = self.report, self._scratch.result
        self._tell("comparing", 0, 0)
        duplicates = find_duplicates(self._parts, self._scratch.parts, self._past)
        report.repeated = duplicates.repeated
        report.replaced = sum(map(len, duplicates.replaced))
        self._write_replaced(duplicates)
        report.quanta = sum(part.quanta for part in self._parts) - sum(map(len, duplicates.dropped.values()))
        first_source = sum(len(read_manifest(archive).sources) for archive in self._archives)
        writer = ArchiveWriter(
            self._parts, duplicates, self._scratch.parts, folder, first_source, self._tell_written
        )
        self._counts = dict(writer.write(self._archives))
        report.datasets, report.edges, report.records = (
            self._counts[name] for name in ("datasets", "edges", "records")
        )
        self._write_manifest()
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
        if missing := _FILES - sizes.keys():
            # Somebody clears away where it is being written; what is left is no archive.
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), os.path.join(folder, min(missing))
            )
        report.archive_bytes = sum(sizes.values())

    def _tell_written(self, quanta: int) -> None:
        self._tell("writing", quanta, self.report.quanta)
        if quanta == self.report.quanta:
            self._tell("sorting", 0, 0)

    def _write_replaced(self, duplicates: Duplicates) -> None:
        """List the attempts that were replaced now, after those that the old archive lists."""
        path = os.path.join(self._scratch.result, "replaced.jsonl")
        with open(path, "wb") as stream:
            for archive in self._archives:
                _copy(archive / "replaced.jsonl", stream)
            write_replaced(duplicates, self._parts, self._scratch.parts, self._archive_of, stream)
        if not os.path.getsize(path):
            os.remove(path)

    def _path(self, number: int, name: str) -> str:
        return part_path(self._scratch.parts, number, name)

    def _write_manifest(self) -> None:
        report = self.report
        before = [read_manifest(archive) for archive in self._archives]
        counts = {"quanta": report.quanta, **self._counts}
        for name in ("rejected", "repeated", "replaced"):
            counts[name] = getattr(report, name) + sum(old.counts.get(name, 0) for old in before)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": {
                "quantum-butler": version("quantum-butler"),
                "pyarrow": pa.__version__,
                "python": ".".join(map(str, sys.version_info[:3])),
            },
            "sources": [*(source for old in before for source in old.sources), *self._sources.entries],
            "counts": counts,
        }
        with open(os.path.join(self._scratch.result, MANIFEST), "w", encoding="utf-8") as stream:
            json.dump(manifest, stream, indent=1)
            stream.write("\n")

    def _tell(self, step: str, done: int, total: int, *, bytes: bool = False) -> None:
        if self._progress is not None:
            self._progress(Progress(step, done, total, self.report.read, bytes))


def _copy(path: Path, stream: Any) -> None:
    """Copy a file of the old archive, if it has that."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as old:
        shutil.copyfileobj(old, stream)
