"""The file that tells of a run, after a process was killed while it wrote a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantum_butler.bps.state import StateWriter, read_state, state_file


def _write(folder: Path, *ended: str) -> None:
    """Write what a process tells that runs two jobs."""
    writer = StateWriter(str(folder))
    names = ("first", "second")
    errors = {name: str(folder / name) for name in names}
    writer.write(
        run="RUNNING", about={"name": "chain"}, labels=dict.fromkeys(names, "job"), parents={}, errors=errors
    )
    for name in ended:
        writer.write(job=name, state="SUCCEEDED", code=0)
    writer.close()


@pytest.mark.parametrize("left", [1, 20])
def test_a_run_goes_on_after_half_a_line(tmp_path: Path, left: int) -> None:
    _write(tmp_path, "first", "second")
    path = Path(state_file(str(tmp_path)))
    whole = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, sum(map(len, whole[:-1])) + left)
    assert read_state(str(tmp_path)).jobs == {"first": "SUCCEEDED", "second": "UNKNOWN"}
    _write(tmp_path, "second")
    run = read_state(str(tmp_path))
    assert run.about == {"name": "chain"}
    assert run.jobs == {"first": "SUCCEEDED", "second": "SUCCEEDED"}


def test_a_file_that_an_earlier_release_went_on_with_is_read(tmp_path: Path) -> None:
    _write(tmp_path, "first")
    path = Path(state_file(str(tmp_path)))
    told = path.read_bytes()
    path.write_bytes(
        told + b'{"job": "sec' + told.splitlines(keepends=True)[0] + told.splitlines(keepends=True)[1]
    )
    assert read_state(str(tmp_path)).jobs == {"first": "SUCCEEDED", "second": "UNKNOWN"}


def test_a_first_line_that_is_incomplete_is_as_none(tmp_path: Path) -> None:
    Path(state_file(str(tmp_path))).write_text('{"run": "RUNN')
    _write(tmp_path, "first")
    assert read_state(str(tmp_path)).jobs["first"] == "SUCCEEDED"
