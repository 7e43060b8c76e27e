"""The tutorial does what it says, as a page and as a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")
pytest.importorskip("nbclient")

import nbformat
from walk_through import NOTEBOOK, PAGE, execute, masked, notebook_of, steps_of


def test_the_notebook_is_the_page() -> None:
    """After a change of the page: python tests/documentation/walk_through.py."""
    assert nbformat.reads(NOTEBOOK.read_text(), as_version=4) == notebook_of(PAGE)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_it_prints_what_the_page_says(tmp_path: Path) -> None:
    steps = steps_of(PAGE)
    printed = execute(notebook_of(PAGE), tmp_path)
    assert len(printed) == len(steps) > 10
    for step, text in zip(steps, printed, strict=True):
        expected = "" if step.printed is None else step.printed.text
        is_there, is_said = masked(text, tmp_path), masked(expected)
        if step.varies:
            is_there, is_said = is_there.partition("\n")[0], is_said.partition("\n")[0]
            assert is_said
        assert is_there == is_said, step.block.where
