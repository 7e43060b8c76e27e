"""A small graph run by three commands, each as from a shell: what a process for each quantum costs.

The final job follows the last one.
"""

from __future__ import annotations

__all__ = ("run_commands",)

import importlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from ..switches import EXECUTOR_SWITCH, LOG_SWITCH, SWITCH
from .comparison import Outputs, compare_outputs, read_outputs
from .graph import DemoError, make_repository, pipetask, read_graph, transfer
from .report import Commanded, Said

# Stock needs some four seconds of a processor for each quantum, and there are two for each detector.
_MOST_DETECTORS = 2

_OURS = [sys.executable, "-m", "quantum_butler"]
_LEVELS = ["--log-level", "WARNING", "--log-level", "lsst.utils.packages=ERROR"]

# Upstream's, where it has them.
_AGGREGATOR = "lsst.pipe.base.quantum_graph.aggregator"
_COMMANDS = "lsst.pipe.base.cli.cmd"

# The type of the graph that is registered.
_PROVENANCE = "run_provenance"

# How many lines of what a command has said are told if it fails.
_LAST_LINES = 10


def run_commands(folder: Path, detectors: int) -> tuple[list[Commanded], list[Said], list[str]]:
    """Run a graph with each command in two processes, and then the final job.

    Return what each run took, what the final job has said, and what differs.
    """
    folder.mkdir()
    pristine, graph_file = folder / "pristine", folder / "graph.qg"
    make_repository(pristine, graph_file, min(detectors, _MOST_DETECTORS))
    pipetask("pre-exec-init-qbb", pristine, graph_file)
    graph = read_graph(graph_file)
    run_qbb = [_command("pipetask"), *_LEVELS, "run-qbb"]
    commands = {
        "pipetask run-qbb -j 2": run_qbb,
        "quantum-butler exec pipetask run-qbb -j 2": [*_OURS, "exec", *run_qbb],
        "quantum-butler run -j 2": [*_OURS, "-q", "run", "--log-level", "lsst=WARNING"],
    }
    found, differences = [], []
    expected, final = None, folder / "final"
    for number, (name, words) in enumerate(commands.items()):
        root = folder / f"repo{number}"
        shutil.copytree(pristine, root)
        seconds, processor_seconds, _ = _run(name, [*words, str(root), str(graph_file), "-j", "2"])
        if number == len(commands) - 1:
            shutil.copytree(root, final)
        transfer(graph_file, root)
        outputs = read_outputs(root)
        expected = expected or outputs
        differences += [f"{name}: {text}" for text in compare_outputs(expected, outputs, graph)]
        found.append(Commanded(name, len(graph), seconds, processor_seconds))
    assert expected is not None, "there are commands"
    said, more = _finish(final, root, graph_file, len(graph), expected)
    return found, said, differences + more


def _finish(
    root: Path, ran_in: Path, graph_file: Path, quanta: int, expected: Outputs
) -> tuple[list[Said], list[str]]:
    """Register what a run has left, with its provenance, and have upstream report of that.

    Return what was said, and in what way the repository is not the one after a transfer.
    """
    aggregate = [graph_file.name, root.name, "--ingest", "--output", "run.qg", "--mock-storage-classes"]
    report = ["provenance-report", "run.qg", "--no-exception-table"]
    ours, theirs = " ".join(["quantum-butler", "aggregate", *aggregate]), " ".join(["butler", *report])
    if not _has(_AGGREGATOR):
        return [Said(ours, "This release of lsst-pipe-base has no provenance graphs that we write.")], []
    *_, told = _run(ours, [*_OURS, "-q", "aggregate", *aggregate], root.parent)
    said, differences = [Said(ours, told)], []
    if f"run.qg: {quanta:,} quanta (0 failed or blocked), " not in told:
        differences.append(f"{ours}: it does not tell of {quanta:,} quanta that have succeeded")
    found = read_outputs(root)
    # Its logs tell of the folder that it is a copy of.
    found.root = ran_in
    new = {ref.datasetType.name for one, ref in found.refs.items() if one not in expected.refs}
    if new != {_PROVENANCE}:
        differences.append(f"{ours}: new are datasets of the types {sorted(new)}")
    for one in expected.contents:
        if one not in found.contents or found.repeatable(one) != expected.repeatable(one):
            differences.append(f"{ours}: dataset {one} is another, or cannot be read")
    if not _has(_COMMANDS, "provenance_report"):
        return [*said, Said(theirs, "This release of upstream's butler has no such command.")], differences
    *_, text = _run(theirs, [_command("butler"), *report], root.parent)
    # A legend follows the table after an empty line.
    rows = itertools.takewhile(str.strip, text.splitlines()[2:])
    # The last columns are of the quanta that have succeeded, of all, and of those that were expected.
    counts = [row.split()[-3:] for row in rows]
    if [sum(map(int, column)) for column in zip(*counts, strict=True)] != [quanta] * 3:
        differences.append(f"{theirs}: it does not tell of {quanta:,} quanta that have succeeded")
    return [*said, Said(theirs, text)], differences


def _has(module: str, name: str = "__name__") -> bool:
    """Return whether upstream has a module, with something in it."""
    try:
        return hasattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return False


def _command(name: str) -> str:
    """Return the path of one of upstream's commands."""
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    if (found := shutil.which(name, path=path)) is None:
        raise DemoError(f"There is no command {name}.")
    return found


def _run(name: str, words: list[str], folder: Path | None = None) -> tuple[float, float, str]:
    """Run a command. Return its time, and the processor time of all its processes, in s, and its output."""
    # Stock is stock, even if this process was started with our classes in force.
    ours = (SWITCH, EXECUTOR_SWITCH, LOG_SWITCH)
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True)
    seconds, after = time.perf_counter() - begin, os.times()
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").splitlines()[-_LAST_LINES:]
        raise DemoError("\n".join([f"{name} failed with exit status {done.returncode}:", *said]))
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, children, done.stdout.decode(errors="replace")
