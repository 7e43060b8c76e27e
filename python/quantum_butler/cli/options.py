"""Options that several commands have."""

from __future__ import annotations

__all__ = (
    "drop_in_options",
    "new_graph_option",
    "overwrite_graph_option",
    "provenance_contents_option",
)

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .paths import LocalPath

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
    return require(provenance_log(provenance_contents_option(command)))


provenance_contents_option = click.option(
    "--provenance-contents",
    is_flag=True,
    help="Have the logs also keep the contents of each quantum's metadata and log, compressed; "
    "quantum-butler aggregate --logs takes them from there.",
)


new_graph_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    type=LocalPath(file_okay=True),
    help="The provenance graph to write.",
)

overwrite_graph_option = click.option("--overwrite", is_flag=True, help="Replace the graph that is there.")
