"""Threads that start together, and enough outputs for all of them."""

from __future__ import annotations

__all__ = ("THREADS", "at_once", "many_outputs")

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lsst.daf.butler import DatasetRef

from repositories import Repository, dataset_id

THREADS = 8
"""How many threads use one butler (`int`)."""


def at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Call functions in threads that all start together.

    Parameters
    ----------
    calls : `~collections.abc.Iterable` [ `~collections.abc.Callable` ]
        Functions, one for each thread.

    Returns
    -------
    results : `list`
        What they returned, in their order.
    """
    calls = list(calls)
    barrier = threading.Barrier(len(calls))

    def start(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(start, calls))


def many_outputs(repository: Repository, name: str, count: int) -> list[DatasetRef]:
    """Return new datasets of a predicted dataset type.

    Parameters
    ----------
    repository : `Repository`
        Repository to write them into.
    name : `str`
        Dataset type.
    count : `int`
        How many; a multiple of four, because there is one run for each four.
    """
    return [
        DatasetRef(ref.datasetType, ref.dataId, f"threads/{run}", id=dataset_id("threads", name, run, number))
        for run in range(count // 4)
        for number, ref in enumerate(repository.predicted[name])
    ]
