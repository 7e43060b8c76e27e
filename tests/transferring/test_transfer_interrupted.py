"""A transfer that is killed and started again, and two at once, leave what one would."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")

from campaigns import CLI, Campaign, arguments, write_archive

from quantum_butler.demo.graph import OUTPUT_RUN
from registries import Registries, content

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from quantum_butler.cli.main import main

real, calls = FileDatastore.import_records, []

def import_records(self, data):
    calls.append(data)
    real(self, data)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

FileDatastore.import_records = import_records
main()
"""


def test_killed_in_the_middle_and_started_again(campaign: Campaign, registries: Registries) -> None:
    root = registries.copy(campaign.executed)
    options = [*arguments(root, campaign), "--batch", "2"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = content(root)
    # Two batches are there as a whole, and nothing of the third.
    outputs = {id_ for entry in campaign.entries[:4] for id_ in entry.provenance.actual_outputs}
    assert {id_ for id_, ref in found.refs.items() if ref.run == OUTPUT_RUN} == outputs
    assert outputs <= set().union(*found.located.values())
    again = subprocess.run([sys.executable, "-c", CLI, *options], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert content(root) == campaign.expected


@pytest.mark.parametrize("overlap", [False, True], ids=["halves", "the same twice"])
def test_two_at_once(
    campaigns: Callable[[str], Campaign], registries: Registries, tmp_path: Path, overlap: bool
) -> None:
    campaign = campaigns("postgresql")
    root = registries.copy(campaign.executed)
    middle = len(campaign.entries) // 2
    parts = [campaign.entries, campaign.entries[::-1]]
    if not overlap:
        parts = [campaign.entries[:middle], campaign.entries[middle:]]
    processes = []
    for number, entries in enumerate(parts):
        archive = write_archive(tmp_path / f"archive{number}", entries)
        options = [*arguments(root, campaign, archive), "--batch", "1"]
        processes.append(
            subprocess.Popen([sys.executable, "-c", CLI, *options], stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        _, errors = process.communicate(timeout=120)
        # Of two halves, the first to end has seen files of which only the other's archive knows.
        assert process.returncode in ((0,) if overlap else (0, 3)), errors
    assert content(root) == campaign.expected
