"""Names of quanta and datasets on the command line, and what is asked about them."""

from __future__ import annotations

__all__ = (
    "NAME_HELP",
    "NAME_HELP_AND_STATUSES",
    "opened_run",
    "place_and_name",
    "split_names",
    "split_words",
    "told_in_words",
)

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import failure_of
from .paths import LocalPath

if TYPE_CHECKING:
    from ..archive.archive import Archive
    from ..asking import GraphRun

_F = TypeVar("_F", bound=Callable[..., Any])

_VALUE = re.compile(r"\s*[A-Za-z_]\w*\s*=")

_PLACE = LocalPath(exists=True, is_text=True, file_okay=True)

NAME_HELP = (
    "NAME is an id, the beginning or the end of one (four digits at least), a task or a dataset type with a "
    "data ID (calexp visit=7 detector=3), or the path of a file. Dimensions may be left out as long as only "
    "one has the others; run=RUN may be among them."
)
NAME_HELP_AND_STATUSES = (
    f"{NAME_HELP}\n\n"
    "Exit status: 0 when there is an answer; 1 when nothing has this name, or the archive or the graphs "
    "cannot be read; 2 when several have it, which are listed then, or the command was called wrongly."
)


def place_and_name(command: _F) -> _F:
    """Add the arguments: an archive or graphs, and then a name, which may have several words."""
    return click.argument("words", metavar="ARCHIVE|GRAPH... NAME...", nargs=-1, required=True)(command)


def split_words(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the archive or the graphs, and the name: whatever comes after the first, or the last ``.qg``."""
    count = 1
    while count < len(words) and words[count].endswith(".qg") and "=" not in words[count]:
        count += 1
    if count == len(words):
        raise click.UsageError("no name is given: say what is asked for after the archive or the graphs")
    context = click.get_current_context()
    paths = [_PLACE.convert(word, _parameter(context), context) for word in words[:count]]
    return paths, [*words[count:]]


def split_names(words: Sequence[str]) -> list[list[str]]:
    """Return the names that words are: each ends with its values, ``dimension=value``."""
    names: list[list[str]] = []
    for word in words:
        if names and _VALUE.match(word):
            names[-1].append(word)
        else:
            names.append([word])
    return names


def _parameter(context: click.Context) -> click.Parameter:
    return next(one for one in context.command.params if one.name == "words")


@contextmanager
def opened_run(*places: Path) -> Iterator[Archive | GraphRun]:
    """Open an archive or graphs; what is wrong is told as by `told_in_words`."""
    from ..asking import open_run

    with told_in_words():
        yield open_run(*places)


@contextmanager
def told_in_words() -> Iterator[None]:
    """Turn errors of archives and graphs into one line, and list what an ambiguous name may mean."""
    from ..archive.errors import ArchiveError, NotMadeError
    from ..archive.reports import plain
    from ..quantum_graphs import QuantumGraphError
    from ..queries.errors import AmbiguousNameError, ConditionError

    try:
        yield
    except AmbiguousNameError as error:
        raise click.UsageError("\n".join(map(plain, str(error).split("\n")))) from error
    except ConditionError as error:
        raise click.UsageError(plain(str(error))) from error
    except (ArchiveError, NotMadeError, QuantumGraphError, OSError) as error:
        raise failure_of(error) from error
