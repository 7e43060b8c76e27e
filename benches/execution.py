#!/usr/bin/env python3
"""Time campaigns: a cold process, graphs in warm processes and on engines, jobs of BPS.

Answers come first: each way runs one graph, and what it leaves (every dataset,
metadata but times, logs but times, the report) is compared with what the stock
command leaves; nothing is timed if anything differs.

Stock takes seconds for each quantum, so it has a graph of its own, of fewer
quanta, and its time for more of them is worked out: start-up, and so many
times a quantum.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import functools
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lsst.pipe.base.quantum_reports import Report

from execution_ways import PARSL, dask_cluster
from quantum_butler.demo.comparison import compare_outputs, read_outputs
from quantum_butler.demo.graph import make_repository, pipetask, read_graph, transfer

HERE = Path(__file__).resolve().parent
SCRIPTS = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])}
PARTS = ("cold", "commands", "isolation", "in-process", "engines", "bps", "frontier")

STOCK = ["pipetask", "--log-level", "lsst.utils.packages=ERROR", "run-qbb"]
OURS = ["quantum-butler", "exec", *STOCK]
RUN = ["quantum-butler", "-q", "run"]
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SERVICES = {
    "stock": "lsst.ctrl.bps.parsl.ParslService",
    "ours": "quantum_butler.bps.WarmParslService",
}


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float
    """From its start to its end."""

    processor: float
    """Processor time, its children's included."""


@dataclass(frozen=True)
class Graph:
    """A repository in which nothing has been run, and a graph for it."""

    root: Path
    file: Path

    @classmethod
    def make(cls, folder: Path, quanta: int, *, init: bool = True) -> Graph:
        """Make one; two tasks, and half as many detectors as there are to be quanta."""
        folder.mkdir()
        made = cls(folder / "repo", folder / "graph.qg")
        make_repository(made.root, made.file, max(1, quanta // 2))
        if init:
            pipetask("pre-exec-init-qbb", made.root, made.file)
        return made

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """Give a copy of the repository in a folder of its own, and remove that afterwards."""
        folder = self.root.parent / "copy"
        shutil.copytree(self.root, folder / "repo")
        try:
            yield folder / "repo"
        finally:
            shutil.rmtree(folder)


def run(command: Sequence[object], folder: Path) -> Cost:
    """Run a command to its end."""
    words = [str(word) for word in command]
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        # BPS takes the working folder from there.
        environment = ENVIRONMENT | {"PWD": str(folder)}
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(words)}:\n{said.read().decode(errors='replace')[-4000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime)


def told(script: str, *arguments: object) -> Any:
    """Run a script beside this one, and return the JSON that it printed last."""
    command = [sys.executable, HERE / script, *arguments]
    done = subprocess.run([str(word) for word in command], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(map(str, arguments))} has failed.")
    return json.loads(done.stdout.splitlines()[-1])


def read_report(path: Path) -> Any:
    """Return what a report says of each quantum, and of them all."""
    report = Report.model_validate_json(path.read_text())
    quanta = {
        # Upstream tells of no exit code where a quantum had no process of its own.
        (one.taskLabel, *sorted(one.dataId.items())): (one.status.name, one.exitCode or 0)
        for one in report.quantaReports
    }
    return report.status.name, quanta


def compare(graph: Graph, folder: Path) -> list[str]:
    """Run a graph in each way, and return the names of the ways; end if any leaves something else."""
    ways: dict[str, Callable[[Path], list[object]]] = {
        "stock, -j 2": lambda root: [*STOCK, root, graph.file, "-j", 2],
        "ours, -j 1": lambda root: [*OURS, root, graph.file],
        "ours, -j 2": lambda root: [*OURS, root, graph.file, "-j", 2],
    }
    by_run: dict[str, list[object]] = {
        "run, fork": ["-j", 2],
        "run, process": ["-j", 2, "--isolation", "process"],
        "run, none": ["--isolation", "none"],
    }
    config = folder / "config.py"
    config.write_text(PARSL)
    if importlib.util.find_spec("parsl"):
        by_run["run, Parsl"] = ["--parsl", config, "--isolation", "process"]
    with dask_cluster(folder) as address:
        by_run["run, Dask"] = ["--dask", address, "--isolation", "process"]
        ways |= {way: functools.partial(_run_command, graph, options) for way, options in by_run.items()}
        expected = None
        for way, command in ways.items():
            with graph.copied() as root:
                summary = root.parent / "summary.json"
                run([*command(root), "--summary", summary], root.parent)
                transfer(graph.file, root)
                found = read_outputs(root), read_report(summary)
                # It lists what the process that began the run has imported, engines among it.
                packages = {id_ for id_, ref in found[0].refs.items() if ref.datasetType.name == "packages"}
                found[0].contents = {
                    id_: one for id_, one in found[0].contents.items() if id_ not in packages
                }
                expected = expected or found
                differences = compare_outputs(expected[0], found[0], read_graph(graph.file))
                if expected[1] != found[1]:
                    differences.append("the reports are not the same")
                if differences:
                    raise SystemExit(f"{way}: nothing was timed: {'; '.join(differences[:3])}")
    return list(ways)


def _run_command(graph: Graph, options: list[object], root: Path) -> list[object]:
    """Return the words of ``quantum-butler run``."""
    return [*RUN, root, graph.file, "--journal", root.parent / "journal", *options]


def time_cold(folder: Path, rounds: int) -> dict[str, Any]:
    """Time a process for one quantum, of stock and of ours in turns."""
    graph = Graph.make(folder / "cold", 2)
    [quantum_id] = next(iter(read_graph(graph.file).quanta_by_task.values())).values()
    found: dict[str, list[Cost]] = {"stock": [], "ours": []}
    for _ in range(rounds):
        for side, command in (("stock", STOCK), ("ours", OURS)):
            with graph.copied() as root:
                words = [*command, root, graph.file, "--qgraph-node-id", quantum_id]
                found[side].append(run(words, root.parent))
    medians = {
        f"{side}_{name}": statistics.median(getattr(cost, name) for cost in costs)
        for side, costs in found.items()
        for name in ("seconds", "processor")
    }
    return {"rounds": rounds, **medians}


def time_commands(small: Graph, large: Graph) -> dict[str, Any]:
    """Time ``pipetask run-qbb -j 2`` of both."""
    found: dict[str, Any] = {}
    sizes = {"stock": len(read_graph(small.file)), "ours": len(read_graph(large.file))}
    with small.copied() as root:
        whole = run([*STOCK, root, small.file, "-j", 2], root.parent)
        # All is there now: what is left is its start, and a look at each quantum.
        start = run([*STOCK, root, small.file], root.parent)
    with large.copied() as root:
        ours = run([*OURS, root, large.file, "-j", 2], root.parent)
    for name in ("seconds", "processor"):
        each = (getattr(whole, name) - getattr(start, name)) / sizes["stock"]
        found[f"stock_{name}"] = getattr(start, name) + each * sizes["ours"]
        found[f"ours_{name}"] = getattr(ours, name)
    return {"stock_quanta": sizes["stock"], "ours_quanta": sizes["ours"], **found}


def time_isolation(graph: Graph, rounds: int) -> dict[str, Any]:
    """Time quanta in this process, in forked ones, and in processes that run many, in turns."""
    found: dict[str, list[Any]] = {"none": [], "fork": [], "process": []}
    for _ in range(rounds):
        for way, outcomes in found.items():
            with graph.copied() as root:
                jobs = 1 if way == "none" else 2
                arguments = (way, root, graph.file, root.parent / "work", "--jobs", jobs)
                outcomes.append(told("execution_ways.py", *arguments))
    each: dict[str, Any] = {"quanta": found["none"][0]["quanta"], "rounds": rounds}
    for way, outcomes in found.items():
        cores = 1 if way == "none" else 2
        for name, times in (("seconds", cores), ("processor_seconds", 1)):
            values = [one[name] * times / one["quanta"] * 1e3 for one in outcomes]
            each[f"{way}_{name.replace('seconds', 'ms')}"] = statistics.median(values)
    return each


def time_in_process(detectors: int) -> dict[str, Any]:
    """Time quanta in one process, with each butler and without files."""
    sides = {
        side: told("executor.py", "--butler", side, "--detectors", detectors)["ms_per_quantum"]
        for side in ("stock", "ours", "memory")
    }
    return {"quanta": 2 * detectors, **sides}


def time_engines(graph: Graph) -> dict[str, Any]:
    """Time engines with two workers, and how fast they do nothing."""
    found = {}
    for engine in ("parsl", "dask"):
        if importlib.util.find_spec({"dask": "distributed"}.get(engine, engine)) is None:
            continue
        with graph.copied() as root:
            arguments = (engine, root, graph.file, root.parent / "work")
            outcome = told("execution_ways.py", *arguments)
            empty = told("execution_ways.py", *arguments, "--empty", outcome["quanta"])
        found[engine] = {
            "quanta": outcome["quanta"],
            "per_second": outcome["per_second"],
            "empty_per_second": empty["per_second"],
        }
    return found


def time_bps(folder: Path, jobs: int) -> dict[str, Any] | None:
    """Time jobs of BPS with upstream's service for Parsl and with ours, where upstream's is installed."""
    try:
        if importlib.util.find_spec("lsst.ctrl.bps.parsl") is None:
            return None
    except ModuleNotFoundError:
        return None
    graph = Graph.make(folder / "bps", jobs, init=False)
    found: dict[str, Any] = {"jobs": 2 * max(1, jobs // 2)}
    expected = None
    for side, service in SERVICES.items():
        with graph.copied() as root:
            whole = run(
                ["bps", "--log-level", "WARNING", "submit", _bps_file(root, graph, service)], root.parent
            )
            # From the end of the first job to the last output; the rest is the same for both.
            files = [path.stat().st_mtime for path in (root / "demo").rglob("*.json")]
            first = max(path.stat().st_mtime for path in (root / "demo").rglob("*config*.py"))
            found[f"{side}_seconds"] = max(files) - first
            found[f"{side}_processor"] = whole.processor
            transfer(graph.file, root)
            outputs = _without_ids(root)
            expected = expected or outputs
            if outputs != expected:
                names = [str(one) for one in expected if outputs.get(one) != expected[one]]
                raise SystemExit(f"BPS, {side}: the content is not the same: {'; '.join(names[:3])}")
    return found


def _without_ids(root: Path) -> dict[Any, str]:
    """Return what a run has left: BPS gives the quanta and datasets of a graph new ids for each run."""
    outputs = read_outputs(root)
    contents = {
        (ref.datasetType.name, ref.dataId): _ID.sub("ID", repr(outputs.repeatable(id_)))
        for id_, ref in outputs.refs.items()
        if ref.datasetType.name != "packages"
    }
    return contents | {path: "" for path in outputs.files if path.suffix == ".json"}


def _bps_file(root: Path, graph: Graph, service: str) -> Path:
    """Write the configuration of a run on this machine, with two cores."""
    file = root.parent / "run.yaml"
    settings = {
        "pipelineYaml": "none.yaml",
        "project": "demo",
        "campaign": "benches",
        "wmsServiceClass": service,
        "computeSite": "local",
        "site": {"local": {"class": "lsst.ctrl.bps.parsl.sites.Local", "cores": 2, "retries": 0}},
        "parsl": {"log_level": "WARN"},
        "qgraphFile": str(graph.file),
        "payload": {
            "payloadName": "mock",
            "butlerConfig": str(root),
            "inCollection": "input",
            "output": "demo",
            "outputRun": "demo/run",
            "dataQuery": "",
        },
        "finalJob": {"whenRun": "NEVER"},
    }
    file.write_text(yaml.safe_dump(settings))
    return file


def time_frontier(folder: Path, quanta: int) -> Any:
    """Time the frontier of a graph with five times as many edges as quanta."""
    path = folder / "frontier.json"
    run(
        [sys.executable, HERE / "frontier.py", "--quanta", quanta, "--edges", 5 * quanta, "--json", path],
        folder,
    )
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, default=1000, help="for ours (1000)")
    parser.add_argument("--stock", type=int, default=20, help="quanta for stock with -j 2 (20)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of what is quick (5)")
    parser.add_argument("--bps-jobs", type=int, default=100)
    parser.add_argument(
        "--frontier", type=int, default=10_000_000, help="quanta of the frontier (10,000,000)"
    )
    parser.add_argument(
        "--only", choices=PARTS, nargs="+", default=PARTS, metavar="PART", help=f"{', '.join(PARTS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="execution-") as name:
        folder = Path(name)
        small = Graph.make(folder / "small", args.stock)
        outcome: dict[str, Any] = {"compared": compare(small, folder)}
        print(f"Equal: {'; '.join(outcome['compared'])}", flush=True)
        large = Graph.make(folder / "large", args.quanta)
        timed: dict[str, Callable[[], Any]] = {
            "cold": lambda: time_cold(folder, args.rounds),
            "commands": lambda: time_commands(small, large),
            "isolation": lambda: time_isolation(large, args.rounds),
            "in-process": lambda: time_in_process(max(1, args.quanta // 10)),
            "engines": lambda: time_engines(large),
            "bps": lambda: time_bps(folder, args.bps_jobs),
            "frontier": lambda: time_frontier(folder, args.frontier),
        }
        for part in PARTS:
            if part in args.only:
                outcome[part] = timed[part]()
                print(part, json.dumps(outcome[part]), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
