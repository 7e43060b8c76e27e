"""The files of an archive, opened when a question needs them."""

from __future__ import annotations

__all__ = ("Reader",)

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy

from ..paths import is_there
from ..queries.data_ids import data_id_of
from ..queries.found import DATASET, QUANTUM, Found, Name
from ..queries.statuses import STATUS_WORDS
from .columns import TableFile, whole
from .errors import ArchiveError, UnknownIdError, unreadable
from .format import INPUT_ROLES, ROLES, role_bit
from .index import read_index
from .named import NamedRows
from .rebuilding import Made, Neighbours
from .results import Consumer, Dataset, DatasetDetails, Quantum

if TYPE_CHECKING:
    import pyarrow

    from .. import _core

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


_PLANNED, _READ = role_bit("predicted_input"), role_bit("actual_input")
_TO_WRITE, _WRITTEN = role_bit("predicted_output"), role_bit("actual_output")


class Reader:
    """Reads what an archive has of quanta and datasets, by their numbers and rows."""

    def __init__(self, path: Path):
        self._path = path

    @cached_property
    def names(self) -> NamedRows:
        """Source in which names are looked up."""
        return NamedRows(self._path)

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

    def find_quantum(self, quantum: Name) -> int:
        """Return the number of a quantum that the archive has to have."""
        id_ = _whole_id(quantum) or self.names.resolve(quantum, (QUANTUM,)).id
        if (number := self.ask(lambda index: index.quantum(id_.int))) is None:
            raise UnknownIdError(self._unknown("quantum", "dataset", "producer, consumers", id_))
        return number

    def find_dataset(self, dataset: Name) -> tuple[uuid.UUID, int]:
        """Return the id and the row of a dataset that the archive has to have."""
        id_ = _whole_id(dataset) or self.names.resolve(dataset, (DATASET,)).id
        if (row := self.ask(lambda index: index.dataset(id_.int))) is None:
            raise UnknownIdError(self._unknown("dataset", "quantum", "show", id_))
        return id_, row

    def find_starts(self, name: Name, actual: bool) -> tuple[uuid.UUID, list[int]]:
        """Return the id and the row of a dataset, or the rows of all that a quantum has written."""
        id_ = _whole_id(name) or self.names.resolve(name, (DATASET, QUANTUM)).id
        if (row := self.ask(lambda index: index.dataset(id_.int))) is not None:
            return id_, [row]
        number = self.ask(lambda index: index.quantum(id_.int))
        if number is None:
            raise UnknownIdError(f"{self._path}: the archive has no dataset or quantum {id_}")
        role = role_bit("actual_output" if actual else "predicted_output")
        found = self.ask(lambda index: index.datasets_of(number))
        return id_, [row for row, roles in found if roles & role]

    def _unknown(self, wanted: str, other: str, questions: str, id_: uuid.UUID) -> str:
        """Return what to say of an id that is not there, or there as that of something else."""
        text = f"{self._path}: the archive has no {wanted} {id_}"
        if self.ask(lambda index: getattr(index, other)(id_.int)) is None:
            return text
        return f"{text}; it is the id of a {other}, which is asked for with {questions}"

    def quanta_with(self, dataset: Name, role: int) -> list[int]:
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
        # Sees to it that the tables belong together.
        assert self._quanta is not None
        rows = [row for table in self.names.rows_at(QUANTUM, order) for row in table.to_pylist()]
        found = dict(zip(order, rows, strict=True))
        return [
            Quantum(
                id_,
                row["task_label"],
                self._parse_data_id(row["data_id"]),
                row["run"],
                STATUS_WORDS.get(row["status"]),
            )
            for id_, row in zip(ids, map(found.__getitem__, numbers), strict=True)
        ]

    def neighbours(self, actual: bool) -> Neighbours:
        """Return who writes and reads what; raise `ArchiveError` if nobody knows what was really read."""
        if actual and not self.names.has_lines():
            raise ArchiveError(
                f"{self._path}: no log tells what was used, and graphs do not know; "
                "--predicted (actual=False) asks for what was expected"
            )
        return _ArchiveNeighbours(self)

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
        called: dict[int, dict[str, Any]] = {}
        order = sorted(set(rows))
        if self.has_names:
            names = (row for table in self.names.rows_at(DATASET, order) for row in table.to_pylist())
            called = dict(zip(order, names, strict=True))
        return [
            _dataset(id_, records.get(id_, []), called.get(row)) for id_, row in zip(ids, rows, strict=True)
        ]

    def show_dataset(self, dataset: Name) -> DatasetDetails:
        """Look up a dataset, and the quanta that have to do with it."""
        id_ = _whole_id(dataset) or self.names.resolve(dataset, (DATASET,)).id
        row = self.ask(lambda index: index.dataset(id_.int))
        if row is None:
            return DatasetDetails(self._describe_lone(id_), None, [])
        (found,) = self.describe_datasets([row])
        (writer,) = self.ask(lambda index: index.writers([row]))
        producer = None if writer is None else self.describe_quanta([writer])[0]
        roles = {name: set(self.quanta_with(id_, role_bit(name))) for name in INPUT_ROLES}
        numbers = sorted(set[int]().union(*roles.values()))
        consumers = [
            Consumer(quantum, tuple(name for name in INPUT_ROLES if number in roles[name]))
            for number, quantum in zip(numbers, self.describe_quanta(numbers), strict=True)
        ]
        return DatasetDetails(found, producer, consumers)

    def _describe_lone(self, id_: uuid.UUID) -> Dataset:
        """Look up a dataset that no quantum has in any role."""
        if self.has_names:
            for row in self.names.rows_with(DATASET, id_.hex, True):
                for table in self.names.rows_at(DATASET, [row]):
                    return _dataset(id_, [], table.to_pylist()[0])
        raise UnknownIdError(self._unknown("dataset", "quantum", "show", id_))

    @property
    def has_names(self) -> bool:
        """Return whether the archive has names of datasets; those of the first format have none."""
        return is_there(self._path / "datasets.parquet")

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


class _ArchiveNeighbours(Neighbours):
    """Asks the lineage index: quanta are numbers, and datasets are rows."""

    def __init__(self, reader: Reader):
        self._reader = reader

    def starts(self, found: Found, actual: bool) -> list[int]:
        """Return a dataset, or those that a quantum has written."""
        if found.kind == QUANTUM:
            role = _WRITTEN if actual else _TO_WRITE
            return [row for row, roles in self._datasets(self._reader.find_quantum(found.id)) if roles & role]
        row = self._reader.ask(lambda index: index.dataset(found.id.int))
        return [] if row is None else [row]

    def maker(self, dataset: int, actual: bool) -> int | None:
        """Return the quantum that has written a dataset, or was to."""
        # Who was to write what was read nevertheless is the one that can write it.
        for role in (_WRITTEN, _TO_WRITE) if actual else (_TO_WRITE, _WRITTEN):
            if quanta := self._quanta_of(dataset, role):
                return quanta[0]
        return None

    def is_written(self, dataset: int) -> bool:
        """Return whether any quantum has written a dataset."""
        return bool(self._quanta_of(dataset, _WRITTEN))

    def key(self, quantum_id: uuid.UUID) -> int:
        """Return the number of a quantum."""
        return self._reader.find_quantum(quantum_id)

    def made(self, quantum: int, actual: bool) -> Made:
        """Return the datasets of a quantum."""
        datasets = self._datasets(quantum)
        is_known = actual and bool(self._is_logged[quantum])
        return Made(
            [row for row, roles in datasets if roles & (_READ if is_known else _PLANNED)],
            [row for row, roles in datasets if roles & _PLANNED],
            [row for row, roles in datasets if roles & (_WRITTEN | _TO_WRITE)],
            [row for row, roles in datasets if roles & (_WRITTEN if actual else _TO_WRITE)],
            actual and not is_known,
        )

    def _quanta_of(self, dataset: int, role: int) -> list[int]:
        return self._reader.ask(lambda index: index.quanta_of(dataset, role))

    def _datasets(self, quantum: int) -> list[tuple[int, int]]:
        return self._reader.ask(lambda index: index.datasets_of(quantum))

    def describe_quanta(self, quanta: Sequence[int]) -> list[Quantum]:
        """Return what is known of quanta."""
        return self._reader.describe_quanta(quanta)

    def describe_datasets(self, datasets: Sequence[int]) -> list[Dataset]:
        """Return what is known of datasets."""
        return self._reader.describe_datasets(datasets)

    @cached_property
    def _is_logged(self) -> Any:
        is_logged, _ = self._reader.names.quanta_that_tell()
        return is_logged


def _whole_id(name: Name) -> uuid.UUID | None:
    """Return the id that a name is, if it is a whole one."""
    if isinstance(name, uuid.UUID):
        return name
    try:
        return uuid.UUID(name if isinstance(name, str) else " ".join(name))
    except ValueError:
        return None
    except TypeError as error:
        raise ValueError(f"an id is a uuid.UUID or its text, not {name!r}") from error


def _id(value: Any) -> uuid.UUID:
    """Return an id as a table has it, with or without Arrow's type for them."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)


def _dataset(
    id_: uuid.UUID, records: list[tuple[str, str | None, int | None]], called: dict[str, Any] | None
) -> Dataset:
    # Upstream has a negative number where it does not know the size.
    sizes = [size for _, _, size in records if size is not None and size >= 0]
    row = called or {}
    producer = row.get("producer")
    return Dataset(
        id_,
        tuple(path for path, _, _ in records if path is not None),
        records[0][1] if records else row.get("storage_class"),
        sum(sizes) if sizes else row.get("size"),
        row.get("dataset_type"),
        data_id_of(row.get("data_id")),
        row.get("run"),
        row.get("produced"),
        None if producer is None else _id(producer),
    )
