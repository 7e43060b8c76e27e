"""Runs operations with every fault at every call, or killed at every call; prints what was not right.

Run by `test_faults.py`, in a process that has the library of `fault.c` preloaded::

    python faulted.py FOLDER fail|kill STEP [OPERATION[:VARIANT]]...

``STEP`` 1 is every call, 2 every second for each fault, and so on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import shim
from children import in_child
from file_operations import OPERATIONS
from operation_base import Operation, quiet
from shim import FAULTS, Fault, Mode

import repositories
from configurations import reading_once

_MOST_CALLS = 5000


class Findings:
    """What was tried, and what was not right."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.problems: list[dict[str, Any]] = []

    def say(self) -> None:
        """Print everything."""
        found = {"tried": self.tried, "calls": self.calls, "problems": self.problems}
        print(json.dumps(found, indent=1))

    def note(self, operation: str, fault: Fault, number: int, call: str, error: BaseException | None) -> None:
        """Note something that is not right."""
        lines = traceback.format_exc().splitlines()
        where = [line.strip() for line in lines if "operation" in line]
        problem = {
            "operation": operation,
            "fault": fault.name,
            "number": number,
            "call": call,
            "raised": repr(error),
            "problem": lines[-1] if lines else "",
            "at": where[-2:],
        }
        self.problems.append(problem)
        print(json.dumps(problem), file=sys.stderr, flush=True)


def fail(name: str, operation: Operation, findings: Findings, step: int, shift: int) -> None:
    """Inject every fault at every call, or at every few calls, beginning with another each time."""
    for offset, fault in enumerate(FAULTS, shift):
        # In the end there is one that has run through.
        for number in range(1 + offset % step, _MOST_CALLS, step):
            error: BaseException | None = None
            operation.prepare()
            with shim.armed(operation.below, number, fault, operation.vanishing) as strike:
                try:
                    operation.run()
                except Exception as raised:
                    error = raised
            try:
                operation.check(error, strike, fault)
                operation.again()
            except Exception:
                findings.note(name, fault, number, strike.call, error)
            try:
                operation.end()
            except Exception:
                findings.note(f"{name} (end)", fault, number, strike.call, error)
            if strike.hits:
                findings.tried[name] += 1
                findings.calls[strike.call.partition(" ")[0]] += 1
            if strike.made < number:
                if error is not None:
                    findings.note(f"{name} (without a fault)", fault, number, "", error)
                break
        else:
            raise AssertionError(f"{name} does not end")


def kill(name: str, operation: Operation, findings: Findings, step: int, shift: int) -> None:
    """Kill a process at every call, or at every few calls."""
    fault = Fault("SIGKILL", Mode.KILL)
    for number in range(1 + shift % step, _MOST_CALLS, step):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                operation.prepare()
                with shim.armed(operation.below, number, fault) as strike:
                    operation.run()
                # One that runs through tells so, and leaves nothing behind.
                operation.end()
                status = 0 if strike.made < number else 2
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status != -signal.SIGKILL:
            findings.note(f"{name} (status {status})", fault, number, "", None)
            return
        findings.tried[name] += 1
        try:
            in_child(operation.after_kill)
        except Exception as error:
            findings.note(name, fault, number, str(error), None)
        operation.end()
    raise AssertionError(f"{name} does not end")


def main() -> None:
    folder, how, step, *names = sys.argv[1:]
    assert shim.is_preloaded(), "the library of fault.c is not preloaded"
    findings = Findings()
    template = repositories.make(Path(folder, "template"))
    with quiet(), reading_once():
        for name in names or OPERATIONS:
            name, _, only = name.partition(":")
            for count, variant in enumerate([only] if only else OPERATIONS[name].variants):
                place = Path(folder, f"{name}-{variant}".replace(" ", "-"))
                place.mkdir()
                operation = OPERATIONS[name](template.copy(place / "repo"), place, variant)
                # No call is left out by all of the faults and variants.
                shift = count * (len(FAULTS) if how == "fail" else 1)
                {"fail": fail, "kill": kill}[how](f"{name}: {variant}", operation, findings, int(step), shift)
    findings.say()


if __name__ == "__main__":
    main()
