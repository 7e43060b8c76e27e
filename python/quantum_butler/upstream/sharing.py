"""Says whether quanta share a butler. It is a module of its own, since each process asks it."""

from __future__ import annotations

__all__ = ("has_full_butler",)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor


def has_full_butler(executor: QuantumExecutor) -> bool:
    """Return whether the executor of single quanta has one butler, made already, for all of them."""
    if getattr(executor, "_butler", None) is not None:
        return True
    return getattr(executor, "_limited_butler", None) is not None
