"""Finds the private names of upstream's that our package relies on.

    python tests/habits/upstream_names.py --renew    writes upstream_names.txt anew

As well as can be told by name, these are: private modules, and private names
imported from modules, of `lsst`; and private names that upstream's classes or
modules define, where our code reads, sets or overrides one.  What our code has
on ``self`` counts only in subclasses of upstream's classes.
"""

from __future__ import annotations

__all__ = ("SNAPSHOT", "defined_upstream", "described", "parse", "used_by_us")

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import quantum_butler

SNAPSHOT = Path(__file__).with_name("upstream_names.txt")

_PACKAGE = Path(quantum_butler.__file__).resolve().parent
# Where what we build on is; the rest of `lsst` has private names of no interest.
_UPSTREAM = ("lsst.daf.butler", "lsst.resources", "lsst.utils", "lsst.pipe.base")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        if path.name != "sitecustomize.py":
            name = ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(path.read_text())


def _import_ours() -> None:
    # Its packages need Python 3.12.
    without = () if importlib.util.find_spec("lsst.ctrl.bps") else ("bps",)
    for module in pkgutil.walk_packages([str(_PACKAGE)], "quantum_butler."):
        if ".launch" in module.name or module.name.endswith("__main__"):
            continue
        if module.name.split(".")[1] not in without:
            importlib.import_module(module.name)


def defined_upstream() -> dict[str, set[str]]:
    """Return the private names of upstream's, each with what defines it."""
    _import_ours()
    defined: dict[str, set[str]] = defaultdict(set)
    for name, module in sys.modules.copy().items():
        if not name.startswith(_UPSTREAM) or not (path := getattr(module, "__file__", None)):
            continue
        if not path.endswith(".py") or ".tests" in name:
            continue
        tree = ast.parse(Path(path).read_text())
        for part in name.split("."):
            if _is_private(part):
                defined[part].add(name)
        for node in tree.body:
            for found in _bound(node):
                defined[found].add(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for found in _of_class(node):
                    defined[found].add(f"{name}.{node.name}")
    return defined


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the private names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    else:
        names = []
    yield from filter(_is_private, names)


def _of_class(node: ast.ClassDef) -> Iterator[str]:
    """Yield the private names that instances of a class have."""
    for statement in node.body:
        yield from _bound(statement)
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
            yield from (name for name in ast.literal_eval(statement.value) if _is_private(name))
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and _is_private(inner.attr):
            yield inner.attr


def used_by_us() -> dict[str, set[str]]:
    """Return the private names that our code uses on anything, each with our packages that do."""
    _import_ours()
    used: dict[str, set[str]] = defaultdict(set)
    for module, tree in _modules():
        # What the package itself holds is in no room.
        room = module.partition(".")[2].partition(".")[0] or "quantum_butler"
        for name in _Uses(module).names_in(tree):
            used[name].add(room)
    return used


class _Uses(ast.NodeVisitor):
    """Private names in one module."""

    def __init__(self, module: str):
        self._module = module
        self._names: set[str] = set()
        self._own = False

    def names_in(self, tree: ast.Module) -> set[str]:
        self.visit(tree)
        return self._names

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module is not None and node.module.startswith("lsst"):
            names = (*node.module.split("."), *(alias.name for alias in node.names))
            self._names.update(filter(_is_private, names))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.startswith("lsst"):
                self._names.update(filter(_is_private, alias.name.split(".")))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        cls = getattr(sys.modules.get(self._module), node.name, None)
        above = [base for base in inspect.getmro(cls) if base.__module__.startswith("lsst")] if cls else []
        before, self._own = self._own, not above
        if above:
            self._names.update(_of_class(node))
        self.generic_visit(node)
        self._own = before

    def visit_Attribute(self, node: ast.Attribute) -> None:
        on_self = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        if _is_private(node.attr) and not (on_self and self._own):
            self._names.add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in {
            "getattr",
            "hasattr",
            "setattr",
            "attrgetter",
        }:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self._names.update(filter(_is_private, [argument.value]))
        self.generic_visit(node)


def described() -> dict[str, tuple[set[str], set[str]]]:
    """Return the names, each with our packages that use it and what upstream defines it."""
    upstream = defined_upstream()
    return {name: (rooms, upstream[name]) for name, rooms in used_by_us().items() if name in upstream}


def parse(text: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return what `SNAPSHOT` holds."""
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {name: (set(rooms.split()), set(owners.split())) for name, rooms, owners in lines}


def _format() -> str:
    lines = ["# A private name of upstream's, our packages that use it, what defines it upstream."]
    lines += [
        "\t".join((name, " ".join(sorted(rooms)), " ".join(sorted(owners))))
        for name, (rooms, owners) in sorted(described().items())
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--renew"]:
        SNAPSHOT.write_text(_format())
    else:
        print(_format(), end="")
