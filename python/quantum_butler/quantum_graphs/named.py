"""Quanta and datasets of graphs, by name: the graphs' side of `queries`."""

from __future__ import annotations

__all__ = ("GraphRows",)

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow
import pyarrow.compute as pc

from ..queries.arrays import FALSE, array_of
from ..queries.choice import Choice
from ..queries.conditions import Columns
from ..queries.data_ids import data_id_of, fields_of
from ..queries.errors import ConditionError
from ..queries.found import DATASET, QUANTUM, Found, Kind, Use
from ..queries.resolving import Source
from .errors import QuantumGraphError, UnknownNameError
from .predicted import PredictedGraph
from .provenance import ProvenanceGraph

_LABELS = {QUANTUM: "task_label", DATASET: "dataset_type"}
_IDS = {QUANTUM: "quantum_id", DATASET: "dataset_id"}

# Quanta, or datasets, that are looked at together.
_AT_ONCE = 1 << 16


class GraphRows(Source):
    """Finds quanta and datasets by name. A name without a whole id is looked for in the file.

    Data IDs have the required dimensions of a task or a type, as those of archives have.
    """

    def __init__(self, graph: ProvenanceGraph | PredictedGraph):
        self._graph = graph

    def shown(self) -> str:
        """Return what the graph is called in messages."""
        files = self._graph.files
        return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"

    def unknown(self, message: str) -> Exception:
        """Return the error that says that there is no such thing."""
        return UnknownNameError(message)

    def labels(self, kind: Kind) -> Sequence[str]:
        """Return the tasks of the quanta, or the types of the datasets."""
        return [*(self._graph.tasks if kind == QUANTUM else self._graph.dataset_types)]

    def found_by_id(self, kind: Kind, id_: uuid.UUID) -> Found | None:
        """Return what has an id."""
        graph = self._graph
        try:
            if kind == QUANTUM:
                one = graph.quantum(id_)
                return Found(
                    kind, id_, one.task_label, self.plain(kind, one.task_label, one.data_id), one.run
                )
            if isinstance(graph, ProvenanceGraph):
                it = graph.dataset(id_)
                data_id = self.plain(kind, it.dataset_type, it.data_id)
                return Found(kind, id_, it.dataset_type, data_id, it.run)
        except UnknownNameError:
            return None
        return next(self.found_by_part(kind, id_.hex), None)

    def found_by_part(self, kind: Kind, digits: str) -> Iterator[Found]:
        """Yield what has an id that begins or ends with some digits."""
        for table in self.scan(kind, Choice()):
            ids = table[_IDS[kind]].to_pylist()
            rows = [
                row
                for row, one in enumerate(ids)
                if (text := _uuid(one).hex).startswith(digits) or text.endswith(digits)
            ]
            yield from self.rows_of(kind, table.take(pyarrow.array(rows, pyarrow.int64())))

    def found_by_path(self, path: str) -> Iterator[Found]:
        """Yield nothing: graphs know no files."""
        yield from ()

    def found(self, kind: Kind, choice: Choice) -> Iterator[Found]:
        """Yield what is wanted."""
        for table in self.scan(kind, choice):
            yield from self.rows_of(kind, table)

    def scan(self, kind: Kind, choice: Choice, columns: Sequence[str] = ()) -> Iterator[pyarrow.Table]:
        """Yield the wanted rows, some at a time, with whatever the graph has of them."""
        self._require_dimensions(choice)
        seen: set[bytes] = set()
        for table in self._tables(kind):
            if len(self._graph.files) > 1:
                table = self._once(kind, table, seen)
            mask = choice.simple_mask(table, _LABELS[kind])
            some = table if mask is None else table.filter(mask)
            met = choice.met(lambda some=some: self._fields(kind, some, choice), len(some))  # type: ignore[misc]
            found = some if met is None else some.filter(met)
            if len(found):
                yield found.select(list(columns)) if columns else found

    def scan_use(self, choice: Choice, use: Use) -> Iterator[pyarrow.Table]:
        """Yield the datasets that are wanted and are not there; what was used a graph does not know."""
        if use == "unused":
            raise QuantumGraphError(f"{self.shown()}: a graph does not know what was used; ask an archive")
        for table in self.scan(DATASET, choice):
            found = table.filter(pc.equal(table["produced"], FALSE))
            if len(found):
                yield found

    def rows_of(self, kind: Kind, table: pyarrow.Table) -> Iterator[Found]:
        """Yield what the rows of a table are the names of."""
        for row in table.select([_IDS[kind], _LABELS[kind], "data_id", "run"]).to_pylist():
            label = row[_LABELS[kind]]
            data_id = self.plain(kind, label, data_id_of(row["data_id"]) or {})
            yield Found(kind, _uuid(row[_IDS[kind]]), label, data_id, row["run"])

    def empty(self, kind: Kind) -> pyarrow.Table:
        """Return a table as `scan` yields them, without rows."""
        return next(self._tables(kind)).slice(0, 0)

    def plain(self, kind: Kind, label: str, data_id: dict[str, Any]) -> dict[str, Any]:
        """Return a data ID without the dimensions that others imply."""
        known = self._graph.tasks if kind == QUANTUM else self._graph.dataset_types
        one = known.get(label)
        return data_id if one is None else {name: data_id[name] for name in one.required if name in data_id}

    def _tables(self, kind: Kind) -> Iterator[pyarrow.Table]:
        graph = self._graph
        if kind == DATASET:
            yield from map(self._with_produced, graph.datasets_tables(_AT_ONCE))
        elif isinstance(graph, ProvenanceGraph):
            for tables in graph.quanta_tables(_AT_ONCE):
                yield tables.quanta
        else:
            for quanta, _ in graph.quanta_tables(_AT_ONCE):
                yield quanta.append_column("status", pyarrow.nulls(len(quanta), pyarrow.int64()))

    def _with_produced(self, table: pyarrow.Table) -> pyarrow.Table:
        """Return datasets with ``produced`` as archives have it: null where no quantum was to write them."""
        written = [None] * len(table)
        if "produced" in table.column_names:
            written = table["produced"].to_pylist()
            table = table.drop_columns(["produced"])
        producers = [None if one is None else _uuid(one) for one in table["producer"].to_pylist()]
        produced = [
            None if one is None or one in self.init_ids else bool(is_there)
            for one, is_there in zip(producers, written, strict=True)
        ]
        return table.append_column("produced", array_of(produced, pyarrow.bool_()))

    @cached_property
    def init_ids(self) -> set[uuid.UUID]:
        """The ids that init-outputs have as their producers."""
        return {one.quantum_id for one in self._graph.init_quanta}

    def _once(self, kind: Kind, table: pyarrow.Table, seen: set[bytes]) -> pyarrow.Table:
        """Return the rows that no earlier file has told of, with what all files know of them."""
        rows = []
        for row, one in enumerate(table[_IDS[kind]].to_pylist()):
            key = _uuid(one).bytes
            if key not in seen:
                seen.add(key)
                rows.append(row)
        table = table.take(pyarrow.array(rows, pyarrow.int64()))
        graph = self._graph
        if not isinstance(graph, ProvenanceGraph):
            return table
        ids = [_uuid(one) for one in table[_IDS[kind]].to_pylist()]
        name = "status" if kind == QUANTUM else "produced"
        place = table.column_names.index(name)
        if kind == QUANTUM:
            column = pyarrow.array([int(graph.quantum(one).status) for one in ids], pyarrow.int64())
        else:
            column = pyarrow.array([graph.dataset(one).produced for one in ids], pyarrow.bool_())
        return table.set_column(place, name, column)

    @cached_property
    def dimensions(self) -> set[str]:
        """The dimensions of all tasks and types."""
        found = {name for task in self._graph.tasks.values() for name in task.required}
        return found.union(*(type_.required for type_ in self._graph.dataset_types.values()))

    def dimensions_by_label(
        self, kind: Kind, labels: Collection[str] | None
    ) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield tasks or types with the required dimensions, which their data IDs have."""
        known = self._graph.tasks if kind == QUANTUM else self._graph.dataset_types
        yield from ((label, one.required) for label, one in known.items())

    def _require_dimensions(self, choice: Choice) -> None:
        """Raise if a condition is about something that is no dimension."""
        if unknown := choice.dimensions - self.dimensions:
            there = ", ".join(sorted(self.dimensions)) or "none"
            raise ConditionError(
                f"{', '.join(sorted(unknown))} is no dimension of these data IDs, which have {there}"
            )

    def _fields(self, kind: Kind, table: pyarrow.Table, choice: Choice) -> Columns:
        fields = fields_of(table["data_id"])
        known = self._graph.tasks if kind == QUANTUM else self._graph.dataset_types
        labels = table[_LABELS[kind]].combine_chunks()
        if not pyarrow.types.is_dictionary(labels.type):
            labels = labels.dictionary_encode()
        names = [known.get(label) for label in labels.dictionary.to_pylist()]
        found = {}
        for name in choice.dimensions:
            if name not in fields:
                found[name] = pyarrow.nulls(len(table))
                continue
            has_it = pyarrow.array([one is None or name in one.required for one in names], pyarrow.bool_())
            column = fields[name]
            if pyarrow.types.is_dictionary(column.type):
                column = column.cast(pyarrow.string())
            found[name] = pc.if_else(has_it.take(labels.indices), column, pyarrow.scalar(None, column.type))
        return found


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value)
