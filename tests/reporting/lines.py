"""Lines of logs that tell how quanta went and what their datasets are called."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantum_butler import collect

_CLASS = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"


@dataclass
class Line:
    """A quantum for one visit: names of its inputs, those of its outputs, and their size."""

    task: str
    visit: int
    inputs: Sequence[str]
    outputs: Sequence[str]
    unused: Sequence[str] = ()
    status: int = 1
    size: int = 100
    run_time: float = 1.0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def written(self) -> Sequence[str]:
        """Types of what was written."""
        return self.outputs if self.status == 1 else ()

    def text(self, seed: int) -> str:
        """Return the line, in a run with its own ids."""

        def number(name: str) -> str:
            return str(uuid.uuid5(uuid.UUID(int=seed), f"{name} {self.visit}"))

        def named(name: str) -> dict[str, Any]:
            return {
                "type": name,
                "run": f"run{seed}",
                "storage_class": "S",
                "dimensions": ["instrument", "visit"],
                "ids": [number(name)],
                "data_ids": [["Cam", self.visit]],
            }

        written = [number(name) for name in self.written]
        records = {
            uuid.UUID(id_).hex: {
                "file_datastore_records": [
                    {
                        "formatter": "a.B",
                        "path": id_,
                        "storage_class": "S",
                        "component": "__NULL_STRING__",
                        "checksum": None,
                        "file_size": self.size,
                    }
                ]
            }
            for id_ in written
        }
        store = {"dataset_ids": written, "records": {_CLASS: records}}
        predicted = [number(name) for name in (*self.inputs, *self.unused)]
        line = {
            "quantum_id": number(f"quantum {self.task}"),
            "task_label": self.task,
            # Members come in any order.
            "data_id": dict(
                sorted({"instrument": "Cam", "visit": self.visit}.items(), reverse=seed % 2 == 0)
            ),
            "begin": "2026-11-30T00:00:00.000000Z",
            "end": "2026-11-30T00:00:01.000000Z",
            "failed": self.status != 1,
            "predicted_inputs": predicted,
            "available_inputs": predicted,
            "actual_inputs": [number(name) for name in self.inputs],
            "predicted_outputs": [number(name) for name in self.outputs],
            "actual_outputs": written,
            "datastore_records": {"FileDatastore@<butlerRoot>": store} if written else {},
            "execution": {
                "status": self.status,
                "attempt": 0,
                "run_time": self.run_time,
                "exception": None if self.status == 1 else {"type": "a.Error", "message": "no\nway"},
            },
            "connections": {"inputs": {"i": "raw"}, "outputs": {"o": "image"}},
            "datasets": [named(name) for name in (*self.inputs, *self.unused, *self.outputs)],
            **self.more,
        }
        return json.dumps(line) + "\n"


def archive_of(lines: Iterable[Line], folder: Path, seed: int) -> Path:
    """Collect an archive of a log with these lines."""
    folder.mkdir(parents=True)
    log = folder / "log.jsonl"
    log.write_text("".join(line.text(seed) for line in lines))
    collect(log, folder / "archive")
    return folder / "archive"
