#!/usr/bin/env python3
"""Run a graph in one of our ways, and print what its quanta took: seconds, and seconds of processor time.

Start-up is not counted, so that ways can be compared.  With an engine only
those quanta count that are done after the first tenth, because workers start
when there is something for them to do.  ``empty`` is the engine's own rate:
as many tasks that do nothing.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import json
import logging
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

from quantum_butler import QuantumBackedButlerFactory
from quantum_butler.execution import WarmGraphExecutor
from quantum_butler.running.campaign import Campaign
from quantum_butler.running.options import RunOptions

WORKERS = 2

PARSL = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

provider = LocalProvider(init_blocks=2, max_blocks=2)
local = HighThroughputExecutor(
    label="local", address="127.0.0.1", max_workers_per_node=1, provider=provider
)
config = Config(executors=[local], strategy="none", initialize_logging=False)
"""


def processor_seconds() -> float:
    """Return the processor time of this process, and of those of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_here(isolation: Any, repository: str, graph_file: str, jobs: int) -> dict[str, float]:
    """Run a graph on this machine."""
    graph = PredictedQuantumGraph.read_execution_quanta(graph_file)
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}
    make_butler = QuantumBackedButlerFactory(repository, graph.pipeline_graph.universe, types)
    quantum_executor = SingleQuantumExecutor(
        limited_butler_factory=make_butler, skip_existing=True, clobber_outputs=True
    )
    executor = WarmGraphExecutor(quantum_executor=quantum_executor, jobs=jobs, isolation=isolation)
    begin, before = time.perf_counter(), processor_seconds()
    executor.execute(graph)
    seconds, processor = time.perf_counter() - begin, processor_seconds() - before
    return {"quanta": len(graph), "seconds": seconds, "processor_seconds": processor}


class Watched:
    """A display that notes when quanta are done."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def show(self, tally: Any) -> None:
        """Note how many are done by now."""
        if not self.seen or tally.total("done") > self.seen[-1][1]:
            self.seen.append((time.perf_counter(), tally.total("done")))

    def tell(self, line: str) -> None:
        """Print what is out of the usual."""
        print(line, flush=True)


def run_on_engine(
    options: dict[str, str], repository: str, graph_file: str, folder: Path
) -> dict[str, float]:
    """Run a graph on an engine."""
    watched = Watched()
    campaign = Campaign(
        RunOptions(
            repository=repository,
            graph=graph_file,
            journal=str(folder / "journal"),
            isolation="process",
            **options,  # type: ignore[arg-type]
        )
    )
    result = campaign.run(watched)
    if not result.is_success:
        raise SystemExit("Some quanta are not done.")
    last, quanta = watched.seen[-1]
    first, done = next(one for one in watched.seen if one[1] >= quanta / 10)
    return {"quanta": quanta, "seconds": last - first, "per_second": (quanta - done) / (last - first)}


def do_nothing(number: int) -> int:
    """Return a number, on a worker."""
    return number


def rate_of_nothing(submit: Callable[[int], Any], tasks: int) -> dict[str, float]:
    """Return how many empty tasks an engine runs in a second."""
    for future in [submit(number) for number in range(WORKERS)]:
        future.result()
    begin = time.perf_counter()
    futures = [submit(number) for number in range(tasks)]
    if [future.result() for future in futures] != list(range(tasks)):
        raise SystemExit("The engine has mixed up its tasks.")
    return {"tasks": tasks, "per_second": tasks / (time.perf_counter() - begin)}


@contextmanager
def dask_cluster(folder: Path) -> Iterator[str]:
    """Start two workers; give the address of their scheduler."""
    from distributed import LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=WORKERS,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(folder / "dask"),
    ) as cluster:
        yield cluster.scheduler_address


def with_dask(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Run a graph, or empty tasks, with Dask."""
    with dask_cluster(folder) as address:
        if not args.empty:
            return run_on_engine({"dask": address}, args.repository, args.graph, folder)
        from distributed import Client

        with Client(address) as client:  # type: ignore[no-untyped-call]
            return rate_of_nothing(lambda number: client.submit(do_nothing, number, pure=False), args.empty)


def with_parsl(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Run a graph, or empty tasks, with Parsl."""
    config = folder / "config.py"
    config.write_text(PARSL)
    if not args.empty:
        return run_on_engine({"parsl": str(config)}, args.repository, args.graph, folder)
    import runpy

    import parsl

    with parsl.load(runpy.run_path(str(config))["config"]) as kernel:
        return rate_of_nothing(
            lambda number: kernel.submit(do_nothing, (number,), ["local"], False, (), {}), args.empty
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=("none", "fork", "process", "dask", "parsl"))
    parser.add_argument("repository")
    parser.add_argument("graph")
    parser.add_argument("folder", type=Path, help="where engines leave what they leave")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--empty", type=int, default=0, metavar="TASKS", help="run empty tasks instead")
    args = parser.parse_args()
    logging.getLogger("lsst").setLevel(logging.INFO)
    args.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(args.folder)
    match args.way:
        case "dask":
            outcome = with_dask(args, args.folder)
        case "parsl":
            outcome = with_parsl(args, args.folder)
        case isolation:
            outcome = run_here(isolation, args.repository, args.graph, args.jobs)
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
