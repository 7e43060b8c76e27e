"""``quantum-butler rebuild``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("rebuild",)

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..paths import is_there
from .names import NAME_HELP, opened_run, split_names, split_words
from .options import actual_option, limit_option
from .output import fitted, format_option, show, warn, wide_option
from .paths import LocalPath, writable_graph

if TYPE_CHECKING:
    from ..archive.archive import Archive
    from ..archive.rebuilding import Rebuild
    from ..archive.results import Quantum
    from ..asking import GraphRun

# What stands in commands for what is not known.
_REPO, _GRAPH, _OUTPUT = "REPO", "GRAPH.qg", "SUB.qg"
_RUN, _NEW = "NEW_RUN", "NEW.qg"

# As many are named of quanta that a graph lacks.
_MOST_NAMED = 5


@click.command(
    short_help="List the quanta that make datasets again, and write them as a graph.",
    epilog=f"{NAME_HELP.replace('NAME', 'DATASET', 1)}\n\n"
    "Exit status: 0 when the quanta were found, and the graph that was asked for is written; 1 when "
    "a dataset is not known or no quantum makes it, or GRAPH lacks some quanta; 2 when the "
    "command was called wrongly, a name is that of several, or SUB.qg is there already.",
)
@click.argument("words", metavar="ARCHIVE|GRAPH... DATASET...", nargs=-1, required=True)
@click.option(
    "--graph",
    metavar="GRAPH.qg",
    help="Path or URI of the predicted graph of the run, which the quanta are taken from.  [default: the "
    "predicted graph that is asked, if it is one]",
)
@click.option(
    "-o",
    "--output",
    metavar="SUB.qg",
    type=LocalPath(file_okay=True),
    callback=writable_graph,
    help="Write the quanta as a graph of their own.",
)
@click.option("--overwrite", is_flag=True, help="Replace the graph that is there.")
@click.option("--repo", metavar="REPO", help="The repository, for the commands that are printed.")
@click.option(
    "--have",
    metavar="TYPE",
    multiple=True,
    help="Datasets of this type are there: run nothing for them. May be given again.",
)
@actual_option
@limit_option("rows of a table", more=" JSON and CSV have all.")
@wide_option
@format_option("json", "csv")
def rebuild(
    words: tuple[str, ...],
    graph: str | None,
    output: Path | None,
    overwrite: bool,
    repo: str | None,
    have: tuple[str, ...],
    actual: bool | None,
    limit: int | None,
    wide: bool,
    style: str,
) -> None:
    """List the quanta that make each DATASET again, in an order in which they can be run.

    \b
    quantum-butler rebuild campaign deepCoadd tract=3 patch=5 band=r
    quantum-butler rebuild campaign deepCoadd tract=3 patch=5 band=r --have calexp
    quantum-butler rebuild campaign deepCoadd tract=3 patch=5 --graph run.qg -o again.qg --repo REPO
    quantum-butler rebuild graph.qg calexp visit=7 detector=3 -o again.qg

    Then come the datasets that have to be there before, such as raws, and the commands that run the quanta.
    With -o the quanta are written as a graph of their own, by upstream's own classes. That takes the
    predicted graph of the run and the lsst packages; the list does not. Several datasets may be named.

    A quantum whose metadata is in the repository is taken for done by these commands: remove it together with
    what is to be made again, or make all of it in a new run.
    """  # noqa: D301 - click wants the character \b itself
    from ..archive.rebuilt import of_rebuild
    from ..queries.choice import make_choice
    from ..queries.known import require_known

    places, rest = split_words(words)
    with opened_run(*places) as run:
        if have:
            require_known(run.source, "dataset", make_choice(have, None, None, None))
        found = run.rebuild(*split_names(rest), actual=actual, have=have)
        source = _predicted_file(run) if graph is None else graph
    if output is None and graph is not None:
        raise click.UsageError("--graph is what the quanta are taken from to write them with -o")
    if output is not None:
        if source is None:
            raise click.UsageError("-o needs --graph GRAPH.qg, the predicted graph of the run")
        _write(found, source, output, overwrite)
    commands = _commands(found, source, None if output is None else str(output), repo or _REPO, bool(have))
    if output is None:
        commands.insert(
            0, ("write the quanta as a graph", [_this_command(places, rest, have, actual, source)])
        )
    more = {
        "graph": None if output is None else str(output),
        "commands": [command for _, lines in commands for command in lines],
    }
    ending = "".join(
        f"\n# {purpose}\n" + "".join(f"{command}\n" for command in lines) for purpose, lines in commands
    )
    show(fitted(of_rebuild(found, limit, more, ending).render(style), style, wide))


def _predicted_file(run: Archive | GraphRun) -> str | None:
    """Return the predicted graph that is asked, if that is one file."""
    from ..asking import GraphRun
    from ..quantum_graphs import PredictedGraph

    graph = run.graph if isinstance(run, GraphRun) else None
    return graph.files[0] if isinstance(graph, PredictedGraph) and len(graph.files) == 1 else None


def _write(found: Rebuild, source: str, output: Path, overwrite: bool) -> None:
    """Write the quanta as a graph; what is wrong takes one line."""
    try:
        from ..running.errors import RunError
        from ..running.subgraph import NotInGraphError, write_subgraph
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; to write graphs, pip install 'quantum-butler[graph]'"
        ) from error
    from ..archive.reports import plain

    try:
        write_subgraph((one.quantum_id for one in found.quanta), source, output, overwrite=overwrite)
    except FileExistsError as error:
        raise click.UsageError(f"{error} (--overwrite replaces it)") from error
    except NotInGraphError as error:
        missing = {*error.quanta}
        names = [_name(one) for one in found.quanta if one.quantum_id in missing]
        shown = "".join(f"\n  {plain(name)}" for name in names[:_MOST_NAMED])
        more = f"\n  and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        raise click.ClickException(
            f"{source} is not the graph of these quanta: it lacks {len(names):,} of {len(found.quanta):,}"
            f"{shown}{more}"
        ) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except RunError as error:
        raise click.ClickException(str(error)) from error
    journal = f"{output}.journal"
    if is_there(journal):
        warn(f"{journal} is there: what it notes as done is not run again until it is removed")


def _name(one: Quantum) -> str:
    from ..archive.texts import data_id_text

    return f"{one.task_label or '(no label)'} {data_id_text(one.data_id or {})} {one.quantum_id}"


def _this_command(
    places: Sequence[Path], rest: Sequence[str], have: Sequence[str], actual: bool | None, source: str | None
) -> str:
    """Return the command that writes the graph."""
    words = ["quantum-butler", "rebuild", *map(str, places), *rest]
    words += [word for name in have for word in ("--have", name)]
    words += [] if actual is None else ["--actual" if actual else "--predicted"]
    words += ["--graph", _GRAPH] if source is None else []
    return shlex.join([*words, "-o", _OUTPUT])


def _commands(
    found: Rebuild, source: str | None, output: str | None, repo: str, is_cut: bool
) -> list[tuple[str, list[str]]]:
    """Return what to do next: for each purpose its commands, to be copied into a shell."""
    graph = output or _OUTPUT
    commands = [
        (
            "run them; a quantum whose metadata is in the repository is taken for done",
            [shlex.join(["quantum-butler", "run", repo, graph])],
        ),
        (
            "or run them with upstream's commands",
            [
                shlex.join(["pipetask", "pre-exec-init-qbb", repo, graph]),
                shlex.join(["pipetask", "--long-log", "run-qbb", repo, graph]),
            ],
        ),
        (
            "register what is new",
            [shlex.join(["butler", "transfer-from-graph", graph, repo, "--register-dataset-types"])],
        ),
    ]
    # What is taken from the old run would be looked for in the new one.
    if not is_cut and len({one.run for one in found.quanta}) == 1:
        commands.insert(
            2,
            (
                "or make it in a new run, beside what is there: run NEW.qg instead",
                [shlex.join(["pipetask", "update-graph-run", graph, _RUN, _NEW])],
            ),
        )
    return commands
