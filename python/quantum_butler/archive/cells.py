"""Quanta and datasets as rows of answers."""

from __future__ import annotations

__all__ = (
    "DATASET_FIELDS",
    "QUANTUM_FIELDS",
    "dataset_cells",
    "dataset_content",
    "dataset_fields",
    "dataset_names",
    "quantum_cells",
    "quantum_content",
    "quantum_fields",
)

import json
from typing import TYPE_CHECKING, Any

from .texts import data_id_text, size_text

if TYPE_CHECKING:
    from .results import Dataset, Quantum

# Columns of CSV; a lineage has both, and therefore a dataset's own names of them.
QUANTUM_FIELDS = ["quantum_id", "task_label", "data_id", "run", "status"]
DATASET_FIELDS = ["dataset_type", "dataset_data_id", "dataset_run", "storage_class", "size", "path"]


def quantum_content(quantum: Quantum) -> dict[str, Any]:
    """Return a quantum as JSON has it."""
    return {
        "quantum_id": str(quantum.quantum_id),
        "task_label": quantum.task_label,
        "data_id": quantum.data_id,
        "run": quantum.run,
        "status": quantum.status,
    }


def quantum_fields(quantum: Quantum) -> tuple[object, ...]:
    """Return a quantum as a row of CSV has it."""
    return quantum.quantum_id, quantum.task_label, _data_id_json(quantum.data_id), quantum.run, quantum.status


def quantum_cells(quantum: Quantum) -> list[str]:
    """Return a quantum as a table for people has it."""
    names = quantum.task_label or "(no label)", data_id_text(quantum.data_id or {})
    return [str(quantum.quantum_id), *names, quantum.run or "", quantum.status or ""]


def dataset_content(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as JSON has it."""
    return {
        "dataset_id": str(dataset.dataset_id),
        "dataset_type": dataset.dataset_type,
        "data_id": dataset.data_id,
        "run": dataset.run,
        "paths": list(dataset.paths),
        "storage_class": dataset.storage_class,
        "size": dataset.size,
        "produced": dataset.produced,
        "producer": None if dataset.producer is None else str(dataset.producer),
    }


def dataset_fields(dataset: Dataset) -> tuple[object, ...]:
    """Return a dataset as a row of CSV has it."""
    names = dataset.dataset_type, _data_id_json(dataset.data_id), dataset.run
    return *names, dataset.storage_class, dataset.size, dataset.paths[0] if dataset.paths else None


def dataset_names(dataset: Dataset) -> tuple[str, str, str]:
    """Return type, data ID and run of a dataset as a table for people has them."""
    return dataset.dataset_type or "", data_id_text(dataset.data_id or {}), dataset.run or ""


def _data_id_json(data_id: dict[str, Any] | None) -> str | None:
    return None if data_id is None else json.dumps(data_id)


def dataset_cells(dataset: Dataset) -> tuple[str, str, str]:
    """Return storage class, size and path of a dataset as a table for people has them."""
    size = "" if dataset.size is None else size_text(dataset.size)
    more = f" (+{len(dataset.paths) - 1} more)" if len(dataset.paths) > 1 else ""
    path = dataset.paths[0] + more if dataset.paths else ""
    return dataset.storage_class or "", size, path
