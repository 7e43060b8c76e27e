"""Standard streams that are closed, full, without a reader or without a character: no command minds."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from quantum_butler import Archive, collect

QUANTUM, DATASET = uuid.UUID(int=1 << 90), uuid.UUID(int=(1 << 91) + 5)
LABEL = "größe→π"

COMMAND = [sys.executable, "-m", "quantum_butler"]

# What a shell would do, each with what the answer comes to.
CLOSED_ERROR, FULL_ERROR = "2>&-", "2>/dev/full"
CLOSED_OUTPUT, FULL_OUTPUT = ">&-", ">/dev/full"
ALL_CLOSED = "<&- >&- 2>&-"


def line(quantum: uuid.UUID, dataset: uuid.UUID) -> str:
    roles = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs")
    return json.dumps(
        {
            "quantum_id": str(quantum),
            "task_label": LABEL,
            "data_id": {"band": LABEL},
            **{role: [] for role in roles},
            "actual_outputs": [str(dataset)],
            "datastore_records": {},
        }
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text(f"{line(QUANTUM, DATASET)}\nnonsense\n")
    return path


@pytest.fixture(scope="module")
def archive(log: Path) -> Path:
    collect(log, log.parent / "archive")
    return log.parent / "archive"


def run(
    arguments: Sequence[object], streams: str = "", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell, with its standard streams redirected."""
    return subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {streams}',
            "sh",
            sys.executable,
            "-m",
            "quantum_butler",
            *map(str, arguments),
        ],
        capture_output=True,
        env={**os.environ, **variables},
        timeout=250,
    )


def questions(archive: Path) -> list[tuple[list[object], int, int]]:
    """Return commands that answer, each with its exit status and that for an answer that is not printed."""
    return [
        (["stats", archive], 0, 1),
        (["lineage", archive, DATASET, "--format", "dot"], 0, 1),
        (["diff", archive, archive], 0, 2),
        (["--help"], 0, 1),
        (["-V"], 0, 1),
        (["show", archive, "00000000-0000-4000-8000-000000000000"], 1, 1),
        (["stats"], 2, 2),
    ]


@pytest.mark.parametrize("number", range(7))
def test_questions(archive: Path, number: int) -> None:
    arguments, status, unprinted = questions(archive)[number]
    usual = run(arguments)
    assert usual.returncode == status
    for streams in (CLOSED_ERROR, FULL_ERROR, CLOSED_OUTPUT, FULL_OUTPUT, ALL_CLOSED):
        done = run(arguments, streams)
        check(done, usual, streams, unprinted)


def check(
    done: subprocess.CompletedProcess[bytes],
    usual: subprocess.CompletedProcess[bytes],
    streams: str,
    unprinted: int,
) -> None:
    status = usual.returncode
    if streams in (CLOSED_ERROR, FULL_ERROR):
        assert (done.returncode, done.stdout) == (status, usual.stdout)
    elif status:
        # There is no answer to be printed.
        assert done.returncode == status
    else:
        assert done.returncode == unprinted
        if streams != ALL_CLOSED:
            assert done.stderr.startswith(b"Error: the answer could not be printed: standard output: ")
            assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("streams", [CLOSED_ERROR, FULL_ERROR, CLOSED_OUTPUT, FULL_OUTPUT, ALL_CLOSED])
def test_the_archive_is_there_whatever_the_streams_are(log: Path, tmp_path: Path, streams: str) -> None:
    folder = tmp_path / "archive"
    done = run(["collect", log, "--output", folder], streams)
    # It says that it could not read a line, if it can.
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr + done.stdout
    assert Archive(folder).show(QUANTUM).quantum.task_label == LABEL
    assert (folder / "rejected.jsonl").read_text().count("\n") == 1
    if streams in (CLOSED_ERROR, FULL_ERROR):
        assert b"quanta" in done.stdout
    elif streams != ALL_CLOSED:
        assert b"nonsense" not in done.stdout and b"could not be printed" in done.stderr


def test_a_reader_that_goes_away(archive: Path, log: Path, tmp_path: Path) -> None:
    for arguments in (["stats", archive], ["diff", archive, archive], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        command = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b""), arguments
    # Its progress is nobody's either.
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "collect", str(log), "-o", str(tmp_path / "archive")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout[:6]) == (1, b"quanta")
    assert len(list(Archive(tmp_path / "archive").quanta.to_table()["quantum_id"])) == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
    ids=" ".join,
)
def test_labels_that_the_encoding_lacks(
    archive: Path, log: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    for arguments in (["stats", archive], ["lineage", archive, DATASET]):
        for style in ("table", "csv", "json"):
            done = run([*arguments, "--format", style], **variables)
            assert (done.returncode, done.stderr) == (0, b""), (arguments, style)
            told = (LABEL, LABEL.encode("latin-1", "backslashreplace").decode("latin-1"))
            written = done.stdout.decode("latin-1" if "latin-1" in variables.values() else "utf-8")
            ascii_label = LABEL.encode("ascii", "backslashreplace").decode()
            assert any(label in written for label in (*told, ascii_label, json.dumps(LABEL)[1:-1]))
    done = run(["lineage", archive, DATASET, "--format", "dot"], **variables)
    assert (done.returncode, LABEL in done.stdout.decode()) == (0, True)
    folder = tmp_path / "archive"
    done = run(["collect", log, "--output", folder], **variables)
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize("moment", ["before", "within"])
def test_ctrl_c_is_130(tmp_path: Path, moment: str) -> None:
    """It comes before a log is read, or while a thread waits in it for what nobody writes."""
    pipe = tmp_path / "log.jsonl.gz"
    os.mkfifo(pipe)
    command = [*COMMAND, "collect", str(pipe), "-o", str(tmp_path / "archive")]
    # Opened for both, it waits for nobody, and who reads it waits for ever.
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    if moment == "within":
        fill(held)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell runs in the background ignores it, and its children do.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            assert process.stderr is not None
            # It says what it does before it does it.
            assert process.stderr.readline() == b"reading\n"
            if moment == "within":
                # There is room again when it has read.
                assert select.select([], [held], [], 100)[1]
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=100)
        finally:
            process.kill()
            os.close(held)
    assert (process.returncode, said) == (130, b"\nAborted!\n")
    assert not (tmp_path / "archive").exists()


def fill(pipe: int) -> None:
    """Write compressed text into a pipe until it is full."""
    text = zlib.compressobj(level=0, wbits=31)
    try:
        while True:
            os.write(pipe, text.compress(b" " * 4096) + text.flush(zlib.Z_SYNC_FLUSH))
    except BlockingIOError:
        pass


@pytest.mark.parametrize("streams", [CLOSED_ERROR, FULL_ERROR, CLOSED_OUTPUT, ALL_CLOSED])
def test_exec_leaves_streams_as_they_are(streams: str, tmp_path: Path) -> None:
    """The command finds what it would find without us, and what it opens is not taken for a stream."""
    code = (
        "import os, sys\n"
        "def is_open(n):\n try: os.fstat(n)\n except OSError: return False\n return True\n"
        f"found = [is_open(n) for n in range(3)]\n"
        f"open({str(tmp_path / 'found')!r}, 'w').write(str(found))\n"
    )
    found = []
    for command in (
        [sys.executable, "-c", code],
        [sys.executable, "-m", "quantum_butler", "exec", sys.executable, "-c", code],
    ):
        done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *command], capture_output=True)
        assert done.returncode == 0
        found.append((tmp_path / "found").read_text())
    assert found[0] == found[1]
    done = run(["exec", "no-such-command"], streams)
    assert (done.returncode, done.stdout) == (127, b"")


def test_quiet_and_verbose(log: Path, tmp_path: Path) -> None:
    """Progress goes with --quiet, and what could not be read is told all the same; -v logs."""
    usual = run(["collect", log, "-o", tmp_path / "usual"])
    quiet = run(["--quiet", "collect", log, "-o", tmp_path / "quiet"])
    assert usual.returncode == quiet.returncode == 1
    assert b"reading\n" in usual.stderr
    told = [line.replace(b"usual", b"quiet") for line in usual.stderr.splitlines()]
    kept = quiet.stderr.splitlines()
    assert kept == [line for line in told if line in kept]
    assert {line for line in told if line not in kept} > {b"reading"}
    assert any(b"could not be read" in line for line in kept)
    assert quiet.stdout.splitlines()[:3] == usual.stdout.splitlines()[:3]
    code = "import logging; logging.getLogger('quantum_butler').debug('a detail')"
    for options, told in (([], False), (["-v"], False), (["-vv"], True), (["--log-level", "debug"], True)):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from quantum_butler.cli.main import main\n"
                "import click\n"
                f"try: main.main({[*options, 'stats', 'nowhere']!r}, standalone_mode=False)\n"
                f"except click.ClickException: {code}",
            ],
            capture_output=True,
        )
        assert (b"a detail" in done.stderr) is told, options
