"""An RO-Crate of a run: its quanta are actions, of which tasks are the instruments.

A crate is one document that its readers hold in memory.  That is right for what one
publishes, and for no data release.
"""

from __future__ import annotations

__all__ = ("MOST_QUANTA", "write_crate", "write_crate_at")

import json
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.softwareapplication import SoftwareApplication
from rocrate.rocrate import ROCrate

from .contents import Contents, DatasetName, QuantumRun, shown_data_id
from .errors import ExportError
from .formats import Tell, status_of

MOST_QUANTA = 10_000
"""A crate has no more quanta (`int`)."""

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"


def write_crate(contents: Contents, stream: BinaryIO, tell: Tell) -> None:
    """Write the document of a crate, ``ro-crate-metadata.json``."""
    crate = _crate(contents, tell)
    stream.write(json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False).encode() + b"\n")


def write_crate_at(contents: Contents, path: Path, tell: Tell) -> None:
    """Write a crate as a folder, or with the ending ``.zip`` as such a file."""
    crate = _crate(contents, tell)
    if path.suffix == ".zip":
        crate.write_zip(path)
    else:
        crate.write(path)


def _crate(contents: Contents, tell: Tell) -> ROCrate:
    if contents.count(MOST_QUANTA) > MOST_QUANTA:
        raise ExportError(
            f"an RO-Crate of more than {MOST_QUANTA:,} quanta is more than its readers can take: choose a "
            "part by tasks or by the lineage of a dataset, or export to openlineage, which is read piece by "
            "piece"
        )
    crate = ROCrate()
    crate.name = "Provenance of quanta"
    crate.description = "What the quanta of a run of Rubin Observatory's pipelines have used and written"
    crate.add(
        ContextEntity(crate, _PROFILE, properties={"@type": "CreativeWork", "name": "Process Run Crate"})
    )
    crate.root_dataset["conformsTo"] = [{"@id": _PROFILE}]
    files: dict[int, Any] = {}
    tasks: dict[str, Any] = {}
    for batch in contents.batches():
        for row, dataset in batch.datasets.items():
            if row not in files:
                files[row] = crate.add_file(f"urn:uuid:{dataset.dataset_id}", properties=_of_dataset(dataset))
        for quantum in batch.quanta:
            label = quantum.task_label or "unknown"
            if label not in tasks:
                tasks[label] = crate.add(
                    SoftwareApplication(crate, f"#task-{quote(label, safe='')}", properties={"name": label})
                )
            _add_quantum(crate, quantum, tasks[label], files)
        tell(batch)
    return crate


def _of_dataset(dataset: DatasetName) -> dict[str, Any]:
    name = " ".join(filter(None, (dataset.dataset_type, shown_data_id(dataset.data_id))))
    return _known(
        {
            "name": name or str(dataset.dataset_id),
            "identifier": str(dataset.dataset_id),
            "additionalType": dataset.storage_class,
            "isPartOf": dataset.run,
            "contentSize": None if dataset.size is None else str(dataset.size),
        }
    )


def _add_quantum(crate: ROCrate, quantum: QuantumRun, task: Any, files: dict[int, Any]) -> None:
    values = quantum.values
    status = status_of(values)
    message = ": ".join(filter(None, (values.get("exception_type"), values.get("exception_message"))))
    is_done = status in ("SUCCESSFUL", "ABORTED_SUCCESS")
    action = crate.add(
        ContextEntity(
            crate,
            f"urn:uuid:{quantum.quantum_id}",
            properties=_known(
                {
                    "@type": "CreateAction",
                    "name": " ".join(filter(None, (quantum.task_label, shown_data_id(quantum.data_id)))),
                    "startTime": None if quantum.begin is None else quantum.begin.isoformat(),
                    "endTime": None if quantum.end is None else quantum.end.isoformat(),
                    "actionStatus": None
                    if status in (None, "UNKNOWN")
                    else {"@id": f"http://schema.org/{'Completed' if is_done else 'Failed'}ActionStatus"},
                    "error": message or None,
                }
            ),
        )
    )
    action["instrument"] = task
    if quantum.inputs:
        action["object"] = [files[row] for row in quantum.inputs]
    if quantum.outputs:
        action["result"] = [files[row] for row in quantum.outputs]
    crate.root_dataset.append_to("mentions", action)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
