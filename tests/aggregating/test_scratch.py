"""Folders beside a graph are removed, whoever has left them, but not those that somebody works in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantum_butler.aggregating.scratch import remove_leftovers, scratch_folder

WAITS = """
import sys
from pathlib import Path
from quantum_butler.aggregating.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    Path(folder, "contents").write_text("some")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("remove", ["by the next one", "when all goes on"])
def test_a_killed_process_leaves_none_for_long(tmp_path: Path, remove: str) -> None:
    target = tmp_path / "run [1].qg"
    other = tmp_path / ".run [12].qg.logs-0"
    other.mkdir()
    command = [sys.executable, "-c", WAITS, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().rstrip("\n"))
        with scratch_folder(target) as mine:
            remove_leftovers(target)
            assert {folder, Path(mine), other} == {*tmp_path.iterdir()}
        assert {folder, other} == {*tmp_path.iterdir()}
        process.send_signal(signal.SIGKILL)
    assert (folder / "contents").read_text() == "some"
    if remove == "by the next one":
        with scratch_folder(target) as mine:
            assert {Path(mine), other} == {*tmp_path.iterdir()}
    else:
        remove_leftovers(target)
    assert {other} == {*tmp_path.iterdir()}
