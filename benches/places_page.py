"""The parts of the page of results about where production runs: chains, object stores, caches, formatters."""

from __future__ import annotations

__all__ = ("images_part", "places_part", "sizes_part")

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ratios_picture import figure
from results_page import table, time_of

Figures = Mapping[str, Any]

_NAMES = {
    "local": "files on a local disk",
    "debug": "the same, with logs at `DEBUG`",
    "chain": "a chain of a datastore in memory and one of files",
    "s3": "an object store, no cache",
    "s3, cached": "an object store, and a file cache that holds the inputs",
}

# What an operation is to gain at least, by place; those that are not here have no goal.
_GOALS: Mapping[str, Mapping[str, int]] = {
    "local": {
        "initialize, 10 in 5 out": 100,
        "one whole quantum, 10 in 5 out": 20,
        "get": 20,
        "put": 8,
        "stored_many": 16,
        "get of a component": 10,
        "get with parameters": 10,
        "extract + model_dump_json": 60,
    },
    "chain": {"get": 10, "put": 6},
    "s3": {
        "initialize, 10 in 5 out": 100,
        "one whole quantum, 10 in 5 out": 3,
        "get": 2,
        "put": 2,
        "get of a component": 2,
        "get with parameters": 2,
        "extract + model_dump_json": 60,
    },
    "s3, cached": {
        "initialize, 10 in 5 out": 80,
        "one whole quantum, 10 in 5 out": 10,
        "get": 15,
        "stored_many": 16,
        "get of a component": 10,
        "get with parameters": 10,
        "extract + model_dump_json": 60,
    },
}


def places_part(outcome: Figures) -> Iterator[str]:
    """Yield a table for each place."""
    yield (
        f"{outcome['datasets']:,} inputs and as many outputs, {outcome['rounds']} rounds, classes in turns. "
        "The answers were\ncompared first. Times are medians, for each dataset, or for each quantum where "
        "the name says so.\nThe object store is `moto` in another process, for which both classes wait. "
        "Requests are those of one\ndataset or quantum."
    )
    for place, title in _NAMES.items():
        ours = [one for one in outcome["places"] if one["place"] == place]
        if not ours:
            continue
        with_requests = place.startswith("s3")
        yield f"\n### {title[0].upper()}{title[1:]}\n"
        head = ["operation", "stock", "ours", "ratio", "ratio of processor time"]
        yield from table(
            (*head, *(["requests, stock / ours"] if with_requests else []), "at least"),
            [_row(one, _GOALS.get(place, {}), with_requests) for one in ours],
        )
        yield from _beside_bare_requests(ours)


def _row(one: Figures, goals: Mapping[str, int], with_requests: bool) -> list[str]:
    goal = goals.get(one["operation"])
    return [
        one["operation"],
        time_of(one["stock_us"]),
        time_of(one["ours_us"]),
        figure(one["stock_us"] / one["ours_us"]),
        figure(one["stock_cpu_us"] / one["ours_cpu_us"]),
        *([f"{one['stock_requests']:.3g} / {one['ours_requests']:.3g}"] if with_requests else []),
        "" if goal is None else str(goal),
    ]


def _beside_bare_requests(ours: Sequence[Figures]) -> Iterator[str]:
    """Yield what the butlers' own processor time is, beyond that of the requests."""
    for one in ours:
        if (bare := one.get("bare_cpu_us")) is None:
            continue
        stock, own = (one[f"{side}_cpu_us"] - bare for side in ("stock", "ours"))
        compared = (
            f"ours {time_of(own)}, a ratio of {figure(stock / own)}"
            if own > 0
            else "ours nothing that can be measured"
        )
        yield (
            f"\n`{one['operation']}`, processor time beyond the bare request's {time_of(bare)}: "
            f"stock {time_of(max(stock, 1e-3))}, {compared}; a ratio of 8 is wanted."
        )


def sizes_part(outcome: Figures) -> Iterator[str]:
    """Yield how formatters and sizes share the time of `get` and `put`."""
    yield (
        "Upstream's formatters on a local disk, by the size of the file, with checksums off and on;\n"
        f"medians of {outcome['rounds']} rounds. What was read was compared with what was written, and the "
        "two files with\neach other. The larger the dataset, the smaller the share of any butler: from some "
        "megabytes on,\nthe formatter and the disk take the time.\n"
    )
    rows = [
        (
            f"{one['formatter']}, {_size(one['bytes'])}{', checksum' if one['checksum'] else ''}",
            *(
                text
                for what in ("get", "put")
                for text in (
                    time_of(one[f"stock_{what}_us"]),
                    time_of(one[f"ours_{what}_us"]),
                    figure(one[f"stock_{what}_us"] / one[f"ours_{what}_us"]),
                )
            ),
        )
        for one in outcome["sizes"]
    ]
    yield from table(
        ("formatter and size", "get, stock", "ours", "ratio", "put, stock", "ours", "ratio"), rows
    )


def images_part(outcomes: Sequence[Figures]) -> Iterator[str]:
    """Yield whose the time is when tasks work on real images."""
    one = outcomes[0]
    yield (
        f"Five tasks with numpy and astropy on images, {one['quanta']} quanta by `pipetask run-qbb` in one "
        "process, once each\n(`benches/images.py`). What they have written was compared. Times are for each "
        "quantum. A part leaves out\nthe others within it. What `lsst.resources` does besides its requests "
        "counts as the butler's.\n"
    )
    parts = ("butler", "requests", "formatters", "tasks and executor")
    rows = [
        (
            f"{one['butler']}, {'object store' if one['place'] == 's3' else 'local disk'}",
            time_of(one["ms"] * 1e3),
            *(time_of(one["parts_ms"][part] * 1e3) if part in one["parts_ms"] else "" for part in parts),
            f"{one['parts_ms']['butler'] / one['ms']:.0%}",
        )
        for one in outcomes
    ]
    yield from table(("butler, place", "a quantum", *parts, "share of the butler"), rows)


def _size(number: float) -> str:
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.0f} B"
