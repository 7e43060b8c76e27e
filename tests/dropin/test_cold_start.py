"""What a process with one quantum pays for us: the modules that it imports, and the garbage collector."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from commands import run, run_exec

# All that one quantum needs, beyond what stock imports.  Whoever makes this longer makes each process slower
# that runs one quantum: import it where it is needed, or say in the commit why that is everywhere.
NEEDED = Path(__file__).with_name("cold_start.txt")

pytest.importorskip("lsst.ctrl.mpexec")


def imported(errors: str) -> set[str]:
    """Return the modules that Python names with ``PYTHONPROFILEIMPORTTIME``."""
    lines = (line for line in errors.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines} - {"imported package"}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a repository that is ready, and a graph in it with a quantum of each of two tasks."""
    from quantum_butler.demo.graph import make_repository, pipetask

    folder = tmp_path_factory.mktemp("cold")
    make_repository(folder / "repo", folder / "graph.qg", 1)
    pipetask("pre-exec-init-qbb", folder / "repo", folder / "graph.qg")
    return folder / "repo", folder / "graph.qg"


@pytest.mark.slow
def test_a_quantum_imports_what_it_needs(graph: tuple[Path, Path], tmp_path: Path) -> None:
    root, graph_file = graph
    for side in ("stock", "ours"):
        shutil.copytree(root, tmp_path / side)
    env = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    command = (Path(sys.executable).with_name("pipetask"), "--log-level", "WARNING", "run-qbb")
    with_ours = run_exec(*command, tmp_path / "ours", graph_file, env=env)
    stock = run(*command, tmp_path / "stock", graph_file, env=env)
    assert (stock.returncode, with_ours.returncode) == (0, 0), with_ours.stderr[-2000:]
    more = imported(with_ours.stderr) - imported(stock.stderr)
    assert "quantum_butler.butler.butler" in more
    assert sorted(more - set(NEEDED.read_text().split())) == []


def test_the_launcher_imports_next_to_nothing() -> None:
    env = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    modules = imported(run_exec("true", env=env).stderr)
    assert "quantum_butler.dropin.launcher" in modules
    slow = {"click", "rich", "lsst", "pyarrow", "shutil", "pathlib", "dataclasses", "inspect", "urllib.parse"}
    assert modules & slow - imported(run(sys.executable, "-c", "", env=env).stderr) == set()


IN_FORCE = """
import gc, sys
class Node: pass
class Told(Node):
    def __del__(self): print("garbage is gone")
garbage = Told(); garbage.itself = garbage; del garbage
%s
import lsst.daf.butler
assert lsst.daf.butler.QuantumBackedButler.__module__.startswith("quantum_butler")
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
later = Told(); later.itself = later; del later
gc.collect()
"""


def test_the_collector_leaves_alone_what_imports_have_made() -> None:
    done = run_exec(sys.executable, "-c", IN_FORCE % "")
    assert done.stdout.splitlines() == ["garbage is gone", "True True", "garbage is gone"], done.stderr


def test_a_collector_that_is_off_stays_off() -> None:
    done = run_exec(sys.executable, "-c", IN_FORCE % "gc.disable()")
    assert done.stdout.splitlines()[0] == "False False", done.stderr


def test_a_stack_that_cannot_be_imported_leaves_the_collector_on(tmp_path: Path) -> None:
    package = tmp_path / "lsst" / "daf" / "butler"
    package.mkdir(parents=True)
    for folder in (package.parents[1], package.parents[0]):
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text("import gc; assert not gc.isenabled(); raise ValueError('broken')")
    code = """
import gc
try:
    import lsst.daf.butler
except ValueError as error:
    print(error, gc.isenabled(), gc.get_freeze_count())
"""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = run_exec(sys.executable, "-c", code, env=os.environ | {"PYTHONPATH": path})
    assert done.stdout == "broken True 0\n", done.stderr


def test_files_that_modules_hold_are_written_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "keeper.py").write_text("stream = open('kept.txt', 'w'); stream.write('kept')")
    code = "import lsst.daf.butler, keeper"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    folder = tmp_path / "here"
    folder.mkdir()
    done = run_exec("sh", "-c", f"cd '{folder}' && exec {sys.executable} -W ignore -c '{code}'", env=env)
    assert done.returncode == 0, done.stderr
    assert (folder / "kept.txt").read_text() == "kept"
