"""Aggregates a run: scans its quanta, task by task, and writes what they have left as one graph."""

from __future__ import annotations

__all__ = ("AggregateReport", "aggregate")

import glob
import hashlib
import itertools
import json
import multiprocessing
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from lsst.daf.butler import Butler

from ..paths import Name, is_there, local_path
from ..progress import Progress
from ..quantum_graphs import PredictedGraph, ProvenanceGraph, QuantumStatus
from .errors import AggregateError, errors_of_storage_classes
from .finishing import finish_ingest, registered_graph, verify_graph
from .following import Follower
from .gathering import Gathering
from .journal import Journal
from .logs import Check, LoggedQuanta, opened_logs
from .options import Compression, IngestOptions
from .plan import Plan
from .registering import Registration, errors_of_repositories
from .report import AggregateReport
from .restoring import restore_files as write_files
from .scanning import Scanned, Scanner
from .scratch import remove_leftovers
from .sharing import Opening, Scan, chunks_of, scan_here, scan_there
from .untold import Untold
from .writing import GraphFile


def aggregate(
    graph: Name,
    repository: str,
    output: Name | None = None,
    *,
    logs: Sequence[Name] | Name = (),
    check: Check = "sample",
    jobs: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    incomplete: bool = False,
    follow: float | None = None,
    ingest: IngestOptions | None = None,
    compression: Compression | None = None,
    restore_files: bool = False,
    accept_killed: bool = False,
    mock_storage_classes: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> AggregateReport:
    """Write the provenance graph of a run, from the metadata and logs that its quanta have left.

    Parameters
    ----------
    graph : `str` or `os.PathLike`
        The predicted graph.
    repository : `str`
        The repository that the run wrote to.
    output : `str` or `os.PathLike`, optional
        The provenance graph to write. It takes its place as a whole, at the end. Without a name, it is
        beside the predicted graph until it is registered.
    logs : `~collections.abc.Sequence` [`str` or `os.PathLike`], optional
        Provenance logs of the run, folders of them, patterns and URIs; or one of these. What they have of
        metadata and logs of quanta is not read from disk.
    check : `str`, optional
        Of which of those quanta it is looked whether the same is on disk: ``all``, ``none``, or a ``sample``.
        If the sample shows a difference, it is all.
    jobs : `int`, optional
        Number of processes that scan, without an executor.
    executor : `concurrent.futures.Executor`, optional
        The executor whose workers scan instead, such as one of Parsl, or that of a Dask client. They must see
        the graph, the repository and, with logs, the folder of the output under the same names. What native
        code gathers from logs is gathered in this process. The executor stays open.
    overwrite : `bool`, optional
        Replace a file that is there.
    incomplete : `bool`, optional
        The run goes on: write no graph, and register only what quanta have written that have succeeded.
    follow : `float`, optional
        The run goes on: look at the logs every so many seconds, and take what is new, until every quantum has
        ended. Only then the graph is written. Interrupted, it goes on where it was when it is started again.
    ingest : `IngestOptions`, optional
        How datasets are registered in the repository. Without, nothing is registered.
    compression : `Compression`, optional
        How the graph is compressed.
    restore_files : `bool`, optional
        First write the files of metadata and logs that only provenance logs have, where quanta would have
        written them. Without ``output`` and ``ingest`` that is all.
    accept_killed : `bool`, optional
        Take quanta for failed that have left all their outputs, although not one quantum has metadata.
        Without, no graph is written then: it would be false if they were run with metadata in logs.
    mock_storage_classes : `bool`, optional
        Know the storage classes of upstream's mocked pipelines, in every process.
    progress : `~collections.abc.Callable`, optional
        Called with how far the work is.

    Returns
    -------
    report : `AggregateReport`
        What has been done.

    Raises
    ------
    QuantumGraphError
        Raised if the graph is no predicted graph.
    FileExistsError
        Raised if the output is there, and ``overwrite`` is not given.
    OtherGraphError
        Raised if the logs are those of other graphs only.
    NoSuchSourceError
        Raised if there is no log.
    AggregateError
        Raised if the repository does not take the datasets, or if no quantum has metadata and a graph would
        call quanta failed that have left all their outputs.
    ValueError
        Raised if there is nothing to do, or a run is to be followed without logs or without a graph to write.

    Notes
    -----
    The graph tells what that of upstream's ``butler aggregate-graph`` tells. What was wrong with logs is in
    a file beside the output, or else the predicted graph, with ``.rejected.jsonl`` after its name.
    """
    source = str(local_path(graph))
    plan = Plan(PredictedGraph(source))
    only_files = restore_files and output is None and ingest is None and not incomplete
    target = None if only_files else _target(source, output, incomplete, ingest)
    if ingest is not None and ingest.graph and not incomplete:
        # Its contents are in the graph.
        ingest = replace(ingest, promise_graph=True)
    if isinstance(logs, (str, os.PathLike)):
        logs = [logs]
    if follow is not None:
        if not logs or target is None:
            raise ValueError("a run is followed by its logs, and the graph is written at the end")
        with (
            errors_of_storage_classes(plan.graph),
            errors_of_repositories(repository),
            closing(Scanner(source, repository, mock_storage_classes, incomplete=True)) as scanner,
        ):
            _follow(scanner, plan, logs, target, follow, check, jobs, repository, overwrite, ingest, progress)
    with errors_of_storage_classes(plan.graph), errors_of_repositories(repository), ExitStack() as stack:
        logged = None
        if logs:
            logged = stack.enter_context(opened_logs(logs, target or Path(source), plan, jobs))
        elif restore_files:
            raise ValueError("files are restored from logs")
        contents = None if logged is None else logged.folder
        opening = Opening(source, repository, mock_storage_classes, incomplete, contents)
        scanner = Scanner(*opening)
        stack.callback(scanner.close)
        run = scanner.reader.header.output_run
        restored = 0
        if logged is not None and restore_files and not (ingest is not None and ingest.dry_run):
            with Butler.from_config(repository) as reading:
                if there := registered_graph(reading, run):
                    raise AggregateError(f"metadata and logs of {run} are read from {there}, without files")
            chunks = itertools.chain.from_iterable(map(chunks_of, _by_task(scanner, plan)))
            restored = write_files(scanner, logged, chunks, progress)
            if only_files:
                return logged.told(AggregateReport(None, plan.graph.headers[0]["n_quanta"], 0, 0), restored)
        butler = None
        if ingest is not None:
            butler = stack.enter_context(Butler.from_config(repository, writeable=not ingest.dry_run))
            if ingest.graph and (there := registered_graph(butler, run)):
                # The small files are gone, or about to be.
                if not ingest.dry_run:
                    finish_ingest(repository, run, None, keep=False, batch=ingest.batch)
                    if target is not None and is_there(_journal_of(target)):
                        stack.enter_context(_open_journal(target, plan, repository)).remove()
                return _report_of(there)
        journal = None
        if target is not None:
            journal = stack.enter_context(_new_journal(target, plan, repository, overwrite))
            if (report := _written(target, journal)) is not None:
                _register_graph(
                    report, target, repository, ingest, keep=output is not None, progress=progress
                )
                journal.remove()
                return _moved(report, butler, run)
        with ExitStack() as work:
            registration = None
            if ingest is not None and butler is not None:
                resumed = journal is not None and journal.resumed
                registration = work.enter_context(
                    Registration(butler, scanner, ingest, defensive=resumed, logs=bool(logs))
                )
            writing = None
            if target is not None:
                writing = work.enter_context(GraphFile(target, plan, compression or Compression()))
            believe = True
            # Workers elsewhere read files in our place.
            gathering = Gathering(source, plan, scanner, logged, reads_files=executor is None)
            if logged is not None:
                believe = check != "sample" or gathering.check(logged.sample())
                logged.check_all = check == "all" or not believe
            scan = scan_here(scanner, logged)
            if executor is not None:
                scan = scan_there(executor, opening.anywhere(), plan, logged)
            elif jobs > 1:
                # A forked process would have its parent's threads and connections.
                pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
                scan = scan_there(work.enter_context(pool), opening, plan, logged)
            scan = _gather_first(gathering, scan)
            if journal is not None:
                # What it has is of the same logs.
                scan = _scan_new(scanner, journal, scan, logged, believe=believe)
            untold = Untold(
                accept_killed=accept_killed
                or incomplete
                or (output is None and (ingest is None or not ingest.graph)),
                as_upstream=ingest is not None and ingest.lenient,
            )
            report = _scan_all(scanner, plan, scan, writing, registration, progress, logged, restored, untold)
        if target is None or writing is None or journal is None:
            return report
        report = replace(report, path=str(target), datasets=writing.datasets)
        status = target.stat()
        journal.note_written({"report": asdict(report), "size": status.st_size, "time": status.st_mtime_ns})
        _register_graph(report, target, repository, ingest, keep=output is not None, progress=progress)
        journal.remove()
        return _moved(report, butler, run)


def _register_graph(
    report: AggregateReport,
    target: Path,
    repository: str,
    ingest: IngestOptions | None,
    *,
    keep: bool,
    progress: Callable[[Progress], object] | None,
) -> None:
    """Register a graph that is complete, if that is wanted."""
    if ingest is not None and ingest.graph and not ingest.dry_run:
        run = ProvenanceGraph(target).headers[0]["output_run"]
        verify_graph(target, report.quanta, report.datasets, progress)
        finish_ingest(repository, run, target, keep=keep, batch=ingest.batch)


def _moved(report: AggregateReport, butler: Butler | None, run: str) -> AggregateReport:
    """Return a report that says where the graph is now."""
    if butler is None or report.path is None or is_there(report.path):
        return report
    return replace(report, path=registered_graph(butler, run))


def _journal_of(target: Path) -> Path:
    """Return where the journal is of the aggregation that writes a graph."""
    return target.with_name(f"{target.name}.journal")


def _open_journal(target: Path, plan: Plan, repository: str) -> Journal:
    """Return the journal of the aggregation that writes a graph."""
    header = hashlib.sha256(json.dumps(plan.graph.headers[0], sort_keys=True).encode()).hexdigest()
    return Journal(_journal_of(target), {"graph": header, "repository": repository})


@contextmanager
def _new_journal(target: Path, plan: Plan, repository: str, overwrite: bool) -> Iterator[Journal]:
    """Give the journal, unless the graph is there and is not to be replaced."""
    if is_there(target) and not (overwrite or is_there(_journal_of(target))):
        raise FileExistsError(f"{target} is there already")
    with _open_journal(target, plan, repository) as journal:
        if is_there(target) and not (overwrite or journal.resumed):
            raise FileExistsError(f"{target} is there already")
        yield journal


def _follow(
    scanner: Scanner,
    plan: Plan,
    logs: Sequence[Name],
    target: Path,
    interval: float,
    check: Check,
    jobs: int,
    repository: str,
    overwrite: bool,
    ingest: IngestOptions | None,
    progress: Callable[[Progress], object] | None,
) -> None:
    """Put into the journal what logs tell, until every quantum has ended."""
    if ingest is not None and ingest.graph:
        with Butler.from_config(repository) as butler:
            if registered_graph(butler, scanner.reader.header.output_run):
                return
    with _new_journal(target, plan, repository, overwrite) as journal:
        if _written(target, journal) is not None:
            return
        by_task = _by_task(scanner, plan)
        Follower(scanner, plan, by_task, journal, progress).follow(
            logs, target, interval, check=check, jobs=jobs, repository=repository, ingest=ingest
        )


def _written(target: Path, journal: Journal) -> AggregateReport | None:
    """Return the outcome of a complete graph. Remove what a killed process has left."""
    if journal.resumed:
        remove_leftovers(target)
        for path in target.parent.glob(f"{glob.escape(target.name)}.*.tmp"):
            path.unlink(missing_ok=True)
    told = journal.written
    if told is None or not is_there(target):
        return None
    status = target.stat()
    if (told["size"], told["time"]) != (status.st_size, status.st_mtime_ns):
        return None
    return AggregateReport(**told["report"])


def _gather_first(gathering: Gathering, scan: Scan) -> Scan:
    """Return a function that gathers what it can from logs, and scans the rest."""

    def both(quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Scanned]:
        rest: list[uuid.UUID] = []
        for gathered in gathering.gather(quanta, lost):
            if gathered.blocks is not None:
                logged = len(gathered.blocks) if gathered.is_logged else 0
                yield Scanned(gathered=gathered.blocks, logged=logged, has_told=True, has_metadata=True)
            rest += gathered.rest
        yield from scan(rest, lost)

    return both


def _scan_new(
    scanner: Scanner, journal: Journal, scan: Scan, logged: LoggedQuanta | None, *, believe: bool
) -> Scan:
    """Return a function that takes what a journal has from there, and notes what it has not."""

    def both(quanta: list[uuid.UUID], lost: set[uuid.UUID]) -> Iterator[Scanned]:
        entries, new = journal.known(quanta) if believe else ([], quanta)
        for number in entries:
            entry = journal.entry(number)
            restored = scanner.restore(entry, lost)
            if logged is not None:
                # They were taken from there by an earlier look at the same logs.
                restored.logged = len(logged.places(entry.quanta).keys() - restored.failed)
            yield restored
        for scanned in scan(new, lost):
            # What is wrong with logs is told again by the one that goes on, and what was gathered from them
            # is gathered as quickly.
            if not (scanned.wrong or (scanned.gathered is not None and scanned.logged)):
                journal.add(scanned)
            yield scanned

    return both


def _scan_all(
    scanner: Scanner,
    plan: Plan,
    scan: Scan,
    writing: GraphFile | None,
    registration: Registration | None,
    progress: Callable[[Progress], object] | None,
    logged: LoggedQuanta | None,
    restored: int,
    untold: Untold,
) -> AggregateReport:
    """Scan the quanta of a graph, and hand on what they have left."""
    total, done, failed, unfinished = plan.graph.headers[0]["n_quanta"], 0, 0, 0
    lost: set[uuid.UUID] = set()
    for quanta in _by_task(scanner, plan):
        for scanned in scan(quanta, lost):
            if writing is not None:
                writing.add(scanned)
            if registration is not None:
                registration.add(scanned)
            lost.update(
                dataset.dataset_id for producer, dataset in scanned.outputs if producer in scanned.failed
            )
            if logged is not None:
                logged.note(scanned.logged, scanned.wrong)
            failed += len(scanned.failed)
            unfinished += len(scanned.abandoned)
            untold.add(scanned)
            done += scanned.quanta
            if progress is not None:
                progress(Progress("scanning quanta", done, total, done, False))
    untold.require_true_graph(None if logged is None else logged.without_contents)
    if writing is not None:
        writing.finish(scanner)
    is_empty = untold.found_nothing and next(scanner.stored_init_outputs(), None) is None
    report = AggregateReport(None, done, 0, failed, unfinished, untold=untold.count, is_empty=is_empty)
    if logged is not None:
        report = logged.told(report, restored)
    if registration is None:
        return report
    registration.finish()
    return replace(
        report,
        registered=registration.registered,
        already_registered=registration.already_there,
        without_files=registration.without_files,
    )


def _target(source: str, output: Name | None, incomplete: bool, ingest: IngestOptions | None) -> Path | None:
    """Return which graph is written, if any."""
    if incomplete:
        return None
    if output is not None:
        return Path(local_path(output))
    if ingest is None:
        raise ValueError("there is nothing to do: no graph is to be written, and nothing to be registered")
    if not ingest.graph or ingest.dry_run:
        return None
    path = Path(source)
    return path.with_name(f"{path.name.removesuffix('.qg')}.provenance.qg")


def _report_of(path: str) -> AggregateReport:
    """Return what there is in a graph that has been registered."""
    graph = ProvenanceGraph(path)
    header = graph.headers[0]
    states = [state for tables in graph.quanta_tables() for state in tables.quanta["status"].to_pylist()]
    failed = sum(state not in (QuantumStatus.SUCCESSFUL, QuantumStatus.ABORTED_SUCCESS) for state in states)
    return AggregateReport(
        path,
        len(states),
        sum(table.num_rows for table in graph.datasets_tables()),
        failed,
        already_registered=header["n_datasets"],
    )


def _by_task(scanner: Scanner, plan: Plan) -> Iterator[list[uuid.UUID]]:
    """Yield the quanta of each task, those of tasks that others depend on first."""
    pipeline = scanner.reader.pipeline_graph
    pipeline.sort()
    return plan.by_task(pipeline.tasks)
