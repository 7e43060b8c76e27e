"""The help of every command: what it shows, and what is the same everywhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import click
import pytest

from quantum_butler.cli.main import main
from shell_lines import commands_of, parse

COMMANDS = sorted(main.commands)

LISTINGS = {
    name
    for name, command in main.commands.items()
    for option in command.params
    if option.name == "style" and "csv" in getattr(option.type, "choices", ())
} | {"log", "metadata"}
"""Commands whose answer has rows."""

_EXAMPLE = re.compile(r"quantum-butler [^\n\"`)]*")


def examples_of(name: str) -> list[list[str]]:
    """Return the commands that a help shows on lines of their own, each as its arguments."""
    shown = re.findall(r"\x08\n(.*?)(?:\n\n|\Z)", main.commands[name].help or "", re.DOTALL)
    found = []
    for line in "\n".join(shown).splitlines():
        if "quantum-butler " in line:
            # What an example does stands on its right.
            typed = re.split(r" {3,}| #", line.strip())[0]
            if not typed.startswith("quantum-butler"):
                typed = _EXAMPLE.findall(typed)[0]
            found += [one.words[1:] for one in commands_of(typed) if one.words[0] == "quantum-butler"]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_there_and_can_be_typed(name: str) -> None:
    examples = examples_of(name)
    for words in examples:
        parse(words)
    assert any(words[0] == name for words in examples)


def test_there_are_examples() -> None:
    assert sum(len(examples_of(name)) for name in COMMANDS) > 25


def test_a_limit_means_the_same_in_all_commands() -> None:
    """Zero is none: so each help says, and so each command gets it."""
    limits = [one for command in main.commands.values() for one in command.params if one.name == "limit"]
    assert len(limits) > 7
    for one in limits:
        assert isinstance(one, click.Option) and "0 prints all" in (one.help or "")
        context = click.Context(main)
        assert one.process_value(context, 0) is None and one.process_value(context, 3) == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_exit_statuses_are_listed(name: str) -> None:
    command = main.commands[name]
    assert re.search(r"[Ee]xit status(?:es)?\b.*\b\d+\b", command.epilog or "", re.DOTALL)


def test_the_group_lists_them_for_all() -> None:
    for status in ("0", "1", "2", "130", "141"):
        assert re.search(rf"\b{status}\b", main.epilog or "")


def test_output_has_its_short_form() -> None:
    outputs = [
        (name, option.opts)
        for name in COMMANDS
        for option in main.commands[name].params
        if "--output" in option.opts
    ]
    assert len(LISTINGS) > 12
    assert {name for name, _ in outputs} > LISTINGS
    for name, names in outputs:
        assert "-o" in names, name
    # Nothing else has it.
    others = [one for name in COMMANDS for one in main.commands[name].params if "-o" in one.opts]
    assert all("--output" in one.opts for one in others)


def bar_on_a_terminal(**environment: str) -> bytes:
    """Return what is shown of progress on a terminal."""
    code = (
        "from quantum_butler.progress import Progress, shown\n"
        "with shown() as progress: progress(Progress('reading', 1, 2, 1, False))"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    reader, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**plain, "TERM": "xterm-256color", **environment},
            stderr=terminal,
            stdout=subprocess.DEVNULL,
        )
        assert done.returncode == 0
        return os.read(reader, 1 << 16)
    finally:
        os.close(reader)
        os.close(terminal)


def test_no_color() -> None:
    colour = re.compile(rb"\x1b\[[\d;]*3[0-9][\d;]*m")
    assert colour.search(bar_on_a_terminal())
    without = bar_on_a_terminal(NO_COLOR="1")
    assert without and not colour.search(without)
