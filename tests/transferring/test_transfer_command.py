"""``quantum-butler transfer``: what it prints and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lsst.daf.butler.datastores.fileDatastore import FileDatastore

pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")

from campaigns import CLI, DETECTORS, Campaign, arguments, changed, each_row, transferred, write_archive

from quantum_butler.cli.main import main
from registries import Registries, content

pytestmark = pytest.mark.slow


def invoke(root: Path | str, campaign: Campaign, archive: Path | None = None, *options: str) -> Any:
    graph = str(campaign.graph_file)
    arguments = ["transfer", str(archive or campaign.archive), str(root), "--graph", graph, *options]
    return CliRunner().invoke(main, arguments)


def test_types_that_are_not_registered(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    before = content(root)
    done = invoke(root, on_sqlite)
    assert done.exit_code == 1
    assert "--register-dataset-types" in done.stderr
    assert content(root) == before


def test_different_records_are_told(on_sqlite: Campaign, registries: Registries, tmp_path: Path) -> None:
    def grow(data: dict[str, Any]) -> None:
        next(each_row(data))["file_size"] += 1

    root = registries.copy(on_sqlite.executed)
    transferred(root, on_sqlite)
    first, *others = on_sqlite.entries
    archive = write_archive(tmp_path / "other", [changed(first, grow), *others])
    done = invoke(root, on_sqlite, archive, "--format", "json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["different"] == 1
    done = invoke(root, on_sqlite, archive)
    assert done.exit_code == 1
    assert "recorded otherwise" in done.stdout


def test_command_line(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    would = invoke(root, on_sqlite, None, "--dry-run", "--register-dataset-types")
    assert would.exit_code == 0
    assert "Would be transferred" in would.stdout
    done = invoke(root, on_sqlite, None, "--batch", "5", "--register-dataset-types", "--format", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["quanta"] == 2 * DETECTORS
    assert done.stderr.splitlines() == [
        "reading the graph",
        "transferring quanta",
        "looking for init-outputs",
    ]
    assert content(root) == on_sqlite.expected
    again = invoke(root, on_sqlite)
    assert again.exit_code == 0
    assert "datasets that were there" in again.stdout


def test_outputs_that_nobody_tells_of_have_a_status_of_their_own(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    # As after a run of which a part could not be logged, and a retry that passed over it.
    root = registries.copy(on_sqlite.executed)
    archive = write_archive(tmp_path / "part", on_sqlite.entries[:2])
    lost = on_sqlite.entries[2:]
    done = invoke(root, on_sqlite, archive, "--register-dataset-types")
    assert done.exit_code == 3
    number = sum(len(entry.provenance.actual_outputs) for entry in lost)
    assert f"{number:,} outputs are on disk" in done.stderr
    named = [line for line in done.stderr.splitlines() if line.startswith("quantum ")]
    assert len(named) == min(number, 20)
    assert {line.split()[1].rstrip(":") for line in named} <= {str(entry.quantum_id) for entry in lost}
    done = invoke(root, on_sqlite, archive, "--format", "json")
    assert done.exit_code == 3
    assert len(json.loads(done.stdout)["unrecorded_outputs"]) == number
    # A copy of what is there now, to which the rest comes from disk.
    scanned = registries.copy(root)
    done = invoke(scanned, on_sqlite, archive, "--register-dataset-types", "--scan", "--format", "json")
    assert (done.exit_code, json.loads(done.stdout)["scanned"]) == (0, number)
    assert content(scanned).refs == on_sqlite.expected.refs
    done = invoke(scanned, on_sqlite, archive)
    assert done.exit_code == 0 and "taken in" not in done.stdout
    assert invoke(root, on_sqlite, None, "--register-dataset-types").exit_code == 0
    assert content(root) == on_sqlite.expected


def test_errors_have_a_line_and_no_traceback(
    on_sqlite: Campaign, registries: Registries, tmp_path: Path
) -> None:
    root = registries.copy(on_sqlite.executed)
    no_archive = tmp_path / "no-archive"
    no_archive.mkdir()
    future = shutil.copytree(on_sqlite.archive, tmp_path / "future")
    manifest = json.loads(future.joinpath("manifest.json").read_text())
    future.joinpath("manifest.json").write_text(json.dumps({**manifest, "version": 3}))
    broken = shutil.copytree(on_sqlite.archive, tmp_path / "broken")
    broken.joinpath("edges.parquet").write_bytes(b"PAR1")
    for archive, status, reason in (
        (no_archive, 2, "is not a provenance archive: the folder is empty"),
        (future, 1, "of format version 3, and this release reads up to 2"),
        (broken, 1, "edges.parquet"),
    ):
        done = invoke(root, on_sqlite, archive, "--register-dataset-types")
        assert (done.exit_code, done.stdout) == (status, "")
        assert reason in done.stderr
    assert invoke(root, on_sqlite, tmp_path / "nowhere").exit_code == 2
    assert invoke(root, on_sqlite, None, "--batch", "0").exit_code == 2
    done = invoke(tmp_path / "nowhere", on_sqlite)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no such repository" in done.stderr
    (tmp_path / "butler.yaml").write_text("datastore: 1")
    done = invoke(tmp_path, on_sqlite)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be opened as a repository" in done.stderr
    no_graph = tmp_path / "graph.qg"
    for text, status, said in (
        (None, 2, "there is no such graph"),
        ("nothing", 1, "cannot be read as a quantum graph"),
    ):
        if text:
            no_graph.write_text(text)
        done = invoke(root, replace(on_sqlite, graph_file=no_graph))
        assert (done.exit_code, done.stdout) == (status, "")
        assert said in done.stderr


def test_a_terminal_has_a_bar(on_sqlite: Campaign, registries: Registries) -> None:
    root = registries.copy(on_sqlite.executed)
    terminal, end = os.openpty()
    command = [sys.executable, "-c", CLI, *arguments(root, on_sqlite), "--batch", "1", "--format", "json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=end, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):
        # A terminal that nobody has open any more is an error.
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown.decode()
    assert json.loads(out)["quanta"] == 2 * DETECTORS
    for text in ("transferring quanta", "%", "quanta/s", "\x1b["):
        assert text in shown.decode()


def test_interrupted_by_its_user(on_sqlite: Campaign, registries: Registries) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    root = registries.copy(on_sqlite.executed)
    before = content(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileDatastore, "import_records", interrupt)
        done = invoke(root, on_sqlite, None, "--register-dataset-types")
    assert (done.exit_code, done.stdout) == (130, "")
    assert "Aborted!" in done.stderr
    assert content(root) == before
    assert invoke(root, on_sqlite, None, "--register-dataset-types").exit_code == 0
    assert content(root) == on_sqlite.expected
