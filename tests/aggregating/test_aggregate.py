"""A graph that is aggregated tells upstream's reader what upstream's aggregator would have had it tell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from click.testing import CliRunner

from final_jobs import Finished
from graph_contents import comparable_provenance
from mixed_run import MixedRun
from mixed_run import aggregate as upstream_aggregate
from quantum_butler import Archive, Compression, QuantumGraphError, aggregate
from quantum_butler.aggregating import sharing
from quantum_butler.cli.main import main


@pytest.fixture(scope="module")
def run(finished: Callable[[str], Finished]) -> MixedRun:
    """Return a run in which quanta end in every way there is; leave it as it is."""
    return finished("sqlite").run


@pytest.fixture(scope="module")
def theirs(run: MixedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the graph of upstream's aggregator tells."""
    path = tmp_path_factory.mktemp("theirs") / "theirs.qg"
    return comparable_provenance(upstream_aggregate(run.root, run.graph_file, path))


@pytest.mark.parametrize("samples", [20, 512])
def test_the_graph_is_that_of_upstream(
    run: MixedRun, theirs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    # With few samples the dictionary is there before the last quanta are.
    monkeypatch.setattr(sharing, "_CHUNK", 3)
    path = tmp_path / "ours.qg"
    seen = []
    report = aggregate(
        run.graph_file,
        str(run.root),
        path,
        compression=Compression(samples=samples),
        progress=seen.append,
    )
    assert (report.path, report.quanta, report.failed) == (str(path), 31, 5)
    assert not report.is_empty
    assert report.datasets == len(theirs["datasets"])
    assert (seen[-1].done, seen[-1].total) == (31, 31)
    found = comparable_provenance(path)
    assert found.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert found[name] == expected, name
    assert [one.name for one in tmp_path.iterdir()] == ["ours.qg"]


@pytest.mark.proof
def test_processes_find_the_same(run: MixedRun, theirs: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ours.qg"
    aggregate(run.graph_file, str(run.root), path, jobs=2, mock_storage_classes=True)
    assert comparable_provenance(path) == theirs


def test_a_run_that_has_not_begun(run: MixedRun, tmp_path: Path) -> None:
    root = tmp_path / "repo"
    shutil.copytree(run.root, root)
    shutil.rmtree(root / "mixed")
    path = tmp_path / "ours.qg"
    report = aggregate(run.graph_file, str(root), path)
    expected = comparable_provenance(upstream_aggregate(root, run.graph_file, tmp_path / "theirs.qg"))
    assert (report.quanta, report.failed, report.is_empty) == (31, 31, True)
    command = ["aggregate", str(run.graph_file), str(root), "-o", str(path), "--overwrite"]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, f"nothing at all in {root}" in result.stderr) == (0, True)
    assert comparable_provenance(path) == expected


def test_command(run: MixedRun, tmp_path: Path) -> None:
    path = tmp_path / "ours.qg"

    def call(*arguments: object, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["aggregate", *map(str, arguments)])
        assert result.exit_code == status, result.output
        return result.stdout if status == 0 else result.output

    assert "ours.qg: 31 quanta (5 failed or blocked), " in call(run.graph_file, run.root, "-o", path)
    assert "--overwrite replaces it" in call(run.graph_file, run.root, "-o", path, status=2)
    before = path.read_bytes()
    assert "not a" in call(path, run.root, "-o", path, "--overwrite", status=1)
    assert path.read_bytes() == before
    found = json.loads(call(run.graph_file, run.root, "-o", path, "--overwrite", "--format", "json"))
    assert found["quanta"] == 31
    nowhere = tmp_path / "nowhere"
    assert f"Error: {nowhere}: " in call(run.graph_file, nowhere, "-o", tmp_path / "other.qg", status=2)
    with pytest.raises(QuantumGraphError, match=r"nothing\.qg"):
        (tmp_path / "nothing.qg").write_text("")
        aggregate(tmp_path / "nothing.qg", str(run.root), tmp_path / "other.qg")
    assert not (tmp_path / "other.qg").exists()


def test_command_registers(on_sqlite: Finished, tmp_path: Path) -> None:
    root = on_sqlite.repository()

    def call(*arguments: object, status: int = 0) -> str:
        command = ["aggregate", str(on_sqlite.graph_file), str(root), *map(str, arguments)]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == status, result.output
        return result.stdout if status == 0 else result.output

    assert "say what to do" in call(status=2)
    assert "--batch is for --ingest" in call("--incomplete", "--batch", 5, status=2)
    assert "31 quanta: 26 have succeeded, 2 have not yet, 3 wait for others" in call("--incomplete")
    told = call("--ingest", "--incomplete", "--keep-files", "--batch", 5)
    assert "26 have succeeded" in told
    assert " datasets registered, 0 were there already" in told
    path = tmp_path / "ours.qg"
    assert "none is written" in call("--ingest", "--keep-files", "--archive", tmp_path / "archive", status=2)
    told = call("--ingest", "-o", path, "--zstd-level", 1, "--archive", tmp_path / "archive")
    assert Archive(tmp_path / "archive").quanta.count_rows() == 31
    # The same command changes nothing; an archive of something else is refused.
    manifest = (tmp_path / "archive" / "manifest.json").read_text()
    again = call("--ingest", "-o", path, "--archive", tmp_path / "archive")
    assert "31 quanta (5 failed or blocked), 106 datasets" in again
    assert (tmp_path / "archive" / "manifest.json").read_text() == manifest
    assert "--overwrite replaces it" in call("--ingest", "--archive", tmp_path / "archive", status=2)
    call("--ingest", "--archive", tmp_path / "second")
    assert "0 datasets registered" in call("--ingest", "--archive", tmp_path / "second")
    assert "ours.qg: 31 quanta (5 failed or blocked), 106 datasets" in told
    assert path.exists()
    found = json.loads(call("--ingest", "--format", "json"))
    assert (found["quanta"], found["failed"], found["datasets"], found["registered"]) == (31, 5, 106, 0)
