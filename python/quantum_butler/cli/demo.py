"""``quantum-butler demo``.

Importing this module is cheap; the command imports what it needs.
"""

from __future__ import annotations

__all__ = ("demo",)

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import click

from ..paths import is_there
from .output import format_option, show
from .paths import LocalPath, writable_folder

_Step = Callable[[str], AbstractContextManager[object]]


@click.command(
    epilog="Exit status: 0 when all is equal, or the example is made; 1 when something differs, or the "
    "command failed; 2 when it was called wrongly.",
)
@click.option(
    "--detectors",
    type=click.IntRange(min=1),
    help="Size of the graph: two quanta for each detector.  [default: 20]",
)
@click.option(
    "--keep",
    type=LocalPath(is_text=True),
    callback=writable_folder,
    metavar="FOLDER",
    help="Work in this new or empty folder, and leave everything there to look at.",
)
@click.option(
    "--tutorial",
    type=LocalPath(is_text=True),
    callback=writable_folder,
    metavar="FOLDER",
    help="Make the example of the tutorial in this new or empty folder, and stop: a repository, and a graph "
    "that fails in places.",
)
@format_option("json")
def demo(detectors: int | None, keep: Path | None, tutorial: Path | None, style: str) -> None:
    """Run a real quantum graph with the stock butler and with ours, and compare.

    \b
    quantum-butler demo
    quantum-butler demo --detectors 6 --keep demo
    quantum-butler demo --tutorial tutorial             what docs/tutorial.md begins with

    Makes a data repository in a temporary folder, and a graph of two chained mock tasks. Runs it through
    pipetask run-qbb once with each butler, transfers the outputs, reads them back and compares. Collects
    the provenance that the run with ours has logged, and asks the archive. Ends with the final job of a small
    run: quantum-butler aggregate --ingest, and upstream's butler provenance-report of what that has written.
    The exit status is 1 if anything differs.

    Times are those of a run, divided by its quanta. The first quanta pay for what the others use. So a
    graph of few detectors shows little of the gain.
    """  # noqa: D301 - click wants the character \b itself
    if tutorial is not None:
        if keep is not None or detectors is not None:
            raise click.UsageError("--tutorial has an example of its own: neither --keep nor --detectors")
        _make_example(tutorial, style)
        return
    with ExitStack() as stack:
        if keep is None:
            import tempfile

            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantum-butler-demo-")))
        else:
            root = _new_folder(keep, "--keep")
        step = stack.enter_context(_steps())
        from ..demo import run_demo
        from ..demo.report import table

        report = run_demo(root, detectors or 20, step)
    if style == "json":
        show(f"{json.dumps(dataclasses.asdict(report))}\n")
    else:
        from rich.console import Console

        console = Console()
        with console.capture() as text:
            # The answers of the archive are in columns of their own width.
            console.print(table(report), soft_wrap=True)
        show(text.get())
    sys.exit(1 if report.differences else 0)


def _make_example(folder: Path, style: str) -> None:
    """Make the tutorial's example, and say what there is."""
    root = _new_folder(folder, "--tutorial")
    with _steps() as step:
        from ..demo.tutorial import make_example

        with step("Making a repository, and a graph from raws to coadds"):
            example = make_example(root)
    if style == "json":
        show(f"{json.dumps(example._asdict(), default=str)}\n")
        return
    show(
        f"repository  {folder / example.repository.relative_to(root)}\n"
        f"graph       {folder / example.graph.relative_to(root)}, {example.quanta} quanta\n"
    )


def _new_folder(folder: Path, option: str) -> Path:
    """Make a folder if there is none, and return its full name; refuse one with something in it."""
    if is_there(folder) and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty", param_hint=option)
    root = folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    return root


@contextmanager
def _steps() -> Iterator[_Step]:
    """Return a context manager that shows the current step. An error in it takes one line."""
    try:
        from rich.console import Console

        from ..demo import DemoError
        from ..demo.report import progress
        from ..progress import unfailing
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; the demo needs the executors: pip install 'quantum-butler[demo]'"
        ) from error
    with progress(Console(file=unfailing(sys.stderr))) as step:
        try:
            yield step
        except DemoError as error:
            raise click.ClickException(str(error)) from error
