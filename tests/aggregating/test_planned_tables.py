"""What is read of a plan are the ids that it has, whatever their bytes."""

from __future__ import annotations

import uuid
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from quantum_butler import PredictedGraph, QuantumGraphError
from quantum_butler.aggregating import sharing
from quantum_butler.aggregating.plan import Plan
from quantum_butler.aggregating.sharing import Opening, scan_there

# Some end with zeros, as one of 256 does.
QUANTA = [uuid.UUID(int=number << 8) for number in (1, 1 << 100, 3 << 16, 7)]
DATASETS = [uuid.UUID(int=number << 16) for number in (9, 1 << 99, 4)]


@pytest.fixture
def plan(on_sqlite: Any, monkeypatch: pytest.MonkeyPatch) -> Plan:
    def column(ids: list[uuid.UUID]) -> Any:
        return pa.array([one.bytes for one in ids], pa.binary(16)).cast(pa.uuid())

    # The quantum, the dataset, and whether it is an input.
    edges = [(0, 1, False), (1, 1, True), (3, 1, True), (1, 1, True), (1, 0, False), (2, 2, True)]
    quanta = pa.table(
        {
            "quantum_id": column(QUANTA),
            "task_label": pa.array(["one", "two", "two", "two"]).dictionary_encode(),
        }
    )
    of_edges = pa.table(
        {
            "quantum_id": column([QUANTA[quantum] for quantum, _, _ in edges]),
            "dataset_id": column([DATASETS[dataset] for _, dataset, _ in edges]),
            "is_input": [is_input for _, _, is_input in edges],
        }
    )
    graph = PredictedGraph(on_sqlite.graph_file)
    monkeypatch.setattr(graph, "quanta_tables", lambda: iter([(quanta, of_edges)]))
    return Plan(graph)


def test_ids(plan: Plan) -> None:
    assert list(plan.by_task(["two", "one", "three"])) == [QUANTA[1:], QUANTA[:1], []]
    assert sorted(plan.quanta.tobytes()[n : n + 16] for n in range(0, 64, 16)) == sorted(
        one.bytes for one in QUANTA
    )
    assert plan.consumers_of(DATASETS[1]) == [QUANTA[1], QUANTA[3]]
    assert plan.consumers_of(DATASETS[0]) == []
    assert plan.consumers_of(DATASETS[2]) == [QUANTA[2]]
    assert plan.readers_of(DATASETS) == {
        QUANTA[1]: [DATASETS[1], DATASETS[1]],
        QUANTA[3]: [DATASETS[1]],
        QUANTA[2]: [DATASETS[2]],
    }
    assert plan.readers_of([]) == plan.readers_of([QUANTA[0]]) == {}
    assert plan.outputs.endswith(DATASETS[1].bytes + DATASETS[0].bytes)
    read, readers = plan.edges()
    found = [(read[n : n + 16], readers[n : n + 16]) for n in range(0, len(read), 16)]
    assert np.all(np.diff([int.from_bytes(one) for one, _ in found]) >= 0)
    assert found.count((DATASETS[1].bytes, QUANTA[1].bytes)) == 2


def test_workers_are_told_of_the_lost_datasets_that_their_quanta_read(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, with each chunk, would take longer than the scan where many quanta have failed."""
    given: dict[uuid.UUID, set[uuid.UUID]] = {}

    class Recording(Executor):
        def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Any:
            _, [quantum_id], lost, _, _ = arguments
            given[quantum_id] = set(lost)
            future: Future[Any] = Future()
            future.set_result(quantum_id)
            return future

    monkeypatch.setattr(sharing, "_CHUNK", 1)
    others = {uuid.UUID(int=number) for number in range(1, 500)}
    opening = Opening("graph", "repository", False, False, None)
    scan = scan_there(Recording(), opening, plan, None)
    assert list(scan(QUANTA, {*others, *DATASETS[:2]})) == QUANTA
    assert given == {QUANTA[0]: set(), QUANTA[1]: {DATASETS[1]}, QUANTA[2]: set(), QUANTA[3]: {DATASETS[1]}}


def test_a_task_that_is_not_in_the_pipeline(plan: Plan) -> None:
    with pytest.raises(QuantumGraphError, match="no task two"):
        list(plan.by_task(["one"]))
