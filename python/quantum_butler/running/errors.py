"""Exceptions of a run as a whole."""

from __future__ import annotations

__all__ = ("JournalError", "RunError", "SelectionError")

from ..errors import QuantumButlerError


class RunError(QuantumButlerError, RuntimeError):
    """Raised when the quanta of a graph cannot be run at all."""


class JournalError(RunError):
    """Raised when a journal cannot be read or written, or is that of another run."""


class SelectionError(RunError):
    """Raised when quanta are chosen by what is no condition, or no task, or none is chosen."""
