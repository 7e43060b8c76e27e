"""The demonstration, end to end, and that it notices every kind of difference."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

from lsst.pipe.base import TaskMetadata

from quantum_butler import Archive, ProvenanceLog, QuantumProvenanceData, collect
from quantum_butler.demo import graph as demo_graph
from quantum_butler.demo.comparison import Outputs, compare_outputs
from quantum_butler.demo.gathered import Predicted, compare_archive, gather

RUN_MAIN = "from quantum_butler.cli.main import main; main(prog_name='quantum-butler')"
COMMAND = [sys.executable, "-c", RUN_MAIN, "demo"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_butlers_leave_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--detectors", "1", "--format", "json", "--keep", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["differences"] == []
    for side in ("stock", "ours"):
        # Three datasets for each of two quanta, two configurations and the packages.
        assert report[side]["datasets_written"] == report[side]["datasets_read_back"] == 3 * 2 + 3
        assert report[side]["quanta"] == 2
        assert report[side]["ms_per_quantum"] > 0
    provenance = report["provenance"]
    assert [provenance[f"{role}_inputs"] for role in ("predicted", "available", "actual")] == [1, 1, 1]
    assert [provenance[name] for name in ("predicted_outputs", "actual_outputs", "records")] == [3, 3, 3]
    assert (tmp_path / "ours" / "butler.yaml").exists()
    # Two tasks for one detector, with one input and three outputs each.
    gathered = report["gathered"]
    counts = {name: gathered[name] for name in ("quanta", "datasets", "edges", "records")}
    assert counts == {"quanta": 2, "datasets": 1 + 3 * 2, "edges": 4 * 2, "records": 3 * 2}
    stats, lineage = gathered["asked"]
    assert [task["task_label"] for task in stats["content"]["tasks"]] == ["first", "second"]
    assert stats["content"]["total"]["missing_outputs"] == stats["content"]["total"]["unused_inputs"] == 0
    assert [one["task_label"] for one in lineage["content"]["quanta"]] == ["second", "first"]
    assert len(lineage["content"]["datasets"]) == 3
    # The same graph from the shell, in two processes each.
    stock, exec_, run = report["commands"]
    assert [one["quanta"] for one in (stock, exec_, run)] == [2, 2, 2]
    assert "exec" in exec_["command"] and "quantum-butler run" in run["command"]
    # Stock starts a Python for each quantum.
    assert stock["processor_seconds"] > max(exec_["processor_seconds"], run["processor_seconds"])
    # The final job has registered it, and upstream reports of it.
    aggregated, reported = report["final_job"]
    assert "run.qg: 2 quanta (0 failed or blocked)" in aggregated["text"]
    assert " datasets registered, 0 were there already" in aggregated["text"]
    assert reported["command"].startswith("butler provenance-report run.qg")
    assert "TOTAL EXPECTED" in reported["text"]
    # What it says was asked can be asked again, and the log is there for other tools.
    again = subprocess.run(
        [*COMMAND[:-1], *lineage["command"].split()[1:]], capture_output=True, text=True, cwd=tmp_path
    )
    assert again.stdout == lineage["text"]
    [log] = (tmp_path / "logs").iterdir()
    assert {json.loads(line)["task_label"] for line in log.read_text().splitlines()} == {"first", "second"}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = subprocess.run([*COMMAND, "--keep", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_patch_without_effect_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_graph, "install", lambda: None)
    monkeypatch.setattr(demo_graph, "uninstall", lambda: None)
    with pytest.raises(demo_graph.DemoError, match="QuantumBackedButler"), demo_graph.in_force("ours"):
        pytest.fail("the stock class was taken for ours")


@pytest.mark.slow
def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    # In a process of its own, since the command sets logging up for all of it.
    code = "from quantum_butler.demo.graph import pipetask; pipetask('run-qbb', 'nowhere', 'nothing.qg')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "DemoError: pipetask run-qbb failed with exit status 1" in done.stderr


OUTPUT, LOG = UUID(int=1), UUID(int=2)


class Ref(SimpleNamespace):
    """What the comparison looks at in a `DatasetRef`."""


def record(**other: Any) -> Any:
    """Return one record of a log, in which something may be different."""
    usual = {
        "message": "at 1.5 s in /repo",
        "asctime": "noon",
        "process": 1,
        "levelname": "INFO",
        "name": "lsst",
    }
    return SimpleNamespace(**{**usual, "exc_info": None, "MDC": {}, **other})


def test_what_is_repeatable_in_metadata() -> None:
    metadata = TaskMetadata.from_dict(
        {"quantum": {"startUtc": "noon", "n": [1, 2], "butler": {"time_in_get": 1.5}}}
    )
    about = outputs()
    about.refs[LOG].datasetType.name = "task_metadata"
    about.contents[LOG] = metadata
    assert about.repeatable(LOG) == {
        "quantum.startUtc": None,
        "quantum.n": [1, 2],
        "quantum.butler.time_in_get": None,
    }


def outputs() -> Outputs:
    """Return one dataset with content, and one about the run."""
    refs = {
        dataset_id: Ref(id=dataset_id, datasetType=SimpleNamespace(name=name))
        for dataset_id, name in ((OUTPUT, "image"), (LOG, "task_log"))
    }
    return Outputs(
        refs=refs,  # type: ignore[arg-type]
        contents={OUTPUT: 1.5, LOG: [record()]},
        unreadable={},
        records={OUTPUT: ["image.fits"], LOG: ["task.log"]},
        files={Path("image.fits"), Path("task.log")},
        root=Path("/repo"),
    )


def graph_of(*predicted: Any) -> Any:
    """Return what the comparison looks at in a graph: one quantum's outputs."""
    nodes = SimpleNamespace(outputs={"image": list(predicted)})
    return SimpleNamespace(quantum_only_xgraph=SimpleNamespace(nodes=lambda data: [(0, {"quantum": nodes})]))


def test_equal_outputs_have_no_differences() -> None:
    ours = outputs()
    ours.root = Path("/copy")
    ours.contents[LOG] = [record(message="at 2.5 s in /copy", asctime="midnight", process=2)]
    assert compare_outputs(outputs(), ours, graph_of(ours.refs[OUTPUT])) == []


def lose(ours: Outputs) -> None:
    del ours.refs[OUTPUT], ours.contents[OUTPUT], ours.records[OUTPUT]


def spoil(ours: Outputs) -> None:
    del ours.contents[OUTPUT]
    ours.unreadable[OUTPUT] = FileNotFoundError("image.fits")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lose, "not in the repository"),
        (spoil, "cannot be read"),
        (lambda ours: ours.contents.update({OUTPUT: 2.5}), "content"),
        (lambda ours: ours.contents[LOG].append(record(message="Unable to import")), "task_log"),
        (lambda ours: ours.records.update({LOG: []}), "records"),
        (lambda ours: ours.refs[LOG].__dict__.update(run="elsewhere"), "elsewhere"),
        (lambda ours: ours.files.add(Path("image.fits.tmp")), "image.fits.tmp"),
        (lambda ours: ours.contents.clear(), "no dataset to compare"),
    ],
)
def test_a_difference_is_told(change: Callable[[Outputs], None], text: str) -> None:
    ours = outputs()
    change(ours)
    [difference] = compare_outputs(outputs(), ours, graph_of())
    assert text in difference


def test_a_predicted_output_that_neither_wrote_is_told_twice() -> None:
    missing = Ref(id=UUID(int=3))
    assert len(compare_outputs(outputs(), outputs(), graph_of(missing))) == 2


FIRST, SECOND = UUID(int=10), UUID(int=11)
RAW, IMAGE, COADD = UUID(int=20), UUID(int=21), UUID(int=22)


def predicted() -> dict[UUID, Predicted]:
    """Return what a graph says of two quanta, one after the other."""
    return {
        FIRST: Predicted("first", {"detector": 1}, {RAW}, {IMAGE}),
        SECOND: Predicted("second", {"detector": 1}, {IMAGE}, {COADD}),
    }


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Return the archive of a run of that graph."""
    with ProvenanceLog(tmp_path / "log.jsonl") as log:
        for quantum_id, (label, data_id, inputs, outputs) in predicted().items():
            model = QuantumProvenanceData(
                predicted_inputs=inputs,
                available_inputs=inputs,
                actual_inputs=inputs,
                predicted_outputs=outputs,
                actual_outputs=outputs,
                datastore_records={},
            )
            log.append(quantum_id, model, task_label=label, data_id=data_id)
    collect(tmp_path / "log.jsonl", tmp_path / "archive")
    return Archive(tmp_path / "archive")


def test_an_archive_of_the_graph_has_no_differences(archive: Archive) -> None:
    assert compare_archive(archive, predicted(), COADD) == []


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({SECOND: None}, f"quantum {SECOND} is in only one"),
        ({UUID(int=12): predicted()[FIRST]}, f"quantum {UUID(int=12)} is in only one"),
        ({FIRST: predicted()[FIRST]._replace(task_label="other")}, "another label"),
        ({FIRST: predicted()[FIRST]._replace(data_id={"detector": 2})}, "another label or data ID"),
        ({FIRST: predicted()[FIRST]._replace(inputs={RAW, COADD})}, "predicted_inputs"),
        ({FIRST: predicted()[FIRST]._replace(outputs=set())}, "actual_outputs"),
    ],
)
def test_an_archive_of_something_else_is_told(
    archive: Archive, changed: dict[UUID, Predicted | None], text: str
) -> None:
    graph = {id_: one for id_, one in {**predicted(), **changed}.items() if one is not None}
    assert any(text in difference for difference in compare_archive(archive, graph, COADD))


def test_a_run_without_a_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(demo_graph.DemoError, match="not logged"):
        gather(tmp_path / "logs", tmp_path / "archive", SimpleNamespace())  # type: ignore[arg-type]
