"""PROV of the W3C, as PROV-JSON or PROV-N.

A quantum is an activity, a dataset an entity, a task the agent.  The records are
made and written by the `prov` library, those of some quanta at a time.
"""

from __future__ import annotations

__all__ = ("write_prov_json", "write_prov_n")

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any, BinaryIO
from urllib.parse import quote

import numpy
from prov.constants import PROV
from prov.identifier import Namespace, QualifiedName
from prov.model import ProvDocument
from prov.serializers.provjson import encode_json_document

from .contents import Batch, Contents, DatasetName, QuantumRun, shown_data_id
from .formats import Tell, status_of

_QUANTUM = Namespace("quantum", "urn:lsst:quantum:")
_DATASET = Namespace("dataset", "urn:lsst:dataset:")
_TASK = Namespace("task", "urn:lsst:task:")
_LSST = Namespace("lsst", "urn:lsst:term:")

# How much of a section is held in memory.
_MOST_HELD = 1 << 24

# Quanta of one document: the library takes some ten kilobytes for each.
_AT_ONCE = 256


def write_prov_n(contents: Contents, stream: BinaryIO, tell: Tell) -> None:
    """Write PROV-N, one record a line."""
    head, end = _document().get_provn().rsplit("endDocument", 1)
    stream.write(head.rstrip().encode() + b"\n")
    for document in _documents(contents, tell):
        for record in document.records:
            stream.write(f"  {record.get_provn()}\n".encode())
    stream.write(f"endDocument{end}\n".encode())


def write_prov_json(contents: Contents, stream: BinaryIO, tell: Tell) -> None:
    """Write PROV-JSON, whose sections have one member a line; each is kept apart until the end."""
    with ExitStack() as files:
        sections: dict[str, IO[bytes]] = {}
        numbers: dict[str, int] = {}
        for document in _documents(contents, tell):
            # Not as text first: the library encodes that in Python.
            for section, members in encode_json_document(document).items():
                if section == "prefix":
                    continue
                if section not in sections:
                    sections[section] = files.enter_context(tempfile.SpooledTemporaryFile(_MOST_HELD))
                    numbers[section] = 0
                for name, value in members.items():
                    numbers[section] += 1
                    # The library counts the records without a name anew in each document.
                    key = f"_:{section}{numbers[section]}" if name.startswith("_:") else name
                    line = f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
                    sections[section].write((",\n" if numbers[section] > 1 else "").encode() + line.encode())
        prefixes = encode_json_document(_document())["prefix"]
        stream.write(f'{{\n  "prefix": {json.dumps(prefixes)}'.encode())
        for section, file in sections.items():
            stream.write(f",\n  {json.dumps(section)}: {{\n".encode())
            file.seek(0)
            while part := file.read(1 << 20):
                stream.write(part)
            stream.write(b"\n  }")
        stream.write(b"\n}\n")


def _document() -> ProvDocument:
    document = ProvDocument()
    for namespace in (_QUANTUM, _DATASET, _TASK, _LSST):
        document.add_namespace(namespace)
    return document


def _documents(contents: Contents, tell: Tell) -> Iterator[ProvDocument]:
    """Yield documents, one for some quanta each, that together have each record once."""
    seen = numpy.zeros(contents.datasets, bool)
    tasks: set[str] = set()
    for batch in contents.batches():
        for start in range(0, len(batch.quanta), _AT_ONCE):
            document = _document()
            quanta = batch.quanta[start : start + _AT_ONCE]
            for row in sorted({row for quantum in quanta for row in (*quantum.inputs, *quantum.outputs)}):
                if not seen[row]:
                    seen[row] = True
                    _add_dataset(document, batch.datasets[row])
            for quantum in quanta:
                if quantum.task_label is not None and quantum.task_label not in tasks:
                    tasks.add(quantum.task_label)
                    _add_task(document, quantum.task_label)
                _add_quantum(document, quantum, batch, is_plan=not contents.actual)
            yield document
        tell(batch)


def _add_task(document: ProvDocument, label: str) -> None:
    values: dict[Any, Any] = {"prov:type": PROV["SoftwareAgent"], "prov:label": label}
    document.agent(_task(label), values)


def _add_dataset(document: ProvDocument, dataset: DatasetName) -> None:
    label = " ".join(filter(None, (dataset.dataset_type, shown_data_id(dataset.data_id))))
    document.entity(
        _dataset(dataset),
        _known(
            {
                "prov:type": _LSST["Dataset"],
                "prov:label": label or None,
                _LSST["datasetType"]: dataset.dataset_type,
                _LSST["run"]: dataset.run,
                _LSST["dataId"]: json.dumps(dataset.data_id) if dataset.dataset_type else None,
                _LSST["storageClass"]: dataset.storage_class,
                _LSST["size"]: dataset.size,
            }
        ),
    )


def _add_quantum(document: ProvDocument, quantum: QuantumRun, batch: Batch, *, is_plan: bool) -> None:
    values = quantum.values
    label = " ".join(filter(None, (quantum.task_label, shown_data_id(quantum.data_id))))
    activity = document.activity(
        QualifiedName(_QUANTUM, str(quantum.quantum_id)),
        quantum.begin,
        quantum.end,
        _known(
            {
                "prov:type": _LSST["Quantum"],
                "prov:label": label or None,
                _LSST["task"]: quantum.task_label,
                _LSST["dataId"]: json.dumps(quantum.data_id),
                _LSST["run"]: quantum.run,
                _LSST["status"]: status_of(values),
                _LSST["host"]: values.get("host"),
                _LSST["exception"]: values.get("exception_type"),
                _LSST["message"]: values.get("exception_message"),
                _LSST["memory"]: values.get("memory"),
                _LSST["runTime"]: values.get("run_time"),
                _LSST["cpuTime"]: values.get("run_time_cpu"),
                # What was planned is not what happened.
                _LSST["datasets"]: "predicted" if is_plan else "actual",
            }
        ),
    )
    for row in quantum.inputs:
        document.used(activity, _dataset(batch.datasets[row]))
    for row in quantum.outputs:
        document.wasGeneratedBy(_dataset(batch.datasets[row]), activity)
    if quantum.task_label is not None:
        document.wasAssociatedWith(activity, _task(quantum.task_label))


def _dataset(dataset: DatasetName) -> QualifiedName:
    # Not of the namespace's own making: it would keep each for ever.
    return QualifiedName(_DATASET, str(dataset.dataset_id))


def _task(label: str) -> Any:
    # Whatever the label has, this is a name.
    return _TASK[quote(label, safe="")]


def _known(values: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in values.items() if value is not None}
