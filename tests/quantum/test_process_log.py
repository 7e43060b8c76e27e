"""Butlers that append to the log of their process when they are closed."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lsst.daf.butler
import numpy
import pyarrow.parquet as pq
import pytest
from lsst.daf.butler import Quantum

import quantum_butler
from commands import graph_repository, run_exec
from provenance_lines import as_sets
from quantum_butler import (
    ProvenanceLog,
    QuantumBackedButler,
    QuantumBackedButlerFactory,
    QuantumProvenanceData,
    collect,
)
from quantum_butler.butler import state
from quantum_butler.quantum import process_log as process_log_module
from quantum_butler.quantum.process_log import ProcessLog, QuantumLabel, label_of, process_log
from repositories import Repository


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """Leave nothing installed."""
    yield
    quantum_butler.uninstall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "of this run"


def lines(folder: Path) -> list[dict[str, Any]]:
    """Read every log of a folder with nothing of ours."""
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def quantum_of(repository: Repository) -> Quantum:
    """Return a quantum that can be pickled, for which its task must exist."""
    made = repository.quantum(repository.stored["measured"], repository.predicted["derived"])
    return Quantum(
        taskName="collections.OrderedDict",
        dataId=made.dataId,
        inputs=made.inputs,
        outputs=made.outputs,
        datastore_records=made.datastore_records,
    )


def initialize(repository: Repository, quantum: Quantum) -> Any:
    return lsst.daf.butler.QuantumBackedButler.initialize(
        str(repository.root), quantum, repository.universe, dataset_types=repository.dataset_types
    )


def work(butler: Any, quantum: Quantum) -> None:
    (inputs,), (outputs,) = quantum.inputs.values(), quantum.outputs.values()
    butler.stored_many(inputs)
    butler.get(inputs[0])
    butler.put({"a": 1}, outputs[0])


def test_a_closed_butler_has_appended(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    before = datetime.now(UTC)
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
        written = datetime.now(UTC)
        expected = json.loads(butler.extract_provenance_data().model_dump_json())
        # The folder has been tried, and there is nothing before the first quantum is done.
        assert list(folder.iterdir()) == []
    butler.close()
    (line,) = lines(folder)
    heading = {name: line.pop(name) for name in ("quantum_id", "task_label", "data_id", "failed")}
    assert heading == {
        "quantum_id": str(label_of(quantum).quantum_id),
        "task_label": quantum.taskName,
        "data_id": None if quantum.dataId is None else dict(quantum.dataId.required),
        "failed": False,
    }
    # Nobody has put metadata or a log.
    assert (line["execution"]["status"], line["execution"]["process"]) == (None, os.getpid())
    begin, end = (datetime.fromisoformat(line.pop(name)) for name in ("begin", "end"))
    # From when the butler was made until it was closed.
    assert before <= begin < written < end <= datetime.now(UTC)
    assert as_sets(line) == as_sets(expected)


def test_the_variable_names_the_folder(
    repository: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantum = quantum_of(repository)
    monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", str(folder))
    quantum_butler.install()
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
    assert len(lines(folder)) == 1
    # What `install` is told comes first, and goes with `uninstall`.
    quantum_butler.install(provenance_log=folder / "other")
    with initialize(repository, quantum) as butler:
        butler.get(next(iter(quantum.inputs.values()))[0])
    assert len(lines(folder / "other")) == 1
    quantum_butler.uninstall()
    for value, logs in (("", False), (str(folder / "third"), True)):
        monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", value)
        assert (process_log() is not None) == logs


def test_without_a_folder_there_is_no_log(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install()
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
        assert process_log() is None
    assert not folder.exists()


def test_a_factorys_butlers_append_too(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    make = QuantumBackedButlerFactory(
        str(repository.root), repository.universe, dataset_types=repository.dataset_types
    )
    for _ in range(3):
        with make(quantum) as butler:
            butler.get(next(iter(quantum.inputs.values()))[0])
    assert len(lines(folder)) == 3
    assert len(list(folder.iterdir())) == 1


def test_a_failed_quantum_is_there(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with pytest.raises(ZeroDivisionError), initialize(repository, quantum):
        1 / 0  # noqa: B018
    with pytest.raises(ZeroDivisionError), initialize(repository, quantum) as butler:
        butler.get(next(iter(quantum.inputs.values()))[0])
        1 / 0  # noqa: B018
    before, after = lines(folder)
    assert before["failed"] and after["failed"]
    assert before["actual_inputs"] == [] and len(after["actual_inputs"]) == 1
    assert before["predicted_inputs"] == after["predicted_inputs"] != []


def test_a_quantum_fails_by_its_own_exceptions_only(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    # As upstream's executor closes it.
    butler = initialize(repository, quantum)
    with pytest.raises(ZeroDivisionError):
        try:
            1 / 0  # noqa: B018
        finally:
            butler.close()
    try:
        raise KeyError("the first attempt")
    except KeyError:
        # A second attempt, while the first one's exception is handled.
        with initialize(repository, quantum) as butler:
            work(butler, quantum)
        # And one that finds its outputs, and does nothing.
        with initialize(repository, quantum) as butler:
            butler.stored_many(next(iter(quantum.outputs.values())))
        with pytest.raises(ZeroDivisionError), initialize(repository, quantum):
            1 / 0  # noqa: B018
    assert [line["failed"] for line in lines(folder)] == [True, False, True]


def test_what_succeeded_last_is_kept_whatever_order_the_logs_have(
    repository: Repository, folder: Path
) -> None:
    """One process logs first, another one fails, and then the first one succeeds."""
    derived = repository.predicted["derived"]
    quantum, other = repository.quantum([], derived[:1]), repository.quantum([], derived[1:2])
    logs = [process_log_module.ProcessLog(str(folder)) for _ in range(2)]

    def run(log: Any, one: Quantum, *, fails: bool = False) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state, "process_log", lambda: log)
            try:
                with initialize(repository, one) as butler:
                    if fails:
                        raise LookupError("an input")
                    for ref in itertools.chain.from_iterable(one.outputs.values()):
                        butler.put({"a": 1}, ref)
            except LookupError:
                assert fails

    quantum_butler.install(provenance_log=folder)
    run(logs[0], other)
    run(logs[1], quantum, fails=True)
    run(logs[0], quantum)
    # The log of the process that began later comes later.
    paths = sorted(folder.iterdir(), key=lambda path: str(label_of(other).quantum_id) not in path.read_text())
    for order in (paths, paths[::-1]):
        report = collect(order, folder.parent / "archive", overwrite=True)
        assert (report.quanta, report.replaced, report.rejected) == (2, 1, 0)
        rows = pq.read_table(folder.parent / "archive" / "quanta.parquet").to_pylist()
        found = {row["quantum_id"]: (row["actual_outputs"], row["failed"], row["attempts"]) for row in rows}
        assert found[label_of(quantum).quantum_id] == (1, False, 2)
        assert found[label_of(other).quantum_id] == (1, False, 1)


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (numpy.int64(7), 7),
        (2**63, str(2**63)),
        (numpy.uint64(2**64 - 1), str(2**64 - 1)),
        (1.5, "1.5"),
        (None, "None"),
        (True, 1),
    ],
)
def test_no_quantum_fails_because_of_its_label(
    repository: Repository, folder: Path, value: Any, logged: Any
) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
        butler._quantum_label = QuantumLabel(uuid.UUID(int=7), value, {"detector": value, "band": "r"})
    (line,) = lines(folder)
    assert line["actual_outputs"]
    assert line["data_id"] == {"detector": logged, "band": "r"}
    assert line["task_label"] == (None if value is None else str(value))
    assert collect(folder, folder.parent / "archive").rejections == []


def test_a_label_that_is_no_unicode_is_logged(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
        butler._quantum_label = QuantumLabel(uuid.UUID(int=7), "is\udc80r", {"band": "\ud800"})
    (line,) = lines(folder)
    assert line["task_label"].startswith("is") and line["data_id"]["band"]
    assert collect(folder, folder.parent / "archive").rejections == []


def test_a_quantum_that_is_passed_over_is_not_there(repository: Repository, folder: Path) -> None:
    # Its earlier run is, and must not be replaced.
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with initialize(repository, quantum) as butler:
        work(butler, quantum)
    with initialize(repository, quantum) as butler:
        (outputs,) = quantum.outputs.values()
        assert any(butler.stored_many(outputs).values())
    (line,) = lines(folder)
    assert line["actual_outputs"]


def test_butlers_of_no_quantum_do_not_append(repository: Repository, folder: Path) -> None:
    # Such as the one that upstream's `transfer-from-graph` makes for all quanta together.
    quantum_butler.install(provenance_log=folder)
    refs = repository.stored["measured"]
    with QuantumBackedButler.from_predicted(
        str(repository.root),
        [ref.id for ref in refs],
        [],
        repository.universe,
        quantum_of(repository).datastore_records,
        dataset_types=repository.dataset_types,
    ) as butler:
        butler.get(refs[0])
    assert list(folder.iterdir()) == []


def test_what_is_odd_is_logged_without_a_word(
    repository: Repository, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with initialize(repository, quantum) as butler:
        butler.get(next(iter(quantum.inputs.values()))[0])
        caplog.clear()
    assert lines(folder) and not caplog.records
    with initialize(repository, quantum) as butler:
        butler.extract_provenance_data()
    assert caplog.records


def test_closing_from_many_threads_appends_once(repository: Repository, folder: Path) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    butlers = [initialize(repository, quantum) for _ in range(8)]
    for butler in butlers:
        butler.get(next(iter(quantum.inputs.values()))[0])
    together = threading.Barrier(4)

    def close() -> None:
        together.wait()
        for butler in butlers:
            butler.close()

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(folder)) == len(butlers)
    assert len(list(folder.iterdir())) == 1


def test_a_log_that_cannot_be_written_is_an_error_and_the_butler_closed(
    repository: Repository, folder: Path
) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    butler = initialize(repository, quantum)
    butler.get(next(iter(quantum.inputs.values()))[0])
    # It was a folder when it was tried.
    folder.rmdir()
    folder.write_text("a file")
    with pytest.raises(OSError, match="of this run"):
        butler.close()
    with pytest.raises(quantum_butler.ClosedButlerError):
        butler.stored_many([])
    butler.close()


@pytest.mark.parametrize("how", ["install", "variable", "factory"])
def test_a_folder_that_cannot_be_written_is_known_before_the_first_quantum(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    quantum = quantum_of(repository)
    (outputs,) = quantum.outputs.values()
    before = sorted(repository.root.rglob("*"))
    (tmp_path / "file").write_text("")
    folder, records = tmp_path / "file" / "logs", tmp_path / "records.sqlite3"
    if how == "install":
        with pytest.raises(OSError, match="nothing can be written here") as caught:
            quantum_butler.install(provenance_log=folder)
        assert lsst.daf.butler.QuantumBackedButler is not QuantumBackedButler, "something was replaced"
    else:
        monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", str(folder))
        quantum_butler.install()
        make = QuantumBackedButlerFactory(str(repository.root), repository.universe)
        for _ in range(2):
            with pytest.raises(OSError, match="nothing can be written here") as caught:
                if how == "factory":
                    make(quantum, filename=records)
                else:
                    initialize(repository, quantum)
        # No file has begun with the quantum either: it can be tried again.
        assert not records.exists()
        monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", str(tmp_path / "logs"))
        with make(quantum, filename=records) as butler:
            butler.put({"a": 1}, outputs[0])
        assert len(lines(tmp_path / "logs")) == 1
        return
    assert caught.value.filename == str(folder)
    assert sorted(repository.root.rglob("*")) == before


def test_exec_does_not_start_what_cannot_be_logged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder, started = tmp_path / "file" / "logs", tmp_path / "started"
    for options, value in ((["--provenance-log", folder], ""), ([], str(folder)), ([], "s3://bucket/logs")):
        env = {**os.environ, "QUANTUM_BUTLER_PROVENANCE": value}
        done = run_exec(*options, "touch", started, env=env)
        assert done.returncode == 125
        (line,) = done.stderr.splitlines()
        assert "no provenance log" in line and (value or str(folder)) in line
        assert not started.exists()


def _run_one(root: str, quantum: bytes, folder: str) -> None:
    """Run a quantum in a process of its own."""
    quantum_butler.install(provenance_log=folder)
    # Quanta are unpickled only where the universe is there already.
    universe = lsst.daf.butler.DimensionUniverse()
    one = pickle.loads(quantum)
    with QuantumBackedButlerFactory(root, universe)(one) as butler:
        butler.get(next(iter(one.inputs.values()))[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_has_its_own(repository: Repository, folder: Path, method: str) -> None:
    quantum = quantum_of(repository)
    quantum_butler.install(provenance_log=folder)
    with initialize(repository, quantum) as butler:
        butler.get(next(iter(quantum.inputs.values()))[0])
    context = multiprocessing.get_context(method)
    arguments = (str(repository.root), pickle.dumps(quantum), str(folder))
    children = [context.Process(target=_run_one, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(list(folder.iterdir())) == 3
    assert len(lines(folder)) == 3


def test_the_id_is_always_the_same_for_the_same_quantum(repository: Repository) -> None:
    quantum = quantum_of(repository)
    one = label_of(quantum).quantum_id
    assert one == label_of(pickle.loads(pickle.dumps(quantum))).quantum_id
    assert one != label_of(repository.quantum([], repository.predicted["derived"][:1])).quantum_id
    graphs_id, node = uuid.uuid4(), type("TaskNode", (), {"label": "isr"})()

    def execute(task_node: Any, quantum: Quantum, quantum_id: uuid.UUID | None, asked: Quantum) -> Any:
        return (lambda quantum: label_of(quantum))(asked)

    assert execute(node, quantum, graphs_id, quantum)[:2] == (graphs_id, "isr")
    assert execute(node, quantum, None, quantum)[:2] == (one, "isr")
    assert execute(node, quantum_of(repository), graphs_id, quantum)[:2] == (one, quantum.taskName)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["-j", "1"], ["-j", "2", "--start-method", "spawn"]], ids=lambda options: options[1]
)
def test_an_unchanged_pipetask_leaves_provenance_behind(options: list[str], tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    with graph_repository(root) as (graph, quanta):
        pass
    command = ["pipetask", "run-qbb", *options, root, graph]
    env = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    logs = tmp_path / "logs"
    done = run_exec("--require", "--provenance-log", logs, *command, env=env)
    assert done.returncode == 0 and "nothing was logged" not in done.stderr, done.stderr
    said = lines(logs)
    assert len(list(logs.iterdir())) == (1 if options == ["-j", "1"] else quanta)

    from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

    with PredictedQuantumGraph.open(graph) as reader:
        reader.read_execution_quanta()
        predicted = reader.finish()
    infos = predicted.quantum_only_xgraph.nodes
    assert {uuid.UUID(line["quantum_id"]) for line in said} == set(infos)
    for line in said:
        assert line["task_label"] == infos[uuid.UUID(line["quantum_id"])]["task_label"]
        assert set(line["data_id"]) == {"instrument", "detector"}
        assert len(line["actual_inputs"]) == 1
        # The output, the metadata and the log.
        assert line["actual_outputs"] == line["predicted_outputs"] and len(line["actual_outputs"]) == 3

    # Run again, everything is passed over, and nothing is lost.
    done = run_exec("--provenance-log", logs, *command, env=env)
    assert done.returncode == 0 and "nothing was logged" not in done.stderr, done.stderr
    report = collect(str(logs), tmp_path / "archive")
    assert (report.quanta, report.rejected) == (quanta, 0)
    assert lines(logs) == said

    # Nothing is asked for, nothing is left.
    shutil.rmtree(logs)
    done = run_exec(*command, env=env)
    assert done.returncode == 0, done.stderr
    assert not logs.exists()


@pytest.mark.slow
def test_a_quantum_that_fails_in_pipetask_is_there(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    with graph_repository(root) as (graph, quanta):
        pass
    # Its input has gone.
    lost = next(path for path in (root / "input_run").rglob("*.json"))
    lost.write_text("no longer JSON")
    env = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    command = ["pipetask", "run-qbb", root, graph]
    done = run_exec("--require", "--provenance-log", tmp_path / "logs", *command, env=env)
    assert done.returncode != 0
    said = lines(tmp_path / "logs")
    assert len(said) == quanta
    assert sorted(len(line["actual_outputs"]) for line in said)[-1] == 3
    assert sorted(len(line["actual_outputs"]) for line in said)[0] < 3


def test_the_command_line_says_so(tmp_path: Path) -> None:
    done = run_exec(
        "--provenance-log", tmp_path / "logs", sys.executable, "-c",
        "import os; print(os.environ['QUANTUM_BUTLER_PROVENANCE'])",
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "logs")
    done = subprocess.run(
        [sys.executable, "-c", "from quantum_butler.cli.main import main; main()", "exec", "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "--provenance-log" in done.stdout


def test_a_shared_log_that_another_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead process has started may hold its log; nothing is lost for that."""
    monkeypatch.setattr(process_log_module, "_shared_name", "shared.jsonl")
    held = ProvenanceLog(tmp_path / "shared.jsonl")
    data = QuantumProvenanceData(
        predicted_inputs=set(),
        available_inputs=set(),
        actual_inputs=set(),
        predicted_outputs=set(),
        actual_outputs=set(),
        datastore_records={},
    )
    label = QuantumLabel(uuid.UUID(int=7), "task", None)
    ProcessLog(str(tmp_path)).append(label, data, failed=False)
    held.close()
    [other] = set(tmp_path.iterdir()) - {tmp_path / "shared.jsonl"}
    assert json.loads(other.read_text())["task_label"] == "task"
    ProcessLog(str(tmp_path)).append(label, data, failed=False)
    assert json.loads((tmp_path / "shared.jsonl").read_text())["task_label"] == "task"
