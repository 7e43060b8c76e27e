"""Sources of a report: an archive, or provenance graphs, as batches of one form."""

from __future__ import annotations

__all__ = ("Pipeline", "Runs")

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet as pq

from ..archive.archive import Archive
from ..archive.columns import batches_of
from ..archive.errors import ArchiveError, unreadable
from ..archive.statuses import TELLING, statuses
from ..paths import Name, is_folder, is_there, local_path
from ..quantum_graphs import ProvenanceGraph

_COLUMNS = (
    "quantum_id",
    "task_label",
    "run",
    "data_id",
    "status",
    "caveats",
    "exception_type",
    "exception_message",
    "host",
    "memory",
    "start",
    "prep_time",
    "init_time",
    "run_time",
    "run_time_cpu",
    "time_in_get",
    "time_in_put",
    "start_time_cpu",
    "graph_read_time",
    "earlier_quanta",
    "attempts",
    "failed",
    "known_from",
)

# Rows that are looked at together.
_AT_ONCE = 1 << 16


class Pipeline(NamedTuple):
    """Tasks, and the dataset types that lead from one to the next."""

    inputs: Mapping[str, frozenset[str]]
    """Names of the dataset types that each task reads."""

    outputs: Mapping[str, frozenset[str]]
    """Names of the dataset types that each task writes."""

    def edges(self) -> list[tuple[str, str]]:
        """Return which task reads what another has written, each pair once."""
        return sorted(
            (first, second)
            for first, written in self.outputs.items()
            for second, read in self.inputs.items()
            if first != second and written & read
        )


class Runs:
    """One archive, or any number of provenance graphs."""

    def __init__(self, *places: Name):
        self.places = tuple(str(local_path(place)) for place in places)
        """Where they are (`tuple` [`str`, ...])."""
        self.archive: Archive | None = None
        """The archive, if it is one (`Archive` or `None`)."""
        self.graph: ProvenanceGraph | None = None
        """The graphs, if it is no archive (`ProvenanceGraph` or `None`)."""
        if len(places) == 1 and is_folder(self.places[0]):
            self.archive = Archive(places[0])
        elif any(is_folder(place) for place in self.places):
            raise ArchiveError(f"{self.places[0]}: one archive, or graphs; several archives are merged first")
        else:
            self.graph = ProvenanceGraph(*places)

    def batches(self, columns: Sequence[str]) -> Iterator[pyarrow.Table]:
        """Yield all quanta in batches, with these columns. Unknown values are null."""
        unknown = set(columns) - set(_COLUMNS)
        assert not unknown, unknown
        for table in self._tables(columns):
            known = set(table.column_names)
            yield pyarrow.table(
                {
                    name: table[name] if name in known else pyarrow.nulls(len(table), _null_type(name))
                    for name in columns
                }
            )

    def _tables(self, columns: Sequence[str]) -> Iterator[pyarrow.Table]:
        if self.graph is not None:
            for tables in self.graph.quanta_tables(_AT_ONCE):
                yield tables.quanta
            return
        assert self.archive is not None
        path = self.archive.path / "quanta.parquet"
        try:
            with pq.ParquetFile(path) as file:
                there = [name for name in {*columns, *TELLING} if name in file.schema_arrow.names]
                for batch in batches_of(file, _AT_ONCE, there):
                    table = pyarrow.Table.from_batches([batch])
                    if "status" in columns:
                        told = statuses(table, there)
                        table = table.drop_columns("status") if "status" in there else table
                        table = table.append_column("status", told)
                    yield table
        except (OSError, pyarrow.ArrowException) as error:
            raise unreadable(path, error) from error

    def data_id(self, task_label: str, value: Any) -> dict[str, Any]:
        """Return a data ID as a dictionary, without the dimensions that others imply."""
        if isinstance(value, str):
            value = json.loads(value)
        found = {} if value is None else {name: one for name, one in value.items() if one is not None}
        task = None if self.graph is None else self.graph.tasks.get(task_label)
        return found if task is None else {name: found[name] for name in task.required if name in found}

    @property
    def pipeline(self) -> Pipeline:
        """Tasks and their dataset types; without tasks if nobody has told of them (`Pipeline`)."""
        if self.graph is not None:
            return Pipeline(
                {label: frozenset(task.inputs.values()) for label, task in self.graph.tasks.items()},
                {label: frozenset(task.outputs.values()) for label, task in self.graph.tasks.items()},
            )
        assert self.archive is not None
        path = self.archive.path / "tasks.parquet"
        told: dict[str, dict[str, set[str]]] = {"inputs": {}, "outputs": {}}
        if is_there(path):
            try:
                rows = pq.read_table(path).to_pylist()
            except (OSError, pyarrow.ArrowException) as error:
                raise unreadable(path, error) from error
            for row in rows:
                if row["kind"] in told:
                    told[row["kind"]].setdefault(row["task_label"], set()).add(row["dataset_type"])
        return Pipeline(
            *(
                {task: frozenset(types) for task, types in told[kind].items()}
                for kind in ("inputs", "outputs")
            )
        )


def _null_type(name: str) -> pyarrow.DataType:
    if name.endswith(("time", "cpu", "get", "put")) or name == "memory":
        return pyarrow.float64()
    if name in ("status", "caveats", "attempts", "earlier_quanta"):
        return pyarrow.int64()
    return pyarrow.string()
