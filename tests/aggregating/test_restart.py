"""An aggregation that is interrupted or killed goes on where it was, and comes to the same end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from final_jobs import Finished, aggregated_by_upstream, final_state
from graph_contents import comparable_provenance
from quantum_butler import AggregateError, IngestOptions, aggregate
from quantum_butler.aggregating import driver

KILLED = Path(__file__).with_name("killed_aggregation.py")
KILLS = int(os.environ.get("QUANTUM_BUTLER_KILLS", "10"))


class StoppedError(Exception):
    """What stops an aggregation in a test."""


def stop_at(done: int) -> Any:
    def stop(progress: Any) -> None:
        if progress.done >= done:
            raise StoppedError

    return stop


def test_goes_on_where_it_was(
    on_sqlite: Finished, tmp_path: Path, scans: list[int], gathered: list[int]
) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    journal = tmp_path / "ours.qg.journal"
    expected = comparable_provenance(
        Path(aggregate(on_sqlite.graph_file, str(root), tmp_path / "whole.qg").path or "")
    )
    assert sum(scans) + sum(gathered) == 31
    assert sum(gathered) > 31 / 2
    scans.clear()
    gathered.clear()
    options: dict[str, Any] = {"ingest": IngestOptions(batch=4, graph=False)}
    for done in (8, 20):
        with pytest.raises(StoppedError):
            aggregate(on_sqlite.graph_file, str(root), path, progress=stop_at(done), **options)
        assert journal.exists()
        assert not path.exists()
    # What a killed process leaves: half an entry, and half a graph.
    with journal.open("ab") as stream:
        stream.write(b"\x07half")
    (tmp_path / "ours.qg.123.tmp").write_bytes(b"half")
    report = aggregate(on_sqlite.graph_file, str(root), path, **options)
    assert (report.quanta, report.failed) == (31, 5)
    # Only failed quanta, and those that wait for them, are looked at again.
    assert 31 <= sum(scans) + sum(gathered) <= 31 + 2 * 5 + 3
    assert comparable_provenance(path) == expected
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ours.qg", "whole.qg"]
    theirs = on_sqlite.repository()
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path)
    assert final_state(root) == final_state(theirs)


def test_a_graph_that_is_complete_is_not_written_again(
    on_sqlite: Finished, tmp_path: Path, scans: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(driver, "verify_graph", lambda *_: (_ for _ in ()).throw(StoppedError))
        aggregate(on_sqlite.graph_file, str(root), path, ingest=IngestOptions())
    before = path.read_bytes()
    scans.clear()
    report = aggregate(on_sqlite.graph_file, str(root), path, ingest=IngestOptions())
    assert (report.path, report.quanta, scans) == (str(path), 31, [])
    assert path.read_bytes() == before


def test_other_journals(on_sqlite: Finished, tmp_path: Path) -> None:
    root, path = on_sqlite.repository(), tmp_path / "ours.qg"
    journal = tmp_path / "ours.qg.journal"
    for text, message in (
        ("something else\n", "not the journal of an aggregation"),
        ("something else", "not the journal of an aggregation"),
        (json.dumps({"journal": "quantum-butler aggregate", "version": 1, "graph": "x"}) + "\n", "its graph"),
        (json.dumps({"journal": "quantum-butler aggregate", "version": 2}) + "\n", "its version is 2"),
    ):
        journal.write_text(text)
        with pytest.raises(AggregateError, match=message):
            aggregate(on_sqlite.graph_file, str(root), path)
        assert journal.read_text() == text
    journal.write_text("")
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        aggregate(on_sqlite.graph_file, str(root), path)
    assert path.read_text() == "mine"


@pytest.fixture
def aggregations() -> Iterator[Callable[..., tuple[int, list[int]]]]:
    """Return what aggregates in a process that may be killed, and tells its status and what it printed."""
    # A process with threads cannot be forked safely.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, KILLED], env=environment, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None

        def call(graph: Path, root: Path, last: int, *logs: Path) -> tuple[int, list[int]]:
            process.stdin.write(json.dumps([str(graph), str(root), last, *map(str, logs)]) + "\n")
            process.stdin.flush()
            status, told = json.loads(process.stdout.readline())
            return status, told

        yield call
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.proof
@pytest.mark.timeout(300 + 60 * KILLS)
def test_killed_at_any_moment(
    on_sqlite: Finished, tmp_path: Path, aggregations: Callable[..., tuple[int, list[int]]]
) -> None:
    theirs = on_sqlite.repository()
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path, promise_ingest_graph=True)
    expected = final_state(theirs, folders=False)
    graph = on_sqlite.graph_file
    ways: list[tuple[Path, ...]] = [(), (on_sqlite.logs,)]
    events = []
    for logs in ways:
        status, told = aggregations(graph, on_sqlite.repository(), -1, *logs)
        assert status == 0
        events.append(told[0])
    assert min(events) > 200
    moments = random.Random(15)
    for kill in range(KILLS):
        root, logs = on_sqlite.repository(), ways[kill % 2]
        first, second = (moments.randrange(1, events[kill % 2]) for _ in range(2))
        assert aggregations(graph, root, first, *logs) == (-signal.SIGKILL, [])
        # The second one may have less to do.
        assert aggregations(graph, root, second, *logs)[0] in (-signal.SIGKILL, 0)
        status, told = aggregations(graph, root, -1, *logs)
        assert (status, told[1:]) == (0, [31, 5]), (first, second)
        # Upstream leaves folders that are empty when it goes on with what it had begun.
        assert final_state(root, folders=False) == expected, (first, second)
        assert not list(graph.parent.glob("*.journal")), (first, second)
        assert not list(graph.parent.glob("*provenance.qg*")), (first, second)
