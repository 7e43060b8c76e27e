"""Metadata and logs that are in provenance logs alone: nothing is lost, and all are found that want them."""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from campaign_runs import Runs, only_threads_of_tests
from click.testing import CliRunner
from lsst.daf.butler import Butler
from lsst.daf.butler.logging import ButlerLogRecords
from lsst.pipe.base import TaskMetadata
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.tests.mocks import (
    DirectButlerRepo,
    DynamicConnectionConfig,
    DynamicTestPipelineTask,
    DynamicTestPipelineTaskConfig,
)

from final_jobs import aggregated_by_upstream, final_state
from graph_contents import comparable_provenance
from graph_runs import make_executor
from mixed_run import aggregate as upstream_aggregate
from quantum_butler import Archive, IngestOptions, aggregate, collect, transfer
from quantum_butler.aggregating.errors import AggregateError
from quantum_butler.cli.main import main
from quantum_butler.execution import WarmGraphExecutor
from quantum_butler.execution.executor import types_for_log
from quantum_butler.quantum.keeping import keeping_in_log, kept_types
from quantum_butler.quantum.process_log import ProcessLog
from quantum_butler.switches import set_log_folder

QUANTA = 6


def fail() -> None:
    raise RuntimeError("so be it")


def telling(root: Path) -> list[str]:
    """Return the files of metadata and logs."""
    return sorted(
        path.name for path in root.rglob("*.json") if "_metadata_" in path.name or "_log_" in path.name
    )


def told(root: Path) -> list[Any]:
    """Return what a butler reads of some metadata and logs."""
    with Butler.from_config(str(root), collections=["demo/run"]) as butler:
        types = ("first_metadata", "second_log")
        return [butler.get(ref) for name in types for ref in butler.query_datasets(name, order_by="detector")]


def lines(logs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for log in logs.iterdir() for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def kept(pristine: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return a run in which one quantum has failed at first; leave it as it is."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copytree(pristine[0], folder / "repo")
    with only_threads_of_tests(), pytest.MonkeyPatch.context() as patch:
        runs = Runs(folder, pristine[1], patch)
        assert not runs.run({("first", 1): fail}, metadata_in_log=True).is_success
        # Of what has failed, the log is where upstream looks for it.
        assert telling(runs.root) == ["first_log_DemoCam_detector1_demo_run.json"]
        assert runs.run(metadata_in_log=True, retry_failed=True).is_success
        yield runs


@pytest.fixture
def root(kept: Runs, tmp_path: Path) -> Path:
    """Return a copy of its repository."""
    shutil.copytree(kept.root, tmp_path / "repo")
    return tmp_path / "repo"


def test_there_are_no_files(kept: Runs) -> None:
    assert telling(kept.root) == []
    done = [line for line in lines(kept.logs) if not line["failed"]]
    assert len(done) == QUANTA
    for line in done:
        assert len(line["actual_outputs"]) == 3
        [records] = line["datastore_records"].values()
        recorded = set(records["dataset_ids"])
        assert len(recorded & set(line["actual_outputs"])) == 1
        assert line["contents"]["metadata"] and line["contents"]["log"]


def test_logs_tell_what_is_done(
    kept: Runs, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(kept.logs, tmp_path / "logs")
    runs = Runs(tmp_path, kept.graph, monkeypatch)
    before = len(lines(runs.logs))
    assert runs.run(metadata_in_log=True).is_success
    assert len(lines(runs.logs)) == before
    # What is not there any more is made again; a part of the graph finds in the logs what it needs.
    runs.journal.unlink()
    next(root.rglob("dataset_auto2_*detector0*")).unlink()
    assert runs.run(metadata_in_log=True, tasks=("second",)).is_success
    assert len(lines(runs.logs)) == before + 1
    # Something with the log of a failure is not done.
    runs.journal.unlink()
    log = next(root.rglob("first_log")) / "first_log_DemoCam_detector2_demo_run.json"
    log.write_text(ButlerLogRecords.from_records([], extra={}).to_json_data())
    assert runs.run(metadata_in_log=True).is_success
    assert len(lines(runs.logs)) == before + 2
    assert telling(root) == []
    # Who forgets the option does not have everything run again.
    runs.journal.unlink()
    assert runs.run().is_success
    assert len(lines(runs.logs)) == before + 2


@pytest.mark.parametrize("check", ["all", "sample", "none"])
def test_the_graph_is_that_of_files(kept: Runs, root: Path, tmp_path: Path, check: Any) -> None:
    report = aggregate(kept.graph, str(root), tmp_path / "ours.qg", logs=kept.logs, check=check)
    assert (report.quanta, report.logged, report.wrong, report.failed) == (QUANTA, QUANTA, 0, 0)
    assert not (tmp_path / "ours.qg.rejected.jsonl").exists()
    ours = comparable_provenance(tmp_path / "ours.qg")
    restored = aggregate(kept.graph, str(root), logs=kept.logs, restore_files=True)
    assert (restored.restored, restored.path) == (2 * QUANTA, None)
    assert len(telling(root)) == 2 * QUANTA
    theirs = comparable_provenance(upstream_aggregate(root, kept.graph, tmp_path / "theirs.qg"))
    for name, expected in theirs.items():
        assert ours[name] == expected, name
    # Files are compared with the logs now, byte by byte.
    again = aggregate(
        kept.graph, str(root), tmp_path / "again.qg", logs=kept.logs, check="all", restore_files=True
    )
    assert (again.restored, again.wrong) == (0, 0)
    changed = next(root.rglob("second_metadata_*detector1*"))
    changed.write_text(changed.read_text() + " ")
    assert aggregate(kept.graph, str(root), tmp_path / "wrong.qg", logs=kept.logs, check="all").wrong == 1


def test_a_file_that_a_log_tells_of_must_be_there(kept: Runs, root: Path, tmp_path: Path) -> None:
    """That a file is not there is no error only if the log does not claim that it is."""
    logs = tmp_path / "logs"
    shutil.copytree(kept.logs, logs)
    changed = 0
    for log in logs.iterdir():
        told = []
        for line in log.read_text().splitlines():
            one = json.loads(line)
            if not one["failed"] and not changed:
                [records] = one["datastore_records"].values()
                missing = set(one["actual_outputs"]) - set(records["dataset_ids"])
                [by_id] = records["records"].values()
                [some] = by_id.values()
                assert len(missing) == 2
                records["dataset_ids"] += missing
                by_id |= {other.replace("-", ""): some for other in missing}
                changed += 1
            told.append(json.dumps(one) + "\n")
        log.write_text("".join(told))
    assert changed == 1
    assert aggregate(kept.graph, str(root), tmp_path / "ours.qg", logs=logs, check="all").wrong == 1


def test_the_final_job(kept: Runs, root: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(root, theirs)
    aggregate(kept.graph, str(theirs), logs=kept.logs, restore_files=True)
    run: Any = SimpleNamespace(graph_file=kept.graph)
    aggregated_by_upstream(theirs, run, tmp_path, promise_ingest_graph=True)
    report = aggregate(kept.graph, str(root), logs=kept.logs, ingest=IngestOptions())
    assert report.without_files == 0
    assert final_state(root) == final_state(theirs)
    assert [*map(type, (mine := told(root)))] == [TaskMetadata] * 3 + [ButlerLogRecords] * 3
    as_text = (TaskMetadata.model_dump_json, ButlerLogRecords.to_json_data)
    assert [[one(each) for each in mine if hasattr(each, one.__name__)] for one in as_text] == [
        [one(each) for each in told(theirs) if hasattr(each, one.__name__)] for one in as_text
    ]
    with pytest.raises(AggregateError, match="are read from"):
        aggregate(kept.graph, str(root), logs=kept.logs, restore_files=True)


def test_logs_that_are_forgotten(kept: Runs, root: Path, tmp_path: Path) -> None:
    with pytest.raises(AggregateError, match=r"none of the 6 quanta that have outputs .* --logs"):
        aggregate(kept.graph, str(root), tmp_path / "ours.qg")
    with pytest.raises(AggregateError, match="--logs"):
        aggregate(kept.graph, str(root), ingest=IngestOptions())


def test_what_has_no_file_is_not_registered_as_one(kept: Runs, root: Path) -> None:
    command = ["aggregate", str(kept.graph), str(root), "--logs", str(kept.logs), "--mock-storage-classes"]

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, [*command, *arguments])

    result = run("--ingest", "--incomplete")
    assert result.exit_code == 0, result.output
    assert "6 have succeeded" in result.output
    result = run("--ingest", "--keep-files", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)["without_files"]) == (1, 2 * QUANTA)
    assert "--restore-files writes their files" in result.stderr
    assert run("--ingest", "--restore-files").exit_code == 2
    result = run("--ingest", "--keep-files", "--restore-files")
    assert result.exit_code == 0, result.output
    assert "12 files were restored" in result.output
    with Butler.from_config(str(root), collections=["demo/run"]) as butler:
        refs = [*butler.query_datasets("first_metadata"), *butler.query_datasets("second_log")]
        assert len(refs) == QUANTA
        assert all(butler.stored(ref) for ref in refs)
    assert run("--restore-files").output.endswith("0 files were restored\n")


def test_transfer_leaves_them_out(kept: Runs, root: Path, tmp_path: Path) -> None:
    collect([kept.logs], tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    with Butler.from_config(str(root), writeable=True) as butler:
        for _ in range(2):
            report = transfer(archive, butler, str(kept.graph), register_dataset_types=True)
            assert (report.is_clean, report.only_in_logs, report.unrecorded) == (True, 2 * QUANTA, 0)
        assert not list(butler.registry.queryDatasetTypes("*_metadata"))
        # Once they have files, they are taken in.
        aggregate(kept.graph, str(root), logs=kept.logs, restore_files=True)
        for scanned in (2 * QUANTA, 0):
            report = transfer(archive, butler, str(kept.graph), register_dataset_types=True)
            assert (report.is_clean, report.only_in_logs, report.scanned) == (True, 0, scanned)
    for command in (["verify"], ["metadata", "first", "detector=1"], ["log", "first", "detector=1"]):
        result = CliRunner().invoke(main, [command[0], str(archive.path), *command[1:]])
        assert result.exit_code == 0, result.output
        assert "nothing" not in result.output


# What goes on in one butler.


@pytest.fixture
def graph(pristine: tuple[Path, Path]) -> PredictedQuantumGraph:
    graph = PredictedQuantumGraph.read_execution_quanta(str(pristine[1]))
    graph.build_execution_quanta()
    return graph


Run = Callable[..., Path]


@pytest.fixture
def run_one(pristine: tuple[Path, Path], graph: PredictedQuantumGraph, tmp_path: Path) -> Iterator[Run]:
    """Return what runs one quantum, with something done to its butler before it is closed."""
    shutil.copytree(pristine[0], tmp_path / "repo")
    with graph.make_init_qbb(str(tmp_path / "repo")) as butler:
        graph.init_output_run(butler)

    def run(deed: Callable[[Any, Any], None] = lambda butler, quantum: None) -> Path:
        executor = make_executor(tmp_path / "repo", graph)
        make = executor._limited_butler_factory
        assert make is not None

        def with_deed(quantum: Any) -> Any:
            butler = make(quantum)
            close = butler.close

            def close_later() -> None:
                deed(butler, quantum)
                close()

            butler.close = close_later  # type: ignore[method-assign]
            return butler

        executor._limited_butler_factory = with_deed
        quantum_id, info = next(iter(graph.quantum_only_xgraph.nodes.items()))
        assert isinstance(quantum_id, uuid.UUID)
        executor.execute(info["pipeline_node"], info["quantum"], quantum_id=quantum_id)
        return tmp_path / "repo"

    set_log_folder(tmp_path / "logs", contents=True)
    try:
        with keeping_in_log(types_for_log(graph.pipeline_graph)):
            yield run
    finally:
        set_log_folder(None)


def test_nothing_is_seen_of_it_in_the_butler(run_one: Run, tmp_path: Path) -> None:
    seen = []

    def look(butler: Any, quantum: Any) -> None:
        refs = [ref for refs in quantum.outputs.values() for ref in refs]
        seen.extend(butler.stored_many(refs).values())
        seen.extend(butler.get(ref) is not None for ref in refs)

    root = run_one(look)
    assert seen == [True] * 6
    assert len(telling(root)) == 2
    [line] = lines(tmp_path / "logs")
    [records] = line["datastore_records"].values()
    assert set(line["actual_outputs"]) <= set(records["dataset_ids"])


def test_a_line_that_is_lost(run_one: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with the policy "warn".
    monkeypatch.setattr(ProcessLog, "append", lambda *args, **options: False)
    assert len(telling(run_one())) == 2


def test_a_line_that_cannot_be_written(run_one: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> bool:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(ProcessLog, "append", refuse)
    with pytest.raises(OSError, match="cannot be logged"):
        run_one()
    # As upstream leaves it: without metadata the quantum is run again, and its log is attached.
    assert ["_log_" in name for name in telling(tmp_path / "repo")] == [True]


def test_without_contents_there_are_files(run_one: Run, tmp_path: Path) -> None:
    set_log_folder(tmp_path / "logs")
    assert kept_types() == frozenset()
    assert len(telling(run_one())) == 2


def test_contents_that_are_switched_off_later(run_one: Run, tmp_path: Path) -> None:
    root = run_one(lambda butler, quantum: set_log_folder(tmp_path / "logs"))
    assert len(telling(root)) == 2


def test_an_executor_without_such_a_log(graph: PredictedQuantumGraph, pristine: tuple[Path, Path]) -> None:
    executor = WarmGraphExecutor(quantum_executor=make_executor(pristine[0], graph), metadata_in_log=True)
    with pytest.raises(ValueError, match="keeps contents"):
        executor.execute(graph)


def test_types_that_others_read(tmp_path: Path) -> None:
    Butler.makeRepo(str(tmp_path / "repo"))
    with Butler.from_config(str(tmp_path / "repo"), writeable=True) as butler:
        helper = DirectButlerRepo(butler, data_root=None)
        helper.add_task("first", dimensions=[])
        config = DynamicTestPipelineTaskConfig()
        config.inputs["told"] = DynamicConnectionConfig(
            dataset_type_name="first_metadata", storage_class="TaskMetadata", mock_storage_class=False
        )
        helper.pipeline_graph.add_task("second", DynamicTestPipelineTask, config)
        helper.pipeline_graph.resolve(butler.registry)
        assert types_for_log(helper.pipeline_graph) == {"second_metadata", "second_log"}


def test_a_log_is_needed(kept: Runs, root: Path) -> None:
    result = CliRunner().invoke(main, ["run", str(root), str(kept.graph), "--metadata-in-log"])
    assert result.exit_code == 2
    assert "--metadata-in-log needs --logs" in result.output
    result = CliRunner().invoke(main, ["aggregate", str(kept.graph), str(root), "--restore-files"])
    assert result.exit_code == 2
