"""Calls that something like `KeyboardInterrupt` breaks off: in the end the file has what memory has."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from record_files import beside, roles, roles_of
from resuming import begin, crash, resume

import quantum_butler
from quantum_butler import QuantumBackedButler, RecordFileError
from repositories import Repository

PACKAGE = str(Path(quantum_butler.__file__).parent)
PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


def interrupted(call: Callable[[], object], at: int) -> bool:
    """Raise `KeyboardInterrupt` at a line of the package; tell whether the call got so far."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    assert seen < at, "it was raised, and did not come through"
    return False


def in_memory(butler: QuantumBackedButler, refs: list[DatasetRef]) -> Any:
    records = sorted(row["dataset_id"].hex for row in butler._datastore._table.fetch())
    locations = butler._datastore._records.locations
    return (
        roles_of(butler),
        records,
        *(sorted(one.hex for one in ids) for ids in (locations.present(), locations.trashed())),
    )


def in_file(file: Path) -> Any:
    tables = ("file_datastore_records", "dataset_location", "dataset_location_trash")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ids = [connection.execute(f"SELECT dataset_id FROM {table}").fetchall() for table in tables]
    return roles(file), *(sorted(one for (one,) in found) for found in ids)


def work_of(butler: QuantumBackedButler, refs: list[DatasetRef], what: str) -> Callable[[], object]:
    """Return a call to be broken off."""
    first, second = refs
    if what == "put":
        return lambda: butler.put({"a": 2}, second)
    if what == "prune":
        return lambda: butler.pruneDatasets([first], **PURGE)
    assert butler._record_file is not None
    return butler._record_file.dispose


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ["put", "prune", "close"])
def test_at_every_line(repository: Repository, tmp_path: Path, what: str) -> None:
    first, _ = refs = list(repository.predicted["derived"][:2])
    before = repository.artifacts()
    for at in itertools.count(1):
        file = tmp_path / f"{at}.sqlite3"
        butler = begin(repository, file, durability="process")
        butler.put({"a": 1}, first)
        butler.stored(repository.stored["measured"][0])
        broken_off = interrupted(work_of(butler, refs, what), at)
        # The butler goes on; what is done now is acknowledged, too.
        if what != "close":
            butler.getDeferred(repository.stored["measured"][1])
        expected = in_memory(butler, refs)
        butler.close()
        assert beside(file) == []
        assert in_file(file) == expected, f"interrupted at line {at} of {what}"
        with resume(repository, file, repair=True) as again:
            for ref in refs:
                if again._datastore.knows(ref):
                    assert again.get(ref) == {"a": 1 if ref is first else 2}
                if what == "put" and ref is first:
                    assert ref in again._actual_output_refs
            again.pruneDatasets(refs, **PURGE)
        for name in repository.artifacts().keys() - before.keys():
            (repository.root / name).unlink()
        if not broken_off:
            break
    assert at > 10, "there was nothing to break off"


class _Signalling:
    """A connection that lets a signal come after a statement."""

    def __init__(self, connection: Any, after: str):
        self._connection = connection
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: Any) -> Any:
        result = self._connection.execute(statement, *parameters)
        if statement == self._after:
            self._after = ""
            os.kill(os.getpid(), signal.SIGUSR1)
        return result


@pytest.mark.parametrize("after", ["BEGIN IMMEDIATE", "COMMIT"])
def test_a_signal_handler_that_puts(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    butler = begin(repository, file)
    mine, handlers = repository.predicted["derived"][:2]
    errors: list[OSError] = []

    def handle(*_: object) -> None:
        try:
            butler.put({"a": 2}, handlers)
        except OSError as error:
            errors.append(error)

    assert butler._record_file is not None
    connection = butler._record_file._connection
    monkeypatch.setattr(butler._record_file, "_connection", _Signalling(connection, after))
    earlier = signal.signal(signal.SIGUSR1, handle)
    try:
        butler.put({"a": 1}, mine)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    # In the middle of a transaction there can be no other; what has returned is in the file.
    assert len(errors) == (after == "BEGIN IMMEDIATE")
    assert all(isinstance(error, RecordFileError) and error.filename == str(file) for error in errors)
    outputs = {mine.id.hex} if errors else {mine.id.hex, handlers.id.hex}
    assert roles(file)["actual_output"] == outputs
    assert butler._datastore.knows(handlers) is not bool(errors)
    monkeypatch.setattr(butler._record_file, "_connection", connection)
    butler.close()
    assert roles(file) == roles_of(butler)


def test_a_fork_while_another_thread_writes(repository: Repository, file: Path) -> None:
    butler = begin(repository, file)
    assert butler._record_file is not None
    ref = repository.predicted["derived"][0]
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        assert butler._record_file is not None
        with butler._record_file._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def child() -> None:
        signal.alarm(20)
        with pytest.raises(RecordFileError, match=f"process {os.getppid()}"):
            butler.put({}, ref)
        butler.close()

    try:
        crash(child)
    finally:
        done.set()
        thread.join()
    butler.put({"a": 1}, ref)
    butler.close()
    assert roles(file)["actual_output"] == {ref.id.hex}
