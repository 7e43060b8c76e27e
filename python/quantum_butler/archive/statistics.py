"""Counts the quanta of an archive, their datasets and bytes, task by task."""

from __future__ import annotations

__all__ = ("count",)

from typing import TYPE_CHECKING, Any

import numpy
import pyarrow

from .columns import whole
from .format import ROLES
from .results import Statistics, TaskStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .reader import Reader


# Places of the roles that logs alone tell of.
_OF_USE = [ROLES.index(role) for role in ("available_input", "actual_input")]


def count(reader: Reader) -> Statistics:
    """Count quanta, datasets and bytes."""
    label_of, sizes = reader.tasks_and_sizes()
    labels, task_of = _numbered(label_of)
    buffers = [None, pyarrow.py_buffer(task_of)]
    column = pyarrow.Array.from_buffers(pyarrow.uint32(), len(task_of), buffers)
    numbers = pyarrow.Table.from_arrays([column], ["task"])
    counts, all_counts = reader.ask(lambda index: index.census(numbers, len(labels)))
    quanta = numpy.bincount(task_of, minlength=len(labels)).tolist()
    sums = numpy.zeros((len(labels), len(ROLES)), numpy.int64)
    for place, role in enumerate(ROLES):
        numpy.add.at(sums[:, place], task_of, sizes[role])
    known = _known(reader, task_of, sums, numpy.array([datasets for datasets, _, _ in counts]))
    tells = _tells_of_use(reader, task_of, numpy.array([datasets for datasets, _, _ in counts]))
    tasks = [
        _task(label, quanta[n], counts[n], sums[n].tolist(), known[n].tolist(), bool(tells[n]))
        for n, label in enumerate(labels)
        if quanta[n]
    ]
    any_known = numpy.logical_or.reduce(known, axis=0)
    sizes_in_all = sums.sum(axis=0).tolist()
    is_told = not tasks or bool(tells.any())
    total = _task(None, sum(quanta), all_counts, sizes_in_all, any_known.tolist(), is_told)
    return Statistics(tasks, total)


def _numbered(label_of: pyarrow.ChunkedArray) -> tuple[list[str | None], numpy.ndarray[Any, Any]]:
    """Return the labels, and for each quantum the place of its own among them."""
    if not pyarrow.types.is_dictionary(label_of.type):
        label_of = label_of.dictionary_encode()
    label_of = label_of.unify_dictionaries().combine_chunks()
    labels: list[str | None] = [*label_of.dictionary.to_pylist(), None]
    indices = label_of.indices
    if indices.null_count:
        indices = indices.fill_null(len(labels) - 1)
    return labels, whole(pyarrow.chunked_array([indices])).astype(numpy.uint32)


def _known(
    reader: Reader,
    task_of: numpy.ndarray[Any, Any],
    sums: numpy.ndarray[Any, Any],
    datasets: numpy.ndarray[Any, Any],
) -> numpy.ndarray[Any, Any]:
    """Return of which tasks and roles any size is known; the table of quanta has 0 where none is."""
    known = sums > 0
    doubtful = ~known & (datasets > 0)
    for dataset in reader.empty_datasets() if doubtful.any() else ():
        for place in numpy.flatnonzero(doubtful.any(axis=0)).tolist():
            tasks = task_of[reader.quanta_with(dataset, 1 << place)]
            known[tasks, place] = True
            doubtful[tasks, place] = False
        if not doubtful.any():
            break
    return known


def _tells_of_use(
    reader: Reader, task_of: numpy.ndarray[Any, Any], datasets: numpy.ndarray[Any, Any]
) -> numpy.ndarray[Any, Any]:
    """Return of which tasks a log tells what was used; the index has nothing where none does."""
    tells: numpy.ndarray[Any, Any] = numpy.asarray((datasets[:, _OF_USE] > 0).any(axis=1))
    if len(task_of) and not tells.all():
        is_logged, _ = reader.names.quanta_that_tell()
        tells[task_of[is_logged]] = True
    return tells


def _task(
    label: str | None,
    quanta: int,
    counts: tuple[list[int], int, int],
    sizes: Sequence[int],
    known: Sequence[bool],
    tells_of_use: bool,
) -> TaskStatistics:
    numbers, unused, missing = counts
    # Of no datasets, the size is known to be nothing.
    told = [
        size if is_known or not number else None
        for number, size, is_known in zip(numbers, sizes, known, strict=True)
    ]
    by_role: dict[str, int | None] = dict(zip(ROLES, numbers, strict=True))
    bytes_ = dict(zip(ROLES, told, strict=True))
    if not tells_of_use:
        for place in _OF_USE:
            by_role[ROLES[place]] = bytes_[ROLES[place]] = None
    return TaskStatistics(label, quanta, by_role, bytes_, unused if tells_of_use else None, missing)
