"""What is read of provenance graphs is what upstream's reader finds there."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from graph_contents import plain_attempt, upstream_provenance
from mixed_run import HAS_NAN, MixedRun
from quantum_butler import ProvenanceGraph, QuantumGraphError, UnknownNameError
from quantum_butler.quantum_graphs import Caveats, QuantumStatus


@pytest.fixture(params=["plain", "trained", "both"])
def files(request: pytest.FixtureRequest, plain_graph: Path, trained_graph: Path) -> list[Path]:
    """Return files with the same graph; twice the same is no more than once."""
    return {"plain": [plain_graph], "trained": [trained_graph], "both": [plain_graph, trained_graph]}[
        request.param
    ]


def as_sets(by_connection: dict[str, list[uuid.UUID]]) -> dict[str, set[uuid.UUID]]:
    return {name: set(ids) for name, ids in by_connection.items() if ids}


def test_everything_is_as_upstream_reads_it(files: list[Path]) -> None:
    theirs = upstream_provenance(files[-1])
    graph = ProvenanceGraph(*files)
    assert len(theirs["quanta"]) == 31
    for quantum_id, expected in theirs["quanta"].items():
        quantum = graph.quantum(quantum_id)
        assert quantum == graph.quantum(str(quantum_id))
        assert quantum.quantum_id == quantum_id
        assert quantum.task_label == expected["task"]
        assert quantum.data_id == expected["data_id"]
        assert list(quantum.data_id) == list(expected["data_id"])
        assert quantum.run == theirs["header"]["output_run"]
        assert [plain_attempt(one) for one in quantum.attempts] == expected["attempts"]
        assert quantum.status == expected["status"]
        assert as_sets(quantum.inputs) == expected["inputs"]
        assert as_sets(quantum.outputs) == expected["outputs"]
        assert quantum.outputs["_metadata"] == [expected["metadata_id"]]
        assert quantum.outputs["_log"] == [expected["log_id"]]
    for dataset_id, expected in theirs["datasets"].items():
        dataset = graph.dataset(dataset_id)
        assert dataset.dataset_id == dataset_id
        assert dataset.dataset_type == expected["type"]
        assert dataset.data_id == expected["data_id"]
        assert (dataset.run, dataset.produced) == (expected["run"], expected["produced"])
        assert dataset.producer == expected["producer"]
        assert set(dataset.consumers) == expected["consumers"]
    for init in graph.init_quanta:
        quantum_id, inputs, outputs = theirs["init"][init.task_label]
        assert init.quantum_id == quantum_id
        assert {name: {one} for name, one in init.inputs.items()} == inputs
        assert {name: {one} for name, one in init.outputs.items()} == outputs
    assert len(graph.init_quanta) == len(theirs["init"]) * len(files)
    assert graph.packages() == theirs["packages"]
    assert [header["output_run"] for header in graph.headers] == ["mixed/run"] * len(files)
    for name, task in graph.tasks.items():
        assert (task.task_class, task.dimensions, task.required) == theirs["tasks"].pop(name)
    for name, found in graph.dataset_types.items():
        assert (found.storage_class, found.dimensions, found.required) == theirs["types"].pop(name)
    assert not theirs["tasks"] and not theirs["types"]


def test_logs_and_metadata_are_as_upstream_reads_them(files: list[Path]) -> None:
    theirs = upstream_provenance(files[0])
    graph = ProvenanceGraph(*files)
    assert len(theirs["logs"]) > 40 and len(theirs["metadata"]) > 40
    for id_, expected in theirs["logs"].items():
        assert graph.logs(id_) == expected
    for id_, expected in theirs["metadata"].items():
        # Not equal to itself is what NaN is.
        assert repr(graph.metadata(id_)) == repr(expected)


def test_all_kinds_of_quanta_are_there(plain_graph: Path, mixed_run: MixedRun) -> None:
    graph = ProvenanceGraph(plain_graph)
    quantum = {name: graph.quantum(one) for name, one in mixed_run.quanta.items()}
    assert [one.status for one in quantum["one", 1].attempts] == [QuantumStatus.FAILED] * 2
    assert quantum["one", 1].attempts[0].exception.type_name == "ValueError"
    assert quantum["two", 1].status is QuantumStatus.BLOCKED and not quantum["two", 1].attempts
    assert quantum["four", 0].status is QuantumStatus.ABORTED_SUCCESS
    assert quantum["four", 4].status is QuantumStatus.FAILED
    assert Caveats.NO_WORK in quantum["two", 2].attempts[0].caveats
    assert Caveats.ADJUST_QUANTUM_RAISED in quantum["three", 2].attempts[0].caveats
    partial = quantum["four", 3].attempts[0]
    assert Caveats.PARTIAL_OUTPUTS_ERROR in partial.caveats
    assert partial.exception.metadata == {"badness": 12}
    metadata = graph.metadata(mixed_run.quanta["one", 0])[0]["metadata"]["one"]["scalars"]
    assert float(metadata["large"]) == 1e30
    assert not HAS_NAN or (str(metadata["nothing"]) == "nan" and metadata["most"] == float("inf"))


def test_names_are_found(files: list[Path], mixed_run: MixedRun) -> None:
    graph = ProvenanceGraph(*files)
    whole = {"instrument": "MixedCam", "visit": 7, "detector": 3}
    assert graph.find_quanta("one", **whole) == [mixed_run.quanta["one", 3]]
    assert graph.find_quanta("one", **whole, physical_filter="Cam-R") == [mixed_run.quanta["one", 3]]
    assert graph.find_quanta("one", **whole, physical_filter="Cam-G") == []
    assert graph.find_quanta("one", detector=3) == [mixed_run.quanta["one", 3]]
    assert len(graph.find_quanta("one", band="r")) == 6
    assert graph.find_quanta("one", detector="3") == []
    (dataset,) = graph.find_datasets("one_output", **whole)
    assert graph.dataset(dataset).producer == mixed_run.quanta["one", 3]
    assert dataset in graph.find_datasets("one_output")
    with pytest.raises(UnknownNameError, match="no task 'six'"):
        graph.find_quanta("six")
    with pytest.raises(UnknownNameError, match="no dimension 'tract'; it has instrument, detector, visit"):
        graph.find_quanta("one", tract=1)
    with pytest.raises(UnknownNameError, match="no dataset type 'six'"):
        graph.find_datasets("six")


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_tables_hold_all_of_it(provenance_file: Path, rows: int) -> None:
    graph = ProvenanceGraph(provenance_file)
    theirs = upstream_provenance(provenance_file)
    quanta, attempts, edges = zip(*graph.quanta_tables(rows), strict=True)
    assert all(len(table) <= rows for table in quanta)
    for row in pyarrow.concat_tables(quanta).to_pylist():
        expected = theirs["quanta"].pop(row["quantum_id"])
        assert (row["task_label"], row["run"], row["source"]) == (expected["task"], "mixed/run", 0)
        assert {k: v for k, v in row["data_id"].items() if v is not None} == expected["data_id"]
        assert (row["status"], row["attempts"]) == (expected["status"], len(expected["attempts"]))
        if expected["attempts"]:
            assert_attempt(row, expected["attempts"][-1])
    assert not theirs["quanta"]
    theirs = upstream_provenance(provenance_file)
    told = [(row["quantum_id"], row["attempt"]) for row in pyarrow.concat_tables(attempts).to_pylist()]
    assert len(told) == len(set(told)) == sum(len(one["attempts"]) for one in theirs["quanta"].values())
    for row in pyarrow.concat_tables(attempts).to_pylist():
        expected = theirs["quanta"][row["quantum_id"]]["attempts"][row["attempt"]]
        assert_attempt(row, expected)
        assert row["previous_process_quanta"] == expected["previous"]
    told = {
        (row["quantum_id"], row["dataset_id"], row["connection"], row["is_input"])
        for row in pyarrow.concat_tables(edges).to_pylist()
    }
    assert told == {
        (quantum, dataset, connection, kind == "inputs")
        for quantum, info in theirs["quanta"].items()
        for kind in ("inputs", "outputs")
        for connection, datasets in info[kind].items()
        for dataset in datasets
    }
    for row in pyarrow.concat_tables(graph.datasets_tables(rows)).to_pylist():
        expected = theirs["datasets"].pop(row["dataset_id"])
        assert (row["dataset_type"], row["run"]) == (expected["type"], expected["run"])
        assert {k: v for k, v in row["data_id"].items() if v is not None} == expected["data_id"]
        assert (row["produced"], row["producer"]) == (expected["produced"], expected["producer"])
    assert not theirs["datasets"]
    assert {name: len(table) for name, table in graph.to_arrow().items()} == {
        "quanta": 31,
        "attempts": sum(len(table) for table in attempts),
        "edges": len(told),
        "datasets": sum(len(table) for table in graph.datasets_tables(rows)),
    }


def assert_attempt(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert (row["status"], row["caveats"]) == (expected["status"], expected["caveats"])
    exception = expected["exception"] or (None, None, None)
    assert (row["exception_type"], row["exception_message"]) == exception[:2]
    told = row["exception_metadata"]
    assert (None if told is None else json.loads(told)) == exception[2]
    usage = expected["usage"] or [None] * 6
    assert [row[n] for n in ("memory", "prep_time", "init_time", "run_time", "run_time_cpu")] == [
        usage[0],
        *usage[2:],
    ]
    assert row["start"] == (None if usage[1] is None else usage[1].astimezone(datetime.UTC))


def test_what_is_not_there(plain_graph: Path, mixed_run: MixedRun) -> None:
    graph = ProvenanceGraph(plain_graph)
    unknown = uuid.uuid4()
    with pytest.raises(UnknownNameError, match=f"no quantum {unknown}"):
        graph.quantum(unknown)
    with pytest.raises(UnknownNameError, match=f"no dataset {unknown}"):
        graph.dataset(unknown)
    with pytest.raises(UnknownNameError, match="'x' is not the id"):
        graph.quantum("x")
    assert graph.logs(unknown) == graph.metadata(unknown) == []
    # A dataset is no quantum.
    dataset = graph.quantum(mixed_run.quanta["one", 0]).outputs["output"][0]
    with pytest.raises(UnknownNameError):
        graph.quantum(dataset)


def test_other_files_are_refused(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path) -> None:
    planned = 'this is a "predicted" graph, not a "provenance" one: .* quantum-butler aggregate'
    with pytest.raises(QuantumGraphError, match=planned):
        ProvenanceGraph(mixed_run.graph_file)
    with pytest.raises(QuantumGraphError, match="no file is given"):
        ProvenanceGraph()
    with pytest.raises(FileNotFoundError):
        ProvenanceGraph(tmp_path / "nowhere.qg")
    (tmp_path / "other.qg").write_text("something else")
    with pytest.raises(QuantumGraphError, match=r"other\.qg: this is not a quantum graph"):
        ProvenanceGraph(plain_graph, tmp_path / "other.qg")
    with pytest.raises(QuantumGraphError, match="this is not a file"):
        ProvenanceGraph(tmp_path)
