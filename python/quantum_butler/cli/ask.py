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
from typing import TYPE_CHECKING, Literal

import click

from .output import format_option, show
from .paths import LocalPath

if TYPE_CHECKING:
    import uuid

    from ..archive.archive import Archive

_ARCHIVE = LocalPath(exists=True, is_text=True)

_format = format_option("json", "csv")
_archive = click.argument("archive", type=_ARCHIVE)
_dataset = click.argument("dataset", type=click.UUID)
_actual = click.option(
    "--actual/--predicted",
    default=True,
    help="Go by what was really used and written (the default), or by what was predicted.",
)


@contextmanager
def _opened(
    *paths: Path, failure: type[click.ClickException] = click.ClickException
) -> Iterator[list[Archive]]:
    """Open archives; what is wrong with them takes one line."""
    from ..archive.archive import Archive
    from ..archive.errors import ArchiveError

    try:
        yield [Archive(path) for path in paths]
    except ArchiveError as error:
        from ..archive.reports import plain

        raise failure(plain(str(error))) from error


@click.command()
@_archive
@_format
def stats(archive: Path, style: str) -> None:
    """Count quanta, datasets and bytes of ARCHIVE, task by task.

    Unused are datasets that quanta of the task expected as inputs and none of
    them used; missing are outputs that they were to write and did not.
    """
    from ..archive.reports import of_statistics

    with _opened(archive) as (opened,):
        show(of_statistics(opened.stats()).render(style))


@click.command("show")
@_archive
@click.argument("quantum", type=click.UUID)
@_format
def show_quantum(archive: Path, quantum: uuid.UUID, style: str) -> None:
    """Show the quantum with the id QUANTUM, and its datasets."""
    from ..archive.reports import of_quantum

    with _opened(archive) as (opened,):
        show(of_quantum(opened.show(quantum)).render(style))


@click.command()
@_archive
@_dataset
@click.option(
    "--up",
    "direction",
    flag_value="up",
    default="up",
    help="What it was made from (the default).",
)
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    help="The most quanta between DATASET and others; without it there is no limit.",
)
@_actual
@format_option("json", "csv", "dot", "mermaid", "svg")
def lineage(
    archive: Path,
    dataset: uuid.UUID,
    direction: Literal["up", "down"],
    depth: int | None,
    actual: bool,
    style: str,
) -> None:
    """Trace what the dataset with the id DATASET was made from, or what was made from it.

    Besides text there are graphs: dot for Graphviz, mermaid for Markdown
    pages, and svg, a picture of up to 300 nodes that Graphviz draws.
    """
    from ..archive.graph import MOST_NODES, Graph, GraphvizError, NoGraphvizError, to_dot, to_mermaid, to_svg
    from ..archive.reports import of_lineage

    with _opened(archive) as (opened,):
        found = opened.lineage(dataset, direction=direction, depth=depth, actual=actual)
        if style not in ("dot", "mermaid", "svg"):
            show(of_lineage(found).render(style))
            return
        nodes = len(found.datasets) + len(found.quanta)
        if style == "svg" and nodes > MOST_NODES:
            raise click.UsageError(
                f"a picture of {nodes:,} nodes cannot be read (at most {MOST_NODES}); "
                "limit it with --depth, or use --format dot"
            )
        graph = Graph.of(found)
    # Whatever the characters of the stream are, those of these languages are UTF-8.
    if style != "svg":
        show((to_dot if style == "dot" else to_mermaid)(graph).encode())
        return
    try:
        show(to_svg(graph))
    except NoGraphvizError as error:
        raise click.UsageError(f"{error}; install it, or use --format dot") from error
    except GraphvizError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@_archive
@_dataset
@_actual
@_format
def producer(archive: Path, dataset: uuid.UUID, actual: bool, style: str) -> None:
    """Find the quantum that wrote the dataset with the id DATASET."""
    from ..archive.reports import of_quanta

    with _opened(archive) as (opened,):
        quantum = opened.producer(dataset, actual=actual)
        nothing = f"No quantum of the archive {'wrote' if actual else 'was to write'} dataset {dataset}."
        show(of_quanta([] if quantum is None else [quantum], nothing, single=True).render(style))


@click.command()
@_archive
@_dataset
@_actual
@_format
def consumers(archive: Path, dataset: uuid.UUID, actual: bool, style: str) -> None:
    """Find the quanta that read the dataset with the id DATASET."""
    from ..archive.reports import of_quanta

    with _opened(archive) as (opened,):
        quanta = opened.consumers(dataset, actual=actual)
        nothing = f"No quantum of the archive {'read' if actual else 'was to read'} dataset {dataset}."
        show(of_quanta(quanta, nothing, single=False).render(style))


class _NotComparedError(click.ClickException):
    """Something other than a difference."""

    # As with other commands of this name, one status says that there are differences, and nothing else.
    exit_code = 2


@click.command()
@click.argument("left", type=_ARCHIVE)
@click.argument("right", type=_ARCHIVE)
@_format
def diff(left: Path, right: Path, style: str) -> None:
    """Compare the archives LEFT and RIGHT.

    Lists quanta and datasets that only one of them has, and datasets that
    quanta of both have in different roles. The exit status is 1 if there are
    any, and 2 if that cannot be told.
    """
    from ..archive.reports import of_difference

    with _opened(left, right, failure=_NotComparedError) as (one, other):
        difference = one.diff(other)
        show(of_difference(difference, one, other).render(style), _NotComparedError)
    if difference:
        sys.exit(1)


@click.command()
@_archive
@click.option(
    "--output",
    type=LocalPath(),
    required=True,
    help="Folder for the pictures; made if there is none.",
)
def plot(archive: Path, output: Path) -> None:
    """Draw the outputs and the inputs of each task of ARCHIVE.

    Writes outputs.png, outputs.svg, inputs.png and inputs.svg, and prints
    their paths.
    """
    try:
        from ..archive.plots import draw
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; pictures need matplotlib: pip install 'quantum-butler[plot]'"
        ) from error

    with _opened(archive) as (opened,):
        statistics = opened.stats()
    try:
        output.mkdir(parents=True, exist_ok=True)
        paths = draw(statistics, output)
    except OSError as error:
        raise click.ClickException(f"{error.filename or output}: {error.strerror}") from error
    show(b"".join(os.fsencode(path) + b"\n" for path in paths))


COMMANDS = (stats, show_quantum, lineage, producer, consumers, diff, plot)
