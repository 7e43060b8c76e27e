"""A run, to be asked: an archive, or graphs that answer in the same words."""

from __future__ import annotations

__all__ = ("GraphRun", "open_run")

from functools import cached_property
from typing import Literal

from ..archive.archive import Archive
from ..archive.errors import ArchiveError
from ..archive.lineage import Lineage
from ..archive.rebuilding import Connected, Neighbours
from ..archive.results import Consumer, DatasetDetails, Quantum, QuantumDetails, Use
from ..paths import Name as FileName
from ..paths import is_folder, local_path
from ..quantum_graphs import GraphQuantum, PredictedGraph, ProvenanceGraph, QuantumGraphError
from ..quantum_graphs.named import GraphRows
from ..quantum_graphs.opening import open_graph
from ..queries.found import DATASET, QUANTUM, Name
from ..queries.resolving import Source
from .walk import GraphNeighbours, GraphNodes, Walk


class GraphRun(Connected):
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
        """Source in which names are looked up."""
        return self._rows

    def show(self, quantum: Name) -> QuantumDetails:
        """Look up a quantum and its datasets.

        Parameters
        ----------
        quantum : `uuid.UUID` or `str`
            Id of the quantum, or another name of it; see `resolve`.

        Returns
        -------
        details : `QuantumDetails`
            The quantum and its datasets; what it was to read, since graphs do not know what it read.

        Raises
        ------
        UnknownNameError
            Raised if the graphs do not have the quantum.
        """
        id_ = self.resolve(quantum, kind=QUANTUM).id
        nodes = self._nodes
        roles = {one: ["predicted_input"] for one in nodes.inputs(id_)}
        for one in nodes.outputs(id_):
            produced = nodes.dataset(one)[0].produced
            written = ["predicted_output", "actual_output"] if produced else ["predicted_output"]
            roles[one] = [*roles.get(one, ()), *written]
        uses = [Use(nodes.dataset(one)[0], tuple(roles[one])) for one in sorted(roles)]
        told = nodes.quantum(id_)
        attempts = len(told.attempts) if isinstance(told, GraphQuantum) else 0
        return QuantumDetails(nodes.describe_quantum(id_), uses, attempts=attempts)

    def show_dataset(self, dataset: Name) -> DatasetDetails:
        """Look up a dataset, and the quanta that have to do with it.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.

        Returns
        -------
        details : `DatasetDetails`
            The dataset, its producer and its consumers.

        Raises
        ------
        UnknownNameError
            Raised if the graphs do not have the dataset.
        """
        nodes = self._nodes
        found, consumers = nodes.dataset(self.resolve(dataset, kind=DATASET).id)
        has_producer = found.producer is not None and nodes.has_quantum(found.producer)
        return DatasetDetails(
            found,
            nodes.describe_quantum(found.producer) if has_producer and found.producer else None,
            [Consumer(nodes.describe_quantum(one), ("predicted_input",)) for one in sorted(consumers)],
        )

    def lineage(
        self,
        dataset: Name,
        *,
        direction: Literal["up", "down"] = "up",
        depth: int | None = None,
        actual: bool | None = None,
    ) -> Lineage:
        """Find out what a dataset was to be made from, or what was to be made from it.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`. The name of a quantum stands for all that
            it was to write.
        direction : `str`, optional
            ``up`` goes to the quantum that was to write a dataset and to its inputs, ``down`` to the quanta
            that were to read it and to their outputs.
        depth : `int`, optional
            The most quanta between the dataset and any other; by default there is no limit.
        actual : `bool`, optional
            Not true: graphs do not know what was used.

        Returns
        -------
        lineage : `Lineage`
            That part of the graph, the dataset itself included.

        Raises
        ------
        UnknownNameError
            Raised if the graphs do not have the dataset.
        QuantumGraphError
            Raised if what was used is asked for.
        ValueError
            Raised for another direction, or a depth that is negative.
        """
        self._refuse_actual(actual)
        if direction not in ("up", "down"):
            raise ValueError(f"a direction is 'up' or 'down', not {direction!r}")
        if depth is not None and depth < 0:
            raise ValueError(f"a depth is a number of quanta, not {depth}")
        found = self.resolve(dataset)
        starts = [found.id] if found.kind == DATASET else self._nodes.outputs(found.id)
        walk = Walk(self._nodes, starts, up=direction == "up", depth=depth)
        return Lineage(walk, found.id, direction, False, depth, walk)

    def producer(self, dataset: Name, *, actual: bool | None = None) -> Quantum | None:
        """Find the quantum that wrote a dataset, or was to.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.
        actual : `bool`, optional
            Whether it has to have written it.

        Returns
        -------
        quantum : `Quantum` or `None`
            The quantum; `None` if there is none.

        Raises
        ------
        UnknownNameError
            Raised if the graphs do not have the dataset.
        """
        found = self.show_dataset(dataset)
        return None if actual and not found.dataset.produced else found.producer

    def consumers(self, dataset: Name, *, actual: bool | None = None) -> list[Quantum]:
        """Find the quanta that were to read a dataset.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset, or another name of it; see `resolve`.
        actual : `bool`, optional
            Not true: graphs do not know what was used.

        Returns
        -------
        quanta : `list` [`Quantum`]
            The quanta, in order of their ids.

        Raises
        ------
        UnknownNameError
            Raised if the graphs do not have the dataset.
        QuantumGraphError
            Raised if what was used is asked for.
        """
        self._refuse_actual(actual)
        return [one.quantum for one in self.show_dataset(dataset).consumers]

    def _neighbours(self, actual: bool | None) -> tuple[Neighbours, bool]:
        """Return who was to write and to read what."""
        self._refuse_actual(actual)
        return GraphNeighbours(self._nodes), False

    def _refuse_actual(self, actual: bool | None) -> None:
        if actual:
            raise QuantumGraphError(
                f"{self._rows.shown()}: a graph does not know what was used; ask without --actual "
                "(actual=True), or ask an archive of our logs"
            )

    @cached_property
    def _nodes(self) -> GraphNodes:
        return GraphNodes(self._graph, self._rows)


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
    if len(paths) == 1 and is_folder(paths[0]):
        return Archive(places[0])
    if folders := [path for path in paths if is_folder(path)]:
        raise ArchiveError(f"{folders[0]}: one archive, or graphs; several archives are merged first")
    return GraphRun(open_graph(*places))
