"""Reports of finished runs on the command line.

Importing this module is cheap; each command imports what it needs.
"""

from __future__ import annotations

__all__ = ("report", "times")

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import failure_of
from .options import limit_option, places_argument
from .output import format_option, output_option, require_replaceable, require_two_files, show
from .paths import LocalPath, writable_file, writable_folder

if TYPE_CHECKING:
    from ..reporting.counts import RunReport

INCOMPLETE = 3
"""Exit status when some quantum has not succeeded."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say in one line what is wrong with an archive or a graph."""
    from ..archive.errors import ArchiveError
    from ..quantum_graphs import QuantumGraphError

    try:
        yield
    except (ArchiveError, QuantumGraphError, OSError) as error:
        raise failure_of(error) from error


@click.command(
    epilog=f"Exit status: 0 if every quantum has succeeded, {INCOMPLETE} if not, "
    "1 if the report could not be made, 2 if the command was called wrongly."
)
@places_argument
@limit_option("kinds of failures", 20, " JSON and CSV have all failed quanta.")
@click.option(
    "--data-id-tables",
    type=LocalPath(is_text=True),
    callback=writable_folder,
    metavar="FOLDER",
    help="Write the data IDs of failed quanta, a file TASK/STATUS/EXCEPTION.ecsv for each kind, for a rerun.",
)
@click.option(
    "--html",
    type=LocalPath(is_text=True, file_okay=True),
    callback=writable_file,
    metavar="FILE",
    help="Write a page with all of this, with times and pictures, that any browser opens without a network.",
)
@output_option
@format_option("json", "csv")
def report(
    places: tuple[Path, ...], limit: int | None, data_id_tables: Path | None, html: Path | None, style: str
) -> None:
    """Count what became of the quanta of a run, and say why.

    Asks one archive, as quantum-butler collect makes it, or any number of provenance graphs (.qg), as
    upstream's butler aggregate-graph or our merge-graphs write them.

    \b
    quantum-butler report campaign
    quantum-butler report run.qg --html run.html
    quantum-butler report run.qg --data-id-tables failed && submit-next-step

    Failures with the same task, exception and first line of its message are counted together.
    """  # noqa: D301 - click wants the character \b itself
    from ..reporting.counts import report as make
    from ..reporting.text import of_report

    if html is not None:
        require_two_files(html, "--html")
        require_replaceable(html, "--html")
    with _plain_errors():
        made = make(*places)
        if data_id_tables is not None:
            _write_tables(made, data_id_tables)
        if html is not None:
            _write_page(made, places, html)
    show(of_report(made, limit).render(style))
    if not made.is_complete:
        sys.exit(INCOMPLETE)


def _write_tables(made: RunReport, folder: Path) -> None:
    try:
        from ..reporting.tables import write_data_id_tables
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; tables of data IDs need astropy: pip install astropy"
        ) from error
    write_data_id_tables(made, folder)


def _write_page(made: RunReport, places: tuple[Path, ...], file: Path) -> None:
    try:
        from ..reporting.page import write_page
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; the page has plots: pip install 'quantum-butler[plot]'"
        ) from error
    from ..reporting.times import times as sum_up

    write_page(made, sum_up(*places), file)


@click.command(
    epilog="Exit status: 0 when the times were summed up; 1 when they could not be; 2 when the command was "
    "called wrongly.",
)
@places_argument
@click.option(
    "--slowest",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Name so many of the slowest quanta.",
)
@output_option
@format_option("json", "csv")
def times(places: tuple[Path, ...], slowest: int, style: str) -> None:
    """Sum up run time, CPU time and memory by task, and what time went into.

    Asks one archive, or any number of provenance graphs (.qg).

    \b
    quantum-butler times campaign
    quantum-butler times run.qg --slowest 50 --format json -o times.json

    Percentiles are of the last attempt of each quantum. What is known of some quanta only, such as the time
    in the butler, is summed up over these.
    """  # noqa: D301 - click wants the character \b itself
    from ..reporting.text import of_times
    from ..reporting.times import times as sum_up

    with _plain_errors():
        made = sum_up(*places, slowest=slowest)
    show(of_times(made).render(style))
