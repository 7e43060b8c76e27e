#!/usr/bin/env python3
"""Time `stored_many` of two halves of the inputs: one after the other, and in two threads.

One butler of our class holds the records of all.  Both ways take turns, after
their answers were compared; the ratio is the median of the rounds' ratios of
one thread to two, so that more is better.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lsst.daf.butler import DatasetRef

from bulk import make_files
from repository import CLASSES, make_repository


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=100_000, help="for each thread (100000)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        repository = make_repository(Path(folder) / "repository", 2 * args.datasets)
        inputs = repository.datasets().inputs
        halves = inputs[: args.datasets], inputs[args.datasets :]
        records = make_files(repository, inputs)
        # Some are missing, so that there is an answer to compare.
        for ref in inputs[::100]:
            [[info]] = next(iter(records.values())).records[ref.id].values()
            (repository.root / info.path).unlink()  # type: ignore[attr-defined]
        with repository.butler(CLASSES["ours"], inputs, [], records) as butler:

            def one() -> list[dict[DatasetRef, bool]]:
                return [butler.stored_many(half) for half in halves]

            def two() -> list[dict[DatasetRef, bool]]:
                return list(threads.map(butler.stored_many, halves))

            answers = one()
            found = sum(sum(existence.values()) for existence in answers)
            if two() != answers or found != len(inputs) - len(inputs[::100]):
                raise SystemExit("The answers differ; nothing was timed.")
            del answers
            gc.collect()
            gc.freeze()

            def milliseconds(way: Callable[[], list[dict[DatasetRef, bool]]]) -> float:
                gc.collect()
                start = time.perf_counter()
                way()
                return (time.perf_counter() - start) * 1e3

            rounds = [(milliseconds(one), milliseconds(two)) for _ in range(args.rounds)]
    outcome = {
        "datasets": args.datasets,
        "rounds": args.rounds,
        "one_ms": statistics.median(alone for alone, _ in rounds),
        "two_ms": statistics.median(together for _, together in rounds),
        "ratio": statistics.median(alone / together for alone, together in rounds),
    }
    print(
        f"stored_many, 2 x {args.datasets:,} recorded: one thread {outcome['one_ms']:.0f} ms, "
        f"two threads {outcome['two_ms']:.0f} ms, ratio {outcome['ratio']:.2f}"
    )
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
