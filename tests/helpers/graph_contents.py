"""What upstream's readers find in graphs, as plain values that can be compared."""

from __future__ import annotations

__all__ = ("comparable_provenance", "plain_attempt", "upstream_provenance")

import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader


def upstream_provenance(path: Path) -> dict[str, Any]:
    """Return all that upstream's reader finds in a provenance graph."""
    # Quanta that are read afterwards have upstream guess anew whether their logs and metadata were produced.
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_datasets()
        nodes = reader.graph.bipartite_xgraph.nodes.items()
        produced = {node: info["produced"] for node, info in nodes if "produced" in info}
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_full_graph()
        graph = reader.graph
        xgraph = graph.bipartite_xgraph
        quanta: dict[uuid.UUID, Any] = {}
        datasets: dict[uuid.UUID, Any] = {}
        for node, info in xgraph.nodes.items():
            if "attempts" in info:
                quanta[node] = {
                    "task": info["task_label"],
                    "data_id": dict(info["data_id"].mapping),
                    "attempts": [plain_attempt(one) for one in info["attempts"]],
                    "status": info["status"].value,
                    "inputs": _by_connection(xgraph.in_edges(node, data=True), 0),
                    "outputs": _by_connection(xgraph.out_edges(node, data=True), 1),
                    "metadata_id": info["metadata_id"],
                    "log_id": info["log_id"],
                }
            elif "dataset_type_name" in info:
                datasets[node] = {
                    "type": info["dataset_type_name"],
                    "data_id": dict(info["data_id"].mapping),
                    "run": info["run"],
                    "produced": produced[node],
                    "producer": next(iter(xgraph.predecessors(node)), None),
                    "consumers": set(xgraph.successors(node)),
                }
        every = list(quanta) + [
            one for info in quanta.values() for one in (info["metadata_id"], info["log_id"])
        ]
        return {
            "header": graph.header.model_dump(),
            "quanta": quanta,
            "datasets": datasets,
            "init": {
                label: (
                    one,
                    _by_connection(xgraph.in_edges(one, data=True), 0),
                    _by_connection(xgraph.out_edges(one, data=True), 1),
                )
                for label, one in graph.init_quanta.items()
            },
            "packages": dict(reader.fetch_packages()),
            "logs": {
                one: [
                    None if records is None else [record.model_dump(mode="json") for record in records]
                    for records in told
                ]
                for one, told in reader.fetch_logs(every).items()
            },
            "metadata": {
                one: [None if found is None else found.model_dump() for found in told]
                for one, told in reader.fetch_metadata(every).items()
            },
            "tasks": {
                label: (
                    node.task_class_name,
                    tuple(node.dimensions.data_coordinate_keys),
                    tuple(node.dimensions.required),
                )
                for label, node in graph.pipeline_graph.tasks.items()
            },
            "types": {
                name: (
                    node.storage_class_name,
                    tuple(node.dimensions.data_coordinate_keys),
                    tuple(node.dimensions.required),
                )
                for name, node in graph.pipeline_graph.dataset_types.items()
            },
        }


def comparable_provenance(path: Path) -> dict[str, Any]:
    """Return what upstream's reader finds, in a form in which NaN equals itself."""
    found = upstream_provenance(path)
    return found | {"metadata": {one: repr(metadata) for one, metadata in found["metadata"].items()}}


def _by_connection(edges: Any, end: int) -> dict[str, set[uuid.UUID]]:
    found: defaultdict[str, set[uuid.UUID]] = defaultdict(set)
    for *ends, info in edges:
        for edge in info["pipeline_edges"]:
            found[edge.connection_name].add(ends[end])
    return dict(found)


def plain_attempt(attempt: Any) -> dict[str, Any]:
    """Return an attempt, of upstream's model or of ours, as plain values."""
    exception, usage = attempt.exception, attempt.resource_usage
    names = ("memory", "start", "prep_time", "init_time", "run_time", "run_time_cpu")
    return {
        "attempt": attempt.attempt,
        "status": attempt.status.value,
        "caveats": None if attempt.caveats is None else attempt.caveats.value,
        "exception": None
        if exception is None
        else (exception.type_name, exception.message, exception.metadata),
        "usage": None if usage is None else [getattr(usage, name) for name in names],
        "previous": list(attempt.previous_process_quanta),
    }
