"""Comparisons of two runs of the same tasks."""

from __future__ import annotations

__all__ = ("Comparison", "TaskComparison", "TypeComparison")

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from ..archive.showing import Showable, html_page, html_table
from .times import Quantiles

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
