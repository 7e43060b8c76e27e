"""`export`, which users call."""

from __future__ import annotations

__all__ = ("FORMATS", "ExportReport", "export")

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..archive import Archive, ArchiveError
from ..collecting.driver import RejectedInputError, collect
from ..paths import Name, absolute_path, is_file, is_folder, is_there, replaced
from ..progress import Progress
from ..quantum_graphs import QuantumGraphError
from ..quantum_graphs.opening import open_graph
from .contents import Batch, Contents, Selection
from .errors import ExportError

FORMATS = {
    "prov-json": ("w3c", "write_prov_json"),
    "prov-n": ("w3c", "write_prov_n"),
    "openlineage": ("events", "write_events"),
    "ro-crate": ("crate", "write_crate"),
    "runtime-parquet": ("runtime", "write_runtime"),
}
"""What there is to export to, and where that is written (`dict`)."""


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Parameters
    ----------
    quanta : `int`
        Quanta that were chosen and have run; in a runtime table, those that
        were chosen.
    left_out : `int`
        Quanta that were chosen and have not run.
    without_use : `int`
        Quanta that only graphs tell of, which do not say what was used.  They
        have no inputs in what was written, unless it goes by what was
        predicted.
    without_time : `int`
        Quanta without a time, which OpenLineage cannot do without; they are
        left out of it.
    """

    quanta: int
    left_out: int = 0
    without_use: int = 0
    without_time: int = 0


def export(
    place: Archive | Name,
    to: str,
    output: Name | BinaryIO,
    *more_places: Name,
    tasks: Sequence[str] = (),
    datasets: Sequence[uuid.UUID | str] = (),
    direction: Literal["up", "down"] = "up",
    actual: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> ExportReport:
    """Write the provenance of a run in the language of another tool.

    Parameters
    ----------
    place : `quantum_butler.Archive`, `str` or `os.PathLike`
        Provenance archive, or a quantum graph (``.qg``).
    to : `str`
        ``prov-json``, ``prov-n``, ``openlineage``, ``ro-crate`` or
        ``runtime-parquet``.
    output : `str`, `os.PathLike` or `typing.BinaryIO`
        File to write, which is replaced as a whole or not at all, or a stream.
        Of an RO-Crate the path is that of a new folder, or ends with ``.zip``
        or ``.json``; the latter, and a stream, get its document alone.
    *more_places : `str` or `os.PathLike`
        More graphs.
    tasks : `~collections.abc.Sequence` [`str`], optional
        Labels of the only tasks whose quanta are exported; empty for all.
    datasets : `~collections.abc.Sequence` [`uuid.UUID` or `str`], optional
        Ids of datasets, or other names of them; see `Archive.resolve`. Their
        lineage is exported, and nothing else. The name of a quantum stands for
        all that it has written.
    direction : `str`, optional
        Whether that is what they were made from (``up``) or what was made from
        them (``down``).
    actual : `bool`, optional
        Whether it goes by what was really used and written, or by what was
        predicted.
    progress : `~collections.abc.Callable`, optional
        Called with a `Progress` from time to time.

    Returns
    -------
    report : `ExportReport`
        What was written.

    Raises
    ------
    ExportError
        Raised if the library for a format is not installed, an RO-Crate would
        have more than 10,000 quanta, there is no such task, or graphs are to
        be exported by what was used, of which they do not tell.
    ArchiveError
        Raised if the archive cannot be read, or does not have a dataset.
    AmbiguousNameError
        Raised if a name is that of several datasets or quanta.
    QuantumGraphError
        Raised if a graph cannot be read.
    OSError
        Raised if the output cannot be written.
    ValueError
        Raised if there is no such format.
    """
    if to not in FORMATS:
        raise ValueError(f"there is export to {', '.join(FORMATS)}, not to {to!r}")
    write = _writer(to)
    with ExitStack() as stack:
        archive = stack.enter_context(_opened(place, more_places, may_be_graph=not actual or to == _TABLE))
        contents = Contents(archive, Selection(frozenset(tasks), tuple(datasets), direction, actual))
        quanta = 0

        def tell(batch: Batch) -> None:
            nonlocal quanta
            quanta += len(batch.quanta)
            if progress is not None:
                progress(Progress("exporting", batch.done, contents.total, batch.done, False))

        if to == "ro-crate" and _is_path(output) and not os.fspath(output).endswith(".json"):  # type: ignore[arg-type]
            _write_crate(contents, Path(absolute_path(output)), tell)  # type: ignore[arg-type]
        elif _is_path(output):
            with replaced(absolute_path(output)) as stream:  # type: ignore[arg-type]
                write(contents, stream, tell)
        else:
            write(contents, output, tell)
        if to == _TABLE:
            quanta = contents.count(contents.total)
    without_use = contents.without_use if actual else 0
    return ExportReport(quanta, contents.left_out, without_use, contents.without_time)


_TABLE = "runtime-parquet"


def _is_path(output: Any) -> bool:
    return isinstance(output, str | os.PathLike)


def _writer(to: str, name: str | None = None) -> Callable[..., None]:
    """Import what writes a format, with the library that it needs."""
    module, function = FORMATS[to]
    try:
        writer: Callable[..., None] = getattr(import_module(f".{module}", __package__), name or function)
    except ModuleNotFoundError as error:
        raise ExportError(f"{error}; to export to {to}, pip install 'quantum-butler[export]'") from error
    return writer


@contextmanager
def _opened(place: Archive | Name, more: Sequence[Name], *, may_be_graph: bool) -> Iterator[Archive]:
    """Open an archive, or make one of graphs for the time being."""
    if isinstance(place, Archive):
        if more:
            raise ExportError("one archive is exported, or graphs; several archives are merged first")
        yield place
        return
    paths = [absolute_path(one) for one in (place, *more)]
    if len(paths) == 1 and not is_file(paths[0]):
        yield Archive(paths[0])
        return
    if folder := next((path for path in paths if is_folder(path)), None):
        raise ArchiveError(f"{folder}: one archive, or graphs; several archives are merged first")
    if not may_be_graph:
        raise ExportError(
            f"{paths[0]}: a graph does not tell what quanta have used; export what was predicted "
            "(--predicted), or an archive of logs"
        )
    with tempfile.TemporaryDirectory(prefix="quantum-butler-export-") as folder:
        for path in paths:
            # What is no graph is refused in the words of those who ask it.
            open_graph(path)
        try:
            collect(paths, os.path.join(folder, "archive"), strict=True)
        except RejectedInputError as error:
            first = error.report.rejections[0]
            raise QuantumGraphError(f"{first['source']}: {first['reason']}") from error
        yield Archive(os.path.join(folder, "archive"))


def _write_crate(contents: Contents, path: Path, tell: Callable[[Batch], None]) -> None:
    """Write a crate: a folder that is not there, or a file that may be."""
    write = _writer("ro-crate", "write_crate_at")
    if path.suffix != ".zip" and is_there(path):
        raise ExportError(f"{path}: a crate is written to a new folder, and this is there already")
    # The library makes both, and a part of either is none.
    partial = path.with_name(f".{path.stem}.partial-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        write(contents, partial, tell)
        os.replace(partial, path)
    finally:
        if is_folder(partial):
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
