"""Statuses and caveats of quanta, with upstream's names and numbers."""

from __future__ import annotations

__all__ = ("Caveats", "QuantumStatus")

import enum


class QuantumStatus(enum.IntEnum):
    """Status of an attempt at a quantum: upstream's ``QuantumAttemptStatus``."""

    ABORTED = -4
    UNKNOWN = -3
    ABORTED_SUCCESS = -2
    FAILED = -1
    BLOCKED = 0
    SUCCESSFUL = 1


class Caveats(enum.IntFlag):
    """Caveats of a success: upstream's ``QuantumSuccessCaveats``."""

    NO_CAVEATS = 0
    ANY_OUTPUTS_MISSING = 1
    ALL_OUTPUTS_MISSING = 2
    NO_WORK = 4
    ADJUST_QUANTUM_RAISED = 8
    UPSTREAM_FAILURE_NO_WORK = 16
    UNPROCESSABLE_DATA = 32
    PARTIAL_OUTPUTS_ERROR = 64
