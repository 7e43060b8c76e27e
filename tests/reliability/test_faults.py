"""Whatever system call fails: the right error, no half state, and it works when tried again.

Everything is done in processes of its own by `faulted.py`, with the library of `fault.c` preloaded.  The
operations, and what is looked at after each, are those of `file_operations.py`.  Of the calls of `collect`
every sixtieth is tried for each fault, of those of a butler with a file of its own every fourth to
twelfth, and a process is killed at every fourth of those of `put`; with ``QUANTUM_BUTLER_FAULTS=all`` in
the environment, which takes half an hour, every one is tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shim import compile_shim, preloaded

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
EVERYTHING = os.environ.get("QUANTUM_BUTLER_FAULTS") == "all"

# Calls that each operation is known to make, so that a library that catches none of them is noticed.
CALLS = {
    "put": {"open", "write", "close", "rename", "mkdir", "stat"},
    "get": {"open", "read"},
    "prune": {"unlink"},
    "try folder": {"mkdir", "open", "write", "unlink"},
    "open log": {"open", "flock", "pread", "ftruncate"},
    "append": {"write", "fdatasync"},
    "close log": {"write", "fdatasync"},
    "close butler": {"mkdir", "open", "write"},
    "write provenance": {"open", "write", "close", "rename"},
    "collect": {"open"},
    "open file": {"open", "write", "link", "lock", "pread", "pwrite", "mmap"},
    "put to file": {"open", "write", "rename", "lock", "pwrite", "fdatasync"},
    "prune from file": {"lock", "pwrite", "fdatasync"},
    "close file": {"lock", "pread", "pwrite", "fdatasync", "unlink", "close"},
    "resume file": {"lock", "pread", "pwrite", "stat", "opendir", "unlink"},
}

# Of so many calls one is tried for each fault, unless all are; it is not the same for every fault.  Where
# they are not more than there are faults, every call is tried with one or the other.
STEPS = {
    "collect": 60,
    "open file": 6,
    "put to file": 4,
    "prune from file": 4,
    "close file": 6,
    "resume file": 6,
}
# A process for each takes long.
STEPS_OF_KILLS = {**STEPS, "put": 4}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled library."""
    if (made := compile_shim(tmp_path_factory.mktemp("fault"))) is None:
        pytest.skip("there is no C compiler (cc) to make fault.c a library that can be preloaded")
    return made


def step_of(name: str, steps: Mapping[str, int] = STEPS) -> int:
    return 1 if EVERYTHING else steps.get(name, 1)


def run(library: Path, folder: Path, how: str, step: int, name: str) -> dict[str, Any]:
    paths = os.pathsep.join(map(str, (HERE.parent / "helpers", HERE, HERE.parent / "record_file")))
    done = subprocess.run(
        [sys.executable, HERE / "faulted.py", folder, how, str(step), name],
        env={**preloaded(library), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{how} {name}: {sum(found['tried'].values()):,} tried, {found['calls']}")
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails(library: Path, tmp_path: Path, name: str) -> None:
    found = run(library, tmp_path, "fail", step_of(name), name)
    assert found["problems"] == []
    assert all(found["tried"].values()), "an operation had no call that could fail"
    assert CALLS[name] <= found["calls"].keys()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("get", "close butler")])
def test_a_process_that_is_killed_at_a_call(library: Path, tmp_path: Path, name: str) -> None:
    found = run(library, tmp_path, "kill", step_of(name, STEPS_OF_KILLS), name)
    assert found["problems"] == []
    assert all(found["tried"].values()), "no process was killed"
