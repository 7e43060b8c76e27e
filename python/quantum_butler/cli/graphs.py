"""``quantum-butler aggregate`` and ``merge-graphs``.

Importing this module is cheap; a command imports what it needs.
"""

from __future__ import annotations

__all__ = ("aggregate", "merge_graphs")

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..paths import is_there
from .options import new_graph_option, overwrite_graph_option
from .output import format_option, show, warn
from .paths import LocalPath, require_repository, writable_folder, writable_graph

if TYPE_CHECKING:
    from ..aggregating.driver import AggregateReport
    from ..aggregating.logs import Check
    from ..quantum_graphs.merging import MergedGraph


@click.command(
    short_help="Write the provenance graph of a run, and register its datasets.",
    epilog="Exit status: 0 when all was done; 1 when the command failed, and what was there before is there "
    "still, or when all was done and logs were wrong; 2 when it was called wrongly; 130 when it was "
    "interrupted.",
)
@click.argument("graph", metavar="GRAPH", type=LocalPath(exists=True, file_okay=True))
@click.argument("repo", metavar="REPO")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=LocalPath(file_okay=True),
    callback=writable_graph,
    help="The provenance graph to write. With --ingest it need not be named: it is beside GRAPH, and moves "
    "into REPO at the end.",
)
@click.option(
    "--logs",
    metavar="FOLDER",
    multiple=True,
    help="Provenance logs of the run, a folder of them, a pattern or a URI; may be given more than once.  "
    "What --provenance-contents has kept there is not read from REPO.",
)
@click.option(
    "--check",
    type=click.Choice(["all", "sample", "none"]),
    default="sample",
    show_default=True,
    help="Of which quanta in the logs to look whether the same is in REPO; of all if the sample is not.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of processes that read.",
)
@overwrite_graph_option
@click.option(
    "--restore-files",
    is_flag=True,
    help="First write the files of metadata and logs that only --logs have (run --metadata-in-log). Without "
    "--output and --ingest that is all.",
)
@click.option(
    "--accept-killed",
    is_flag=True,
    help="Take quanta for failed that have left all their outputs, although not one quantum has metadata. "
    "Without, no graph is written then: run --metadata-in-log leaves such quanta.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="The run goes on: write no graph, and register what quanta have written that have succeeded.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="The run goes on: take from --logs what is new, until every quantum has ended, and write the graph "
    "then. When it is interrupted, the same command goes on where it was.",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    help="With --follow: how long to wait before the logs are looked at again.",
)
@click.option(
    "--ingest",
    is_flag=True,
    help="Register the datasets in REPO, and then the graph. What is in the graph, the metadata, logs and "
    "configurations, is read from there afterwards, and the small files are removed.",
)
@click.option(
    "--keep-files",
    is_flag=True,
    help="With --ingest: register metadata, logs and configurations in their small files, and not the graph.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=10000,
    show_default=True,
    help="With --ingest: datasets that are registered at once.",
)
@click.option(
    "--defensive",
    is_flag=True,
    help="With --ingest: expect that datasets are registered already. Else the first conflict shows it.",
)
@click.option(
    "--register-dataset-types/--no-register-dataset-types",
    default=True,
    help="With --ingest: whether to register types of outputs; by default they are.",
)
@click.option(
    "--update-output-chain/--no-update-output-chain",
    default=True,
    help="With --ingest: whether to put the run first in its output chain; by default it is.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="With --ingest: change nothing in REPO, say what would be done, and leave no graph unless it has a "
    "name by --output.",
)
@click.option(
    "--archive",
    metavar="FOLDER",
    type=LocalPath(is_text=True),
    callback=writable_folder,
    help="Leave an archive of the run, too, as quantum-butler collect makes one of the graph.",
)
@click.option(
    "--zstd-level",
    type=click.IntRange(1, 22),
    default=5,
    show_default=True,
    help="How much the graph is compressed; upstream's level is 10.",
)
@click.option(
    "--mock-storage-classes",
    is_flag=True,
    help="Register the storage classes of upstream's mock tasks, such as those of quantum-butler demo.",
)
@format_option("json")
def aggregate(
    graph: Path,
    repo: str,
    output: Path | None,
    logs: tuple[str, ...],
    check: Check,
    jobs: int,
    overwrite: bool,
    restore_files: bool,
    accept_killed: bool,
    incomplete: bool,
    follow: bool,
    interval: float,
    ingest: bool,
    keep_files: bool,
    batch: int,
    defensive: bool,
    register_dataset_types: bool,
    update_output_chain: bool,
    dry_run: bool,
    archive: Path | None,
    zstd_level: int,
    mock_storage_classes: bool,
    style: str,
) -> None:
    """Write the provenance graph of the run of GRAPH in REPO, from the metadata and logs on disk.

    \b
    quantum-butler aggregate graph.qg repo --output run.qg --jobs 16
    quantum-butler aggregate graph.qg repo --output run.qg --logs logs
    quantum-butler aggregate graph.qg repo --ingest --jobs 16
    quantum-butler aggregate graph.qg repo --ingest --incomplete
    quantum-butler aggregate graph.qg repo --ingest --logs logs --follow
    quantum-butler aggregate graph.qg repo --logs logs --restore-files

    The graph tells what that of upstream's butler aggregate-graph tells. With --ingest the repository is what
    it is after upstream's butler aggregate-graph and butler ingest-graph. What was registered stays when the
    command is interrupted, and the same command goes on from there; once all is done, it changes nothing.

    Where --logs do not tell what is in REPO, REPO is believed; FILE.rejected.jsonl has what was wrong.
    """  # noqa: D301 - click wants the character \b itself
    from concurrent.futures import BrokenExecutor

    from ..aggregating.driver import aggregate as run
    from ..aggregating.finishing import is_archived
    from ..aggregating.options import Compression, IngestOptions
    from ..collecting.driver import collect
    from ..collecting.sources import NoSuchSourceError, NotASourceError
    from ..errors import QuantumButlerError
    from ..progress import shown

    if restore_files and not logs:
        raise click.UsageError("--restore-files needs --logs, which the files are written from")
    if restore_files and ingest and not keep_files:
        raise click.UsageError("--ingest would remove the files of --restore-files; --keep-files keeps them")
    if output is None and not (ingest or incomplete or restore_files):
        raise click.UsageError("say what to do: --output writes a graph, --ingest registers datasets")
    writes_graph = not incomplete and (output is not None or (ingest and not (keep_files or dry_run)))
    if archive is not None:
        if not writes_graph:
            raise click.UsageError("--archive is made of the graph, and none is written")
        if is_there(archive) and not overwrite:
            if not (ingest and is_archived(graph, repo, output, archive)):
                raise click.UsageError(f"{archive} is there already (--overwrite replaces it)")
            # It is of this run, and all else is done.
            archive = None
    if follow and not (logs and writes_graph):
        raise click.UsageError(
            "--follow needs --logs, and writes a graph: --output, or --ingest with its graph"
        )
    context = click.get_current_context()
    if not follow and interval != _default(context, "interval"):
        raise click.UsageError("--interval is for --follow")
    for name, given in context.params.items():
        if name in _OF_INGEST and not ingest and given != _default(context, name):
            raise click.UsageError(f"--{name.replace('_', '-')} is for --ingest")
    require_repository(repo)
    options = IngestOptions(
        graph=not keep_files,
        batch=batch,
        defensive=defensive,
        register_dataset_types=register_dataset_types,
        update_output_chain=update_output_chain,
        dry_run=dry_run,
    )
    try:
        with shown() as progress:
            report = run(
                graph,
                repo,
                output,
                logs=logs,
                check=check,
                jobs=jobs,
                overwrite=overwrite,
                incomplete=incomplete,
                follow=interval if follow else None,
                ingest=options if ingest else None,
                compression=Compression(level=zstd_level),
                restore_files=restore_files,
                accept_killed=accept_killed,
                mock_storage_classes=mock_storage_classes,
                progress=progress,
            )
            if archive is not None and report.path is not None:
                collect([report.path], archive, overwrite=overwrite, jobs=jobs, progress=progress)
    except FileExistsError as error:
        raise click.UsageError(f"{error} (--overwrite replaces it)") from error
    except (NoSuchSourceError, NotASourceError) as error:
        raise click.UsageError(str(error)) from error
    except BrokenExecutor as error:
        raise click.ClickException(f"a process that reads has ended: {error}") from error
    except (QuantumButlerError, LookupError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if style == "json":
        show(f"{json.dumps(dataclasses.asdict(report))}\n")
    else:
        show(
            _told(
                report,
                incomplete=incomplete,
                ingest=ingest,
                dry_run=dry_run,
                logs=bool(logs),
                restored=restore_files,
            )
        )
    if report.without_files and keep_files:
        warn(
            f"{report.without_files:,} metadata and logs have no files, and are not registered: "
            "--restore-files writes their files from the logs"
        )
    if report.is_empty:
        warn(
            f"the run has left nothing at all in {repo}, not even configurations: either the graph is of "
            "another repository, or the run has not begun"
        )
    _warn_of_logs(report, f"{output or graph}.rejected.jsonl", has_logs=bool(logs))
    if report.without_files and keep_files:
        sys.exit(1)


# Options that say how datasets are registered.
_OF_INGEST = frozenset(
    ("keep_files", "batch", "defensive", "register_dataset_types", "update_output_chain", "dry_run")
)


def _default(context: click.Context, name: str) -> Any:
    """Return what an option is without the command line."""
    return next(one.get_default(context) for one in context.command.params if one.name == name)


def _warn_of_logs(report: AggregateReport, rejected: str, *, has_logs: bool) -> None:
    """Warn of problems in logs. The exit status is 1 if logs contradict the files."""
    from ..archive.texts import counted

    if report.untold:
        from ..aggregating.untold import advice

        warn(
            f"{counted(report.untold, 'quantum', 'has', 'have')} left outputs, but neither metadata nor a "
            f"log, and {'was' if report.untold == 1 else 'were'} taken for failed or blocked; "
            f"{advice(report.without_contents if has_logs else None)}"
        )
    if report.foreign:
        foreign = counted(report.foreign, "quantum", "that is not in the graph", "that are not in the graph")
        warn(f"the logs tell of {foreign}")
    if report.rejected:
        warn(f"{counted(report.rejected, 'entry')} of the logs could not be read: {rejected}")
    if report.wrong:
        warn(
            f"of {counted(report.wrong, 'quantum')} the logs do not tell what is there, which was believed: "
            f"{rejected}"
        )
        sys.exit(1)


def _told(
    report: AggregateReport, *, incomplete: bool, ingest: bool, dry_run: bool, logs: bool, restored: bool
) -> str:
    """Return what has been done, a line for each thing."""
    from ..archive.texts import counted

    lines = [f"{counted(report.restored, 'file', 'was', 'were')} restored\n"] if restored else []
    if report.path is not None:
        lines.append(
            f"{report.path}: {counted(report.quanta, 'quantum')} ({report.failed:,} failed or blocked), "
            f"{counted(report.datasets, 'dataset')}\n"
        )
    elif dry_run and not incomplete:
        lines.append(f"{counted(report.quanta, 'quantum')} ({report.failed:,} failed or blocked)\n")
    if logs and (ingest or incomplete or report.path is not None):
        more = f"; the logs have lines of {report.without_contents:,} more, but no contents"
        lines.append(
            f"{counted(report.logged, 'quantum', 'was', 'were')} taken from logs"
            f"{more if report.without_contents else ''}\n"
        )
    if incomplete:
        waiting = report.failed - report.unfinished
        lines.append(
            f"{counted(report.quanta, 'quantum')}: {_have(report.quanta - report.failed)} succeeded, "
            f"{_have(report.unfinished)} not yet, "
            f"{waiting:,} {'waits' if waiting == 1 else 'wait'} for others\n"
        )
    if ingest:
        would = " would be" if dry_run else ""
        lines.append(
            f"{counted(report.registered, 'dataset')}{would} registered, {report.already_registered:,} "
            f"{'was' if report.already_registered == 1 else 'were'} there already\n"
        )
    return "".join(lines)


def _have(number: int) -> str:
    return f"{number:,} {'has' if number == 1 else 'have'}"


@click.command(
    short_help="Make one provenance graph of many.",
    epilog="Exit status: 0 when the graph was written; 1 when the command failed, and what was there before "
    "is there still; 2 when it was called wrongly, or the graphs do not become one.",
)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=LocalPath(exists=True, file_okay=True)
)
@new_graph_option
@click.option(
    "--by-pipeline",
    is_flag=True,
    help="Make one graph for each pipeline and run; numbers are added to the name if these are several.",
)
@overwrite_graph_option
@click.option("--scratch", metavar="FOLDER", type=LocalPath(), help="Where to put what memory does not hold.")
@format_option("json")
def merge_graphs(
    files: tuple[Path, ...],
    output: Path,
    by_pipeline: bool,
    overwrite: bool,
    scratch: Path | None,
    style: str,
) -> None:
    """Make one provenance graph out of many, such as prompt processing leaves.

    Each FILE is a provenance graph (.qg), or a folder with such files in it or below it.

    \b
    quantum-butler merge-graphs night/ --output night.qg
    quantum-butler merge-graphs first-try.qg second-try.qg --output run.qg

    What several graphs tell of one quantum is put together: all its attempts in the order of time, with their
    logs and metadata. Graphs of other pipelines or runs are refused, unless --by-pipeline is given.
    """  # noqa: D301 - click wants the character \b itself
    from ..progress import shown
    from ..quantum_graphs.merging import DifferentGraphsError, NoGraphError
    from ..quantum_graphs.merging import merge_graphs as run

    try:
        with shown() as progress:
            merged = run(
                files,
                output,
                by_pipeline=by_pipeline,
                overwrite=overwrite,
                scratch=scratch,
                progress=progress,
            )
    except NoGraphError as error:
        raise click.UsageError(str(error)) from error
    except DifferentGraphsError as error:
        raise click.UsageError(f"{error} (--by-pipeline makes one of each)") from error
    except FileExistsError as error:
        raise click.UsageError(f"{error} (--overwrite replaces it)") from error
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    show(
        _text(merged) if style == "table" else f"{json.dumps([dataclasses.asdict(one) for one in merged])}\n"
    )


def _text(merged: list[MergedGraph]) -> str:
    """Return what has been written, a line for each graph."""
    from ..archive.texts import counted

    return "".join(
        f"{one.path}: {counted(one.files, 'graph')}, {counted(one.quanta, 'quantum')} "
        f"({one.repeated_quanta:,} in several), {counted(one.datasets, 'dataset')} "
        f"({one.repeated_datasets:,})\n"
        for one in merged
    )
