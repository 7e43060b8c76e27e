#!/usr/bin/env python3
"""Time the lineage index of a provenance archive, and the questions to it.

Makes an archive of a campaign that never ran, by default of a million quanta,
and prints medians.  Before that, answers on a small archive are held against a
walk over its edges in plain Python.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow

from quantum_butler import Archive, _core
from quantum_butler.archive.index import read_index, write_index
from synthetic_archive import Campaign, write_archive

_ROUNDS = 9


def check(folder: Path) -> None:
    """Compare answers on a small archive with those of a walk over its edges."""
    write_archive(Campaign(2000), folder)
    archive = Archive(folder)
    if not archive.verify().is_sound:
        raise AssertionError("the archive is not as `collect` writes it")
    columns = archive.edges.to_table().to_pydict()
    writers, inputs = defaultdict(set), defaultdict(set)
    names = ("quantum_id", "dataset_id", "actual_input", "actual_output")
    for quantum, dataset, read, written in zip(*(columns[name] for name in names), strict=True):
        if written:
            writers[dataset].add(quantum)
        if read:
            inputs[quantum].add(dataset)
    for start in list(writers)[::500]:
        quanta: set[uuid.UUID] = set()
        datasets, left = {start}, [start]
        while left:
            new = writers.get(left.pop(), set()) - quanta
            quanta |= new
            for quantum in new:
                left += inputs[quantum] - datasets
                datasets |= inputs[quantum]
        found = archive.lineage(start)
        if (set(found.quanta), set(found.datasets)) != (quanta, datasets):
            raise AssertionError(f"the lineage of {start} is not that of a walk over the edges")
    if archive.stats().total.datasets["actual_output"] != len(writers):
        raise AssertionError("statistics do not count what was written")


def median(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Return the median of the seconds that something takes."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def process(*arguments: object) -> Callable[[], object]:
    """Return what runs a command as a process of its own."""
    code = "from quantum_butler.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def build_seconds(campaign: Campaign, folder: Path) -> float:
    """Build the lineage index alone, and return the seconds that it took."""
    seconds = 0.0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        builder = _core.LineageBuilder(scratch, 128 << 20)
        for chunk in campaign.chunks():
            tables = (
                chunk.quanta.select(["quantum_id", "edges"]),
                chunk.edges,
                chunk.records.select(["dataset_id", "file_size"]),
            )
            start = time.perf_counter()
            builder.add(*tables)
            seconds += time.perf_counter() - start
        start = time.perf_counter()
        nodes, totals = map(pyarrow.RecordBatchReader.from_stream, builder.finish())
        write_index(nodes, Path(scratch, "lineage.arrow"))
        totals.read_all()
    return seconds + time.perf_counter() - start


def measure(quanta: int, folder: Path) -> dict[str, Any]:
    """Make an archive of so many quanta, and time it."""
    campaign = Campaign(quanta)
    write_archive(campaign, folder)
    seconds = build_seconds(campaign, folder.parent)
    archive = Archive(folder)
    edges = archive.manifest.counts["edges"]
    # The last quantum is one of the last step; one from the middle of the first has few ancestors.
    last = archive.describe_quanta([campaign.quanta - 1])[0]
    written = [
        use.dataset.dataset_id
        for use in archive.show(last.quantum_id).uses
        if use.roles[-1] == "actual_output"
    ]
    early = archive.describe_quanta([campaign.sizes[0] // 2])[0]
    near = [
        use.dataset.dataset_id
        for use in archive.show(early.quantum_id).uses
        if use.roles[-1] == "actual_output"
    ]

    def closure() -> object:
        found = archive.lineage(written[0])
        return found.datasets, found.quanta

    def opened() -> object:
        # The manifest, and the index mapped into memory.
        return read_index(Archive(folder).path / "lineage.arrow")

    datasets = len(archive.lineage(written[0]).datasets)
    return {
        "quanta": campaign.quanta,
        "edges": edges,
        "index_build_s": seconds,
        "index_bytes_per_edge": (folder / "lineage.arrow").stat().st_size / edges,
        "archive_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "open_ms": 1e3 * median(opened),
        "closure_datasets": datasets,
        "closure_ms_per_10000_datasets": 1e3 * median(closure) / datasets * 10_000,
        "lineage_process_s": median(process("lineage", folder, near[0])),
        "stats_s": median(archive.stats),
        "stats_process_s": median(process("stats", folder), 5),
        "interpreter_process_s": median(
            lambda: subprocess.run([sys.executable, "-c", "import pyarrow.parquet"], check=True)
        ),
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantum-butler-lineage-") as scratch:
        check(Path(scratch, "small"))
        figures = measure(arguments.quanta, Path(scratch, "archive"))
    for name, value in figures.items():
        print(f"{name:32} {value:,.4g}" if isinstance(value, float) else f"{name:32} {value:,}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
