"""The files of an archive, opened when a question needs them."""

from __future__ import annotations

__all__ = ("Id", "Reader", "to_uuid")

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy

from .columns import TableFile, whole
from .errors import ArchiveError, UnknownIdError, unreadable
from .format import ROLES
from .index import read_index
from .results import Dataset, Quantum

if TYPE_CHECKING:
    import pyarrow

    from .. import _core

Id: TypeAlias = uuid.UUID | str

_T = TypeVar("_T")

_SIZE_COLUMNS = [f"{role}s_bytes" for role in ROLES]
_QUANTUM_COLUMNS = {
    "task_label": "text",
    "data_id": "text",
    "records": "integers",
    **dict.fromkeys(_SIZE_COLUMNS, "integers"),
}
_ATTEMPT_COLUMNS = {"begin": "times", "end": "times", "failed": "booleans", "attempts": "integers"}
_RECORD_COLUMNS = {"dataset_id": "ids", "path": "text", "storage_class": "text", "file_size": "integers"}


class Reader:
    """Reads what an archive has of quanta and datasets, by their numbers and rows."""

    def __init__(self, path: Path):
        self._path = path

    @cached_property
    def index(self) -> _core.LineageIndex:
        """The lineage index; see `ask`."""
        return read_index(self._path / "lineage.arrow")

    def ask(self, question: Callable[[_core.LineageIndex], _T]) -> _T:
        """Return what the index answers, or raise `ArchiveError` with its name."""
        index = self.index
        return self.checked(lambda: question(index))

    def checked(self, read: Callable[[], _T]) -> _T:
        """Return what reading the index gives, or raise `ArchiveError` with its name."""
        try:
            return read()
        except ValueError as error:
            raise unreadable(self._path / "lineage.arrow", error) from error

    def find_quantum(self, quantum: Id) -> int:
        """Return the number of a quantum that the archive has to have."""
        id_ = to_uuid(quantum)
        if (number := self.ask(lambda index: index.quantum(id_.int))) is None:
            raise UnknownIdError(self._unknown("quantum", "dataset", "lineage, producer, consumers", id_))
        return number

    def find_dataset(self, dataset: Id) -> tuple[uuid.UUID, int]:
        """Return the id and the row of a dataset that the archive has to have."""
        id_ = to_uuid(dataset)
        if (row := self.ask(lambda index: index.dataset(id_.int))) is None:
            raise UnknownIdError(self._unknown("dataset", "quantum", "show", id_))
        return id_, row

    def _unknown(self, wanted: str, other: str, questions: str, id_: uuid.UUID) -> str:
        """Return what to say of an id that is not there, or there as that of something else."""
        text = f"{self._path}: the archive has no {wanted} {id_}"
        if self.ask(lambda index: getattr(index, other)(id_.int)) is None:
            return text
        return f"{text}; it is the id of a {other}, which is asked for with {questions}"

    def quanta_with(self, dataset: Id, role: int) -> list[int]:
        """Return the numbers of the quanta that have a dataset in a role, which is given as its bit."""
        _, row = self.find_dataset(dataset)
        return self.ask(lambda index: index.quanta_of(row, role))

    def tasks_and_sizes(self) -> tuple[pyarrow.ChunkedArray, dict[str, numpy.ndarray[Any, Any]]]:
        """Return the label of each quantum's task, and the bytes of its datasets in each role."""
        table = self._quanta.columns(["task_label", *_SIZE_COLUMNS])
        sizes = {role: whole(table[name]) for role, name in zip(ROLES, _SIZE_COLUMNS, strict=True)}
        return table["task_label"], sizes

    def describe_quanta(self, numbers: Sequence[int]) -> list[Quantum]:
        """Look up quanta by their numbers."""
        ids = self.ask(lambda index: index.quantum_ids(numbers))
        order = sorted(set(numbers))
        labels, data_ids = self._quanta.rows(order, ["task_label", "data_id"])
        place = {number: row for row, number in enumerate(order)}
        return [
            Quantum(id_, labels[row], self._parse_data_id(data_ids[row]))
            for id_, row in zip(ids, map(place.__getitem__, numbers), strict=True)
        ]

    def describe_attempt(self, number: int) -> dict[str, Any]:
        """Return what is known of the attempts at a quantum: nothing in archives of earlier releases."""
        names = self._quanta.later
        return {name: value for name, (value,) in zip(names, self._quanta.rows([number], names), strict=True)}

    def describe_datasets(self, rows: Sequence[int]) -> list[Dataset]:
        """Look up datasets by their rows in the index."""
        ids = self.ask(lambda index: index.dataset_ids(rows))
        # Records of a dataset come with the quantum that wrote it.
        writers = self.ask(lambda index: index.writers(rows))
        records = self._records_of(sorted({writer for writer in writers if writer is not None}), set(ids))
        return [_dataset(id_, records.get(id_, [])) for id_ in ids]

    def empty_datasets(self) -> Iterator[uuid.UUID]:
        """Return the datasets of which some file is known to have no bytes, if quanta have them."""
        table, _ = self._records
        (ids,) = table.rows(table.zeros("file_size"), ["dataset_id"])
        for id_ in dict.fromkeys(map(_id, ids)):
            if self.ask(lambda index, id_=id_: index.dataset(id_.int)) is not None:  # type: ignore[misc]
                yield id_

    @cached_property
    def _quanta(self) -> TableFile:
        table = TableFile(self._path / "quanta.parquet", _QUANTUM_COLUMNS, _ATTEMPT_COLUMNS)
        if len(table) != self.index.quanta:
            raise ArchiveError(
                f"{self._path}: quanta.parquet has {len(table)} quanta, lineage.arrow {self.index.quanta}"
            )
        return table

    @cached_property
    def _records(self) -> tuple[TableFile, numpy.ndarray[Any, Any]]:
        """The records, and where those of each quantum end."""
        counts = whole(self._quanta.columns(["records"])["records"])
        table = TableFile(self._path / "records.parquet", _RECORD_COLUMNS)
        if (len(counts) and counts.min() < 0) or counts.sum(dtype=numpy.int64) != len(table):
            raise ArchiveError(f"{self._path}: records.parquet is not what quanta.parquet tells of")
        return table, numpy.cumsum(counts, dtype=numpy.int64)

    def _records_of(
        self, quanta: Sequence[int], datasets: set[uuid.UUID]
    ) -> dict[uuid.UUID, list[tuple[str, str | None, int | None]]]:
        """Path, storage class and size of each file of these datasets that these quanta wrote."""
        if not quanta:
            return {}
        table, ends = self._records
        starts = numpy.concatenate([[0], ends])
        ranges = [numpy.arange(starts[number], starts[number + 1]) for number in quanta]
        columns = table.rows(numpy.concatenate(ranges), list(_RECORD_COLUMNS))
        found: dict[uuid.UUID, list[tuple[str, str | None, int | None]]] = {}
        for id_, *record in zip(*columns, strict=True):
            if (id_ := _id(id_)) in datasets:
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


def to_uuid(id_: Id) -> uuid.UUID:
    """Return an id that is given as such or as text."""
    if isinstance(id_, uuid.UUID):
        return id_
    try:
        return uuid.UUID(id_)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"an id is a uuid.UUID or its text, not {id_!r}") from error


def _id(value: Any) -> uuid.UUID:
    """Return an id as a table has it, with or without Arrow's type for them."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)


def _dataset(id_: uuid.UUID, records: list[tuple[str, str | None, int | None]]) -> Dataset:
    # Upstream has a negative number where it does not know the size.
    sizes = [size for _, _, size in records if size is not None and size >= 0]
    return Dataset(
        id_,
        tuple(path for path, _, _ in records if path is not None),
        records[0][1] if records else None,
        sum(sizes) if sizes else None,
    )
