"""Calls that something like `KeyboardInterrupt` breaks off: in the end the file has what memory has."""

from __future__ import annotations

import contextlib
import functools
import gc
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
from resuming import begin, crash, drop, resume

import quantum_butler
from quantum_butler import QuantumBackedButler, RecordFileError, switches
from quantum_butler.butler import state, writing
from quantum_butler.datastore import chained as chained_datastore
from quantum_butler.datastore import transactions
from quantum_butler.record_file import Journal, journal
from quantum_butler.record_file import database as opening
from quantum_butler.upstream import NotOurs
from repositories import NewRepository, Repository

PACKAGE = str(Path(quantum_butler.__file__).parent)
# What a put consists of before it begins, and after it has ended.
AROUND_A_PUT = {
    module.__file__ for module in (contextlib, state, writing, chained_datastore, transactions, journal)
}
PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


def interrupted(call: Callable[[], object], at: int, error: type[BaseException]) -> bool:
    """Raise an error at a line of the package; tell whether the call got so far."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            seen += 1
            if seen == at:
                raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        # Some may take it for the failure of something that they can do without.
        with contextlib.suppress(error, Exception):
            call()
    finally:
        sys.settrace(before)
    return seen >= at


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
    assert butler._journal is not None
    return butler._journal.close


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["file", "chained"])
def test_what_is_put_while_an_interruption_is_handled_stays(
    new_repository: NewRepository, tmp_path: Path, kind: str
) -> None:
    """As by an executor that puts its log in any case."""
    crash(lambda: _put_while_interrupted(new_repository(kind), tmp_path))


def _put_while_interrupted(repository: Repository, folder: Path) -> None:
    first, second = repository.predicted["derived"][:2]
    for at in itertools.count(1):
        file = folder / f"{at}.sqlite3"
        ours = begin(repository, file, durability="process")
        left = at

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in AROUND_A_PUT:
                return None
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return trace

        try:
            sys.settrace(trace)
            try:
                ours.put({"a": 1}, first)
            finally:
                sys.settrace(None)
                ours.put({"a": 2}, second)
        except KeyboardInterrupt:
            """Its traceback has kept alive whatever it went through."""
        datastores = getattr(ours._datastore, "datastores", [ours._datastore])
        if any(datastore._transaction is not None for datastore in datastores):
            # Something of the traceback is in a cycle.
            gc.collect()
        for datastore in datastores:
            assert datastore._transaction is None, f"interrupted at {at}"
            assert datastore.knows(second) == datastore.exists(second)
        # Of the third in a chain it is none of the business.
        assert all(datastore.knows(second) for datastore in datastores[:2])
        assert ours.get(second) == {"a": 2}
        assert second.id.hex in roles(file)["actual_output"]
        ours.pruneDatasets([first, second], **PURGE)
        ours.close()
        if left > 0:
            assert at > 100
            return


def test_outputs_that_are_replaced_while_it_is_interrupted(repository: Repository, tmp_path: Path) -> None:
    """The butler has the set that the file is told of, whichever it is."""
    refs = repository.predicted["derived"]
    for at in itertools.count(1):
        file = tmp_path / f"{at}.sqlite3"
        butler = begin(repository, file, durability="process")
        replace = functools.partial(setattr, butler, "_actual_output_refs", set(refs[:1]))
        reached = interrupted(replace, at, KeyboardInterrupt)
        butler.put({"a": 1}, refs[1])
        butler.close()
        assert refs[1].id.hex in roles(file)["actual_output"]
        assert roles(file) == roles_of(butler)
        butler = resume(repository, file)
        butler.pruneDatasets([refs[1]], **PURGE)
        butler.close()
        if not reached:
            assert at > 5
            return


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
@pytest.mark.parametrize("what", ["put", "prune", "close"])
def test_at_every_line(repository: Repository, tmp_path: Path, what: str, error: type[BaseException]) -> None:
    """As a signal handler might, which may also raise an ordinary exception."""
    # A tracer can raise where no signal comes, as at the end of a `with`, and leave locks taken.
    crash(lambda: _break_off_at_every_line(repository, tmp_path, what, error))


def _break_off_at_every_line(
    repository: Repository, tmp_path: Path, what: str, error: type[BaseException]
) -> None:
    first, _ = refs = list(repository.predicted["derived"][:2])
    before = repository.artifacts()
    for at in itertools.count(1):
        file = tmp_path / f"{at}.sqlite3"
        butler = begin(repository, file, durability="process")
        butler.put({"a": 1}, first)
        butler.stored(repository.stored["measured"][0])
        broken_off = interrupted(work_of(butler, refs, what), at, error)
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

    assert butler._journal is not None
    connection = butler._journal._connection
    monkeypatch.setattr(butler._journal, "_connection", _Signalling(connection, after))
    earlier = signal.signal(signal.SIGUSR1, handle)
    try:
        butler.put({"a": 1}, mine)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    # What is taken back if the call fails that it interrupts must not be acknowledged.
    [error] = errors
    assert isinstance(error, RecordFileError) and error.filename == str(file)
    assert roles(file)["actual_output"] == {mine.id.hex}
    assert not butler._datastore.knows(handlers)
    butler.put({"a": 2}, handlers)
    monkeypatch.setattr(butler._journal, "_connection", connection)
    butler.close()
    assert roles(file) == roles_of(butler)


def test_a_fork_while_another_thread_writes(repository: Repository, file: Path) -> None:
    butler = begin(repository, file)
    assert butler._journal is not None
    ref = repository.predicted["derived"][0]
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        assert butler._journal is not None
        with butler._journal._lock:
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


def test_a_thread_that_is_broken_off_leaves_the_rest_to_others(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    butler = begin(repository, file)
    mine, others = repository.predicted["derived"][:2]
    assert butler._journal is not None

    def work() -> None:
        with contextlib.suppress(KeyboardInterrupt), monkeypatch.context() as patch:

            def break_off(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(butler._journal, "commit", break_off)
            butler.put({"a": 1}, mine)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    butler.put({"a": 2}, others)
    assert in_file(file)[1:] == in_memory(butler, [mine, others])[1:]
    butler.close()
    assert roles(file) == roles_of(butler)


def test_what_another_thread_is_at_is_not_written(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the process is killed now, the file has no half of that put."""
    butler = begin(repository, file)
    mine, others = repository.predicted["derived"][:2]
    assert butler._journal is not None
    commit, reached, go_on = butler._journal.commit, threading.Event(), threading.Event()

    def wait() -> None:
        if threading.current_thread() is thread:
            reached.set()
            go_on.wait()
        commit()

    monkeypatch.setattr(butler._journal, "commit", wait)
    thread = threading.Thread(target=lambda: butler.put({"a": 1}, mine))
    thread.start()
    reached.wait()
    try:
        butler.put({"a": 2}, others)
        assert butler._datastore.knows(mine)
        assert roles(file)["actual_output"] == {others.id.hex}
        assert mine.id.hex not in {one for ids in in_file(file)[1:] for one in ids}
    finally:
        go_on.set()
        thread.join()
    assert roles(file)["actual_output"] == {mine.id.hex, others.id.hex}
    assert in_file(file)[1:] == in_memory(butler, [mine, others])[1:]
    monkeypatch.undo()
    butler.close()


def test_a_removal_in_upstreams_way_is_one_transaction(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = repository.predicted["derived"][0]

    # Upstream's own method does it while it tells what it does.
    def not_ours(*_: Any, **__: Any) -> None:
        raise NotOurs

    monkeypatch.setattr("quantum_butler.store.removing.empty_trash", not_ours)

    def work() -> None:
        butler = begin(repository, file)
        butler.put({"a": 1}, ref)
        write, numbers = Journal._write, itertools.count()

        def count(*arguments: Any) -> None:
            write(*arguments)
            # The first is that it goes to the trash.
            if next(numbers) == 1:
                os._exit(0)

        Journal._write = count  # type: ignore[method-assign]
        butler.pruneDatasets([ref], **PURGE)
        raise AssertionError("nothing was removed")

    crash(work)
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        again.put({"a": 2}, ref)
        again.pruneDatasets([ref], **PURGE)
        again.put({"a": 3}, ref)
        assert again.get(ref) == {"a": 3}


def test_a_trash_without_records_is_emptied(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    butler._datastore.trash([ref])
    drop(butler)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM file_datastore_records WHERE dataset_id = ?", (ref.id.hex,))
    # As another program has closed it.
    resume(repository, file).close()
    with resume(repository, file, repair=True) as again:
        assert [found.dataset_id for found in again.resumption.unfinished_removals] == [ref.id]
        again.put({"a": 2}, ref)
        again.pruneDatasets([ref], **PURGE)
        assert not again._datastore.knows(ref)
    with resume(repository, file) as clean:
        assert not clean.resumption


def test_a_close_that_fails_with_a_log(
    repository: Repository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_PATIENCE", 0.1)
    quantum = repository.quantum(repository.stored["measured"], repository.predicted["derived"])
    switches.set_log_folder(tmp_path / "logs")
    try:
        butler = QuantumBackedButler.initialize(
            str(repository.root), quantum, repository.universe, filename=file
        )
        butler.put({"a": 1}, repository.predicted["derived"][0])
        reader = sqlite3.connect(file)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM dataset_location").fetchall()
        with pytest.raises(RecordFileError):
            butler.close()
        reader.close()
        butler.close()
    finally:
        switches.set_log_folder(None)
    assert beside(file) == []
    [log] = (tmp_path / "logs").iterdir()
    assert log.read_text().count("\n") == 1
