"""Versions of upstream that have fast paths."""

__all__ = ("NEWEST", "OLDEST", "describe", "require_supported")

import re
import sys
from importlib import import_module

OLDEST = (30, 0, 11)
"""The oldest version that works (`tuple` [`int`, ...])."""

NEWEST = "30.2026.4300"
"""The newest version that the tests have run with (`str`)."""

_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)+")


def require_supported() -> None:
    """Raise `ImportError` if the installed ``lsst.daf.butler`` is too old; what has no number may be any."""
    numbers = _NUMBERS.match(_installed())
    if numbers is not None and tuple(map(int, numbers[0].split("."))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ImportError(f"quantum_butler needs lsst-daf-butler {oldest} or newer; {describe()}")


def describe() -> str:
    """Return which ``lsst.daf.butler`` is installed, where, and how far the tests went."""
    module = sys.modules.get("lsst.daf.butler")
    place = getattr(module, "__file__", None) or "unknown"
    return f"installed is {_installed() or 'one without a version'} at {place}; tests have run up to {NEWEST}"


def _installed() -> str:
    # Stacks made by EUPS have no metadata that pip knows, but each package has this module.
    try:
        return str(import_module("lsst.daf.butler.version").__version__)
    except (ImportError, AttributeError):
        return ""
