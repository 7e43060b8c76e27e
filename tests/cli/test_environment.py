"""``quantum-butler env``: a shell that takes it over runs Python as ``exec`` does."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from commands import run, run_exec
from quantum_butler.switches import (
    AGGREGATOR_SWITCH,
    EXECUTOR_SWITCH,
    LOG_SWITCH,
    LOGS_BEFORE,
    NATIVE_SWITCH,
    SWITCH,
)

TELL = "import os, json; print(json.dumps(dict(os.environ)))"
# A folder whose name needs quoting wherever that is possible.
ODD = "a b'c\"d$e!f\\g"


def clean(**more: str) -> dict[str, str]:
    """Return our environment without our variables."""
    ours = {SWITCH, LOG_SWITCH, LOGS_BEFORE, EXECUTOR_SWITCH, AGGREGATOR_SWITCH, NATIVE_SWITCH}
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def told(*options: str | Path, env: dict[str, str]) -> str:
    done = run(sys.executable, "-m", "quantum_butler", "env", *options, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("path", [None, "/a", f"/with blank{os.pathsep}{os.pathsep}/it's"])
def test_json_is_what_exec_sets(path: str | None, tmp_path: Path) -> None:
    env = clean() | ({} if path is None else {"PYTHONPATH": path})
    if path is None:
        env.pop("PYTHONPATH", None)
    options = ("--require", "--provenance-log", tmp_path / ODD)
    wanted = json.loads(told(*options, "--format", "json", env=env))
    inside = json.loads(run_exec(*options, sys.executable, "-c", TELL, env=env).stdout)
    assert wanted.keys() == {"PYTHONPATH", SWITCH, LOG_SWITCH}
    assert wanted == {name: inside[name] for name in wanted}


@pytest.mark.parametrize(
    ("style", "shell", "line"),
    [
        ("sh", "sh", 'eval "$({})"; exec "$@"'),
        ("sh", "bash", 'set -eu; eval "$({})"; eval "$({})"; exec "$@"'),
        ("fish", "fish", "{} | source; exec $argv"),
    ],
)
def test_a_shell_takes_it_over(style: str, shell: str, line: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    folder = tmp_path / ODD
    command = (
        f'{sys.executable} -m quantum_butler env --format {style} --provenance-log "$LOG"'
        if shell != "fish"
        else f"{sys.executable} -m quantum_butler env --format fish --provenance-log $LOG"
    )
    tell = "import os, lsst.daf.butler as b; print(b.QuantumBackedButler.__module__, os.environ['{}'])"
    script = line.replace("{}", command)
    name = () if shell == "fish" else (shell,)
    done = run(
        shell, "-c", script, *name, sys.executable, "-c", tell.format(LOG_SWITCH), env=clean(LOG=str(folder))
    )
    assert done.stdout == f"quantum_butler.butler.butler {folder}\n", done.stderr


def test_csh_gets_one_quoted_word_for_each_variable(tmp_path: Path) -> None:
    lines = told("--format", "csh", "--provenance-log", tmp_path / "it's!", env=clean()).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["setenv", name] for name in ("PYTHONPATH", SWITCH, LOG_SWITCH)
    ]
    assert lines[-1].endswith("""/it'"'"'s\\!';""")


def test_a_folder_that_takes_no_log(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(sys.executable, "-m", "quantum_butler", "env", "--provenance-log", tmp_path / "file" / "logs")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no provenance log" in done.stderr and str(tmp_path / "file" / "logs") in done.stderr
