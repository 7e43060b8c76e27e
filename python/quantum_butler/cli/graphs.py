"""``quantum-butler aggregate`` and ``merge-graphs``.

Importing this module is cheap; a command imports what it needs.
"""

from __future__ import annotations

__all__ = ("aggregate", "merge_graphs")

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import new_graph_option, overwrite_graph_option
from .output import format_option, show
from .paths import LocalPath

if TYPE_CHECKING:
    from ..quantum_graphs.merging import MergedGraph


@click.command(
    short_help="Write the provenance graph of a run.",
    epilog="Exit status: 0 when the graph was written; 1 when the command failed, and what was there before "
    "is there still; 2 when it was called wrongly.",
)
@click.argument("graph", metavar="GRAPH", type=LocalPath(exists=True, file_okay=True))
@click.argument("repo", metavar="REPO")
@new_graph_option
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of processes that read.",
)
@overwrite_graph_option
@click.option("--mock-storage-classes", is_flag=True, help="For upstream's mocked pipelines.")
@format_option("json")
def aggregate(
    graph: Path,
    repo: str,
    output: Path,
    jobs: int,
    overwrite: bool,
    mock_storage_classes: bool,
    style: str,
) -> None:
    """Write the provenance graph of the run of GRAPH in REPO, from the metadata and logs on disk.

    \b
    quantum-butler aggregate graph.qg repo --output run.qg --jobs 16

    The graph tells what that of upstream's butler aggregate-graph tells. Nothing is registered in REPO:
    quantum-butler transfer does that.
    """  # noqa: D301 - click wants the character \b itself
    from concurrent.futures import BrokenExecutor

    from ..aggregating.driver import aggregate as run
    from ..progress import shown

    try:
        with shown() as progress:
            report = run(
                graph,
                repo,
                output,
                jobs=jobs,
                overwrite=overwrite,
                mock_storage_classes=mock_storage_classes,
                progress=progress,
            )
    except FileExistsError as error:
        raise click.UsageError(f"{error} (--overwrite replaces it)") from error
    except BrokenExecutor as error:
        raise click.ClickException(f"a process that reads has ended: {error}") from error
    except (LookupError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if style == "json":
        show(f"{json.dumps(dataclasses.asdict(report))}\n")
    else:
        show(
            f"{report.path}: {report.quanta:,} quanta ({report.failed:,} failed or blocked), "
            f"{report.datasets:,} datasets\n"
        )


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
    from ..quantum_graphs.merging import DifferentGraphsError
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
    return "".join(
        f"{one.path}: {one.files:,} graphs, {one.quanta:,} quanta ({one.repeated_quanta:,} in several), "
        f"{one.datasets:,} datasets ({one.repeated_datasets:,})\n"
        for one in merged
    )
