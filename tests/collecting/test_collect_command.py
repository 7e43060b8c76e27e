"""``quantum-butler collect``, run as a person runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from made_up import assert_same, quantum, tables, write_log

from quantum_butler import collect

CODE = "import sys; from quantum_butler.cli.main import main; main(prog_name='quantum-butler')"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", CODE, "collect", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_log(tmp_path / "good.jsonl", [quantum(n) for n in range(5)])
    write_log(tmp_path / "bad.jsonl", [quantum(5), {"quantum_id": 1}, quantum(6)])
    return tmp_path


def test_logs_without_a_quantum_are_named(folder: Path) -> None:
    (folder / "empty.jsonl").touch()
    done = run(folder, "good.jsonl", "empty.jsonl", "--output", "archive", "--format", "json")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "empty.jsonl: there is no quantum in it"
    report = json.loads(done.stdout)
    assert (report["quanta"], report["empty"], report["empty_sources"]) == (5, 1, ["empty.jsonl"])
    for number in range(30):
        (folder / "many").mkdir(exist_ok=True)
        (folder / "many" / f"{number:02}.jsonl").write_text("\n")
    done = run(folder, "many", "--output", "none")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "many/00.jsonl: there is no quantum in it, nor in 29 more"
    # Lines that cannot be read are something.
    done = run(folder, "bad.jsonl", "--output", "other")
    assert "no quantum" not in done.stderr


def test_what_was_collected_is_printed(folder: Path) -> None:
    done = run(folder, "good.jsonl", "--output", "archive")
    assert (done.returncode, done.stderr.split()[0]) == (0, "reading")
    assert "\nquanta read" in done.stdout
    assert "\x1b" not in done.stderr + done.stdout
    done = run(folder, "good.jsonl", "-o", "archive", "--append", "--format", "json")
    report = json.loads(done.stdout)
    assert (report["quanta"], report["repeated"], report["read"]) == (5, 5, 5)


def test_rejected_input_is_told_and_is_status_1(folder: Path) -> None:
    done = run(folder, "bad.jsonl", "-o", "archive")
    assert done.returncode == 1
    assert "bad.jsonl, byte " in done.stderr
    assert "1 entry could not be read; it is in archive/rejected.jsonl" in done.stderr
    assert len(tables(folder / "archive")["quanta"]) == 2


def test_strict_is_status_1_and_writes_nothing(folder: Path) -> None:
    done = run(folder, "bad.jsonl", "-o", "archive", "--strict")
    assert done.returncode == 1
    assert "bad.jsonl, byte " in done.stderr
    assert "nothing was written" in done.stderr
    assert not (folder / "archive").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good.jsonl"], "--output"),
        (["-o", "archive"], "SOURCE"),
        (["missing.jsonl", "-o", "archive"], "missing.jsonl: there is no such file"),
        (["good.jsonl", "-o", "good.jsonl"], "no provenance archive"),
        (["good.jsonl", "-o", "a", "--append", "--overwrite"], "exclude each other"),
        (["good.jsonl", "-o", "a", "--dask", "x", "--jobs", "2"], "exclude each other"),
        (["good.jsonl", "-o", "a", "--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_use_is_status_2(folder: Path, arguments: list[str], message: str) -> None:
    before = sorted(os.listdir(folder))
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(folder)) == before


def test_an_archive_is_replaced_only_if_told_so(folder: Path) -> None:
    assert run(folder, "good.jsonl", "-o", "archive").returncode == 0
    done = run(folder, "good.jsonl", "-o", "archive")
    assert done.returncode == 2
    assert "added to (--append) or replaced (--overwrite)" in done.stderr
    assert run(folder, "bad.jsonl", "-o", "archive", "--overwrite").returncode == 1
    assert len(tables(folder / "archive")["quanta"]) == 2


def test_a_terminal_gets_a_bar(folder: Path) -> None:
    main, terminal = pty.openpty()
    command = [sys.executable, "-c", CODE, "collect", "good.jsonl", "-o", "archive"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=terminal, env=environment, timeout=250
    )
    os.close(terminal)
    shown = b""
    try:
        while more := os.read(main, 1 << 16):
            shown += more
    except OSError:
        # How a terminal ends.
        pass
    os.close(main)
    assert done.returncode == 0
    assert b"\x1b[" in shown
    assert "━".encode() in shown


def test_dask_workers_do_the_same(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(folder / "dask")
        ) as cluster:
            command = [sys.executable, "-c", CODE, "collect", "good.jsonl", "-o", "archive"]
            command += ["--dask", cluster.scheduler_address]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    collect(folder / "good.jsonl", folder / "expected")
    assert_same(folder / "archive", folder / "expected")


def test_a_scheduler_that_is_not_there_is_told(folder: Path) -> None:
    done = run(folder, "good.jsonl", "-o", "archive", "--dask", "not a scheduler")
    assert done.returncode == 1
    assert "no Dask scheduler answers" in done.stderr
    assert "Traceback" not in done.stderr
