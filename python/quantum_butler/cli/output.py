"""Output of answers: to standard streams or a file; and errors of these."""

from __future__ import annotations

__all__ = (
    "INTERRUPTED",
    "READER_GONE",
    "Group",
    "fitted",
    "format_option",
    "output_option",
    "require_replaceable",
    "require_two_files",
    "show",
    "warn",
    "wide_option",
)

import contextlib
import errno
import fnmatch
import functools
import io
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ..paths import is_file, is_there, replaced
from .paths import LocalPath, is_graph, is_standard_output, writable_graph

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of a process that SIGINT ends."""

READER_GONE = 141
"""Exit status when nobody reads the answer to its end, as of a process that SIGPIPE ends."""


def format_option(*styles: str) -> Callable[[_F], _F]:
    """Return the option ``--format``, with a table as its default."""
    return click.option(
        "--format",
        "style",
        type=click.Choice(["table", *styles]),
        default="table",
        show_default=True,
        help="How to print the answer.",
    )


wide_option = click.option(
    "--wide",
    is_flag=True,
    help="Print whole lines, however wide the terminal is; without one they always are.",
)


_OUTPUT = f"{__name__}.output"

# The width of the terminal, if lines were cut there.
_CUT = f"{__name__}.cut"

# Names of logs, and of files of one quantum, which begin with its id.
_PROVENANCE = re.compile(r"^[0-9A-Fa-f]{8}|\.jsonl(\.zst|\.gz)?$")

# Characters or bytes of many parts that are printed together.
_AT_ONCE = 1 << 16


def _keep_output(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Keep the file for `show`, unless nothing can be written there."""
    if path is not None and not is_standard_output(path):
        context.meta[_OUTPUT] = writable_graph(context, parameter, path)


output_option = click.option(
    "-o",
    "--output",
    type=LocalPath(file_okay=True),
    metavar="FILE",
    expose_value=False,
    callback=_keep_output,
    help="Write the answer to this file, whole or not at all; a file that is there is replaced. - is the "
    "standard output.",
)
"""What every command that lists something has; `show` does the rest."""


def _meta() -> dict[str, Any]:
    """Return what is kept while a command runs."""
    context = click.get_current_context(silent=True)
    return {} if context is None else context.meta


def _output() -> Path | None:
    """Return the file that the answer goes to, if it is not printed."""
    return _meta().get(_OUTPUT)


def require_two_files(path: Path, option: str) -> None:
    """End the command if an option names the file of ``--output``, too."""
    output = _output()
    if output is not None and os.path.realpath(output) == os.path.realpath(path):
        raise click.UsageError(f"--output and {option} name one file: {path}")


def fitted(text: str, style: str, wide: bool = False) -> str:
    """Return a text with lines that fit the terminal, if it goes to one and is for a person."""
    if style != "table" or wide or _output() is not None or not sys.stdout.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, 40)
    lines = text.split("\n")
    if all(len(line) <= width for line in lines):
        return text
    _meta()[_CUT] = width
    return "\n".join(line if len(line) <= width else f"{line[: width - 3]}..." for line in lines)


def show(
    answer: str | bytes | Iterable[str], failure: type[click.ClickException] = click.ClickException
) -> None:
    """Print an answer, or write it to the file of ``--output``. Raise a `click` error if that fails.

    A command calls it once, since each call replaces the file.
    """
    parts = [answer] if isinstance(answer, str | bytes) else _together(answer)
    if (path := _output()) is not None:
        _write(parts, path, failure)
        return
    for part in parts:
        _print(part, failure)
    # A column that is cut off may be the one that was asked for.
    if (width := _meta().pop(_CUT, None)) is not None:
        warn(f"Lines are cut to the {width} columns of the terminal; --wide prints whole ones.")


def _together(parts: Iterable[str]) -> Iterator[str]:
    """Yield small parts together, so that each does not take a call of its own."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size > _AT_ONCE:
            yield "".join(kept)
            kept, size = [], 0
    yield "".join(kept)


def _write(parts: Iterable[str | bytes], path: Path, failure: type[click.ClickException]) -> None:
    """Write an answer to a file that is nothing of what it was asked of."""
    require_replaceable(path, "--output")

    def done(step: Callable[..., _T], *arguments: Any) -> _T:
        # What goes wrong while the answer is found is no fault of the file.
        try:
            return step(*arguments)
        except OSError as error:
            raise failure(f"{path}: {error.strerror}") from error

    with contextlib.ExitStack() as stack:
        stream = done(stack.enter_context, replaced(path))
        for part in parts:
            done(stream.write, part.encode(errors="backslashreplace") if isinstance(part, str) else part)
        done(stack.pop_all().close)


def require_replaceable(path: Path, option: str) -> None:
    """End the command if a file that it would write is what it asks, or what that was made of."""
    from ..archive.format import MANIFEST

    target = Path(os.path.realpath(path))
    given = _given(click.get_current_context(), option)
    if not given.isdisjoint(map(str, (target, *target.parents))):
        raise click.UsageError(f"{option}: {path} is what is asked, or in it, and is not replaced")
    if is_there(target.parent / MANIFEST):
        raise click.UsageError(f"{option}: {path} is in an archive, which answers do not belong in")
    if is_graph(path):
        raise click.UsageError(f"{option}: {path} is a quantum graph, and is not replaced")
    for archive in given if is_there(target) else ():
        if is_file(os.path.join(archive, MANIFEST)) and _is_source(target, Path(archive)):
            raise click.UsageError(f"{option}: {path} is a source of {archive}, and is not replaced")


def _is_source(target: Path, archive: Path) -> bool:
    """Return whether an archive was made of a file, as far as its manifest tells."""
    from ..archive.errors import ArchiveError
    from ..archive.format import read_manifest

    try:
        sources = [str(one.get("source")) for one in read_manifest(archive).sources]
    except ArchiveError:
        return False
    # Of folders and patterns, only what looks like provenance is a source.
    above = {*map(str, target.parents)} if _PROVENANCE.search(target.name) else set()
    for source in sources:
        # Names are as they were given, and were relative to here or to where the archive is.
        for name in (source, os.path.join(archive.parent, source)):
            place = os.path.realpath(name)
            if place == str(target) or place in above:
                return True
            if above and fnmatch.fnmatchcase(str(target), place):
                return True
    return False


def _given(context: click.Context, option: str) -> set[str]:
    """Return the files and folders among the arguments of a command but one option, without links."""
    found = set()
    for name, value in context.params.items():
        if name == option.removeprefix("--"):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str | os.PathLike):
                found.add(os.path.realpath(one))
    return found


def _print(answer: str | bytes, failure: type[click.ClickException]) -> None:
    stream = sys.stdout
    try:
        if isinstance(answer, str):
            stream.write(answer)
        elif (binary := getattr(stream, "buffer", None)) is not None:
            stream.flush()
            binary.write(answer)
        else:
            stream.write(answer.decode(errors="backslashreplace"))
        stream.flush()
    except BrokenPipeError:
        raise click.exceptions.Exit(READER_GONE) from None
    except OSError as error:
        raise failure(_unprinted(error)) from error


def warn(text: str) -> None:
    """Print a line on the standard error stream, if it takes one."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class Group(click.Group):
    """Commands whose exit status does not depend on what the standard streams are like."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and end the process if it stands alone."""
        run = functools.partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(_run(run))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line, and print help or the version if it says so."""
        with _click_prints():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command until it is done or interrupted."""
        try:
            with _click_prints():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            warn("\nAborted!")
            raise click.exceptions.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def _click_prints() -> Iterator[None]:
    """Let help and version, which click prints, fail as any other answer that cannot be printed."""
    try:
        yield
    except OSError as error:
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        if all(frame.f_code is not click.echo.__code__ for frame in frames):
            raise
        if isinstance(error, BrokenPipeError):
            raise click.exceptions.Exit(READER_GONE) from None
        raise click.ClickException(_unprinted(error)) from error


def _run(command: Callable[[], Any]) -> int:
    """Run a command on whatever standard streams there are, and return its exit status."""
    output = sys.stdout
    _prepare_streams()
    try:
        status = command()
    except click.ClickException as error:
        # Its own way to the stream would raise what the stream does.
        text = io.StringIO()
        error.show(file=text)
        warn(text.getvalue().rstrip("\n"))
        return error.exit_code
    finally:
        # Python ends with another status if it finds something there that it cannot get rid of.
        for stream in (sys.stdout, sys.stderr):
            _drain(stream)
        sys.stdout = output
    return status if isinstance(status, int) else 0


def _prepare_streams() -> None:
    """Make streams that can be written to of those that are closed or lack characters."""
    # Else the next file that is opened takes the place of a closed stream, and gets what is meant for it.
    # Whoever is executed in place of this process finds it closed again.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Closed(io.TextIOBase):
    """A standard output stream that is closed."""

    def write(self, text: str) -> NoReturn:
        """Refuse it."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _unprinted(error: OSError) -> str:
    return f"the answer could not be printed: standard output: {error.strerror or error}"


def _drain(stream: Any) -> None:
    """Let what waits to be written, and cannot be, go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()
