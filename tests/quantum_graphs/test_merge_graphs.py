"""Graphs that are made of others tell upstream's reader what the others tell it."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraph

from graph_contents import upstream_provenance
from graph_zips import changed, frame, unframe
from mixed_run import MixedRun
from quantum_butler import DifferentGraphsError, ProvenanceGraph, QuantumGraphError, merge_graphs
from quantum_butler.cli.main import main
from quantum_butler.quantum_graphs import QuantumStatus


def report(path: Path) -> Any:
    """Return what upstream's commands report of a graph."""
    with ProvenanceQuantumGraph.from_args(str(path)) as (graph, _):
        tables = (graph.make_quantum_table(), graph.make_exception_table())
        status = graph.make_status_report(states=list(type(next(iter(_statuses(graph))))))
        return [table.pformat() for table in tables], json.loads(status.model_dump_json())


def _statuses(graph: ProvenanceQuantumGraph) -> Iterable[Any]:
    return (info["status"] for info in graph.quantum_only_xgraph.nodes.values())


def comparable(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a graph tells in a form in which NaN equals itself."""
    return told | {"metadata": {one: repr(found) for one, found in told["metadata"].items()}}


def test_one_graph_stays_what_it_is(provenance_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "merged.qg"
    (made,) = merge_graphs([provenance_file], path)
    assert (made.path, made.files, made.quanta, made.repeated_quanta) == (str(path), 1, 31, 0)
    assert comparable(upstream_provenance(path)) == comparable(upstream_provenance(provenance_file))
    assert report(path) == report(provenance_file)
    assert [one.name for one in tmp_path.iterdir()] == ["merged.qg"]


@pytest.mark.parametrize("turned", [False, True])
def test_graphs_of_other_data(plain_graph: Path, other_visit: Path, tmp_path: Path, turned: bool) -> None:
    paths = [plain_graph, other_visit]
    path = tmp_path / "merged.qg"
    (made,) = merge_graphs(paths[::-1] if turned else paths, path)
    theirs = [comparable(upstream_provenance(one)) for one in paths]
    found = comparable(upstream_provenance(path))
    for name in ("quanta", "datasets", "logs", "metadata"):
        assert found[name] == theirs[0][name] | theirs[1][name]
    assert (made.files, made.quanta, made.repeated_quanta) == (2, len(found["quanta"]), 0)
    header = found["header"]
    for name in ("n_quanta", "n_datasets"):
        assert header[name] == sum(one["header"][name] for one in theirs)
    assert header["n_task_quanta"] == {
        label: sum(one["header"]["n_task_quanta"][label] for one in theirs)
        for label in ("one", "two", "three", "four", "five", "all")
    }
    assert header["version"] == 1 and header["graph_type"] == "provenance"
    assert header["inputs"] == theirs[0]["header"]["inputs"]
    assert header["output_run"] == "mixed/run"
    assert len(ProvenanceGraph(path).init_quanta) == 12
    assert found["packages"] == theirs[0]["packages"]
    (tables, states) = report(path)
    assert f"{header['n_task_quanta']['one']}" in tables[0][2] and states


@pytest.mark.parametrize("turned", [False, True])
def test_what_was_tried_again(plain_graph: Path, mixed_run: MixedRun, tmp_path: Path, turned: bool) -> None:
    paths = [mixed_run.first_try, plain_graph]
    path = tmp_path / "merged.qg"
    (made,) = merge_graphs(paths[::-1] if turned else paths, path)
    assert (made.quanta, made.repeated_quanta) == (31, 31)
    found, first, last = (upstream_provenance(one) for one in (path, *paths))
    one = mixed_run.quanta["one", 1]
    assert len(first["quanta"][one]["attempts"]) == 1
    # The second graph knows of both tries.
    assert found["quanta"][one]["attempts"] == last["quanta"][one]["attempts"]
    assert len(found["quanta"][one]["attempts"]) == 2
    assert found["logs"][one] == last["logs"][one]
    assert found["metadata"][one] == last["metadata"][one]
    (log,) = ProvenanceGraph(path).quantum(one).outputs["_log"]
    assert found["logs"][log] == found["logs"][one]
    # What has been lost in between is still there.
    lost = mixed_run.quanta["four", 0]
    assert found["logs"][lost] == first["logs"][lost] or turned
    assert found["header"] == last["header"]
    assert found["quanta"].keys() == last["quanta"].keys()
    assert found["datasets"].keys() == last["datasets"].keys()
    together = ProvenanceGraph(*(paths[::-1] if turned else paths))
    merged = ProvenanceGraph(path)
    for quantum_id in mixed_run.quanta.values():
        assert merged.quantum(quantum_id) == together.quantum(quantum_id)
        assert merged.logs(quantum_id) == together.logs(quantum_id)
        assert repr(merged.metadata(quantum_id)) == repr(together.metadata(quantum_id))
    assert merged.quantum(mixed_run.quanta["two", 1]).status is QuantumStatus.BLOCKED


def with_run(path: Path, into: Path, run: str) -> Path:
    def other(data: bytes) -> bytes:
        return frame(json.dumps(json.loads(unframe(data)) | {"output_run": run}).encode())

    return changed(path, into, {"header.json.zst": other})


def test_graphs_that_do_not_become_one(plain_graph: Path, tmp_path: Path) -> None:
    other = with_run(plain_graph, tmp_path / "other.qg", "another/run")
    path = tmp_path / "merged.qg"
    with pytest.raises(
        DifferentGraphsError, match="do not become one graph: their pipelines or their runs differ"
    ):
        merge_graphs([plain_graph, other], path)
    assert not path.exists()
    made = merge_graphs([plain_graph, other, plain_graph], path, by_pipeline=True)
    assert [one.path for one in made] == [str(tmp_path / f"merged-{n}.qg") for n in (1, 2)]
    assert [ProvenanceGraph(one.path).headers[0]["output_run"] for one in made] == [
        "mixed/run",
        "another/run",
    ]

    def fewer(data: bytes) -> bytes:
        pipeline = json.loads(unframe(data))
        del pipeline["tasks"]["three"]
        return frame(json.dumps(pipeline).encode())

    fewer_tasks = changed(plain_graph, tmp_path / "fewer.qg", {"pipeline_graph.json.zst": fewer})
    with pytest.raises(DifferentGraphsError, match="they have other tasks"):
        merge_graphs([plain_graph, fewer_tasks], path)


def test_a_pipeline_in_another_order_is_the_same(plain_graph: Path, tmp_path: Path) -> None:
    def turned(data: bytes) -> bytes:
        pipeline = json.loads(unframe(data))
        pipeline["tasks"] = dict(reversed(pipeline["tasks"].items()))
        for task in pipeline["tasks"].values():
            task["dimensions"].reverse()
        return frame(json.dumps(pipeline, indent=1).encode())

    other = changed(plain_graph, tmp_path / "other.qg", {"pipeline_graph.json.zst": turned})
    (made,) = merge_graphs([plain_graph, other], tmp_path / "merged.qg")
    assert (made.quanta, made.repeated_quanta) == (31, 31)
    found = comparable(upstream_provenance(tmp_path / "merged.qg"))
    assert found["quanta"] == comparable(upstream_provenance(plain_graph))["quanta"]


def test_damaged_graphs_leave_nothing(plain_graph: Path, tmp_path: Path) -> None:
    damaged = changed(plain_graph, tmp_path / "damaged.qg", {"datasets.mb": lambda data: data[:-5]})
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "merged.qg"
    path.write_text("before")
    with pytest.raises(QuantumGraphError, match=r"damaged\.qg"):
        merge_graphs([plain_graph, damaged], path, overwrite=True)
    with pytest.raises(FileExistsError):
        merge_graphs([plain_graph], path)
    # No room for the file: as on a full disk, what was there stays.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))
    try:
        with pytest.raises(OSError, match=r"merged\.qg|/out"):
            merge_graphs([plain_graph], path, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in path.parent.iterdir()] == ["merged.qg"]
    assert path.read_text() == "before"


def test_a_graph_may_take_the_place_of_one_that_it_is_made_of(plain_graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "merged.qg"
    path.write_bytes(plain_graph.read_bytes())
    merge_graphs([path], path, overwrite=True)
    assert comparable(upstream_provenance(path)) == comparable(upstream_provenance(plain_graph))


def test_the_work_can_be_stopped(plain_graph: Path, other_visit: Path, tmp_path: Path) -> None:
    seen = []

    def stop(progress: Any) -> None:
        seen.append((progress.done, progress.total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_graphs([plain_graph, other_visit], tmp_path / "merged.qg", progress=stop)
    assert seen == [(1, 2)]
    assert not list(tmp_path.iterdir())


def test_command(plain_graph: Path, other_visit: Path, tmp_path: Path) -> None:
    night = tmp_path / "night" / "deep"
    night.mkdir(parents=True)
    os.link(plain_graph, night / "a.qg")
    os.link(other_visit, night / "b.qg")
    path = tmp_path / "night.qg"

    def run(*arguments: object, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["merge-graphs", *map(str, arguments)])
        assert result.exit_code == status, result.output
        return result.stdout if status == 0 else result.output

    assert "night.qg: 2 graphs, 57 quanta (0 in several), " in run(tmp_path / "night", "-o", path)
    assert "--overwrite replaces it" in run(plain_graph, "-o", path, status=2)
    told = json.loads(run(night / "a.qg", "-o", path, "--overwrite", "--format", "json"))
    assert [(one["path"], one["files"], one["quanta"]) for one in told] == [(str(path), 1, 31)]
    with_run(plain_graph, night / "c.qg", "another/run")
    assert "--by-pipeline makes one of each" in run(night, "-o", tmp_path / "all.qg", status=2)
    assert "all-2.qg" in run(night, "-o", tmp_path / "all.qg", "--by-pipeline")
    (tmp_path / "empty").mkdir()
    assert "there is no graph (.qg) in this folder" in run(
        tmp_path / "empty", "-o", path, "--overwrite", status=2
    )
    assert "does not exist" in run(tmp_path / "nowhere.qg", "-o", path, status=2)
