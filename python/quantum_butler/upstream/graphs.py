"""Upstream's quantum graphs, as far as we rely on their insides."""

from __future__ import annotations

__all__ = ("summarize",)

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsst.pipe.base.graph import QgraphSummary
    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph


def summarize(graph: PredictedQuantumGraph) -> QgraphSummary:
    """Return what upstream's executors put into their reports on a graph."""
    return graph._make_summary()
