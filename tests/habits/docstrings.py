"""Finds where numpydoc sections are missing, and where they are too much.

    python tests/habits/docstrings.py    reports both

Names that users meet have the sections that numpydoc wants; every other
docstring is one line, or a few sentences, without sections.
"""

from __future__ import annotations

__all__ = ("NEITHER_VERB_NOR_NOUN", "Section", "beginnings", "exported", "missing", "surplus")

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import quantum_butler
import quantum_butler.archive
import quantum_butler.execution
import quantum_butler.quantum_graphs
from quantum_butler.archive.rows import WrittenBatch
from quantum_butler.transferring.report import UnrecordedOutput

_PACKAGE = Path(quantum_butler.__file__).resolve().parent
_UNDERLINED = re.compile(r"^( *)(\w[\w ]*)\n\1(-{4,})$", re.MULTILINE)

NEITHER_VERB_NOR_NOUN = frozenset(
    ("As", "How", "If", "Tell", "Tells", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why")
)
"""Words with which a docstring must not begin."""


@dataclass(frozen=True)
class Section:
    """Sections in the docstring of a name that no user meets."""

    module: str
    line: int
    name: str
    lines: int


def beginnings() -> Iterator[tuple[str, str]]:
    """Yield place and first word of each docstring of the package."""
    for path in sorted(_PACKAGE.rglob("*.py*")):
        if path.suffix not in (".py", ".pyi"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if text := ast.get_docstring(node):
                    name = getattr(node, "name", "module")
                    yield f"{path.relative_to(_PACKAGE)}: {name}", text.split()[0].rstrip(",.:;")


def exported() -> dict[str, Any]:
    """Return classes and functions that users meet, and their public methods, each by name."""
    found: dict[str, Any] = {}
    for name in quantum_butler.__all__:
        value = getattr(quantum_butler, name)
        if not callable(value):
            continue
        found[name] = value
        if not inspect.isclass(value):
            continue
        # What a class overrides is its own.
        for base in reversed(value.__mro__):
            if base.__module__.startswith("quantum_butler."):
                found |= {
                    f"{name}.{member}": getattr(method, "__func__", method)
                    for member, method in vars(base).items()
                    if (member[0] != "_" or member == "__call__")
                    and callable(getattr(method, "__func__", method))
                }
    return found


def missing() -> Iterator[str]:
    """Yield, for each exported name, the sections that it should have and lacks."""
    for name, value in exported().items():
        text = inspect.cleandoc(value.__doc__ or "")
        sections = {found[2] for found in _UNDERLINED.finditer(text)}
        # Users neither make exceptions nor reports; the fields of those have docstrings of their own.
        is_made_by_us = isinstance(value, type) and (
            issubclass(value, BaseException) or "__init__" not in vars(value) or is_dataclass(value)
        )
        wanted = set() if is_made_by_us else _wanted(value)
        if not text:
            yield f"{name}: no docstring"
        # A function may yield, or return an iterator.
        elif lacking := wanted - sections - ({"Returns"} if "Yields" in sections else set()):
            yield f"{name}: no section {', '.join(sorted(lacking))}"


def _wanted(value: Any) -> set[str]:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return set()
    parameters = [name for name in signature.parameters if name not in {"self", "cls"}]
    wanted = {"Parameters"} if parameters else set()
    if not isinstance(value, type) and signature.return_annotation not in {"None", None, signature.empty}:
        wanted.add("Returns")
    return wanted


def _places_of_exported() -> set[tuple[str, str]]:
    """Return module and qualified name of all that is exported, and of what answers are made of."""
    rooms = (quantum_butler.archive, quantum_butler.execution, quantum_butler.quantum_graphs)
    answers = [getattr(room, name) for room in rooms for name in room.__all__ if name != "Isolation"]
    met = [*exported().values(), *answers, WrittenBatch, UnrecordedOutput]
    return {_place(inspect.unwrap(value)) for value in met}


def _place(value: Any) -> tuple[str, str]:
    # Methods go by the name of the class that they are called on.
    if (code := getattr(value, "__code__", None)) is not None:
        return value.__globals__["__name__"], code.co_qualname
    return value.__module__, value.__qualname__


def surplus() -> tuple[list[Section], int]:
    """Return sections on names that no user meets, and how many docstrings were looked at."""
    known = _places_of_exported()
    found, looked_at = [], 0
    for path in sorted(_PACKAGE.rglob("*.py")):
        parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name, node in _documented(ast.parse(path.read_text()), ""):
            text = ast.get_docstring(node)
            if text is None:
                continue
            looked_at += 1
            if (match := _UNDERLINED.search(text)) and (module, name) not in known:
                lines = text.count("\n", match.start()) + 1
                found.append(Section(str(path.relative_to(_PACKAGE)), node.lineno, name, lines))
    return found, looked_at


def _documented(
    node: ast.AST, within: str
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{within}{child.name}"
            yield name, child
            yield from _documented(
                child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>."
            )
        else:
            yield from _documented(child, within)


if __name__ == "__main__":
    sections, _ = surplus()
    for section in sections:
        print(f"{section.module}:{section.line}: {section.name}: {section.lines} lines of sections")
    for problem in missing():
        print(problem)
    rooms = Counter[str]()
    for section in sections:
        rooms[section.module.split("/")[0]] += section.lines
    print(f"{sum(rooms.values())} lines of sections on names that no user meets: {dict(rooms)}")
