"""Options that several commands have."""

from __future__ import annotations

__all__ = (
    "actual_option",
    "drop_in_options",
    "limit_option",
    "log_failure_options",
    "metadata_in_log_option",
    "new_graph_option",
    "overwrite_graph_option",
    "places_argument",
    "provenance_contents_option",
)

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..switches import log_policies
from .paths import LocalPath, writable_graph

_F = TypeVar("_F", bound=Callable[..., Any])


def drop_in_options(command: _F) -> _F:
    """Add how our classes are put in place, and where quanta are logged."""
    require = click.option(
        "--require",
        is_flag=True,
        help="Where quantum_butler cannot be imported, let the import of lsst.daf.butler fail, "
        "instead of going on with the stock classes and a warning.",
    )
    provenance_log = click.option(
        "--provenance-log",
        type=LocalPath(),
        metavar="FOLDER",
        help="Leave the provenance of every quantum in logs in this folder; "
        "gather them with quantum-butler collect.",
    )
    return require(provenance_log(provenance_contents_option(log_failure_options()(command))))


def log_failure_options(*envvars: str | None) -> Callable[[_F], _F]:
    """Return the options for what happens if a provenance log cannot be written later."""
    of_policy, of_folder = envvars or (None, None)
    on_log_failure = click.option(
        "--on-log-failure",
        type=click.Choice(log_policies),
        envvar=of_policy,
        help="What happens if a log cannot be written later: the quantum fails, and is run again when it is "
        "tried again; there is a warning, and its provenance is lost; or it goes to a log in the folder "
        "of --spill-to.  [default: fail; spill with --spill-to]",
    )
    spill_to = click.option(
        "--spill-to",
        type=LocalPath(),
        envvar=of_folder,
        metavar="FOLDER",
        help="A second folder for logs, best on another disk; quantum-butler collect takes both together.",
    )

    def add(command: _F) -> _F:
        return on_log_failure(spill_to(command))

    return add


provenance_contents_option = click.option(
    "--provenance-contents",
    is_flag=True,
    help="Have the logs also keep the contents of each quantum's metadata and log, compressed; "
    "quantum-butler aggregate --logs takes them from there.",
)


metadata_in_log_option = click.option(
    "--metadata-in-log",
    is_flag=True,
    help="Keep the metadata and the log of quanta that succeed in the provenance logs alone, and write no "
    "files for them. Implies --provenance-contents, and needs --logs. Other tools do not find them before "
    "quantum-butler aggregate --logs has written the provenance graph, or --restore-files the files.",
)


def limit_option(what: str, default: int | None = None, more: str = "") -> Callable[[_F], _F]:
    """Return the option for how many rows are printed, which are all of them (`None`) with 0."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=default,
        show_default=default is not None,
        callback=lambda _context, _parameter, limit: limit or None,
        help=f"Print so many {what}; 0 prints all.{more}",
    )


places_argument = click.argument(
    "places",
    metavar="ARCHIVE|GRAPH...",
    nargs=-1,
    required=True,
    type=LocalPath(exists=True, is_text=True, file_okay=True),
)

actual_option = click.option(
    "--actual/--predicted",
    default=None,
    help="Go by what was really used and written, or by what was predicted.  [default: what was used, unless "
    "only graphs tell of the run]",
)

new_graph_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    type=LocalPath(file_okay=True),
    callback=writable_graph,
    help="The provenance graph to write.",
)

overwrite_graph_option = click.option("--overwrite", is_flag=True, help="Replace the graph that is there.")
