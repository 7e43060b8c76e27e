"""Transfers the outputs that an archive knows into the repository.

The counterpart of upstream's ``butler transfer-from-graph`` for a run whose
provenance has been collected: nothing is looked for on disk, because the archive
says which outputs there are and has their datastore records.

Each batch of quanta is one transaction, so that whatever happens, the repository
has a batch as a whole or not at all.
"""

from __future__ import annotations

__all__ = ("QUANTA_AT_ONCE", "transfer")

import itertools
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lsst.daf.butler import Butler, DatasetRef
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

from ..archive import Archive
from ..progress import Progress
from ..upstream.paths import is_within
from .datasets import Records
from .report import TransferError, TransferReport
from .repository import Repository

if TYPE_CHECKING:
    from ..archive.rows import WrittenBatch
    from .graph_outputs import Graph

QUANTA_AT_ONCE = 2_000
"""How many quanta are held and committed at once, by default (`int`)."""


# Storage classes of what provenance logs may have alone.
_OF_LOGS = ("TaskMetadata", "ButlerLogRecords")


def transfer(
    archive: Archive | str | os.PathLike[str],
    butler: Butler,
    graph: Graph,
    *,
    batch: int = QUANTA_AT_ONCE,
    dry_run: bool = False,
    register_dataset_types: bool = False,
    update_output_chain: bool = False,
    scan: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TransferReport:
    """Transfer the outputs of a graph to a repository.

    Parameters
    ----------
    archive : `quantum_butler.Archive`, `str` or `os.PathLike`
        Provenance archive of the graph's quanta; it may have others.
    butler : `lsst.daf.butler.Butler`
        Butler of the repository, whose datastores have the files.
    graph : `~lsst.resources.ResourcePathExpression` or \
            `lsst.pipe.base.quantum_graph.PredictedQuantumGraph` or \
            `lsst.pipe.base.QuantumGraph`
        The graph, or the path or URI of its file.
    batch : `int`, optional
        How many quanta are held, and committed, at once.
    dry_run : `bool`, optional
        Whether to change nothing.
    register_dataset_types : `bool`, optional
        Whether to register dataset types that the repository does not have.
    update_output_chain : `bool`, optional
        Whether to put the graph's output run first in its output chain, which
        is made if there is none.
    scan : `bool`, optional
        Whether to take in outputs that are on disk, and of which neither the
        archive nor the repository knows, with records made from where their
        files are, as upstream's transfer from a graph makes them.
    progress : `~collections.abc.Callable`, optional
        Called with a `Progress` from time to time.

    Returns
    -------
    report : `TransferReport`
        What was done.

    Raises
    ------
    TransferError
        Raised if graph and archive have no quantum in common, the repository
        lacks a dataset type or a dimension record or defines it otherwise,
        something in it contradicts a dataset, or a file is not said to be
        below its datastore's root.
    ArchiveError
        Raised if the archive cannot be read.
    GraphError
        Raised if the graph cannot be read.
    TypeError
        Raised if the butler is read-only.
    ValueError
        Raised if a batch is not one quantum at least.

    Notes
    -----
    What was committed before an error or the end of the process stays; the same
    call goes on from there.
    """
    # This alone needs lsst-pipe-base.
    from .graph_outputs import open_graph

    if batch < 1:
        raise ValueError(f"a batch has at least one quantum, not {batch}")
    if not dry_run and not butler.isWriteable():
        raise TypeError("Butler is read-only.")
    report = TransferReport(dry_run)
    opened = archive if isinstance(archive, Archive) else Archive(archive)
    total, done = opened.quanta.count_rows(), 0

    def tell(step: str) -> None:
        if progress is not None:
            progress(Progress(step, done, total, done, False))

    tell("reading the graph")
    with open_graph(graph) as outputs:
        if outputs.universe != butler.dimensions:
            raise TransferError(
                f"the graph's dimensions ({outputs.universe}) are not the repository's ({butler.dimensions})"
            )
        with Repository(butler, report, outputs, register_dataset_types) as repository:
            told: set[int] = set()
            see_to = repository.scan if scan else repository.report_unrecorded
            tell("transferring quanta")
            for quanta in opened.written(batch):
                predicted = outputs.outputs(quanta.quanta)
                told.update(quantum.int for quantum in predicted)
                report.quanta += len(predicted)
                report.quanta_only_in_archive += len(quanta.quanta) - len(predicted)
                refs, records, logged = _expected(quanta, predicted, repository.tables, report)
                repository.add(refs, records)
                report.only_in_logs += len(logged) - repository.restored(logged.values())
                seen = refs.keys() | logged.keys()
                see_to(
                    {quantum: [ref for ref in of if ref.id not in seen] for quantum, of in predicted.items()}
                )
                done += len(quanta.quanta)
                tell("transferring quanta")
            report.quanta_only_in_graph = len(outputs) - len(told)
            if not report.quanta and (total or len(outputs)):
                raise TransferError(
                    f"none of the {total} quanta of the archive is one of the {len(outputs)} of the graph: "
                    "they do not belong together"
                )
            if report.quanta_only_in_graph:
                tell("looking for outputs that nobody tells of")
                others = (quantum for quantum in outputs.quanta() if quantum.int not in told)
                while some := list(itertools.islice(others, batch)):
                    see_to(outputs.outputs(some))
            tell("looking for init-outputs")
            repository.add_init_outputs()
            if update_output_chain and not dry_run:
                repository.update_chain(outputs.header)
    return report


def _expected(
    quanta: WrittenBatch,
    predicted: Mapping[uuid.UUID, Sequence[DatasetRef]],
    tables: Mapping[str, str],
    report: TransferReport,
) -> tuple[dict[uuid.UUID, DatasetRef], Records, dict[uuid.UUID, DatasetRef]]:
    """Return the datasets that quanta have written and the graph expects, and their records.

    Then come those that only provenance logs have: metadata and logs without any record.
    """
    refs: dict[uuid.UUID, DatasetRef] = {}
    logged: dict[uuid.UUID, DatasetRef] = {}
    records: Records = {name: {} for name in tables}
    for quantum, outputs, rows in zip(quanta.quanta, quanta.outputs, quanta.records, strict=True):
        if quantum not in predicted:
            continue
        by_id = {ref.id: ref for ref in predicted[quantum]}
        report.unexpected += sum(dataset not in by_id for dataset in outputs)
        written = {dataset: by_id[dataset] for dataset in outputs if dataset in by_id}
        recorded = {row["dataset_id"] for row in rows}
        for dataset, ref in list(written.items()):
            if ref.datasetType.storageClass_name in _OF_LOGS and dataset not in recorded:
                logged[dataset] = written.pop(dataset)
        of_quantum: Records = defaultdict(lambda: defaultdict(list))
        for row in rows:
            name, dataset = row["datastore_name"], row["dataset_id"]
            if name not in tables:
                report.records_elsewhere += 1
            elif dataset in written:
                of_quantum[name][dataset].append(_file_info(row, written[dataset]))
        refs.update(written)
        for name, datasets in of_quantum.items():
            for dataset, infos in datasets.items():
                # The first records of a dataset stay, as everywhere.
                records[name].setdefault(dataset, infos)
    return refs, records, logged


def _file_info(row: dict[str, Any], ref: DatasetRef) -> StoredFileInfo:
    """Return what a datastore is to know of a file."""
    if not is_within(row["path"]):
        raise TransferError(
            f"the archive says that the file of dataset {ref.id} ({ref.datasetType.name}) is at "
            f"{row['path']!r}, which is not a plain path below the root of {row['datastore_name']}"
        )
    # A datastore has a number for a size that is not known.
    return StoredFileInfo.from_record(row if row["file_size"] is not None else {**row, "file_size": -1})
