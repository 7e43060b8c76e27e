"""What the pages show is run as it is printed, on the example of the tutorial.

A block that needs what a test cannot have is marked on its page, in the line before it:
``<!-- not run: the reason -->``.  The tutorial has a test of its own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("lsst.ctrl.mpexec")

import duckdb

from pages import ROOT, Block, blocks_of
from quantum_butler import PredictedGraph
from shell_lines import commands_of


def runs(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that runs what it finds."""
    return pytest.mark.proof(pytest.mark.timeout(900)(test))


PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.name != "tutorial.md"
]

FROM_NOTHING = {"README.md", "installing.md", "start.md"}
"""Pages whose reader has nothing yet but a graph."""

_MARK = re.compile(r"<!-- not run: *(.*?) *-->")

ELSEWHERE = {"pip", "make", "setup", "duckdb"}
"""Programs that change this environment, or that are not there."""

STATUSES = {"report": {0, 3}, "run": {0, 1}, "exec": {0, 1}}
"""How commands may end, since some quanta of the example fail."""

READERS_OWN = """
import lsst.pipe.base.tests.mocks
from lsst.daf.butler import ButlerConfig
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from quantum_butler import PredictedGraph, QuantumBackedButler

_graph = PredictedQuantumGraph.read_execution_quanta("graph.qg")
_nodes = _graph.quantum_only_xgraph.nodes
config, filename, dimensions = ButlerConfig("repo"), "quantum.sqlite3", _graph.pipeline_graph.universe
universe = dimensions
dataset_types = {one.name: one.dataset_type for one in _graph.pipeline_graph.dataset_types.values()}
quanta = [
    (key, quantum)
    for key, quantum in _graph.build_execution_quanta(task_label="isr").items()
    if _nodes[key]["data_id"]["visit"] == 101 and _nodes[key]["data_id"]["detector"] > 0
]
quantum = quanta[0][1]
butler = QuantumBackedButler.initialize(config, quantum, dimensions, dataset_types=dataset_types)
((ref,),) = quantum.inputs.values()
run = lambda quantum, butler: [butler.get(ref) for refs in quantum.inputs.values() for ref in refs]
(dataset_id,) = PredictedGraph("graph.qg").find_datasets("coadd_image", tract=0, patch=1, band="r")
"""
"""What Python on a page goes on from: what its reader has."""


@cache
def blocks() -> list[tuple[Block, str | None]]:
    """Return the blocks of all pages that could be run, each with the reason if it is not."""
    found = []
    for page in PAGES:
        lines = page.read_text().splitlines()
        for block in blocks_of(page):
            if block.language in ("sh", "python", "sql"):
                mark = _MARK.fullmatch(lines[block.line - 2].strip()) if block.line > 1 else None
                found.append((block, mark and mark[1]))
    return found


def to_run(page: str, *languages: str) -> list[Block]:
    return [
        block
        for block, reason in blocks()
        if reason is None and block.page.name == page and block.language in languages
    ]


def pages_with(*languages: str) -> list[str]:
    return [page.name for page in PAGES if to_run(page.name, *languages)]


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": "."}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tutorial's example and its run, under all names that pages have for them."""
    folder = tmp_path_factory.mktemp("example")
    for line in (
        "quantum-butler demo --tutorial . && cp -r copy/. repo",
        "cp graph.qg GRAPH.qg; cp -r repo pristine",
        "pipetask pre-exec-init-qbb pristine graph.qg; cp -r pristine REPO",
        "quantum-butler run repo graph.qg --jobs 2 --logs logs --provenance-contents || test $? = 1",
        "quantum-butler collect graph.qg logs -o campaign",
        "for copy in other first second night1 night2; do cp -r campaign $copy; done",
        "mkdir archived; cp -r logs archived; cp -r logs more",
        "quantum-butler aggregate graph.qg repo -o run.qg --mock-storage-classes",
        "mkdir night; for copy in night/a first-try second-try; do cp run.qg $copy.qg; done",
    ):
        done = call(folder, "bash", "-e", "-c", line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    (folder / "my_executor.py").write_text("from lsst.daf.butler import QuantumBackedButler\n")
    nightly = folder / "nightly.sh"
    nightly.write_text("#!/bin/sh\npython -m my_executor\n")
    nightly.chmod(0o755)
    return folder


def beginning(page: str, example: Path, folder: Path) -> Path:
    """Return a folder of a page's own with what its reader has."""
    names = ["REPO", "GRAPH.qg", "pristine"] if page in FROM_NOTHING else os.listdir(example)
    for name in names:
        if (example / name).is_dir():
            shutil.copytree(example / name, folder / name)
        else:
            shutil.copy(example / name, folder / name)
    return folder


def for_real(text: str, folder: Path) -> str:
    """Put names of the example in the place of what stands for them."""
    text = re.sub(r"\bGRAPH\b(?!\.)", "GRAPH.qg", text)
    # Other disks of the reader's, and the time until something new is looked for.
    text = re.sub(r"(?<= )/(scratch|archived)\b", rf"{folder}/\1", text).replace(
        "--interval 60", "--interval 1"
    )
    if "DATASET" in text:
        (dataset,) = PredictedGraph(folder / "graph.qg").find_datasets("coadd_image", patch=1)
        text = re.sub(r"\bDATASET\b", str(dataset), text)
    # The example's tasks are mocks.
    return re.sub(r"^quantum-butler aggregate", r"\g<0> --mock-storage-classes", text)


def make_way(words: list[str], folder: Path) -> None:
    """Remove what a command is to make, since its reader calls it for the first time."""
    if words[1] in ("collect", "aggregate", "merge-graphs") and not {"--append", "--overwrite"} & {*words}:
        outputs = [after for word, after in itertools.pairwise(words) if word in ("-o", "--output")]
    elif words[1] == "run" or "run-qbb" in words:
        outputs = [path.name for path in folder.glob("*.journal*")] + ["logs"]
        # On other pages the reader has just made repo.
        named = {"REPO", "repo"} if (folder / "graph.qg").exists() else {"REPO"}
        for repository in named & {*words}:
            shutil.rmtree(folder / repository)
            shutil.copytree(folder / "pristine", folder / repository)
    else:
        return
    for name in outputs:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def lines_of(block: Block) -> Iterator[tuple[str, str | None]]:
    """Yield what is typed, and what is shown to be printed then, if it is."""
    text = block.text.replace("\\\n", " ")
    if "$ " not in text:
        yield from ((line, None) for line in text.splitlines() if line.strip())
        return
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        typed, _, printed = part.partition("\n")
        yield typed, printed


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what ``quantum-butler demo`` leaves; it is run once, since several pages show it."""
    folder = tmp_path_factory.mktemp("demo")
    done = call(folder, "bash", "-c", "quantum-butler demo --detectors 2 --keep demo")
    assert done.returncode == 0, done.stderr
    return folder / "demo"


@runs
@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands(page: str, example: Path, demo: Path, tmp_path: Path) -> None:
    folder = beginning(page, example, tmp_path)
    for block in to_run(page, "sh"):
        for typed, printed in lines_of(block):
            commands = [one.words for one in commands_of(for_real(typed, folder).removeprefix("time "))]
            if commands[0][0] in ELSEWHERE:
                continue
            if commands[0][:2] == ["quantum-butler", "demo"]:
                shutil.copytree(demo, folder / "demo", dirs_exist_ok=True)
                continue
            for words in commands:
                if words[0] == "quantum-butler":
                    make_way(words, folder)
            done = call(folder, "bash", "-c", for_real(typed, folder))
            told = f"{block.where}: {typed}\n{done.stdout}\n{done.stderr}"
            last = commands[-1]
            assert done.returncode in STATUSES.get(last[1] if len(last) > 1 else "", {0}), told
            # Where quanta fail, it is those that are meant to.
            assert done.returncode != 1 or "Simulated failure" in told, told
            assert not re.search(r"^(Usage|Error): |command not found", done.stderr, re.MULTILINE), told
            assert printed is None or done.stdout == printed, told


@runs
@pytest.mark.parametrize("page", pages_with("python"))
def test_python(page: str, example: Path, tmp_path: Path) -> None:
    folder = beginning(page, example, tmp_path)
    code = [block.text for block in to_run(page, "python")]
    before = "" if page in FROM_NOTHING else READERS_OWN
    done = call(folder, sys.executable, "-c", for_real("\n".join((before, *code)), folder))
    assert done.returncode == 0, f"{page}: {done.stderr}"


@runs
def test_sql(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example)
    queries = [
        line
        for name in pages_with("sql")
        for block in to_run(name, "sql")
        for line in block.text.splitlines()
    ]
    assert queries
    for query in queries:
        assert duckdb.sql(query).fetchall()


def test_most_blocks_are_run() -> None:
    reasons = [(block.where, reason) for block, reason in blocks() if reason is not None]
    for where, reason in reasons:
        assert len(reason.split()) > 2, f"{where} does not say why it is not run"
    typed = [
        line
        for name in pages_with("sh")
        for block in to_run(name, "sh")
        for line, _ in lines_of(block)
        if line.split()[0] not in ELSEWHERE
    ]
    assert len(typed) > 45
    assert sum(len(to_run(name, "python")) for name in pages_with("python")) > 12
    assert 0 < len(reasons) < 12
    assert {block.page.name for block, _ in blocks()} > FROM_NOTHING


def test_each_mark_is_of_a_block() -> None:
    marks = sum(len(_MARK.findall(page.read_text())) for page in PAGES)
    assert marks == sum(reason is not None for _, reason in blocks())
