"""Aggregates a run, and is killed at some event: a file that is opened, moved or removed, or a statement.

``python killed_aggregation.py GRAPH REPO NUMBER [LOGS]`` prints how many events there were if it comes
to its end.
"""

from __future__ import annotations

__all__ = ()

import os
import signal
import sys
from typing import Any

import lsst.pipe.base.tests.mocks  # noqa: F401
import sqlalchemy

from quantum_butler import IngestOptions, aggregate
from quantum_butler.aggregating import gathering, sharing

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.move", "glob.glob")


def main(graph: str, repository: str, last: int, *logs: str) -> None:
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
    print(count, report.quanta, report.failed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
