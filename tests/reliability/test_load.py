"""Many processes and threads at once: nothing missing, nothing double, and no memory that grows.

``QUANTUM_BUTLER_LOAD`` says how many quanta there are.
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
QUANTA = int(os.environ.get("QUANTUM_BUTLER_LOAD", "8000"))

# Growth of a process from the middle to the end, in KiB: what an allocator keeps back, not what a leak adds
# up to in 200,000 quanta.
MOST_GROWTH = 16 << 10


@pytest.mark.timeout(300 + QUANTA // 20)
def test_eight_processes_with_four_threads_each(tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, (HERE.parent / "helpers", HERE)))
    done = subprocess.run(
        [sys.executable, HERE / "load.py", tmp_path / "load", str(QUANTA)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(done.stdout)
    result = json.loads(done.stdout)
    assert result["errors"] == []
    assert set(result["statuses"]) == {0}
    assert set(result["missing"].values()) == {0}, result["missing"]
    assert set(result["double or unexpected"].values()) == {0}, result["double or unexpected"]
    assert result["quanta"] == result["lines"] == result["collected"] == QUANTA
    assert result["files"] == result["records"] > QUANTA
    assert result["logs"] == 8
    assert max(result["growth_kib"]) < MOST_GROWTH, result["growth_kib"]
