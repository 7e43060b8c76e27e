"""Arrow tables on their way between Rust and whoever speaks Arrow's C stream interface."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from test_core_records import COLUMNS, info

from quantum_butler._core import ArrowTable, DuplicateKeyError, FileRecords, Locations, Table

IDS = [uuid.UUID(int=number) for number in range(1, 1001)]


def _records() -> FileRecords:
    table = Table("file_datastore_records", COLUMNS, ["dataset_id", "component"], (), [["path"]])
    return FileRecords(table, Locations("store"), StoredFileInfo)


@pytest.fixture
def records() -> FileRecords:
    """Return the records of a thousand datasets."""
    records = _records()
    records.add(IDS, [info(f"folder{n % 7}/é{n}.json", checksum=f"{n:x}") for n in range(len(IDS))])
    return records


def test_nothing_is_copied(records: FileRecords) -> None:
    exported = records.export_table(IDS)
    assert type(exported) is ArrowTable
    assert len(exported) == 1000

    def addresses(table: pa.Table) -> list[int]:
        chunks = [chunk for column in table.columns for chunk in column.chunks]
        return [buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer is not None]

    first, second = pa.table(exported), pa.table(exported)
    assert first.num_rows == 1000
    assert addresses(first) == addresses(second)
    assert len(addresses(first)) > 10
    del exported
    assert first.equals(second)


def test_others_read_it_too(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS[:10]))
    reader = pa.RecordBatchReader.from_stream(records.export_table(IDS[:10]))
    assert reader.read_all().equals(table)
    assert pa.table(records.export_table(IDS[:10]), schema=table.schema).equals(table)


def test_a_stream_made_by_python(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS))
    other = _records()

    def batches() -> Iterator[pa.RecordBatch]:
        for n in range(0, 1000, 300):
            yield from table.slice(n, 300).to_batches()

    undo = other.import_table(pa.RecordBatchReader.from_batches(table.schema, batches()))
    assert pa.table(other.export_table(IDS)).to_pylist() == table.to_pylist()
    undo()
    assert len(other.export_table(IDS)) == 0
    # One table of ours reads another.
    other.import_table(records.export_table(IDS))
    assert len(other.export_table(IDS)) == 1000
    with pytest.raises(DuplicateKeyError, match="already recorded in datastore store"):
        other.import_table(table)


def test_a_stream_that_breaks(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS))

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches()
        raise ZeroDivisionError("broken")

    other = _records()
    with pytest.raises(ValueError, match="broken"):
        other.import_table(pa.RecordBatchReader.from_batches(table.schema, batches()))
    assert len(other.export_table(IDS)) == 0


class _Stream:
    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __arrow_c_stream__(self) -> Any:
        return self.capsule


def test_what_is_no_stream(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS))
    with pytest.raises(AttributeError, match="__arrow_c_stream__"):
        records.import_table(table.to_pylist())
    with pytest.raises(TypeError):
        records.import_table(_Stream("a capsule"))
    with pytest.raises(ValueError, match="incorrect name"):
        records.import_table(_Stream(table.schema.__arrow_c_schema__()))
    capsule = table.__arrow_c_stream__()
    other = _records()
    other.import_table(_Stream(capsule))
    with pytest.raises(ValueError, match="released"):
        other.import_table(_Stream(capsule))


def test_columns_that_are_not_there(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS))
    other = _records()
    with pytest.raises(KeyError, match="no column path"):
        other.import_table(table.drop_columns("path"))
    with pytest.raises(TypeError, match="file_size"):
        other.import_table(table.set_column(7, "file_size", pa.array(["x"] * 1000)))
    with pytest.raises(TypeError, match="dataset_id"):
        other.import_table(table.set_column(1, "dataset_id", pa.array([b"x"] * 1000, pa.binary(1))))
    numbers = pa.DictionaryArray.from_arrays(pa.array([5] * 1000, pa.int32()), ["x"], safe=False)
    with pytest.raises(UnicodeError):
        other.import_table(table.set_column(3, "formatter", numbers))
    # The order of columns does not matter, nor what else there is.
    other.import_table(table.select(table.column_names[::-1]))
    assert pa.table(other.export_table(IDS)).equals(table)


def test_threads_take_turns(records: FileRecords) -> None:
    table = pa.table(records.export_table(IDS))
    other = _records()
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def work() -> None:
        barrier.wait()
        try:
            other.import_table(table)
            outcomes.append("imported")
        except DuplicateKeyError:
            outcomes.append("refused")
        assert len(other.export_table(IDS)) == 1000

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["imported", "refused", "refused", "refused"]
