"""Count what one operation calls, and how often it changes rooms on its way.

A *room* is a file of our package, or the Rust core as a whole.  A *step* is a
call of a function there, a *move* a step in another room than the last one, a
*return* a move into a room that the operation has been in already.  *Our
calls* are the steps in Python.

    python tests/habits/journeys.py            prints the table
    python tests/habits/journeys.py --steps    and each call of each journey
"""

from __future__ import annotations

__all__ = ("Journey", "measure", "table")

import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":
    # As pytest does, for the helpers that it shares with the tests.
    sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import quantum_butler
import repositories
from quantum_butler import Archive, ProvenanceLog, QuantumBackedButler, _core, collect
from repositories import Repository

_PACKAGE = os.path.dirname(os.path.abspath(quantum_butler.__file__)) + os.sep

# The room that Rust is, and what lies in it.
CORE = "_core"
_CORE_TYPES = tuple(value for value in vars(_core).values() if isinstance(value, type))
_CORE_FUNCTIONS = {id(value) for value in vars(_core).values() if not isinstance(value, type)}

PRUNE = {"disassociate": True, "unstore": True, "purge": True}
QUANTUM = uuid.UUID("b7e1a0c4-3f0e-4f5a-8a57-0c1d2e3f4a5b")


@dataclass(frozen=True)
class Journey:
    """The steps of one operation, each by its room and its function."""

    steps: tuple[tuple[str, str], ...]

    @property
    def calls(self) -> int:
        return sum(room != CORE for room, _ in self.steps)

    @property
    def rooms(self) -> int:
        return len({room for room, _ in self.steps})

    @property
    def moves(self) -> int:
        return sum(a[0] != b[0] for a, b in zip(self.steps, self.steps[1:], strict=False))

    @property
    def returns(self) -> int:
        return self.moves + 1 - self.rooms if self.steps else 0


@contextmanager
def traced(steps: list[tuple[str, str]]) -> Iterator[None]:
    """Note the steps that this thread takes."""

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and (name := frame.f_code.co_filename).startswith(_PACKAGE):
            steps.append((name.removeprefix(_PACKAGE), frame.f_code.co_name))
        elif event == "c_call":
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, _CORE_TYPES) or id(argument) in _CORE_FUNCTIONS:
                steps.append((CORE, getattr(argument, "__qualname__", repr(argument))))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def travel(operation: Callable[[], object]) -> Journey:
    """Carry out an operation and return its journey."""
    steps: list[tuple[str, str]] = []
    with traced(steps):
        operation()
    return Journey(tuple(steps))


class _Butlers:
    """Butlers that have read and written once, so that what is made once has been made."""

    def __init__(self, repository: Repository):
        self._repository = repository
        self.inputs = repository.stored["measured"]
        self.outputs = repository.predicted["derived"]

    @contextmanager
    def open(self, file: Path | None = None) -> Iterator[Any]:
        """Make one, in memory or with a record file."""
        filename = ":memory:" if file is None else str(file)
        butler: Any = self._repository.butler(
            QuantumBackedButler, inputs=self.inputs, outputs=self.outputs, filename=filename
        )
        with butler:
            butler.get(self.inputs[0])
            butler.put({"a": 1}, self.outputs[0])
            yield butler
            # The artifacts, of a repository that the next one writes to.
            butler.pruneDatasets(self.outputs, **PRUNE)

    def get(self) -> Journey:
        with self.open() as butler:
            return travel(lambda: butler.get(self.inputs[1]))

    def put(self, file: Path | None = None) -> Journey:
        with self.open(file) as butler:
            return travel(lambda: butler.put({"a": 1}, self.outputs[1]))

    def prune(self, file: Path | None = None) -> Journey:
        with self.open(file) as butler:
            butler.put({"a": 1}, self.outputs[1])
            butler.pruneDatasets([self.outputs[1]], **PRUNE)
            butler.put({"a": 1}, self.outputs[1])
            return travel(lambda: butler.pruneDatasets([self.outputs[1]], **PRUNE))

    def extract(self) -> Journey:
        with self.open() as butler:
            butler.stored_many(self.inputs)
            butler.extract_provenance_data().model_dump_json()
            return travel(lambda: butler.extract_provenance_data().model_dump_json())

    def append(self, folder: Path) -> Journey:
        with self.open() as butler, ProvenanceLog(folder / "log.jsonl") as log:
            butler.stored_many(self.inputs)
            log.append(uuid.UUID(int=1), butler, task_label="task")
            return travel(lambda: log.append(QUANTUM, butler, task_label="task"))

    def ask(self, folder: Path) -> Journey:
        archive = folder / "archive"
        collect([folder / "log.jsonl"], archive)
        Archive(archive).lineage(self.outputs[0].id)
        return travel(lambda: Archive(archive).lineage(self.outputs[0].id))


def measure(folder: Path) -> dict[str, Journey]:
    """Carry out every operation in a new repository in a folder, and return the journeys by name."""
    butlers = _Butlers(repositories.make(folder / "repository"))
    return {
        "get": butlers.get(),
        "put": butlers.put(),
        "put, with a file": butlers.put(folder / "put.sqlite3"),
        "prune": butlers.prune(),
        "prune, with a file": butlers.prune(folder / "prune.sqlite3"),
        "extract + dump": butlers.extract(),
        "log.append": butlers.append(folder),
        "archive + lineage": butlers.ask(folder),
    }


def table(journeys: Mapping[str, Journey]) -> str:
    """Return a table in Markdown."""
    lines = ["| journey | our calls | rooms | moves | returns |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {name} | {journey.calls} | {journey.rooms} | {journey.moves} | {journey.returns} |"
        for name, journey in journeys.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        measured = measure(Path(temporary))
    print(table(measured))
    if sys.argv[1:] == ["--steps"]:
        for journey_name, made in measured.items():
            print(f"\n{journey_name}")
            print("\n".join(f"  {step:<40} {call}" for step, call in made.steps))
