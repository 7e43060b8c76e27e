"""Predicted graphs: the quanta that were planned, and their datasets."""

from __future__ import annotations

__all__ = ("PredictedGraph",)

import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow

from .. import _core
from ..paths import Name
from .errors import UnknownNameError, errors_of_graphs, read_json
from .results import PlannedDataset, PlannedQuantum
from .shared import Graph, id_number, tables_of


class PredictedGraph(Graph[_core.PredictedGraph]):
    """The quanta that were planned, and their datasets.

    Parameters
    ----------
    *files : `str` or `os.PathLike`
        Predicted graphs (``.qg``), as upstream writes them. Opening one reads little more than its header;
        nothing else is kept in memory.

    Raises
    ------
    QuantumGraphError
        Raised if a file is no predicted graph, or one of a version that is not read here.
    """

    def __init__(self, *files: Name):
        super().__init__(files, _core.PredictedGraph)

    def quantum(self, quantum_id: uuid.UUID | str, /) -> PlannedQuantum:
        """Return a quantum as it is planned.

        Parameters
        ----------
        quantum_id : `uuid.UUID` or `str`
            Its id.

        Returns
        -------
        quantum : `PlannedQuantum`
            The quantum with its datasets.

        Raises
        ------
        UnknownNameError
            Raised if the graph does not have it.
        """
        with errors_of_graphs():
            told = self._core.quantum(id_number(quantum_id))
        if told is None:
            raise UnknownNameError(f"the graph has no quantum {quantum_id}")
        return _planned(told)

    def datastore_records(self, quantum_id: uuid.UUID | str, /) -> dict[str, Any]:
        """Return the datastore records that a quantum carries for its inputs.

        Parameters
        ----------
        quantum_id : `uuid.UUID` or `str`
            Id of the quantum.

        Returns
        -------
        records : `dict`
            By datastore, as the graph has them.

        Raises
        ------
        UnknownNameError
            Raised if the graph does not have the quantum.
        """
        with errors_of_graphs():
            text = self._core.text(id_number(quantum_id))
        if text is None:
            raise UnknownNameError(f"the graph has no quantum {quantum_id}")
        records: dict[str, Any] = read_json(text, f"quantum {quantum_id}").get("datastore_records", {})
        return records

    @property
    def init_quanta(self) -> list[PlannedQuantum]:
        """Init-inputs and init-outputs of tasks and of the graph itself (`list` [`PlannedQuantum`])."""
        with errors_of_graphs():
            return [_planned(told) for told in self._core.init_quanta()]

    @property
    def edges(self) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """Pairs of quanta, the earlier one first (`list` [`tuple` [`uuid.UUID`, `uuid.UUID`]])."""
        with errors_of_graphs():
            return [edge for number in range(len(self.files)) for edge in self._core.order(number)]

    def quanta_tables(self, rows: int = 65536) -> Iterator[tuple[pyarrow.Table, pyarrow.Table]]:
        """Iterate over all quanta as Arrow tables, in the order of the files.

        Parameters
        ----------
        rows : `int`, optional
            How many quanta are in each; fewer where they have many datasets.

        Yields
        ------
        quanta : `pyarrow.Table`
            One row for each quantum: ``quantum_id``, ``task_label``, ``run``, ``data_id`` (a struct of all
            dimensions in the graph), and the number of the file (``source``).
        edges : `pyarrow.Table`
            One row for each of their datasets: ``quantum_id``, ``dataset_id``, ``connection`` and
            ``is_input``.
        """
        with errors_of_graphs():
            batches = self._core.quanta(rows)
        for tables in tables_of(batches):
            quanta, edges = tables
            yield quanta, edges

    def datasets_tables(self, rows: int = 65536) -> Iterator[pyarrow.Table]:
        """Iterate over all datasets as Arrow tables: outputs with their producers, then overall inputs.

        Parameters
        ----------
        rows : `int`, optional
            How many datasets are in each.

        Yields
        ------
        datasets : `pyarrow.Table`
            One row for each dataset, once: ``dataset_id``, ``dataset_type``, ``run``, ``data_id`` (a struct
            of all dimensions in the graph), ``producer``, and the number of the file (``source``).
        """
        with errors_of_graphs():
            batches = self._core.datasets(rows)
        for (datasets,) in tables_of(batches):
            yield datasets


def _planned(told: tuple[Any, ...]) -> PlannedQuantum:
    quantum_id, task_label, data_id, run, inputs, outputs, source = told
    return PlannedQuantum(quantum_id, task_label, data_id, run, _datasets(inputs), _datasets(outputs), source)


def _datasets(by_connection: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[PlannedDataset]]:
    return {name: [PlannedDataset(*one) for one in datasets] for name, datasets in by_connection.items()}
