"""What is read of predicted graphs is what upstream's reader finds there."""

from __future__ import annotations

import itertools
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from graph_zips import changed, frame, unframe
from mixed_run import MixedRun
from quantum_butler import PredictedGraph, QuantumGraphError, UnknownNameError


@pytest.fixture(scope="session")
def old_graph(mixed_run: MixedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the graph as version 0 had it, with numbers of rows in place of ids."""
    with PredictedQuantumGraph.open(str(mixed_run.graph_file)) as reader:
        reader.address_reader.read_all()
        number = {str(one): row.index for one, row in reader.address_reader.rows.items()}

    def older(data: bytes) -> bytes:
        thin = json.loads(unframe(data))
        for quanta in thin["quanta"].values():
            for quantum in quanta:
                quantum["quantum_index"] = number[quantum.pop("quantum_id")]
        thin["edges"] = [[number[one] for one in edge] for edge in thin["edges"]]
        return frame(json.dumps(thin).encode())

    def header(data: bytes) -> bytes:
        return frame(json.dumps(json.loads(unframe(data)) | {"version": 0}).encode())

    return changed(
        mixed_run.graph_file,
        tmp_path_factory.mktemp("old") / "old.qg",
        {"thin_graph.json.zst": older, "header.json.zst": header},
    )


@pytest.fixture(params=["new", "old"])
def graph_file(request: pytest.FixtureRequest, mixed_run: MixedRun, old_graph: Path) -> Path:
    """Return the graph, of either version."""
    return old_graph if request.param == "old" else mixed_run.graph_file


def components(path: Path) -> Any:
    """Return all that upstream's reader finds in a predicted graph."""
    with PredictedQuantumGraph.open(str(path)) as reader:
        reader.read_all()
        return reader.components


def named(found: Any, name: str, values: list[Any], *, is_task: bool = False) -> dict[str, Any]:
    """Return a data ID with the names that upstream gives its values."""
    nodes = found.pipeline_graph.tasks if is_task else found.pipeline_graph.dataset_types
    return dict(zip(nodes[name].dimensions.data_coordinate_keys, values, strict=True)) if values else {}


def assert_planned(found: Any, ours: Any, theirs: Any) -> None:
    assert (ours.quantum_id, ours.task_label) == (theirs.quantum_id, theirs.task_label)
    assert ours.run == "mixed/run"
    for mine, other in ((ours.inputs, theirs.inputs), (ours.outputs, theirs.outputs)):
        assert mine.keys() == other.keys()
        for connection, datasets in other.items():
            assert [(one.dataset_id, one.dataset_type, one.run, one.data_id) for one in mine[connection]] == [
                (
                    one.dataset_id,
                    one.dataset_type_name,
                    one.run,
                    named(found, one.dataset_type_name, one.data_coordinate),
                )
                for one in datasets
            ]


def test_everything_is_as_upstream_reads_it(graph_file: Path) -> None:
    found = components(graph_file)
    graph = PredictedGraph(graph_file)
    assert len(found.quantum_datasets) == 31
    for quantum_id, theirs in found.quantum_datasets.items():
        quantum = graph.quantum(quantum_id)
        assert_planned(found, quantum, theirs)
        assert quantum.data_id == named(found, theirs.task_label, theirs.data_coordinate, is_task=True)
        records = graph.datastore_records(quantum_id)
        assert records == json.loads(theirs.model_dump_json())["datastore_records"]
    assert any(graph.datastore_records(one) for one in found.quantum_datasets)
    assert len(graph.init_quanta) == len(found.init_quanta.root) == 7
    for ours, theirs in zip(graph.init_quanta, found.init_quanta.root, strict=True):
        assert_planned(found, ours, theirs)
        assert ours.data_id == {}
    assert sorted(graph.edges) == sorted(found.thin_graph.edges)
    assert graph.edges
    assert graph.headers[0]["n_quanta"] == found.header.n_quanta


def test_tables_hold_all_of_it(graph_file: Path) -> None:
    found = components(graph_file)
    graph = PredictedGraph(graph_file)
    quanta, edges = (pyarrow.concat_tables(parts) for parts in zip(*graph.quanta_tables(7), strict=True))
    assert {
        row["quantum_id"]: (
            row["task_label"],
            row["run"],
            {name: value for name, value in row["data_id"].items() if value is not None},
        )
        for row in quanta.to_pylist()
    } == {
        one.quantum_id: (
            one.task_label,
            "mixed/run",
            named(found, one.task_label, one.data_coordinate, is_task=True),
        )
        for one in found.quantum_datasets.values()
    }
    assert sorted(tuple(row.values()) for row in edges.to_pylist()) == sorted(
        (one.quantum_id, dataset.dataset_id, connection, is_input)
        for one in found.quantum_datasets.values()
        for datasets, is_input in ((one.inputs, True), (one.outputs, False))
        for connection, all_ in datasets.items()
        for dataset in all_
    )
    producers = {
        dataset.dataset_id: one.quantum_id
        for one in itertools.chain(found.quantum_datasets.values(), found.init_quanta.root)
        for dataset in itertools.chain.from_iterable(one.outputs.values())
    }
    every = {
        dataset.dataset_id: dataset
        for one in itertools.chain(found.quantum_datasets.values(), found.init_quanta.root)
        for datasets in (one.inputs, one.outputs)
        for dataset in itertools.chain.from_iterable(datasets.values())
    }
    datasets = pyarrow.concat_tables(graph.datasets_tables(5)).to_pylist()
    assert len(datasets) == len(every) == found.header.n_datasets
    for row in datasets:
        theirs = every[row["dataset_id"]]
        assert (row["dataset_type"], row["run"]) == (theirs.dataset_type_name, theirs.run)
        assert row["producer"] == producers.get(row["dataset_id"])
        assert {name: value for name, value in row["data_id"].items() if value is not None} == named(
            found, theirs.dataset_type_name, theirs.data_coordinate
        )


def test_names_are_found(graph_file: Path, mixed_run: MixedRun) -> None:
    graph = PredictedGraph(graph_file)
    whole = {"instrument": "MixedCam", "visit": 7, "detector": 3}
    assert graph.find_quanta("one", **whole) == [mixed_run.quanta["one", 3]]
    assert len(graph.find_quanta("one", band="r")) == 6
    (output,) = graph.quantum(mixed_run.quanta["one", 3]).outputs["output"]
    assert graph.find_datasets("one_output", **whole) == [output.dataset_id]
    assert len(graph.find_datasets("zero_output")) == 6
    with pytest.raises(UnknownNameError):
        graph.find_quanta("six")
    with pytest.raises(UnknownNameError):
        graph.quantum(uuid.uuid4())
    with pytest.raises(UnknownNameError):
        graph.datastore_records(uuid.uuid4())


def test_another_version_is_refused(mixed_run: MixedRun, tmp_path: Path) -> None:
    def newer(data: bytes) -> bytes:
        return frame(json.dumps(json.loads(unframe(data)) | {"version": 2}).encode())

    path = changed(mixed_run.graph_file, tmp_path / "new.qg", {"header.json.zst": newer})
    message = r"new\.qg: .* format version 2, .*lsst\.pipe\.base\.quantum_graph\.PredictedQuantumGraph"
    with pytest.raises(QuantumGraphError, match=message):
        PredictedGraph(path)
