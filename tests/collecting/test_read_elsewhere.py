"""Every file is read with nothing of ours: archives with what people open tables with, logs with `json`."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from made_up import ROLES, expected_rows, quantum, write_log

from quantum_butler import ProvenanceLog, QuantumBackedButler, QuantumProvenanceData, collect
from repositories import Repository

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUANTA = [quantum(n) for n in range(50)]
AGAIN = quantum(3, task_label="other")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive that has every file that there can be."""
    folder = tmp_path_factory.mktemp("archive")
    log = write_log(folder / "log.jsonl", [*QUANTA, {"quantum_id": "x"}, AGAIN])
    collect(log, folder / "archive")
    return folder / "archive"


@pytest.fixture(scope="module")
def expected() -> dict[str, list[dict[str, Any]]]:
    """Return what the tables have, made with upstream's classes."""
    return expected_rows([*QUANTA[:3], *QUANTA[4:], AGAIN])


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of attempts with times and without."""
    folder = tmp_path_factory.mktemp("attempts")
    hour = "2026-11-30T04"
    first, last = (
        {"begin": f"{hour}:{minute}:01.123456Z", "end": f"{hour}:{minute}:02Z", "failed": failed}
        for minute, failed in ((20, True), (30, False))
    )
    log = write_log(
        folder / "log.jsonl", [quantum(3, task_label="third"), {**AGAIN, **first}, {**QUANTA[3], **last}]
    )
    collect(log, folder / "archive")
    return folder / "archive" / "attempts.parquet"


def moment(value: Any) -> Any:
    """Return a time in UTC, if it is one."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def plain(value: Any) -> Any:
    """Return a value of any library as one that compares."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, bytes) and len(value) == 16:
        return uuid.UUID(bytes=value)
    return value.item() if hasattr(value, "item") else value


def with_duckdb(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    found = duckdb.sql(f"select * from '{path}'")
    # To make Python's times with a zone it wants a package of its own.
    times = {name for name, kind in zip(found.columns, found.types, strict=True) if "TIME ZONE" in str(kind)}
    names = ", ".join(f'epoch_us("{name}")' if name in times else f'"{name}"' for name in found.columns)
    rows = [dict(zip(found.columns, map(plain, row), strict=True)) for row in found.select(names).fetchall()]
    for row in rows:
        row |= {name: EPOCH + timedelta(microseconds=row[name]) for name in times if row[name] is not None}
    return rows


def with_pandas(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    rows = pd.read_parquet(path, engine="pyarrow").to_dict("records")
    return [{str(name): plain(value) for name, value in row.items()} for row in rows]


def with_polars(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return [{name: plain(value) for name, value in row.items()} for row in pl.read_parquet(path).to_dicts()]


def with_datafusion(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    rows = datafusion.SessionContext().read_parquet(path).to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def with_fastparquet(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    # It gives bytes of a fixed size as NumPy does, without the zeros at the end.
    fixed = [field.name for field in pq.read_schema(path) if "uuid" in str(field.type)]
    assert fixed
    with path.open("rb") as file:
        rows = fastparquet.ParquetFile(file).to_pandas().to_dict("records")
    return [
        {str(name): plain(value.ljust(16, b"\0") if name in fixed else value) for name, value in row.items()}
        for row in rows
    ]


READERS = [with_duckdb, with_pandas, with_polars, with_datafusion, with_fastparquet]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["quanta", "edges", "records"])
def test_tables(archive: Path, expected: dict[str, list[dict[str, Any]]], name: str, read: Any) -> None:
    rows = read(archive / f"{name}.parquet")
    assert rows
    # Of a quantum, upstream has the records in the order of its dictionaries.
    key = (lambda row: (str(row["dataset_id"]), row["path"])) if name == "records" else None
    found = [{column: row[column] for column in expected[name][0]} for row in rows]
    if key is not None:
        assert sorted(found, key=key) == sorted(expected[name], key=key)
    else:
        assert found == expected[name]


@pytest.mark.parametrize("read", READERS)
def test_attempts(attempts: Path, read: Any) -> None:
    rows = read(attempts)
    expected = [
        {name: moment(plain(value)) for name, value in row.items()}
        for row in pq.read_table(attempts).to_pylist()
    ]
    assert [{name: moment(value) for name, value in row.items()} for row in rows] == expected
    assert [(row["quantum_id"], row["begin"], row["failed"]) for row in expected] == [
        (uuid.UUID(QUANTA[3]["quantum_id"]), datetime(2026, 11, 30, 4, 20, 1, 123456, tzinfo=UTC), True),
        (uuid.UUID(QUANTA[3]["quantum_id"]), None, None),
    ]


@pytest.mark.parametrize("library", ["duckdb", "pandas", "polars"])
def test_the_lineage_index(archive: Path, expected: dict[str, list[dict[str, Any]]], library: str) -> None:
    with pa.memory_map(str(archive / "lineage.arrow")) as mapped:
        nodes = pa.ipc.open_file(mapped).read_all()
    datasets = int(nodes.schema.metadata[b"datasets"])
    if library == "duckdb":
        rows = duckdb.sql("select id, neighbours from nodes").fetchall()
    elif library == "polars":
        rows = pl.read_ipc(archive / "lineage.arrow").select("id", "neighbours").rows()
    else:
        rows = list(nodes.to_pandas()[["id", "neighbours"]].itertuples(index=False))
    ids = [plain(id_) for id_, _ in rows]
    edges = [
        (quantum_id, ids[one["row"]], int(one["roles"]))
        for quantum_id, (_, neighbours) in zip(ids[datasets:], rows[datasets:], strict=True)
        for one in neighbours
    ]
    names = [role.removesuffix("s") for role in ROLES]
    assert edges == [
        (row["quantum_id"], row["dataset_id"], sum(row[name] << bit for bit, name in enumerate(names)))
        for row in expected["edges"]
    ]
    assert ids[:datasets] == sorted({row["dataset_id"] for row in expected["edges"]})


def test_what_is_not_a_table(archive: Path) -> None:
    # Those with names have a test of their own.
    read = {"quanta.parquet", "edges.parquet", "records.parquet", "lineage.arrow"}
    read |= {"datasets.parquet", "exceptions.parquet", "tasks.parquet", "names.arrow", "quantum_names.arrow"}
    counts = {"quanta": len(QUANTA), "rejected": 1, "replaced": 1}
    manifest = archive / "manifest.json"
    [(found,)] = duckdb.sql(f"select counts from read_json_auto('{manifest}')").fetchall()
    assert counts.items() <= found.items()
    assert pd.read_json(manifest, typ="series")["counts"] == found
    for name, columns in (
        ("rejected.jsonl", {"source", "offset", "reason"}),
        ("replaced.jsonl", {"quantum_id", "kept", "dropped"}),
    ):
        frame = pd.read_json(archive / name, lines=True)
        rows = duckdb.sql(f"select * from read_json_auto('{archive / name}')")
        assert len(frame) == len(rows.fetchall()) == 1
        assert set(frame.columns) == set(rows.columns) == columns
        read.add(name)
    # What was replaced is an attempt that is told of.
    attempts = archive / "attempts.parquet"
    [(quantum_id, outputs, begin)] = duckdb.sql(
        f"select quantum_id, actual_outputs, begin from '{attempts}'"
    ).fetchall()
    frame = pd.read_parquet(attempts)
    [row] = pq.read_table(attempts).to_pylist()
    assert (quantum_id, outputs, begin) == (row["quantum_id"], row["actual_outputs"], row["begin"])
    assert frame.actual_outputs[0] == outputs
    assert str(frame.begin.dtype) == "datetime64[us, UTC]"
    assert {path.name for path in archive.iterdir()} == {*read, manifest.name, attempts.name}


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a log, with nothing but Zstandard."""
    if path.suffix != ".zst":
        return path.read_bytes().splitlines()
    with path.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    if shutil.which("zstd"):
        done = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE)
        assert done.stdout == text
    return bytes(text).splitlines()


@pytest.fixture(params=[".jsonl", ".jsonl.zst"])
def log(request: pytest.FixtureRequest, tmp_path: Path, repository: Repository) -> tuple[Path, list[Any]]:
    """Return the log of butlers, flushed in between, and what they extract."""
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    path, extracted = tmp_path / f"log{request.param}", []
    with ProvenanceLog(path) as log:
        for n in range(len(inputs)):
            with repository.butler(
                QuantumBackedButler, inputs=inputs[n : n + 1], outputs=outputs[n : n + 1]
            ) as butler:
                butler.stored_many(inputs[n : n + 1])
                butler.get(inputs[n])
                butler.put({"n": n}, outputs[n])
                log.append(uuid.UUID(int=n), butler, task_label="isr", data_id=outputs[n].dataId)
                extracted.append(json.loads(butler.extract_provenance_data().model_dump_json()))
            log.flush()
    assert len(extracted) > 1
    return path, extracted


def test_logs_are_lines_of_json(log: tuple[Path, list[Any]]) -> None:
    path, extracted = log
    lines = [json.loads(line) for line in lines_of(path)]
    assert [uuid.UUID(line.pop("quantum_id")).int for line in lines] == list(range(len(extracted)))
    assert {line.pop("task_label") for line in lines} == {"isr"}
    assert all(line.pop("data_id") for line in lines)
    assert all(line.pop("begin") < line.pop("end") and line.pop("failed") is None for line in lines)
    assert all(line.pop("execution") and line.pop("datasets") for line in lines)
    assert lines == extracted
    assert all(set(line) == set(QuantumProvenanceData.model_fields) for line in lines)


def test_logs_are_read_by_duckdb_and_pandas(log: tuple[Path, list[Any]]) -> None:
    path, extracted = log
    rows = duckdb.sql(f"select quantum_id, actual_outputs from read_json_auto('{path}')").fetchall()
    late = f"select * from read_json_auto('{path}') where not begin < \"end\" or year(begin) < 2026"
    assert duckdb.sql(late).fetchall() == []
    frame = pd.read_json(path, lines=True)
    expected = [[uuid.UUID(int=n), one["actual_outputs"]] for n, one in enumerate(extracted)]
    assert [[id_, [str(one) for one in ids]] for id_, ids in rows] == expected
    assert [
        [uuid.UUID(id_), ids] for id_, ids in zip(frame.quantum_id, frame.actual_outputs, strict=True)
    ] == expected


def test_a_torn_log_is_read_up_to_the_tear(log: tuple[Path, list[Any]]) -> None:
    path, extracted = log
    path.write_bytes(path.read_bytes()[:-10])
    if path.suffix == ".zst":
        text, reader = (
            b"",
            zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True),
        )
        with reader:
            while part := reader.read(1 << 16):
                text += part
        lines = text.splitlines(keepends=True)
    else:
        lines = path.read_bytes().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert [one["actual_outputs"] for one in whole] == [one["actual_outputs"] for one in extracted[:-1]]
