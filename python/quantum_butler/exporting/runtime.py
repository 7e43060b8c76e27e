"""Resources of quanta, as the table that upstream's coming analyzer of runtimes reads."""

from __future__ import annotations

__all__ = ("SCHEMA", "write_runtime")

import json
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..quantum_graphs import QuantumStatus
from .contents import Batch, Contents
from .formats import Tell

SCHEMA = pa.schema(
    [
        ("task_label", pa.dictionary(pa.int32(), pa.string())),
        ("quantum_id", pa.binary(16)),
        ("status", pa.int8()),
        ("memory", pa.float32()),
        ("prep_time", pa.float32()),
        ("init_time", pa.float32()),
        ("run_time", pa.float32()),
        ("run_time_cpu", pa.float32()),
        ("data_id", pa.string()),
        ("dims", pa.map_(pa.string(), pa.string())),
    ]
)
"""Its columns: memory is in MiB, times in seconds (`pyarrow.Schema`)."""

_FIGURES = ("memory", "prep_time", "init_time", "run_time", "run_time_cpu")
_MEBIBYTE = 1 << 20


def write_runtime(contents: Contents, stream: BinaryIO, tell: Tell) -> None:
    """Write a row for each quantum of which there is some figure."""
    done = 0
    columns = ("quantum_id", "task_label", "status", "data_id", *_FIGURES)
    with pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
        for table in contents.tables(columns):
            figures = [table[name] for name in _FIGURES if name in table.column_names]
            if figures:
                known = figures[0].is_valid()
                for column in figures[1:]:
                    known = pc.or_(known, column.is_valid())
                writer.write_table(_rows(table.filter(known)))
            done += len(table)
            tell(Batch((), {}, done))


def _rows(table: pa.Table) -> pa.Table:
    texts = table["data_id"].to_pylist()
    values: list[dict[str, Any]] = [{} if text is None else json.loads(text) for text in texts]
    dims = [[(name, str(value)) for name, value in one.items()] for one in values]
    columns = {
        "task_label": table["task_label"].cast(pa.string()).dictionary_encode().cast(SCHEMA.field(0).type),
        "quantum_id": _ids(table["quantum_id"]),
        "status": table["status"].cast(pa.int8()).fill_null(QuantumStatus.UNKNOWN.value),
        **{name: _figure(table, name) for name in _FIGURES},
        "data_id": table["data_id"].cast(pa.string()),
        "dims": pa.array(dims, SCHEMA.field("dims").type),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _figure(table: pa.Table, name: str) -> Any:
    if name not in table.column_names:
        return pa.nulls(len(table), pa.float32())
    column = table[name].cast(pa.float64())
    return (pc.divide(column, float(_MEBIBYTE)) if name == "memory" else column).cast(pa.float32())


def _ids(column: pa.ChunkedArray) -> pa.Array:
    """Return ids without Arrow's type for them."""
    array = column.combine_chunks()
    return getattr(array, "storage", array)
