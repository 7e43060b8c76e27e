"""``quantum-butler run``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("run",)

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..paths import is_uri, local_path
from ..switches import FAILURE_SWITCH, LOG_SWITCH, SPILL_SWITCH, LogFailure
from .options import log_failure_options, metadata_in_log_option, provenance_contents_option
from .output import INTERRUPTED, format_option, show, warn
from .paths import LocalPath, require_graph, require_repository, writable_file, writable_folder

if TYPE_CHECKING:
    from ..running.campaign import Campaign
    from ..running.tally import Tally


@click.command(
    short_help="Run the quanta of a graph, or what is left of them.",
    epilog="Exit status: 0 when all quanta that were chosen are done; 1 when one has failed or is blocked, "
    "or the graph cannot be run; 2 when the command was called wrongly, or no quantum is chosen; 130 when it "
    "was interrupted.",
)
@click.argument("repo")
@click.argument("graph")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Most quanta at a time on this machine.  [default: 1]"
)
@click.option("--dask", metavar="SCHEDULER", help="Run on the workers of this Dask scheduler.")
@click.option(
    "--parsl",
    type=LocalPath(exists=True, file_okay=True),
    metavar="CONFIG",
    help="Run on the workers that Parsl starts; CONFIG is a Python file with a parsl.Config called config.",
)
@click.option(
    "--journal",
    type=LocalPath(file_okay=True),
    callback=writable_file,
    metavar="FILE",
    help="What has been done is noted here, and read when the command is started again.  "
    "[default: GRAPH.journal, in the working folder if GRAPH is a URI]",
)
@click.option(
    "--logs",
    type=LocalPath(),
    callback=writable_folder,
    envvar=LOG_SWITCH,
    metavar="FOLDER",
    help="Leave provenance logs in this folder.",
)
@provenance_contents_option
@metadata_in_log_option
@log_failure_options(FAILURE_SWITCH, SPILL_SWITCH)
@click.option(
    "--summary",
    type=LocalPath(file_okay=True),
    callback=writable_file,
    metavar="FILE",
    help="Write upstream's report in JSON.",
)
@click.option("--retry-failed", is_flag=True, help="Run quanta again that have failed earlier.")
@click.option(
    "--limit-tasks",
    multiple=True,
    metavar="LABEL[,LABEL...]",
    help="Run quanta of these tasks only; may be given more than once.",
)
@click.option(
    "--where",
    metavar="EXPR",
    help='Run quanta only whose data ID meets this, such as "detector IN (1..3)". What it implies, such as '
    "the band of a visit, is known as far as the graph has it.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and change nothing.")
@click.option(
    "--isolation",
    type=click.Choice(["fork", "process", "none"]),
    default="fork",
    show_default=True,
    help="Each quantum in a process of its own; many in a process; or all in this one (with one job).",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How often a quantum is tried again whose process was killed, took too long, or ended with an "
    "unusual exit code.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long a quantum may take.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="Most memory for data that a process may have, in MiB.",
)
@click.option(
    "--fail-fast", is_flag=True, help="Start no more quanta after the first failure, and end the others."
)
@click.option(
    "--log-level",
    multiple=True,
    metavar="[LOGGER=]LEVEL",
    help="As for pipetask: what gets into the quanta's logs.  [default: INFO for lsst, WARNING for others]",
)
@click.option("--log-tty", is_flag=True, help="Print log messages on the standard error stream.")
@click.option(
    "--log-file",
    multiple=True,
    type=LocalPath(file_okay=True),
    callback=writable_file,
    metavar="FILE",
    help="Append log messages to this file, in JSON if its name ends with .json.",
)
@click.option(
    "-o",
    "--output",
    type=LocalPath(file_okay=True),
    callback=writable_file,
    metavar="FILE",
    help="Append what quanta print to this file.  [default on a terminal: JOURNAL.output; else they print]",
)
@format_option("json")
def run(
    repo: str,
    graph: str,
    jobs: int | None,
    dask: str | None,
    parsl: Path | None,
    journal: Path | None,
    logs: Path | None,
    provenance_contents: bool,
    metadata_in_log: bool,
    on_log_failure: str | None,
    spill_to: Path | None,
    summary: Path | None,
    retry_failed: bool,
    limit_tasks: tuple[str, ...],
    where: str | None,
    dry_run: bool,
    isolation: str,
    retries: int,
    timeout: float | None,
    memory_limit: int | None,
    fail_fast: bool,
    log_level: tuple[str, ...],
    log_tty: bool,
    log_file: tuple[Path, ...],
    output: Path | None,
    style: str,
) -> None:
    """Run the quanta of GRAPH in REPO, in warm processes.

    REPO is the root or configuration of a repository, GRAPH the path or URI of a quantum graph with
    datastore records. What has to be there before the first quantum is written as pipetask
    pre-exec-init-qbb does. Then the quanta are run as pipetask run-qbb does, and leave the same.

    \b
    quantum-butler run REPO GRAPH.qg -j 8 --logs logs
    quantum-butler run REPO GRAPH.qg -j 8 --logs logs --retry-failed
    quantum-butler run REPO GRAPH.qg -j 8 --logs logs --metadata-in-log
    quantum-butler run REPO GRAPH.qg --limit-tasks isr --where "detector < 9" --dry-run

    Killed or interrupted, and started again in the same way, it goes on: what is noted as done in the
    journal is not done again. Quanta that have failed stay so until --retry-failed.

    Ctrl-C once starts no more quanta and waits for those that run; again, it ends them.
    """  # noqa: D301 - click wants the character \b itself
    if sum(given is not None for given in (jobs, dask, parsl)) > 1:
        raise click.UsageError("--jobs, --dask and --parsl exclude each other")
    if isolation == "none" and jobs is not None and jobs > 1:
        raise click.UsageError("--isolation none runs one quantum after the other: --jobs must be 1")
    try:
        failure = LogFailure.of(on_log_failure, spill_to)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    source = click.get_current_context().get_parameter_source
    named = [source(name) is ParameterSource.COMMANDLINE for name in ("on_log_failure", "spill_to")]
    if logs is None and any(named):
        raise click.UsageError("--on-log-failure and --spill-to are for the logs of --logs")
    if metadata_in_log and logs is None:
        raise click.UsageError("--metadata-in-log needs --logs, the folder where they are kept")
    require_graph(graph)
    require_repository(_absolute(repo))
    try:
        from ..running.campaign import Campaign
        from ..running.errors import RunError, SelectionError
        from ..running.options import RunOptions
        from ..running.terminal import displayed, set_up_logging
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; to run quanta, pip install 'quantum-butler[graph]'") from error
    options = RunOptions(
        repository=_absolute(repo),
        graph=_absolute(graph),
        journal=str(_default_journal(graph) if journal is None else journal.absolute()),
        jobs=jobs or 1,
        dask=dask,
        parsl=None if parsl is None else str(parsl.absolute()),
        log_levels=log_level,
        isolation=isolation,  # type: ignore[arg-type]
        logs=None if logs is None else str(logs.absolute()),
        contents=provenance_contents or metadata_in_log,
        metadata_in_log=metadata_in_log,
        on_log_failure=failure.policy,
        spill_to=failure.spill_to,
        tasks=tuple(label for labels in limit_tasks for label in labels.split(",")),
        where=where,
        retry_failed=retry_failed,
        retries=retries,
        timeout=timeout,
        memory_limit=None if memory_limit is None else memory_limit << 20,
        fail_fast=fail_fast,
    )
    try:
        set_up_logging(log_level, log_tty=log_tty, log_files=[str(file) for file in log_file])
        campaign = Campaign(options, dry=dry_run)
        for name in campaign.blocked_by_choice:
            warn(f"{name} needs quanta that are not chosen and not done")
        if others := campaign.blocked_by_choice_count - len(campaign.blocked_by_choice):
            warn(f"So do {others:,} others." if others > 1 else "So does 1 other.")
        if dry_run:
            show(_text(campaign, campaign.tally(), style))
            return
        try:
            with displayed(None if output is None else str(output), options.journal) as display:
                result = campaign.run(display)
        finally:
            if summary is not None:
                summary.write_text(campaign.report().model_dump_json(exclude_none=True, indent=2))
    except SelectionError as error:
        raise click.UsageError(str(error)) from error
    except RunError as error:
        raise click.ClickException(str(error)) from error
    show(_text(campaign, result.tally, style))
    if result.was_interrupted:
        warn("Interrupted; the same command goes on from here.")
        sys.exit(INTERRUPTED)
    sys.exit(0 if result.is_success else 1)


def _absolute(name: str) -> str:
    """Return a URI as it is, and a path as an absolute one."""
    return name if is_uri(name) else os.path.abspath(local_path(name))


def _default_journal(graph: str) -> Path:
    """Return where the journal of a graph is kept."""
    name = os.path.basename(graph.rstrip("/")) if is_uri(graph) else local_path(graph)
    return Path(f"{name}.journal").absolute()


def _text(campaign: Campaign, tally: Tally, style: str) -> str:
    """Return counts by task, as a table or in JSON."""
    from ..running.tally import STATES
    from ..running.terminal import final_text

    if style == "json":
        tasks = {task: {state: counts[state] for state in STATES} for task, counts in tally.counts.items()}
        return f"{json.dumps({'tasks': tasks, 'journal': campaign.journal.path})}\n"
    return final_text(tally)
