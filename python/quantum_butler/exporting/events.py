"""Events of OpenLineage, as lines of JSON: for each quantum when it began, and how it ended.

A task is a job and a quantum one run of it.  A dataset is named by its run, type
and data ID, and its id is its version.
"""

from __future__ import annotations

__all__ = ("write_events",)

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, BinaryIO

import attr
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated.base import RunFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.job_type_job import JobTypeJobFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.serde import Serde

from .contents import Contents, DatasetName, QuantumRun, shown_data_id
from .formats import Tell, status_of

_PRODUCER = f"urn:quantum-butler:{version('quantum-butler')}"
_NAMESPACE = "lsst"

# What ended otherwise than well; of what nobody tells how it ended, there is no status.
_ENDS = {
    "FAILED": RunState.FAIL,
    "ABORTED": RunState.ABORT,
    "BLOCKED": RunState.ABORT,
    "UNKNOWN": RunState.ABORT,
}


@attr.define(kw_only=True)
class QuantumRunFacet(RunFacet):
    """Facts of a quantum for which OpenLineage has no term."""

    quantumDataId: dict[str, Any] = attr.field(factory=dict)  # noqa: N815 - names of the field's are so
    outputRun: str | None = attr.field(default=None)  # noqa: N815
    status: str | None = attr.field(default=None)
    datasets: str = attr.field(default="actual")
    host: str | None = attr.field(default=None)
    memory: int | None = attr.field(default=None)
    runTime: float | None = attr.field(default=None)  # noqa: N815
    cpuTime: float | None = attr.field(default=None)  # noqa: N815

    @staticmethod
    def _get_schema() -> str:
        return "urn:quantum-butler:QuantumRunFacet:1"


def write_events(contents: Contents, stream: BinaryIO, tell: Tell) -> None:
    """Write both events of each quantum that has a time; others are left out, and counted so."""
    for batch in contents.batches():
        known = {
            row: (_name(dataset), _version(dataset), dataset.size) for row, dataset in batch.datasets.items()
        }
        for quantum in batch.quanta:
            if quantum.begin is None and quantum.end is None:
                contents.without_time += 1
                continue
            for event in _events(quantum, known, is_plan=not contents.actual):
                stream.write(f"{Serde.to_json(event)}\n".encode())
        tell(batch)


def _events(
    quantum: QuantumRun, known: dict[int, tuple[str, dict[str, Any], int | None]], *, is_plan: bool
) -> Iterator[RunEvent]:
    """Return when a quantum began, and how it ended."""
    values = quantum.values
    status = status_of(values)
    facets: dict[str, Any] = {
        "lsst_quantum": QuantumRunFacet(
            producer=_PRODUCER,
            quantumDataId=dict(quantum.data_id),
            outputRun=quantum.run,
            status=status,
            datasets="predicted" if is_plan else "actual",
            host=values.get("host"),
            memory=values.get("memory"),
            runTime=values.get("run_time"),
            cpuTime=values.get("run_time_cpu"),
        )
    }
    job = Job(
        namespace=_NAMESPACE,
        name=quantum.task_label or "unknown",
        facets={
            "jobType": JobTypeJobFacet(
                producer=_PRODUCER, processingType="BATCH", integration="LSST", jobType="TASK"
            )
        },
    )
    inputs = [
        InputDataset(namespace=_NAMESPACE, name=name, facets=version_)
        for name, version_, _ in map(known.__getitem__, quantum.inputs)
    ]
    begin, end = quantum.begin or quantum.end, quantum.end or quantum.begin
    assert begin is not None and end is not None
    yield RunEvent(
        eventType=RunState.START,
        eventTime=_time(begin),
        run=Run(runId=str(quantum.quantum_id)),
        job=job,
        inputs=inputs,
        outputs=[],
        producer=_PRODUCER,
    )
    if (exception := values.get("exception_type")) is not None:
        facets["errorMessage"] = ErrorMessageRunFacet(
            producer=_PRODUCER,
            message=": ".join(filter(None, (exception, values.get("exception_message")))),
            programmingLanguage="PYTHON",
        )
    yield RunEvent(
        eventType=_ENDS.get(status or "", RunState.COMPLETE),
        eventTime=_time(end),
        run=Run(runId=str(quantum.quantum_id), facets=facets),
        job=job,
        inputs=inputs,
        outputs=[
            OutputDataset(namespace=_NAMESPACE, name=name, facets=version_, outputFacets=_statistics(size))
            for name, version_, size in map(known.__getitem__, quantum.outputs)
        ],
        producer=_PRODUCER,
    )


def _name(dataset: DatasetName) -> str:
    """Return what a dataset is called, so that two have different names."""
    if dataset.dataset_type is None:
        return str(dataset.dataset_id)
    return f"{dataset.run}/{dataset.dataset_type}/{shown_data_id(dataset.data_id)}".rstrip("/")


def _version(dataset: DatasetName) -> dict[str, Any]:
    return {"version": DatasetVersionDatasetFacet(producer=_PRODUCER, datasetVersion=str(dataset.dataset_id))}


def _statistics(size: int | None) -> dict[str, Any]:
    if size is None:
        return {}
    return {"outputStatistics": OutputStatisticsOutputDatasetFacet(producer=_PRODUCER, size=size)}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
