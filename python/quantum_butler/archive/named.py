"""Quanta and datasets in the tables of an archive, by name: the archive's side of `queries`."""

from __future__ import annotations

__all__ = ("COLUMNS", "NamedRows")

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import _core
from ..queries.arrays import FALSE, indices_of, numpy_of, scalar_of
from ..queries.choice import Choice
from ..queries.conditions import Columns
from ..queries.data_ids import data_id_of, fields_of, may_have, parse_texts
from ..queries.errors import ConditionError
from ..queries.found import DATASET, QUANTUM, Found, Kind, Use
from ..queries.resolving import Source
from .columns import in_one_piece
from .errors import ArchiveError, UnknownIdError, unreadable
from .ids import bytes_of, wanted_bytes
from .lookup import Lookup, equalities
from .path_names import ids_of_path
from .statuses import TELLING, statuses
from .usage import rows_in_want

_LABELS = {QUANTUM: "task_label", DATASET: "dataset_type"}
_IDS = {QUANTUM: "quantum_id", DATASET: "dataset_id"}

COLUMNS = {
    QUANTUM: ("quantum_id", "task_label", "data_id", "run", "status"),
    DATASET: (
        "dataset_id",
        "dataset_type",
        "data_id",
        "run",
        "storage_class",
        "size",
        "producer",
        "produced",
    ),
}
"""What a row of an answer has."""

_NULLS = {"status": pyarrow.int64(), "run": pyarrow.string()}

_NO_NAMES = "it is of the first format, which has no names of datasets; ask for ids, or collect it anew"

_ERRORS = (pyarrow.ArrowException, OSError, ValueError, KeyError)


class NamedRows(Source):
    """Finds quanta and datasets by what they are called, and reads no column that nobody asks for."""

    def __init__(self, path: Path):
        self._path = path
        self._labels: dict[Kind, list[str]] = {}

    def shown(self) -> str:
        """Return what the archive is called in messages."""
        return str(self._path)

    def unknown(self, message: str) -> Exception:
        """Return the error that says that there is no such thing."""
        return UnknownIdError(message)

    def labels(self, kind: Kind) -> Sequence[str]:
        """Return the tasks of the quanta, or the types of the datasets."""
        if kind not in self._labels:
            known = self._lookup.indexes[kind].labels
            parts = self._labels_of_parts(kind) if known is None else [[*known]]
            self._labels[kind] = sorted({label for labels in parts for label in labels})
        return self._labels[kind]

    def found_by_id(self, kind: Kind, id_: uuid.UUID) -> Found | None:
        """Return what has an id."""
        return self._lookup.by_id(kind, id_)

    def found_by_part(self, kind: Kind, digits: str) -> Iterator[Found]:
        """Yield what has an id that begins or ends with some digits."""
        begin, end = (self.rows_with(kind, digits, at_start) for at_start in (True, False))
        return self.found_at(kind, numpy.union1d(begin, end))

    def found_by_path(self, path: str) -> Iterator[Found]:
        """Yield the datasets that are in a file, given by its path in the datastore, or an absolute one."""
        for id_ in ids_of_path(self._path / "records.parquet", path):
            yield self.found_by_id(DATASET, id_) or Found(DATASET, id_)

    def found(self, kind: Kind, choice: Choice) -> Iterator[Found]:
        """Yield what is wanted."""
        if found := self._lookup.by_name(kind, choice):
            yield from found
            return
        for table in self.scan(kind, choice, _named_by(kind)):
            yield from self.rows_of(kind, table)

    def look_up(self, kind: Kind, ids: Sequence[uuid.UUID], choices: Sequence[Choice]) -> None:
        """Find what has some ids or names in one pass, to have it when one of them is asked for."""
        self._lookup.look_up(kind, ids, choices)

    def parts(
        self, kind: Kind, labels: Set[str], dimensions: Set[str]
    ) -> Iterator[tuple[int, pyarrow.Array, pyarrow.Array]]:
        """Yield first row, labels and data IDs of the parts of a table that have one of some labels."""
        file, first = self._file(kind), 0
        columns = ["data_id"] if kind == QUANTUM else [f"data_id.{name}" for name in sorted(dimensions)]
        for group in range(file.num_row_groups if file is not None else 0):
            of_rows = in_one_piece(self._read(file, kind, group, [_LABELS[kind]])[_LABELS[kind]])
            if not labels.isdisjoint(pc.unique(of_rows).to_pylist()):
                yield first, of_rows, in_one_piece(self._read(file, kind, group, columns)["data_id"])
            first += len(of_rows)

    def scan(
        self, kind: Kind, choice: Choice, columns: Sequence[str] = (), among: Any = None
    ) -> Iterator[pyarrow.Table]:
        """Yield the wanted rows, among some or all, with some columns or all of an answer."""
        file = self._file(kind)
        if file is None:
            raise ArchiveError(f"{self._path}: {_NO_NAMES}")
        self._require_dimensions(kind, choice)
        wanted = [name for name in columns or COLUMNS[kind]]
        if among is None:
            among = self._lookup.rows_among(kind, choice)
            if among is not None and not len(among):
                # What is wrong with a condition is told even if no row is looked at.
                choice.met(lambda: self._fields(kind, self.empty(kind)["data_id"], choice), 0)
        values = equalities(choice.where, self.dimensions) if kind == QUANTUM else {}
        stop = 0
        for group in range(file.num_row_groups):
            start, stop = stop, stop + file.metadata.row_group(group).num_rows
            near = None if among is None else among[(among >= start) & (among < stop)] - start
            if near is not None and not len(near):
                continue
            table = self._read(file, kind, group, _needed(kind, choice))
            rows = None if near is None else indices_of(near)
            mask = choice.simple_mask(table if rows is None else table.take(rows), _LABELS[kind])
            if mask is not None:
                places = pc.indices_nonzero(mask)
                rows = places if rows is None else rows.take(places)
            if choice.where is not None and (rows is None or len(rows)):
                data_ids = self._read(file, kind, group, _data_id_columns(kind, choice))["data_id"]
                some = data_ids if rows is None else data_ids.take(rows)
                if values:
                    places = pc.indices_nonzero(may_have(some, values))
                    rows = places if rows is None else rows.take(places)
                    some = some.take(places)
                met = choice.met(lambda some=some: self._fields(kind, some, choice), len(some))  # type: ignore[misc]
                places = pc.indices_nonzero(met)
                rows = places if rows is None else rows.take(places)
            if rows is None or len(rows):
                found = self._read(file, kind, group, wanted)
                yield found if rows is None or len(rows) == len(found) else found.take(rows)

    def rows_of(self, kind: Kind, table: pyarrow.Table) -> Iterator[Found]:
        """Yield what the rows of a table are the names of."""
        label, id_ = _LABELS[kind], _IDS[kind]
        for row in table.select([id_, label, "data_id", "run"]).to_pylist():
            yield Found(kind, _uuid(row[id_]), row[label], self._data_id(kind, row["data_id"]), row["run"])

    def empty(self, kind: Kind) -> pyarrow.Table:
        """Return a table as `scan` yields them, without rows."""
        file = self._file(kind)
        if file is None:
            raise ArchiveError(f"{self._path}: {_NO_NAMES}")
        there = {field.name: field for field in file.schema_arrow}
        fields = [
            there[name] if name in there else pyarrow.field(name, _NULLS[name]) for name in COLUMNS[kind]
        ]
        return pyarrow.schema(fields).empty_table()

    def rows_at(
        self, kind: Kind, rows: Iterable[int], columns: Sequence[str] = ()
    ) -> Iterator[pyarrow.Table]:
        """Yield some rows, in ascending order. A missing table has none."""
        if (file := self._file(kind)) is None:
            return
        rows = numpy.fromiter(rows, numpy.int64)
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            some = rows[(rows >= start) & (rows < stop)] - start
            if len(some):
                yield self._read(file, kind, group, columns or COLUMNS[kind]).take(indices_of(some))
            start = stop

    def has_lines(self) -> bool:
        """Return whether any quantum is known from a log; in archives of the first format all are."""
        file = self._file(QUANTUM)
        if file is None or "known_from" not in file.schema_arrow.names or not file.metadata.num_rows:
            return True
        for group in range(file.num_row_groups):
            if (
                "line"
                in pc.unique(self._read(file, QUANTUM, group, ["known_from"])["known_from"]).to_pylist()
            ):
                return True
        return False

    def scan_use(self, choice: Choice, use: Use) -> Iterator[pyarrow.Table]:
        """Yield the wanted datasets that no quantum has used, or that do not exist."""
        if use == "unused" and not self.has_lines():
            raise ArchiveError(f"{self._path}: no log tells what was used, and graphs do not know")
        nodes, datasets = self._nodes
        rows = numpy.concatenate(
            [numpy.zeros(0, numpy.int64), *rows_in_want(nodes, datasets, use, *self.quanta_that_tell())]
        )
        if self._file(DATASET) is not None:
            yield from self.scan(DATASET, choice, among=rows)
            return
        if choice != Choice():
            raise ArchiveError(f"{self._path}: {_NO_NAMES}")
        unknown = {name: pyarrow.nulls(len(rows)) for name in COLUMNS[DATASET][1:]}
        yield pyarrow.table({"dataset_id": nodes["id"].take(indices_of(rows)), **unknown})

    def quanta_that_tell(self) -> tuple[Any, Any]:
        """Return of each quantum whether a log tells of it; and else, whether it may have used its inputs."""
        file = self._file(QUANTUM)
        assert file is not None
        logged, ran = [numpy.zeros(0, bool)], [numpy.zeros(0, bool)]
        for group in range(file.num_row_groups):
            table = self._read(file, QUANTUM, group, ["known_from", "status"])
            is_line = pc.equal(table["known_from"].cast(pyarrow.string()), scalar_of("line"))
            # All quanta of the first format are from logs.
            logged.append(numpy_of(pc.fill_null(is_line, scalar_of(True)).combine_chunks()))
            has_run = pc.not_equal(table["status"], scalar_of(0, table["status"].type))
            ran.append(numpy_of(pc.fill_null(has_run, FALSE).combine_chunks()))
        is_logged = numpy.concatenate(logged)
        return is_logged, ~is_logged & numpy.concatenate(ran)

    def _data_id(self, kind: Kind, value: Any) -> dict[str, Any] | None:
        try:
            return data_id_of(value)
        except (ValueError, RecursionError) as error:
            raise ArchiveError(f"{self._table(kind)}: a data ID is not a JSON object") from error

    def _table(self, kind: Kind) -> Path:
        return self._path / f"{'quanta' if kind == QUANTUM else 'datasets'}.parquet"

    def some_labels(self, kind: Kind) -> Iterator[Iterable[str]]:
        """Yield tasks or types, those of each part of a table, or all at once where they are known."""
        if kind == DATASET or kind in self._labels:
            yield self.labels(kind)
        else:
            yield from self._labels_of_parts(kind)

    def _labels_of_parts(self, kind: Kind) -> Iterator[list[str]]:
        file, name = self._file(kind), _LABELS[kind]
        for group in range(file.num_row_groups if file is not None else 0):
            column = self._read(file, kind, group, [name])[name]
            yield [*filter(None, pc.unique(column).to_pylist())]

    @cached_property
    def dimensions(self) -> dict[str, pyarrow.DataType]:
        """The dimensions of all datasets with names."""
        file = self._file(DATASET)
        if file is None:
            return {}
        return {field.name: field.type for field in file.schema_arrow.field("data_id").type}

    def _require_dimensions(self, kind: Kind, choice: Choice) -> None:
        """Raise if a condition is about something that is no dimension."""
        unknown = choice.dimensions - self.dimensions.keys()
        if unknown and kind == QUANTUM:
            unknown -= self._dimensions_of_quanta
        if unknown:
            there = ", ".join(sorted({*self.dimensions, *self._dimensions_of_quanta})) or "none"
            raise ConditionError(
                f"{', '.join(sorted(unknown))} is no dimension of these data IDs, which have {there}"
            )

    @cached_property
    def _dimensions_of_quanta(self) -> set[str]:
        """The dimensions of the quanta of all tasks."""
        return {name for _, names in self.dimensions_by_label(QUANTUM, None) for name in names}

    def dimensions_by_label(
        self, kind: Kind, labels: Collection[str] | None
    ) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield tasks or types with the dimensions of the first of each with a data ID."""
        file, name = self._file(kind), _LABELS[kind]
        seen: set[str | None] = {None}
        for group in range(file.num_row_groups if file is not None else 0):
            if labels is not None and seen.issuperset(labels):
                return
            of_rows = self._read(file, kind, group, [name])[name].cast(pyarrow.string())
            found = [one for one in pc.unique(of_rows).to_pylist() if one not in seen]
            seen.update(found)
            wanted = [one for one in found if labels is None or one in labels]
            if not wanted:
                continue
            data_ids = self._read(file, kind, group, ["data_id"])["data_id"]
            for label in wanted:
                mine = pc.and_(pc.equal(of_rows, scalar_of(label)), pc.is_valid(data_ids))
                if (row := pc.index(mine, scalar_of(True)).as_py()) < 0:
                    seen.discard(label)
                else:
                    yield label, self._data_id(kind, data_ids[row].as_py()) or {}

    def _fields(self, kind: Kind, data_ids: pyarrow.ChunkedArray, choice: Choice) -> Columns:
        if kind == QUANTUM:
            fields = parse_texts(data_ids, choice.dimensions)
            types = self.dimensions
            return {
                name: pyarrow.nulls(len(column), types[name]) if _is_unknown(column, name, types) else column
                for name, column in fields.items()
            }
        return fields_of(data_ids) if choice.dimensions else {}

    def _file(self, kind: Kind) -> pq.ParquetFile | None:
        """Return a table; archives of the first format have none of datasets."""
        if kind not in self._files:
            path = self._table(kind)
            try:
                self._files[kind] = pq.ParquetFile(path, memory_map=True)
            except FileNotFoundError as error:
                if kind == QUANTUM:
                    raise unreadable(path, error) from error
                self._files[kind] = None
            except _ERRORS as error:
                raise unreadable(path, error) from error
        return self._files[kind]

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self, self._path)

    @cached_property
    def _files(self) -> dict[Kind, pq.ParquetFile | None]:
        return {}

    def _read(
        self, file: pq.ParquetFile | None, kind: Kind, group: int, columns: Iterable[str]
    ) -> pyarrow.Table:
        """Read columns of a part of a table; those that archives of earlier releases lack are null."""
        assert file is not None
        names = [*dict.fromkeys(columns)]
        there = set(file.schema_arrow.names)
        read = [name for name in names if name.partition(".")[0] in there]
        if "status" in names:
            read += [name for name in TELLING if name in there and name not in read]
        try:
            table = file.read_row_group(group, columns=read)
        except _ERRORS as error:
            raise unreadable(self._table(kind), error) from error
        if not read:
            table = pyarrow.table({"": pyarrow.nulls(file.metadata.row_group(group).num_rows)})
        for name in names:
            if name.partition(".")[0] not in table.column_names:
                missing = pyarrow.nulls(len(table), _NULLS.get(name, pyarrow.string()))
                table = table.append_column(name, missing)
        if "status" in names:
            table = table.set_column(table.column_names.index("status"), "status", statuses(table, there))
        return table

    @cached_property
    def _nodes(self) -> tuple[pyarrow.Table, int]:
        """The lineage index, and how many of its rows, the first ones, are datasets."""
        path = self._path / "lineage.arrow"
        try:
            with pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_file(mapped) as file:
                nodes = file.read_all()
            return nodes, int(nodes.schema.metadata[b"datasets"])
        except (*_ERRORS, TypeError) as error:
            raise unreadable(path, error) from error

    @cached_property
    def _index(self) -> _core.LineageIndex:
        return _core.LineageIndex(self._nodes[0])

    def rows_of_ids(self, kind: Kind, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[int]]:
        """Return the row of what has each id, if there is any."""
        find = self._index.find_datasets if kind == DATASET else self._index.find_quanta
        try:
            places = find([id_.int for id_ in ids])
        except ValueError as error:
            raise unreadable(self._path / "lineage.arrow", error) from error
        rows = {id_: [] if row is None else [row] for id_, row in zip(ids, places, strict=True)}
        left = {id_.bytes: found for id_, found in rows.items() if not found}
        wanted = numpy.array([*left], "V16")
        for first, lone in self._lone_ids if left and kind == DATASET else ():
            texts = numpy.ascontiguousarray(lone).view("V16").reshape(-1)
            for row in numpy.flatnonzero(numpy.isin(texts, wanted)).tolist():
                left[texts[row].tobytes()].append(int(first + row))
        return rows

    def _parts_of_ids(self, kind: Kind) -> Iterator[tuple[int, Any]]:
        """Yield the bytes of ids, with the row of the first of them."""
        nodes, datasets = self._nodes
        ids = nodes["id"]
        start, stop = (0, datasets) if kind == DATASET else (datasets, len(ids))
        place = 0
        for chunk in ids.slice(start, stop - start).chunks:
            yield place, bytes_of(chunk)
            place += len(chunk)
        if kind == DATASET:
            yield from self._parts_of_lone_ids(place)

    @cached_property
    def _lone_ids(self) -> list[tuple[int, Any]]:
        """The ids of datasets that no quantum has, with their rows."""
        return [*self._parts_of_lone_ids(self._nodes[1])]

    def _parts_of_lone_ids(self, place: int) -> Iterator[tuple[int, Any]]:
        """Yield the same of datasets that no quantum has, which come after the others."""
        file = self._file(DATASET)
        row = 0
        for group in range(file.num_row_groups if file is not None else 0):
            assert file is not None
            rows = file.metadata.row_group(group).num_rows
            if row + rows > place:
                column = self._read(file, DATASET, group, ["dataset_id"])["dataset_id"].combine_chunks()
                skipped = max(place - row, 0)
                yield row + skipped, bytes_of(column)[skipped:]
            row += rows

    def rows_with(self, kind: Kind, digits: str, at_start: bool) -> Any:
        """Return the rows whose id begins, or ends, with some digits."""
        found = [numpy.zeros(0, numpy.int64)]
        for first, ids in self._parts_of_ids(kind):
            rows = numpy.arange(0)
            is_first = True
            for place, wanted, bits in wanted_bytes(digits, at_start):
                if is_first:
                    rows = numpy.flatnonzero(ids[:, place] & bits == wanted)
                    is_first = False
                else:
                    rows = rows[ids[rows, place] & bits == wanted]
            found.append(rows + first)
        return numpy.concatenate(found)

    def found_at(self, kind: Kind, rows: Iterable[int]) -> Iterator[Found]:
        """Yield what some rows, in ascending order, have."""
        if self._file(kind) is None:
            ids = self._nodes[0]["id"]
            yield from (Found(kind, _uuid(ids[int(row)].as_py())) for row in rows)
            return
        for table in self.rows_at(kind, rows, _named_by(kind)):
            yield from self.rows_of(kind, table)


def _named_by(kind: Kind) -> tuple[str, ...]:
    """Return the columns that tell what a row is the name of."""
    return _IDS[kind], _LABELS[kind], "data_id", "run"


def _needed(kind: Kind, choice: Choice) -> list[str]:
    """Return the columns that a choice is made by, besides data IDs."""
    wanted = ((_LABELS[kind], choice.labels), ("run", choice.runs), ("status", choice.statuses))
    return [name for name, values in wanted if values is not None]


def _data_id_columns(kind: Kind, choice: Choice) -> list[str]:
    if kind == QUANTUM or not choice.dimensions:
        return ["data_id"]
    return [f"data_id.{name}" for name in sorted(choice.dimensions)]


def _is_unknown(column: Any, name: str, types: dict[str, pyarrow.DataType]) -> bool:
    return name in types and pyarrow.types.is_null(column.type)


def _uuid(value: Any) -> uuid.UUID:
    """Return an id as a table has it, with or without Arrow's type for them."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)
