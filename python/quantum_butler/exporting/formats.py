"""Common parts of all formats."""

from __future__ import annotations

__all__ = ("Tell", "status_of")

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..quantum_graphs import QuantumStatus
from .contents import Batch

Tell: TypeAlias = Callable[[Batch], None]
"""What is told of each batch that has been written."""


def status_of(values: Mapping[str, Any]) -> str | None:
    """Return the name of upstream's status of a quantum, or what an archive of the first format tells."""
    if (status := values.get("status")) is not None:
        return QuantumStatus(status).name
    if (failed := values.get("failed")) is not None:
        return QuantumStatus.FAILED.name if failed else QuantumStatus.SUCCESSFUL.name
    return None
