"""Questions about many quanta or datasets at once.

Importing this module is cheap; each command imports what it needs.
"""

from __future__ import annotations

__all__ = ("find", "missing", "unused")

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .names import opened_run
from .options import limit_option, places_argument
from .output import format_option, output_option, wide_option

if TYPE_CHECKING:
    from ..queries.choice import Choice

_F = TypeVar("_F", bound=Callable[..., Any])

_STATUSES = (
    "Exit status: 0 when the archive or the graphs were asked, also if nothing is like that; 1 when they "
    "cannot be read; 2 when the command was called wrongly."
)

_type = click.option(
    "--type", "types", metavar="TYPE", multiple=True, help="Datasets of this type; may be given again."
)
_run = click.option("--run", "runs", metavar="RUN", multiple=True, help="Of this run; may be given again.")
_where = click.option(
    "-w",
    "--where",
    metavar="EXPR",
    help="Whose data ID meets this, in the language of Butler queries: "
    '"visit > 100 AND detector IN (4, 7..9)". Data IDs have required dimensions only: no band of a visit.',
)


def _printing(command: _F) -> _F:
    """Add how an answer of many rows is printed."""
    limit = limit_option("at most")
    summary = click.option("--summary", is_flag=True, help="Count them, by task or type, run and status.")
    return limit(summary(output_option(wide_option(format_option("json", "csv")(command)))))


def _datasets(command: _F) -> _F:
    """Add of what run a command lists datasets, and which ones."""
    return places_argument(_type(_run(_where(_printing(command)))))


@click.command(epilog=_STATUSES)
@places_argument
@click.option(
    "--task", "tasks", metavar="LABEL", multiple=True, help="Quanta of this task; may be given again."
)
@_type
@_run
@click.option(
    "--status",
    "statuses",
    metavar="STATUS",
    multiple=True,
    help="Quanta that ended so: successful, failed, blocked, aborted, 'log lost', unknown or 'not seen'; may "
    "be given again.",
)
@_where
@_printing
def find(
    places: tuple[Path, ...],
    tasks: tuple[str, ...],
    types: tuple[str, ...],
    runs: tuple[str, ...],
    statuses: tuple[str, ...],
    where: str | None,
    **printing: Any,
) -> None:
    """List quanta, or with --type datasets.

    Asks one archive, or any number of graphs (.qg), predicted or provenance.

    \b
    quantum-butler find campaign --status failed
    quantum-butler find run.qg --task isr -w "visit > 100 AND detector IN (4, 5)"
    quantum-butler find campaign --type calexp -w "visit = 7" --format json
    quantum-butler find campaign --summary

    A quantum or a dataset without a dimension that matters does not meet a condition on it, as in SQL. Names
    of tasks, types and runs that nothing has are refused, and so is a dimension that no such data ID has.
    """  # noqa: D301 - click wants the character \b itself
    if types and (tasks or statuses):
        raise click.UsageError("--type is for datasets; --task and --status are for quanta")
    if types:
        _list("dataset", places, types, runs, None, where, None, printing)
    else:
        _list("quantum", places, tasks or None, runs, statuses or None, where, None, printing)


@click.command(epilog=_STATUSES)
@_datasets
def unused(
    places: tuple[Path, ...],
    types: tuple[str, ...],
    runs: tuple[str, ...],
    where: str | None,
    **printing: Any,
) -> None:
    """List datasets that were written, or were there before, and that no quantum used.

    Asks an archive of our logs: graphs do not know what was used.

    \b
    quantum-butler unused campaign --summary
    quantum-butler unused campaign --type calexp -w "visit = 7"
    """  # noqa: D301 - click wants the character \b itself
    _list("dataset", places, types, runs, None, where, "unused", printing)


@click.command(epilog=_STATUSES)
@_datasets
def missing(
    places: tuple[Path, ...],
    types: tuple[str, ...],
    runs: tuple[str, ...],
    where: str | None,
    **printing: Any,
) -> None:
    """List outputs that no quantum has written, and inputs that no quantum has found.

    An input may exist all the same: if its quanta ended before they looked for it (NO_WORK), or failed
    to read it.

    \b
    quantum-butler missing campaign --summary
    quantum-butler missing run.qg --type calexp --format csv -o missing.csv
    """  # noqa: D301 - click wants the character \b itself
    _list("dataset", places, types, runs, None, where, "missing", printing)


def _list(
    kind: Any,
    places: tuple[Path, ...],
    labels: tuple[str, ...] | None,
    runs: tuple[str, ...],
    statuses: tuple[str, ...] | None,
    where: str | None,
    use: Any,
    printing: dict[str, Any],
) -> None:
    """Print what is wanted, as it is found."""
    from ..queries.choice import make_choice
    from .rows import print_rows

    with opened_run(*places) as run:
        choice: Choice = make_choice(labels or None, runs or None, statuses, where)
        print_rows(run.source, kind, choice, use, **printing)
