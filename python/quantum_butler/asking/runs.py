"""A run, to be asked: an archive, or graphs that answer in the same words."""

from __future__ import annotations

__all__ = ("GraphRun", "open_run")

from pathlib import Path

from ..archive.archive import Archive
from ..archive.errors import ArchiveError
from ..paths import Name as FileName
from ..paths import local_path
from ..quantum_graphs import PredictedGraph, ProvenanceGraph, QuantumGraphError
from ..quantum_graphs.named import GraphRows
from ..queries.place import Place
from ..queries.resolving import Source


class GraphRun(Place):
    """Graphs, asked as an archive is.

    Parameters
    ----------
    graph : `ProvenanceGraph` or `PredictedGraph`
        The graphs. They know what was to be read, and not what was.
    """

    def __init__(self, graph: ProvenanceGraph | PredictedGraph):
        self._graph = graph
        self._rows = GraphRows(graph)

    def __repr__(self) -> str:
        return f"GraphRun({self._graph!r})"

    @property
    def graph(self) -> ProvenanceGraph | PredictedGraph:
        """The graphs (`ProvenanceGraph` or `PredictedGraph`)."""
        return self._graph

    @property
    def source(self) -> Source:
        """Where names are looked up."""
        return self._rows


def open_run(*places: FileName) -> Archive | GraphRun:
    """Open what tells of a run, to be asked.

    Parameters
    ----------
    *places : `str` or `os.PathLike`
        One archive, or any number of graphs (``.qg``) of one kind, predicted or provenance.

    Returns
    -------
    run : `Archive` or `GraphRun`
        Both are asked by the same methods.

    Raises
    ------
    ArchiveError, QuantumGraphError
        Raised if it is none of these, or cannot be read.
    """
    paths = [local_path(place) for place in places]
    if len(paths) == 1 and Path(paths[0]).is_dir():
        return Archive(places[0])
    if folders := [path for path in paths if Path(path).is_dir()]:
        raise ArchiveError(f"{folders[0]}: one archive, or graphs; several archives are merged first")
    try:
        return GraphRun(ProvenanceGraph(*places))
    except QuantumGraphError as error:
        try:
            return GraphRun(PredictedGraph(*places))
        except QuantumGraphError:
            raise error from None
