"""The command line, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``quantum-butler`` in a process of its own."""
    code = "import sys; from quantum_butler.cli.main import main; main(prog_name='quantum-butler')"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=250
    )


def test_help_names_every_subcommand_and_the_exit_statuses() -> None:
    from quantum_butler.cli.main import main

    done = run("--help")
    assert done.returncode == 0
    for name in main.commands:
        assert f"\n  {name} " in done.stdout
    assert "Exit status: 0" in done.stdout


def test_version_is_that_of_the_distribution() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert version("quantum-butler") in done.stdout


def test_the_package_is_a_command() -> None:
    for option in ("--version", "-V"):
        done = subprocess.run(
            [sys.executable, "-m", "quantum_butler", option], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"quantum-butler, version {version('quantum-butler')}\n"
    done = subprocess.run([sys.executable, "-m", "quantum_butler", "stats"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0][:31]) == (2, "Usage: python -m quantum_butler")


def test_wrong_call_exits_with_2() -> None:
    done = run("no-such-command")
    assert done.returncode == 2
    assert "no-such-command" in done.stderr


def test_start_up_does_not_import_lsst() -> None:
    code = (
        "import sys, quantum_butler.cli.main; "
        "print([name for name in sys.modules if name.startswith('lsst')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
