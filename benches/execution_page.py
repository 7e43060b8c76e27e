"""The part of the page of results that is about campaigns: many quanta, and how they get their processes."""

from __future__ import annotations

__all__ = ("campaign_rows", "execution_part")

from collections.abc import Iterator, Mapping
from typing import Any

from ratios_picture import figure
from results_page import table, time_of

Figures = Mapping[str, Any]
Row = tuple[str, str, str]

# Quanta a second that engines are to reach, or what they reach with empty tasks.
_RATE = 150


def execution_part(execution: Figures, in_process: Figures) -> Iterator[str]:
    """Yield how fast campaigns are, beside what they are to reach."""
    ways = len(execution["compared"])
    yield (
        f"Two chained mock tasks. One graph was run in {ways} ways before anything was timed, and what they "
        "left was compared:\nevery dataset, metadata and logs but times, the report. Processor time is that "
        "of all processes of a command.\n"
    )
    rows = [
        *_cold_rows(execution["cold"]),
        *_command_rows(execution["commands"]),
        *_isolation_rows(execution["isolation"]),
        *_in_process_rows(in_process),
        *_engine_rows(execution["engines"]),
        *_bps_rows(execution.get("bps")),
        *_frontier_rows(execution["frontier"]),
        *_aggregating_rows(execution["aggregating"]),
    ]
    yield from table(("work", "measured", "goal"), rows)
    commands = execution["commands"]
    yield (
        f"\nStock with `-j 2` was measured on {commands['stock_quanta']:,} quanta; its time for "
        f"{commands['ours_quanta']:,} is its start-up, and so many\n"
        "times what a quantum took. An engine's rate is taken when its workers are warm."
    )


def campaign_rows(execution: Figures) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the README's table that are about campaigns."""
    commands, aggregating = execution["commands"], execution["aggregating"]
    pairs = {
        f"`pipetask run-qbb -j 2` of {commands['ours_quanta']:,} quanta": (
            commands["stock_seconds"],
            commands["ours_seconds"],
        )
    }
    if (bps := execution.get("bps")) is not None:
        pairs[f"BPS with Parsl, {bps['jobs']} jobs of one quantum"] = (
            bps["stock_seconds"],
            bps["ours_seconds"],
        )
    times = aggregating["seconds"]
    pairs["the final job's provenance graph, per quantum"] = times["upstream"], times["logs"]
    for name, (stock, ours) in pairs.items():
        yield name, time_of(stock * 1e6), time_of(ours * 1e6), figure(stock / ours)


def _cold_rows(cold: Figures) -> Iterator[Row]:
    ratio = cold["ours_processor"] / cold["stock_processor"]
    times = f"{cold['ours_processor']:.2f} s / {cold['stock_processor']:.2f} s"
    yield "one quantum, cold process, processor time: ours / stock", f"{ratio:.2f} ({times})", "at most 1.0"


def _command_rows(commands: Figures) -> Iterator[Row]:
    name = f"{commands['ours_quanta']:,} quanta, `-j 2`: stock / ours"
    for what, label in (("seconds", "time"), ("processor", "processor time")):
        stock, ours = commands[f"stock_{what}"], commands[f"ours_{what}"]
        goal = "at least 150" if what == "seconds" else ""
        yield f"{name}, {label}", f"{figure(stock / ours)} ({stock:,.0f} s / {ours:,.1f} s)", goal


def _isolation_rows(isolation: Figures) -> Iterator[Row]:
    name = f"{isolation['quanta']:,} quanta with ours"
    here, fork, process = (isolation[f"{way}_processor_ms"] for way in ("none", "fork", "process"))
    yield (
        f"{name}, forked, beyond in one process, processor time of a quantum",
        f"{fork - here:.1f} ms ({fork:.1f} ms, {here:.1f} ms)",
        "at most 15 ms",
    )
    wall = isolation["fork_ms"] - isolation["none_ms"]
    yield f"{name}, the same, time, both cores counted", f"{wall:.1f} ms", "at most 15 ms"
    yield (
        f"{name}, isolation `process` / in one process, processor time",
        f"{process / here:.2f} ({process:.1f} ms)",
        "at most 1.3",
    )


def _in_process_rows(sides: Figures) -> Iterator[Row]:
    stock, ours, floor = (sides[side] for side in ("stock", "ours", "memory"))
    yield (
        "in one process, a quantum: stock / ours",
        f"{figure(stock / ours)} ({stock:.1f} ms / {ours:.2f} ms)",
        "at least 20",
    )
    yield "the same: ours / butler in memory", f"{ours / floor:.1f} ({floor:.2f} ms)", "at most 2.5"


def _engine_rows(engines: Mapping[str, Figures]) -> Iterator[Row]:
    for engine, one in engines.items():
        goal = min(_RATE, one["empty_per_second"])
        yield (
            f"{engine.capitalize()}, two workers, {one['quanta']:,} quanta",
            f"{one['per_second']:.0f} a second (empty tasks: {one['empty_per_second']:,.0f})",
            f"at least {goal:.0f}",
        )


def _bps_rows(bps: Figures | None) -> Iterator[Row]:
    if bps is None:
        yield "jobs of BPS: upstream's Parsl service / ours", "`lsst-ctrl-bps-parsl` is not installed", ""
        return
    stock, ours = bps["stock_seconds"], bps["ours_seconds"]
    yield (
        f"BPS, {bps['jobs']} jobs of one quantum, two cores: upstream's Parsl service / ours",
        f"{figure(stock / ours)} ({stock:.1f} s / {ours:.1f} s)",
        "at least 20",
    )


def _frontier_rows(frontier: Figures) -> Iterator[Row]:
    name = f"frontier of {frontier['quanta']:,} quanta and {frontier['edges']:,} edges"
    yield f"{name}, memory", f"{frontier['peak_mib']:,.0f} MiB", "under 2,048 MiB"
    yield f"{name}, completions", f"{frontier['per_second']:,.0f} a second", "at least 1,000,000"


def _aggregating_rows(aggregating: Figures) -> Iterator[Row]:
    times = aggregating["seconds"]
    for way, goal in (("logs", 60), ("scan", 8)):
        origin = {"logs": "from logs with contents", "scan": "from files"}[way]
        yield (
            f"provenance graph of {aggregating['quanta']:,} quanta {origin}, one process: upstream / ours",
            f"{figure(times['upstream'] / times[way])} "
            f"({1e3 * times['upstream']:.1f} ms / {1e3 * times[way]:.2f} ms a quantum)",
            f"at least {goal}",
        )
    theirs, ours = times["upstream, ingest"], times["logs, ingest"]
    yield (
        f"the same and {aggregating['datasets']:,} datasets into SQLite, from logs: upstream / ours",
        f"{figure(theirs / ours)} ({1e3 * theirs:.1f} ms / {1e3 * ours:.2f} ms a quantum)",
        "at least 1.5",
    )
    if (postgresql := aggregating.get("postgresql")) is not None:
        theirs, ours = (postgresql["seconds"][way] for way in ("upstream", "ours"))
        their_part, our_part = (postgresql["database"][way] for way in ("upstream", "ours"))
        yield (
            f"graph and {postgresql['datasets']:,} datasets into PostgreSQL, from logs: upstream / ours",
            f"{figure(theirs / ours)} ({1e3 * theirs:.1f} ms / {1e3 * ours:.2f} ms a dataset, "
            f"{1e3 * their_part:.2f} ms / {1e3 * our_part:.2f} ms of it in the database)",
            "at least 1.5",
        )
