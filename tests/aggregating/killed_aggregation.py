"""Aggregates runs in processes that are killed at some event: a statement, or a file that is opened or moved.

``python killed_aggregation.py`` reads lines of JSON: graph, repository, number of the event (-1 for none),
and folders of logs. A process is forked for each, so that nothing is imported again. What is printed for it
is its exit status, and, if it has come to its end, how many events, quanta and failed quanta there were.
"""

from __future__ import annotations

__all__ = ()

import json
import os
import signal
import sys
import traceback
from typing import Any

import lsst.daf.butler.direct_butler
import lsst.pipe.base.quantum_graph.ingest_graph
import lsst.pipe.base.tests.mocks  # noqa: F401
import sqlalchemy

from quantum_butler import IngestOptions, aggregate
from quantum_butler.aggregating import gathering, sharing

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.move", "glob.glob")


def run(graph: str, repository: str, last: int, *logs: str) -> list[int]:
    """Aggregate, unless this process is killed before."""
    count = 0

    def step(*_: Any, **__: Any) -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audited(event: str, arguments: Any) -> None:
        if event in EVENTS and ".py" not in str(arguments[0]):
            step()

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", step)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", step)
    sys.addaudithook(audited)
    sharing._CHUNK = gathering._CHUNK = 4
    report = aggregate(graph, repository, logs=logs, ingest=IngestOptions(batch=5))
    return [count, report.quanta, report.failed]


def in_child(*arguments: Any) -> tuple[int, list[int]]:
    """Aggregate in a process of its own; return its exit status and what it has told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            told = json.dumps(run(*arguments))
            with open(writing, "w") as stream:
                stream.write(told)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading) as stream:
        told = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(told or "[]")


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(in_child(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
