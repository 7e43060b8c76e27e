"""The quanta that make datasets again, and the graph of them, beside upstream's graph."""

from __future__ import annotations

import csv
import io
import json
import uuid
from pathlib import Path

import networkx
import pytest
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from commands import graph_repository, invoke, invoke_json
from quantum_butler import (
    Archive,
    NotInGraphError,
    PredictedGraph,
    QuantumButlerError,
    open_run,
    write_subgraph,
)
from told_run import Told


@pytest.fixture(scope="module")
def upstream(told: Told) -> PredictedQuantumGraph:
    """Return the planned graph as upstream reads it."""
    with PredictedQuantumGraph.open(str(told.predicted)) as reader:
        reader.read_all()
        return reader.finish()


def expected(graph: PredictedQuantumGraph, dataset: uuid.UUID) -> tuple[set[uuid.UUID], set[uuid.UUID]]:
    """Return the quanta that come before a dataset in upstream's graph, and the overall inputs."""
    before = networkx.ancestors(graph.bipartite_xgraph, dataset)
    quanta = before & set(graph)
    return quanta, {one for one in before - quanta if not graph.bipartite_xgraph.in_degree(one)}


def test_all_datasets_are_made_as_upstreams_graph_has_it(told: Told, upstream: PredictedQuantumGraph) -> None:
    nodes = upstream.bipartite_xgraph.nodes
    outputs = [one for one in nodes if upstream.bipartite_xgraph.in_degree(one) and one not in set(upstream)]
    assert len(outputs) > 80
    for place in map(open_run, told.places):
        for dataset in outputs:
            found = place.rebuild(dataset)
            ids = [one.quantum_id for one in found.quanta]
            quanta, inputs = expected(upstream, dataset)
            assert set(ids) == quanta and len(ids) == len(quanta)
            assert {one.dataset_id for one in found.inputs} == inputs
            assert not found.actual and not found.not_read and not found.assumed
            done: set[uuid.UUID] = set()
            for id_ in ids:
                assert quanta & set(upstream.quantum_only_xgraph.predecessors(id_)) <= done
                done.add(id_)
            (one,) = found.datasets
            assert (one.dataset_id, one.dataset_type) == (dataset, nodes[dataset]["dataset_type_name"])


def test_what_is_there_is_not_made(told: Told) -> None:
    for place in told.places:
        found = invoke_json("rebuild", place, "three_output", "detector=3", "--have", "one_output")
        assert [one["task_label"] for one in found["quanta"]] == ["two", "three"]
        assert [one["dataset_type"] for one in found["inputs"]] == ["one_output"]
        # In a new run nobody would find what is taken from this one.
        assert not any("update-graph-run" in command for command in found["commands"])
        said = invoke("rebuild", place, "three_output", "detector=3", "--have", "calexp", status=2).stderr
        assert "no dataset type 'calexp'" in said


def test_the_graph_is_upstreams_with_these_quanta(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "sub #1 50%.qg"
    graph = told.predicted
    with PredictedQuantumGraph.open(str(graph)) as reader:
        reader.read_all()
        whole = reader.components
    names = ("three_output", "detector=3", "all_output")
    found = invoke_json("rebuild", told.archive, *names, "--graph", graph, "-o", path)
    assert found["graph"] == str(path)
    with PredictedQuantumGraph.open(path.as_uri()) as reader:
        reader.read_all()
        part = reader.components
    ids = [uuid.UUID(one["quantum_id"]) for one in found["quanta"]]
    assert set(part.quantum_datasets) == set(ids) and len(ids) == 3 + 7
    assert all(part.quantum_datasets[one] == whole.quantum_datasets[one] for one in ids)
    assert part.init_quanta == whole.init_quanta
    assert part.dimension_data is not None and whole.dimension_data is not None
    assert part.dimension_data.serialized() == whole.dimension_data.serialized()
    changed = {"n_quanta", "n_task_quanta", "n_datasets", "provenance_dataset_id"}
    assert part.header.model_dump(exclude=changed) == whole.header.model_dump(exclude=changed)
    assert part.header.n_quanta == len(ids) and sum(part.header.n_task_quanta.values()) == len(ids)
    if hasattr(part.header, "provenance_dataset_id"):
        assert part.header.provenance_dataset_id != whole.header.provenance_dataset_id
    edges = {(a, b) for a, b in whole.thin_graph.edges if a in ids and b in ids}
    assert edges and {*part.thin_graph.edges} == edges
    pipelines = [components.pipeline_graph for components in (part, whole)]
    assert pipelines[0].diff_tasks(pipelines[1]) == []
    assert not [one for one in tmp_path.iterdir() if one != path]
    # It can be asked like any other.
    assert len(open_run(path).find_quanta()) == len(ids)
    # The predicted graph that is asked needs no name.
    again = tmp_path / "again.qg"
    invoke("rebuild", graph, *names, "-o", again)
    assert {*open_run(again).find_quanta()["quantum_id"].to_pylist()} == set(ids)


def test_what_cannot_be_written(told: Told, tmp_path: Path) -> None:
    name = ("three_output", "detector=3")
    path = tmp_path / "sub.qg"
    invoke("rebuild", told.archive, *name, "-o", path, status=2)
    invoke("rebuild", told.archive, *name, "--graph", told.predicted, status=2)
    invoke("rebuild", told.archive, *name, "--graph", told.predicted, "-o", tmp_path / "sub.zip", status=2)
    path.write_text("mine")
    said = invoke("rebuild", told.archive, *name, "--graph", told.predicted, "-o", path, status=2).stderr
    assert str(path) in said and "--overwrite" in said and path.read_text() == "mine"
    (tmp_path / "sub.qg.journal").write_text("")
    arguments = ("rebuild", told.archive, *name, "--graph", told.predicted, "-o", path, "--overwrite")
    assert "sub.qg.journal is there" in invoke(*arguments).stderr
    assert len(open_run(path).find_quanta()) == 3
    itself = invoke("rebuild", path, *name, "-o", path, "--overwrite", status=2).stderr
    assert "the graph that the quanta are taken from" in itself
    nowhere = path / "sub.qg"
    assert str(path) in invoke("rebuild", path, *name, "-o", nowhere, status=2).stderr
    for other in (told.provenance, tmp_path / "sub.qg.journal"):
        arguments = ("rebuild", told.archive, *name, "--graph", other, "-o", tmp_path / "x.qg")
        assert str(other) in invoke(*arguments, status=1).stderr
    assert not [one for one in tmp_path.iterdir() if one.name not in ("sub.qg", "sub.qg.journal")]


def test_another_graph(told: Told, tmp_path: Path) -> None:
    with graph_repository(tmp_path / "repo") as (other, _):
        known = PredictedGraph(other).find_quanta("task_auto1", detector=0)
    arguments = ("rebuild", told.archive, "three_output", "detector=3", "--graph", other)
    said = invoke(*arguments, "-o", tmp_path / "sub.qg", status=1).stderr
    assert f"{other} is not the graph of these quanta: it lacks 3 of 3" in said
    assert "three instrument=MixedCam, detector=3, visit=7" in said
    quanta = told.run.quanta["one", 0], *known
    with pytest.raises(NotInGraphError, match=str(quanta[0])) as caught:
        write_subgraph(quanta, other, tmp_path / "sub.qg")
    assert caught.value.quanta == quanta[:1]


def test_names_that_will_not_do(told: Told) -> None:
    for place in told.places:
        said = invoke("rebuild", place, "zero_output", "detector=3", status=1).stderr
        assert str(place) in said and "overall input" in said and "zero_output" in said
        said = invoke("rebuild", place, "one_schema", status=1).stderr
        assert "pre-exec-init-qbb" in said
        assert "zap" in invoke("rebuild", place, "zap", "detector=3", status=1).stderr
        assert "any of these" in invoke("rebuild", place, "one_output", status=2).stderr
        invoke("rebuild", place, status=2)
        with pytest.raises(QuantumButlerError, match="what was used"):
            open_run(place).rebuild("three_output detector=3", actual=True)


def test_what_is_printed(told: Told) -> None:
    arguments = ("rebuild", told.archive, "all_output", "three_output", "detector=3", "--repo", "/my repo")
    text = invoke(*arguments).stdout
    assert "10 quanta in 3 steps to make 2 datasets again, as predicted" in text
    assert "needed before: 6 zero_output" in text
    assert "quantum-butler run '/my repo' SUB.qg" in text
    short = invoke(*arguments, "--limit", 2).stdout
    assert "and 8 more" in short and "and 4 more" in short
    rows = list(csv.DictReader(io.StringIO(invoke(*arguments, "--format", "csv").stdout)))
    assert [row["kind"] for row in rows] == ["quantum"] * 10 + ["input"] * 6
    assert {row["step"] for row in rows} == {"1", "2", "3", ""}
    assert rows[-1]["dataset_type"] == "zero_output"


def test_of_quanta_without_a_log_the_prediction_counts(told: Told, tmp_path: Path) -> None:
    """In an archive of a log and of graphs, each quantum goes by what is known of it."""
    from quantum_butler import collect

    graph = open_run(told.predicted)
    (three,) = graph.rebuild("three_output detector=3").datasets
    details = graph.show("three detector=3")
    inputs = [str(use.dataset.dataset_id) for use in details.uses if "predicted_input" in use.roles]
    outputs = [str(use.dataset.dataset_id) for use in details.uses if "predicted_output" in use.roles]
    line = {
        "quantum_id": str(details.quantum.quantum_id),
        "task_label": "three",
        "data_id": details.quantum.data_id,
        "predicted_inputs": inputs,
        "available_inputs": inputs,
        "actual_inputs": inputs,
        "predicted_outputs": outputs,
        "actual_outputs": outputs,
        "datastore_records": {},
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    collect([tmp_path / "log.jsonl", told.provenance], tmp_path / "archive")
    found = Archive(tmp_path / "archive").rebuild(three.dataset_id)
    assert [one.task_label for one in found.quanta] == ["one", "two", "three"]
    assert found.actual and found.assumed == 2
    text = invoke("rebuild", tmp_path / "archive", three.dataset_id).stdout
    assert "2 quanta of these by what was predicted: no log tells what was read" in text
