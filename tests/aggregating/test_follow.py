"""An aggregation that follows a run comes to the end that one after the run comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from click.testing import CliRunner

from final_jobs import aggregated_by_upstream, final_state
from graph_contents import comparable_provenance
from mixed_run import MixedRun, make_mixed_run
from quantum_butler import IngestOptions, aggregate
from quantum_butler.aggregating import following, sharing
from quantum_butler.cli.main import main
from quantum_butler.switches import CONTENTS_SWITCH, LOG_SWITCH
from registries import Registries

# In each step the log has so many lines more.
STEP = 7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[MixedRun, list[bytes]]:
    """Return a run, and what it has logged with contents; leave both as they are."""
    logs = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG_SWITCH, str(logs))
        patch.setenv(CONTENTS_SWITCH, "1")
        made = make_mixed_run(tmp_path_factory.mktemp("mixed"))
    lines = [line for log in sorted(logs.glob("*.jsonl")) for line in log.read_bytes().splitlines(True)]
    assert len(lines) > 4 * STEP
    return made, lines


class Growing:
    """A log that has more lines whenever the aggregation waits, the last of them incomplete until then."""

    def __init__(self, folder: Path, lines: list[bytes], *, interrupted_at: int = -1):
        folder.mkdir(exist_ok=True)
        self._log = folder / "log.jsonl"
        self._lines = lines
        self._interrupted_at = interrupted_at
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self._interrupted_at:
            raise KeyboardInterrupt
        whole = b"".join(self._lines)
        end = sum(map(len, self._lines[: len(self.waits) * STEP])) + 20
        self._log.write_bytes(whole[:end])
        assert len(self.waits) < 50, "it would wait for ever"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_CHUNK", 3)


@pytest.mark.parametrize("check", ["sample", "none"])
def test_the_graph_is_that_of_the_ended_run(
    run: tuple[MixedRun, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scans: list[int],
    check: Any,
) -> None:
    made, lines = run
    logs = tmp_path / "logs"
    growing = Growing(logs, lines)
    monkeypatch.setattr(following, "_pause", growing)
    report = aggregate(
        made.graph_file, str(made.root), tmp_path / "ours.qg", logs=logs, check=check, follow=30
    )
    assert len(growing.waits) >= len(lines) // STEP
    assert min(growing.waits) >= 30
    # Before the last look nothing was missing.
    assert (logs / "log.jsonl").read_bytes() == b"".join(lines)
    if check == "none":
        # Most were read while the run went on, and not again.
        assert scans[-3:] != [] and sum(scans) < 2 * 31
    expected = aggregate(made.graph_file, str(made.root), tmp_path / "plain.qg", logs=logs, check=check)
    assert (report.quanta, report.failed, report.datasets) == (31, expected.failed, expected.datasets)
    # All that was taken from logs is counted, whenever that was.
    assert report.logged == expected.logged > STEP
    found, plain = comparable_provenance(tmp_path / "ours.qg"), comparable_provenance(tmp_path / "plain.qg")
    assert found.keys() == plain.keys()
    for name, of in plain.items():
        assert found[name] == of, name
    assert not list(tmp_path.glob("*.journal"))


def test_registers_as_they_come(
    run: tuple[MixedRun, list[bytes]], registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, lines = run
    theirs, mine = registries.copy(made.root), registries.copy(made.root)
    aggregated_by_upstream(theirs, made, tmp_path, promise_ingest_graph=True)
    logs = tmp_path / "logs"
    growing = Growing(logs, lines)
    registered = []

    def pause(seconds: float) -> None:
        growing(seconds)
        registered.append(len(final_state(mine)["dataset"]))

    monkeypatch.setattr(following, "_pause", pause)
    aggregate(
        made.graph_file,
        str(mine),
        tmp_path / "ours.qg",
        logs=[logs],
        follow=30,
        ingest=IngestOptions(batch=5),
    )
    assert registered == sorted(registered)
    assert len(set(registered)) > 3
    (tmp_path / "ours.qg").unlink()
    assert final_state(mine, folders=False) == final_state(theirs, folders=False)


def test_interrupted_it_goes_on(
    run: tuple[MixedRun, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scans: list[int]
) -> None:
    made, lines = run
    logs, path = tmp_path / "logs", tmp_path / "ours.qg"

    def call(*more: str, status: int) -> Any:
        arguments = ["aggregate", str(made.graph_file), str(made.root), "-o", str(path), "--check", "none"]
        result = CliRunner().invoke(main, [*arguments, *more])
        assert result.exit_code == status, result.output
        return result

    follow = ("--logs", str(logs), "--follow")
    assert f"Error: {logs}: there is no such file or folder" in call(*follow, status=2).stderr
    # Here no quantum of the first lines is told of.
    growing = Growing(logs, lines, interrupted_at=4)
    monkeypatch.setattr(following, "_pause", growing)
    call(*follow, status=130)
    journal = tmp_path / "ours.qg.journal"
    kept = journal.stat().st_size
    assert kept > 1000
    assert not path.exists()
    before = sum(scans)
    assert before >= 10
    scans.clear()
    growing = Growing(logs, lines)
    growing.waits = [0.0] * 4
    monkeypatch.setattr(following, "_pause", growing)
    found = json.loads(call(*follow, "--interval", "0.5", "--format", "json", status=0).stdout)
    assert (found["quanta"], found["path"]) == (31, str(path))
    assert growing.waits[-1] >= 0.5
    plain = aggregate(made.graph_file, str(made.root), tmp_path / "plain.qg", logs=logs, check="none")
    assert found["failed"] == plain.failed
    assert comparable_provenance(path) == comparable_provenance(tmp_path / "plain.qg")
    assert not journal.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--follow", "-o", "ours.qg"), "--follow needs --logs"),
        (("--follow", "--logs", ".", "--incomplete"), "--follow needs --logs"),
        (("--follow", "--logs", ".", "--ingest", "--keep-files"), "--follow needs --logs"),
        (("--interval", "5", "-o", "ours.qg"), "--interval is for --follow"),
        (("--follow", "--interval", "0", "-o", "ours.qg"), "--interval"),
    ],
)
def test_called_wrongly(
    run: tuple[MixedRun, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    made, _ = run
    result = CliRunner().invoke(main, ["aggregate", str(made.graph_file), str(made.root), *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert list(tmp_path.iterdir()) == []
