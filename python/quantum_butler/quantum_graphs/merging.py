"""Makes one provenance graph of many."""

from __future__ import annotations

__all__ = ("DifferentGraphsError", "MergedGraph", "NoGraphError", "merge_graphs")

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import _core
from ..paths import Name, is_file, is_folder, is_there, local_path
from ..progress import Progress
from .errors import QuantumGraphError, errors_of_graphs

# About so much memory is used, however many quanta there are.
_MEMORY = 256 << 20


class NoGraphError(QuantumGraphError):
    """A folder without a graph."""


class DifferentGraphsError(QuantumGraphError):
    """Graphs of other pipelines or runs, which do not become one."""


@dataclass(frozen=True, slots=True)
class MergedGraph:
    """A graph that has been written.

    Parameters
    ----------
    path : `str`
        The file.
    files : `int`
        Number of graphs that it is made of.
    quanta : `int`
        Number of quanta in it.
    repeated_quanta : `int`
        Number of those that several graphs tell of.
    datasets : `int`
        Number of datasets in it.
    repeated_datasets : `int`
        Number of those that several graphs tell of.
    """

    path: str
    files: int
    quanta: int
    repeated_quanta: int
    datasets: int
    repeated_datasets: int


def merge_graphs(
    files: Sequence[Name],
    output: Name,
    *,
    by_pipeline: bool = False,
    overwrite: bool = False,
    scratch: Name | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> list[MergedGraph]:
    """Make one provenance graph of many.

    Parameters
    ----------
    files : `~collections.abc.Sequence` [`str` or `os.PathLike`]
        Provenance graphs, or folders, each of which stands for all graphs (``.qg``) in it and below it.
    output : `str` or `os.PathLike`
        The file to write. It takes its place as a whole, at the end.
    by_pipeline : `bool`, optional
        Make one graph for each pipeline and run. If these are several, a number is added to the name of each
        file.
    overwrite : `bool`, optional
        Replace a file that is there.
    scratch : `str` or `os.PathLike`, optional
        Folder for what memory does not hold; that of the output, unless it is given.
    progress : `~collections.abc.Callable`, optional
        Called with how far the work is.

    Returns
    -------
    graphs : `list` [`MergedGraph`]
        What has been written; one graph unless ``by_pipeline`` is given.

    Raises
    ------
    DifferentGraphsError
        Raised if the graphs are of several pipelines or runs, and ``by_pipeline`` is not given.
    QuantumGraphError
        Raised if a file is no provenance graph.
    FileExistsError
        Raised if the output is there, and ``overwrite`` is not given.

    Notes
    -----
    What several graphs tell of one quantum is put together: all attempts in the order of time, with their
    logs and metadata. Graphs that tell the same attempts count once. A dataset that one graph writes and
    another one reads is one.
    """
    target = Path(local_path(output))
    paths = _found(files)
    with errors_of_graphs():
        graph = _core.ProvenanceGraph(paths)
        groups = graph.alike()
    if len(groups) > 1 and not by_pipeline:
        raise _difference(graph, paths, [group[0] for group in groups])
    targets = [target] if len(groups) == 1 else [_numbered(target, n + 1) for n in range(len(groups))]
    for path in targets:
        if is_there(path) and not overwrite:
            raise FileExistsError(f"{path} is there already")
    folder = target.parent if scratch is None else Path(local_path(scratch))
    merged = []
    done = 0
    for path, numbers in zip(targets, groups, strict=True):

        def report(copied: int, before: int = done) -> None:
            if progress is not None:
                progress(Progress("merging graphs", before + copied, len(paths), before + copied, False))

        with errors_of_graphs():
            counts = graph.unite(numbers, path, folder, _command(), _MEMORY, report)
        merged.append(MergedGraph(str(path), *counts))
        done += len(numbers)
    return merged


def _found(files: Sequence[Name]) -> list[str]:
    """Return the files that are named, and those in folders that are."""
    found: dict[str, None] = {}
    for file in files:
        path = Path(local_path(file))
        if not is_folder(path):
            found[str(path)] = None
            continue
        inside = sorted(str(one) for one in path.rglob("*.qg") if is_file(one))
        if not inside:
            raise NoGraphError(f"{path}: there is no graph (.qg) in this folder")
        found.update(dict.fromkeys(inside))
    if not found:
        raise QuantumGraphError("no file is given")
    return list(found)


def _difference(graph: _core.ProvenanceGraph, paths: list[str], firsts: list[int]) -> DifferentGraphsError:
    """Return the error for graphs that do not become one."""
    one, other, *rest = firsts
    tasks = [dict(graph.types(number)[0]).keys() for number in (one, other)]
    if tasks[0] != tasks[1]:
        what = "they have other tasks"
    else:
        what = "their pipelines or their runs differ"
    more = f", and there are {len(rest)} more such graphs" if rest else ""
    return DifferentGraphsError(f"{paths[one]} and {paths[other]} do not become one graph: {what}{more}")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _command() -> str:
    return " ".join(sys.argv)
