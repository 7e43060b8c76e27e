"""The part of the page of results that is about provenance: the log, `collect`, questions, transfer."""

from __future__ import annotations

__all__ = ("provenance_rows", "provenance_tables")

from collections.abc import Iterator, Mapping
from typing import Any

from ratios_picture import figure
from results_page import table, time_of

Figures = Mapping[str, Any]

# Microseconds, and times as fast as the stock way, that `append` is to reach.
_LOG_GOALS = {".jsonl": (10, 100), ".jsonl.zst": (25, None)}


def log_part(log: Figures) -> Iterator[str]:
    """Yield what it takes to log a quantum."""
    yield (
        "`ProvenanceLog.append` from a butler with 10 inputs and 5 outputs, beside stock\n"
        "`extract_provenance_data()`, `model_dump_json()` and a file for each quantum. Each round has\n"
        f"{log['quanta']} new butlers for each way; {log['rounds']} rounds. "
        "What the lines hold was compared before.\n"
    )
    rows = []
    for way, one in log["ways"].items():
        us, ratio = _LOG_GOALS.get(way, (None, None))
        goals = [f"at most {us} us" if us else "", f"at least {ratio}" if ratio else ""]
        rows.append(
            (
                "stock" if way == "stock" else f"`{way}`",
                time_of(one["us"]),
                goals[0],
                figure(one["ratio"]),
                goals[1],
                f"{one['bytes']:,.0f}",
            )
        )
    yield from table(("", "each quantum", "goal", "ratio", "goal", "bytes"), rows)


def reading_part(reading: Figures) -> Iterator[str]:
    """Yield how fast provenance is read."""
    yield (
        f"{reading['lines']:,} lines of {reading['bytes_per_quantum']:,.0f} bytes in memory, one thread. "
        "The stock path\nis `direct(**json.loads(...))`, `DatastoreRecordData.from_simple` and `update`.\n"
    )
    names = {
        "columns": ("into columns", None),
        "validate": ("`model_validate_json`", 10),
        "direct": ("`direct(**json.loads(...))`", 40),
        "stock": ("the stock path", None),
    }
    rows = []
    for way, (name, goal) in names.items():
        ratio = reading[f"{way}_us"] / reading["columns_us"]
        times = "" if way == "columns" else figure(reading.get(f"ratio_{way}", ratio))
        rows.append((name, time_of(reading[f"{way}_us"]), times, f"at least {goal}" if goal else ""))
    yield from table(("", "each quantum", "times ours", "goal"), rows)


def collect_part(collect: Figures) -> Iterator[str]:
    """Yield what it takes to gather an archive."""
    stock, runs = collect["reading"]["stock_us"], collect["collect"]
    yield "Logs of a made-up campaign into an archive, with two threads, in a process of its own.\n"
    rows = [
        (
            f"{run['quanta']:,}",
            time_of(run["us"]),
            figure(stock / run["us"]),
            f"{run['peak_mib']:.0f} MiB",
            f"{run['share']:.1%}",
        )
        for run in runs
    ]
    goal = "at most 120 % of the first" if len(runs) > 1 else ""
    rows.append(("goal", goal, "at least 20", "under 512 MiB", "at most 20 %"))
    yield from table(("quanta", "each quantum", "rate beside stock", "peak memory", "of the JSON"), rows)
    if len(runs) > 1:
        first, last = runs[0], runs[-1]
        grown = f"{last['us'] / first['us']:.0%}"
        yield f"\nA quantum of {last['quanta']:,} takes {grown} of the time of one of {first['quanta']:,}."
    small = [
        (f"{run['quanta']:,}", time_of(run["us"]), f"{run['peak_mib']:.0f} MiB") for run in collect["small"]
    ]
    if small:
        yield "\nLogs of one line each, as a job for each quantum leaves.\n"
        yield from table(
            ("logs", "each log", "peak memory"), [*small, ("goal", "at most 100 us", "under 512 MiB")]
        )


def lineage_part(lineage: Figures) -> Iterator[str]:
    """Yield how fast an archive answers."""
    per_edge, build = lineage["index_bytes_per_edge"], lineage["index_build_s"]
    yield (
        f"An archive of {lineage['quanta']:,} quanta and {lineage['edges']:,} edges, "
        f"{lineage['archive_bytes'] / 1e6:,.0f} MB.\n"
        f"Its index takes {per_edge:.0f} bytes an edge, and {build:.1f} s to build.\n"
        "Answers on a small one were held against a walk over its edges before. To start Python and\n"
        f"import pyarrow takes {lineage['interpreter_process_s']:.2f} s of each process.\n"
    )
    found = f"{lineage['closure_datasets']:,}"
    rows = [
        ("opening the archive", f"{lineage['open_ms']:.2g} ms", "under 50 ms"),
        (
            f"a closure ({found} datasets), per 10,000",
            f"{lineage['closure_ms_per_10000_datasets']:.3g} ms",
            "under 20 ms",
        ),
        ("`Archive.stats`", f"{lineage['stats_s']:.2g} s", "under 2 s"),
        (
            "`quantum-butler lineage` of one dataset, a process",
            f"{lineage['lineage_process_s']:.2f} s",
            "under 0.5 s",
        ),
        ("`quantum-butler stats`, a process", f"{lineage['stats_process_s']:.2f} s", ""),
    ]
    yield from table(("", "time", "goal"), rows)


def questions_part(lineage: Figures) -> Iterator[str]:
    """Yield how fast commands answer."""
    yield (
        "\nQuestions as processes of their own that print JSON: medians with the files in memory, and once\n"
        "after the system has forgotten them. `compare` is with another archive of the same size.\n"
    )
    rows = [
        (
            row["question"],
            f"{row['warm_s']:.2f} s",
            "" if row["cold_s"] is None else f"{row['cold_s']:.2f} s",
            f"under {row['goal_s']:g} s",
        )
        for row in lineage["questions"]
    ]
    yield from table(("question", "in memory", "from the disk", "goal"), rows)
    yield f"\nThe page has {lineage['questions'][-1]['bytes'] / 1e6:.1f} MB; the goal is under 5 MB."


def transfer_part(transfer: Figures) -> Iterator[str]:
    """Yield how fast outputs get into a repository."""
    yield (
        f"`collect_and_transfer` of {transfer['quanta']:,} quanta with 5 outputs each into new copies of a\n"
        "repository with an SQLite registry. What is in it afterwards was compared. Most of the time is the\n"
        "registry's.\n"
    )
    stock = transfer["sides"]["stock"]["ms_per_quantum"]
    rows = [
        (side, f"{one['ms_per_quantum']:.2f} ms", figure(stock / one["ms_per_quantum"]))
        for side, one in transfer["sides"].items()
    ]
    yield from table(("class", "each quantum", "ratio"), rows)


def provenance_tables(log: Figures, collect: Figures, lineage: Figures, transfer: Figures) -> Iterator[str]:
    """Yield everything about provenance."""
    yield "\n## Provenance\n\n### Logging it\n"
    yield from log_part(log)
    yield "\n### Reading it\n"
    yield from reading_part(collect["reading"])
    yield "\n### Collecting it\n"
    yield from collect_part(collect)
    yield "\n### Asking\n"
    yield from lineage_part(lineage)
    yield from questions_part(lineage)
    yield "\n### Back into a repository\n"
    yield from transfer_part(transfer)


def provenance_rows(log: Figures, collect: Figures, lineage: Figures) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the README's table: what, stock, ours, ratio."""
    stock, ours = log["ways"]["stock"], log["ways"][".jsonl"]
    yield (
        "provenance of a quantum into a log",
        time_of(stock["us"]),
        time_of(ours["us"]),
        figure(ours["ratio"]),
    )
    run, path = collect["collect"][-1], collect["reading"]["stock_us"]
    yield (
        f"`collect` of {run['quanta']:,} quanta, per quantum",
        time_of(path),
        time_of(run["us"]),
        figure(path / run["us"]),
    )
    seconds = f"{lineage['lineage_process_s']:.2f} s"
    yield f"`quantum-butler lineage` among {lineage['quanta']:,} quanta", "", seconds, ""
