"""Compares two runs of the same tasks."""

from __future__ import annotations

__all__ = ("compare",)

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ..paths import Name
from .comparison import Comparison, TaskComparison, TypeComparison
from .dataset_differences import dataset_rows, differing_datasets, no_datasets
from .input_differences import input_rows, lone_inputs, no_inputs
from .matching import match_datasets, match_quanta
from .quantum_differences import changed_quanta, compare_times, count_quanta, lone_quanta
from .sides import read_side


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
    remarks: list[str] = []
    tasks: dict[str, TaskComparison] = {}
    types: dict[str, TypeComparison] = {}
    inputs, datasets = no_inputs(), no_datasets()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(read_side, (_places(left), _places(right)))
        quanta = match_quanta(one, other)
        count_quanta(one, other, quanta, tasks)
        if one.has_names == other.has_names:
            names = match_datasets(one.datasets, other.datasets)
            lone = lone_inputs(one, other, quanta, names)
            differing = differing_datasets(one.datasets, other.datasets, names, types)
            shown = [
                (one.datasets, lone.left.datasets, differing.resized_left, differing.only_left),
                (other.datasets, lone.right.datasets, differing.only_right),
            ]
            # Of all others it need not be known what they are called in words.
            list(pool.map(lambda side: side[0].prepare(*side[1:]), shown))
            inputs = input_rows(one, other, quanta, lone, tasks)
            datasets = dataset_rows(one.datasets, other.datasets, differing)
        else:
            nameless = other if one.has_names else one
            remarks.append(
                f"{nameless.places[0]} does not tell what datasets are called: they are not compared"
            )
    changes = changed_quanta(one, other, quanta, tasks)
    compare_times(one, other, quanta, tasks)
    return Comparison(
        one.places,
        other.places,
        [tasks[label] for label in sorted(tasks)],
        [types[name] for name in sorted(types)],
        changes,
        lone_quanta(one, other, quanta),
        inputs,
        datasets,
        remarks,
    )


def _places(side: Name | Sequence[Name]) -> Sequence[Name]:
    return side if isinstance(side, (list, tuple)) else [side]  # type: ignore[list-item]
