#!/usr/bin/env python3
"""Show in which layers the stock butler and ours spend the time of one operation.

cProfile counts the calls and the time of each function by itself; what is
built in counts for the layer that called it.  The shares are only roughly
right, because cProfile makes calls of Python functions dearer than they are.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import cProfile
import logging
import pstats
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from operations import operations
from repository import CLASSES, make_repository

# The first that is found in a function's file or, for what is built in, its name.
_LAYERS = {
    "our Rust, its system calls included": ("quantum_butler._core",),
    "our Python": ("/quantum_butler/",),
    "SQL": ("/sqlalchemy/", "sqlite3", "/butler/registry/", "/butler/ddl.py"),
    "formatter": ("/butler/formatters/", "/butler/_formatter.py", "/json/", "_json.", "bench_formatters"),
    "system calls": ("posix.", "io.open", "_io.", "/tempfile.py", "/shutil.py"),
    "URIs and paths": ("/lsst/resources/", "/urllib/", "posixpath", "/pathlib.py", "/butler/_location.py"),
    "templates": ("/datastore/file_templates.py", "/dimensions/"),
    "configuration": ("/yaml/", "/butler/_config.py", "/butler/_config_support.py"),
    "rest of upstream's butler": ("/lsst/daf/butler/",),
}
_REST = "rest (uuid, pydantic, contextlib, logging, ...)"
_ROUNDS = 5


def layer(function: tuple[str, int, str]) -> str | None:
    """Return the layer of a function; `None` if it is that of its callers."""
    file, _, name = function
    where = name if file == "~" else file
    for title, marks in _LAYERS.items():
        if any(mark in where for mark in marks):
            return title
    return None if file == "~" else _REST


def shares(profile: cProfile.Profile) -> tuple[int, dict[str, float]]:
    """Return the number of calls, and each layer's share of the time."""
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    seconds: dict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in stats.items():
        if (title := layer(function)) is not None:
            seconds[title] += own
        else:
            for caller, (_, _, of_caller, _) in callers.items():
                seconds[layer(caller) or _REST] += of_caller
    whole = sum(seconds.values())
    calls = sum(calls for _, calls, _, _, _ in stats.values())
    return calls, {title: own / whole for title, own in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("operations", nargs="*", default=["get", "put"], help="their whole names (get, put)")
    parser.add_argument("--formatter", choices=("bytes", "local"), default="bytes")
    parser.add_argument("--datasets", type=int, default=1000)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    unknown = set(args.operations)
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "repository", args.datasets)
        for operation in operations(repository, args.formatter):
            if operation.name not in unknown:
                continue
            unknown.remove(operation.name)
            columns = {}
            for side, cls in CLASSES.items():
                profile = cProfile.Profile()
                for number in range(_ROUNDS + 1):
                    prepared = operation.prepare(cls)
                    # The first round finds out what later ones know.
                    if number == 0:
                        operation.run(prepared)
                    else:
                        profile.runcall(operation.run, prepared)
                    operation.clean(prepared)
                columns[side] = shares(profile)
            print(f"\n| {operation.name} | stock | ours |\n|---|--:|--:|")
            calls = (f"{calls / operation.items / _ROUNDS:.0f}" for calls, _ in columns.values())
            print(f"| function calls | {' | '.join(calls)} |")
            for title in (*_LAYERS, _REST):
                row = [of.get(title, 0.0) for _, of in columns.values()]
                if any(row):
                    print(f"| {title} | {' | '.join(f'{share:.0%}' if share else '' for share in row)} |")
    if unknown:
        parser.error(f"there are no operations {sorted(unknown)}")


if __name__ == "__main__":
    main()
