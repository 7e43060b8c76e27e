"""Archives in which no data ID has anything: of one quantum for a whole run, and of graphs without quanta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up import quantum, write_log

from quantum_butler import Archive, PredictedGraph, collect, write_subgraph
from quantum_butler.demo.graph import make_repository

IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a graph without quanta."""
    folder = tmp_path_factory.mktemp("empty")
    make_repository(folder / "repo", folder / "graph.qg", 1)
    write_subgraph([], folder / "graph.qg", folder / "empty.qg")
    return folder / "empty.qg"


def test_datasets_without_dimensions_are_found_by_name(tmp_path: Path) -> None:
    named: dict[str, Any] = {"run": "run", "storage_class": None, "dimensions": []}
    datasets = [
        {"type": f"total{number}", "ids": [one], "data_ids": [[]], **named} for number, one in enumerate(IDS)
    ]
    one = quantum(
        1,
        task_label="sum",
        data_id={},
        predicted_inputs=[],
        available_inputs=[],
        actual_inputs=[],
        predicted_outputs=IDS,
        actual_outputs=IDS,
        datastore_records={},
        datasets=datasets,
    )
    collect(write_log(tmp_path / "log.jsonl", [one]), tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    assert [str(archive.resolve([f"total{number}"], kind="dataset").id) for number in range(3)] == IDS
    assert not archive.verify().findings


def test_a_graph_without_quanta(empty: Path, tmp_path: Path) -> None:
    assert [len(quanta) for quanta, _ in PredictedGraph(empty).quanta_tables()] == [0]
    collect([empty], tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    assert archive.quanta.count_rows() == 0
    assert archive.resolve(["packages"], kind="dataset").data_id == {}
    assert not archive.verify().findings
    # Beside others it changes nothing.
    collect([empty, empty.with_name("graph.qg")], tmp_path / "both")
    both = Archive(tmp_path / "both")
    assert both.quanta.count_rows() == 2
    assert not both.verify().findings
