"""Contents of an export: quanta of an archive with the datasets that they used and wrote, in batches."""

from __future__ import annotations

__all__ = ("Batch", "Contents", "DatasetName", "QuantumRun", "Selection", "shown_data_id")

import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet as pq

from ..archive import Archive
from ..archive.columns import batches_of
from ..archive.errors import unreadable
from ..archive.format import role_bit
from ..archive.reader import Reader
from .errors import ExportError, UnknownTaskError

# Quanta that are held at once, and rows of names.
_AT_ONCE = 4096
_MOST_NAMES = 1 << 22

_VALUES = (
    "status",
    "caveats",
    "failed",
    "host",
    "exception_type",
    "exception_message",
    "memory",
    "prep_time",
    "init_time",
    "run_time",
    "run_time_cpu",
    "attempts",
)
_COLUMNS = ("quantum_id", "task_label", "data_id", "run", "begin", "end", "known_from", *_VALUES)

_NAMES = ("dataset_id", "dataset_type", "run", "storage_class", "size", "data_id")


class DatasetName(NamedTuple):
    """Name of a dataset: its type, data ID and run."""

    dataset_id: uuid.UUID
    dataset_type: str | None
    run: str | None
    data_id: Mapping[str, Any]
    storage_class: str | None
    size: int | None


class QuantumRun(NamedTuple):
    """A quantum, how it went, and its datasets, as numbers in the batch."""

    quantum_id: uuid.UUID
    task_label: str | None
    data_id: Mapping[str, Any]
    run: str | None
    begin: datetime | None
    end: datetime | None
    values: Mapping[str, Any]
    inputs: Sequence[int]
    outputs: Sequence[int]


class Batch(NamedTuple):
    """Some quanta."""

    quanta: Sequence[QuantumRun]
    datasets: Mapping[int, DatasetName]
    """All datasets of these, by number."""
    done: int
    """Quanta of the archive that have been looked at."""


class Selection(NamedTuple):
    """Selection of an archive for export."""

    tasks: frozenset[str] = frozenset()
    """Labels of tasks; empty for all."""
    datasets: tuple[uuid.UUID | str, ...] = ()
    """Names of datasets whose lineage it is; empty for everything."""
    direction: str = "up"
    """Whether that is what they were made from, or what was made from them (``down``)."""
    actual: bool = True
    """Whether it goes by what was used and written, or by what was predicted."""


class Contents:
    """The chosen part of an archive."""

    def __init__(self, archive: Archive, selection: Selection):
        self._path = archive.path
        self._selection = selection
        self._reader = Reader(archive.path)
        self._quanta, self._datasets = self._chosen(archive)
        self._names = _Names(archive, self._reader)
        self.left_out = 0
        """Quanta that never ran, and so are left out (`int`)."""
        self.without_time = 0
        """Quanta that were left out because nobody tells when they ran (`int`)."""
        self.without_use = 0
        """Quanta of which nobody tells what they used (`int`)."""
        self.total = self._reader.ask(lambda index: index.quanta)
        """Quanta of the archive, chosen or not (`int`)."""
        self.datasets = self._reader.ask(lambda index: index.datasets)
        """Datasets of the archive, chosen or not (`int`)."""
        self._require_tasks()

    @property
    def actual(self) -> bool:
        """Return whether it goes by what was used and written (`bool`)."""
        return self._selection.actual

    def count(self, most: int) -> int:
        """Return how many quanta are chosen, but no more than one beyond a number."""
        found = 0
        for _, _, places in self._chosen_tables(("task_label",)):
            found += len(places)
            if found > most:
                break
        return found

    def batches(self) -> Iterator[Batch]:
        """Yield the chosen quanta with their datasets."""
        used = role_bit("actual_input" if self.actual else "predicted_input")
        written = role_bit("actual_output" if self.actual else "predicted_output")
        for begin, table, places in self._chosen_tables(_COLUMNS):
            quanta: list[QuantumRun] = []
            wanted: set[int] = set()
            for place, row in zip(
                places, table.take(pyarrow.array(places, pyarrow.int64())).to_pylist(), strict=True
            ):
                if self.actual and row.get("attempts", 1) == 0:
                    self.left_out += 1
                    continue
                if row.get("known_from", "line") != "line":
                    self.without_use += 1
                inputs, outputs = self._uses(begin + place, used, written)
                wanted.update(inputs, outputs)
                quanta.append(self._quantum(row, inputs, outputs))
            yield Batch(quanta, self._names.of(sorted(wanted)), begin + len(table))

    def tables(self, columns: Sequence[str]) -> Iterator[pyarrow.Table]:
        """Yield some columns of the chosen quanta, as far as the archive has them."""
        for _, table, places in self._chosen_tables(columns):
            yield table.select([name for name in columns if name in table.column_names]).take(
                pyarrow.array(places, pyarrow.int64())
            )

    def _quantum(self, row: Mapping[str, Any], inputs: Sequence[int], outputs: Sequence[int]) -> QuantumRun:
        return QuantumRun(
            _uuid(row["quantum_id"]),
            row["task_label"],
            self._data_id(row["data_id"]),
            row.get("run"),
            row.get("begin"),
            row.get("end"),
            {name: row[name] for name in _VALUES if row.get(name) is not None},
            inputs,
            outputs,
        )

    def _data_id(self, text: str | None) -> dict[str, Any]:
        found = {} if text is None else json.loads(text)
        if not isinstance(found, dict):
            raise ExportError(f"{self._path / 'quanta.parquet'}: a data ID is not a JSON object")
        return found

    def _uses(self, number: int, *roles: int) -> Iterator[list[int]]:
        """Yield the datasets that a quantum has in roles, as far as they are chosen."""
        found = self._reader.ask(lambda index: index.datasets_of(number))
        if (chosen := self._datasets) is not None:
            found = [one for one in found if one[0] in chosen]
        for role in roles:
            yield [row for row, of_row in found if of_row & role]

    def _chosen(self, archive: Archive) -> tuple[set[int] | None, set[int] | None]:
        """Return the numbers of quanta and datasets of a lineage; `None` if all are chosen."""
        if not self._selection.datasets:
            return None, None
        quanta: set[int] = set()
        datasets: set[int] = set()
        for start in archive.source.resolve_all(self._selection.datasets, ("dataset", "quantum")):
            found = archive.lineage(
                start.id,
                direction=self._selection.direction,  # type: ignore[arg-type]
                actual=self.actual,
            )
            quanta.update(found.closure.quantum_numbers())
            datasets.update(found.closure.dataset_rows())
        return quanta, datasets

    def _require_tasks(self) -> None:
        """Raise if a task is not in the archive."""
        if not (tasks := self._selection.tasks):
            return
        known: set[str | None] = set()
        for table in self._read(("task_label",)):
            known.update(table["task_label"].combine_chunks().dictionary.to_pylist())
        if unknown := sorted(tasks - known):
            have = ", ".join(sorted(one for one in known if one is not None))
            raise UnknownTaskError(
                f"{self._path}: the archive has no task {', '.join(unknown)}; it has {have}"
            )

    def _chosen_tables(self, columns: Sequence[str]) -> Iterator[tuple[int, pyarrow.Table, list[int]]]:
        """Yield all quanta, some at a time: number of the first, and the places of those that are chosen."""
        begin = 0
        tasks = self._selection.tasks
        for table in self._read(dict.fromkeys((*columns, "task_label"))):
            places = list(range(len(table)))
            if (chosen := self._quanta) is not None:
                places = [place for place in places if begin + place in chosen]
            if tasks:
                labels = table["task_label"].to_pylist()
                places = [place for place in places if labels[place] in tasks]
            yield begin, table, places
            begin += len(table)

    def _read(self, columns: Any) -> Iterator[pyarrow.Table]:
        path = self._path / "quanta.parquet"
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                there = [name for name in columns if name in file.schema_arrow.names]
                for batch in batches_of(file, _AT_ONCE, there):
                    yield pyarrow.Table.from_batches([batch])
        except (OSError, pyarrow.ArrowException) as error:
            raise unreadable(path, error) from error


class _Names:
    """Names of datasets, by their rows in the lineage index."""

    def __init__(self, archive: Archive, reader: Reader):
        self._reader = reader
        self._path = archive.path / "datasets.parquet"
        self._file: pq.ParquetFile | None = None
        self._ends: list[int] = []
        self._groups: OrderedDict[int, pyarrow.Table] = OrderedDict()
        self._held = 0
        if archive.manifest.version > 1:
            self._file = self._checked(lambda: pq.ParquetFile(self._path, memory_map=True))
            end = 0
            for number in range(self._file.metadata.num_row_groups):
                end += self._file.metadata.row_group(number).num_rows
                self._ends.append(end)

    def of(self, rows: Sequence[int]) -> dict[int, DatasetName]:
        """Return what datasets are called, whose rows are ascending."""
        if self._file is None:
            known = self._reader.describe_datasets(rows)
            return {
                row: DatasetName(one.dataset_id, None, None, {}, one.storage_class, one.size)
                for row, one in zip(rows, known, strict=True)
            }
        found: dict[int, DatasetName] = {}
        first, place = 0, 0
        for number, end in enumerate(self._ends):
            here: list[int] = []
            while place < len(rows) and rows[place] < end:
                here.append(rows[place])
                place += 1
            if here:
                some = self._group(number).take([row - first for row in here])
                for row, values in zip(here, some.to_pylist(), strict=True):
                    data_id = {
                        name: value for name, value in (values["data_id"] or {}).items() if value is not None
                    }
                    found[row] = DatasetName(
                        _uuid(values["dataset_id"]),
                        values["dataset_type"],
                        values["run"],
                        data_id,
                        values["storage_class"],
                        values["size"],
                    )
            first = end
        return found

    def _group(self, number: int) -> pyarrow.Table:
        """Return a row group; those that were asked for last are kept."""
        if number in self._groups:
            self._groups.move_to_end(number)
        else:
            assert self._file is not None
            file = self._file
            group = self._checked(lambda: file.read_row_group(number, columns=list(_NAMES)))
            self._groups[number] = group
            self._held += len(group)
            while self._held > _MOST_NAMES and len(self._groups) > 1:
                self._held -= len(self._groups.popitem(last=False)[1])
        return self._groups[number]

    def _checked(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, pyarrow.ArrowException) as error:
            raise unreadable(self._path, error) from error


def shown_data_id(data_id: Mapping[str, Any]) -> str:
    """Return a data ID as people write it."""
    return ", ".join(f"{name}={value}" for name, value in data_id.items())


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)
