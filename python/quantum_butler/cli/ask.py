"""The questions on the command line.

Importing this module is cheap; each command imports what it needs.
"""

from __future__ import annotations

__all__ = ("COMMANDS",)

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import failure_of
from .find import find, missing, unused
from .look import consumers, lineage, producer, show_named
from .output import format_option, output_option, require_replaceable, show
from .paths import LocalPath, writable_folder

if TYPE_CHECKING:
    from ..archive.archive import Archive

# What an archive is not, its reader tells best: of a file, too.
_ARCHIVE = LocalPath(exists=True, is_text=True, file_okay=True)

_format = format_option("json", "csv")
_archive = click.argument("archive", type=_ARCHIVE)


@contextmanager
def _opened(*paths: Path, failure: type[click.ClickException] | None = None) -> Iterator[list[Archive]]:
    """Open archives; what is wrong with them takes one line."""
    from ..archive.archive import Archive
    from ..archive.errors import ArchiveError

    try:
        yield [Archive(path) for path in paths]
    except ArchiveError as error:
        told = failure_of(error)
        raise (told if failure is None else failure(told.message)) from error


@click.command(
    epilog="Exit status: 0 when it was counted; 1 when the archive cannot be read; 2 when the command was "
    "called wrongly."
)
@_archive
@output_option
@_format
def stats(archive: Path, style: str) -> None:
    """Count quanta, datasets and bytes of ARCHIVE, task by task.

    \b
    quantum-butler stats campaign
    quantum-butler stats campaign --format csv -o campaign.csv

    Unused are datasets that quanta of the task expected as inputs and none of
    them used; missing are outputs that they were to write and did not.
    quantum-butler unused and missing list them.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.reports import of_statistics

    with _opened(archive) as (opened,):
        show(of_statistics(opened.stats()).render(style))


class _NotComparedError(click.ClickException):
    """Something other than a difference."""

    # As with other commands of this name, one status says that there are differences, and nothing else.
    exit_code = 2


@click.command(
    epilog="Exit status: 0 when the archives are the same; 1 when they differ; 2 when that cannot be told."
)
@click.argument("left", type=_ARCHIVE)
@click.argument("right", type=_ARCHIVE)
@output_option
@_format
def diff(left: Path, right: Path, style: str) -> None:
    """Compare the archives LEFT and RIGHT by id.

    \b
    quantum-butler diff first second
    quantum-butler diff first second --format json -o difference.json

    Lists quanta and datasets that only one of them has, and datasets that
    quanta of both have in different roles. Two runs have no ids in common:
    quantum-butler compare matches them by task and data ID.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.reports import of_difference

    with _opened(left, right, failure=_NotComparedError) as (one, other):
        difference = one.diff(other)
        show(of_difference(difference, one, other).render(style), _NotComparedError)
    if difference:
        sys.exit(1)


@click.command(
    epilog="Exit status: 0 when the pictures are there; 1 when they could not be made; 2 when the command "
    "was called wrongly."
)
@_archive
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    type=LocalPath(),
    callback=writable_folder,
    required=True,
    help="Folder for the pictures; made if there is none.",
)
def plot(archive: Path, output: Path) -> None:
    """Draw the outputs and the inputs of each task of ARCHIVE.

    \b
    quantum-butler plot campaign -o pictures

    Writes outputs.png, outputs.svg, inputs.png and inputs.svg, and prints
    their paths.
    """  # noqa: D301 - click wants the character \b itself
    try:
        from ..archive.plots import draw
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; pictures need matplotlib: pip install 'quantum-butler[plot]'"
        ) from error

    with _opened(archive) as (opened,):
        require_replaceable(output / "outputs.png", "--output")
        statistics = opened.stats()
    try:
        output.mkdir(parents=True, exist_ok=True)
        paths = draw(statistics, output)
    except OSError as error:
        raise click.ClickException(f"{error.filename or output}: {error.strerror}") from error
    show(b"".join(os.fsencode(path) + b"\n" for path in paths))


COMMANDS = (find, stats, show_named, lineage, producer, consumers, unused, missing, diff, plot)
