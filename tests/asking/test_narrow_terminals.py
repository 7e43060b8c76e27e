"""Where a terminal is too narrow for a table, whoever reads it is told."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from told_run import Told

COMMAND = [sys.executable, "-c", "from quantum_butler.cli.main import main; main()"]
HINT = "Lines are cut to the 80 columns of the terminal; --wide prints whole ones.\n"


def ask(*arguments: object) -> tuple[list[str], str]:
    """Return the lines on a terminal of 80 columns, and what is on the standard error stream."""
    reader, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return os.read(reader, 1 << 16).decode().replace("\r\n", "\n").splitlines(), done.stderr
    finally:
        os.close(reader)
        os.close(terminal)


@pytest.mark.parametrize(
    "question",
    [
        ["find"],
        ["show", "one", "detector=0"],
        ["lineage", "three_output", "detector=3"],
        ["producer", "one_output", "detector=0"],
        ["consumers", "one_output", "detector=0"],
        ["rebuild", "one_output", "detector=0"],
    ],
    ids=lambda question: question[0],
)
def test_what_is_cut_is_told(told: Told, question: list[str]) -> None:
    command, *names = question
    lines, said = ask(command, told.planned, *names)
    assert max(map(len, lines)) == 80 and any(line.endswith("...") for line in lines)
    assert said.endswith(HINT) and said.count(HINT) == 1
    whole, said = ask(command, told.planned, *names, "--wide")
    assert max(map(len, whole)) > 80 and HINT not in said


def test_what_fits_is_not_said_to_be_cut(told: Told) -> None:
    lines, said = ask("find", told.planned, "--summary")
    assert max(map(len, lines)) <= 80 and HINT not in said
    assert HINT not in ask("find", told.planned, "--format", "csv")[1]
