"""Lines of provenance logs that tell of some quanta."""

from __future__ import annotations

__all__ = ("lines_of",)

import contextlib
import json
import os
import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any

# Each line of a log begins with it.
_ID = re.compile(rb'\{"quantum_id":"([0-9a-f-]{36})"')


def lines_of(quanta: Collection[uuid.UUID], folders: Sequence[str]) -> Iterator[tuple[uuid.UUID, Any]]:
    """Yield what the logs in folders tell of some quanta.

    Lines of others are not parsed: logs may be large.  A line that is incomplete or damaged tells nothing,
    and a log that somebody has taken away neither.
    """
    wanted = {str(quantum_id).encode(): quantum_id for quantum_id in quanta}
    for folder in folders if wanted else ():
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith(".jsonl"))
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield from _lines_in(name, wanted)


def _lines_in(name: str, wanted: dict[bytes, uuid.UUID]) -> Iterator[tuple[uuid.UUID, Any]]:
    with open(name, "rb") as log:
        for line in log:
            found = _ID.match(line)
            if found is None or (quantum_id := wanted.get(found[1])) is None or not line.endswith(b"\n"):
                continue
            try:
                told = json.loads(line)
            except ValueError:
                continue
            yield quantum_id, told
