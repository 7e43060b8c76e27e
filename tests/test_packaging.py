"""What the package promises about itself, before any of it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import quantum_butler

ROOT = Path(__file__).parent.parent
PACKAGE = Path(quantum_butler.__file__).parent


def test_every_exported_name_can_be_had() -> None:
    assert quantum_butler.__all__
    for name in quantum_butler.__all__:
        assert getattr(quantum_butler, name) is not None
        assert name in dir(quantum_butler)


def test_version_is_that_of_the_distribution() -> None:
    assert quantum_butler.__version__ == version("quantum-butler")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(quantum_butler, "QuantumFrontedButler")


def test_import_does_not_import_lsst() -> None:
    code = "import sys, quantum_butler; print([name for name in sys.modules if name.startswith('lsst')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_names_its_exports_first() -> None:
    # The files in `launch` are run by their place, not imported from the package.
    modules = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "launch"]
    assert modules
    for path in modules:
        module = ast.parse(path.read_text())
        names = [
            target.id
            for statement in module.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        ]
        assert names[:1] == ["__all__"], f"{path} does not begin with __all__"


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()


def test_the_sdist_has_docs_and_tests() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("what is committed is only known in a checkout")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "tests", "docs", "conda", "benches", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["maturin"]
    # README and licences come by themselves.
    packed = {path for one in tool["include"] for path in ROOT.glob(one["path"])} | {ROOT / "README.md"}
    wanted = {ROOT / name for name in tracked.stdout.split("\0") if name}
    assert len(wanted) > 200
    assert {path for path in wanted if path.exists() and "fuzz" not in path.parts} <= packed
