"""What a process does with quanta until it is killed, and what must be true afterwards.

It puts, gets and prunes datasets, and logs the provenance of each quantum.  Before each step it announces
that, and after the step it acknowledges it, on a pipe.  `check` reads what has come through.
"""

from __future__ import annotations

__all__ = ("BUTLERS", "LOGS", "Butlers", "Told", "Work", "check")

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import random
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lsst.daf.butler import DatasetRef, Quantum
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from operation_base import is_temporary, read_log
from record_files import beside, roles, roles_of, stock_datastore

from quantum_butler import ProvenanceLog, QuantumBackedButler, RecordFileError, collect, switches
from quantum_butler.quantum import process_log
from quantum_butler.record_file.database import Durability
from repositories import Repository, dataset_id, example_metrics

LOGS = (".jsonl", ".jsonl.zst", "process")
"""Kinds of logs: one of each kind that `ProvenanceLog` writes, and that of the process (`tuple` [`str`])."""

_TYPES = ("derived", "whole_out", "parts_out", "fragile_out", "fragile_v1_out")
_AT_ONCE = 6
_FLUSH_EVERY = 3


class Butlers(Protocol):
    """Where butlers keep their records."""

    def open(self, repository: Repository, quantum: Quantum, folder: Path) -> QuantumBackedButler:
        """Make the butler of a quantum, which may have files of its own in a folder."""

    def check(self, repository: Repository, told: Told, folder: Path) -> None:
        """Check what a killed process has left in that folder."""


class _Memory:
    """In memory: with the process they are gone, but for the log."""

    def open(self, repository: Repository, quantum: Quantum, folder: Path) -> QuantumBackedButler:
        return repository.butler(QuantumBackedButler, quantum)

    def check(self, repository: Repository, told: Told, folder: Path) -> None:
        assert not folder.exists()


class _File:
    """In a SQLite file for each quantum, called after its run."""

    def __init__(self, durability: Durability):
        self._durability = durability

    def open(self, repository: Repository, quantum: Quantum, folder: Path) -> QuantumBackedButler:
        folder.mkdir(exist_ok=True)
        run = next(ref.run for refs in quantum.outputs.values() for ref in refs)
        file = folder / f"{run.replace('/', '-')}.sqlite3"
        return repository.butler(
            QuantumBackedButler, quantum, filename=str(file), durability=self._durability
        )

    def check(self, repository: Repository, told: Told, folder: Path) -> None:
        files = sorted(folder.glob("*.sqlite3"))
        runs = {file.stem.replace("-", "/"): file for file in files}
        assert told.runs() <= runs.keys(), f"lost: {told.runs() - runs.keys()}"
        known = {name for file in files for name in (file.name, *beside(file))}
        assert set(os.listdir(folder)) == known, "there is a file that belongs to none"
        for run, file in runs.items():
            self._check_file(repository, told, run, file)

    def _check_file(self, repository: Repository, told: Told, run: str, file: Path) -> None:
        """Check one file, and all that the quantum has left elsewhere."""
        is_closed = run in told.closed
        if is_closed:
            assert beside(file) == [], f"{beside(file)} beside a file that was closed"
        try:
            butler = QuantumBackedButler.resume(
                file,
                str(repository.root),
                repository.universe,
                repository.dataset_types,
                repair=not is_closed,
                durability=self._durability,
            )
        except RecordFileError:
            # Its butler was killed while it was being made.
            assert run not in told.runs()
            return
        with butler:
            assert not (is_closed and butler.resumption), butler.resumption
            recorded = self._check_datasets(repository, told, run, butler)
        paths = {repository.root / record.path for records in recorded.values() for record in records}
        there = {path for path in (repository.root / run).rglob("*") if path.is_file()}
        assert there == paths, f"recorded or there, not both: {sorted(map(str, there ^ paths))}"
        assert beside(file) == [], f"not one file: {beside(file)}"
        assert roles(file) == roles_of(butler)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if is_closed:
            return
        # This takes longer than all the rest.
        with stock_datastore(file, repository) as datastore:
            for number in range(_AT_ONCE):
                ref = output(repository, run, number)
                assert datastore.knows(ref) is (ref in recorded)
                assert datastore.getStoredItemsInfo(ref) == recorded.get(ref, [])

    def _check_datasets(
        self, repository: Repository, told: Told, run: str, butler: QuantumBackedButler
    ) -> dict[DatasetRef, list[StoredFileInfo]]:
        """Check what a butler knows of each output, and return their records."""
        recorded: dict[DatasetRef, list[StoredFileInfo]] = {}
        for number in range(_AT_ONCE):
            ref, key = output(repository, run, number), (run, number)
            may_be = {**told.stored, **told.putting, **told.pruning}
            is_there = butler._datastore.knows(ref)
            if key in told.stored:
                assert is_there, f"lost: {ref}"
            assert not is_there or key in may_be, f"{ref} should not be there"
            # Nothing is believed of a dataset unless all is.
            assert butler.stored(ref) is is_there
            assert (ref in butler._actual_output_refs) is is_there
            if is_there:
                assert butler.get(ref) == value(ref, may_be[key])
                recorded[ref] = butler._datastore.getStoredItemsInfo(ref)
        assert len(butler._actual_output_refs) == len(recorded)
        return recorded


BUTLERS: Mapping[str, Butlers] = {
    "memory": _Memory(),
    "file": _File("disk"),
    "file process": _File("process"),
}
"""Kinds of butlers, by name (`~collections.abc.Mapping` [`str`, `Butlers`])."""


def output(repository: Repository, run: str, number: int) -> DatasetRef:
    """Return one of the outputs that a run may have."""
    name = _TYPES[number % len(_TYPES)]
    refs = repository.predicted[name]
    ref = refs[number // len(_TYPES) % len(refs)]
    return DatasetRef(ref.datasetType, ref.dataId, run, id=dataset_id(run, name, number))


def value(ref: DatasetRef, number: int) -> Any:
    """Return one of the values that a dataset may have."""
    if ref.datasetType.name in ("whole_out", "parts_out"):
        return example_metrics(number)
    return {"number": number, "padding": "x" * (number % 7000)}


@dataclasses.dataclass
class Work:
    """What the process does."""

    repository: Repository
    logs: Path
    """Folder for logs."""

    files: Path
    """Folder for files of butlers."""

    kind: str
    """One of `LOGS`."""

    butlers: str
    """One of `BUTLERS`."""

    seed: int
    pipe: int

    def run(self, threads: int) -> None:
        """Go on until killed."""
        self.logs.mkdir(exist_ok=True)
        self._log = None
        if self.kind == "process":
            switches.set_log_folder(self.logs)
        else:
            self._log = ProvenanceLog(self.logs / f"log{self.kind}")
        self._flushing = threading.Lock()
        self._unflushed: list[str] = []
        all_of_them = [threading.Thread(target=self._thread, args=(number,)) for number in range(threads)]
        for thread in all_of_them:
            thread.start()
        for thread in all_of_them:
            thread.join()

    def _tell(self, **message: Any) -> None:
        # Lines of less than a page do not mix.
        os.write(self.pipe, json.dumps(message).encode() + b"\n")

    def _thread(self, thread: int) -> None:
        dice = random.Random(f"{self.seed} {thread}")
        for count in itertools.count():
            self._quantum(dice, thread, f"kills/{thread}/{count}")

    def _quantum(self, dice: random.Random, thread: int, run: str) -> None:
        numbers = range(_AT_ONCE)
        refs = [output(self.repository, run, number) for number in numbers]
        inputs = self.repository.stored["measured"]
        quantum = self.repository.quantum(inputs, refs)
        butler = BUTLERS[self.butlers].open(self.repository, quantum, self.files)
        stored: dict[int, int] = {}
        # A quantum that has neither looked at anything nor kept anything is not logged.
        assert butler.stored(inputs[0])
        for _ in range(dice.randrange(3, 12)):
            step = dice.choice(("put", "put", "get", "prune"))
            if step == "put" and (absent := [number for number in numbers if number not in stored]):
                number, content = dice.choice(absent), dice.randrange(10**6)
                told = {"thread": thread, "step": "put", "run": run, "datasets": [number], "value": content}
                self._tell(**told, done=False)
                butler.put(value(refs[number], content), refs[number])
                self._tell(**told, done=True)
                stored[number] = content
            elif step == "get":
                assert butler.get(inputs[0]) == self.repository.values[inputs[0].id]
                for number in list(stored)[:1]:
                    assert butler.get(refs[number]) == value(refs[number], stored[number])
                self._tell(thread=thread, step="get", done=True)
            elif step == "prune" and stored:
                chosen = dice.sample(sorted(stored), dice.randint(1, len(stored)))
                told = {"thread": thread, "step": "prune", "run": run, "datasets": chosen}
                self._tell(**told, done=False)
                butler.pruneDatasets(
                    [refs[number] for number in chosen], disassociate=True, unstore=True, purge=True
                )
                self._tell(**told, done=True)
                for number in chosen:
                    del stored[number]
        label = process_log.label_of(quantum)
        told = {
            "thread": thread,
            "step": "log",
            "quantum": str(label.quantum_id),
            "outputs": sorted(str(refs[number].id) for number in stored),
        }
        self._tell(**told, done=False)
        if self._log is None:
            butler.close()
            self._tell(thread=thread, step="close", run=run, done=True)
            self._tell(**told, done=True)
            return
        self._log.append(label.quantum_id, butler, task_label=label.task_label)
        butler.close()
        self._tell(thread=thread, step="close", run=run, done=True)
        if self.kind == ".jsonl":
            self._tell(**told, done=True)
            return
        with self._flushing:
            self._unflushed.append(str(label.quantum_id))
            if len(self._unflushed) >= _FLUSH_EVERY:
                self._log.flush()
                for quantum_id in self._unflushed:
                    self._tell(thread=thread, step="log", quantum=quantum_id, done=True)
                self._unflushed.clear()


@dataclasses.dataclass
class Told:
    """What a process has told before it was killed."""

    stored: dict[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    """Datasets that were put and not pruned, and their values."""

    putting: dict[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    """Those that it was about to put."""

    pruning: dict[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    """Those that it was about to prune."""

    announced: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Quanta that it was about to log, and their outputs."""

    logged: set[str] = dataclasses.field(default_factory=set)
    """Those that were logged."""

    closed: set[str] = dataclasses.field(default_factory=set)
    """Runs whose butlers were closed."""

    done: Counter[str] = dataclasses.field(default_factory=Counter)
    """How many steps were acknowledged, by name."""

    @classmethod
    def of(cls, told: bytes) -> Told:
        """Make sense of what has come through the pipe."""
        self = cls()
        for line in told.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._take(json.loads(line))
        return self

    def runs(self) -> set[str]:
        """Return the runs that something has been told of."""
        return {run for keys in (self.stored, self.putting, self.pruning) for run, _ in keys} | self.closed

    def _take(self, message: dict[str, Any]) -> None:
        step, done = message["step"], message["done"]
        self.done[step] += done
        keys = [(message["run"], number) for number in message.get("datasets", ())]
        if step == "put":
            to = self.stored if done else self.putting
            to[keys[0]] = message["value"]
            if done:
                del self.putting[keys[0]]
        elif step == "prune":
            for key in keys:
                if done:
                    del self.pruning[key]
                else:
                    self.pruning[key] = self.stored.pop(key)
        elif step == "close":
            self.closed.add(message["run"])
        elif step == "log":
            if done:
                self.logged.add(message["quantum"])
            else:
                self.announced[message["quantum"]] = message["outputs"]


def check(work: Work, told: Told, reference: Repository, folder: Path) -> str:
    """Check that nothing acknowledged is lost, and nothing half-done is believed.

    Parameters
    ----------
    work : `Work`
        What a process did that was killed.
    told : `Told`
        What it has told.
    reference : `Repository`
        Another copy of the repository, to write the same datasets into.
    folder : `pathlib.Path`
        New folder for files of the check.

    Returns
    -------
    found : `str`
        How many temporary files and torn logs there were, as JSON.
    """
    folder.mkdir()
    temporaries = _check_artifacts(work.repository, told, reference)
    torn = _check_logs(work, told, folder)
    BUTLERS[work.butlers].check(work.repository, told, work.files)
    return json.dumps({"temporary files": temporaries, "torn logs": torn})


def _check_artifacts(repository: Repository, told: Told, reference: Repository) -> int:
    expected: dict[str, bytes] = {}
    certain: set[str] = set()
    before = reference.artifacts()
    for datasets in (told.stored, told.putting, told.pruning):
        refs = {output(repository, *key): number for key, number in datasets.items()}
        with reference.butler(QuantumBackedButler, outputs=refs) as butler:
            for ref, number in refs.items():
                butler.put(value(ref, number), ref)
        now = reference.artifacts()
        new = now.keys() - before.keys() - expected.keys()
        expected.update({name: now[name] for name in new})
        if datasets is told.stored:
            certain = new
    found = {name: data for name, data in repository.artifacts().items() if name.startswith("kills/")}
    temporaries = {name for name in found if is_temporary(Path(name).name)}
    places = {name.rpartition("/")[0] for name in expected.keys() - certain}
    for name in temporaries:
        assert name.rpartition("/")[0] in places, f"{name} is left by nobody"
    for name in found.keys() - temporaries:
        assert name in expected, f"{name} should not be there"
        assert found[name] == expected[name], f"{name} is not whole"
    assert certain <= found.keys(), f"lost: {certain - found.keys()}"
    refs = {output(repository, *key): number for key, number in told.stored.items()}
    with repository.butler(QuantumBackedButler, inputs=refs) as butler:
        for ref, number in refs.items():
            assert butler.get(ref) == value(ref, number)
    return len(temporaries)


def _check_logs(work: Work, told: Told, folder: Path) -> int:
    logs = sorted(work.logs.iterdir())
    assert len(logs) <= 1, logs
    if not logs:
        assert not told.logged
        return 0
    (log,) = logs
    copied = folder / log.name
    shutil.copy(log, copied)
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("quantum_butler.quantum.log")
    logger.addHandler(handler)
    try:
        ProvenanceLog(copied).close()
    finally:
        logger.removeHandler(handler)
    lines = read_log(copied)
    assert copied.stat().st_size <= log.stat().st_size or not lines
    torn = copied.stat().st_size < log.stat().st_size
    assert len(warnings) == torn, warnings

    ids = [line["quantum_id"] for line in lines]
    assert len(set(ids)) == len(ids), "a quantum is there twice"
    assert told.logged <= set(ids), f"lost: {told.logged - set(ids)}"
    assert set(ids) <= told.announced.keys()
    for line in lines:
        assert sorted(line["actual_outputs"]) == told.announced[line["quantum_id"]]
    if log.stat().st_size:
        report = collect(log, folder / "archive")
        assert (report.quanta, report.rejected) == (len(lines), int(torn)), report
    return int(torn)
