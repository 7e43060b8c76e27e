"""Whenever a run is killed: started again it goes on, and nothing is lost.

``QUANTUM_BUTLER_KILLS`` says how many runs are killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
KILLS = int(os.environ.get("QUANTUM_BUTLER_KILLS", "10"))
SEED = 20263


@pytest.mark.timeout(300 + 30 * KILLS)
def test_runs_of_a_graph(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "run_kills.py", tmp_path, str(KILLS), str(SEED)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "helpers")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    print(f"{result['kills']} killed in {result['campaigns']} campaigns")
    assert result["problems"] == []
    assert result["kills"] >= KILLS
