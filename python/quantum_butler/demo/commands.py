"""A small graph run by three commands, each as from a shell: what a process for each quantum costs."""

from __future__ import annotations

__all__ = ("run_commands",)

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from ..switches import EXECUTOR_SWITCH, LOG_SWITCH, SWITCH
from .comparison import compare_outputs, read_outputs
from .graph import DemoError, make_repository, pipetask, read_graph, transfer
from .report import Commanded

# Stock needs some four seconds of a processor for each quantum, and there are two for each detector.
_MOST_DETECTORS = 2

_OURS = [sys.executable, "-m", "quantum_butler"]
_LEVELS = ["--log-level", "WARNING", "--log-level", "lsst.utils.packages=ERROR"]

# How many lines of what a command has said are told if it fails.
_LAST_LINES = 10


def run_commands(folder: Path, detectors: int) -> tuple[list[Commanded], list[str]]:
    """Run a graph with each command in two processes; return what that took, and what differs."""
    folder.mkdir()
    pristine, graph_file = folder / "pristine", folder / "graph.qg"
    make_repository(pristine, graph_file, min(detectors, _MOST_DETECTORS))
    pipetask("pre-exec-init-qbb", pristine, graph_file)
    graph = read_graph(graph_file)
    run_qbb = [_pipetask(), *_LEVELS, "run-qbb"]
    commands = {
        "pipetask run-qbb -j 2": run_qbb,
        "quantum-butler exec pipetask run-qbb -j 2": [*_OURS, "exec", *run_qbb],
        "quantum-butler run -j 2": [*_OURS, "-q", "run", "--log-level", "lsst=WARNING"],
    }
    found, differences = [], []
    expected = None
    for number, (name, words) in enumerate(commands.items()):
        root = folder / f"repo{number}"
        shutil.copytree(pristine, root)
        seconds, processor_seconds = _run(name, [*words, str(root), str(graph_file), "-j", "2"])
        transfer(graph_file, root)
        outputs = read_outputs(root)
        expected = expected or outputs
        differences += [f"{name}: {text}" for text in compare_outputs(expected, outputs, graph)]
        found.append(Commanded(name, len(graph), seconds, processor_seconds))
    return found, differences


def _pipetask() -> str:
    """Return the path of upstream's command."""
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    if (found := shutil.which("pipetask", path=path)) is None:
        raise DemoError("There is no command pipetask.")
    return found


def _run(name: str, words: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds, and those of processor time of all of its processes."""
    # Stock is stock, even if this process was started with our classes in force.
    ours = (SWITCH, EXECUTOR_SWITCH, LOG_SWITCH)
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seconds, after = time.perf_counter() - begin, os.times()
    if done.returncode:
        said = done.stdout.decode(errors="replace").splitlines()[-_LAST_LINES:]
        raise DemoError("\n".join([f"{name} failed with exit status {done.returncode}:", *said]))
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, children
