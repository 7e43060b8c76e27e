"""The tables of an archive and their columns. docs/archive.md describes them in words."""

from __future__ import annotations

__all__ = (
    "ATTEMPTS",
    "DATASETS",
    "EDGES",
    "EXCEPTIONS",
    "EXECUTION",
    "KNOWN_FROM",
    "QUANTA",
    "RECORDS",
    "SIZES",
    "TASKS",
)

import pyarrow as pa

from .. import _core
from .format import ROLES

SIZES = tuple(f"{role}s_bytes" for role in ROLES)
"""Columns of ``quanta.parquet`` with bytes, in the order of the roles (`tuple` [`str`, ...])."""

# When an attempt began and ended, and whether it failed.
_ATTEMPT = (
    pa.field("begin", pa.timestamp("us", tz="UTC")),
    pa.field("end", pa.timestamp("us", tz="UTC")),
    pa.field("failed", pa.bool_()),
)

_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.dictionary(pa.int32(), pa.string())

EXECUTION = (
    pa.field("status", pa.int64()),
    pa.field("caveats", pa.int64()),
    pa.field("attempt", pa.int64()),
    pa.field("process", pa.int64()),
    pa.field("memory", pa.int64()),
    pa.field("earlier_quanta", pa.int64()),
    pa.field("n_get", pa.int64()),
    pa.field("n_put", pa.int64()),
    pa.field("prep_time", pa.float64()),
    pa.field("init_time", pa.float64()),
    pa.field("run_time", pa.float64()),
    pa.field("run_time_cpu", pa.float64()),
    pa.field("time_in_get", pa.float64()),
    pa.field("time_in_put", pa.float64()),
    pa.field("start_time_cpu", pa.float64()),
    pa.field("graph_read_time", pa.float64()),
    pa.field("start", _TIME),
    pa.field("host", _TEXTS),
    pa.field("exception_type", _TEXTS),
    pa.field("exception_message", pa.string()),
)
"""Columns that tell how an attempt went (`tuple` [`pyarrow.Field`])."""

QUANTA = pa.schema(
    [
        pa.field("quantum_id", pa.uuid(), nullable=False),
        pa.field("task_label", pa.dictionary(pa.int32(), pa.string())),
        pa.field("data_id", pa.string()),
        *(pa.field(f"{role}s", pa.int32(), nullable=False) for role in ROLES),
        pa.field("edges", pa.int32(), nullable=False),
        pa.field("records", pa.int32(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in SIZES),
        *_ATTEMPT,
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("run", _TEXTS),
        *EXECUTION,
        pa.field("known_from", _TEXTS, nullable=False),
        pa.field("source", pa.int32()),
    ]
)
"""Schema of ``quanta.parquet`` (`pyarrow.Schema`)."""

ATTEMPTS = pa.schema(
    [
        pa.field("quantum_id", pa.uuid(), nullable=False),
        *_ATTEMPT,
        pa.field("actual_inputs", pa.int32()),
        pa.field("actual_outputs", pa.int32()),
        pa.field("content", pa.binary(16)),
        pa.field("task_label", _TEXTS),
        pa.field("data_id", pa.string()),
        pa.field("run", _TEXTS),
        *EXECUTION,
    ]
)
"""Schema of ``attempts.parquet`` (`pyarrow.Schema`)."""

EXCEPTIONS = pa.schema(
    [
        pa.field("quantum_id", pa.uuid(), nullable=False),
        pa.field("task_label", _TEXTS),
        pa.field("data_id", pa.string()),
        pa.field("run", _TEXTS),
        *(field for field in EXECUTION if field.name in ("attempt", "status", "host", "start")),
        pa.field("exception_type", _TEXTS),
        pa.field("exception_message", pa.string()),
    ]
)
"""Schema of ``exceptions.parquet`` (`pyarrow.Schema`)."""

TASKS = pa.schema(
    [
        pa.field("task_label", pa.string(), nullable=False),
        pa.field("kind", pa.string()),
        pa.field("connection", pa.string()),
        pa.field("dataset_type", pa.string()),
    ]
)
"""Schema of ``tasks.parquet`` (`pyarrow.Schema`)."""

EDGES = pa.schema(
    [
        pa.field("quantum_id", pa.uuid(), nullable=False),
        pa.field("dataset_id", pa.uuid(), nullable=False),
        *(pa.field(role, pa.bool_(), nullable=False) for role in ROLES),
    ]
)
"""Schema of ``edges.parquet`` (`pyarrow.Schema`)."""

DATASETS = pa.schema(
    [
        pa.field("dataset_id", pa.uuid(), nullable=False),
        pa.field("dataset_type", _TEXTS),
        pa.field("run", _TEXTS),
        pa.field("storage_class", _TEXTS),
        pa.field("size", pa.int64()),
        pa.field("producer", pa.uuid()),
        pa.field("produced", pa.bool_()),
    ]
)
"""Schema of ``datasets.parquet`` without ``data_id``, whose dimensions depend on what is in it
(`pyarrow.Schema`)."""

KNOWN_FROM = ("predicted graph", "provenance graph", "line")
"""What ``known_from`` may say (`tuple` [`str`, ...])."""

RECORDS: pa.Schema = pa.table(_core.ProvenanceScanner().take()[0][2]).schema
"""Schema of ``records.parquet``, that of upstream's tables of records (`pyarrow.Schema`)."""
