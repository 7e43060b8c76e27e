"""Exceptions of exports."""

from __future__ import annotations

__all__ = ("ExportError", "UnknownTaskError")

from ..errors import QuantumButlerError


class ExportError(QuantumButlerError, RuntimeError):
    """Raised if an archive or a graph cannot be exported as it was asked for."""


class UnknownTaskError(ExportError):
    """A task that an archive does not have."""
