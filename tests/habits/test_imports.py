"""Who imports whom: the contract in ``.importlinter``, and what it cannot say."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import quantum_butler
from quantum_butler import switches
from quantum_butler.dropin.launch import sitecustomize

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(quantum_butler.__file__).resolve().parent
MODULES = {path.relative_to(PACKAGE): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

# What imports late: commands, so that each starts fast; the drop-in, which must not be what imports upstream;
# the process that forks for jobs of BPS, which imports the stack when our classes wait for it;
# the names of the package itself.
LATE_FOLDERS = {"cli", "dropin", "bps"}
LATE_FILES = {"__init__.py", "__main__.py"}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    assert parser.read(ROOT / ".importlinter")
    return parser


def rooms() -> set[str]:
    """Return the packages and modules right below ours."""
    return {name.parts[0].removesuffix(".py") for name in MODULES} - {"__init__", "__main__"}


def test_the_contract_names_every_package() -> None:
    found = rooms()
    assert len(found) > 10
    parser = contracts()
    named = {
        name.removeprefix("quantum_butler.")
        for section in parser.values()
        for key in ("protected_modules", "source_modules")
        for name in section.get(key, "").split()
    }
    assert named == found


def test_the_drawing_is_the_contract() -> None:
    drawn: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        if line.startswith("| `") and line.count("|") == 3:
            _, packages, imported, _ = line.split("|")
            for package in re.findall(r"`(\w+)`", packages):
                drawn[package] = set(re.findall(r"`(\w+)`", imported))
    assert drawn.keys() == rooms()
    allowed: dict[str, set[str]] = {room: set() for room in rooms()}
    for section in contracts().values():
        if section.get("type") == "protected":
            imported = section["protected_modules"].removeprefix("quantum_butler.")
            importers = section["allowed_importers"].replace("quantum_butler.", "").split()
            for importer in {*importers} - {"__main__"}:
                allowed[importer].add(imported)
    assert drawn == allowed


def test_the_contract_looks_at_imports_for_typing() -> None:
    assert contracts().getboolean("importlinter", "exclude_type_checking_imports") is False


def test_the_contract_is_kept_and_has_something_to_check() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    summary = re.search(r"Contracts: (\d+) kept, (\d+) broken", text)
    analyzed = re.search(r"Analyzed (\d+) files, (\d+) dependencies", text)
    assert summary and analyzed, text
    sections = [name for name in contracts() if name.startswith("importlinter:contract:")]
    assert (int(summary[1]), int(summary[2])) == (len(sections), 0)
    assert int(analyzed[1]) >= len(rooms())
    assert int(analyzed[2]) > 200


def imports(tree: ast.Module, *, late: bool) -> Iterator[ast.ImportFrom]:
    """Yield the relative imports of a module, either those in functions or the others."""
    stack: list[tuple[ast.AST, bool]] = [(tree, False)]
    while stack:
        node, inside = stack.pop()
        if isinstance(node, ast.ImportFrom) and node.level and inside is late:
            yield node
        stack += [(child, inside or isinstance(node, FUNCTIONS)) for child in ast.iter_child_nodes(node)]


# Imports in functions that are still to go, or spare a start-up what it may not need, by module.
LATE_YET = {
    "archive/archive.py": 4,
    "transferring/archive.py": 1,
}


def test_no_function_imports_from_our_package() -> None:
    looked_at, found, allowed = 0, {}, 0
    for name, tree in TREES.items():
        count = sum(1 for _ in imports(tree, late=True))
        if name.parts[0] in LATE_FOLDERS or name.name in LATE_FILES:
            allowed += count
            continue
        looked_at += sum(isinstance(node, FUNCTIONS) for node in ast.walk(tree))
        if count:
            found[str(name)] = count
    assert looked_at > 500
    # It sees those that may be there.
    assert allowed > 10
    # The list gets shorter only.
    assert found == LATE_YET


def test_only_the_core_is_imported_from_the_package_itself() -> None:
    # The contract leaves out what the package itself imports, so nothing may come in through it.
    found, count = [], 0
    for name, tree in TREES.items():
        if name.name in LATE_FILES and len(name.parts) == 1:
            continue
        depth = len(name.parts)
        for node in (*imports(tree, late=False), *imports(tree, late=True)):
            if node.level == depth and node.module is None:
                count += 1
                names = {alias.name for alias in node.names} - {"_core"} - rooms()
                if names and name.parts[0] not in {"demo", "cli"}:
                    found.append((str(name), names))
    assert count > 20
    assert found == []


def test_switches_are_read_in_one_place() -> None:
    names = [name for name in switches.__all__ if name.isupper()]
    values = {getattr(switches, name) for name in names}
    assert len(values) == len(names) > 3
    assert all(value.startswith("QUANTUM_BUTLER_") for value in values)
    places: dict[str, set[str]] = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            # The whole text: docstrings may name them.
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"QUANTUM_BUTLER_[A-Z_]+", node.value):
                    places.setdefault(str(name), set()).add(node.value)
    # That module is imported by every Python, and so by itself.
    assert places.pop("switches.py") == values
    own = {name: value for name, value in vars(sitecustomize).items() if name in names}
    assert own == {name: getattr(switches, name) for name in own}
    assert places == {"dropin/launch/sitecustomize.py": set(own.values())}
    assert "quantum_butler.switches" in sys.modules
