"""Report of a transfer."""

from __future__ import annotations

__all__ = ("MOST_NAMED", "TransferError", "TransferReport", "UnrecordedOutput")

import dataclasses
from typing import Any

from ..errors import QuantumButlerError

MOST_NAMED = 1_000
"""How many outputs that are not recorded a report names (`int`)."""


class TransferError(QuantumButlerError, RuntimeError):
    """Raised if an archive cannot be transferred as it was asked for."""


@dataclasses.dataclass(frozen=True)
class UnrecordedOutput:
    """An output on disk of which neither the archive nor the repository knows.

    Parameters
    ----------
    quantum_id : `str`
        Id of the quantum of the graph that was to write it.
    dataset_id : `str`
        Its id.
    dataset_type : `str`
        Name of its dataset type.
    data_id : `dict` [ `str`, `int` or `str` ]
        Its data ID.
    path : `str`
        Where it is: a path, or a URI if it is elsewhere.
    """

    quantum_id: str
    dataset_id: str
    dataset_type: str
    data_id: dict[str, Any]
    path: str


@dataclasses.dataclass
class TransferReport:
    """Result of a transfer; with ``dry_run``, the expected result.

    Parameters
    ----------
    dry_run : `bool`
        Whether nothing has been changed.
    quanta : `int`
        Quanta that both the graph and the archive have.
    quanta_only_in_archive, quanta_only_in_graph : `int`
        Quanta that only one of them has.  Those of the graph have not run, or
        their provenance has not been collected.
    datasets : `int`
        Datasets that are new in the registry.
    records : `int`
        Datastore records that are new.
    init_outputs : `int`
        Datasets written before the first quantum that are new.
    already_there : `int`
        Outputs that the repository had, with all their records.
    different : `int`
        Outputs whose records in the repository contradict those of the
        archive; they stay as they are.
    unexpected : `int`
        Outputs that the archive has and the graph does not predict; they are
        left out.
    records_elsewhere : `int`
        Records of datastores that the repository does not have; they are left
        out.
    only_in_logs : `int`
        Metadata and logs of quanta that have no files, since only provenance
        logs have them; they are left out.
    unrecorded : `int`
        Outputs of the graph's quanta that are on disk, and of which neither
        the archive nor the repository knows.  They are left out, because
        nobody knows whether they are whole, unless ``scan`` was asked for.
    unrecorded_outputs : `list` [ `UnrecordedOutput` ]
        The first thousand of them.
    scanned : `int`
        Such outputs that were taken in, with ``scan``.
    dataset_types : `list` [ `str` ]
        Dataset types that have been registered.
    runs : `list` [ `str` ]
        Runs that have been registered.
    """

    dry_run: bool
    quanta: int = 0
    quanta_only_in_archive: int = 0
    quanta_only_in_graph: int = 0
    datasets: int = 0
    records: int = 0
    init_outputs: int = 0
    already_there: int = 0
    different: int = 0
    unexpected: int = 0
    records_elsewhere: int = 0
    only_in_logs: int = 0
    unrecorded: int = 0
    unrecorded_outputs: list[UnrecordedOutput] = dataclasses.field(default_factory=list)
    scanned: int = 0
    dataset_types: list[str] = dataclasses.field(default_factory=list)
    runs: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Return whether archive, graph, repository and disk do not differ (`bool`)."""
        return not (self.different or self.unexpected or self.unrecorded)
