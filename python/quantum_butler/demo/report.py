"""Results of the demonstration, formatted for a person or a program."""

from __future__ import annotations

__all__ = ("Asked", "Commanded", "Gathered", "Provenance", "Report", "Run", "Said", "progress", "table")

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text


@dataclass
class Run:
    """Result of running the graph with one butler."""

    quanta: int
    ms_per_quantum: float
    datasets_written: int
    datasets_read_back: int = 0


@dataclass
class Provenance:
    """The provenance of one quantum, in numbers."""

    task: str
    data_id: dict[str, Any]
    predicted_inputs: int
    available_inputs: int
    actual_inputs: int
    predicted_outputs: int
    actual_outputs: int
    records: int
    json_bytes: int


@dataclass
class Asked:
    """A question to the archive."""

    command: str
    content: Any
    text: str


@dataclass
class Gathered:
    """The provenance of all quanta, as the archive has it."""

    quanta: int
    datasets: int
    edges: int
    records: int
    archive_bytes: int
    asked: list[Asked]


@dataclass
class Commanded:
    """Result of running a graph by a command in two processes."""

    command: str
    quanta: int
    seconds: float
    processor_seconds: float


@dataclass
class Said:
    """Output of a command of the final job."""

    command: str
    text: str


@dataclass
class Report:
    """The outcome of the demonstration."""

    stock: Run
    ours: Run
    provenance: Provenance
    gathered: Gathered
    commands: list[Commanded]
    final_job: list[Said]
    differences: list[str]


def table(report: Report) -> RenderableType:
    """Lay a report out for a person."""
    stock, ours, one = report.stock, report.ours, report.provenance
    runs = Table("", Column("stock", justify="right"), Column("quantum-butler", justify="right"))
    for label, values in (
        ("quanta", (stock.quanta, ours.quanta)),
        ("ms per quantum", (f"{stock.ms_per_quantum:.2f}", f"{ours.ms_per_quantum:.2f}")),
        ("datasets written", (stock.datasets_written, ours.datasets_written)),
        ("datasets read back", (stock.datasets_read_back, ours.datasets_read_back)),
    ):
        runs.add_row(label, *map(str, values))
    numbers = (Column(name, justify="right") for name in ("predicted", "available", "actual", "records"))
    quantum = Table("", *numbers)
    quantum.add_row("inputs", str(one.predicted_inputs), str(one.available_inputs), str(one.actual_inputs))
    quantum.add_row("outputs", str(one.predicted_outputs), "", str(one.actual_outputs), str(one.records))
    small = report.commands[0].quanta if report.commands else 0
    commands = Table("", Column("seconds", justify="right"), Column("of a processor", justify="right"))
    for ran in report.commands:
        commands.add_row(ran.command, f"{ran.seconds:.1f}", f"{ran.processor_seconds:.1f}")
    where = ", ".join(f"{name}={value}" for name, value in one.data_id.items())
    verdict = [f"Differs: {text}" for text in report.differences] or [
        "Equal: every dataset, its datastore records and its file; the provenance too.",
        "The archive has every quantum and dataset of the graph, and nothing else.",
    ]
    archive = report.gathered
    numbers_of = f"{archive.quanta} quanta, {archive.datasets} datasets, {archive.edges} edges"
    return Group(
        "\nOne quantum graph, two butlers",
        runs,
        f"\nProvenance of quantum {one.task}, {where} ({one.json_bytes} bytes as JSON)",
        quantum,
        f"\nProvenance of the whole run, collected from its log: {numbers_of}",
        *(Text(f"\n$ {one.command}\n{one.text}".rstrip()) for one in archive.asked),
        f"\nA graph of {small} quanta in two processes, each command from start to end",
        commands,
        "\nThe final job of the last of them: its datasets and provenance, registered, and a report",
        *(Text(f"\n$ {one.command}\n{one.text}".rstrip()) for one in report.final_job),
        "",
        *map(Text, verdict),
    )


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], AbstractContextManager[object]]]:
    """Give what shows which step is going on, and how long each has taken."""
    if not console.is_terminal:

        @contextmanager
        def line(text: str) -> Iterator[None]:
            console.print(f"{text} ...", soft_wrap=True)
            start = time.perf_counter()
            yield
            console.print(f"    {time.perf_counter() - start:.1f} s", highlight=False)

        yield line
        return

    columns = (SpinnerColumn(finished_text="✓"), "{task.description}", TimeElapsedColumn())
    with Progress(*columns, console=console) as live:

        @contextmanager
        def spinner(text: str) -> Iterator[None]:
            task = live.add_task(text, total=1)
            yield
            live.update(task, completed=1)

        yield spinner
