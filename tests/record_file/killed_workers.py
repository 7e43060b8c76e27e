"""A process that works in file mode, says what it has done, and is killed.

It writes to its journal before and after every call, with one system call
each, so what stands there survives it.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pickle
import random
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lsst.daf.butler import DatasetRef, DimensionUniverse

import quantum_butler
from quantum_butler import QuantumBackedButler, RecordFileError

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["quantum_butler.butler.butler", "killed_workers"])


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker does; the same for one that takes over from another."""

    root: str
    pickled: bytes
    """Inputs, outputs and records of the inputs."""
    file: str
    journal: str
    durability: Any

    def datasets(self) -> tuple[Sequence[DatasetRef], Sequence[DatasetRef], Any]:
        """Return inputs, outputs and records of the inputs."""
        # Refs can be unpickled only where their universe exists.
        DimensionUniverse()
        datasets: tuple[Sequence[DatasetRef], Sequence[DatasetRef], Any] = pickle.loads(self.pickled)
        return datasets

    def start(self, seed: int) -> BaseProcess:
        """Start a worker."""
        process = _CONTEXT.Process(target=_work, args=(self, seed))
        process.start()
        return process


@dataclasses.dataclass
class Known:
    """What is known of a dataset by those who read a journal."""

    value: Any = None
    """What was put, or `None` if it was not or has been pruned."""

    is_output: bool | None = False
    """Whether it counts as written; `None` if nobody can tell."""

    maybe: list[Any] = dataclasses.field(default_factory=list)
    """Other values it may have, after a call that has not returned."""


def open_or_resume(task: Task, *, repair: bool = True) -> QuantumBackedButler:
    """Go on with the file, or begin with it if nobody has."""
    universe = DimensionUniverse()
    options: dict[str, Any] = {"durability": task.durability}
    try:
        return QuantumBackedButler.resume(task.file, task.root, universe, repair=repair, **options)
    except (FileNotFoundError, RecordFileError):
        inputs, outputs, records = task.datasets()
        return QuantumBackedButler.from_predicted(
            task.root,
            [ref.id for ref in inputs],
            outputs,
            universe,
            records,
            filename=task.file,
            **options,
        )


def _work(task: Task, seed: int) -> None:
    journal = os.open(task.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(**entry: Any) -> None:
        os.write(journal, json.dumps(entry).encode() + b"\n")

    steps = random.Random(seed)
    inputs, outputs, _ = task.datasets()
    write(what="open")
    butler = open_or_resume(task)
    write(what="opened")
    while True:
        what = steps.choice(["put", "put", "put", "get", "prune", "unstore"])
        if what == "get":
            butler.get(steps.choice(inputs))
            continue
        refs = steps.sample(outputs, 1 if what == "put" else steps.randint(1, 3))
        if what == "put":
            if butler._datastore.knows(refs[0]):
                continue
            value = {"number": steps.random(), "text": "x" * steps.choice([1, 10_000])}
            write(what=what, ids=[refs[0].id.hex], value=value)
            butler.put(value, refs[0])
        else:
            write(what=what, ids=[ref.id.hex for ref in refs], value=None)
            purge = what == "prune"
            butler.pruneDatasets(refs, disassociate=purge, unstore=True, purge=purge)
        write(what="done")


def read_journal(path: Path, outputs: list[DatasetRef]) -> tuple[dict[str, Known], int]:
    """Return what is known of each output, and the number of calls that have returned."""
    known = {ref.id.hex: Known() for ref in outputs}
    done = 0
    pending: dict[str, Any] | None = None
    for line in path.read_bytes().splitlines():
        entry = json.loads(line)
        match entry["what"]:
            case "open":
                # Somebody else has taken over.
                pending = None
            case "opened":
                pass
            case "done":
                assert pending is not None
                done += 1
                for dataset_id in pending["ids"]:
                    of = known[dataset_id]
                    if pending["what"] != "unstore":
                        of.is_output = pending["what"] == "put"
                    elif len(of.maybe) > 1:
                        of.is_output = None
                    of.maybe = []
                    of.value = pending["value"]
                pending = None
            case _:
                pending = entry
                for dataset_id in pending["ids"]:
                    known[dataset_id].maybe.append(entry["value"])
    return known, done


__all__ = ("Known", "Task", "open_or_resume", "quantum_butler", "read_journal")
