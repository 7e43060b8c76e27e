"""Common parts of predicted and provenance graphs."""

from __future__ import annotations

__all__ = ("DataIdValue", "Graph", "id_number", "tables_of")

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar

import pyarrow

from .. import _core
from ..paths import Name, local_path
from .errors import QuantumGraphError, UnknownNameError, errors_of_graphs, read_json
from .results import DatasetType, Task

DataIdValue: TypeAlias = int | str

_Core = TypeVar("_Core", _core.ProvenanceGraph, _core.PredictedGraph)


def id_number(id_: uuid.UUID | str) -> int:
    """Return an id, which may also be given as text, as a number."""
    if isinstance(id_, uuid.UUID):
        return id_.int
    try:
        return uuid.UUID(id_).int
    except ValueError:
        raise UnknownNameError(f"{id_!r} is not the id of a quantum or a dataset") from None


def tables_of(batches: _core.TableBatches) -> Iterator[list[pyarrow.Table]]:
    """Iterate over the tables that the core reads."""
    while True:
        with errors_of_graphs():
            tables = next(batches, None)
        if tables is None:
            return
        yield [pyarrow.table(table) for table in tables]


class Graph(Generic[_Core]):
    """Any number of files of one kind as one graph."""

    def __init__(self, files: tuple[Name, ...], open_files: Callable[[list[str]], _Core]):
        if not files:
            raise QuantumGraphError("no file is given")
        self.files: tuple[str, ...] = tuple(os.fspath(local_path(file)) for file in files)
        """The files (`tuple` [`str`, ...]); their numbers are what ``source`` says."""
        with errors_of_graphs():
            self._core: _Core = open_files(list(self.files))

    def __repr__(self) -> str:
        shown = repr(self.files[0]) if len(self.files) == 1 else f"<{len(self.files)} files>"
        return f"{type(self).__name__}({shown})"

    @cached_property
    def headers(self) -> tuple[dict[str, Any], ...]:
        """Header of each file (`tuple` [`dict`, ...])."""
        return tuple(read_json(self._core.header(number), file) for number, file in enumerate(self.files))

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks of all pipelines by label (`dict` [`str`, `Task`])."""
        return self._types[0]

    @cached_property
    def dataset_types(self) -> dict[str, DatasetType]:
        """Dataset types of all pipelines by name (`dict` [`str`, `DatasetType`])."""
        return self._types[1]

    @cached_property
    def _types(self) -> tuple[dict[str, Task], dict[str, DatasetType]]:
        tasks: dict[str, Task] = {}
        dataset_types: dict[str, DatasetType] = {}
        for number in range(len(self.files)):
            with errors_of_graphs():
                of_tasks, of_types = self._core.types(number)
            for label, (task_class, (names, required), inputs, outputs) in of_tasks:
                if label not in tasks:
                    tasks[label] = Task(task_class, tuple(names), tuple(names[:required]), inputs, outputs)
            for name, (storage_class, (names, required)) in of_types:
                if name not in dataset_types:
                    dataset_types[name] = DatasetType(storage_class, tuple(names), tuple(names[:required]))
        return tasks, dataset_types

    def member(self, name: str, source: int = 0) -> bytes:
        """Return the text of a member of a file, as it is.

        Parameters
        ----------
        name : `str`
            Name of the member without its endings, such as ``pipeline_graph``.
        source : `int`, optional
            Number of the file.

        Returns
        -------
        text : `bytes`
            JSON.
        """
        with errors_of_graphs():
            return self._core.member(source, name)

    def find_quanta(self, task: str, /, **data_id: DataIdValue) -> list[uuid.UUID]:
        """Find the quanta of a task that have some values in their data ID.

        Parameters
        ----------
        task : `str`
            Label of the task.
        **data_id : `int` or `str`
            Values by dimension. If all required ones are given, the graph is read once, and answers at once
            from then on; else it is read each time.

        Returns
        -------
        quanta : `list` [`uuid.UUID`]
            Their ids, in order.

        Raises
        ------
        UnknownNameError
            Raised if no pipeline has such a task, or the task no such dimension.
        """
        values = _checked(self.tasks, "task", task, data_id)
        with errors_of_graphs():
            return self._core.find_quanta(task, values)

    def find_datasets(self, dataset_type: str, /, **data_id: DataIdValue) -> list[uuid.UUID]:
        """Find the datasets of a type that have some values in their data ID.

        Parameters
        ----------
        dataset_type : `str`
            Name of the type.
        **data_id : `int` or `str`
            Values by dimension, as in `find_quanta`.

        Returns
        -------
        datasets : `list` [`uuid.UUID`]
            Their ids, in order.

        Raises
        ------
        UnknownNameError
            Raised if no pipeline has such a type, or the type no such dimension.
        """
        values = _checked(self.dataset_types, "dataset type", dataset_type, data_id)
        with errors_of_graphs():
            return self._core.find_datasets(dataset_type, values)


def _checked(
    known: Mapping[str, Task] | Mapping[str, DatasetType],
    kind: str,
    name: str,
    data_id: Mapping[str, DataIdValue],
) -> list[tuple[str, DataIdValue]]:
    """Return what is looked for, after a look whether there are such names at all."""
    found = known.get(name)
    if found is None:
        raise UnknownNameError(f"the graph has no {kind} {name!r}")
    for dimension in data_id:
        if dimension not in found.dimensions:
            there = ", ".join(found.dimensions) or "none"
            raise UnknownNameError(f"{kind} {name!r} has no dimension {dimension!r}; it has {there}")
    return list(data_id.items())
