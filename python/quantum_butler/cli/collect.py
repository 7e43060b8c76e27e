"""``quantum-butler collect``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("collect",)

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import format_option, show, warn
from .paths import LocalPath, writable_folder

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..collecting.driver import CollectReport


@click.command(
    short_help="Gather provenance from logs and files into an archive.",
    epilog="Exit status: 0 when all was collected; 1 when something was rejected, the command failed, or the "
    "result could not be printed, in which case the archive is there; 2 when it was called wrongly.",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="ARCHIVE",
    required=True,
    type=LocalPath(is_text=True, file_okay=True),
    callback=writable_folder,
    help="Folder of the archive.",
)
@click.option("--append", is_flag=True, help="Add to the archive that is there.")
@click.option("--overwrite", is_flag=True, help="Replace the archive that is there.")
@click.option("--strict", is_flag=True, help="Write nothing if some input cannot be read.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of threads that read; the default is one for each processor, and at most 16.",
)
@click.option("--dask", metavar="SCHEDULER", help="Read on the workers of this Dask scheduler.")
@format_option("json")
def collect(
    sources: tuple[str, ...],
    output: Path,
    append: bool,
    overwrite: bool,
    strict: bool,
    jobs: int | None,
    dask: str | None,
    style: str,
) -> None:
    """Gather the provenance of many quanta into ARCHIVE.

    \b
    quantum-butler collect logs -o campaign                 from logs
    quantum-butler collect graph.qg logs -o campaign        and what was planned
    quantum-butler collect night1 night2 -o both            archives: a merge
    quantum-butler collect more -o campaign --append

    \b
    Each SOURCE is
      a provenance log: .jsonl, .jsonl.zst or .jsonl.gz,
      the file of one quantum, whose name starts with its id:
        .json, .json.zst, .json.gz, .yaml or .yml,
      a quantum graph: .qg, as it was planned or as upstream tells of its run,
      an archive, which is merged,
      a folder with any of these in it or below it,
      a pattern with *, ? or ** in it, or
      the URI of any of these but an archive and the last.

    A quantum that comes again with the same content counts once; one with other content takes the
    place of the one before, and replaced.jsonl in ARCHIVE tells of both. What cannot be read is
    listed in rejected.jsonl, with its place and the reason, and stops nothing.

    The archive takes its place as a whole, at the end: whenever the command is stopped, what was
    there before is there still.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.errors import ArchiveError
    from ..archive.reports import plain
    from ..collecting.driver import ExistingArchiveError, RejectedInputError
    from ..collecting.driver import collect as run
    from ..collecting.scratch import BusyArchiveError
    from ..collecting.sources import NoSuchSourceError, NotASourceError
    from ..progress import shown

    if append and overwrite:
        raise click.UsageError("--append and --overwrite exclude each other")
    if dask is not None and jobs is not None:
        raise click.UsageError("--dask and --jobs exclude each other: the scheduler has workers of its own")
    with ExitStack() as stack:
        executor = None if dask is None else stack.enter_context(_dask_executor(dask))
        try:
            with shown() as progress:
                report = run(
                    sources,
                    output,
                    append=append,
                    overwrite=overwrite,
                    strict=strict,
                    executor=executor,
                    jobs=jobs,
                    progress=progress,
                )
        except ExistingArchiveError as error:
            message = str(error).replace("(append)", "(--append)").replace("(overwrite)", "(--overwrite)")
            raise click.UsageError(message) from error
        except (NoSuchSourceError, NotASourceError) as error:
            raise click.UsageError(str(error)) from error
        except RejectedInputError as error:
            _warn_of_rejected(error.report, None)
            raise click.ClickException(str(error)) from error
        except (ArchiveError, BusyArchiveError, ValueError, OSError) as error:
            raise click.ClickException(plain(str(error))) from error
    if report.empty_sources:
        others = f", nor in {report.empty - 1:,} more" if report.empty > 1 else ""
        warn(f"{plain(report.empty_sources[0])}: there is no quantum in it{others}")
    if report.rejected:
        _warn_of_rejected(report, output / "rejected.jsonl")
    show(_text(report) if style == "table" else f"{json.dumps(dataclasses.asdict(report))}\n")
    if report.rejected:
        sys.exit(1)


@contextmanager
def _dask_executor(scheduler: str) -> Iterator[Executor]:
    """Connect to a scheduler."""
    client_class: Any
    try:
        from distributed import Client as client_class  # noqa: N813
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; --dask needs Dask: pip install 'quantum-butler[dask]'"
        ) from error
    try:
        client = client_class(scheduler, timeout=30)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{scheduler}: no Dask scheduler answers: {error}") from error
    with client, client.get_executor(pure=False) as executor:
        yield executor


def _warn_of_rejected(report: CollectReport, everything: Path | None) -> None:
    """Say what could not be read."""
    from ..archive.reports import plain
    from ..archive.texts import counted

    for entry in report.rejections:
        warn(plain(f"{entry['source']}, byte {entry['offset']}: {entry['reason']}"))
    more = report.rejected - len(report.rejections)
    if more > 0:
        warn(f"and {more:,} more")
    if everything is not None:
        said = counted(
            report.rejected, "entry", "could not be read; it is in", "could not be read; all are in"
        )
        warn(f"{said} {everything}")


def _text(report: CollectReport) -> str:
    from ..archive.reports import columns

    numbers = {
        "quanta": report.quanta,
        "datasets": report.datasets,
        "edges": report.edges,
        "records": report.records,
        "quanta read": report.read,
        "repeated": report.repeated,
        "replaced": report.replaced,
        "rejected": report.rejected,
        "bytes read": report.input_bytes,
        "bytes of the archive": report.archive_bytes,
    }
    rows = [(name, f"{number:,}") for name, number in numbers.items()]
    return columns([*rows, ("seconds", f"{report.seconds:.1f}")], " r")
