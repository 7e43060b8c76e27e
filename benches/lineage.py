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
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from quantum_butler import Archive, _core
from quantum_butler.archive.index import read_index, write_index
from synthetic_archive import Campaign, write_archive

_ROUNDS = 9

# So many quanta are worth more than one round, and having the system forget its files.
_LARGE = 100_000


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


def process(*arguments: object, statuses: Sequence[int] = (0,)) -> Callable[[], object]:
    """Return what runs a command as a process of its own, which has to end with one of some statuses."""
    code = "from quantum_butler.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]

    def ask() -> None:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode not in statuses or "Traceback" in done.stderr:
            raise SystemExit(f"{arguments} ended with {done.returncode}: {done.stderr}")

    return ask


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


def questions(left: Path, right: Path, page: Path) -> dict[str, tuple[float, Sequence[object]]]:
    """Return the questions that are timed: the goal in seconds, and the words of the command."""
    task, of_type = "visit = 7 AND detector = 3", ("measure_catalog", "skymap=rings", "tract=0", "patch=3")
    where = " AND ".join(("skymap = 'rings'", "tract = 0", "patch = 3"))
    return {
        "find, task and data ID": (0.5, ("find", left, "--task", "calibrateImage", "-w", task)),
        "find, dataset type and data ID": (0.5, ("find", left, "--type", "measure_catalog", "-w", where)),
        "show, a dataset": (0.5, ("show", left, *of_type)),
        "show, a quantum": (0.5, ("show", left, "measure", *of_type[1:])),
        "lineage, depth 1": (0.5, ("lineage", left, *of_type, "--depth", 1)),
        "report": (3, ("report", left)),
        "times": (3, ("times", left)),
        "compare": (3, ("compare", left, right)),
        "report --html": (10, ("report", left, "--html", page)),
    }


def drop_caches() -> bool:
    """Have the system forget the files that it has in memory, and return whether it can be told to."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def measure_questions(left: Path, right: Path, page: Path, *, is_large: bool) -> list[dict[str, Any]]:
    """Time each question as a process that prints JSON, if it prints; large archives also from the disk."""
    rows: list[dict[str, Any]] = []
    for name, (goal, words) in questions(left, right, page).items():
        # Differences and failures are told by the exit status.
        ask = process(*words, *([] if "--html" in words else ["--format", "json"]), statuses=(0, 1, 3))
        cold = median(ask, 1) if is_large and drop_caches() else None
        rows.append(
            {"question": name, "goal_s": goal, "cold_s": cold, "warm_s": median(ask, 3 if is_large else 1)}
        )
    rows[-1]["bytes"] = page.stat().st_size
    return rows


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
        archive, other = Path(scratch, "archive"), Path(scratch, "other")
        figures = measure(arguments.quanta, archive)
        write_archive(Campaign(arguments.quanta, 5, "runs/2"), other)
        asked = measure_questions(
            archive, other, Path(scratch, "page.html"), is_large=arguments.quanta >= _LARGE
        )
    for name, value in figures.items():
        print(f"{name:32} {value:,.4g}" if isinstance(value, float) else f"{name:32} {value:,}")
    for row in asked:
        cold = "" if row["cold_s"] is None else f", {row['cold_s']:.2f} s from the disk"
        print(f"{row['question']:32} {row['warm_s']:.2f} s{cold}, goal {row['goal_s']} s")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**figures, "questions": asked}))


if __name__ == "__main__":
    main()
