"""``quantum-butler compare``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("compare",)

import sys
from pathlib import Path

import click

from .options import limit_option
from .output import format_option, output_option, show
from .paths import LocalPath

_RUN = LocalPath(exists=True, is_text=True, file_okay=True)


class _NotComparedError(click.ClickException):
    """Something other than a difference."""

    exit_code = 2


@click.command(
    short_help="Compare two runs by task and data ID.",
    epilog="Exit status: 0 when the runs are the same; 1 when they differ; 2 when that cannot be told. "
    "Times, and sizes of task metadata and logs, always differ, and do not count.",
)
@click.argument("left", metavar="LEFT", type=_RUN)
@click.argument("right", metavar="RIGHT", type=_RUN)
@limit_option("of each kind of difference", 20, " JSON and CSV have all.")
@click.option("--summary", is_flag=True, help="Print the tables by task and by dataset type only.")
@output_option
@format_option("json", "csv")
def compare(left: Path, right: Path, limit: int | None, summary: bool, style: str) -> None:
    """Compare the runs LEFT and RIGHT: archives, or provenance graphs (.qg).

    \b
    quantum-butler compare last-week this-week
    quantum-butler compare run1.qg run2.qg --limit 0
    quantum-butler compare campaign run.qg --format json -o differences.json

    Quanta are matched by task and data ID, datasets by type and data ID; ids do not matter, nor do names
    of runs. quantum-butler diff compares by id. Inputs are those that were really used, if both sides
    know that, else those that were predicted.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.errors import ArchiveError
    from ..archive.reports import plain
    from ..quantum_graphs import QuantumGraphError
    from ..reporting.comparing import compare as make
    from ..reporting.comparison_text import of_comparison

    try:
        made = make(left, right)
    except (ArchiveError, QuantumGraphError, OSError) as error:
        raise _NotComparedError(plain(str(error))) from error
    show(of_comparison(made, limit, details=not summary).render(style), _NotComparedError)
    if not made.is_same:
        sys.exit(1)
