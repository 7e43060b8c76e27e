"""Whenever a process is killed: nothing acknowledged is lost, and nothing half-done is believed.

``QUANTUM_BUTLER_KILLS`` says how many processes are killed by each test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
KILLS = int(os.environ.get("QUANTUM_BUTLER_KILLS", "10"))
SEED = 20261


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    paths = os.pathsep.join(map(str, (HERE.parent / "helpers", HERE, HERE.parent / "record_file")))
    done = subprocess.run(
        [sys.executable, HERE / "kills.py", folder, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"{' '.join(arguments)}: {result['kills']} killed, {result['counts']}")
    return result


@pytest.mark.timeout(300 + 30 * KILLS)
@pytest.mark.parametrize("butlers", ["memory", "file", "file process"])
def test_processes_that_run_quanta(tmp_path: Path, butlers: str) -> None:
    result = run(tmp_path, "quanta", str(KILLS), str(SEED), butlers)
    assert result["problems"] == []
    assert result["kills"] == KILLS
    for step in ("put", "get", "prune", "log", "close"):
        assert result["counts"][f"acknowledged {step}"], step


@pytest.mark.timeout(300 + 30 * KILLS)
def test_processes_that_collect(tmp_path: Path) -> None:
    result = run(tmp_path, "collect", str(KILLS), str(SEED))
    assert result["problems"] == []
    assert result["kills"], "no process was there to be killed"
    assert result["counts"]["left the old archive"]
