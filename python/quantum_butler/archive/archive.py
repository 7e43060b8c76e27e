"""The provenance archive, and the questions to it."""

from __future__ import annotations

__all__ = ("Archive",)

import json
import uuid
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..paths import PathError, text_path
from .columns import TableFile, whole
from .errors import ArchiveError, UnknownIdError, unreadable
from .manifest import Manifest, read_manifest
from .results import (
    ROLES,
    Change,
    Dataset,
    Difference,
    Lineage,
    Quantum,
    QuantumDetails,
    Statistics,
    TaskStatistics,
    Use,
    role_names,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    import numpy
    import pyarrow.dataset

    from .. import _core
    from .written import WrittenBatch

    Id: TypeAlias = uuid.UUID | str

_T = TypeVar("_T")

_ACTUAL_INPUT, _ACTUAL_OUTPUT = 4, 16
_PREDICTED_INPUT, _PREDICTED_OUTPUT = 1, 8
_SIZE_COLUMNS = [f"{role}s_bytes" for role in ROLES]
_QUANTUM_COLUMNS = {
    "task_label": "text",
    "data_id": "text",
    "records": "integers",
    **dict.fromkeys(_SIZE_COLUMNS, "integers"),
}
_RECORD_COLUMNS = {"dataset_id": "ids", "path": "text", "storage_class": "text", "file_size": "integers"}


class Archive:
    """The provenance of many quanta, gathered by ``quantum-butler collect``.

    Parameters
    ----------
    path : `str` or `os.PathLike`
        Folder of the archive.

    Raises
    ------
    ArchiveError
        Raised if it is not an archive, or one of a newer format; by any method
        if the file that it needs is missing or damaged.

    Notes
    -----
    Opening an archive reads its manifest; other files are opened when a
    question needs them.  Quanta and datasets are asked for by their id, a
    `uuid.UUID` or its text.
    """

    def __init__(self, path: str | os.PathLike[str]):
        # Files are opened later, when the process may work in another folder.
        try:
            self._path = Path(text_path(path))
        except PathError as error:
            raise ArchiveError(str(error)) from error
        self._manifest = read_manifest(self._path)

    def __repr__(self) -> str:
        return f"Archive({str(self._path)!r})"

    @property
    def path(self) -> Path:
        """Folder of the archive (`pathlib.Path`)."""
        return self._path

    @property
    def manifest(self) -> Manifest:
        """What the archive says of itself (`Manifest`)."""
        return self._manifest

    @property
    def quanta(self) -> pyarrow.dataset.Dataset:
        """The table ``quanta.parquet`` (`pyarrow.dataset.Dataset`)."""
        return self._dataset("quanta.parquet")

    @property
    def edges(self) -> pyarrow.dataset.Dataset:
        """The table ``edges.parquet`` (`pyarrow.dataset.Dataset`)."""
        return self._dataset("edges.parquet")

    @property
    def records(self) -> pyarrow.dataset.Dataset:
        """The table ``records.parquet`` (`pyarrow.dataset.Dataset`)."""
        return self._dataset("records.parquet")

    def stats(self) -> Statistics:
        """Count quanta, datasets and bytes, task by task.

        Returns
        -------
        statistics : `Statistics`
            The numbers.
        """
        import numpy
        import pyarrow

        table = self._quanta.columns(["task_label", *_SIZE_COLUMNS])
        label_of = table["task_label"]
        if not pyarrow.types.is_dictionary(label_of.type):
            label_of = label_of.dictionary_encode()
        label_of = label_of.unify_dictionaries().combine_chunks()
        labels: list[str | None] = [*label_of.dictionary.to_pylist(), None]
        indices = label_of.indices
        if indices.null_count:
            indices = indices.fill_null(len(labels) - 1)
        task_of = whole(pyarrow.chunked_array([indices])).astype(numpy.uint32)
        buffers = [None, pyarrow.py_buffer(task_of)]
        column = pyarrow.Array.from_buffers(pyarrow.uint32(), len(task_of), buffers)
        numbers = pyarrow.Table.from_arrays([column], ["task"])
        counts, all_counts = self._ask(lambda index: index.census(numbers, len(labels)))
        quanta = numpy.bincount(task_of, minlength=len(labels)).tolist()
        sums = []
        for name in _SIZE_COLUMNS:
            sums.append(numpy.zeros(len(labels), numpy.int64))
            numpy.add.at(sums[-1], task_of, whole(table[name]))

        def task(
            label: str | None, quanta: int, counts: tuple[list[int], int, int], sizes: list[int]
        ) -> TaskStatistics:
            datasets, unused, missing = counts
            by_role, bytes_ = (dict(zip(ROLES, numbers, strict=True)) for numbers in (datasets, sizes))
            return TaskStatistics(label, quanta, by_role, bytes_, unused, missing)

        tasks = [
            task(label, quanta[n], counts[n], [int(column[n]) for column in sums])
            for n, label in enumerate(labels)
            if quanta[n]
        ]
        return Statistics(tasks, task(None, sum(quanta), all_counts, [int(column.sum()) for column in sums]))

    def show(self, quantum: Id) -> QuantumDetails:
        """Look up a quantum and its datasets.

        Parameters
        ----------
        quantum : `uuid.UUID` or `str`
            Id of the quantum.

        Returns
        -------
        details : `QuantumDetails`
            The quantum and its datasets.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the quantum.
        """
        quantum = _uuid(quantum)
        number = self._index.quantum(quantum.int)
        if number is None:
            raise UnknownIdError(f"{self._path}: the archive has no quantum {quantum}")
        found = self._ask(lambda index: index.datasets_of(number))
        (description,) = self.describe_quanta([number])
        datasets = self.describe_datasets([row for row, _ in found])
        uses = [Use(dataset, role_names(roles)) for dataset, (_, roles) in zip(datasets, found, strict=True)]
        return QuantumDetails(description, uses)

    def lineage(
        self,
        dataset: Id,
        *,
        direction: Literal["up", "down"] = "up",
        depth: int | None = None,
        actual: bool = True,
    ) -> Lineage:
        """Find out what a dataset was made from, or what was made from it.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset.
        direction : `str`, optional
            ``up`` goes to the quanta that wrote a dataset and to their inputs,
            ``down`` to the quanta that read it and to their outputs.
        depth : `int`, optional
            The most quanta between the dataset and any other; by default there
            is no limit.
        actual : `bool`, optional
            Whether to go by what was really used and written, or by what was
            predicted.

        Returns
        -------
        lineage : `Lineage`
            That part of the graph, the dataset itself included.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        ValueError
            Raised for another direction, or a depth that is negative.
        """
        if direction not in ("up", "down"):
            raise ValueError(f"a direction is 'up' or 'down', not {direction!r}")
        if depth is not None and depth < 0:
            raise ValueError(f"a depth is a number of quanta, not {depth}")
        dataset, row = self._find_dataset(dataset)
        # More than all quanta there can be is no limit.
        most = None if depth is None else min(depth, 2**32 - 1)
        up = direction == "up"
        closure = self._ask(lambda index: index.closure([row], up=up, actual=actual, depth=most))
        return Lineage(self, dataset, direction, actual, depth, closure)

    def producer(self, dataset: Id, *, actual: bool = True) -> Quantum | None:
        """Find the quantum that wrote a dataset.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset.
        actual : `bool`, optional
            Whether it has to have written it, or only to have been expected to.

        Returns
        -------
        quantum : `Quantum` or `None`
            The quantum, the first if there are more; `None` if it is not in the
            archive.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        """
        quanta = self._quanta_with(dataset, _ACTUAL_OUTPUT if actual else _PREDICTED_OUTPUT)
        return self.describe_quanta(quanta[:1])[0] if quanta else None

    def consumers(self, dataset: Id, *, actual: bool = True) -> list[Quantum]:
        """Find the quanta that read a dataset.

        Parameters
        ----------
        dataset : `uuid.UUID` or `str`
            Id of the dataset.
        actual : `bool`, optional
            Whether they have to have used it, or only to have been expected to.

        Returns
        -------
        quanta : `list` [`Quantum`]
            The quanta, in order of the archive.

        Raises
        ------
        UnknownIdError
            Raised if the archive does not have the dataset.
        """
        return self.describe_quanta(self._quanta_with(dataset, _ACTUAL_INPUT if actual else _PREDICTED_INPUT))

    def diff(self, other: Archive) -> Difference:
        """Compare with another archive.

        Parameters
        ----------
        other : `Archive`
            Archive to compare with, the right one; this is the left one.

        Returns
        -------
        difference : `Difference`
            What only one of them has, and what quanta of both have in
            different roles; each sorted by id.
        """
        left, right = self._index, other._index
        try:
            quanta, datasets, changes = left.difference(right)
        except ValueError as error:
            raise ArchiveError(f"{self._path} or {other._path}: {error}") from error
        return Difference(
            quanta[0],
            quanta[1],
            datasets[0],
            datasets[1],
            [
                Change(quantum, dataset, role_names(before), role_names(after))
                for quantum, dataset, before, after in changes
            ],
        )

    def written(self, at_once: int = 2_000) -> Iterator[WrittenBatch]:
        """Go through what all quanta have written.

        Parameters
        ----------
        at_once : `int`, optional
            How many quanta are held in memory at once.

        Returns
        -------
        batches : `~collections.abc.Iterator` [`WrittenBatch`]
            What the quanta, in order of the archive, have written.

        Raises
        ------
        ArchiveError
            Raised while going, if a table cannot be read or the tables do not
            fit together.
        ValueError
            Raised if it is not one quantum at least.
        """
        from .written import read_written

        if at_once < 1:
            raise ValueError(f"a batch has at least one quantum, not {at_once}")
        return read_written(self._path, at_once)

    def describe_quanta(self, numbers: Sequence[int]) -> list[Quantum]:
        """Look up quanta by their numbers.

        Parameters
        ----------
        numbers : `~collections.abc.Sequence` [`int`]
            Rows of ``quanta.parquet``.

        Returns
        -------
        quanta : `list` [`Quantum`]
            The quanta, in that order.
        """
        ids = self._ask(lambda index: index.quantum_ids(numbers))
        order = sorted(set(numbers))
        labels, data_ids = self._quanta.rows(order, ["task_label", "data_id"])
        place = {number: row for row, number in enumerate(order)}
        return [
            Quantum(id_, labels[row], self._parse_data_id(data_ids[row]))
            for id_, row in zip(ids, map(place.__getitem__, numbers), strict=True)
        ]

    def describe_datasets(self, rows: Sequence[int]) -> list[Dataset]:
        """Look up datasets by their rows in the lineage index.

        Parameters
        ----------
        rows : `~collections.abc.Sequence` [`int`]
            Rows of ``lineage.arrow``.

        Returns
        -------
        datasets : `list` [`Dataset`]
            The datasets, in that order.
        """
        ids = self._ask(lambda index: index.dataset_ids(rows))
        # Records of a dataset come with the quantum that wrote it.
        writers = self._ask(lambda index: index.writers(rows))
        records = self._records_of(sorted({writer for writer in writers if writer is not None}), set(ids))
        return [_dataset(id_, records.get(id_, [])) for id_ in ids]

    def checked(self, read: Callable[[], _T]) -> _T:
        """Return what reading the index gives, or raise `ArchiveError` with its name."""
        try:
            return read()
        except ValueError as error:
            raise unreadable(self._path / "lineage.arrow", error) from error

    @cached_property
    def _index(self) -> _core.LineageIndex:
        from .index import read_index

        return read_index(self._path / "lineage.arrow")

    @cached_property
    def _quanta(self) -> TableFile:
        table = TableFile(self._path / "quanta.parquet", _QUANTUM_COLUMNS)
        if len(table) != self._index.quanta:
            raise ArchiveError(
                f"{self._path}: quanta.parquet has {len(table)} quanta, lineage.arrow {self._index.quanta}"
            )
        return table

    @cached_property
    def _records(self) -> tuple[TableFile, numpy.ndarray[Any, Any]]:
        """The records, and where those of each quantum end."""
        import numpy

        counts = whole(self._quanta.columns(["records"])["records"])
        table = TableFile(self._path / "records.parquet", _RECORD_COLUMNS)
        if (len(counts) and counts.min() < 0) or counts.sum(dtype=numpy.int64) != len(table):
            raise ArchiveError(f"{self._path}: records.parquet is not what quanta.parquet tells of")
        return table, numpy.cumsum(counts, dtype=numpy.int64)

    def _dataset(self, name: str) -> pyarrow.dataset.Dataset:
        import pyarrow
        import pyarrow.dataset

        path = self._path / name
        try:
            return pyarrow.dataset.dataset(path, format="parquet")
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(path, error) from error

    def _ask(self, question: Callable[[_core.LineageIndex], _T]) -> _T:
        index = self._index
        return self.checked(lambda: question(index))

    def _find_dataset(self, dataset: Id) -> tuple[uuid.UUID, int]:
        dataset = _uuid(dataset)
        row = self._ask(lambda index: index.dataset(dataset.int))
        if row is None:
            raise UnknownIdError(f"{self._path}: the archive has no dataset {dataset}")
        return dataset, row

    def _quanta_with(self, dataset: Id, roles: int) -> list[int]:
        _, row = self._find_dataset(dataset)
        return self._ask(lambda index: index.quanta_of(row, roles))

    def _records_of(
        self, quanta: Sequence[int], datasets: set[uuid.UUID]
    ) -> dict[uuid.UUID, list[tuple[str, str | None, int | None]]]:
        """Path, storage class and size of each file of these datasets that these quanta wrote."""
        import numpy

        if not quanta:
            return {}
        table, ends = self._records
        starts = numpy.concatenate([[0], ends])
        ranges = [numpy.arange(starts[number], starts[number + 1]) for number in quanta]
        columns = table.rows(numpy.concatenate(ranges), list(_RECORD_COLUMNS))
        found: dict[uuid.UUID, list[tuple[str, str | None, int | None]]] = {}
        for id_, *record in zip(*columns, strict=True):
            id_ = id_ if isinstance(id_, uuid.UUID) else uuid.UUID(bytes=id_)
            if id_ in datasets:
                found.setdefault(id_, []).append(tuple(record))
        return found

    def _parse_data_id(self, text: str | None) -> dict[str, Any] | None:
        if text is None:
            return None
        try:
            data_id = json.loads(text)
        except (ValueError, RecursionError):
            data_id = None
        if not isinstance(data_id, dict):
            raise ArchiveError(f"{self._path / 'quanta.parquet'}: a data ID is not a JSON object")
        return data_id


def _uuid(id_: Id) -> uuid.UUID:
    if isinstance(id_, uuid.UUID):
        return id_
    try:
        return uuid.UUID(id_)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"an id is a uuid.UUID or its text, not {id_!r}") from error


def _dataset(id_: uuid.UUID, records: list[tuple[str, str | None, int | None]]) -> Dataset:
    sizes = [size for _, _, size in records if size is not None]
    return Dataset(
        id_,
        tuple(path for path, _, _ in records if path is not None),
        records[0][1] if records else None,
        sum(sizes) if sizes else None,
    )
