"""A restart of a run that was saved, and of which nothing tells how far it came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lsst.ctrl.bps import BpsConfig, GenericWorkflow, GenericWorkflowExec, GenericWorkflowJob, WmsStates
from lsst.ctrl.bps.parsl.job import ParslJob
from lsst.ctrl.bps.parsl.site import SiteConfig
from parsl.executors import ThreadPoolExecutor

from interpreters import collected_here
from quantum_butler.bps import WarmParslService

# Parsl does not close the streams of its shell jobs.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed file <_io.TextIOWrapper:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Have what Parsl leaves open collected here, and not in another test."""
    with collected_here():
        yield


class Threads(SiteConfig):
    """A site in this process."""

    def get_executors(self) -> list[ThreadPoolExecutor]:
        return [ThreadPoolExecutor(label="threads", max_threads=1)]

    def select_executor(self, job: ParslJob) -> str:
        return "threads"


def _workflow(folder: Path) -> GenericWorkflow:
    """Make three jobs, one after the other, of which each appends its name to a file."""
    workflow = GenericWorkflow("chain")
    for name in ("pipetaskInit", "first", "second"):
        job = GenericWorkflowJob(name, label=name)
        job.executable = GenericWorkflowExec("sh", "/bin/sh", transfer_executable=False)
        job.arguments = f"-c 'echo {name} >> {folder}/done'"
        workflow.add_job(job)
    workflow.add_job_relationships("pipetaskInit", "first")
    workflow.add_job_relationships("first", "second")
    return workflow


def test_a_run_that_was_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Parsl writes into the working folder.
    monkeypatch.chdir(tmp_path)
    config = BpsConfig(
        {
            "submitPath": str(tmp_path),
            "subDirTemplate": "",
            "project": "demo",
            "campaign": "test",
            "operator": "me",
            "uniqProcName": "demo",
            "computeSite": "threads",
            "site": {"threads": {"class": f"{Threads.__module__}.{Threads.__qualname__}"}},
            "parsl": {"log_level": "WARN"},
        },
        search_order=[],
    )
    service = WarmParslService(config)
    service.prepare(config, _workflow(tmp_path), str(tmp_path))
    assert service.get_status(str(tmp_path))[0] == WmsStates.UNKNOWN
    assert service.restart(str(tmp_path)) == (str(tmp_path), "chain", "")
    assert (tmp_path / "done").read_text().split() == ["pipetaskInit", "first", "second"]
    assert service.get_status(str(tmp_path)) == (WmsStates.SUCCEEDED, "")


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    service = WarmParslService(BpsConfig({}))
    run_id, name, message = service.restart(str(tmp_path))
    assert run_id is None and name is None
    assert str(tmp_path) in message
    is_cancelled, message = service.cancel(str(tmp_path))
    assert not is_cancelled and str(tmp_path) in message
