"""Data IDs of what has failed, as tables that upstream's tools read."""

from __future__ import annotations

__all__ = ("write_data_id_tables",)

import re
from pathlib import Path

from astropy.table import Table

from .counts import Failure, RunReport

# What is safe in the name of a file everywhere.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def write_data_id_tables(report: RunReport, folder: Path) -> list[Path]:
    """Write ``TASK/STATUS/EXCEPTION.ecsv`` below a folder, and return the files."""
    kinds: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in report.failures:
        exception = (failure.type or "UNKNOWN").rpartition(".")[2]
        kinds.setdefault((failure.task_label, failure.status, exception), []).append(failure)
    written = []
    for (task, status, exception), failures in sorted(kinds.items()):
        place = folder.joinpath(*(_UNSAFE.sub("_", name) for name in (task, status)))
        place.mkdir(parents=True, exist_ok=True)
        dimensions = dict.fromkeys(name for failure in failures for name in failure.data_id)
        table = Table(
            {name: [failure.data_id.get(name) for failure in failures] for name in dimensions},
            meta={"task": task, "status": status, "exception": exception},
        )
        table["quantum_id"] = [str(failure.quantum_id) for failure in failures]
        file = place / f"{_UNSAFE.sub('_', exception)}.ecsv"
        table.write(file, format="ascii.ecsv", overwrite=True)
        written.append(file)
    return written
