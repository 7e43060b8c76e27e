"""On a file system without locks the work goes on, with one warning.

What `flock` says there is what NFS, Lustre and FUSE are known to say: the library of `fault.c` has it say so.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shim import compile_shim, preloaded

HERE = Path(__file__).parent
# Linux knows the last one alone: ENOTSUPP, which has escaped from the kernel.
NO_LOCKS = {"ENOLCK": errno.ENOLCK, "EOPNOTSUPP": errno.EOPNOTSUPP, "ENOSYS": errno.ENOSYS, "ENOTSUPP": 524}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (made := compile_shim(tmp_path_factory.mktemp("fault"))) is None:
        pytest.skip("there is no C compiler (cc) to make fault.c a library that can be preloaded")
    return made


def run(library: Path, folder: Path, code: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, HERE / "unlocked.py", folder, str(code)],
        env={**preloaded(library), "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE)))},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", NO_LOCKS)
def test_logs_and_collect_go_on_and_warn_once(library: Path, tmp_path: Path, name: str) -> None:
    done = run(library, tmp_path / "work", NO_LOCKS[name])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Every log and every collect has asked for a lock, or nothing was tried.
    assert found["logged"] == 4
    assert found["hits"] >= 6
    assert found["quanta"] == 4
    assert found["beside"] == ["archive", "logs"]
    assert done.stderr.count("no locks") == 1, done.stderr


def test_other_errors_are_errors(library: Path, tmp_path: Path) -> None:
    done = run(library, tmp_path / "work", errno.EIO)
    assert done.returncode == 1
    assert "OSError: [Errno 5]" in done.stderr and "log.jsonl" in done.stderr
