"""Upstream's own users of butlers over whole graphs, with the stock class and with ours.

A graph is run once.  Copies of its repository then go through the same tool of
upstream's, once with each class in force, and must come out the same.
(`transfer_from_graph` is part of what the demonstration compares.)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

from lsst.daf.butler import Butler, MissingCollectionError
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader
from lsst.pipe.base.quantum_graph.aggregator import AggregatorConfig, aggregate_graph
from lsst.pipe.base.quantum_graph.ingest_graph import ingest_graph
from lsst.pipe.base.script.retrieve_artifacts_for_quanta import retrieve_artifacts_for_quanta
from lsst.pipe.base.script.transfer_from_graph import transfer_from_graph
from lsst.pipe.base.script.zip_from_graph import zip_from_graph

import quantum_butler
from quantum_butler.demo.comparison import read_outputs
from quantum_butler.demo.graph import in_force, make_repository, pipetask, read_graph

DETECTORS = 2

# Dataset type of an ingested provenance graph.
PROVENANCE = "run_provenance"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a repository in which a graph has been run, and the graph; the file of one output is missing."""
    folder = tmp_path_factory.mktemp("executed")
    root, graph_file = folder / "repo", folder / "graph.qg"
    make_repository(root, graph_file, DETECTORS)
    with in_force("stock"):
        pipetask("pre-exec-init-qbb", root, graph_file)
        pipetask("run-qbb", root, graph_file)
    graph = read_graph(graph_file)
    outputs = [
        ref
        for _, data in graph.quantum_only_xgraph.nodes(data=True)
        for refs in data["quantum"].outputs.values()
        for ref in refs
        if not ref.datasetType.name.endswith(("_metadata", "_log"))
    ]
    with graph.make_init_qbb(str(root)) as butler:
        lost = butler._datastore.getURI(outputs[-1], predict=True)
    assert lost.exists()
    lost.remove()
    return root, graph_file


def _files(root: Path) -> dict[str, bytes]:
    """Return what is in the files below a folder, except for databases and archives, which hold times."""
    return {
        path.relative_to(root).as_posix(): b""
        if path.suffix in (".sqlite3", ".zip", ".qg")
        else path.read_bytes()
        for path in root.rglob("*.*")
        if path.is_file()
    }


def _registered(root: Path) -> dict[str, Any]:
    """Return the outputs that a repository knows of."""
    try:
        outputs = read_outputs(root)
    except MissingCollectionError:
        return {"refs": {}}
    # The provenance graph gets an id of its own when it is ingested.
    graphs = [dataset_id for dataset_id, ref in outputs.refs.items() if ref.datasetType.name == PROVENANCE]
    for by_id in (outputs.refs, outputs.records, outputs.contents):
        for dataset_id in graphs:
            by_id.pop(dataset_id, None)  # type: ignore[attr-defined]
    return {
        "refs": outputs.refs,
        "records": outputs.records,
        "readable": outputs.contents.keys(),
        "unreadable": {dataset_id: repr(error) for dataset_id, error in outputs.unreadable.items()},
        "graphs": len(graphs),
    }


Tool = Callable[[Path, Path, Path], Any]


@pytest.fixture
def both(
    executed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Tool], dict[str, Any]]:
    """Return a function that has a tool do its work twice, and gives what it has returned and left."""
    root, graph_file = executed
    made = 0
    butler_class = quantum_butler.QuantumBackedButler
    initialize = butler_class._initialize.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Any], **options: Any) -> Any:
        nonlocal made
        made += 1
        return initialize(cls, **options)

    monkeypatch.setattr(butler_class, "_initialize", classmethod(counted))

    def run(tool: Tool) -> dict[str, Any]:
        sides = {}
        for side in ("stock", "ours"):
            before = made
            copy, folder = tmp_path / side / "repo", tmp_path / side / "folder"
            shutil.copytree(root, copy)
            folder.mkdir()
            with in_force(side):
                returned = tool(copy, graph_file, folder)
            assert (made > before) is (side == "ours")
            sides[side] = {"returned": returned, "files": _files(copy), **_registered(copy)}
        assert sides["ours"] == sides["stock"]
        return sides["ours"]

    return run


def _provenance(path: Path) -> Any:
    """Return what a provenance graph says."""
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_full_graph()
        graph = reader.graph
        nodes = {node: dict(data) for node, data in graph.bipartite_xgraph.nodes(data=True)}
        for data in nodes.values():
            data.pop("pipeline_node", None)
        report = graph.make_status_report().model_dump()
        quanta = list(graph.quantum_only_xgraph)
        logs = {
            quantum: [None if attempt is None else attempt.to_json_data() for attempt in attempts]
            for quantum, attempts in reader.fetch_logs(quanta).items()
        }
        metadata = reader.fetch_metadata(quanta)
        assert len(quanta) == 2 * DETECTORS and all(logs.values()) and all(metadata.values())
        return {
            "nodes": repr(sorted(nodes.items())),
            "edges": sorted(graph.bipartite_xgraph.edges),
            "report": repr(report),
            "logs": repr(logs),
            "metadata": repr(metadata),
        }


def _aggregate(root: Path, graph_file: Path, folder: Path, **options: Any) -> Path:
    path = folder / "provenance.qg"
    config = AggregatorConfig(output_path=str(path), mock_storage_classes=True, **options)
    aggregate_graph(str(graph_file), str(root), config)
    return path


def test_aggregator(both: Callable[[Tool], dict[str, Any]]) -> None:
    left = both(lambda *where: _provenance(_aggregate(*where)))
    # Three datasets of each quantum, two configurations and the packages; the aggregator believes the
    # metadata that all were written.
    assert len(left["refs"]) == 3 * 2 * DETECTORS + 3
    assert len(left["unreadable"]) == 1


def test_ingest_graph(both: Callable[[Tool], dict[str, Any]]) -> None:
    def tool(root: Path, graph_file: Path, folder: Path) -> Any:
        path = _aggregate(root, graph_file, folder, promise_ingest_graph=True)
        ingest_graph(str(root), str(path), transfer="copy")
        with Butler.from_config(str(root)) as butler:
            return sorted(collection for collection in butler.collections.query("*"))

    left = both(tool)
    names = {ref.datasetType.name for ref in left["refs"].values()}
    assert left["graphs"] == 1
    assert any(name.endswith("_metadata") for name in names)


def test_transfer_from_graph(both: Callable[[Tool], dict[str, Any]]) -> None:
    def tool(root: Path, graph_file: Path, folder: Path) -> int:
        return transfer_from_graph(
            str(graph_file),
            str(root),
            register_dataset_types=True,
            transfer_dimensions=False,
            update_output_chain=True,
            dry_run=False,
            dataset_type=(),
        )

    left = both(tool)
    assert left["returned"] == len(left["refs"]) == 3 * 2 * DETECTORS + 3 - 1


def test_zip_from_graph(both: Callable[[Tool], dict[str, Any]]) -> None:
    def tool(root: Path, graph_file: Path, folder: Path) -> dict[str, bytes]:
        zip_from_graph(str(graph_file), str(root), str(folder), ("*_metadata",))
        return _files(folder)

    assert len(both(tool)["returned"]) == 1


def test_retrieve_artifacts_for_quanta(both: Callable[[Tool], dict[str, Any]]) -> None:
    def tool(root: Path, graph_file: Path, folder: Path) -> dict[str, bytes]:
        everything = {"qgraph_node_id": [], "include_inputs": True, "include_outputs": False}
        retrieve_artifacts_for_quanta(
            str(graph_file), str(root), str(folder), "copy", preserve_path=True, clobber=False, **everything
        )
        return _files(folder)

    assert both(tool)["returned"]
