"""The table of commands and of what they ask, in docs/questions.md, is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from quantum_butler.cli.main import main
from told_run import Told

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "questions.md").read_text()
_SECTION = _TEXT.partition("## What each command asks")[2].partition("\n## ")[0]
ROWS = [
    tuple(cell.strip() for cell in row)
    for row in re.findall(r"^\| `(.+)` \|(.+)\|(.+)\|(.+)\|$", _SECTION, re.M)
]

NAMES = {
    **dict.fromkeys(("show", "lineage"), ("one", "detector=3")),
    **dict.fromkeys(("producer", "consumers", "rebuild"), ("one_output", "detector=3")),
    **dict.fromkeys(("log", "metadata"), ("--task", "four")),
    "export": ("--to", "runtime-parquet", "-o"),
    "plot": ("-o",),
}
"""What a command needs besides what it asks."""


def test_all_commands_that_ask_are_in_the_table() -> None:
    names = {name for name, *_ in ROWS}
    asking = {
        name
        for name, command in main.commands.items()
        if {"places", "words", "archive", "left"} & {one.name for one in command.params}
    } - {"aggregate", "transfer"}
    assert asking <= names and len(ROWS) == len(names) == 18


@pytest.mark.parametrize("row", ROWS, ids=[name for name, *_ in ROWS])
def test_what_a_command_asks(told: Told, tmp_path: Path, row: tuple[str, ...]) -> None:
    name, *cells = row
    for cell, place in zip(cells, (told.archive, told.predicted, told.provenance), strict=True):
        words = [*NAMES.get(name, ())]
        words += [str(tmp_path / "out")] if "-o" in words else []
        words += [str(place)] if name in ("compare", "diff") else []
        done = CliRunner().invoke(main, [name, str(place), *words])
        # This archive was made of a provenance graph.
        can_ask = cell.startswith("yes") or cell.endswith("of provenance graphs")
        assert (done.exit_code in ((0, 3) if name == "report" else (0,))) is can_ask, (place, done.output)
