"""Progress of long work, and its display."""

from __future__ import annotations

__all__ = ("Progress", "be_quiet", "shown", "unfailing")

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

# Seconds between two lines where there is no terminal.
_BETWEEN_LINES = 10.0

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Progress:
    """State of the progress of some work."""

    step: str
    """What is being done."""

    done: int
    """How much of it is done."""

    total: int
    """How much there is to do."""

    quanta: int
    """Quanta so far."""

    bytes: bool
    """Whether these are bytes of the input; else they are quanta."""


_quiet = False


def be_quiet(quiet: bool) -> None:
    """Have no progress shown in this process, or have it shown again."""
    global _quiet
    _quiet = quiet


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows progress on the standard error stream: a bar, or a line now and then."""
    stream = unfailing(sys.stderr)
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=stream), transient=True) as bars:
        yield _Bar(bars)


class _Unfailing:
    """A stream that drops what it cannot write."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write, or not."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()


def unfailing(stream: TextIO | None, *, is_progress: bool = True) -> TextIO:
    """Return a stream that never stops the work that it is told of, not even if it is closed or full."""
    return cast(TextIO, _Unfailing(None if _quiet and is_progress else stream))


def _rate(progress: Progress, seconds: float) -> str:
    """Return how fast it goes."""
    if seconds <= 0 or not progress.done:
        return ""
    if progress.bytes:
        return f"{progress.done / _MEBIBYTE / seconds:,.0f} MiB/s, {progress.quanta / seconds:,.0f} quanta/s"
    return f"{progress.done / seconds:,.0f} quanta/s"


class _Steps:
    """The steps of the work, each with its own clock."""

    def __init__(self) -> None:
        self._step = ""
        self._begin = 0.0

    def begins(self, progress: Progress) -> bool:
        """Return whether a step begins."""
        if progress.step == self._step:
            return False
        self._step, self._begin = progress.step, time.monotonic()
        return True

    def seconds(self) -> float:
        """Return how long the step has been going on."""
        return time.monotonic() - self._begin


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bars: Bars):
        self._bars, self._steps = bars, _Steps()
        self._task = bars.add_task("", total=None, rate="")

    def __call__(self, progress: Progress) -> None:
        if self._steps.begins(progress):
            self._bars.reset(self._task, description=progress.step, rate="")
        self._bars.update(
            self._task,
            total=progress.total or None,
            completed=progress.done,
            rate=_rate(progress, self._steps.seconds()),
        )


class _Lines:
    """A line from time to time."""

    def __init__(self, stream: TextIO):
        self._stream, self._steps = stream, _Steps()
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        begins = self._steps.begins(progress)
        seconds = self._steps.seconds()
        if not begins and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BETWEEN_LINES
        line = progress.step
        if not begins and progress.total and progress.done:
            share = progress.done / progress.total
            remaining = seconds * (1 - share) / share
            line += f": {share:.0%}, {_rate(progress, seconds)}, {remaining:.0f} s remaining"
        print(line, file=self._stream, flush=True)
