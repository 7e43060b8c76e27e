"""Debian's packages, which root installs on the way unless ``QUANTUM_BUTLER_APT=0`` forbids that."""

from __future__ import annotations

__all__ = ("NotInstalledError", "install")

import os
import subprocess


class NotInstalledError(RuntimeError):
    """Raised where a package is not installed, and cannot or may not be."""


def install(package: str) -> None:
    """Install a package, or raise `NotInstalledError`."""
    if os.geteuid() != 0 or os.environ.get("QUANTUM_BUTLER_APT") == "0":
        raise NotInstalledError(f"none is installed (Debian's package is called {package})")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        _apt_get(*command)


def _apt_get(*arguments: str) -> None:
    command = ["apt-get", "-q", *arguments]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"{' '.join(command)} failed: {error}") from error
    if done.returncode:
        raise NotInstalledError(f"{' '.join(command)} failed: {done.stderr.strip()}")
