"""Graphs of either kind."""

from __future__ import annotations

__all__ = ("open_graph",)

from ..paths import Name
from .errors import QuantumGraphError
from .predicted import PredictedGraph
from .provenance import ProvenanceGraph


def open_graph(*files: Name) -> ProvenanceGraph | PredictedGraph:
    """Open graphs of one kind, predicted or provenance."""
    try:
        return ProvenanceGraph(*files)
    except QuantumGraphError as error:
        try:
            return PredictedGraph(*files)
        except QuantumGraphError:
            raise error from None
