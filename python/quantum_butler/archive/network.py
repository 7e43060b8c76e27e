"""Graphs of networkx: nodes are ids, and edges go as data flows."""

from __future__ import annotations

__all__ = ("add_dataset", "add_quantum", "new_graph")

from typing import TYPE_CHECKING, Any

from .texts import data_id_text

if TYPE_CHECKING:
    import networkx

    from .results import Dataset, Quantum


def new_graph() -> networkx.DiGraph:
    """Return a graph without nodes, or say that networkx is not there."""
    try:
        import networkx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}; to_networkx needs it: pip install networkx", name=error.name
        ) from error
    return networkx.DiGraph()


def add_dataset(graph: networkx.DiGraph, dataset: Dataset, **more: Any) -> None:
    """Add a dataset; ids of one graph begin alike, so one without a name is called by the end of its id."""
    if dataset.dataset_type is None:
        label = f"dataset ...{str(dataset.dataset_id)[-12:]}"
    else:
        label = f"{dataset.dataset_type} {data_id_text(dataset.data_id or {})}".rstrip()
    graph.add_node(
        dataset.dataset_id,
        kind="dataset",
        label=label,
        dataset_type=dataset.dataset_type,
        data_id=dataset.data_id,
        run=dataset.run,
        size=dataset.size,
        produced=dataset.produced,
        **more,
    )


def add_quantum(graph: networkx.DiGraph, quantum: Quantum, **more: Any) -> None:
    """Add a quantum."""
    name = quantum.task_label or f"quantum ...{str(quantum.quantum_id)[-12:]}"
    graph.add_node(
        quantum.quantum_id,
        kind="quantum",
        label=f"{name} {data_id_text(quantum.data_id or {})}".rstrip(),
        task_label=quantum.task_label,
        data_id=quantum.data_id,
        run=quantum.run,
        status=quantum.status,
        **more,
    )
