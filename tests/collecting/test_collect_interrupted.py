"""Whatever stops a collect, the archive that was there is there still."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up import assert_same, quantum, tables, write_log

from quantum_butler import collect
from quantum_butler.collecting import scratch as module
from quantum_butler.collecting.driver import ExistingArchiveError, RejectedInputError
from quantum_butler.collecting.scratch import BusyArchiveError, Scratch
from quantum_butler.progress import Progress

COLLECT = """
import sys
from quantum_butler.collecting.driver import collect
print("ready", flush=True)
collect(sys.argv[1], sys.argv[2], overwrite=True)
"""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    collect(write_log(tmp_path / "old.jsonl", [quantum(1)]), tmp_path / "archive")
    return tmp_path / "archive"


@pytest.mark.proof
def test_a_killed_process_leaves_the_old_archive_or_the_new(archive: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", [quantum(n) for n in range(4000)])
    collect(log, tmp_path / "new")
    old, copy = content(archive), tmp_path / "copy"
    shutil.copytree(archive, copy)
    dice = random.Random(1)
    begin = time.monotonic()
    command = [sys.executable, "-c", COLLECT, str(log), str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)  # type: ignore[union-attr]
        begin = time.monotonic()
        process.wait()
    whole = time.monotonic() - begin
    finished = killed = 0
    for _ in range(8):
        shutil.rmtree(archive)
        shutil.copytree(copy, archive)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.read(1)  # type: ignore[union-attr]
            time.sleep(dice.random() * whole)
            process.kill()
        killed += process.returncode == -signal.SIGKILL
        if len(tables(archive)["quanta"]) == 1:
            assert content(archive) == old
        else:
            finished += 1
            assert_same(archive, tmp_path / "new")
    assert killed, "no process was there to be killed"
    # Who comes next clears away.
    collect(log, archive, overwrite=True)
    assert_same(archive, tmp_path / "new")
    assert not list(tmp_path.glob("*.partial-*"))


@pytest.mark.parametrize("step", ["reading", "comparing", "writing", "sorting"])
@pytest.mark.parametrize("append", [False, True])
def test_an_interrupt_at_any_step_leaves_everything_as_it_was(
    archive: Path, tmp_path: Path, step: str, append: bool
) -> None:
    before = content(archive)
    log = write_log(tmp_path / "log.jsonl", [quantum(n) for n in range(50)])

    def interrupt(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(log, archive, append=append, overwrite=not append, progress=interrupt)
    assert content(archive) == before
    assert sorted(os.listdir(tmp_path)) == ["archive", "log.jsonl", "old.jsonl"]


def test_strict_writes_nothing(archive: Path, tmp_path: Path) -> None:
    before = content(archive)
    log = write_log(tmp_path / "log.jsonl", [quantum(2), {"quantum_id": 1}])
    with pytest.raises(RejectedInputError, match="1 entries") as caught:
        collect(log, archive, append=True, strict=True)
    assert caught.value.report.rejections[0]["source"] == str(log)
    assert content(archive) == before
    assert collect(tmp_path / "old.jsonl", archive, append=True, strict=True).rejected == 0


def test_nothing_else_is_ever_replaced(archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "old.jsonl"
    with pytest.raises(ExistingArchiveError, match=r"append.*overwrite"):
        collect(log, archive)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data").touch()
    (tmp_path / "file").touch()
    for other in ("folder", "file", "old.jsonl"):
        for options in ({}, {"append": True}, {"overwrite": True}):
            with pytest.raises(ExistingArchiveError, match="no provenance archive"):
                collect(log, tmp_path / other, **options)
    with pytest.raises(ValueError, match="not both"):
        collect(log, archive, append=True, overwrite=True)
    (tmp_path / "empty").mkdir()
    collect(log, tmp_path / "empty")
    assert len(tables(tmp_path / "empty")["quanta"]) == 1


def test_two_do_not_collect_into_one_archive(archive: Path, tmp_path: Path) -> None:
    with Scratch(str(archive)), pytest.raises(BusyArchiveError, match="another process is collecting"):
        collect(tmp_path / "old.jsonl", archive, overwrite=True)
    collect(tmp_path / "old.jsonl", archive, overwrite=True)


def test_without_an_exchange_the_old_archive_is_put_aside_and_found_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    log = write_log(tmp_path / "log.jsonl", [quantum(2), quantum(3)])
    collect(log, archive, overwrite=True)
    assert len(tables(archive)["quanta"]) == 2
    before = content(archive)
    # Killed between the two renames.
    leftover = tmp_path / "archive.partial-0"
    leftover.mkdir()
    (leftover / "lock").touch()
    archive.rename(leftover / "replaced")
    with pytest.raises(RejectedInputError):
        collect(write_log(tmp_path / "bad.jsonl", [{}]), archive, strict=True)
    assert content(archive) == before
    assert not list(tmp_path.glob("*.partial-*"))


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_archive_that_cannot_be_kept_is_taken_back(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    """The folder of the archive is brought to disk last, after the new one has its place."""
    before = content(archive)
    log = write_log(tmp_path / "log.jsonl", [quantum(2), quantum(3)])
    sync = module._sync

    def fail(path: str) -> None:
        if path == str(tmp_path):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        sync(path)

    monkeypatch.setattr(module, "_sync", fail)
    if not exchanges:
        monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    for options in ({"overwrite": True}, {"append": True}):
        with pytest.raises(OSError, match=str(tmp_path)):
            collect(log, archive, **options)
        assert content(archive) == before
    with pytest.raises(OSError, match=str(tmp_path)):
        collect(log, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("*.partial-*"))


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_archive_that_cannot_be_taken_back_is_no_error(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    exchanges: bool,
) -> None:
    """An error says that the old archive is there as it was."""
    log = write_log(tmp_path / "log.jsonl", [quantum(2), quantum(3)])
    sync, exchange = module._sync, module._exchange
    is_full = False

    def fail(path: str) -> None:
        nonlocal is_full
        if path == str(tmp_path):
            is_full = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        sync(path)

    monkeypatch.setattr(module, "_sync", fail)
    monkeypatch.setattr(module, "_exchange", lambda *paths: exchanges and not is_full and exchange(*paths))
    rename = os.rename

    def rename_unless_full(one: str, other: str) -> None:
        if is_full and "replaced" not in one:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), other)
        rename(one, other)

    monkeypatch.setattr(module.os, "rename", rename_unless_full)
    collect(log, archive, overwrite=True)
    assert len(tables(archive)["quanta"]) == 2
    assert "a power failure" in caplog.text
    assert not list(tmp_path.glob("*.partial-*"))


def test_folders_of_others_are_left_alone(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "archive.partial-notes"
    other.mkdir()
    (other / "text").touch()
    collect(tmp_path / "old.jsonl", archive, overwrite=True)
    assert (other / "text").exists()
