"""Logs and metadata of an archive's quanta are what upstream finds in the repository, and in its graph."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from lsst.daf.butler import QuantumBackedButler
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from mixed_run import MixedRun, aggregate, make_mixed_run
from quantum_butler import ProvenanceGraph, collect
from quantum_butler.cli.main import main
from quantum_butler.switches import CONTENTS_SWITCH, LOG_SWITCH

# What the helper has changed on disk after the quanta had run.
CHANGED = {("four", 0), ("four", 4), ("one", 0)}


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.stderr
    return result


def told(command: str, archive: Path, *arguments: object) -> dict[uuid.UUID, list[Any]]:
    """Return the attempts of quanta, whose numbers may be none that JSON has."""
    lines = run(command, archive, *arguments, "--format", "json").stdout.splitlines()
    return {uuid.UUID(one["quantum_id"]): one["attempts"] for one in map(json.loads, lines)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logged")


@pytest.fixture(scope="module")
def mixed(folder: Path) -> MixedRun:
    """Return a run that is logged with contents; leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG_SWITCH, str(folder / "logs"))
        patch.setenv(CONTENTS_SWITCH, "1")
        return make_mixed_run(folder)


@pytest.fixture(scope="module")
def archive(mixed: MixedRun, folder: Path) -> Path:
    """Return an archive of the logs, cut into several."""
    lines = [line for log in (folder / "logs").iterdir() for line in log.read_bytes().splitlines(True)]
    shutil.rmtree(folder / "logs")
    (folder / "logs").mkdir()
    for number in range(3):
        (folder / "logs" / f"{number}.jsonl").write_bytes(b"".join(lines[number::3]))
    collect([folder / "logs", mixed.graph_file], folder / "campaign")
    return folder / "campaign"


def test_they_are_those_of_upstreams_graph(mixed: MixedRun, archive: Path, folder: Path) -> None:
    graph = ProvenanceGraph(aggregate(mixed.root, mixed.graph_file, folder / "theirs.qg"))
    several = False
    for command, ask in (("log", graph.logs), ("metadata", graph.metadata)):
        found = told(command, archive, "--where", "visit = 7")
        assert {*found} == {*mixed.quanta.values()}
        for name, id_ in mixed.quanta.items():
            if name not in CHANGED:
                several |= len(found[id_]) > 1
                assert found[id_] == ask(id_), name
    # Among them is a quantum that has failed twice.
    assert several
    blocked = mixed.quanta["two", 1]
    assert told("log", archive, blocked) == {blocked: []}


def test_they_are_those_that_the_butler_gets(mixed: MixedRun, archive: Path) -> None:
    graph = PredictedQuantumGraph.read_execution_quanta(str(mixed.graph_file))
    id_ = mixed.quanta["four", 3]
    quantum = graph.build_execution_quanta([id_])[id_]
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}
    with QuantumBackedButler.initialize(
        str(mixed.root), quantum, graph.pipeline_graph.universe, dataset_types=types
    ) as butler:
        metadata, log = (
            butler.get(ref)
            for name in ("four_metadata", "four_log")
            for refs in quantum.outputs.values()
            for ref in refs
            if ref.datasetType.name == name
        )
    (found,) = told("metadata", archive, "four", "detector=3")[id_]
    assert found == json.loads(metadata.model_dump_json())
    (records,) = told("log", archive, "four", "detector=3")[id_]
    assert [one["message"] for one in records] == [one.message for one in log] and records
    text = run("log", archive, "four", "detector=3").stdout
    assert next(line for line in text.splitlines() if line[0] != "#") == str(log[0]).splitlines()[0]


def test_logs_that_were_moved(mixed: MixedRun, archive: Path, folder: Path, tmp_path: Path) -> None:
    id_ = mixed.quanta["four", 3]
    expected = told("log", archive, id_)
    assert expected[id_][0]
    place = tmp_path / "now"
    shutil.move(folder / "logs", place)
    try:
        said = run("log", archive, id_, status=1).stderr
        assert str(folder / "logs") in said and "is not there; --logs FOLDER" in said
        for where in ([place], [tmp_path], [tmp_path / "now", folder]):
            options = [word for one in where for word in ("--logs", one)]
            assert told("log", archive, id_, *options) == expected
        # A folder with other logs has nothing of it.
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "x.jsonl").write_text("")
        said = run("log", archive, id_, "--logs", tmp_path / "other", status=1).stderr
        assert "--provenance-contents" in said
        run("log", archive, id_, "--logs", tmp_path / "nowhere", status=2)
    finally:
        shutil.move(place, folder / "logs")


def test_logs_without_contents(mixed: MixedRun, folder: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for log in (folder / "logs").iterdir():
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        text = "".join(json.dumps(one | {"contents": None}) + "\n" for one in entries)
        (tmp_path / "logs" / log.name).write_text(text)
    collect(tmp_path / "logs", tmp_path / "archive")
    for command in ("log", "metadata"):
        said = run(command, tmp_path / "archive", "--task", "two", status=1).stderr
        assert (
            str(tmp_path / "archive") in said and "--provenance-contents" in said and CONTENTS_SWITCH in said
        )
    # A provenance graph among the sources has them.
    theirs = aggregate(mixed.root, mixed.graph_file, tmp_path / "theirs.qg")
    collect([tmp_path / "logs", theirs], tmp_path / "both")
    found = told("log", tmp_path / "both", "four", "detector=3")
    assert found == told("log", archive, "four", "detector=3")


def test_contents_that_are_damaged(mixed: MixedRun, folder: Path, tmp_path: Path) -> None:
    id_ = mixed.quanta["four", 3]
    for log in (folder / "logs").iterdir():
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if entry["quantum_id"] == str(id_):
                entry["contents"]["dictionary"] = 9
                (tmp_path / "log.jsonl").write_text(json.dumps(entry) + "\n")
    collect(tmp_path / "log.jsonl", tmp_path / "archive")
    said = run("metadata", tmp_path / "archive", id_, status=1).stderr
    assert str(id_) in said and "no dictionary 9" in said
