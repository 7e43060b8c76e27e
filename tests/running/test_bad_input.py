"""Whatever is wrong is said clearly, the other quanta go on, and the journal is true."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import threading
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from campaign_runs import DETECTORS, Runs
from lsst.daf.butler import Butler
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from quantum_butler.running.errors import JournalError, RunError
from quantum_butler.running.journal import Journal
from quantum_butler.running.terminal import displayed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")]


def changed(graph: Path, new: Path, member: str, change: Callable[[Any], None]) -> Path:
    """Return a graph of which one member is another."""
    with zipfile.ZipFile(graph) as old_file, zipfile.ZipFile(new, "w") as new_file:
        for name in old_file.namelist():
            content = old_file.read(name)
            if name == f"{member}.json.zst":
                value = json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(content))
                change(value)
                content = zstandard.compress(json.dumps(value).encode())
            new_file.writestr(name, content)
    return new


def to_version_0(graph: Path, new: Path) -> Path:
    """Return a graph as upstream wrote it at first, with numbers in the thin graph."""
    addresses = zipfile.ZipFile(graph).read("quanta.addr")
    size, row = addresses[0], 16 + 3 * addresses[0]
    rows = addresses[1 + 2 * size :]
    index = {
        str(uuid.UUID(bytes=rows[start : start + 16])): int.from_bytes(
            rows[start + 16 : start + 16 + size], "big"
        )
        for start in range(0, len(rows), row)
    }

    def number(thin: Any) -> None:
        for quanta in thin["quanta"].values():
            for quantum in quanta:
                quantum["quantum_index"] = index[quantum.pop("quantum_id")]
        thin["edges"] = [[index[before], index[after]] for before, after in thin["edges"]]

    between = changed(graph, new.with_suffix(".between.qg"), "thin_graph", number)
    return changed(between, new, "header", lambda header: header.update(version=0))


def test_what_is_no_graph(runs: Runs, tmp_path: Path) -> None:
    text, nothing, archive = tmp_path / "text.qg", tmp_path / "nothing.qg", tmp_path / "archive.qg"
    text.write_text("no graph")
    zipfile.ZipFile(archive, "w").close()
    later = changed(runs.graph, tmp_path / "later.qg", "header", lambda header: header.update(version=99))
    kind = changed(
        runs.graph,
        tmp_path / "provenance.qg",
        "header",
        lambda header: header.update(graph_type="provenance"),
    )
    for graph, message in (
        (text, "File is not a zip file"),
        (nothing, "No such file"),
        (archive, "no item named"),
        (tmp_path, ""),
        (later, "is of version 99, and the installed lsst.pipe.base knows versions up to"),
        (kind, "provenance"),
    ):
        with pytest.raises(RunError, match=f"{graph.name}.*{message}"):
            runs.run(graph=str(graph))
    assert not runs.journal.exists()


def test_a_graph_of_the_first_version(runs: Runs, tmp_path: Path) -> None:
    graph = to_version_0(runs.graph, tmp_path / "version0.qg")
    assert runs.run(graph=str(graph)).is_success
    assert runs.campaign.tally().total("done") == 2 * DETECTORS


def test_another_repository(runs: Runs, tmp_path: Path) -> None:
    Butler.makeRepo(str(tmp_path / "other"))
    with pytest.raises(
        RunError, match=r"other has none of the inputs of <first .*made for another repository"
    ):
        runs.run(repository=str(tmp_path / "other"))
    assert not (tmp_path / "other" / "demo").exists()
    with pytest.raises(RunError, match=r"nowhere cannot be opened as a repository"):
        runs.run(repository=str(tmp_path / "nowhere"), journal=str(tmp_path / "third"))


def test_no_datastore_records(runs: Runs, tmp_path: Path) -> None:
    bare = tmp_path / "bare.qg"
    with PredictedQuantumGraph.open(str(runs.graph)) as reader:
        reader.read_all()
        for quantum in reader.components.quantum_datasets.values():
            quantum.datastore_records = {}
        reader.components.write(str(bare))
    # Inputs that lie where outputs would lie are found all the same.
    inputs = runs.root / "input_run"
    inputs.rename(inputs.with_name("elsewhere"))
    with pytest.raises(RunError, match=r"bare.qg has no datastore records.*--qgraph-datastore-records"):
        runs.run(graph=str(bare))
    assert not (runs.root / "demo").exists()
    inputs.with_name("elsewhere").rename(inputs)
    assert runs.run(graph=str(bare)).is_success


def test_nothing_can_be_written(runs: Runs) -> None:
    """As on a file system that is read-only; the user of tests may be one who may do everything."""
    (runs.root / "demo").write_text("in the way")
    with pytest.raises(
        RunError, match=r"what is written before the first quantum could not be written: .*demo"
    ):
        runs.run()
    assert '"init"' not in runs.journal.read_text() and '"started"' not in runs.journal.read_text()
    (runs.root / "demo").unlink()
    assert runs.run().is_success
    runs.logs.rename(runs.logs.with_name("old"))
    runs.logs.write_text("in the way")
    with pytest.raises(RunError, match="no provenance logs can be written here"):
        runs.run()


def test_a_task_that_cannot_be_imported(runs: Runs, tmp_path: Path) -> None:
    def misname(pipeline: Any) -> None:
        next(task for label, task in pipeline["tasks"].items() if label == "second")["task_class"] = (
            "no.such.Task"
        )

    graph = changed(runs.graph, tmp_path / "misnamed.qg", "pipeline_graph", misname)
    result = runs.run(graph=str(graph))
    states = {task: dict(+counts) for task, counts in result.tally.counts.items()}
    assert states == {"first": {"done": DETECTORS}, "second": {"failed": DETECTORS}}
    [line] = runs.display.lines
    assert line.startswith("<second dataId=") and "detector: 0" in line
    assert "task second cannot be imported: ModuleNotFoundError" in line and "no.such.Task" in line
    # It can be mended: the graph is the same.
    assert runs.run(retry_failed=True).is_success


def test_quanta_that_misbehave(runs: Runs, tmp_path: Path) -> None:
    def kill_group() -> None:
        os.killpg(0, signal.SIGKILL)

    def fork() -> None:
        if (child := os.fork()) == 0:
            signal.pause()
        (tmp_path / "child").write_text(str(child))

    def leave_threads() -> None:
        threading.Thread(target=threading.Event().wait, name="a thread of the task").start()

    output = tmp_path / "output"
    with displayed(str(output), str(runs.journal)) as display:
        runs.display = display  # type: ignore[assignment]
        result = runs.run(
            {
                ("first", 0): kill_group,
                ("first", 1): fork,
                ("first", 2): leave_threads,
                ("second", 1): lambda: [os.write(1, b"x" * 1_000_000) for _ in range(100)],
                ("second", 2): _no_space,
            }
        )
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    states = {task: dict(+counts) for task, counts in result.tally.counts.items()}
    assert states == {"first": {"done": 2, "failed": 1}, "second": {"done": 1, "failed": 1, "blocked": 1}}
    assert output.stat().st_size >= 100_000_000
    reports = {(one.taskLabel, one.dataId["detector"]): one for one in runs.campaign.report().quantaReports}
    assert reports["first", 0].exitCode == -9
    info = reports["second", 2].exceptionInfo
    assert info is not None and os.strerror(errno.ENOSPC) in info.message
    assert runs.run(retry_failed=True).is_success


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(logs: Path) -> int:
    return sum(log.read_bytes().count(b"\n") for log in logs.iterdir())


@pytest.mark.parametrize("isolation", ["fork", "none"])
def test_the_journal_cannot_be_written_any_more(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """No more is started, and what is not noted is found on disk later."""
    write = Journal._write
    written = Counter[str]()

    def write_until_full(journal: Journal, event: Any) -> None:
        written[next(iter(event))] += 1
        if written["done"] > 1:
            raise JournalError(f"{journal.path}: the journal cannot be written: {os.strerror(errno.ENOSPC)}")
        write(journal, event)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", write_until_full)
        with pytest.raises(JournalError, match="No space left"):
            runs.run(jobs=1, isolation=isolation)
    assert any("waiting for the quanta that run" in line for line in runs.display.lines)
    assert _lines(runs.logs) == 2
    assert runs.run().is_success
    assert _lines(runs.logs) == 2 * DETECTORS


def test_no_process_can_be_started(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", fork)
        with pytest.raises(RunError, match=r"no process can be started for quanta: .*unavailable"):
            runs.run()
    assert runs.run().is_success


def test_a_journal_in_the_way(runs: Runs) -> None:
    shutil.copy(runs.graph, runs.journal)
    with pytest.raises(JournalError, match="not the journal of a run"):
        runs.run()
    assert runs.journal.read_bytes() == runs.graph.read_bytes()
