#!/usr/bin/env python3
"""Time the frontier of a graph: making it, and handing out and completing all of its quanta in batches.

The graph is layered as a campaign is: each quantum needs some of the layer
before, chosen at random with a fixed seed.  Batches go through the binding, as
they do for an engine.  The answer is checked: each quantum is handed out once,
after all that it needs.  The memory is the peak of the whole process, with
the arrays of edges that Python holds.
"""

from __future__ import annotations

__all__ = ("main",)

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from quantum_butler import _core


def make_edges(quanta: int, edges: int, layers: int) -> tuple[Any, Any]:
    """Return what must be done before what."""
    chance = np.random.default_rng(20263)
    width = quanta // layers
    after = chance.integers(width, quanta, edges, dtype=np.uint32)
    before = after // width * width - width
    before += chance.integers(0, width, edges, dtype=np.uint32)
    return before, after


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quanta", type=int, default=10_000_000)
    parser.add_argument("--edges", type=int, default=50_000_000)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    before, after = make_edges(args.quanta, args.edges, args.layers)
    start = time.perf_counter()
    frontier = _core.Frontier(args.quanta, before, after)
    made = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    when = np.zeros(args.quanta, np.uint32)
    seconds, turn = 0.0, 0
    while frontier.left:
        start = time.perf_counter()
        numbers = frontier.take(args.batch)
        frontier.finish(numbers)
        seconds += time.perf_counter() - start
        turn += 1
        if not numbers or when[numbers].any():
            raise SystemExit("A quantum was handed out twice, or none was.")
        when[numbers] = turn
    if not when.all() or not (when[before] < when[after]).all():
        raise SystemExit("A quantum was handed out before what it needs was done.")
    outcome = {
        "quanta": args.quanta,
        "edges": args.edges,
        "batch": args.batch,
        "made_s": made,
        "peak_mib": peak,
        "per_second": args.quanta / seconds,
    }
    print(
        f"{args.quanta:,} quanta, {args.edges:,} edges: made in {made:.1f} s, peak {peak:,.0f} MiB, "
        f"{outcome['per_second']:,.0f} completions a second in batches of {args.batch}"
    )
    if args.json is not None:
        args.json.write_text(json.dumps(outcome, indent=1))


if __name__ == "__main__":
    main()
