"""What becomes of a line whose log cannot be written any more: on a full disk, and on a read-only one."""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lsst.daf.butler
import pyarrow.parquet as pq
import pytest
import zstandard

import quantum_butler
from commands import run_exec
from full_disks import Disk, disk
from quantum_butler import ProvenanceLog, QuantumProvenanceData, collect
from repositories import Repository

__all__ = ("disk",)


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """Leave nothing installed."""
    yield
    quantum_butler.uninstall()


def data_of(number: int) -> QuantumProvenanceData:
    """Return provenance with ids that do not compress."""
    ids = {uuid.UUID(bytes=os.urandom(16)) for _ in range(50)}
    return QuantumProvenanceData(
        predicted_inputs=ids,
        available_inputs=set(),
        actual_inputs=set(),
        predicted_outputs={uuid.UUID(int=number + 1)},
        actual_outputs={uuid.UUID(int=number + 1)},
        datastore_records={},
    )


def numbers_in(*folders: Path) -> list[int]:
    """Return the numbers of the quanta in all logs of some folders, read with nothing of ours."""
    found = []
    for folder in folders:
        for path in sorted(folder.glob("*.jsonl*")):
            content = path.read_bytes()
            if path.name.endswith(".zst"):
                with zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True) as reader:
                    content = reader.read()
            found += [uuid.UUID(json.loads(line)["quantum_id"]).int for line in content.splitlines()]
    return sorted(found)


def collected(archive: Path, *folders: Path) -> list[int]:
    report = collect(folders, archive)
    assert (report.rejected, report.replaced) == (0, 0)
    return sorted(one.int for one in pq.read_table(archive / "quanta.parquet")["quantum_id"].to_pylist())


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst"])
def test_nothing_is_lost_and_nothing_is_twice(disk: Disk, tmp_path: Path, ending: str) -> None:
    spill = tmp_path / "spill" / "here"
    with ProvenanceLog(disk.folder / f"log.{ending}", spill_to=spill) as log:
        for number in range(400):
            if number == 20:
                disk.fill()
            if number == 300:
                disk.free()
            log.append(uuid.UUID(int=number), data_of(number))
            if number == 250:
                log.flush()
                assert numbers_in(disk.folder, spill) == list(range(251))
    assert numbers_in(disk.folder, spill) == list(range(400))
    assert 0 < len(numbers_in(disk.folder)) < 400
    assert [path.name for path in spill.iterdir()] == [f"log.{ending}"]
    assert collected(tmp_path / "archive", disk.folder, spill) == list(range(400))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst"])
def test_what_is_left_at_the_end_is_spilled(disk: Disk, tmp_path: Path, ending: str) -> None:
    with ProvenanceLog(disk.folder / f"log.{ending}", on_failure="spill", spill_to=tmp_path / "spill") as log:
        disk.fill()
        for number in range(3):
            log.append(uuid.UUID(int=number), data_of(number))
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append(uuid.UUID(int=9), data_of(9))
    assert numbers_in(tmp_path / "spill") == [0, 1, 2]
    assert collected(tmp_path / "archive", disk.folder, tmp_path / "spill") == [0, 1, 2]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst"])
@pytest.mark.parametrize("on_failure", ["fail", None])
def test_a_failure_leaves_the_log_as_it_was(
    disk: Disk, tmp_path: Path, ending: str, on_failure: str | None
) -> None:
    with ProvenanceLog(disk.folder / f"log.{ending}", on_failure=on_failure) as log:
        log.append(uuid.UUID(int=0), data_of(0))
        log.flush()
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            for number in range(1, 100):
                log.append(uuid.UUID(int=number), data_of(number))
                log.flush()
        disk.free()
        log.append(uuid.UUID(int=500), data_of(500))
    found = numbers_in(disk.folder)
    # Of a log of frames, what a failed `flush` had is written later.
    assert found in ([*range(number), 500], [*range(number + 1), 500])


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst"])
def test_a_warning_names_what_is_lost(
    disk: Disk, tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ProvenanceLog(disk.folder / f"log.{ending}", on_failure="warn") as log:
        disk.fill()
        log.append(uuid.UUID(int=7), data_of(7))
    (record,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    what = str(uuid.UUID(int=7)) if ending == "jsonl" else "1 quanta"
    assert what in record.getMessage() and "No space left" in record.getMessage()
    assert numbers_in(disk.folder) == []


def test_a_second_folder_that_fails_too_is_an_error(disk: Disk) -> None:
    with ProvenanceLog(disk.folder / "log.jsonl", spill_to=disk.folder / "spill") as log:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            log.append(uuid.UUID(int=0), data_of(0))
        disk.free()
        log.append(uuid.UUID(int=1), data_of(1))
    assert numbers_in(disk.folder) == [1]


@pytest.mark.parametrize(
    "options",
    [
        {"on_failure": "spill"},
        {"on_failure": "warn", "spill_to": "there"},
        {"on_failure": "fail", "spill_to": "there"},
        {"on_failure": "ignore"},
        {"on_failure": ""},
        {"spill_to": "s3://bucket/logs"},
    ],
)
def test_policies_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"spill|URI"):
        ProvenanceLog(tmp_path / "log.jsonl", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# --- Butlers -------------------------------------------------------------------------------------------


def write_one(repository: Repository) -> list[Any]:
    """Have a quantum write one of its outputs, and return what it is predicted to write."""
    outputs = repository.predicted["derived"][:2]
    quantum = repository.quantum(repository.stored["measured"], outputs)
    with lsst.daf.butler.QuantumBackedButler.initialize(
        str(repository.root), quantum, repository.universe, dataset_types=repository.dataset_types
    ) as butler:
        butler.put({"a": 1}, outputs[0])
    return outputs


def stored(repository: Repository, refs: list[Any]) -> list[bool]:
    quantum = repository.quantum([], refs)
    with lsst.daf.butler.QuantumBackedButler.initialize(
        str(repository.root), quantum, repository.universe, dataset_types=repository.dataset_types
    ) as butler:
        return [butler.stored_many(refs)[ref] for ref in refs]


def fill_later(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the disk when the first dataset has been written."""
    cls = quantum_butler.QuantumBackedButler
    put = cls.put

    def put_and_fill(self: Any, *arguments: Any, **options: Any) -> Any:
        answer = put(self, *arguments, **options)
        disk.fill()
        return answer

    monkeypatch.setattr(cls, "put", put_and_fill)


def test_a_quantum_that_cannot_be_logged_is_not_taken_for_done(
    repository: Repository, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantum_butler.install(provenance_log=disk.folder / "logs")
    with monkeypatch.context() as patch:
        fill_later(disk, patch)
        with pytest.raises(OSError, match=r"cannot be logged.*No space left.*run again") as caught:
            write_one(repository)
    assert caught.value.errno and str(disk.folder) in str(caught.value.filename)
    disk.free()
    # Without metadata, what it has written would be taken for all there is to do.
    assert stored(repository, repository.predicted["derived"][:2]) == [False, False]
    write_one(repository)
    assert stored(repository, repository.predicted["derived"][:2]) == [True, False]
    assert len(numbers_in(disk.folder / "logs")) == 1


@pytest.mark.parametrize("how", ["arguments", "variables", "policy variable"])
def test_butlers_spill(
    repository: Repository, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spill = tmp_path / "spill"
    if how == "arguments":
        quantum_butler.install(provenance_log=disk.folder / "logs", spill_to=spill)
        assert spill.is_dir()
    else:
        monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", str(disk.folder / "logs"))
        monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE_SPILL", str(spill))
        if how == "policy variable":
            monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE_FAILURE", "spill")
        quantum_butler.install()
    fill_later(disk, monkeypatch)
    refs = write_one(repository)
    assert stored(repository, refs) == [True, False]
    assert len(numbers_in(spill)) == 1
    # The next quantum does not fail because of the first folder either.
    write_one(repository)
    assert len(numbers_in(spill)) == 2
    assert len(set(numbers_in(spill))) == 1


def test_butlers_warn(
    repository: Repository, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quantum_butler.install(provenance_log=disk.folder / "logs", on_log_failure="warn")
    disk.forbid()
    refs = write_one(repository)
    assert stored(repository, refs) == [True, False]
    assert "Read-only file system" in caplog.text
    disk.free()
    assert not list((disk.folder / "logs").iterdir())


def test_a_variable_that_makes_no_sense_is_told_before_anything_is_written(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantum_butler.install(provenance_log=tmp_path / "logs")
    monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE_FAILURE", "spill")
    with pytest.raises(ValueError, match="QUANTUM_BUTLER_PROVENANCE_FAILURE"):
        write_one(repository)
    monkeypatch.delenv("QUANTUM_BUTLER_PROVENANCE_FAILURE")
    assert stored(repository, repository.predicted["derived"][:2]) == [False, False]


@pytest.mark.parametrize("forbidden", ["logs", "spill"])
def test_exec_tries_both_folders_first(disk: Disk, tmp_path: Path, forbidden: str) -> None:
    started = tmp_path / "started"
    folders = {name: tmp_path / name for name in ("logs", "spill")} | {forbidden: disk.folder / "folder"}
    disk.forbid()
    options = ["--provenance-log", folders["logs"], "--spill-to", folders["spill"]]
    done = run_exec(*options, "touch", started)
    assert done.returncode == 125 and str(disk.folder) in done.stderr
    disk.free()
    done = run_exec(*options, "touch", started)
    assert done.returncode == 0 and started.exists()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--on-log-failure", "spill"], 2),
        (["--on-log-failure", "ignore"], 2),
        (["--on-log-failure", "fail", "--spill-to", "there"], 2),
        (["--on-log-failure", "warn"], 125),
    ],
)
def test_exec_refuses_what_makes_no_sense(tmp_path: Path, options: list[str], status: int) -> None:
    done = run_exec(*options, "touch", tmp_path / "started", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == status and done.stderr
    assert not (tmp_path / "started").exists()


def test_exec_hands_the_policy_on(tmp_path: Path) -> None:
    tell = (
        "import quantum_butler.switches as s\n"
        "print(s.wanted_log_folder(), *s.wanted_log_failure(), sep='\\n')"
    )
    logs, spill = tmp_path / "logs", tmp_path / "spill"
    done = run_exec("--provenance-log", logs, "--spill-to", spill, sys.executable, "-c", tell)
    assert done.stdout.splitlines() == [str(logs), "spill", str(spill)]
    again = [sys.executable, "-m", "quantum_butler", "exec", sys.executable, "-c", tell]
    done = run_exec("--provenance-log", logs, "--spill-to", spill, *again)
    assert done.stdout.splitlines() == [str(logs), "spill", str(spill)]
    done = run_exec("--provenance-log", logs, "--on-log-failure", "warn", sys.executable, "-c", tell)
    assert done.stdout.splitlines() == [str(logs), "warn", "None"]
