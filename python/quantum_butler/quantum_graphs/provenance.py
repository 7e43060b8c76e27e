"""Provenance graphs: what happened to the quanta and datasets of a run, or of many."""

from __future__ import annotations

__all__ = ("ProvenanceGraph",)

import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow

from .. import _core
from ..paths import Name
from .errors import QuantumGraphError, UnknownNameError, errors_of_graphs, read_json
from .results import GraphDataset, GraphQuantum, InitQuantum, QuantaTables, make_attempt
from .shared import Graph, id_number, tables_of


class ProvenanceGraph(Graph[_core.ProvenanceGraph]):
    """Provenance graph of one run, or of several files as one: quanta and datasets as they came out.

    Parameters
    ----------
    *files : `str` or `os.PathLike`
        Provenance graphs (``.qg``), as upstream's aggregator or executors write them. Opening one reads
        little more than its header; nothing else is kept in memory.

    Raises
    ------
    QuantumGraphError
        Raised if a file is no provenance graph, or one of a version that is not read here.

    Notes
    -----
    What several files tell of one quantum is put together: its attempts are in the order of time.
    """

    def __init__(self, *files: Name):
        super().__init__(files, _core.ProvenanceGraph)

    def quantum(self, id_: uuid.UUID | str, /) -> GraphQuantum:
        """Return what happened to a quantum.

        Parameters
        ----------
        id_ : `uuid.UUID` or `str`
            Its id.

        Returns
        -------
        quantum : `GraphQuantum`
            The quantum with all its attempts.

        Raises
        ------
        UnknownNameError
            Raised if the graph does not have it.
        """
        with errors_of_graphs():
            told = self._core.quantum(id_number(id_))
        if told is None:
            raise UnknownNameError(f"the graph has no quantum {id_}")
        quantum_id, task_label, data_id, run, inputs, outputs, attempts, source = told
        made = tuple(map(make_attempt, attempts))
        return GraphQuantum(quantum_id, task_label, data_id, run, inputs, outputs, made, source)

    def dataset(self, dataset_id: uuid.UUID | str, /) -> GraphDataset:
        """Return what happened to a dataset.

        Parameters
        ----------
        dataset_id : `uuid.UUID` or `str`
            Its id.

        Returns
        -------
        dataset : `GraphDataset`
            The dataset with its producer and its consumers.

        Raises
        ------
        UnknownNameError
            Raised if the graph does not have it.
        """
        with errors_of_graphs():
            told = self._core.dataset(id_number(dataset_id))
        if told is None:
            raise UnknownNameError(f"the graph has no dataset {dataset_id}")
        return GraphDataset(*told)

    def logs(self, id_: uuid.UUID | str, /) -> list[list[dict[str, Any]] | None]:
        """Return the log records of a quantum's attempts.

        Parameters
        ----------
        id_ : `uuid.UUID` or `str`
            Id of the quantum, or of its log dataset.

        Returns
        -------
        logs : `list` [`list` [`dict`] or `None`]
            Records of each attempt, or `None` for one that left no log.
        """
        with errors_of_graphs():
            text = self._core.logs(id_number(id_))
        return _attempts(text, id_)

    def metadata(self, id_: uuid.UUID | str, /) -> list[dict[str, Any] | None]:
        """Return the task metadata of a quantum's attempts.

        Parameters
        ----------
        id_ : `uuid.UUID` or `str`
            Id of the quantum, or of its metadata dataset.

        Returns
        -------
        metadata : `list` [`dict` or `None`]
            Metadata of each attempt (``scalars``, ``arrays`` and nested ``metadata``), or `None` for one that
            left none.
        """
        with errors_of_graphs():
            text = self._core.metadata(id_number(id_))
        return _attempts(text, id_)

    @property
    def init_quanta(self) -> list[InitQuantum]:
        """Init-inputs and init-outputs of tasks (`list` [`InitQuantum`])."""
        with errors_of_graphs():
            return [InitQuantum(*told) for told in self._core.init_quanta()]

    def packages(self, source: int = 0) -> dict[str, str]:
        """Return the versions of software that a file was written with.

        Parameters
        ----------
        source : `int`, optional
            Number of the file.

        Returns
        -------
        packages : `dict` [`str`, `str`]
            Versions by package.
        """
        found: dict[str, str] = read_json(self.member("packages", source), self.files[source])
        return found

    def quanta_tables(self, rows: int = 65536) -> Iterator[QuantaTables]:
        """Iterate over all quanta as Arrow tables, in the order of the files.

        Parameters
        ----------
        rows : `int`, optional
            How many quanta are in each; fewer where they have much to tell.

        Yields
        ------
        tables : `QuantaTables`
            Quanta with their attempts and edges. A quantum that several files tell of has a row for each.
        """
        with errors_of_graphs():
            batches = self._core.quanta(rows)
        for tables in tables_of(batches):
            yield QuantaTables(*tables)

    def datasets_tables(self, rows: int = 65536) -> Iterator[pyarrow.Table]:
        """Iterate over all datasets as Arrow tables, in the order of the files.

        Parameters
        ----------
        rows : `int`, optional
            How many datasets are in each.

        Yields
        ------
        datasets : `pyarrow.Table`
            One row for each dataset: ``dataset_id``, ``dataset_type``, ``run``, ``data_id`` (a struct of all
            dimensions in the graph), ``produced``, ``producer``, and the number of the file (``source``). A
            dataset that several files tell of has a row for each.
        """
        with errors_of_graphs():
            batches = self._core.datasets(rows)
        for (datasets,) in tables_of(batches):
            yield datasets

    def to_arrow(self) -> dict[str, pyarrow.Table]:
        """Return the whole graph as Arrow tables, in memory.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``quanta``, ``attempts``, ``edges`` and ``datasets``, as `quanta_tables` and `datasets_tables`
            have them.
        """
        quanta, attempts, edges = zip(*self.quanta_tables(), strict=True)
        parts = {"quanta": quanta, "attempts": attempts, "edges": edges, "datasets": self.datasets_tables()}
        return {name: pyarrow.concat_tables(tables) for name, tables in parts.items()}


def _attempts(text: bytes | None, id_: uuid.UUID | str) -> list[Any]:
    """Return what a text tells of attempts."""
    if text is None:
        return []
    found = read_json(text, f"log or metadata of {id_}")
    attempts = found.get("attempts", []) if isinstance(found, dict) else None
    if not isinstance(attempts, list):
        raise QuantumGraphError(f"log or metadata of {id_}: there is no list of attempts")
    return attempts
