"""Questions about one quantum or dataset, which is given by name.

Importing this module is cheap; each command imports what it needs.
"""

from __future__ import annotations

__all__ = ("consumers", "lineage", "producer", "show_named")

from typing import Literal

import click

from .names import NAME_HELP_AND_STATUSES, opened_run, place_and_name, split_words
from .options import actual_option, limit_option
from .output import fitted, format_option, output_option, show, wide_option

_format = format_option("json", "csv")
_PICTURES = ("dot", "mermaid", "svg")
_limit = limit_option("rows of a table", more=" JSON and CSV have all.")


@click.command("show", epilog=NAME_HELP_AND_STATUSES)
@place_and_name
@click.option("--quantum", "kind", flag_value="quantum", help="NAME is that of a quantum.")
@click.option("--dataset", "kind", flag_value="dataset", help="NAME is that of a dataset.")
@output_option
@wide_option
@_format
def show_named(
    words: tuple[str, ...], kind: Literal["quantum", "dataset"] | None, wide: bool, style: str
) -> None:
    """Show a quantum with its datasets, or a dataset with its producer and consumers.

    \b
    quantum-butler show campaign isr visit=7 detector=3
    quantum-butler show campaign calexp visit=7 detector=3
    quantum-butler show run.qg 578c570764ca
    quantum-butler show campaign u/me/run1/calexp/7/calexp_7_3.fits
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.reports import of_dataset, of_quantum

    paths, name = split_words(words)
    with opened_run(*paths) as run:
        found = run.resolve(name, kind=kind)
        if found.kind == "quantum":
            report = of_quantum(run.show(found.id))
        else:
            report = of_dataset(run.show_dataset(found.id))
        show(fitted(report.render(style), style, wide))


@click.command(epilog=NAME_HELP_AND_STATUSES)
@place_and_name
@click.option("--up", "direction", flag_value="up", default="up", help="What it was made from (the default).")
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    help="The most quanta between NAME and others; without it there is no limit.",
)
@actual_option
@_limit
@click.option("--summary", is_flag=True, help="Count quanta and datasets, by task or type, run and status.")
@output_option
@wide_option
@format_option("json", "csv", *_PICTURES)
def lineage(
    words: tuple[str, ...],
    direction: Literal["up", "down"],
    depth: int | None,
    actual: bool | None,
    limit: int | None,
    summary: bool,
    wide: bool,
    style: str,
) -> None:
    """Trace what a dataset was made from, or what was made from it.

    If NAME is that of a quantum, it is about all that the quantum has written: with --up what led to it, with
    --down what came of it.

    \b
    quantum-butler lineage campaign deepCoadd tract=3 patch=5 band=r
    quantum-butler lineage campaign deepCoadd tract=3 patch=5 band=r --summary
    quantum-butler lineage campaign raw exposure=7 detector=3 --down --depth 2
    quantum-butler lineage run.qg isr visit=7 detector=3 --format svg -o isr.svg

    Besides text there are graphs: dot for Graphviz, mermaid for Markdown
    pages, and svg, a picture of up to 300 nodes that Graphviz draws.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.graph import MOST_NODES, Graph, GraphvizError, NoGraphvizError, to_dot, to_mermaid, to_svg
    from ..archive.reports import of_lineage, of_lineage_summary

    if summary and style in _PICTURES:
        raise click.UsageError(f"--summary has no form {style}: it is a table, json or csv")
    paths, name = split_words(words)
    with opened_run(*paths) as run:
        found = run.lineage(run.resolve(name).id, direction=direction, depth=depth, actual=actual)
        if style not in _PICTURES:
            report = of_lineage_summary(found) if summary else of_lineage(found, limit)
            show(fitted(report.render(style), style, wide))
            return
        nodes = len(found.datasets) + len(found.quanta)
        if style == "svg" and nodes > MOST_NODES:
            raise click.UsageError(
                f"a picture of {nodes:,} nodes cannot be read (at most {MOST_NODES}); "
                "limit it with --depth, or use --format dot"
            )
        graph = Graph.of(found)
    if style != "svg":
        # Whatever the characters of the stream are, those of these languages are UTF-8.
        show((to_dot if style == "dot" else to_mermaid)(graph).encode())
        return
    try:
        picture = to_svg(graph)
    except NoGraphvizError as error:
        raise click.UsageError(f"{error}; install it, or use --format dot") from error
    except GraphvizError as error:
        raise click.ClickException(str(error)) from error
    show(picture)


@click.command(epilog=NAME_HELP_AND_STATUSES)
@place_and_name
@actual_option
@output_option
@wide_option
@_format
def producer(words: tuple[str, ...], actual: bool | None, wide: bool, style: str) -> None:
    """Find the quantum that wrote a dataset.

    \b
    quantum-butler producer campaign calexp visit=7 detector=3
    quantum-butler producer run.qg 578c570764ca --predicted
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.reports import of_quanta

    paths, name = split_words(words)
    with opened_run(*paths) as run:
        dataset = run.resolve(name, kind="dataset").id
        quantum = run.producer(dataset, actual=actual)
        nothing = f"No quantum {'was to write' if actual is False else 'wrote'} dataset {dataset}."
        report = of_quanta([] if quantum is None else [quantum], nothing, single=True)
        show(fitted(report.render(style), style, wide))


@click.command(epilog=NAME_HELP_AND_STATUSES)
@place_and_name
@actual_option
@_limit
@output_option
@wide_option
@_format
def consumers(words: tuple[str, ...], actual: bool | None, limit: int | None, wide: bool, style: str) -> None:
    """Find the quanta that read a dataset.

    \b
    quantum-butler consumers campaign calexp visit=7 detector=3
    quantum-butler consumers run.qg 578c570764ca --format json
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.reports import of_quanta

    paths, name = split_words(words)
    with opened_run(*paths) as run:
        dataset = run.resolve(name, kind="dataset").id
        quanta = run.consumers(dataset, actual=actual)
        nothing = f"No quantum {'was to read' if actual is False else 'read'} dataset {dataset}."
        some = quanta[:limit] if style == "table" else quanta
        text = of_quanta(some, nothing, single=False).render(style)
        if len(some) < len(quanta):
            text += f"\nand {len(quanta) - len(some):,} more\n"
        show(fitted(text, style, wide))
