"""The command of a job: which one a warm process takes, and that others run as from a shell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from parsl.app.errors import BashExitFailure

from interpreters import collected_here
from quantum_butler.bps.job import end_zygotes, plain_words, run_job


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Have what Parsl leaves open collected here, and not in another test."""
    with collected_here():
        yield


# Parsl does not close the streams of its shell jobs.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed file <_io.TextIOWrapper:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    end_zygotes()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pipetask run-qbb REPO G", ["pipetask", "run-qbb", "REPO", "G"]),
        ("  /a/b/pipetask --long-log run-qbb 'a b' ", ["/a/b/pipetask", "--long-log", "run-qbb", "a b"]),
        ("quantum-butler exec pipetask run-qbb R G", ["pipetask", "run-qbb", "R", "G"]),
        ("pipetask run-qbb ${REPO}/x G", ["pipetask", "run-qbb", "${REPO}/x", "G"]),
    ],
)
def test_what_needs_no_shell(command: str, words: list[str]) -> None:
    assert plain_words(command) == words


@pytest.mark.parametrize(
    "command",
    [
        "pipetask run R G",
        "pipetask run-qbb R G > file",
        "pipetask run-qbb R G; echo",
        "cd x && pipetask run-qbb R G",
        "A=1 pipetask run-qbb R G",
        "pipetask run-qbb R $(cat file)",
        "pipetask run-qbb $REPO G",
        "pipetask run-qbb ~/R G",
        "pipetask run-qbb R {a,b}",
        "pipetask run-qbb R '${G}'",
        "pipetask run-qbb R 'G",
        "pipetask run-qbb R G*",
        "quantum-butler exec --require pipetask run-qbb R G",
        "${PIPETASK}/pipetask run-qbb R G",
        "time pipetask run-qbb R G",
        "",
    ],
)
def test_what_is_for_a_shell(command: str) -> None:
    assert plain_words(command) is None


def test_other_commands_run_from_a_shell(tmp_path: Path) -> None:
    out, err = tmp_path / "a" / "out", tmp_path / "b" / "err"
    done = run_job(
        "echo $A ${A}; echo no >&2", stdout=str(out), stderr=str(err), label="x", prefix="export A=b"
    )
    assert (done, out.read_text()) == (0, "b b\n")
    assert err.read_text().splitlines()[-1] == "no"
    with pytest.raises(BashExitFailure) as raised:
        run_job("exit 7", stdout=str(out), stderr=str(err), label="x", prefix="")
    assert raised.value.exitcode == 7


def test_what_cannot_be_warm_runs_from_a_shell_and_says_so(tmp_path: Path) -> None:
    """The pipetask that is found has another Python, which has nothing of ours."""
    tool = tmp_path / "pipetask"
    tool.write_text("#!/usr/bin/env -S sh -e\necho cold $*\n")
    tool.chmod(0o755)
    out, err = tmp_path / "out", tmp_path / "err"
    for _ in range(2):
        done = run_job(
            "pipetask run-qbb R G",
            stdout=str(out),
            stderr=str(err),
            label="x",
            prefix=f"export PATH={tmp_path}:$PATH",
        )
        assert done == 0
    assert out.read_text() == "cold run-qbb R G\n" * 2
    assert err.read_text().count("in a process of its own") == 2


def test_options_that_need_a_process_of_their_own(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("pipetask")
    out, err = tmp_path / "out", tmp_path / "err"
    run_job(f"{tool} run-qbb --help", stdout=str(out), stderr=str(err), label="x", prefix="")
    assert "Usage: pipetask run-qbb" in out.read_text()
    assert "an answer of its own" in err.read_text()
    with pytest.raises(BashExitFailure) as raised:
        run_job(
            f"{tool} run-qbb no-repo ${{NOT_PLAIN}}", stdout=str(out), stderr=str(err), label="x",
            prefix="export NOT_PLAIN='a b'",
        )  # fmt: skip
    assert raised.value.exitcode == 2
    assert "the value of NOT_PLAIN is for a shell" in err.read_text()
