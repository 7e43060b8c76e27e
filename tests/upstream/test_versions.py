"""Versions of upstream that do not fit, and stacks that pip does not know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest

import quantum_butler
from quantum_butler.upstream.versions import NEWEST, OLDEST

ROOT = Path(__file__).resolve().parents[2]

OURS = Path(quantum_butler.__file__).resolve().parents[1]


def run(code: str, *, path: str = "", isolated: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(["-S"] if isolated else []), "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("told", ["29.2025.100", "30.0.10", "30.0"])
def test_too_old(told: str) -> None:
    done = run(
        f"import lsst.daf.butler.version as it; it.__version__ = {told!r}\n"
        "from quantum_butler import QuantumBackedButler"
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "ImportError: quantum_butler needs lsst-daf-butler 30.0.11 or newer; installed is "
    )
    assert told in last and "lsst/daf/butler/__init__.py" in last


@pytest.mark.parametrize("told", ["30.0.11", "30.2026.500", "31.0", "g5e32cff549+06eb62cefa", ""])
def test_new_enough_or_unknown(told: str) -> None:
    done = run(
        f"import lsst.daf.butler.version as it; it.__version__ = {told!r}\n"
        "from quantum_butler import QuantumBackedButler"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_too_new() -> None:
    """What upstream has renamed is told with the versions, by the class that lacks it."""
    done = run(
        "import lsst.daf.butler.datastores.fileDatastore as it; del it.FileDatastore\n"
        "from quantum_butler import QuantumBackedButler"
    )
    assert done.returncode == 1
    assert "ImportError: cannot import name 'FileDatastore'" in done.stderr
    assert f"does not know this version of upstream: installed is {version('lsst-daf-butler')}" in done.stderr


def test_a_stack_that_pip_does_not_know(tmp_path: Path) -> None:
    """Packages set up by EUPS can be imported, and have no metadata."""
    hidden = 0
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name.startswith("lsst") and entry.name.endswith(".dist-info"):
            hidden += 1
        else:
            (tmp_path / entry.name).symlink_to(entry)
    assert hidden
    done = run(
        "import importlib.metadata\n"
        "try: importlib.metadata.version('lsst-daf-butler')\n"
        "except importlib.metadata.PackageNotFoundError: pass\n"
        "else: raise SystemExit('pip knows it')\n"
        "import quantum_butler\n"
        "quantum_butler.install()\n"
        "from lsst.daf.butler import QuantumBackedButler\n"
        "print(QuantumBackedButler.__module__)",
        path=f"{OURS}{os.pathsep}{tmp_path}",
        isolated=True,
    )
    assert (done.returncode, done.stdout.split(".")[0], done.stderr) == (0, "quantum_butler", "")


def test_versions_are_told_once() -> None:
    oldest = ".".join(map(str, OLDEST))
    assert f'"lsst-daf-butler>={oldest}"' in (ROOT / "pyproject.toml").read_text()
    locked = re.findall(
        r"^lsst-daf-butler==([0-9.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert locked and set(locked) == {NEWEST}
