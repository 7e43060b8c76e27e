"""Exceptions of aggregation."""

from __future__ import annotations

__all__ = ("AggregateError",)

from ..errors import QuantumButlerError


class AggregateError(QuantumButlerError, RuntimeError):
    """Raised if a run cannot be aggregated, or its datasets cannot be registered."""
