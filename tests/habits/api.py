"""Everything that users may rely on, as text: names, signatures, exceptions, commands and options.

python tests/habits/api.py --renew    writes api.txt anew; without it, prints the text
"""

from __future__ import annotations

__all__ = ("SNAPSHOT", "describe", "names_in")

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import quantum_butler
from quantum_butler.cli.main import main

SNAPSHOT = Path(__file__).with_name("api.txt")

_OURS = "quantum_butler"
# Pydantic's and Python's own, some of which differ from one version to the next.
_PASSED_OVER = {"model_config", "model_fields", "model_computed_fields"}


def describe() -> str:
    """Return the whole text."""
    return "\n".join((*_names(), "", *_command("quantum-butler", main))) + "\n"


def names_in(text: str) -> set[str]:
    """Return the names in a description: of Python, and of commands with each of their options."""
    found, command = set(), ""
    for line in text.splitlines():
        if line.startswith("quantum-butler"):
            command = line
            found.add(command)
        elif option := re.match(r" +option ([-\w/]+)", line):
            found |= {f"{command} {name}" for name in option[1].split("/")}
        elif name := re.match(r"(?:class | +)?([A-Za-z_][\w.]*)", line.removeprefix("    argument ")):
            found |= set() if line.startswith("    argument") else {name[1]}
    return found


def _names() -> Iterator[str]:
    for name in sorted(quantum_butler.__all__):
        value: Any = getattr(quantum_butler, name)
        if inspect.isclass(value):
            yield from _class(name, value)
        elif callable(value):
            yield f"{name}{_signature(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


def _class(name: str, cls: type) -> Iterator[str]:
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == _OURS]
    # An exception is known by all that it can be caught as; others by what they extend.
    others = [base for base in cls.__mro__ if base not in ours]
    bases = cls.__mro__[1:-2] if issubclass(cls, BaseException) else others[:1]
    public = [base for base in bases if base not in ours or base.__name__ in quantum_butler.__all__]
    names = [base.__name__ for base in public if base is not object]
    heading = f"({', '.join(names)})" if names else ""
    # The constructor of an exception is ours to change.
    parameters = "" if issubclass(cls, BaseException) else _signature(cls)
    yield f"class {name}{heading} {parameters}".rstrip()
    members = {
        member: inspect.getattr_static(cls, member)
        for base in ours
        for member in vars(base)
        if not member.startswith("_") and member not in _PASSED_OVER
    }
    fields = {
        member
        for base in ours
        for member in vars(base).get("__annotations__", ())
        if not member.startswith("_") and member not in _PASSED_OVER
    }
    for member in sorted({*members, *fields}):
        yield f"    {name}.{member}{_member(members.get(member))}"


def _member(value: Any) -> str:
    if isinstance(value, property):
        return ": property" if value.fset is None else ": property that can be set"
    if isinstance(value, classmethod):
        return f"{_signature(value.__func__)} [classmethod]"
    if isinstance(value, staticmethod):
        return f"{_signature(value.__func__)} [staticmethod]"
    return _signature(value) if callable(value) else ""


def _signature(value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(...)"
    # Where a class lies is not for users, nor where an object is.
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _command(path: str, command: click.Command) -> Iterator[str]:
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    yield path
    for parameter in parameters:
        kind = "argument" if isinstance(parameter, click.Argument) else "option"
        names = "/".join((*parameter.opts, *parameter.secondary_opts))
        choices = getattr(parameter.type, "choices", None)
        words = [
            kind,
            names,
            "flag" if getattr(parameter, "is_flag", False) else parameter.type.name,
            "[" + "|".join(str(choice) for choice in choices) + "]" if choices else "",
            "required" if parameter.required else "",
            "repeatable" if getattr(parameter, "multiple", False) or parameter.nargs == -1 else "",
        ]
        yield "    " + " ".join(word for word in words if word)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            found = command.get_command(context, name)
            assert found is not None
            yield from _command(f"{path} {name}", found)


if __name__ == "__main__":
    if sys.argv[1:] == ["--renew"]:
        SNAPSHOT.write_text(describe())
    else:
        print(describe(), end="")
