"""``quantum-butler log`` and ``metadata``.

Importing this module is cheap; a command imports what it needs.
"""

from __future__ import annotations

__all__ = ("log", "metadata")

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from .names import opened_run
from .output import format_option, output_option, show
from .paths import LocalPath

if TYPE_CHECKING:
    from ..asking.contents import QuantumContents

_F = TypeVar("_F", bound=Callable[..., Any])


def _options(command: _F) -> _F:
    """Add which quanta are asked for."""
    for option in (
        click.option("--where", metavar="CONDITION", help="Only quanta whose data ID meets this condition."),
        click.option(
            "--status",
            "statuses",
            metavar="STATUS",
            multiple=True,
            help="Only quanta that ended so, as failed or successful. May be given again.",
        ),
        click.option(
            "--task", "tasks", metavar="TASK", multiple=True, help="All quanta of TASK. May be given again."
        ),
        click.option(
            "--logs",
            type=LocalPath(exists=True, file_okay=True),
            metavar="FOLDER",
            multiple=True,
            help="Where the logs that ARCHIVE was made of are now, if they were moved. May be given again.",
        ),
        click.argument("quantum", metavar="[QUANTUM]", nargs=-1),
        click.argument(
            "run", metavar="ARCHIVE|GRAPH", type=LocalPath(exists=True, is_text=True, file_okay=True)
        ),
    ):
        command = option(command)
    return command


@click.command(
    short_help="Print the log of a quantum, or of several.",
    epilog="Exit status: 0 when the quanta were found, also if none meets the options; 1 when there is no "
    "QUANTUM of this name, or there are no logs of it; 2 when several have the name, or the command was "
    "called wrongly.",
)
@_options
@output_option
@click.option(
    "--level",
    type=click.Choice(["DEBUG", "VERBOSE", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    help="Only records of this level and above. Of several quanta, those without one are left out.",
)
@format_option("json")
def log(
    run: Path,
    quantum: tuple[str, ...],
    tasks: tuple[str, ...],
    statuses: tuple[str, ...],
    where: str | None,
    logs: tuple[Path, ...],
    level: str | None,
    style: str,
) -> None:
    """Print the log of QUANTUM, or of all quanta that are asked for.

    \b
    quantum-butler log run.qg isr visit=7 detector=3
    quantum-butler log campaign isr visit=7 detector=3 --logs /new/place/logs
    quantum-butler log run.qg --task isr --status failed --level WARNING -o failed.log

    QUANTUM is an id, the beginning or the end of one, or a task with a data ID. The logs of all attempts are
    printed, those of failed ones too, in upstream's form.

    GRAPH is a provenance graph (.qg). An ARCHIVE has no contents itself: they are read from the logs that it
    was made of, if these were written with --provenance-contents, or from its provenance graphs.
    """  # noqa: D301 - click wants the character \b itself
    least = {"VERBOSE": 15, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
    lowest = 0 if level is None else least[level.upper()]

    def kept(records: Any) -> Any:
        if not isinstance(records, list):
            return records
        return [one for one in records if one.get("levelno", lowest) >= lowest]

    def lines(records: Any) -> list[str]:
        from ..archive.reports import plain
        from ..asking.contents import log_line

        return [plain(line) for record in kept(records) for line in log_line(record).splitlines()]

    _print(
        run, "logs", quantum, tasks, statuses, where, logs, style, kept, lines, bool(level and not quantum)
    )


@click.command(
    short_help="Print the metadata of a quantum, or of several.",
    epilog="Exit status: 0 when the quanta were found, also if none meets the options; 1 when there is no "
    "QUANTUM of this name, or there is no metadata of it; 2 when several have the name, or the command was "
    "called wrongly.",
)
@_options
@output_option
@format_option("json")
def metadata(
    run: Path,
    quantum: tuple[str, ...],
    tasks: tuple[str, ...],
    statuses: tuple[str, ...],
    where: str | None,
    logs: tuple[Path, ...],
    style: str,
) -> None:
    """Print the metadata of QUANTUM, or of all quanta that are asked for.

    \b
    quantum-butler metadata run.qg isr visit=7 detector=3
    quantum-butler metadata campaign isr visit=7 detector=3
    quantum-butler metadata run.qg --task isr --format json -o isr.jsonl

    QUANTUM is an id, the beginning or the end of one, or a task with a data ID. Each line is the full name of
    an entry with its value.

    GRAPH is a provenance graph (.qg). An ARCHIVE has no contents itself: they are read from the logs that it
    was made of, if these were written with --provenance-contents, or from its provenance graphs.
    """  # noqa: D301 - click wants the character \b itself
    _print(run, "metadata", quantum, tasks, statuses, where, logs, style, lambda told: told, _entries)


def _entries(told: Any, prefix: str = "") -> list[str]:
    """Return a line for each entry of metadata."""
    from ..archive.reports import plain

    lines = []
    for values in (told.get("scalars") or {}, told.get("arrays") or {}):
        lines += [plain(f"{prefix}{name} = {value}") for name, value in values.items()]
    for name, inner in (told.get("metadata") or {}).items():
        lines += _entries(inner, f"{prefix}{name}.")
    return lines


def _print(
    run: Path,
    kind: Literal["logs", "metadata"],
    quantum: tuple[str, ...],
    tasks: tuple[str, ...],
    statuses: tuple[str, ...],
    where: str | None,
    logs: tuple[Path, ...],
    style: str,
    kept: Callable[[Any], Any],
    lines: Callable[[Any], list[str]],
    only_with_lines: bool = False,
) -> None:
    """Print what is asked for, one quantum after the other."""
    if bool(quantum) == bool(tasks or statuses or where):
        raise click.UsageError("name a QUANTUM, or ask for several by --task, --status or --where")
    from ..asking.contents import NoContentsError, contents_of

    with opened_run(run) as opened:
        found = contents_of(
            opened, kind, quantum=quantum or None, tasks=tasks, statuses=statuses, where=where, logs=logs
        )
        try:
            if style == "json":
                show(json.dumps(_content(one, kept)) + "\n" for one in found)
            else:
                show(f"{line}\n" for line in _all(found, lines, only_with_lines))
        except NoContentsError as error:
            raise click.ClickException(str(error)) from error


def _all(
    found: Iterator[QuantumContents], lines: Callable[[Any], list[str]], only_with_lines: bool
) -> Iterator[str]:
    """Yield the lines of all quanta, or of those that have any."""
    one, anything = None, False
    for one in found:
        if only_with_lines and not any(lines(attempt) for attempt in one.attempts if attempt is not None):
            continue
        anything = True
        yield from _text(one, lines)
    if one is None:
        yield "No quantum is like that."
    elif not anything:
        yield "No quantum that is like that has a record of this level."


def _content(one: QuantumContents, kept: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        "quantum_id": str(one.found.id),
        "task_label": one.found.name,
        "data_id": one.found.data_id,
        "attempts": [kept(attempt) for attempt in one.attempts],
    }


def _text(one: QuantumContents, lines: Callable[[Any], list[str]]) -> Iterator[str]:
    """Yield the lines of a quantum."""
    from ..archive.reports import plain

    yield plain(f"# {one.found}")
    if not one.attempts:
        yield "# nothing is left of it"
    for number, attempt in enumerate(one.attempts):
        if len(one.attempts) > 1:
            yield f"# attempt {number}"
        if attempt is None:
            yield "# this attempt has left nothing"
        else:
            yield from lines(attempt)
