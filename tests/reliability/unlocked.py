"""Logs and collects where every lock fails with an error number; prints what has come of it.

Run by `test_without_locks.py`, in a process that has the library of `fault.c` preloaded::

    python unlocked.py FOLDER ERRNO
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from shim import Fault, Mode, armed

from quantum_butler import Archive, ProvenanceLog, collect


class Provenance:
    """What a log can be given without importing `lsst`."""

    def model_dump_json(self) -> str:
        names = (
            "predicted_inputs",
            "available_inputs",
            "actual_inputs",
            "predicted_outputs",
            "actual_outputs",
        )
        return json.dumps({**{name: [] for name in names}, "datastore_records": {}})


def main() -> None:
    folder, code = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "logs").mkdir(parents=True)
    with armed(folder, 1, Fault("no locks", Mode.FAIL_LOCKS, code)) as strike:
        for n, ending in enumerate((".jsonl", ".jsonl.zst")):
            for quantum in (2 * n, 2 * n + 1):
                # The second time it is opened to be gone on with.
                with ProvenanceLog(folder / "logs" / f"log{ending}") as log:
                    made: Any = Provenance()
                    log.append(uuid.UUID(int=quantum), made)
        logged = ctypes.CDLL(None).fault_hits()
        for again in (False, True):
            collect(folder / "logs", folder / "archive", overwrite=again)
    quanta = Archive(folder / "archive").quanta.count_rows()
    beside = sorted(os.listdir(folder))
    print(json.dumps({"logged": logged, "hits": strike.hits, "quanta": quanta, "beside": beside}))


if __name__ == "__main__":
    main()
