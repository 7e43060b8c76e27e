"""Results of an aggregation."""

from __future__ import annotations

__all__ = ("AggregateReport",)

from dataclasses import dataclass


@dataclass(frozen=True)
class AggregateReport:
    """Result of an aggregation.

    Parameters
    ----------
    path : `str` or `None`
        The provenance graph, or `None` if none was to be written.
    quanta : `int`
        Number of quanta in the graph.
    datasets : `int`
        Number of datasets in it.
    failed : `int`
        Number of quanta that failed or were blocked; where the run was not taken for complete, of those that
        have not succeeded yet, and those that wait for them.
    unfinished : `int`
        Number of those that have not succeeded yet and wait for nothing, where the run was not taken for
        complete.
    registered : `int`
        Number of datasets that have been registered, or would be, if nothing was to be changed.
    already_registered : `int`
        Number of datasets that were registered before.
    logged : `int`
        Number of quanta that logs told of; the files of the others were read.
    foreign : `int`
        Number of quanta that logs tell of and that are not in the graph.
    wrong : `int`
        Number of quanta of which a log does not tell what is on disk. The disk was believed.
    rejected : `int`
        Number of entries of logs that could not be read.
    restored : `int`
        Number of files that were written of what only logs had.
    without_files : `int`
        Number of metadata and logs that only logs have, and that were not registered since no graph was.
    untold : `int`
        Number of quanta that have left outputs, but neither metadata nor a log.
    without_contents : `int`
        Number of quanta of the graph that logs have lines of, but no contents.
    is_empty : `bool`
        Whether the run has left nothing at all in the repository, not even configurations.
    """

    path: str | None
    quanta: int
    datasets: int
    failed: int
    unfinished: int = 0
    registered: int = 0
    already_registered: int = 0
    logged: int = 0
    foreign: int = 0
    wrong: int = 0
    rejected: int = 0
    restored: int = 0
    without_files: int = 0
    untold: int = 0
    without_contents: int = 0
    is_empty: bool = False
