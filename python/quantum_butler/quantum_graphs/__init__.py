"""Quantum graphs in files (``.qg``), predicted ones and provenance graphs, read without ``lsst``."""

from __future__ import annotations

__all__ = (
    "Attempt",
    "Caveats",
    "DatasetType",
    "ExceptionInfo",
    "GraphDataset",
    "GraphQuantum",
    "InitQuantum",
    "PlannedDataset",
    "PlannedQuantum",
    "PredictedGraph",
    "ProvenanceGraph",
    "QuantaTables",
    "QuantumGraphError",
    "QuantumStatus",
    "ResourceUsage",
    "Task",
)

from .errors import QuantumGraphError
from .predicted import PredictedGraph
from .provenance import ProvenanceGraph
from .results import (
    Attempt,
    DatasetType,
    ExceptionInfo,
    GraphDataset,
    GraphQuantum,
    InitQuantum,
    PlannedDataset,
    PlannedQuantum,
    QuantaTables,
    ResourceUsage,
    Task,
)
from .states import Caveats, QuantumStatus
