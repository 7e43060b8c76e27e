"""``quantum-butler transfer``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("transfer",)

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import failure_of
from .output import format_option, show, warn
from .paths import LocalPath, require_graph, require_repository

if TYPE_CHECKING:
    from ..transferring.report import TransferReport


# Outputs that are named on a terminal.
_MOST_SHOWN = 20


@click.command(
    short_help="Put what a graph's quanta have written into a repository.",
    epilog="Exit status: 0 when all of it is there; 1 when the repository or the graph differs from the "
    "archive, the command failed, or the result could not be printed; 2 when it was called wrongly; 3 when "
    "there are outputs on disk of which neither archive nor repository knows.",
)
@click.argument("archive", type=LocalPath(exists=True, is_text=True, file_okay=True))
@click.argument("repo")
@click.option(
    "--graph", required=True, metavar="GRAPH.qg", help="Path or URI of the quantum graph that was run."
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="How many quanta are held, and committed, at once.  [default: 2000]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option(
    "--register-dataset-types", is_flag=True, help="Register dataset types that the repository does not have."
)
@click.option(
    "--update-output-chain",
    is_flag=True,
    help="Put the graph's output run first in its output chain, which is made if there is none.",
)
@click.option(
    "--scan",
    is_flag=True,
    help="Take in outputs that are on disk, and of which neither archive nor repository knows, as butler "
    "transfer-from-graph does.",
)
@format_option("json")
def transfer(
    archive: Path,
    repo: str,
    graph: str,
    batch: int | None,
    dry_run: bool,
    register_dataset_types: bool,
    update_output_chain: bool,
    scan: bool,
    style: str,
) -> None:
    """Put what the quanta of a graph have written into their repository.

    \b
    quantum-butler transfer campaign REPO --graph GRAPH.qg --dry-run
    quantum-butler transfer campaign REPO --graph GRAPH.qg --register-dataset-types --update-output-chain
    quantum-butler transfer campaign REPO --graph GRAPH.qg --register-dataset-types --scan

    ARCHIVE is a provenance archive that quantum-butler collect has made; REPO is the root or
    configuration of the repository whose datastores have the files. The outputs that the archive
    knows to be written are registered, with the datastore records that it has of them. What is
    there already is left as it is. Started again after it was interrupted, it goes on from there.

    The exit status is 1, too, if records differ from those in the repository, or the archive has
    outputs that the graph does not predict. It is 3 if outputs of the graph are on disk, and neither
    the archive nor the repository knows of them: of quanta that were not logged, or not collected. With
    --scan they are taken in, whether they are whole or not.
    """  # noqa: D301 - click wants the character \b itself
    require_graph(graph)
    require_repository(repo)
    try:
        from lsst.daf.butler import Butler, ButlerUserError
        from sqlalchemy.exc import SQLAlchemyError

        from ..archive.errors import ArchiveError
        from ..progress import shown
        from ..transferring.archive import QUANTA_AT_ONCE
        from ..transferring.archive import transfer as run
        from ..transferring.graph_outputs import GraphError
        from ..transferring.report import TransferError
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; to read quantum graphs, pip install 'quantum-butler[graph]'"
        ) from error

    try:
        opened = Butler.from_config(repo, writeable=not dry_run)
    except Exception as error:
        # Of a store elsewhere it may be anything.
        raise click.ClickException(f"{repo} cannot be opened as a repository: {error}") from error
    try:
        with opened as butler, shown() as progress:
            report = run(
                archive,
                butler,
                graph,
                batch=QUANTA_AT_ONCE if batch is None else batch,
                dry_run=dry_run,
                register_dataset_types=register_dataset_types,
                update_output_chain=update_output_chain,
                scan=scan,
                progress=progress,
            )
    except ArchiveError as error:
        raise failure_of(error) from error
    except (GraphError, TransferError) as error:
        raise click.ClickException(str(error)) from error
    except (ButlerUserError, SQLAlchemyError, OSError) as error:
        raise click.ClickException(f"{repo}: {error}") from error
    show(_text(report) if style == "table" else f"{json.dumps(dataclasses.asdict(report))}\n")
    if report.unrecorded:
        _name_unrecorded(report)
        sys.exit(3)
    sys.exit(0 if report.is_clean else 1)


def _name_unrecorded(report: TransferReport) -> None:
    """Name the outputs that nobody tells of."""
    from ..archive.texts import counted

    named = report.unrecorded_outputs[:_MOST_SHOWN]
    for output in named:
        warn(f"quantum {output.quantum_id}: {output.dataset_type} in {output.path}")
    if (more := report.unrecorded - len(named)) > 0:
        warn(f"and {more:,} more")
    warn(
        counted(
            report.unrecorded,
            "output",
            "is on disk, and neither archive nor repository knows of it. "
            "Run its quantum again, clobbering, or take it in with --scan if it is whole.",
            "are on disk, and neither archive nor repository knows of them. "
            "Run their quanta again, clobbering, or take them in with --scan if they are whole.",
        )
    )


def _text(report: TransferReport) -> str:
    from ..archive.reports import columns

    rows = {
        "quanta": report.quanta,
        "new datasets": report.datasets,
        "new datastore records": report.records,
        "new datasets from before the first quantum": report.init_outputs,
        "datasets that were there": report.already_there,
    }
    # What is usually nothing.
    rows |= {
        text: number
        for text, number in {
            "quanta that only the archive has": report.quanta_only_in_archive,
            "quanta that only the graph has": report.quanta_only_in_graph,
            "datasets recorded otherwise in the repository": report.different,
            "outputs that the graph does not predict, left out": report.unexpected,
            "outputs on disk that nobody tells of, left out": report.unrecorded,
            "outputs on disk that nobody tells of, taken in": report.scanned,
            "metadata and logs that only provenance logs have, left out": report.only_in_logs,
            "records of datastores not in the repository, left out": report.records_elsewhere,
        }.items()
        if number
    }
    names = {"dataset type": report.dataset_types, "run": report.runs}
    lines = [
        "Would be transferred:" if report.dry_run else "Transferred:",
        columns([(text, f"{number:,}") for text, number in rows.items()], " r"),
        *(f"new {text}: {name}\n" for text, news in names.items() for name in news),
    ]
    return "\n".join(lines[:2]) + "".join(lines[2:])
