"""Exceptions of names and conditions."""

from __future__ import annotations

__all__ = ("AmbiguousNameError", "ConditionError")

from typing import TYPE_CHECKING

from ..errors import QuantumButlerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .found import Found


class AmbiguousNameError(QuantumButlerError, LookupError):
    """Raised for a name that several quanta or datasets have. ``candidates`` has the first of them."""

    def __init__(self, message: str, candidates: Sequence[Found]):
        super().__init__(message)
        self.candidates = tuple(candidates)

    def __str__(self) -> str:
        # That of `LookupError` itself is the message, that of `KeyError` would not be.
        return str(self.args[0])


class ConditionError(QuantumButlerError, ValueError):
    """A condition on data IDs, or a name, that cannot be understood."""
