"""Runs as graphs of networkx are upstream's graphs."""

from __future__ import annotations

import sys

import pytest
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph, ProvenanceQuantumGraphReader

from quantum_butler import ConditionError, QuantumButlerError, open_run
from told_run import Told


def test_nodes_and_edges_are_upstreams(told: Told) -> None:
    with PredictedQuantumGraph.open(str(told.predicted)) as reader:
        reader.read_all()
        upstream = reader.finish().bipartite_xgraph
    with ProvenanceQuantumGraphReader.open(str(told.provenance)) as reader:
        reader.read_full_graph()
        happened = reader.graph.bipartite_xgraph
    assert len(upstream) > 100
    for place in told.places:
        graph = open_run(place).to_networkx()
        assert set(graph.nodes) == set(upstream.nodes) and set(graph.edges) == set(upstream.edges)
        for id_, node in graph.nodes.items():
            theirs = upstream.nodes[id_]
            assert node["data_id"] == dict(theirs["data_id"].required)
            if node["kind"] == "quantum":
                assert node["task_label"] == theirs["task_label"] and node["run"] == "mixed/run"
                assert node["label"].startswith(f"{theirs['task_label']} ")
            else:
                assert (node["dataset_type"], node["run"]) == (theirs["dataset_type_name"], theirs["run"])
    words = {"aborted_success": "log lost"}
    graph = open_run(told.archive).to_networkx()
    for id_, node in graph.nodes.items():
        if node["kind"] == "quantum":
            status = happened.nodes[id_]["status"].name.lower()
            assert node["status"] == words.get(status, status)


def test_a_selection(told: Told) -> None:
    for place in told.places:
        run = open_run(place)
        graph = run.to_networkx(task="all")
        assert sum(node["kind"] == "quantum" for node in graph.nodes.values()) == 1
        assert sorted(node["dataset_type"] for node in graph.nodes.values() if node["kind"] == "dataset") == [
            "all_log",
            "all_metadata",
            "all_output",
            *["five_output"] * 6,
        ]
        quanta = run.to_networkx(task=("one", "two"), where="detector < 2")
        assert sum(node["kind"] == "quantum" for node in quanta.nodes.values()) == 4
        assert not run.to_networkx(task="nothing")
        with pytest.raises(ConditionError):
            run.to_networkx(where="detector")
        with pytest.raises(QuantumButlerError, match="what was used"):
            run.to_networkx(actual=True)


def test_without_networkx(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ModuleNotFoundError, match="pip install networkx"):
        open_run(told.archive).to_networkx()
