#!/usr/bin/env python3
"""Time bringing a graph's outputs into the registry, upstream's way and from an archive.

The graph of the demo is run once by its real executor, which logs the
provenance; that is collected into an archive.  Each round goes into a new copy
of the repository, with an SQLite registry: upstream's ``transfer_from_graph``,
which looks for every file, and `quantum_butler.transfer`, which asks the
archive.  Both must leave the same datasets and the same records, but for the
sizes of files, which upstream does not look up.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsst.daf.butler import Butler
from lsst.pipe.base.script.transfer_from_graph import transfer_from_graph

import quantum_butler
from quantum_butler.demo.graph import in_force, make_repository, pipetask


def run(root: Path, graph_file: Path, folder: Path, detectors: int) -> Path:
    """Make a graph, run it, and return the archive of its quanta."""
    make_repository(root, graph_file, detectors)
    os.environ["QUANTUM_BUTLER_PROVENANCE"] = str(folder / "logs")
    with in_force("ours"):
        pipetask("pre-exec-init-qbb", root, graph_file)
        pipetask("run-qbb", root, graph_file)
    del os.environ["QUANTUM_BUTLER_PROVENANCE"]
    quantum_butler.collect(folder / "logs", folder / "archive")
    return folder / "archive"


def content(root: Path) -> Any:
    """Return the datasets of a repository and where their files are."""
    with Butler.from_config(str(root)) as butler:
        runs = [info.name for info in butler.collections.query_info("*") if info.type.name == "RUN"]
        refs = {ref.id: ref for name in runs for ref in butler.query_all_datasets(name, limit=None)}
        [data] = butler._datastore.export_records(refs.values()).values()
    paths = {
        dataset: [(info.path, info.formatter) for infos in tables.values() for info in infos]  # type: ignore[attr-defined]
        for dataset, tables in data.records.items()
    }
    return refs, paths


def in_copy(template: Path, work: Callable[[Path], None]) -> tuple[float, Any]:
    """Do something with a new copy of a repository; return seconds and what is there then."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        shutil.copytree(template, root)
        gc.collect()
        start = time.perf_counter()
        work(root)
        return time.perf_counter() - start, content(root)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detectors", type=int, default=1_000, help="two quanta for each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        template, graph = Path(folder) / "executed", str(Path(folder) / "graph.qg")
        archive = run(template, Path(graph), Path(folder), args.detectors)

        def stock(root: Path) -> None:
            transfer_from_graph(graph, str(root), True, False, True, False, ())

        def ours(root: Path) -> None:
            with Butler.from_config(str(root), writeable=True) as butler:
                quantum_butler.transfer(
                    archive, butler, graph, register_dataset_types=True, update_output_chain=True
                )

        def again(root: Path) -> None:
            ours(root)
            start = time.perf_counter()
            ours(root)
            repeated.append(time.perf_counter() - start)

        seconds: dict[str, list[float]] = {"stock": [], "ours": []}
        repeated: list[float] = []
        expected = None
        for _ in range(args.rounds):
            for side, work in {"stock": stock, "ours": ours}.items():
                took, found = in_copy(template, work)
                seconds[side].append(took)
                expected = found if expected is None else expected
                if found != expected:
                    sys.exit(f"What {side} leaves is not what upstream leaves.")
        in_copy(template, again)
    seconds["ours, all there"] = repeated
    quanta = 2 * args.detectors
    results = {side: statistics.median(times) / quanta * 1e3 for side, times in seconds.items()}
    for side, result in results.items():
        print(f"{side:16} {result:.3f} ms per quantum ({results['stock'] / result:.2f} times as fast)")
    if args.json:
        args.json.write_text(json.dumps({"quanta": quanta, "ms_per_quantum": results}))


if __name__ == "__main__":
    main()
