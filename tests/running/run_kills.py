"""Kills runs of a graph at random moments, starts them again, and prints what was lost.

Run by `test_killed_runs.py`::

    python run_kills.py FOLDER COUNT SEED
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_reports import Report

from graph_runs import left_behind
from quantum_butler.cli.main import main
from quantum_butler.demo.graph import make_repository

DETECTORS = 12


def start(folder: Path, graph: Path) -> int:
    """Start, or start again, the run of a graph in a process of its own."""
    if (child := os.fork()) != 0:
        return child
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 2)
    files = ["--logs", str(folder / "logs"), "--summary", str(folder / "summary.json")]
    command = [
        "run",
        str(folder / "repo"),
        str(graph),
        "-j",
        "2",
        "--journal",
        str(folder / "journal"),
        *files,
    ]
    # It ends this process.
    main(command, prog_name="quantum-butler")
    os._exit(99)


def has_ended(child: int, seconds: float) -> int | None:
    """Wait for the end of a process for so long; return its exit code, or `None` when it has been killed."""
    watched = os.pidfd_open(child)
    try:
        if not select.select([watched], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
    finally:
        os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def logged(logs: Path) -> list[tuple[Any, ...]]:
    """Return what the provenance of each quantum says, but for what differs from run to run."""
    lines = []
    for log in logs.iterdir():
        # A process that was killed may have left the beginning of a line.
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                found = json.loads(line)
                # An attempt that was killed after it had begun to write may be told of.
                found.pop("earlier_attempts", None)
                kinds = sorted(key for key, value in found.items() if isinstance(value, list))
                data_id = json.dumps(found["data_id"], sort_keys=True)
                lines.append(
                    (found["task_label"], data_id, found["failed"], *(len(found[key]) for key in kinds))
                )
    return sorted(lines)


def look_at(folder: Path) -> dict[str, Any]:
    """Return what a run has left."""
    report = Report.model_validate_json((folder / "summary.json").read_text())
    left = left_behind(folder / "repo", report)
    # A quantum that was killed has told that in its log; and in its metadata nothing differs.
    return {
        "files": sorted(left.files),
        "outputs": left.outputs,
        "metadata": {name: sorted(content) for name, content in left.metadata.items()},
        "logs": {name: bool(content) for name, content in left.logs.items()},
        "reports": sorted(map(str, left.reports.items())),
        "provenance": logged(folder / "logs"),
    }


def new_folder(folder: Path, pristine: Path) -> Path:
    """Return a folder with a repository in which nothing has been run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(pristine, folder / "repo")
    return folder


def kill_runs(folder: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Kill so many runs, and compare what those leave that come to their end."""
    pristine, graph = folder / "pristine", folder / "graph.qg"
    make_repository(pristine, graph, DETECTORS)
    one = new_folder(folder / "one", pristine)
    begin = time.monotonic()
    assert has_ended(start(one, graph), 600) == 0
    span, wanted = time.monotonic() - begin, look_at(one)
    assert len(wanted["provenance"]) == 2 * DETECTORS
    problems: list[str] = []
    kills = campaigns = 0
    while kills < count and not problems:
        one = new_folder(folder / "one", pristine)
        campaigns += 1
        killed_here = 0
        while True:
            # The last runs find little to do, and so end sooner than they are killed.
            code = has_ended(start(one, graph), chance.uniform(0, span))
            if code is not None:
                break
            kills, killed_here = kills + 1, killed_here + 1
        found = look_at(one) if code == 0 else {}
        differing = [what for what, content in wanted.items() if found.get(what) != content]
        if code or differing:
            problems.append(f"after {killed_here} kills: exit status {code}, {', '.join(differing)} differ")
            problems.append((one / "output").read_text()[-3000:])
    return {"kills": kills, "campaigns": campaigns, "problems": problems}


if __name__ == "__main__":
    print(json.dumps(kill_runs(Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3])))))
