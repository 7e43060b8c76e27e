"""Finds the quanta that make datasets again, in an order in which they can be run."""

from __future__ import annotations

__all__ = ("Connected", "Made", "Neighbours", "Rebuild")

import graphlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..queries.found import DATASET, QUANTUM, Found, Name
from ..queries.place import Place
from .errors import NotMadeError
from .lineage import dataset_columns, quantum_columns
from .network import add_dataset, add_quantum, new_graph
from .showing import Showable, html_page, html_table
from .texts import counted, data_id_text

if TYPE_CHECKING:
    import networkx
    import pyarrow

    from .results import Dataset, Quantum


class Made(NamedTuple):
    """The datasets of a quantum."""

    needed: Sequence[Any]
    """What it has to find: what it has read, or what it was to read."""

    planned: Sequence[Any]
    """All that it was to read."""

    outputs: Sequence[Any]
    """What it has written, or was to write."""

    written: Sequence[Any]
    """What it has written, or was to write if only that is asked for."""

    is_assumed: bool = False
    """Whether nobody knows what it has read, although that is asked for."""


class Neighbours(ABC):
    """Producers of datasets, and inputs and outputs of quanta, in an archive or in graphs."""

    @abstractmethod
    def starts(self, found: Found, actual: bool) -> list[Any]:
        """Return a dataset, or those that a quantum has written."""

    @abstractmethod
    def maker(self, dataset: Any, actual: bool) -> Any | None:
        """Return the quantum that has written a dataset, or was to."""

    @abstractmethod
    def is_written(self, dataset: Any) -> bool:
        """Return whether any quantum has written a dataset."""

    @abstractmethod
    def key(self, quantum_id: uuid.UUID) -> Any:
        """Return what a quantum is called here."""

    @abstractmethod
    def made(self, quantum: Any, actual: bool) -> Made:
        """Return the datasets of a quantum."""

    @abstractmethod
    def describe_quanta(self, quanta: Sequence[Any]) -> list[Quantum]:
        """Return what is known of quanta."""

    @abstractmethod
    def describe_datasets(self, datasets: Sequence[Any]) -> list[Dataset]:
        """Return what is known of datasets."""


@dataclass(frozen=True)
class Rebuild(Showable):
    """The quanta that make datasets again, and what has to be there before.

    Parameters
    ----------
    datasets : `list` [`Dataset`]
        What is to be made again.
    quanta : `list` [`Quantum`]
        The quanta, in an order in which they can be run.
    steps : `list` [`int`]
        Of each quantum the number of its step, from 1. Quanta of one step do not wait for each other.
    inputs : `list` [`Dataset`]
        What these quanta read and none of them writes.
    actual : `bool`
        Whether it goes by what was really read, or by what was predicted.
    not_read : `int`
        Number of other datasets that the quanta were to read, and did not. They are not made again.
    assumed : `int`
        Number of quanta that go by what was predicted, since no log tells what they have read.
    """

    datasets: list[Dataset]
    quanta: list[Quantum]
    steps: list[int]
    inputs: list[Dataset]
    actual: bool
    not_read: int = 0
    assumed: int = 0

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return it as Arrow tables.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``datasets``, ``quanta`` with their steps, and ``inputs``.
        """
        import pyarrow

        steps = pyarrow.array(self.steps, pyarrow.int64())
        return {
            "datasets": pyarrow.table(dataset_columns(self.datasets)),
            "quanta": pyarrow.table({**quantum_columns(self.quanta), "step": steps}),
            "inputs": pyarrow.table(dataset_columns(self.inputs)),
        }

    def _repr_html_(self) -> str:
        quanta = [
            (step, one.task_label or "", data_id_text(one.data_id or {}), one.run or "", one.quantum_id)
            for step, one in zip(self.steps, self.quanta, strict=True)
        ]
        inputs = [
            (one.dataset_type or "", data_id_text(one.data_id or {}), one.run or "", one.dataset_id)
            for one in self.inputs
        ]
        title = f"{counted(len(quanta), 'quantum')} to make {counted(len(self.datasets), 'dataset')} again"
        return html_page(
            title,
            html_table(("step", "task", "data ID", "run", "quantum"), quanta, len(quanta)),
            html_table(("needed before", "data ID", "run", "dataset"), inputs, len(inputs)),
        )


class Connected(Place):
    """An archive, or graphs: what tells which quanta write and read which datasets."""

    @abstractmethod
    def _neighbours(self, actual: bool | None) -> tuple[Neighbours, bool]:
        """Return who writes and reads what, and whether to go by what was really used."""

    def rebuild(self, *datasets: Name, actual: bool | None = None, have: str | Iterable[str] = ()) -> Rebuild:
        """Find the quanta that make datasets again.

        Parameters
        ----------
        *datasets : `uuid.UUID`, `str`, or `~collections.abc.Sequence` [`str`]
            Ids of the datasets, or other names of them; see `resolve`. The name of a quantum stands for all
            that it has written.
        actual : `bool`, optional
            Whether to go by what was really read and written, or by what was predicted; by default the
            former, unless only graphs tell of the run.
        have : `str` or `~collections.abc.Iterable` [`str`], optional
            Dataset types that are there, so that nothing is run for them.

        Returns
        -------
        rebuild : `Rebuild`
            The quanta in an order in which they can be run, and what has to be there before.

        Raises
        ------
        NotMadeError
            Raised if no quantum makes one of the datasets, or none has written it.
        LookupError
            Raised if one of the datasets is not known, or a type of ``have``.

        Notes
        -----
        `quantum_butler.write_subgraph` makes a graph of the quanta that can be run.
        """
        if not datasets:
            raise ValueError("no dataset is given")
        kept = {have} if isinstance(have, str) else {*have}
        # The names of all types are not read without need.
        if kept and (unknown := kept.difference(self.source.labels(DATASET))):
            raise self.source.unknown(
                f"{self.source.shown()}: there is no dataset type {', '.join(sorted(unknown))}"
            )
        neighbours, by_use = self._neighbours(actual)
        starts: dict[Any, None] = {}
        for found in self.source.resolve_all(datasets, (QUANTUM, DATASET)):
            starts |= dict.fromkeys(_made_starts(self.source.shown(), neighbours, found, by_use))
        return _walk(self.source.shown(), neighbours, [*starts], by_use, kept)

    def to_networkx(
        self,
        *,
        task: str | Iterable[str] | None = None,
        run: str | Iterable[str] | None = None,
        status: str | Iterable[str] | None = None,
        where: str | None = None,
        actual: bool | None = None,
    ) -> networkx.DiGraph:
        """Return quanta with what they read and write as a graph.

        Parameters
        ----------
        task, run, status, where
            Which quanta, as in `find_quanta`; by default all.
        actual : `bool`, optional
            Whether edges are what was really read and written, or what was predicted; by default the former,
            unless only graphs tell of the run.

        Returns
        -------
        graph : `networkx.DiGraph`
            Nodes are ids, and edges go as data flows: from inputs to a quantum, and from there to outputs.
            Nodes have ``kind`` (``quantum`` or ``dataset``), ``label``, ``data_id`` and ``run``; quanta also
            ``task_label`` and ``status``; datasets ``dataset_type``, ``size`` and ``produced``.

        Raises
        ------
        ModuleNotFoundError
            Raised if there is no networkx.
        ConditionError
            Raised if the condition or the status is none.

        Notes
        -----
        It is made of Python objects: some kilobytes for each quantum.
        """
        graph = new_graph()
        neighbours, by_use = self._neighbours(actual)
        table = self.find_quanta(task=task, run=run, status=status, where=where)
        quanta = [neighbours.key(one.id) for one in self.source.rows_of(QUANTUM, table)]
        edges = {quantum: neighbours.made(quantum, by_use) for quantum in quanta}
        ends = (end for made in edges.values() for end in (*made.needed, *made.written))
        datasets = [*dict.fromkeys(ends)]
        ids = {}
        for key, dataset in zip(datasets, neighbours.describe_datasets(datasets), strict=True):
            add_dataset(graph, dataset)
            ids[key] = dataset.dataset_id
        for (_, made), quantum in zip(edges.items(), neighbours.describe_quanta(quanta), strict=True):
            add_quantum(graph, quantum)
            graph.add_edges_from((ids[one], quantum.quantum_id) for one in made.needed)
            graph.add_edges_from((quantum.quantum_id, ids[one]) for one in made.written)
        return graph


def _made_starts(place: str, neighbours: Neighbours, found: Found, actual: bool) -> list[Any]:
    """Return what a name stands for, all of which some quantum makes."""
    starts = neighbours.starts(found, actual)
    advice = "--predicted (actual=False) gets the quanta that were to write it"
    if not starts and found.kind == QUANTUM:
        raise NotMadeError(f"{place}: {found} has written nothing; {advice}")
    if not starts or any(neighbours.maker(one, actual) is None for one in starts):
        raise NotMadeError(
            f"{place}: no quantum makes {found}: it was there before the first one, as an overall input or "
            "as what pipetask pre-exec-init-qbb writes"
        )
    if actual and not all(map(neighbours.is_written, starts)):
        raise NotMadeError(f"{place}: {found} was never written; {advice}")
    return starts


def _walk(place: str, neighbours: Neighbours, starts: list[Any], actual: bool, kept: set[str]) -> Rebuild:
    """Go back from datasets to the quanta that make them, and on from what these have to find."""
    chosen: dict[Any, Made] = {}
    seen = dict.fromkeys(starts)
    inputs: list[Any] = []
    level = starts
    while level:
        fresh: dict[Any, Made] = {}
        for dataset in _without_kept(neighbours, level, kept, inputs) if level is not starts else level:
            maker = neighbours.maker(dataset, actual)
            if maker is None:
                inputs.append(dataset)
            elif maker not in chosen and maker not in fresh:
                fresh[maker] = neighbours.made(maker, actual)
        chosen |= fresh
        level = []
        for made in fresh.values():
            for dataset in made.needed:
                if dataset not in seen:
                    seen[dataset] = None
                    level.append(dataset)
    writer = {dataset: quantum for quantum, made in chosen.items() for dataset in made.outputs}
    steps = _steps(place, chosen, writer)
    quanta = neighbours.describe_quanta([*steps])
    order = sorted(
        zip(steps.values(), quanta, strict=True), key=lambda pair: (pair[0], _quantum_key(pair[1]))
    )
    planned = {dataset for made in chosen.values() for dataset in made.planned}
    return Rebuild(
        neighbours.describe_datasets(starts),
        [quantum for _, quantum in order],
        [step for step, _ in order],
        sorted(neighbours.describe_datasets([one for one in inputs if one not in writer]), key=_dataset_key),
        actual,
        len(planned - seen.keys() - writer.keys()),
        sum(made.is_assumed for made in chosen.values()),
    )


def _without_kept(neighbours: Neighbours, level: list[Any], kept: set[str], inputs: list[Any]) -> list[Any]:
    """Return the datasets that are not there by what the caller says; the others become inputs."""
    if not kept:
        return level
    described = zip(level, neighbours.describe_datasets(level), strict=True)
    there = {key for key, dataset in described if dataset.dataset_type in kept}
    inputs += (key for key in level if key in there)
    return [key for key in level if key not in there]


def _steps(place: str, chosen: dict[Any, Made], writer: dict[Any, Any]) -> dict[Any, int]:
    """Return the quanta, each with the number of its step, in order."""
    # Predicted inputs count even if nobody has read them: a quantum looks whether they are there.
    before = {
        quantum: {
            writer[dataset]
            for dataset in (*made.planned, *made.needed)
            if dataset in writer and writer[dataset] != quantum
        }
        for quantum, made in chosen.items()
    }
    sorter = graphlib.TopologicalSorter(before)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise NotMadeError(f"{place}: quanta need the outputs of each other, so none can be first") from error
    found: dict[Any, int] = {}
    step = 0
    while sorter.is_active():
        step += 1
        ready = sorter.get_ready()
        found |= dict.fromkeys(ready, step)
        sorter.done(*ready)
    return found


def _quantum_key(one: Quantum) -> tuple[str, tuple[Any, ...], uuid.UUID]:
    return one.task_label or "", _values(one.data_id), one.quantum_id


def _dataset_key(one: Dataset) -> tuple[str, tuple[Any, ...], uuid.UUID]:
    return one.dataset_type or "", _values(one.data_id), one.dataset_id


def _values(data_id: dict[str, Any] | None) -> tuple[Any, ...]:
    """Return a data ID as something that can be compared with any other."""
    return tuple((name, isinstance(value, str), value) for name, value in sorted((data_id or {}).items()))
