"""The provenance that a run of the graph has left: gathered, asked, and held against the graph."""

from __future__ import annotations

__all__ = ("Predicted", "compare_archive", "gather", "predicted_quanta")

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from ..archive import Archive
from ..archive.reports import of_lineage, of_statistics
from ..collecting.driver import collect
from .comparison import ABOUT_THE_RUN, flat
from .graph import DemoError
from .report import Asked, Gathered


class Predicted(NamedTuple):
    """Inputs and outputs of a quantum in a graph."""

    task_label: str
    """Label of its task."""

    data_id: dict[str, Any]
    """Its data ID."""

    inputs: set[UUID]
    """Datasets that it is to read."""

    outputs: set[UUID]
    """Datasets that it is to write."""


def gather(logs: Path, folder: Path, graph: PredictedQuantumGraph) -> tuple[Gathered, list[str]]:
    """Collect what a run of the graph has logged, and ask the archive."""
    try:
        collected = collect(logs, folder)
    except FileNotFoundError as error:
        raise DemoError(f"The run has not logged any provenance: {error}") from error
    archive = Archive(folder)
    # Made from whatever the other task has made of the first detector.
    quanta = list(graph.quanta_by_task.values())[-1]
    quantum_id = quanta[min(quanta, key=lambda data_id: data_id["detector"])]
    outputs = flat(graph.quantum_only_xgraph.nodes[quantum_id]["quantum"].outputs)
    dataset = next(ref.id for ref in outputs if not ref.datasetType.name.endswith(ABOUT_THE_RUN))
    differences = compare_archive(archive, predicted_quanta(graph), dataset)
    if collected.rejected:
        differences.append(f"{collected.rejected} lines of the provenance logs cannot be read")
    asked = []
    if not differences:
        for arguments, answer in (
            (f"stats {folder.name}", of_statistics(archive.stats())),
            (f"lineage {folder.name} {dataset}", of_lineage(archive.lineage(dataset))),
        ):
            asked.append(Asked(f"quantum-butler {arguments}", answer.content, answer.text()))
    counts = (collected.quanta, collected.datasets, collected.edges, collected.records)
    return Gathered(*counts, archive_bytes=collected.archive_bytes, asked=asked), differences


def predicted_quanta(graph: PredictedQuantumGraph) -> dict[UUID, Predicted]:
    """Return what a graph says of each quantum, by its ID."""
    predicted = {}
    for label, quanta in graph.quanta_by_task.items():
        for data_id, quantum_id in quanta.items():
            quantum = graph.quantum_only_xgraph.nodes[quantum_id]["quantum"]
            inputs, outputs = ({ref.id for ref in flat(refs)} for refs in (quantum.inputs, quantum.outputs))
            predicted[quantum_id] = Predicted(label, dict(data_id.required), inputs, outputs)
    return predicted


def compare_archive(archive: Archive, predicted: Mapping[UUID, Predicted], dataset: UUID) -> list[str]:
    """Hold an archive against the graph of a run in which every quantum did all that was expected of it."""
    differences = []
    found = {one.quantum_id: one for one in archive.describe_quanta(range(archive.manifest.counts["quanta"]))}
    for quantum_id in found.keys() ^ predicted.keys():
        differences.append(f"quantum {quantum_id} is in only one of the graph and the archive")
    for quantum_id in found.keys() & predicted.keys():
        label, data_id, inputs, outputs = predicted[quantum_id]
        quantum = found[quantum_id]
        if (quantum.task_label, quantum.data_id) != (label, data_id):
            differences.append(f"the archive knows quantum {quantum_id} by another label or data ID")
        uses = archive.show(quantum_id).uses
        for roles, expected in (
            (("predicted_input", "available_input", "actual_input"), inputs),
            (("predicted_output", "actual_output"), outputs),
        ):
            for role in roles:
                if {use.dataset.dataset_id for use in uses if role in use.roles} != expected:
                    differences.append(f"the {role}s of quantum {quantum_id} are not those of the graph")
    if not differences:
        ancestors: set[UUID] = set()
        left = [dataset]
        while left:
            one = left.pop()
            new = {id_ for id_, quantum in predicted.items() if one in quantum.outputs} - ancestors
            ancestors |= new
            left += (id_ for quantum_id in new for id_ in predicted[quantum_id].inputs)
        if set(archive.lineage(dataset).quanta) != ancestors:
            differences.append(f"the lineage of dataset {dataset} is not that of the graph")
    return differences
