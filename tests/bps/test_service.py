"""``bps`` commands with our service leave what upstream's leaves, and say how it went."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bps_runs import OURS, BpsRun

pytestmark = pytest.mark.slow

AS_EXPECTED = {
    ("pipetaskInit", "SUCCEEDED"): 1,
    ("first", "SUCCEEDED"): 1,
    ("first", "FAILED"): 1,
    ("second", "SUCCEEDED"): 1,
    ("second", "PRUNED"): 1,
    ("finalJob", "SUCCEEDED"): 1,
}


def test_all_is_as_upstreams_service_leaves_it(both: tuple[BpsRun, BpsRun]) -> None:
    stock, ours = both
    assert len(ours.outputs()) >= 7
    assert ours.outputs() == stock.outputs()
    # None of ours is from a shell, or there would be a line more.
    assert len(ours.streams()) == 3
    assert ours.streams() == stock.streams()
    final = "logs/finalJob/finalJob.stdout"
    assert (ours.submit_folder / final).read_text() == (stock.submit_folder / final).read_text() != ""


def test_report_and_status(both: tuple[BpsRun, BpsRun]) -> None:
    _, ours = both
    assert ours.states() == AS_EXPECTED
    status = ours.bps("--log-level", "INFO", "status", "--id", ours.submit_folder,
                      "--wms-service-class", OURS)  # fmt: skip
    assert "FAILED" in status.stdout
    codes = ours.bps("report", "--id", ours.submit_folder, "--wms-service-class", OURS, "--return-exit-codes")
    assert any(line.split()[:3] == ["first", "1", "1"] for line in codes.stdout.splitlines()), codes.stdout
    everything = ours.bps("report", "--wms-service-class", OURS, "--hist", "1")
    assert str(ours.submit_folder) in everything.stdout


@contextlib.contextmanager
def held(pipe: Path) -> Iterator[threading.Event]:
    """Have jobs wait that log to a pipe, until the event is set; begin when the first one does."""
    os.mkfifo(pipe)
    go_on, reader = threading.Event(), os.open(pipe, os.O_RDWR)
    # Less than a job logs.
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)

    def drain() -> None:
        go_on.wait()
        while not os.read(reader, 1 << 16).endswith(b"end"):
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield go_on
    finally:
        go_on.set()
        os.write(reader, b"end")
        thread.join()
        os.close(reader)


def who_writes(pipe: Path) -> int:
    """Wait for another process to open a pipe, and return its number."""
    while True:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.readlink(link) == str(pipe) and int(link.parts[2]) != os.getpid():
                    return int(link.parts[2])


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def logging_to(pipe: Path) -> dict[str, str]:
    return {"runPreCmdOpts": f"--log-level DEBUG --log-file {pipe}"}


def test_cancel_and_restart(pristine: Path, tmp_path: Path, both: tuple[BpsRun, BpsRun]) -> None:
    pipe = tmp_path / "pipe.log"
    run = BpsRun(pristine, tmp_path / "run", OURS, **logging_to(pipe))
    with held(pipe) as go_on:
        submitted = run.start("submit", run.file)
        job = os.pidfd_open(who_writes(pipe))
        assert ("first", "RUNNING") in run.states()
        assert "Successfully canceled" in run.asked("cancel")
        done = run.read(submitted)
        assert "bps restart" in done.stdout
        # Its end has been asked for; where nobody asks for its status, its number stays in use.
        select.select([job], [], [])
        os.close(job)
        states = run.states()
        assert states.keys() == {("pipetaskInit", "SUCCEEDED")} | {
            (label, "DELETED") for label in ("first", "second", "finalJob")
        }
        go_on.set()
        assert run.bps("restart", "--id", run.submit_folder, "--wms-service-class", OURS).returncode == 0
    assert run.states() == AS_EXPECTED
    # The first job of all has not been run again.
    assert [one["job"] for one in run.events()].count("pipetaskInit") == 1
    assert run.outputs().keys() == both[1].outputs().keys()


@pytest.mark.proof
def test_a_worker_that_is_killed(pristine: Path, tmp_path: Path, both: tuple[BpsRun, BpsRun]) -> None:
    pipe = tmp_path / "pipe.log"
    site = {"local": {"class": "lsst.ctrl.bps.parsl.sites.Local", "cores": 1, "retries": 1}}
    run = BpsRun(pristine, tmp_path / "run", OURS, site=site, **logging_to(pipe))
    with held(pipe) as go_on:
        submitted = run.start("submit", run.file)
        zygote = parent_of(who_writes(pipe))
        os.kill(parent_of(zygote), signal.SIGKILL)
        go_on.set()
        assert run.read(submitted).returncode == 0
    assert run.states() == AS_EXPECTED
    assert run.outputs().keys() == both[1].outputs().keys()
