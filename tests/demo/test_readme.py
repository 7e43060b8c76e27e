"""What README prints as lines to type runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.proof
def test_ten_lines(tmp_path: Path) -> None:
    text = README.read_text()
    section = text[text.index("## Ten lines") :]
    lines = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert lines is not None
    commands = lines[1].splitlines()
    assert len(commands) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", lines[1]],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # The answer of the last line: both tasks, and all of their quanta.
    assert re.search(r"^total +12 ", done.stdout, re.MULTILINE), done.stdout
