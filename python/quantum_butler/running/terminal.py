"""Display of a run: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

__all__ = ("displayed", "final_text", "set_up_logging")

import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TextIO

from lsst.daf.butler.cli.cliLog import CliLog
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..progress import unfailing
from .errors import RunError
from .notes import Display
from .tally import STATES, Tally

# Seconds between two pictures of the table, and between two lines.
_BETWEEN_TABLES = 0.25
_BETWEEN_LINES = 10.0

# Lines of a terminal that the table leaves to the rest: its head, the sum, the rate and the failures.
_REST = 14

_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "VERBOSE", "DEBUG", "TRACE")


def set_up_logging(levels: Sequence[str], *, log_tty: bool, log_files: Sequence[str]) -> None:
    """Set up log messages as upstream's commands do, since they get into the logs of quanta."""
    chosen: list[tuple[str | None, str]] = []
    for setting in levels:
        for one in setting.split(","):
            logger, _, level = one.rpartition("=")
            if level.upper() not in _LEVELS:
                raise RunError(f"--log-level {setting}: {level!r} is none of {', '.join(_LEVELS)}")
            chosen.append((logger or None, level.upper()))
    # Somebody may have asked for messages before: the options -v and --log-level of all commands.
    log_tty = log_tty or bool(logging.getLogger().handlers)
    try:
        CliLog.initLog(longlog=False, log_tty=log_tty, log_file=tuple(log_files))
    except OSError as error:
        raise RunError(f"{error.filename}: no log messages can be written here: {error.strerror}") from error
    CliLog.setLogLevels(chosen)


@contextmanager
def displayed(output: str | None, journal: str) -> Iterator[Display]:
    """Show a run on the standard error stream, and send what quanta print to a file if that is needed."""
    is_terminal = unfailing(sys.stderr).isatty()
    if output is None and is_terminal:
        # It would tear the table.
        output = f"{journal}.output"
    with ExitStack() as stack:
        stream = sys.stderr if output is None else stack.enter_context(_sent_to(output))
        if not is_terminal:
            yield _Lines(unfailing(stream), unfailing(stream, is_progress=False))
            return
        console = Console(file=unfailing(stream), force_terminal=True)
        # Nothing here has a thread: quanta are forked from this process.
        live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        stack.enter_context(live)
        yield _Live(live)


@contextmanager
def _sent_to(output: str) -> Iterator[TextIO]:
    """Send the output of this process and its children to a file. Yield the former standard error."""
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunError(f"{output}: what quanta print cannot be kept here: {error.strerror}") from error
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    before = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    for descriptor in before:
        os.dup2(file, descriptor)
    os.close(file)
    try:
        with open(before[2], "w", encoding="utf-8", errors="backslashreplace", closefd=False) as stream:
            yield stream
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor, kept in before.items():
            os.dup2(kept, descriptor)
            os.close(kept)


class _Lines:
    """A line from time to time."""

    def __init__(self, progress: TextIO, stream: TextIO):
        self._progress = progress
        self._stream = stream
        self._next = 0.0

    def show(self, tally: Tally) -> None:
        """Print how far it is, unless that was printed a moment ago."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + _BETWEEN_LINES
            print(_summary(tally), file=self._progress, flush=True)

    def tell(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)


class _Live:
    """A table that is drawn anew from time to time."""

    def __init__(self, live: Live):
        self._live = live
        self._next = 0.0

    def show(self, tally: Tally) -> None:
        """Draw it, unless that was done a moment ago."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + _BETWEEN_TABLES
            height = max(3, self._live.console.height - _REST)
            failures = [
                Text(
                    f"{failure.name} failed: {failure.reason}", style="red", no_wrap=True, overflow="ellipsis"
                )
                for failure in tally.failures
            ]
            self._live.update(
                Group(_counts_table(tally, height), Text(_summary(tally)), *failures), refresh=True
            )

    def tell(self, line: str) -> None:
        """Print a line above the table."""
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _summary(tally: Tally) -> str:
    """Return how far it is, in a line."""
    total = sum(sum(counts.values()) for counts in tally.counts.values())
    parts = [f"{tally.total('done'):,} of {total:,} quanta done"]
    parts += [
        f"{count:,} {state}" for state in ("running", "failed", "blocked") if (count := tally.total(state))
    ]
    if (seconds := tally.seconds_left()) is not None:
        parts.append(f"{tally.rate():,.1f} quanta/s")
        if seconds >= 1:
            parts.append(f"{_duration(seconds)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Return a time span for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _counts_table(tally: Tally, most_rows: int | None = None) -> Table:
    """Return the counts by task and state; with too many tasks, those where something happens."""
    table = Table("task", box=None, pad_edge=False)
    for state in STATES:
        table.add_column(state, justify="right")
    shown = list(tally.counts.items())
    if most_rows is not None and len(shown) > most_rows:
        shown.sort(key=lambda task: (-task[1]["running"], -task[1]["failed"], -task[1]["waiting"]))
        shown = shown[:most_rows]
    for task, counts in shown:
        table.add_row(escape(task), *(f"{counts[state]:,}" for state in STATES))
    if (more := len(tally.counts) - len(shown)) > 0:
        table.add_row(f"and {more:,} other tasks")
    if len(tally.counts) > 1:
        table.add_section()
        table.add_row("all", *(f"{tally.total(state):,}" for state in STATES))
    return table


def final_text(tally: Tally) -> str:
    """Return the counts by task and state as text."""
    console = Console(
        file=io.StringIO(), width=max(80, 60 + max(map(len, tally.counts), default=0)), color_system=None
    )
    with console.capture() as text:
        console.print(_counts_table(tally))
    return "".join(f"{line.rstrip()}\n" for line in text.get().splitlines())
