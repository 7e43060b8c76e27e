"""The page of results, and the README's table, from what the benchmarks measured."""

from __future__ import annotations

__all__ = ("TYPICAL", "conditions", "picture", "results", "source", "summary", "table", "time_of")

import datetime
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ratios_picture import Bar, draw, figure

ROOT = Path(__file__).resolve().parent.parent

TYPICAL = 300
"""The size whose ratios are quoted."""

# What the README quotes; among it the operations that gain least.
_QUOTED = (
    "one whole quantum, 10 in 5 out",
    "initialize, 10 in 5 out",
    "stored_many, recorded",
    "get",
    "put",
    "put, formatter of local files",
    "extract + model_dump_json",
    "pruneDatasets",
)

# An operation that gains less than this is listed with the reason.
_FASTER = 2.0
_REASONS = {
    "getDeferred": "What is left is to make the handle, which is upstream's.",
    "put, formatter of local files": (
        "A formatter that writes files itself, and gives no bytes, is left to upstream's method."
    ),
}


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """Return what the processor calls itself, and how many there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def file_system() -> str:
    """Return the kind of file system that temporary files are on."""
    device = Path(tempfile.gettempdir()).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == number:
            kind, place, *_ = fields[fields.index("-") + 1 :]
            has_journal = any(Path("/proc/fs/jbd2").glob(f"{Path(place).name}-*"))
            return f"{kind} without a journal" if kind == "ext4" and not has_journal else kind
    return "a local disk"


def source() -> str:
    """Return the commit that is measured, and whether there are changes on top."""
    dirty = output("git", "status", "--porcelain", "--", "python", "rust", "benches/*.py", "Cargo.lock")
    return f"{output('git', 'rev-parse', '--short', 'HEAD')}{' and changes on top' if dirty else ''}"


def conditions(loads: Sequence[str]) -> list[str]:
    """Return where, when and of what the figures are, one a line."""
    packages = ("lsst-daf-butler", "lsst-pipe-base", "lsst-ctrl-mpexec", "pydantic")
    return [
        f"date: {datetime.date.today()}",
        f"machine: {machine()}; files on {file_system()}",
        f"load average before and after: {loads[0]} / {loads[1]}",
        f"commit: {source()}",
        f"Python {platform.python_version()}, {output('rustc', '--version').partition(' (')[0]}",
        ", ".join(f"{name} {version(name)}" for name in packages),
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table; all columns but the first hold figures."""
    yield f"| {' | '.join(head)} |"
    yield f"|---{'|--:' * (len(head) - 1)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def time_of(microseconds: float) -> str:
    """Return a time in a unit that suits it."""
    if microseconds >= 1e9:
        return f"{microseconds / 1e6:,.0f} s"
    for unit, scale in (("s", 1e6), ("ms", 1e3), ("us", 1.0)):
        if microseconds >= scale:
            return f"{microseconds / scale:.3g} {unit}"
    return f"{microseconds * 1e3:.3g} ns"


def operation_tables(operations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one table for each size."""
    for run in operations:
        rows = [
            (
                one["operation"],
                time_of(one["stock_us"]),
                time_of(one["ours_us"]),
                figure(one["ratio"]),
            )
            for one in run["operations"]
        ]
        rounds = run["operations"][0]["rounds"]
        yield f"\n### {run['datasets']:,} datasets, {rounds} rounds\n"
        yield from table(("operation", "stock", "ours", "ratio"), rows)


def bulk_tables(bulk: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the tables of bulk operations: time, then memory."""
    heads = [f"{run['butler']}, {run['datasets']:,}" for run in bulk]
    names = [one["operation"] for one in bulk[0]["operations"]]
    for title, key, show in (
        ("Time for each dataset", "us", time_of),
        ("Most memory for each dataset, results included, in bytes", "bytes", lambda value: f"{value:.0f}"),
    ):
        # Below that, what a process has at hand anyway hides what is needed.
        runs = [
            (head, run)
            for head, run in zip(heads, bulk, strict=True)
            if key == "us" or run["datasets"] >= 10_000
        ]
        figures = [{one["operation"]: one[key] for one in run["operations"]} for _, run in runs]
        yield f"\n### {title}\n"
        rows = [(name, *(show(of[name]) for of in figures)) for name in names]
        yield from table(("operation", *(head for head, _ in runs)), rows)
    yield "\nNo memory means that what the process had at hand was enough."
    largest = bulk[-1]
    beyond = largest["store_bytes"] - largest["name_bytes"]
    size = f"{beyond:.0f} bytes a record at {largest['datasets']:,}, beyond the characters of file names"
    yield f"\nThe records and their locations by themselves take {size}."


def scanner_part(scanner: Mapping[str, Any]) -> Iterator[str]:
    """Yield what upstream's aggregator has to wait for."""
    yield (
        "What upstream's `aggregate-graph` asks of its one butler for each quantum: a log, metadata, and\n"
        "the records predicted for what is to be ingested. The floor is to read and decode the same files\n"
        f"without a butler. {scanner['quanta']} quanta that `pipetask run-qbb` has run,\n"
        f"{scanner['rounds']} rounds.\n"
    )
    rows = [
        (name, time_of(scanner[f"{side}_us"]), figure(scanner["stock_us"] / scanner[f"{side}_us"]))
        for side, name in (("stock", "stock"), ("ours", "ours"), ("floor", "floor"))
    ]
    yield from table(("butler", "each quantum", "ratio"), rows)
    part = figure(scanner["ratio_of_butlers_part"])
    yield f"\nOf the butler's part, which is what is above the floor, the ratio is {part}."


def file_part(files: Mapping[str, Any]) -> Iterator[str]:
    """Yield what it takes to keep records in a SQLite file."""
    yield (
        f"Butlers with {files['datasets']} outputs, in memory and with `filename=`, in turns; medians of "
        f"{files['rounds']} rounds,\nfor each dataset where there are several. "
        "The rows in all files were compared in each round.\n"
        "What a file adds to a `put` is the difference to the same class in memory.\n"
    )
    times, added = files["microseconds"], files["added_to_put"]
    names = list(next(iter(times.values())))
    rows = [
        (way, *(time_of(of_way[name]) for name in names), time_of(added[way]) if way in added else "")
        for way, of_way in times.items()
    ]
    yield from table(("", *names, "added to a put"), rows)
    stock = added["stock, file"]
    shares = {way: added[way] / stock for way in added if way != "stock, file"}
    yield "\n" + "; ".join(f"{way}: {share:.0%} of what stock adds" for way, share in shares.items()) + "."


def slow_operations(operations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each operation that has gained little at some size."""
    ratios: dict[str, list[tuple[int, float]]] = {}
    for run in operations:
        for one in run["operations"]:
            ratios.setdefault(one["operation"], []).append((run["datasets"], one["ratio"]))
    found = False
    for name, sizes in ratios.items():
        if min(ratio for _, ratio in sizes) < _FASTER:
            found = True
            at = ", ".join(f"{figure(ratio)} at {size:,}" for size, ratio in sizes)
            yield f"- {name}: {at}. {_REASONS.get(name, '')}".rstrip()
    if not found:
        yield f"- Nothing measured here gained less than a factor of {_FASTER:g}."


def picture(operations: Sequence[Mapping[str, Any]], executor: Mapping[str, float]) -> str:
    """Return the picture of the ratios."""
    by_size = {
        run["datasets"]: {one["operation"]: one["ratio"] for one in run["operations"]} for run in operations
    }
    typical = by_size.pop(TYPICAL)
    bars = [
        Bar(name, ratio, [ratios[name] for ratios in by_size.values() if name in ratios])
        for name, ratio in typical.items()
    ]
    bars.sort(key=lambda bar: -bar.ratio)
    bars.insert(0, Bar("pipetask run-qbb, per quantum", executor["stock"] / executor["ours"], []))
    others = " and ".join(f"{size:,}" for size in by_size)
    return draw(f"Stock time / ours; bars: {TYPICAL} datasets, dots: {others}", bars)


def summary(
    operations: Sequence[Mapping[str, Any]],
    executor: Mapping[str, float],
    campaigns: Iterable[tuple[str, str, str, str]],
    provenance: Iterable[tuple[str, str, str, str]],
    where: Sequence[str],
) -> Iterator[str]:
    """Yield the README's table, and where it is from."""
    [typical] = [run for run in operations if run["datasets"] == TYPICAL]
    rows = [
        (
            "`pipetask run-qbb` in one process, per quantum",
            time_of(executor["stock"] * 1e3),
            time_of(executor["ours"] * 1e3),
            figure(executor["stock"] / executor["ours"]),
        ),
        *campaigns,
    ]
    rows += [
        (one["operation"], time_of(one["stock_us"]), time_of(one["ours_us"]), figure(one["ratio"]))
        for one in sorted(
            (one for one in typical["operations"] if one["operation"] in _QUOTED),
            key=lambda one: _QUOTED.index(one["operation"]),
        )
    ]
    rows += provenance
    yield from table(("", "stock", "ours", "ratio"), rows)
    yield f"\nMedians, of operations at {TYPICAL} datasets; {where[0]}; {where[1]}."


def results(
    where: Sequence[str],
    operations: Sequence[Mapping[str, Any]],
    bulk: Sequence[Mapping[str, Any]],
    threads: Mapping[str, Any],
    executor: Mapping[str, float],
    quanta: int,
    campaigns: Iterable[str],
    scanner: Mapping[str, Any],
    files: Mapping[str, Any],
    production: Iterable[str],
    provenance: Iterable[str],
    kernels: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Yield the report."""
    yield "# Results\n"
    yield "Written by `make bench`; not to be edited. Trust ratios, not times: those depend on the machine.\n"
    yield from (f"- {line}" for line in where)
    yield "\n![Ratios of stock to ours](ratios.svg)\n"
    yield "## A real graph\n"
    yield (
        f"`pipetask run-qbb` on {quanta} quanta of two chained mock tasks, each butler in its own\n"
        "process. The floor is the same tasks on upstream's butler in memory: no files, no datastore, no\n"
        "graph file, no command line.\n"
    )
    rows = [
        (name, f"{executor[side]:.2f}", figure(executor["stock"] / executor[side]))
        for side, name in (("stock", "stock"), ("ours", "ours"), ("memory", "floor"))
    ]
    yield from table(("butler", "ms per quantum", "ratio"), rows)
    yield "\n## Campaigns\n"
    yield from campaigns
    yield "\n## The aggregator's scanner\n"
    yield from scanner_part(scanner)
    yield "\n## Operations\n"
    yield (
        "Both classes in one process, in turns. Answers were compared before anything was timed. Times are\n"
        "medians, for each dataset unless the name says otherwise; a ratio is the median of the rounds'."
    )
    yield from operation_tables(operations)
    yield "\n## Large butlers\n"
    yield (
        "One class in each process, as many inputs as outputs, garbage collector on. Stock is measured at\n"
        "10,000 only: a million would take it many minutes."
    )
    yield from bulk_tables(bulk)
    yield "\n### Two threads\n"
    one, two = (f"{threads[way]:.0f} ms" for way in ("one_ms", "two_ms"))
    yield (
        f"`stored_many` of 2 x {threads['datasets']:,} recorded datasets takes {one} in one thread,\n"
        f"{two} in two that share a butler: a ratio of {threads['ratio']:.2f}.\n"
        "The two look for files at the same time, but take turns at upstream's `hash(ref)`, which is Python."
    )
    yield "\n## Records in a file\n"
    yield from file_part(files)
    yield "\n## Where production runs\n"
    yield from production
    yield from provenance
    yield "\n## What did not get faster\n"
    yield f"Operations of one butler in one thread that gained less than a factor of {_FASTER:g}:\n"
    yield from slow_operations(operations)
    yield (
        "\nOf what the other tables tell, putting outputs back into a repository takes the registry's time, "
        "and two threads of one process take turns. `docs/performance.md` says what bounds the rest."
    )
    if kernels:
        yield "\n## Kernels\n"
        yield "Rust alone, medians of criterion; most of each operation above is Python around these.\n"
        kernel_rows = [
            (one["kernel"], one["size"], time_of(one["us"]), time_of(one["us"] / one["items"]))
            for one in kernels
        ]
        yield from table(("kernel", "size", "all", "each"), kernel_rows)
