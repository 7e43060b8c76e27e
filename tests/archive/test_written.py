"""`Archive.written`: all quanta with what they have written, in batches."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import Made, campaigns, chain, dataset_id, write
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler import Archive, ArchiveError
from quantum_butler.archive import rows
from quantum_butler.archive.rows import WrittenBatch


def described(batches: Sequence[WrittenBatch]) -> list[tuple[object, object, object]]:
    """Return what batches have, as far as a description of quanta does."""
    return [
        (quantum, outputs, [(row["dataset_id"], row["path"], row["file_size"]) for row in rows])
        for batch in batches
        for quantum, outputs, rows in zip(batch.quanta, batch.outputs, batch.records, strict=True)
    ]


def expected(quanta: Sequence[Made]) -> list[tuple[object, object, object]]:
    return [
        (
            made.id,
            sorted(made.having("actual_output")),
            [(dataset_id(file.dataset), file.path, file.size) for file in made.files],
        )
        for made in quanta
    ]


@given(quanta=campaigns, at_once=st.integers(1, 9), decoded=st.integers(1, 5))
def test_quanta_come_with_their_rows(
    tmp_path_factory: pytest.TempPathFactory, quanta: list[Made], at_once: int, decoded: int
) -> None:
    folder = write(tmp_path_factory.mktemp("written") / "archive", quanta)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_AT_ONCE", decoded)
        batches = list(Archive(folder).written(at_once))
    assert described(batches) == expected(quanta)
    sizes = [len(batch.quanta) for batch in batches]
    assert sizes[:-1] == [at_once] * (len(sizes) - 1)


def test_a_record_has_every_column(tmp_path: Path) -> None:
    [batch] = Archive(write(tmp_path / "archive", chain())).written()
    first = batch.records[0][0]
    assert first == {
        "datastore_name": "store",
        "dataset_id": dataset_id(1),
        "path": "post/det0.fits",
        "formatter": "a.Formatter",
        "storage_class": "Exposure",
        "component": None,
        "checksum": None,
        "file_size": 1000,
    }


def test_ids_without_arrows_type(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", chain())
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        for name in {"quantum_id", "dataset_id"} & set(table.column_names):
            column = table[name].cast(pa.binary(16))
            table = table.set_column(table.column_names.index(name), name, column)
        pq.write_table(table, path)
    assert described(list(Archive(folder).written(2))) == expected(chain())


def test_a_batch_has_a_quantum(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one quantum"):
        Archive(write(tmp_path / "archive", chain())).written(0)


def with_column(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """Return what sets the first row of a column to something else."""

    def change(table: pa.Table) -> pa.Table:
        index = table.column_names.index(name)
        column = table.column(name)
        field = pa.field(name, column.type)
        return table.set_column(index, field, pa.array([value, *column.to_pylist()[1:]], column.type))

    return change


# What is done to a table, and what is said then.
DAMAGES: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "fewer edges": ("edges", lambda table: table.slice(0, table.num_rows - 1), "fewer rows"),
    "fewer records": ("records", lambda table: table.slice(1), "fewer rows"),
    "more edges": ("edges", lambda table: pa.concat_tables([table, table.slice(0, 1)]), "of no quantum"),
    "more records": ("records", lambda table: pa.concat_tables([table, table.slice(0, 1)]), "of no quantum"),
    "turned": ("edges", lambda table: table.take(list(range(table.num_rows))[::-1]), "in the order"),
    "no column": ("edges", lambda table: table.drop_columns(["actual_output"]), "column actual_output"),
    "another type": (
        "edges",
        lambda table: table.drop_columns(["actual_output"]).append_column(
            "actual_output", pa.array(["yes"] * table.num_rows)
        ),
        "column actual_output",
    ),
    "a negative count": ("quanta", with_column("edges", -1), "cannot have -1 rows"),
    "a huge count": ("quanta", with_column("edges", 2**31 - 1), "fewer rows"),
    "no count": ("quanta", with_column("records", None), "column records"),
    "no role": ("edges", with_column("actual_output", None), "column actual_output"),
    "no path": ("records", with_column("path", None), "column path"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_tables_that_do_not_fit_together(tmp_path: Path, damage: str) -> None:
    name, change, reason = DAMAGES[damage]
    folder = write(tmp_path / "archive", chain())
    path = folder / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ArchiveError, match=reason):
        list(Archive(folder).written(2))


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    whole = write(tmp_path / "archive", chain())
    for name in ("quanta", "edges", "records"):
        folder = shutil.copytree(whole, tmp_path / name)
        path = folder / f"{name}.parquet"
        for content in (b"PAR1", b"", None):
            path.write_bytes(content) if content is not None else path.unlink()
            with pytest.raises(ArchiveError, match=f"{name}.parquet"):
                list(Archive(folder).written(2))


def test_no_lsst_is_needed(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", chain())
    code = (
        "import json, sys, quantum_butler\n"
        "batches = list(quantum_butler.Archive(sys.argv[1]).written())\n"
        "print(json.dumps([len(batches), [name for name in sys.modules if name.startswith('lsst')]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert json.loads(done.stdout) == [1, []], done.stderr
