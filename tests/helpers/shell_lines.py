"""The commands in a block of shell, one by one."""

from __future__ import annotations

__all__ = ("Command", "commands_of", "parse")

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click

from quantum_butler.cli.main import main

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = frozenset("|&;<>()")


class Command(NamedTuple):
    """A command of a block."""

    line: int
    """Number of its line in the block, from 0."""

    words: list[str]
    """Its name and arguments, without the assignments before them and where its output goes."""


def commands_of(text: str) -> Iterator[Command]:
    """Yield the commands of a block; where there are prompts, only what comes after these."""
    lines = text.replace("\\\n", "  ").splitlines()
    has_prompts = any(line.startswith("$ ") for line in lines)
    for number, line in enumerate(lines):
        if has_prompts and not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        is_redirected = False
        for token in [*lexer, ";"]:
            if not set(token) <= _OPERATORS:
                if not is_redirected:
                    words.append(token)
                is_redirected = False
            elif token in (">", ">>", "<", ">&", "<&"):
                is_redirected = True
                if words and words[-1] in ("1", "2"):
                    words.pop()
            else:
                while words and _ASSIGNMENT.match(words[0]):
                    words.pop(0)
                if words:
                    yield Command(number, words)
                words = []


def parse(arguments: list[str]) -> click.Command:
    """Read arguments of ``quantum-butler`` as the command line does, and return the command.

    Files need not exist, and what is in capitals stands for something that the reader has.
    """
    context = click.Context(main, info_name="quantum-butler", **main.context_settings)
    _, rest, _ = main.make_parser(context).parse_args(list(arguments))
    if not rest:
        return main
    name, *rest = rest
    command = main.commands.get(name)
    if command is None:
        raise click.UsageError(f"there is no command {name}")
    inner = click.Context(command, parent=context, info_name=name, **command.context_settings)
    given, left, _ = command.make_parser(inner).parse_args(rest)
    if left:
        raise click.UsageError(f"{name} does not take {left}")
    for parameter in command.params:
        value = given.get(parameter.name)
        is_given = isinstance(value, str | tuple | list) and bool(value)
        if parameter.required and not is_given:
            raise click.MissingParameter(ctx=inner, param=parameter)
        if isinstance(parameter.type, click.Choice | click.types.IntParamType | click.types.FloatParamType):
            for one in value if isinstance(value, tuple | list) else (value,):
                if isinstance(one, str) and not one.isupper():
                    parameter.type.convert(one, parameter, inner)
    return command
