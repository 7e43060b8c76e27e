"""The example that the tutorial begins with: whole but for one file, and ready to be run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

import lsst.pipe.base.tests.mocks  # noqa: F401 - its storage classes
from lsst.daf.butler import Butler, FileIntegrityError

from quantum_butler import PredictedGraph


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantum_butler", "demo", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.slow
def test_a_graph_and_a_raw_that_is_damaged(tmp_path: Path) -> None:
    done = demo("--tutorial", tmp_path / "example", "--format", "json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    graph = PredictedGraph(made["graph"])
    tasks = Counter(
        label for quanta, _ in graph.quanta_tables() for label in quanta["task_label"].to_pylist()
    )
    assert tasks == {"isr": 18, "calibrate": 18, "coadd": 4} and made["quanta"] == 40
    coadds = graph.find_quanta("coadd", skymap="demo_sky", tract=0, patch=3, band="r")
    # Each patch is seen in every visit, by more than one detector.
    assert len(graph.quantum(coadds[0]).inputs["image"]) >= 2 * 3
    with Butler.from_config(made["repository"], collections="raws") as butler:
        refs = butler.query_datasets("raw")
        damaged = [ref for ref in refs if not _is_read(butler, ref)]
        assert [(ref.dataId["visit"], ref.dataId["detector"]) for ref in damaged] == [(102, 1)]
        shutil.copytree(made["copy"], made["repository"], dirs_exist_ok=True)
        assert all(_is_read(butler, ref) for ref in refs)


def _is_read(butler: Butler, ref: object) -> bool:
    try:
        butler.get(ref)  # type: ignore[call-overload]
    except FileIntegrityError:
        return False
    return True


def test_what_does_not_go_with_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    for arguments, text in (
        (("--tutorial", tmp_path), "not empty"),
        (("--tutorial", tmp_path / "new", "--detectors", "3"), "--detectors"),
        (("--tutorial", tmp_path / "new", "--keep", tmp_path / "kept"), "--keep"),
    ):
        done = demo(*arguments)
        assert done.returncode == 2 and text in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
