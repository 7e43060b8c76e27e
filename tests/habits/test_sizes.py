"""No file and no class is longer than one can keep in mind."""

from __future__ import annotations

import ast
from pathlib import Path

import quantum_butler

PACKAGE = Path(quantum_butler.__file__).resolve().parent
MOST_LINES_OF_FILE = 500
MOST_LINES_OF_CLASS = 400


def test_files_and_classes_are_short() -> None:
    files, classes = {}, {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        name = str(path.relative_to(PACKAGE))
        files[name] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno is not None
                classes[f"{name}: {node.name}"] = node.end_lineno - node.lineno + 1
    assert len(files) > 50
    assert len(classes) > 50
    assert {name: lines for name, lines in files.items() if lines > MOST_LINES_OF_FILE} == {}
    assert {name: lines for name, lines in classes.items() if lines > MOST_LINES_OF_CLASS} == {}
    # It counts at all.
    assert max(classes.values()) > 200
