"""Runs a graph on an engine with two workers, kills one of them in the middle, and prints what is left.

Run by `test_engines.py`::

    python engine_runs.py FOLDER dask|parsl
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from graph_runs import Left, left_behind
from quantum_butler.demo.graph import make_repository
from quantum_butler.running.campaign import Campaign
from quantum_butler.running.options import RunOptions

DETECTORS = 60

CONFIG = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="local",
            address="127.0.0.1",
            max_workers_per_node=1,
            heartbeat_period=1,
            heartbeat_threshold=4,
            provider=LocalProvider(init_blocks=2, max_blocks=2),
        )
    ],
    strategy="none",
    initialize_logging=False,
)
"""


class Killer:
    """A display that kills a worker when some quanta are done."""

    def __init__(self, workers: Callable[[], list[int]]):
        self._workers = workers
        self.killed = 0
        self.lines: list[str] = []

    def show(self, tally: Any) -> None:
        """Kill a worker once, when both run quanta."""
        workers = self._workers() if not self.killed and tally.total("done") else []
        if workers and tally.total("done") > DETECTORS / 4 and tally.total("running") > 1:
            self.killed = workers[0]
            process = psutil.Process(self.killed)
            for victim in (process, *process.children(recursive=True)):
                victim.send_signal(signal.SIGKILL)

    def tell(self, line: str) -> None:
        """Remember a line."""
        self.lines.append(line)


@contextmanager
def dask(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], list[int]]]]:
    """Start a cluster of two processes; give the option, and what tells their numbers."""
    from dask_cluster import two_workers

    with two_workers(folder) as (cluster, client):
        yield {"dask": cluster.scheduler_address}, lambda: list(client.run(os.getpid).values())


@contextmanager
def parsl(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], list[int]]]]:
    """Write a configuration of two blocks; give the option, and what tells the numbers of their managers."""
    config = folder / "config.py"
    config.write_text(CONFIG)

    def managers() -> list[int]:
        found = {
            process.pid: " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline"])
        }
        return [
            number
            for number, words in found.items()
            if "process_worker_pool" in words and str(folder) in words and "bash" not in words
        ]

    yield {"parsl": str(config)}, managers


def run_campaign(
    folder: Path, pristine: Path, name: str, display: Killer, options: dict[str, str]
) -> tuple[bool, Left]:
    """Run the graph, and return whether it succeeded and what it has left."""
    root = folder / name / "repo"
    shutil.copytree(pristine, root)
    campaign = Campaign(
        RunOptions(
            repository=str(root),
            graph=str(folder / "graph.qg"),
            journal=str(folder / name / "journal"),
            logs=str(folder / name / "logs"),
            isolation="process",
            **options,  # type: ignore[arg-type]
        )
    )
    result = campaign.run(display)
    return result.is_success, left_behind(root, campaign.report())


def run(folder: Path, engine: str) -> dict[str, Any]:
    """Run a graph, and compare with what it leaves on this machine."""
    os.chdir(folder)
    make_repository(folder / "pristine", folder / "graph.qg", DETECTORS)
    # First, as the engine starts threads.
    theirs = run_campaign(folder, folder / "pristine", "here", Killer(list), {})[1]
    with {"dask": dask, "parsl": parsl}[engine](folder) as (options, workers):
        killer = Killer(workers)
        success, ours = run_campaign(folder, folder / "pristine", engine, killer, options)
    logs = folder / engine / "logs"
    lines = [json.loads(line) for log in logs.glob("*.jsonl") for line in log.open() if line.endswith("\n")]
    done = Counter(line["quantum_id"] for line in lines if not line["failed"])
    return {
        "success": success,
        "killed": bool(killer.killed),
        "lines": killer.lines,
        "quanta": 2 * DETECTORS,
        "logged": len(done),
        "most_logged": max(done.values()),
        "left_over": [path.name for path in logs.iterdir() if not path.name.endswith(".jsonl")],
        "differing": [
            name
            for name in ("files", "outputs", "reports", "status")
            if getattr(ours, name) != getattr(theirs, name)
        ],
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
