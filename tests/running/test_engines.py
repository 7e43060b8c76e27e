"""Real engines run a graph, a worker of theirs is killed in the middle, and nothing is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from campaign_runs import DETECTORS, Runs

import commands
from quantum_butler.collecting.contents import all_contents
from quantum_butler.running import remote
from quantum_butler.running.campaign import Campaign
from quantum_butler.running.engines import Engine, ParslEngine, Submitted
from quantum_butler.running.errors import RunError
from quantum_butler.running.remote import Batch, run_batch, stop_servers

HERE = Path(__file__).parent
RUN = [sys.executable, "-m", "quantum_butler", "run"]


def test_parsl_that_does_not_end_well_does_not_spoil_a_run(caplog: pytest.LogCaptureFixture) -> None:
    class Kernel:
        def cleanup(self) -> None:
            raise OSError("Socket operation on non-socket")

    engine = ParslEngine.__new__(ParslEngine)
    Engine.__init__(engine, "Parsl")
    engine._kernel = Kernel()
    with engine:
        pass
    assert "Parsl has not ended as it should: OSError: Socket operation on non-socket" in caplog.text


@pytest.mark.proof
@pytest.mark.parametrize("engine", ["dask", "parsl"])
def test_a_worker_is_lost(tmp_path: Path, engine: str) -> None:
    pytest.importorskip({"dask": "distributed", "parsl": "parsl"}[engine])
    done = subprocess.run(
        [sys.executable, HERE / "engine_runs.py", tmp_path, engine],
        env={
            **os.environ,
            "PYTHONPATH": str(HERE.parent / "helpers"),
            # Parsl's workers are a command beside Python.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["success"] and result["killed"], result
    assert result["differing"] == []
    assert result["logged"] == result["quanta"]
    assert result["most_logged"] == 1
    assert result["left_over"] == []
    if engine == "parsl":
        # Dask hands a batch to another worker by itself.
        assert any("a worker was lost with" in line for line in result["lines"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--dask", "tcp://127.0.0.1:1", "--jobs", "2"), 2, "exclude each other"),
        (("--dask", "nowhere"), 1, "the Dask scheduler nowhere does not answer"),
        (("--parsl", "empty.py"), 1, "no parsl.Config called config"),
        (
            ("--parsl", "faulty.py"),
            1,
            "faulty.py: no Parsl configuration can be had from it: ZeroDivisionError",
        ),
    ],
)
def test_no_engine(
    pristine: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], status: int, message: str
) -> None:
    (tmp_path / "empty.py").touch()
    (tmp_path / "faulty.py").write_text("1 / 0")
    named = [str(tmp_path / option) if option.endswith(".py") else option for option in options]
    done = commands.run(*RUN, *pristine, "--journal", tmp_path / "journal", *named)
    assert done.returncode == status
    assert message in done.stderr and "Traceback" not in done.stderr
    # It was found before anything was written.
    assert not (pristine[0] / "demo").exists()


class Threads(Engine):
    """An engine that is no more than two threads of this process."""

    def __init__(self) -> None:
        super().__init__("two threads")
        self._pool = ThreadPoolExecutor(2)

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()

    def _count_slots(self) -> int:
        return 2

    def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
        future = self._pool.submit(run_batch, batch)
        future.add_done_callback(lambda _: ended())
        return future

    def stop(self) -> None:
        stop_servers()


@pytest.mark.slow
def test_workers_whose_processes_cannot_start(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    python.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(Campaign, "_engine", lambda campaign: Threads())
        patch.setattr(sys, "executable", str(python))
        with pytest.raises(RunError, match=r"no worker can run quanta; the last one said: .*out of order"):
            runs.run(dask="two threads")
    # Once, and not for each of them.
    [line] = [line for line in runs.display.lines if "a worker cannot run quanta" in line]
    assert "has ended with exit code 3: out of order" in line
    journal = runs.journal.read_text()
    assert '"done"' not in journal and '"failed"' not in journal
    assert runs.run().is_success


@pytest.mark.slow
def test_an_engine_that_says_nothing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked in a thread, which is left alone."""
    asked, answer = threading.Event(), threading.Event()

    class Silent(Threads):
        def _count_slots(self) -> int:
            asked.set()
            answer.wait()
            return 2

        def fault(self) -> str | None:
            return "it is known to have ended" if asked.is_set() else None

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Campaign, "_engine", lambda campaign: Silent())
            with pytest.raises(RunError, match="two threads does not answer any more: it is known to have"):
                runs.run(dask="two threads")
    finally:
        answer.set()
    for thread in threading.enumerate():
        if thread.name == "count-slots":
            thread.join()
    assert runs.run().is_success


class RunAgain:
    """A batch that the engine runs once more, since the worker with its first result is lost."""

    def __init__(self, batch: Batch, first: Submitted):
        self._batch, self._first = batch, first

    def result(self, timeout: float | None = None) -> Any:
        self._first.result(timeout)
        return run_batch(self._batch)


@pytest.mark.slow
def test_a_batch_whose_result_is_lost_is_known_to_have_begun(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(Threads):
        def submit(self, batch: Batch, ended: Callable[[], object]) -> Submitted:
            return RunAgain(batch, super().submit(batch, ended))

    monkeypatch.setattr(Campaign, "_engine", lambda campaign: Forgetful())
    try:
        assert runs.run(dask="two threads").is_success
    finally:
        for server in remote._idle:
            server.stop()
        remote._idle.clear()
    lines = [line for log in runs.logs.glob("*.jsonl") for line in log.read_text().splitlines()]
    done = [json.loads(line)["quantum_id"] for line in lines]
    assert len(done) == len({*done}) == 2 * DETECTORS
    assert not list(runs.logs.glob(".batch-*"))


@pytest.mark.slow
def test_batches_keep_metadata_and_logs_in_logs_alone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Campaign, "_engine", lambda campaign: Threads())
    try:
        assert runs.run(dask="two threads", metadata_in_log=True).is_success
    finally:
        for server in remote._idle:
            server.stop()
        remote._idle.clear()
    assert not [*runs.root.rglob("*_log_*.json"), *runs.root.rglob("*_metadata_*.json")]
    found = list(all_contents([runs.logs]))
    assert len({quantum_id for quantum_id, *_ in found}) == len(found) == 2 * DETECTORS
    assert all(counts and metadata and log for _, counts, metadata, log in found)


# The process that speaks to its workers is killed when it is first asked for them.
DYING = """
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


class Dying(HighThroughputExecutor):
    def connected_managers(self):
        self.interchange_proc.kill()
        return super().connected_managers()


provider = LocalProvider(init_blocks=1, max_blocks=1)
executor = Dying(label="dying", address="127.0.0.1", max_workers_per_node=1, provider=provider)
run_dir = str(Path(__file__).with_name("runinfo"))
config = Config(executors=[executor], strategy="none", initialize_logging=False, run_dir=run_dir)
"""


@pytest.mark.slow
def test_parsl_does_not_answer_any_more(pristine: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("parsl")
    root, config = tmp_path / "repo", tmp_path / "config.py"
    shutil.copytree(pristine[0], root)
    config.write_text(DYING)
    options = ["--journal", tmp_path / "journal", "--parsl", config]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = commands.run(*RUN, root, pristine[1], *options, env={**os.environ, "PATH": path})
    assert done.returncode == 1
    assert "Parsl does not answer any more: the interchange of executor dying has ended" in done.stderr
    assert "Traceback" not in done.stderr
    # Nothing was lost: it goes on elsewhere.
    done = commands.run(*RUN, root, pristine[1], *options[:2])
    assert done.returncode == 0, done.stderr
