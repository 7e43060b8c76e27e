"""Kills processes at random moments, and prints what was lost.

Run by `test_kills.py`::

    python kills.py FOLDER quanta|collect COUNT SEED [BUTLERS]
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from children import in_child, start
from collect_operations import Collect
from operation_base import quiet
from quantum_worker import LOGS, Told, Work, check

import repositories
from configurations import reading_once

_MOST_MESSAGES = 120
"""After so many messages a process is killed at the latest (`int`)."""

_MOST_DELAY = 0.004
"""And so many seconds after that (`float`)."""


@dataclasses.dataclass
class Result:
    """What was done, and what was not right afterwards."""

    kills: int = 0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    problems: list[str] = dataclasses.field(default_factory=list)

    def note(self, number: int, problem: str) -> None:
        """Note something that is not right."""
        self.problems.append(f"kill {number}: {problem}")
        print(self.problems[-1], file=sys.stderr, flush=True)


def kill_quanta(folder: Path, count: int, seed: int, butlers: str) -> Result:
    """Kill processes that put, get, prune and log."""
    result = Result()
    template = repositories.make(folder / "template")
    for number, kind, threads in zip(range(count), itertools.cycle(LOGS), _cycle(1, 3, 1, 2), strict=False):
        dice = random.Random(f"{seed} {number}")
        place = folder / str(number)
        place.mkdir()
        reading, writing = os.pipe()
        work = Work(
            template.copy(place / "repo"), place / "logs", place / "files", kind, butlers, number, writing
        )
        child = start(functools.partial(work.run, threads))
        os.close(writing)
        told = _kill_after(child, reading, dice.randrange(1, _MOST_MESSAGES), dice.random() * _MOST_DELAY)
        if (status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) != -signal.SIGKILL:
            result.note(number, f"the process has ended before, with {status}")
            continue
        result.kills += 1
        what = Told.of(told)
        result.counts.update({f"acknowledged {step}": done for step, done in what.done.items()})
        result.counts["caught within put"] += len(what.putting) > 0
        result.counts["caught within prune"] += len(what.pruning) > 0
        result.counts["caught within logging"] += len(what.announced.keys() - what.logged) > 0
        reference = template.copy(place / "reference")
        try:
            found = in_child(functools.partial(check, work, what, reference, place / "check"))
            result.counts.update(json.loads(found))
        except AssertionError as error:
            result.note(number, f"{kind}, {threads} threads: {error}")
        else:
            shutil.rmtree(place)
    return result


def _cycle(*numbers: int) -> Iterator[int]:
    return itertools.cycle(numbers)


def _kill_after(child: int, pipe: int, messages: int, delay: float) -> bytes:
    """Kill a process some time after so many messages, and return them all."""
    told = b""
    while told.count(b"\n") < messages and (more := os.read(pipe, 1 << 16)):
        told += more
    # To kill it always in the same places would be no test.
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    while more := os.read(pipe, 1 << 16):
        told += more
    os.close(pipe)
    return told


def kill_collect(folder: Path, count: int, seed: int) -> Result:
    """Kill processes that collect."""
    result = Result()
    operations: dict[str, Collect] = {}
    seconds: dict[str, float] = {}
    for variant in ("new", "overwrite", "append"):
        (folder / variant).mkdir()
        made: Any = type("Place", (), {"root": folder / variant})
        # Forked processes begin without the threads of this one.
        in_child(functools.partial(Collect, made, folder / variant, variant, quanta=1500))
        operations[variant] = Collect(made, folder / variant, variant)
        seconds[variant] = _measure(operations[variant])
    for number, variant in zip(range(count), itertools.cycle(operations), strict=False):
        operation = operations[variant]
        dice = random.Random(f"{seed} {number}")
        operation.prepare()
        child = start(operation.run)
        time.sleep(dice.random() * seconds[variant])
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            result.counts["had finished"] += 1
        elif status != -signal.SIGKILL:
            result.note(number, f"the process has ended before, with {status}")
            continue
        else:
            result.kills += 1
        result.counts["left something"] += bool(operation.litter())
        try:
            result.counts[in_child(operation.after_kill)] += 1
        except AssertionError as error:
            result.note(number, f"{variant}: {error}")
    return result


def _measure(operation: Collect) -> float:
    """Return how long a collect takes in a process of its own, at best."""
    seconds = []
    for _ in range(3):
        operation.prepare()
        begin = time.monotonic()
        in_child(operation.run)
        seconds.append(time.monotonic() - begin)
    return min(seconds)


def main() -> None:
    place, what, count, seed, *butlers = sys.argv[1:]
    with quiet(), reading_once():
        if what == "collect":
            result = kill_collect(Path(place), int(count), int(seed))
        else:
            result = kill_quanta(Path(place), int(count), int(seed), *(butlers or ["memory"]))
    print(json.dumps({"kills": result.kills, "counts": result.counts, "problems": result.problems}, indent=1))


if __name__ == "__main__":
    main()
