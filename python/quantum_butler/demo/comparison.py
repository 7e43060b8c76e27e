"""Comparison of two runs of one graph."""

from __future__ import annotations

__all__ = ("Outputs", "compare_outputs", "compare_provenance", "read_outputs")

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import lsst.daf.butler
from lsst.daf.butler import Butler, DatasetRef, Quantum
from lsst.pipe.base import TaskMetadata
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from .graph import OUTPUT_RUN, SIDES, in_force
from .report import Provenance

# How names of datasets end in which a task tells of its own run.
LOG, METADATA = "_log", "_metadata"
ABOUT_THE_RUN = (LOG, METADATA)

# What is another in each run: times in messages; times, resources and the collector's work in metadata.
_FRACTION = re.compile(r"\d+\.\d+(e[+-]?\d+)?")
_MEASURED = re.compile(
    r"(Utc|[Tt]ime|ResidentSetSize|PageFaults|BlockInputs|BlockOutputs|ContextSwitches|time_in_\w+)$"
    r"|(^|[.:])gc_metrics([.:]|$)"
)


@dataclass
class Outputs:
    """Files and datasets that a run has left in its repository."""

    refs: dict[UUID, DatasetRef]
    """The datasets of the output run by ID."""

    contents: dict[UUID, Any]
    """What was read of each that could be read."""

    unreadable: dict[UUID, Exception]
    """Why each other one could not."""

    records: dict[UUID, list[str]]
    """What the datastore has recorded of each."""

    files: set[Path]
    """Every file in the repository."""

    root: Path
    """Root of the repository."""

    def repeatable(self, dataset_id: UUID) -> Any:
        """Return what should be the same in each run of what a dataset holds; mostly all of it."""
        name, content = self.refs[dataset_id].datasetType.name, self.contents[dataset_id]
        if name.endswith(LOG):
            return [
                (
                    record.levelname,
                    record.name,
                    _FRACTION.sub("<number>", record.message.replace(str(self.root), "<root>")),
                    record.exc_info,
                    record.MDC,
                )
                for record in content
            ]
        if name.endswith(METADATA):
            values = {name: content.getArray(name) for name in content.names()}
            return {
                name: None if _MEASURED.search(name) else value
                for name, value in values.items()
                if not isinstance(value[0], TaskMetadata)
            }
        return content


def read_outputs(root: Path) -> Outputs:
    """Read what a run has left, with the repository's own butler."""
    with Butler.from_config(str(root)) as butler:
        refs = {ref.id: ref for ref in butler.query_all_datasets(OUTPUT_RUN, limit=None)}
        outputs = Outputs(refs, {}, {}, records_of(butler, refs), files_in(root), root)
        for dataset_id, ref in refs.items():
            try:
                outputs.contents[dataset_id] = butler.get(ref)
            except Exception as error:
                outputs.unreadable[dataset_id] = error
    return outputs


def compare_outputs(stock: Outputs, ours: Outputs, graph: PredictedQuantumGraph) -> list[str]:
    """Return what differs between what two runs of a graph have left, or is not there at all."""
    differences = []
    expected = predicted_outputs(graph) | stock.refs.keys() | ours.refs.keys()
    for side, outputs in (("stock", stock), ("ours", ours)):
        for dataset_id in expected - outputs.refs.keys():
            differences.append(f"dataset {dataset_id} is not in the repository of {SIDES[side]}")
        for dataset_id, error in outputs.unreadable.items():
            differences.append(f"{outputs.refs[dataset_id]} of {SIDES[side]} cannot be read: {error}")
    if not stock.contents.keys() & ours.contents.keys():
        differences.append("there is no dataset to compare")
    for dataset_id in stock.contents.keys() & ours.contents.keys():
        ref = stock.refs[dataset_id]
        if ours.refs[dataset_id] != ref:
            differences.append(f"{ref} is {ours.refs[dataset_id]} with {SIDES['ours']}")
        if ours.records[dataset_id] != stock.records[dataset_id]:
            differences.append(f"the datastore records of {ref} are not the same")
        if ours.repeatable(dataset_id) != stock.repeatable(dataset_id):
            differences.append(f"the content of {ref} is not the same")
    for path in stock.files ^ ours.files:
        differences.append(f"{path} is a file of one side only")
    return sorted(differences)


def compare_provenance(
    root: Path, done: Outputs, graph: PredictedQuantumGraph
) -> tuple[Provenance, list[str]]:
    """Run one quantum by hand with each butler. Return our provenance, and the differences.

    The repository, with the quantum's inputs and without its outputs, is left as
    it was found; the outputs are taken from what a run of the graph has left.
    """
    differences = []
    before = files_in(root)
    task, quanta = next(iter(graph.quanta_by_task.items()))
    data_id = min(quanta, key=lambda data_id: data_id["detector"])
    quantum = graph.quantum_only_xgraph.nodes[quanta[data_id]]["quantum"]
    contents = {ref: done.contents[ref.id] for ref in flat(quantum.outputs)}
    accounts = {}
    for side, name in SIDES.items():
        with in_force(side):
            accounts[side] = run_by_hand(root, graph, quantum, contents)
        if files_in(root) != before:
            differences.append(f"pruning with {name} leaves files behind")
    ours = accounts["ours"]
    if comparable(ours) != comparable(accounts["stock"]):
        differences.append(f"the provenance of {task} {data_id} is not the same")
    records = [
        info
        for data in ours.datastore_records.values()
        for datasets in data.records.values()
        for tables in datasets.values()
        for infos in tables.values()
        for info in infos
    ]
    provenance = Provenance(
        task=task,
        data_id=dict(data_id.mapping),
        predicted_inputs=len(ours.predicted_inputs),
        available_inputs=len(ours.available_inputs),
        actual_inputs=len(ours.actual_inputs),
        predicted_outputs=len(ours.predicted_outputs),
        actual_outputs=len(ours.actual_outputs),
        records=len(records),
        json_bytes=len(ours.model_dump_json().encode()),
    )
    return provenance, differences


def run_by_hand(
    root: Path, graph: PredictedQuantumGraph, quantum: Quantum, contents: dict[DatasetRef, Any]
) -> lsst.daf.butler.QuantumProvenanceData:
    """Do what an executor does for one quantum, and undo it. Return the butler's provenance."""
    nodes = graph.pipeline_graph.dataset_types.values()
    with lsst.daf.butler.QuantumBackedButler.initialize(
        str(root),
        quantum,
        graph.pipeline_graph.universe,
        dataset_types={node.name: node.dataset_type for node in nodes},
    ) as butler:
        for ref, stored in butler.stored_many(flat(quantum.inputs)).items():
            if stored:
                butler.get(ref)
        for ref, content in contents.items():
            butler.put(content, ref)
        provenance = butler.extract_provenance_data()
        butler.pruneDatasets(contents, disassociate=True, unstore=True, purge=True)
    return provenance


def comparable(provenance: lsst.daf.butler.QuantumProvenanceData) -> dict[str, Any]:
    """Return provenance as plain values, the order of dataset IDs forgotten."""
    plain = provenance.model_dump()
    for data in plain["datastore_records"].values():
        data["dataset_ids"] = set(data["dataset_ids"])
    return plain


def flat(datasets: Any) -> Iterator[DatasetRef]:
    """Yield the refs of a quantum's inputs or outputs."""
    for refs in datasets.values():
        yield from refs


def predicted_outputs(graph: PredictedQuantumGraph) -> set[UUID]:
    """Return the IDs of the datasets that the quanta of a graph should write."""
    quanta = (node["quantum"] for _, node in graph.quantum_only_xgraph.nodes(data=True))
    return {ref.id for quantum in quanta for ref in flat(quantum.outputs)}


def records_of(butler: Butler, refs: dict[UUID, DatasetRef]) -> dict[UUID, list[str]]:
    """Return what the datastore has recorded of each dataset.

    File sizes and checksums are left out: datasets about the run differ in
    them by nature, and those of all others follow from their contents.
    """
    records: dict[UUID, list[str]] = {dataset_id: [] for dataset_id in refs}
    for name, data in butler._datastore.export_records(refs.values()).items():
        for dataset_id, tables in data.records.items():
            for table, infos in tables.items():
                for info in infos:
                    record = info.to_record()
                    del record["file_size"], record["checksum"]
                    records[dataset_id].append(f"{name} {table} {record}")
    return {dataset_id: sorted(lines) for dataset_id, lines in records.items()}


def files_in(root: Path) -> set[Path]:
    """Return the paths of all files in a folder, relative to it."""
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
