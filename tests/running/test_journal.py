"""The journal holds what was noted, and refuses what it is not about."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quantum_butler.running.errors import JournalError
from quantum_butler.running.journal import Identity, Journal

IDENTITY = Identity("a graph", "a repository", 10)


def written(path: Path) -> bytes:
    """Write a journal, and return its contents."""
    journal = Journal(str(path), IDENTITY)
    journal.note_session({"time": "now"})
    journal.note_init_outputs()
    journal.note_started([0, 1, 2])
    journal.note_done([1])
    journal.note_failed(2, {"status": "failure"})
    journal.close()
    return path.read_bytes()


def test_what_was_noted_is_known_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    journal = Journal(str(path), IDENTITY)
    assert (journal.done, journal.started, journal.failed) == ({1}, {0}, {2: {"status": "failure"}})
    assert journal.has_init_outputs
    journal.note_started([2])
    journal.close()
    journal = Journal(str(path), IDENTITY, read_only=True)
    journal.close()
    assert (journal.started, journal.failed) == ({0, 2}, {})


def test_any_beginning_of_a_journal_will_do(tmp_path: Path) -> None:
    """Whenever the process is killed, what it has noted until then is there."""
    path = tmp_path / "journal"
    whole = written(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = Journal(str(path), IDENTITY)
        assert journal.has_init_outputs is (b'{"init":true}\n' in whole[:length])
        journal.note_done([7])
        journal.close()
        lines = whole[:length].count(b"\n")
        # The first line is made anew if it is not whole.
        assert path.read_bytes().count(b"\n") == max(lines, 1) + 1
        Journal(str(path), IDENTITY).close()


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (Identity("another graph", "a repository", 10), "another graph"),
        (Identity("a graph", "another repository", 10), "another repository"),
        (Identity("a graph", "a repository", 11), "another graph"),
    ],
)
def test_the_journal_of_something_else(tmp_path: Path, identity: Identity, message: str) -> None:
    path = tmp_path / "journal"
    before = written(path)
    for read_only in (False, True):
        with pytest.raises(JournalError, match=message):
            Journal(str(path), identity, read_only=read_only)
    assert path.read_bytes() == before


def test_the_journal_of_a_run_that_has_done_nothing(tmp_path: Path) -> None:
    """Who has named another repository by mistake can go on with the right one."""
    path = tmp_path / "journal"
    mistaken = Journal(str(path), Identity("a graph", "no repository", 10))
    mistaken.note_session({"time": "now"})
    mistaken.close()
    before = path.read_bytes()
    Journal(str(path), IDENTITY, read_only=True).close()
    assert path.read_bytes() == before
    journal = Journal(str(path), IDENTITY)
    journal.note_done([7])
    journal.close()
    assert Journal(str(path), IDENTITY).done == {7}
    assert b"no repository" not in path.read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"my thesis, chapter one", "not the journal"),
        (b"my thesis\nchapter one\n", "not the journal"),
        (b'{"journal":"another"}\n', "not the journal"),
        (b'{"journal":"quantum-butler run","version":2}\n', "version 2"),
    ],
)
def test_what_is_no_journal_is_left_alone(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=message):
        Journal(str(path), IDENTITY)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"done":[10]}',
        b'{"done":["x"]}',
        b'{"done":3}',
        b'{"undone":[1]}',
        b"{}",
        b'{"failed":{}}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal"
    content = written(path) + line + b"\n"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="line 7 is not one of a journal"):
        Journal(str(path), IDENTITY)
    assert path.read_bytes() == content


def test_two_runs_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path), IDENTITY)
    if (child := os.fork()) == 0:
        try:
            Journal(str(path), IDENTITY)
        except JournalError as error:
            os._exit(7 if "another run is writing" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    journal.close()


def test_no_place_for_it(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"nowhere/journal: no journal can be kept here: No such"):
        Journal(str(tmp_path / "nowhere" / "journal"), IDENTITY)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is there as a whole or not at all."""
    path = tmp_path / "journal"
    journal = Journal(str(path), IDENTITY)
    before, write = path.read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: write(file, line[:5]))
        with pytest.raises(JournalError, match=os.strerror(errno.ENOSPC)):
            journal.note_done([3])
    assert path.read_bytes() == before and journal.done == set()
    journal.note_done([4])
    journal.close()
    journal = Journal(str(path), IDENTITY)
    assert journal.done == {4}
    journal.close()
