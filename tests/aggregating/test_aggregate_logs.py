"""A graph that is aggregated from logs is the one that scanning gives, whatever the logs are like."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from click.testing import CliRunner

import interpreters
from graph_contents import comparable_provenance
from mixed_run import CHANGED, MixedRun, make_mixed_run
from mixed_run import aggregate as upstream_aggregate
from quantum_butler import ProvenanceGraph, aggregate
from quantum_butler.aggregating import driver, sharing
from quantum_butler.aggregating.gathering import Gathered, Gathering
from quantum_butler.aggregating.logs import OtherGraphError
from quantum_butler.cli.main import main
from quantum_butler.collecting.contents import all_contents
from quantum_butler.switches import CONTENTS_SWITCH, LOG_SWITCH


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> MixedRun:
    """Return a run that is logged with contents; leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG_SWITCH, str(logs))
        patch.setenv(CONTENTS_SWITCH, "1")
        return make_mixed_run(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def theirs(run: MixedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("theirs") / "theirs.qg"
    return comparable_provenance(upstream_aggregate(run.root, run.graph_file, path))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_CHUNK", 3)


def lines_of(logs: Path) -> list[bytes]:
    lines = [line for log in sorted(logs.glob("*.jsonl")) for line in log.read_bytes().splitlines(True)]
    assert lines
    return lines


def with_id(line: bytes) -> str:
    quantum_id: str = json.loads(line)["quantum_id"]
    return quantum_id


@pytest.mark.parametrize("check", ["all", "sample"])
def test_the_disk_is_believed(
    run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path, check: Any
) -> None:
    path = tmp_path / "ours.qg"
    report = aggregate(run.graph_file, str(run.root), path, logs=logs, check=check)
    found = comparable_provenance(path)
    for name, expected in theirs.items():
        assert found[name] == expected, name
    logged = {with_id(line) for line in lines_of(logs)}
    assert (report.wrong, report.logged, report.foreign) == (3, len(logged) - 3, 0)
    rejected = [json.loads(line) for line in (tmp_path / "ours.qg.rejected.jsonl").read_text().splitlines()]
    assert {uuid.UUID(one["quantum_id"]) for one in rejected} == {run.quanta[name] for name in CHANGED}
    assert {"is not there", "is not what a log tells"} == {
        one["reason"].split(" of the quantum ")[1] for one in rejected
    }


def test_what_logs_tell_is_not_read(
    run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(driver.Scanner, "_get", lambda self, dataset, **options: read.append(dataset))
    path = tmp_path / "ours.qg"
    report = aggregate(run.graph_file, str(run.root), path, logs=str(logs), check="none")
    assert (report.wrong, read) == (0, [])
    assert [one.name for one in tmp_path.iterdir()] == ["ours.qg"]
    found = comparable_provenance(path)
    changed = {str(run.quanta[name]) for name in CHANGED}
    for quantum_id, expected in theirs["quanta"].items():
        if str(quantum_id) not in changed:
            for name in ("quanta", "logs", "metadata"):
                assert found[name].get(quantum_id) == theirs[name].get(quantum_id), (name, expected["task"])
    # The log still has what was lost on disk.
    lost = run.quanta["four", 4]
    assert (theirs["quanta"][lost]["status"], found["quanta"][lost]["status"]) == (-1, 1)


def test_a_journal_of_wrong_logs_is_not_believed(
    run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ours.qg"

    def stop(progress: Any) -> None:
        if progress.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aggregate(run.graph_file, str(run.root), path, logs=logs, check="none", progress=stop)
    assert (tmp_path / "ours.qg.journal").stat().st_size > 1000
    assert aggregate(run.graph_file, str(run.root), path, logs=logs).wrong == 3
    found = comparable_provenance(path)
    for name, expected in theirs.items():
        assert found[name] == expected, name


def test_what_is_gathered_is_what_upstreams_classes_say(
    run: MixedRun, logs: Path, tmp_path: Path, gathered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quanta that have just succeeded are not shown to upstream's classes, which would say the same."""
    quick = tmp_path / "quick.qg"
    report = aggregate(run.graph_file, str(run.root), quick, logs=logs, check="none")
    monkeypatch.setattr(Gathering, "gather", lambda self, quanta, lost: iter([Gathered(None, False, quanta)]))
    slow = tmp_path / "slow.qg"
    assert aggregate(run.graph_file, str(run.root), slow, logs=logs, check="none") == replace(
        report, path=str(slow)
    )
    assert comparable_provenance(quick) == comparable_provenance(slow)
    ours, theirs = ProvenanceGraph(quick), ProvenanceGraph(slow)
    for quantum_id in run.quanta.values():
        assert repr(ours.logs(quantum_id)) == repr(theirs.logs(quantum_id))
    assert sum(gathered) > report.quanta / 2


def test_logs_of_all_kinds(run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path) -> None:
    lines = lines_of(logs)
    folder = tmp_path / "logs"
    folder.mkdir()
    # Twice, and not all of them.
    (folder / "a.jsonl").write_bytes(b"".join(lines[:20]))
    (folder / "b.jsonl").write_bytes(b"".join(lines[10:24]))
    future = json.loads(lines[24]) | {"of_tomorrow": [1]}
    future_contents = json.loads(lines[25])
    future_contents["contents"]["dictionary"] = 2
    corrupt = json.loads(lines[26])
    packed = corrupt["contents"]["log"]
    corrupt["contents"]["log"] = packed[:-8] + ("AAAA" if packed[-8:-4] != "AAAA" else "BBBB") + packed[-4:]
    without = json.loads(lines[27])
    del without["contents"]
    (folder / "c.jsonl").write_text(
        "".join(f"{json.dumps(one)}\n" for one in (future, future_contents, corrupt, without)) + "{torn"
    )
    path = tmp_path / "ours.qg"
    report = aggregate(run.graph_file, str(run.root), path, logs=[folder], check="all")
    assert report.rejected == 1
    reasons = (tmp_path / "ours.qg.rejected.jsonl").read_text()
    for what in ("ends within this line", "no dictionary 2"):
        assert what in reasons
    found = comparable_provenance(path)
    for name, expected in theirs.items():
        assert found[name] == expected, name


@pytest.mark.proof
def test_processes_find_the_same(run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.qg"
    aggregate(run.graph_file, str(run.root), path, logs=logs, check="all", jobs=2, mock_storage_classes=True)
    assert comparable_provenance(path) == theirs


@pytest.mark.parametrize("with_logs", [False, True], ids=["scanned", "logs"])
def test_workers_of_dask_find_the_same(
    run: MixedRun, theirs: dict[str, Any], logs: Path, tmp_path: Path, with_logs: bool
) -> None:
    given: dict[str, Any] = {"logs": logs, "check": "all"} if with_logs else {}
    path = tmp_path / "ours.qg"
    with warnings.catch_warnings():
        # Dask's own, about what it imports and the sockets that it leaves to the collector.
        warnings.simplefilter("ignore")
        from dask_cluster import two_workers

        with (
            interpreters.collected_here(),
            two_workers(tmp_path) as (_, client),
            client.get_executor(pure=False) as executor,
            contextlib.chdir(run.root.parent),
        ):
            # Workers have another working folder.
            report = aggregate(
                os.path.relpath(run.graph_file),
                run.root.name,
                os.path.relpath(path),
                executor=executor,
                mock_storage_classes=True,
                **given,
            )
    assert report.quanta == 31 and bool(report.logged) == with_logs
    assert comparable_provenance(path) == theirs


def test_workers_of_parsl_find_the_same(run: MixedRun, theirs: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("parsl")
    path = tmp_path / "ours.qg"
    with warnings.catch_warnings():
        # Parsl's own.
        warnings.simplefilter("ignore")
        from parsl.concurrent import ParslPoolExecutor
        from parsl.config import Config
        from parsl.executors import ThreadPoolExecutor

        config = Config(
            executors=[ThreadPoolExecutor(max_threads=2)],
            run_dir=str(tmp_path / "parsl"),
            strategy="none",
            initialize_logging=False,
        )
        with interpreters.collected_here(), ParslPoolExecutor(config) as executor:
            report = aggregate(run.graph_file, str(run.root), path, executor=executor)
    assert report.quanta == 31
    assert comparable_provenance(path) == theirs


def test_logs_of_another_graph(run: MixedRun, logs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    other = json.loads(lines_of(logs)[0]) | {"quantum_id": str(uuid.uuid4())}
    (folder / "other.jsonl").write_text(f"{json.dumps(other)}\n")
    path = tmp_path / "ours.qg"
    with pytest.raises(OtherGraphError, match="none of the 1 quanta"):
        aggregate(run.graph_file, str(run.root), path, logs=folder)
    assert not path.exists()
    (folder / "more.jsonl").write_bytes(lines_of(logs)[0])
    assert aggregate(run.graph_file, str(run.root), path, logs=folder).foreign == 1


def test_a_later_try_that_found_all_done_changes_nothing(run: MixedRun, logs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = next(line for line in lines_of(logs) if with_id(line) == str(run.quanta["two", 0]))
    later = json.loads(line)
    for name in ("contents", "execution"):
        del later[name]
    later |= {"begin": "2027-11-30T02:56:43.123456Z", "end": None, "actual_outputs": []}
    (folder / "log.jsonl").write_bytes(line + json.dumps(later).encode() + b"\n")
    path = tmp_path / "ours.qg"
    assert aggregate(run.graph_file, str(run.root), path, logs=folder).logged == 1


def test_contents_can_be_listed(run: MixedRun, logs: Path) -> None:
    found = list(all_contents([logs]))
    assert len(found) == len(lines_of(logs))
    of_failed = [one for one in found if one[0] == run.quanta["one", 1]]
    assert [(counts, metadata) for _, counts, metadata, _ in of_failed] == [(False, None), (True, None)]
    assert all(json.loads(log)["extended"] for *_, log in found)
    assert sum(counts for _, counts, _, _ in found) == len({one for one, *_ in found})


def test_command(run: MixedRun, logs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.qg"

    def call(*more: str, status: int) -> Any:
        arguments = ["aggregate", str(run.graph_file), str(run.root), "-o", str(path), "--overwrite", *more]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == status, result.output
        return result

    result = call("--logs", str(logs), status=1)
    assert "of 3 quanta the logs do not tell what is there" in result.stderr
    assert "quanta were taken from logs" in result.stdout
    result = call("--logs", str(logs), "--check", "none", "--format", "json", status=0)
    assert json.loads(result.stdout)["wrong"] == 0
    assert not Path(f"{path}.rejected.jsonl").exists()
    # Called wrongly; what the message begins with is what is wrong.
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    assert f"Error: {nowhere}: there is no such" in call("--logs", str(nowhere), status=2).stderr
    empty.mkdir()
    assert f"Error: {empty}: there is no provenance log" in call("--logs", str(empty), status=2).stderr
