"""Comparison of two runs of the same tasks."""

from __future__ import annotations

__all__ = ("Comparison", "TaskComparison", "TypeComparison", "compare")

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..archive.columns import in_one_piece
from ..archive.naming import mixed
from ..archive.showing import Showable, html_page, html_table
from ..paths import Name
from ..quantum_graphs import QuantumStatus
from .counts import STATUSES
from .matching import Matches, match, match_datasets, rows_without_partner
from .sides import Side, decoded, names_of_quanta, read_side
from .times import Quantiles, quantiles_of

_MEASURES = ("run_time", "run_time_cpu", "memory")

# Whose sizes depend on how long things took.
_UNSTEADY = ("_metadata", "_log")


_OF_TASKS = ("label", "left", "right", "matched", "failing", "mended", "gained", "lost")
_OF_TYPES = ("name", "left", "right", "only_left", "only_right", "resized", "left_bytes", "right_bytes")


@dataclass
class TaskComparison:
    """The quanta of a task in two runs."""

    label: str
    """Label of the task (`str`)."""

    left: int = 0
    """Quanta of the left run (`int`)."""

    right: int = 0
    """Quanta of the right run (`int`)."""

    matched: int = 0
    """Quanta of both (`int`)."""

    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Quanta that ended in another way, by status on the left and on the right (`collections.Counter`)."""

    failing: int = 0
    """Quanta that succeeded on the left, and not on the right (`int`)."""

    mended: int = 0
    """Quanta that succeeded on the right, and not on the left (`int`)."""

    gained: int = 0
    """Inputs that quanta have on the right only (`int`)."""

    lost: int = 0
    """Inputs that quanta have on the left only (`int`)."""

    times: dict[str, tuple[Quantiles, Quantiles]] = field(default_factory=dict)
    """Left and right percentiles of ``run_time``, ``run_time_cpu`` and ``memory``, of quanta of both of which
    it is known on both sides (`dict` [`str`, `tuple`])."""

    ratio: tuple[float, ...] | None = None
    """Percentiles of how many times as long each quantum ran on the right (`tuple` [`float`, ...] or
    `None`)."""


@dataclass
class TypeComparison:
    """Outputs of a dataset type in two runs."""

    name: str
    """Name of the type (`str`)."""

    left: int = 0
    """Datasets that were written on the left (`int`)."""

    right: int = 0
    """Datasets that were written on the right (`int`)."""

    only_left: int = 0
    """Those written on the left only (`int`)."""

    only_right: int = 0
    """Those written on the right only (`int`)."""

    sized: int = 0
    """Those written on both sides whose sizes are known (`int`)."""

    resized: int = 0
    """Those of them whose size differs (`int`)."""

    left_bytes: int = 0
    """Bytes of those with known sizes on the left (`int`)."""

    right_bytes: int = 0
    """The same on the right (`int`)."""

    @property
    def is_steady(self) -> bool:
        """Return whether a size that differs is a difference: not so of task metadata and logs (`bool`)."""
        return not self.name.endswith(_UNSTEADY)


@dataclass
class Comparison(Showable):
    """Differences between two runs, quantum by quantum and dataset by dataset."""

    left: tuple[str, ...]
    """The left archive or graphs (`tuple` [`str`, ...])."""

    right: tuple[str, ...]
    """The right archive or graphs (`tuple` [`str`, ...])."""

    tasks: list[TaskComparison]
    """By task, in the order of their labels (`list` [`TaskComparison`])."""

    types: list[TypeComparison]
    """By dataset type, in the order of their names (`list` [`TypeComparison`])."""

    changes: pa.Table = field(repr=False)
    """Quanta that ended in another way: ``task_label``, ``data_id``, ids, statuses and what they failed with
    (`pyarrow.Table`)."""

    quanta: pa.Table = field(repr=False)
    """Quanta of one run only: ``task_label``, ``data_id``, ``quantum_id`` and ``side`` (`pyarrow.Table`)."""

    inputs: pa.Table = field(repr=False)
    """Inputs that a quantum of both has in one run only, with ``side`` and ``is_actual``: whether that is by
    what was really used (`pyarrow.Table`)."""

    datasets: pa.Table = field(repr=False)
    """Datasets that were written on one side only, or with another size: ``dataset_type``, ``data_id``, ids
    and sizes (`pyarrow.Table`)."""

    remarks: list[str]
    """What could not be compared (`list` [`str`])."""

    @property
    def is_same(self) -> bool:
        """Return whether nothing differs but times, and sizes of task metadata and logs (`bool`)."""
        resized = any(one.resized for one in self.types if one.is_steady)
        only = any(one.only_left or one.only_right for one in self.types)
        return not (len(self.changes) or len(self.quanta) or len(self.inputs) or only or resized)

    def to_arrow(self) -> dict[str, pa.Table]:
        """Return it as Arrow tables.

        Returns
        -------
        tables : `dict` [`str`, `pyarrow.Table`]
            ``tasks``, ``dataset_types``, and the details: ``changes``, ``quanta``, ``inputs`` and
            ``datasets``.
        """
        return {
            "tasks": pa.table({name: [getattr(one, name) for one in self.tasks] for name in _OF_TASKS}),
            "dataset_types": pa.table(
                {name: [getattr(one, name) for one in self.types] for name in _OF_TYPES}
            ),
            "changes": self.changes,
            "quanta": self.quanta,
            "inputs": self.inputs,
            "datasets": self.datasets,
        }

    def _repr_html_(self) -> str:
        parts = []
        for names, rows in ((_OF_TASKS, self.tasks), (_OF_TYPES, self.types)):
            cells = [[getattr(one, name) for name in names] for one in rows]
            parts.append(html_table(names, cells, len(cells)))
        for rows_of in (self.changes, self.quanta, self.inputs, self.datasets):
            if len(rows_of):
                some = [[*row.values()] for row in rows_of.slice(0, 20).to_pylist()]
                parts.append(html_table(rows_of.column_names, some, len(rows_of)))
        word = "the same" if self.is_same else "different"
        return html_page(f"{', '.join(self.left)} and {', '.join(self.right)} are {word}", *parts)


def compare(left: Name | Sequence[Name], right: Name | Sequence[Name]) -> Comparison:
    """Compare two runs of the same tasks: quanta by task and data ID, datasets by type and data ID.

    Parameters
    ----------
    left : `str`, `os.PathLike`, or a sequence of these
        The folder of an archive, or provenance graphs (``.qg``) of one run.
    right : `str`, `os.PathLike`, or a sequence of these
        The same of the other run.

    Returns
    -------
    comparison : `Comparison`
        What differs.

    Raises
    ------
    ArchiveError
        Raised if a folder is not an archive.
    QuantumGraphError
        Raised if a file is no provenance graph.

    Notes
    -----
    Ids do not matter, nor does the run that datasets are in.  Inputs are
    those that a quantum has really used if both sides know that, else those
    that were predicted.
    """
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(read_side, (_places(left), _places(right)))
    remarks: list[str] = []
    quanta = match(names_of_quanta(one.quanta), names_of_quanta(other.quanta))
    tasks: dict[str, TaskComparison] = {}
    _count(one, other, quanta, tasks)
    changes = _changes(one, other, quanta, tasks)
    _compare_times(one, other, quanta, tasks)
    types: dict[str, TypeComparison] = {}
    if one.has_names == other.has_names:
        names = match_datasets(one.datasets, other.datasets)
        inputs = _inputs(one, other, quanta, names, tasks)
        datasets = _datasets(one, other, names, types)
    else:
        nameless = other if one.has_names else one
        remarks.append(f"{nameless.places[0]} does not tell what datasets are called: they are not compared")
        inputs, datasets = _no_inputs(), _no_datasets()
    return Comparison(
        one.places,
        other.places,
        [tasks[label] for label in sorted(tasks)],
        [types[name] for name in sorted(types)],
        changes,
        _only(one, other, quanta),
        inputs,
        datasets,
        remarks,
    )


def _places(side: Name | Sequence[Name]) -> Sequence[Name]:
    return side if isinstance(side, (list, tuple)) else [side]  # type: ignore[list-item]


def _labels(side: Side, rows: Any = None) -> pa.ChunkedArray:
    labels = side.quanta["task_label"] if rows is None else side.quanta["task_label"].take(pa.array(rows))
    return pc.fill_null(labels, "unknown")


def _counted(labels: pa.ChunkedArray) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(labels).to_pylist()}


def _count(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> None:
    """Count the quanta of each task."""
    for labels, name in (
        (_labels(one), "left"),
        (_labels(other), "right"),
        (_labels(one, quanta.left), "matched"),
    ):
        for label, count in _counted(labels).items():
            setattr(tasks.setdefault(label, TaskComparison(label)), name, count)


def _statuses(side: Side, rows: Any) -> Any:
    """Return the statuses of quanta, a number below all for those of which nobody tells."""
    return pc.fill_null(side.quanta["status"].take(pa.array(rows)), -99).to_numpy()


def _word(status: int) -> str:
    return STATUSES[None if status == -99 else QuantumStatus(status)]


def _changes(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> pa.Table:
    """Return the quanta that ended in another way, and count them."""
    before, after = _statuses(one, quanta.left), _statuses(other, quanta.right)
    caveats = [
        pc.fill_null(side.quanta["caveats"].take(pa.array(rows)), 0).to_numpy()
        for side, rows in ((one, quanta.left), (other, quanta.right))
    ]
    # What a success is worth is known only where there is a status.
    differs = (before != after) | ((before == 1) & (after == 1) & (caveats[0] != caveats[1]))
    places = np.flatnonzero(differs)
    rows, others = pa.array(quanta.left[places]), pa.array(quanta.right[places])
    before, after = before[places], after[places]
    words = [[_word(int(status)) for status in some] for some in (before, after)]
    table = pa.table(
        {
            "task_label": _labels(one, quanta.left[places]),
            "data_id": one.quanta["data_id"].take(rows),
            "left_id": one.quanta["quantum_id"].take(rows),
            "right_id": other.quanta["quantum_id"].take(others),
            "left_status": pa.array(words[0], pa.string()),
            "right_status": pa.array(words[1], pa.string()),
            "left_caveats": pa.array(caveats[0][places]),
            "right_caveats": pa.array(caveats[1][places]),
            "left_exception": one.quanta["exception_type"].take(rows),
            "right_exception": other.quanta["exception_type"].take(others),
            "right_message": other.quanta["exception_message"].take(others),
        }
    )
    for row in (
        table.select(["task_label", "left_status", "right_status"])
        .group_by(["task_label", "left_status", "right_status"])
        .aggregate([([], "count_all")])
        .to_pylist()
    ):
        task, pair = tasks[row["task_label"]], (row["left_status"], row["right_status"])
        task.changes[pair] += row["count_all"]
        good = STATUSES[QuantumStatus.SUCCESSFUL]
        if pair[0] == good != pair[1]:
            task.failing += row["count_all"]
        elif pair[1] == good != pair[0]:
            task.mended += row["count_all"]
    return table


def _only(one: Side, other: Side, quanta: Matches) -> pa.Table:
    """Return the quanta of one side only."""
    parts = []
    for side, rows, word in ((one, quanta.only_left, "left"), (other, quanta.only_right, "right")):
        some = side.quanta.take(pa.array(rows))
        parts.append(
            pa.table(
                {
                    "task_label": some["task_label"],
                    "data_id": some["data_id"],
                    "quantum_id": some["quantum_id"],
                    "side": pa.array([word] * len(some), pa.string()),
                }
            )
        )
    return pa.concat_tables(parts)


def _compare_times(one: Side, other: Side, quanta: Matches, tasks: dict[str, TaskComparison]) -> None:
    """Sum up the times of quanta of both."""
    encoded = in_one_piece(_labels(one, quanta.left)).dictionary_encode()
    which = encoded.indices.to_numpy(zero_copy_only=False)
    columns = {
        name: tuple(
            side.quanta[name].take(pa.array(rows)).cast(pa.float64()).to_numpy()
            for side, rows in ((one, quanta.left), (other, quanta.right))
        )
        for name in _MEASURES
    }
    for number, label in enumerate(encoded.dictionary.to_pylist()):
        own = np.flatnonzero(which == number)
        task = tasks[label]
        for name, (before, after) in columns.items():
            known = own[~(np.isnan(before[own]) | np.isnan(after[own]))]
            if not len(known):
                continue
            task.times[name] = quantiles_of(before[known]), quantiles_of(after[known])
            if name == "run_time" and len(ran := known[before[known] > 0]):
                task.ratio = quantiles_of(after[ran] / before[ran]).percentiles


def _inputs(
    one: Side, other: Side, quanta: Matches, names: Matches, tasks: dict[str, TaskComparison]
) -> pa.Table:
    """Return the inputs that quanta of both have on one side only, and count them."""
    use_actual = one.is_actual[quanta.left] & other.is_actual[quanta.right]
    uses = []
    for side, rows, codes in (
        (one, quanta.left, names.left_codes),
        (other, quanta.right, names.right_codes),
    ):
        pair_of = np.full(len(side.quanta), -1, np.int64)
        pair_of[rows] = np.arange(len(rows))
        pairs = pair_of[side.owners]
        counts = (pairs >= 0) & np.where(
            use_actual[pairs] if len(rows) else False, side.actual, side.predicted
        )
        uses.append((pairs[counts], codes[side.used[counts]], side.used[counts]))
    differs = _sums(*uses[0][:2], len(quanta.left)) != _sums(*uses[1][:2], len(quanta.left))
    uses = [tuple(some[differs[pairs]] for some in (pairs, *rest)) for pairs, *rest in uses]
    most = 1 + max((int(numbers.max()) for _, numbers, _ in uses if len(numbers)), default=0)
    keys = [pairs * most + numbers for pairs, numbers, _ in uses]
    parts = []
    for word, place, side in (("left", 0, one), ("right", 1, other)):
        alone = rows_without_partner(keys[place], keys[1 - place])
        pairs, used = uses[place][0][alone], uses[place][2][alone]
        rows = quanta.left[pairs]
        parts.append(
            pa.table(
                {
                    "task_label": _labels(one, rows),
                    "data_id": one.quanta["data_id"].take(pa.array(rows)),
                    "left_id": one.quanta["quantum_id"].take(pa.array(rows)),
                    "right_id": other.quanta["quantum_id"].take(pa.array(quanta.right[pairs])),
                    "dataset_id": side.datasets.ids.take(pa.array(used)),
                    "dataset_type": decoded(side.datasets.types.take(pa.array(used))),
                    "dataset_data_id": side.datasets.texts(used),
                    "side": pa.array([word] * len(alone), pa.string()),
                    "is_actual": pa.array(use_actual[pairs]),
                }
            )
        )
        for label, count in _counted(parts[-1]["task_label"]).items():
            setattr(tasks[label], "lost" if place == 0 else "gained", count)
    return pa.concat_tables(parts)


def _sums(pairs: Any, numbers: Any, count: int) -> Any:
    """Return a sum of what each pair of quanta has on one side: of the same it is the same."""
    # One number changed, gained or lost always changes it, and several do but for one case in 2^64.
    sums = np.zeros(count, np.uint64)
    if len(pairs):
        begins = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
        sums[pairs[begins]] = np.add.reduceat(mixed((numbers + 1).view(np.uint64)), begins)
    return sums


def _no_inputs() -> pa.Table:
    names = ("task_label", "data_id", "dataset_type", "dataset_data_id", "side")
    ids = ("left_id", "right_id", "dataset_id")
    columns = {name: pa.nulls(0, pa.string()) for name in names} | {
        name: pa.nulls(0, pa.uuid()) for name in ids
    }
    return pa.table({**columns, "is_actual": pa.nulls(0, pa.bool_())})


def _datasets(one: Side, other: Side, names: Matches, types: dict[str, TypeComparison]) -> pa.Table:
    """Return what was written on one side only or with another size, and count by type."""
    for side, word in ((one, "left"), (other, "right")):
        _add(types, side.datasets.types.filter(pa.array(side.datasets.written)), word)
    left, right = names.left, names.right
    here, there = one.datasets.written[left], other.datasets.written[right]
    sizes = [
        pc.fill_null(side.datasets.sizes.take(pa.array(rows)), -1).to_numpy()
        for side, rows in ((one, left), (other, right))
    ]
    sized = here & there & (sizes[0] >= 0) & (sizes[1] >= 0)
    resized = sized & (sizes[0] != sizes[1])
    for rows, word in ((sized, "sized"), (resized, "resized")):
        _add(types, one.datasets.types.take(pa.array(left[rows])), word)
    of_types = one.datasets.types.take(pa.array(left[sized]))
    of_types = of_types if pa.types.is_dictionary(of_types.type) else of_types.dictionary_encode()
    for place, word in enumerate(("left_bytes", "right_bytes")):
        summed = pa.table({"type": of_types.indices, "bytes": sizes[place][sized]}).group_by("type")
        for row in summed.aggregate([("bytes", "sum")]).to_pylist():
            if row["type"] is not None:
                setattr(types[of_types.dictionary[row["type"]].as_py()], word, row["bytes_sum"])
    alone_left = np.append(left[here & ~there], names.only_left[one.datasets.written[names.only_left]])
    alone_right = np.append(right[there & ~here], names.only_right[other.datasets.written[names.only_right]])
    _add(types, one.datasets.types.take(pa.array(alone_left)), "only_left")
    _add(types, other.datasets.types.take(pa.array(alone_right)), "only_right")
    nothing = np.zeros(0, np.int64)
    return pa.concat_tables(
        [
            _dataset_rows(one, other, left[resized], right[resized]),
            _dataset_rows(one, other, alone_left, nothing),
            _dataset_rows(one, other, nothing, alone_right),
        ]
    )


def _add(types: dict[str, TypeComparison], names: pa.Array, word: str) -> None:
    """Add to a number of each type."""
    for name, count in _counted(names.drop_null()).items():
        of_type = types.setdefault(name, TypeComparison(name))
        setattr(of_type, word, getattr(of_type, word) + count)


def _dataset_rows(one: Side, other: Side, left: Any, right: Any) -> pa.Table:
    """Return rows of the table of datasets: of both sides, or of the one that has some."""
    count = max(len(left), len(right))
    side, rows = (one, left) if len(left) else (other, right)
    columns: dict[str, Any] = {
        "dataset_type": decoded(side.datasets.types.take(pa.array(rows))),
        "data_id": side.datasets.texts(rows),
    }
    for word, of, own in (("left", one, left), ("right", other, right)):
        has = len(own) == count
        columns[f"{word}_id"] = of.datasets.ids.take(pa.array(own)) if has else pa.nulls(count, pa.uuid())
        columns[f"{word}_size"] = (
            of.datasets.sizes.take(pa.array(own)) if has else pa.nulls(count, pa.int64())
        )
    return pa.table(columns)


def _no_datasets() -> pa.Table:
    columns = {name: pa.nulls(0, pa.string()) for name in ("dataset_type", "data_id")}
    for word in ("left", "right"):
        columns |= {f"{word}_id": pa.nulls(0, pa.uuid()), f"{word}_size": pa.nulls(0, pa.int64())}
    return pa.table(columns)
