#!/usr/bin/env python3
"""Run every benchmark, and write what came out.

Writes ``RESULTS.md`` and ``ratios.svg`` beside this script, and the short table
in the README.  Each part runs in its own process; with ``--quick`` few rounds
over few datasets, to see whether it all works, and the README is left alone.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quantum_butler
from execution_page import campaign_rows, execution_part
from places_page import images_part, places_part, sizes_part
from provenance_page import provenance_rows, provenance_tables
from results_page import TYPICAL, conditions, picture, results, source, summary

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- written by benches/report.py -->", "<!-- until here -->"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    operations: Mapping[int, int]
    """Rounds by number of datasets."""

    bulk: Sequence[tuple[str, int, int]]
    """Class, number of datasets, rounds."""

    threads: tuple[int, int]
    """Datasets of each thread, rounds."""

    detectors: int
    executor_rounds: int
    scanner_rounds: int

    file_mode: tuple[int, int]
    """Outputs, rounds."""

    places: tuple[int, int]
    """Datasets, rounds."""

    formatters: tuple[int, int]
    """Bytes of the largest dataset, rounds."""

    images: tuple[int, int]
    """Exposures, pixels of a row."""

    log: tuple[int, int]
    """Quanta, rounds."""

    collected: tuple[Sequence[int], int, int, int]
    """Quanta of the archives, quanta of the stock path, rounds of it, logs of one line."""

    lineage: int
    """Quanta."""

    transfer: tuple[int, int]
    """Quanta, rounds."""

    execution: tuple[int, int, int, int, int]
    """Quanta for ours, quanta for stock, rounds, jobs of BPS, quanta of the frontier."""


FULL = Sizes(
    {10: 25, TYPICAL: 9, 10_000: 3},
    [
        ("stock", 10_000, 3),
        ("ours", 1_000, 5),
        ("ours", 10_000, 3),
        ("ours", 100_000, 3),
        ("ours", 1_000_000, 1),
    ],
    (100_000, 7),
    100,
    3,
    9,
    (100, 9),
    (TYPICAL, 3),
    (100_000_000, 5),
    (20, 768),
    (100, 7),
    ([10_000, 100_000, 1_000_000], 20_000, 3, 100_000),
    1_000_000,
    (2_000, 3),
    (1_000, 20, 5, 100, 10_000_000),
)
QUICK = Sizes(
    {10: 3, TYPICAL: 1},
    [("stock", 100, 1), ("ours", 100, 1), ("ours", 1_000, 1)],
    (1_000, 1),
    5,
    1,
    1,
    (8, 1),
    (10, 1),
    (1_000, 1),
    (1, 128),
    (10, 1),
    ([300, 1_000], 100, 1, 200),
    1_000,
    (50, 1),
    (10, 2, 1, 2, 10_000),
)


def run(script: str, *arguments: object, folder: Path) -> Any:
    """Run a script beside this one, and return its JSON: that of an earlier run, if the folder has it."""
    words = [*map(str, arguments)]
    path = folder / f"{'-'.join([script, *words]).replace(os.sep, '_')}.json"
    if path.exists():
        return json.loads(path.read_text())
    print(f"\n-- {script} {' '.join(words)}", flush=True)
    written = path.with_suffix(".partial")
    subprocess.run([sys.executable, str(HERE / script), *words, "--json", str(written)], check=True)
    os.replace(written, path)
    return json.loads(path.read_text())


def run_provenance(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Run what is about provenance, and return the figures by name of the script."""
    (quanta, rounds), (collected, stock, readings, small) = sizes.log, sizes.collected
    arguments: dict[str, list[object]] = {
        "log": ["--quanta", quanta, "--rounds", rounds],
        "collect": ["--quanta", *collected, "--stock", stock, "--rounds", readings, "--logs", small],
        "lineage": ["--quanta", sizes.lineage],
    }
    quanta, rounds = sizes.transfer
    arguments["transfer"] = ["--quanta", quanta, "--rounds", rounds]
    return {name: run(f"{name}.py", *of_script, folder=folder) for name, of_script in arguments.items()}


def run_execution(sizes: Sizes, folder: Path) -> Any:
    """Run what is about campaigns, but for quanta in one process, which `run_executor` is about."""
    names = ("--quanta", "--stock", "--rounds", "--bps-jobs", "--frontier")
    arguments = [word for pair in zip(names, sizes.execution, strict=True) for word in pair]
    parts = ("cold", "commands", "isolation", "engines", "bps", "frontier")
    figures = run("execution.py", *arguments, "--only", *parts, folder=folder)
    figures["aggregating"] = run(
        "aggregating.py", "--quanta", sizes.execution[0], "--postgresql", folder=folder
    )
    return figures


def run_images(sizes: Sizes, folder: Path) -> list[dict[str, Any]]:
    """Run the tasks on real images in each place with each butler; raise `SystemExit` if they differ."""
    exposures, pixels = sizes.images
    outcomes = [
        run(
            "images.py",
            *("--place", place, "--butler", side, "--exposures", exposures, "--pixels", pixels),
            folder=folder,
        )
        for place in ("local", "s3")
        for side in ("stock", "ours")
    ]
    if len({(one["digest"], one["written"]) for one in outcomes}) != 1:
        raise SystemExit("images.py: the runs have written different datasets; their times mean nothing.")
    return outcomes


def run_executor(butler: str, detectors: int) -> Any:
    """Run ``executor.py``, and return what it printed last."""
    command = [sys.executable, str(HERE / "executor.py"), "--butler", butler, "--detectors", str(detectors)]
    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    print(line, flush=True)
    return json.loads(line)


def run_kernels() -> list[dict[str, Any]]:
    """Run criterion, and return its medians in microseconds."""
    subprocess.run(["cargo", "bench", "--locked", "-p", "quantum-butler-core"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    kernels = []
    for path in (target / "criterion").rglob("new/benchmark.json"):
        about = json.loads(path.read_text())
        median = json.loads(path.with_name("estimates.json").read_text())["median"]["point_estimate"]
        kernels.append(
            {
                "kernel": f"{about['group_id']}: {about['function_id']}",
                "size": about["value_str"] or "1",
                "items": about["throughput"]["Elements"],
                "us": median / 1e3,
            }
        )
    return sorted(kernels, key=lambda kernel: (kernel["kernel"], kernel["items"]))


@contextlib.contextmanager
def _figures(keep: Path | None) -> Iterator[Path]:
    """Give a folder for the figures of each script: one that stays until all is measured, or a new one."""
    if keep is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    # Figures of other sources are of no use.
    folder = keep / f"{source()}, Python {platform.python_version()}"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(keep)


def load() -> str:
    """Return how busy the machine is."""
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


def write_readme(lines: Iterator[str]) -> None:
    """Put lines between the README's marks."""
    before, found, rest = README.read_text().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found and found_end):
        raise SystemExit(f"{README} has no place for the table.")
    README.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only see whether it works")
    parser.add_argument("--no-kernels", action="store_true", help="leave criterion out")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the results")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures, too")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="where figures are kept until all is measured: the same command goes on from there",
    )
    args = parser.parse_args()
    if not Path(quantum_butler.__file__).is_relative_to(ROOT):
        raise SystemExit(f"This is about the package in {ROOT}, and another one would be measured.")
    sizes = QUICK if args.quick else FULL
    loads = [load()]
    kernels = [] if args.no_kernels else run_kernels()
    executors: dict[str, list[float]] = {side: [] for side in ("stock", "ours", "memory")}
    print("\n-- executor.py", flush=True)
    for _ in range(sizes.executor_rounds):
        for side, times in executors.items():
            one = run_executor(side, sizes.detectors)
            times.append(one["ms_per_quantum"])
    executor = {side: statistics.median(times) for side, times in executors.items()}
    with _figures(args.keep) as figures:
        operations = [
            run("operations.py", "--datasets", n, "--rounds", rounds, folder=figures)
            for n, rounds in sizes.operations.items()
        ]
        scanner = run(
            "scanner.py",
            "--detectors",
            sizes.detectors,
            "--rounds",
            sizes.scanner_rounds,
            folder=figures,
        )
        bulk = [
            run("bulk.py", "--butler", side, "--datasets", n, "--rounds", rounds, folder=figures)
            for side, n, rounds in sizes.bulk
        ]
        n, rounds = sizes.threads
        threads = run("threads.py", "--datasets", n, "--rounds", rounds, folder=figures)
        n, rounds = sizes.file_mode
        files = run("file_mode.py", "--datasets", n, "--rounds", rounds, folder=figures)
        n, rounds = sizes.places
        places = run("places.py", "--datasets", n, "--rounds", rounds, folder=figures)
        largest, rounds = sizes.formatters
        formatters = run("sizes.py", "--largest", largest, "--rounds", rounds, folder=figures)
        images = run_images(sizes, figures)
        provenance = run_provenance(sizes, figures)
        execution = run_execution(sizes, figures)
    loads.append(load())
    where = conditions(loads)
    args.output.mkdir(parents=True, exist_ok=True)
    tables = provenance_tables(**provenance)
    campaigns = execution_part(execution, executor)
    production = [
        *places_part(places),
        "\n### By formatter and size\n",
        *sizes_part(formatters),
        "\n### Tasks on real images\n",
        *images_part(images),
    ]
    lines = results(
        where,
        operations,
        bulk,
        threads,
        executor,
        one["quanta"],
        campaigns,
        scanner,
        files,
        production,
        tables,
        kernels,
    )
    (args.output / "RESULTS.md").write_text("\n".join(lines) + "\n")
    (args.output / "ratios.svg").write_text(picture(operations, executor))
    if args.json:
        parts = {
            "operations": operations,
            "scanner": scanner,
            "bulk": bulk,
            "threads": threads,
            "files": files,
            "places": places["places"],
            "sizes": formatters["sizes"],
            "images": images,
        }
        args.json.write_text(
            json.dumps({**parts, **provenance, "execution": execution, "executor": executor})
        )
    if not args.quick:
        rows = provenance_rows(*(provenance[name] for name in ("log", "collect", "lineage")))
        write_readme(summary(operations, executor, campaign_rows(execution), rows, where))
    print(f"\nWrote {args.output / 'RESULTS.md'} and ratios.svg")


if __name__ == "__main__":
    main()
