"""Base class of the exceptions of this package."""

from __future__ import annotations

__all__ = ("QuantumButlerError",)


class QuantumButlerError(Exception):
    """Base of the exceptions of this package's own.

    Each of them is also what Python or upstream would raise in its place, so
    that code that knows nothing of this package catches it, too.
    """
