"""What stands in the way of a final job is told, harms nothing, and is no obstacle once it is gone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from lsst.daf.butler import Butler
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

import postgres
from commands import run
from final_jobs import Finished, aggregated_by_upstream, final_state, read
from full_disks import Disk, disk, read_only  # noqa: F401
from graph_contents import upstream_provenance
from interpreters import collected_here
from mixed_run import RUN
from quantum_butler import AggregateError, IngestOptions, PredictedGraph, aggregate
from quantum_butler.aggregating import driver, sharing
from quantum_butler.aggregating.errors import errors_of_storage_classes


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_CHUNK", 3)


def register(root: Path, finished: Finished, *, other_id: bool) -> Any:
    """Have another process register an output first, in another run or with another id; return it."""
    graph = PredictedQuantumGraph.read_execution_quanta(str(finished.graph_file))
    graph.build_execution_quanta()
    quantum = graph.quantum_only_xgraph.nodes[finished.run.quanta["one", 2]]["quantum"]
    [(ref,)] = (refs for of, refs in quantum.outputs.items() if of.name == "one_output")
    other = type(ref)(
        ref.datasetType, ref.dataId, RUN if other_id else "another/run", id=None if other_id else ref.id
    )
    with Butler.from_config(str(root), writeable=True) as butler:
        butler.registry.registerDatasetType(ref.datasetType)
        butler.collections.register(other.run)
        butler.registry._importDatasets([other])
    return ref


@pytest.mark.parametrize("other_id", [True, False])
def test_a_conflict_names_the_dataset(on_sqlite: Finished, tmp_path: Path, other_id: bool) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    ref = register(root, on_sqlite, other_id=other_id)
    message = (
        rf"^{root}: the repository refuses a batch: .*dataset {ref.id} was to be one_output .*detector: 2.*"
    )
    with pytest.raises(AggregateError, match=message) as caught:
        aggregate(on_sqlite.graph_file, str(root), path, ingest=IngestOptions(batch=5))
    assert repr(RUN) in str(caught.value)
    assert ("another/run" in str(caught.value)) is not other_id
    assert not path.exists()


def test_a_storage_class_that_nobody_knows(on_sqlite: Finished, tmp_path: Path) -> None:
    """Which one it is is said, and what makes it known; of mocks that is an option."""
    command = (sys.executable, "-m", "quantum_butler", "aggregate", on_sqlite.graph_file)
    done = run(*command, on_sqlite.run.root, "-o", tmp_path / "ours.qg")
    assert done.returncode == 1
    assert f"\nError: {on_sqlite.graph_file}: the storage class _mock_" in done.stderr
    assert "--mock-storage-classes" in done.stderr
    graph = PredictedGraph(on_sqlite.graph_file)
    known = graph.dataset_types["one_metadata"].storage_class
    with pytest.raises(AggregateError, match=f"{known} of dataset type .*DAF_BUTLER_CONFIG_PATH"):
        with errors_of_storage_classes(graph):
            raise KeyError(known)
    with pytest.raises(KeyError, match="other"), errors_of_storage_classes(graph):
        raise KeyError("other")


def test_a_repository_that_is_read_only(on_sqlite: Finished, tmp_path: Path) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    before = final_state(root)
    path.write_text("what was there")
    with read_only(root):
        # Upstream's registry leaves a connection open that it cannot use.
        with collected_here(), pytest.raises(AggregateError, match=rf"^{root}: .*read-?only"):
            aggregate(on_sqlite.graph_file, str(root), path, overwrite=True, ingest=IngestOptions())
        assert path.read_text() == "what was there"
        # To write the graph is not to write to the repository.
        aggregate(on_sqlite.graph_file, str(root), path, overwrite=True)
    assert len(upstream_provenance(path)["quanta"]) == 31
    assert final_state(root) == before


def test_a_database_that_is_read_only(
    finished: Callable[[str], Finished], postgres_server: postgres.Server, tmp_path: Path
) -> None:
    run = finished("postgresql")
    root, path = run.repository(), tmp_path / "ours.qg"
    before = final_state(root)
    postgres_server.forbid(yaml.safe_load((root / "butler.yaml").read_text())["registry"]["db"])
    with pytest.raises(AggregateError, match=rf"^{root}: .*read-only"):
        aggregate(run.graph_file, str(root), path, ingest=IngestOptions())
    assert not path.exists()
    assert final_state(root) == before


@pytest.mark.parametrize("last", [3, 20])
def test_a_database_that_goes_away(
    finished: Callable[[str], Finished], postgres_server: postgres.Server, tmp_path: Path, last: int
) -> None:
    run = finished("postgresql")
    theirs, mine, path = run.repository(), run.repository(), tmp_path / "ours.qg"
    aggregated_by_upstream(theirs, run.run, tmp_path, promise_ingest_graph=True)
    stopped = []

    def stop(progress: Any) -> None:
        if progress.done >= last and not stopped:
            postgres_server.stop()
            stopped.append(progress.done)

    try:
        with pytest.raises(AggregateError, match=rf"^{mine}: the registry does not take it: "):
            aggregate(run.graph_file, str(mine), path, ingest=IngestOptions(batch=5), progress=stop)
    finally:
        if stopped:
            postgres_server.begin()
    assert stopped
    assert not path.exists()
    report = aggregate(run.graph_file, str(mine), path, ingest=IngestOptions(batch=5))
    assert (report.quanta, report.failed) == (31, 5)
    path.unlink()
    found, expected = final_state(mine, numbers=False), final_state(theirs, numbers=False)
    for name, rows in expected.items():
        assert found[name] == rows, name
    assert read(mine) == read(theirs)


def test_a_graph_of_another_repository(on_sqlite: Finished, tmp_path: Path) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    shutil.rmtree(root / "mixed")
    before = final_state(root)
    with pytest.raises(AggregateError, match=rf"^{root}: .*{RUN}.* the graph is of another repository"):
        aggregate(on_sqlite.graph_file, str(root), path, ingest=IngestOptions())
    assert final_state(root) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("last", [0, 20, 31])
def test_a_full_disk(on_sqlite: Finished, disk: Disk, last: int) -> None:  # noqa: F811
    root, path = on_sqlite.repository(), disk.folder / "ours.qg"
    path.write_text("what was there")
    filled = []

    def fill(progress: Any) -> None:
        if progress.done >= last and not filled:
            disk.fill()
            filled.append(progress.done)

    if not last:
        fill(driver.Progress("", 0, 0, 0, False))
    options: dict[str, Any] = {"overwrite": True, "ingest": IngestOptions(batch=5)}
    with pytest.raises((AggregateError, OSError), match=r"[Nn]o space left"):
        aggregate(on_sqlite.graph_file, str(root), path, progress=fill, **options)
    assert filled
    assert path.read_text() == "what was there"
    disk.free()
    report = aggregate(on_sqlite.graph_file, str(root), path, **options)
    assert (report.quanta, report.failed) == (31, 5)
    assert len(upstream_provenance(path)["quanta"]) == 31
    assert [one.name for one in disk.folder.iterdir()] == ["ours.qg"]
