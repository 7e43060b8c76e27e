"""What an archive says of names, states, attempts and tasks, from lines that tell of them."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import assert_same, quantum, tables, write_log

from quantum_butler import AmbiguousNameError, Archive, collect
from quantum_butler.archive.naming import name_key

TABLES = ("quanta", "datasets", "attempts", "exceptions", "tasks")
CONNECTIONS = {"inputs": {"images": "raw"}, "outputs": {"result": "derived"}}


# Quanta that have a label, and datasets of all kinds.
CHOSEN = [
    one
    for one in map(quantum, range(200))
    if one["task_label"] and one["data_id"] and one["actual_outputs"] and one["predicted_inputs"]
][:4]
OUTPUTS = {id_ for one in CHOSEN for id_ in one["predicted_outputs"]}


def told(n: int, *, status: int = 1, attempt: int = 0, **more: Any) -> dict[str, Any]:
    """Return a made-up quantum whose line tells how it went and what its datasets are called."""
    one = copy.deepcopy(CHOSEN[n])
    ids = sorted({*one["predicted_inputs"], *one["predicted_outputs"]})
    outputs = [id_ for id_ in ids if id_ in one["predicted_outputs"]]
    numbers = [int(id_[-4:], 16) for id_ in outputs]
    inputs = [id_ for id_ in ids if id_ not in OUTPUTS]
    error = {"type": "a.B", "message": f"no {n}\n"} if status == -1 else None
    one["begin"] = f"2026-11-30T0{attempt}:00:00.000000Z"
    one["end"] = f"2026-11-30T0{attempt}:00:01.000000Z"
    one["failed"] = status == -1
    one["execution"] = {
        "status": status,
        "attempt": attempt,
        "memory": 1000 + n,
        "run_time": n / 8,
        "start": one["begin"],
        "host": f"host{n % 2}",
        "exception": error,
    }
    one["connections"] = CONNECTIONS
    one["datasets"] = [
        group("derived", "out/\u00e9", ["detector", "instrument"], outputs, [[k, "Cam"] for k in numbers]),
        group("raw", "in", ["instrument"], inputs, [["Cam"]] * len(inputs)),
    ]
    return {**one, **more}


def group(name: str, run: str, dimensions: list[str], ids: list[str], data_ids: list[Any]) -> dict[str, Any]:
    names = {"type": name, "run": run, "storage_class": "X" if name == "raw" else None}
    return {**names, "dimensions": dimensions, "ids": ids, "data_ids": data_ids}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of quanta that were done, have failed, and were tried again."""
    folder = tmp_path_factory.mktemp("named")
    again = told(2, attempt=1, earlier_attempts=[told(2, status=-1)["execution"]])
    only_told = told(3, attempt=1, earlier_attempts=[told(3, status=-1)["execution"]])
    quanta = [told(0), told(1, status=-1), told(2, status=-1), again, only_told]
    collect(write_log(folder / "log.jsonl", quanta), folder / "archive")
    return folder / "archive"


def test_quanta_say_how_they_went(archive: Path) -> None:
    rows = {row["memory"] - 1000: row for row in tables(archive)["quanta"].to_pylist()}
    assert {n: row["status"] for n, row in rows.items()} == {0: 1, 1: -1, 2: 1, 3: 1}
    assert {n: row["attempts"] for n, row in rows.items()} == {0: 1, 1: 1, 2: 2, 3: 2}
    assert {row["run"] for row in rows.values()} == {"out/\u00e9"}
    assert {(row["known_from"], row["source"]) for row in rows.values()} == {("line", 0)}
    assert (rows[1]["exception_type"], rows[1]["exception_message"]) == ("a.B", "no 1\n")
    assert {row["host"] for row in rows.values()} == {"host0", "host1"}


def test_datasets_have_names_in_the_order_of_the_index(archive: Path) -> None:
    found = tables(archive)
    datasets = found["datasets"].to_pylist()
    nodes = found["lineage"]
    count = int(nodes.schema.metadata[b"datasets"])
    assert [row["dataset_id"] for row in datasets] == nodes["id"].to_pylist()[:count]
    expected = {}
    for n in range(4):
        for one in told(n)["datasets"]:
            for id_, values in zip(one["ids"], one["data_ids"], strict=True):
                values = dict(zip(one["dimensions"], values, strict=True))
                expected[uuid.UUID(id_)] = one["type"], one["run"], {"detector": None, **values}
    called = {row["dataset_id"]: (row["dataset_type"], row["run"], row["data_id"]) for row in datasets}
    assert called == expected
    edges = found["edges"].to_pylist()
    writers = {edge["dataset_id"]: edge["quantum_id"] for edge in edges if edge["actual_output"]}
    planned = {edge["dataset_id"]: edge["quantum_id"] for edge in edges if edge["predicted_output"]}
    sizes: dict[uuid.UUID, int] = {}
    for record in found["records"].to_pylist():
        if record["file_size"] is not None and record["file_size"] >= 0:
            sizes[record["dataset_id"]] = sizes.get(record["dataset_id"], 0) + record["file_size"]
    assert writers and sizes
    for row in datasets:
        id_ = row["dataset_id"]
        assert row["producer"] == writers.get(id_, planned.get(id_))
        assert row["produced"] == (True if id_ in writers else False if id_ in planned else None)
        assert row["size"] == sizes.get(id_)


def test_the_index_of_names_finds_each_dataset(archive: Path) -> None:
    with pa.ipc.open_file(archive / "names.arrow") as file:
        names = file.read_all().to_pydict()
    assert names["key"] == sorted(names["key"])
    rows: dict[int, list[int]] = {}
    for key, row in zip(names["key"], names["row"], strict=True):
        rows.setdefault(key, []).append(row)
    datasets = tables(archive)["datasets"].to_pylist()
    assert len(names["row"]) == len(datasets) > 4
    for number, row in enumerate(datasets):
        data_id = {name: value for name, value in row["data_id"].items() if value is not None}
        assert number in rows[name_key(row["dataset_type"], dict(reversed(data_id.items())))]


def test_an_index_that_does_not_tell_values_gives_the_same_answers(archive: Path, tmp_path: Path) -> None:
    """Archives of earlier releases are scanned for names without all dimensions."""
    before = Path(shutil.copytree(archive, tmp_path / "before"))
    with pa.ipc.open_file(before / "names.arrow") as file:
        names = file.read_all()
    assert names.schema.metadata
    with pa.ipc.new_file(before / "names.arrow", names.schema.remove_metadata()) as file:
        file.write_table(names.replace_schema_metadata(None))
    asked = 0
    one, other = Archive(archive), Archive(before)
    assert one.source.labels("dataset") == other.source.labels("dataset")
    for row in tables(archive)["datasets"].to_pylist():
        pairs = [(name, value) for name, value in row["data_id"].items() if value is not None]
        pairs.append(("detector", 10_000))
        for count in range(len(pairs) + 1):
            for some in itertools.combinations(pairs, count):
                where = " AND ".join(f"{name} = {value!r}" for name, value in some) or None
                found = [
                    run.find_datasets(dataset_type=row["dataset_type"], where=where).to_pylist()
                    for run in (one, other)
                ]
                assert found[0] == found[1]
                name = [row["dataset_type"], *(f"{name}={value}" for name, value in some)]
                if len(dict(some)) == count:
                    assert _resolved(one, name) == _resolved(other, name)
                asked += bool(found[0])
    assert asked > 10


def _resolved(run: Archive, name: list[str]) -> Any:
    try:
        return run.resolve(name, kind="dataset")
    except AmbiguousNameError as error:
        return error.candidates
    except LookupError:
        return None


def test_attempts_and_exceptions_have_names(archive: Path) -> None:
    found = tables(archive)
    attempts = found["attempts"].to_pylist()
    # One had a line, the other only a later attempt has told of.
    assert sorted((row["memory"], row["content"] is None) for row in attempts) == [
        (1002, False),
        (1003, True),
    ]
    assert {row["status"] for row in attempts} == {-1}
    assert all(row["task_label"] and row["run"] == "out/\u00e9" for row in attempts)
    exceptions = found["exceptions"].to_pylist()
    assert sorted(row["exception_message"] for row in exceptions) == ["no 1\n", "no 2\n", "no 3\n"]
    labels = {row["quantum_id"]: row["task_label"] for row in found["quanta"].to_pylist()}
    assert all(row["task_label"] == labels[row["quantum_id"]] for row in exceptions)


def test_tasks_have_connections(archive: Path) -> None:
    found = tables(archive)
    rows = found["tasks"].to_pylist()
    assert {row["task_label"] for row in rows} == set(found["quanta"]["task_label"].to_pylist())
    for label in {row["task_label"] for row in rows}:
        connections: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["task_label"] == label:
                connections.setdefault(row["kind"], {})[row["connection"]] = row["dataset_type"]
        assert connections == CONNECTIONS


@pytest.mark.parametrize("name", TABLES)
def test_other_libraries_read_them(archive: Path, name: str) -> None:
    path = archive / f"{name}.parquet"
    expected = pq.read_table(path)
    ids = [field.name for field in expected.schema if isinstance(field.type, pa.UuidType)]
    rows = [
        {key: value.bytes if key in ids and value is not None else value for key, value in row.items()}
        for row in expected.to_pylist()
    ]
    assert rows
    assert pl.read_parquet(path).to_dicts() == rows
    assert datafusion.SessionContext().read_parquet(path).to_pylist() == rows
    frame = pd.read_parquet(path, engine="pyarrow")
    assert len(frame) == len(rows) and list(frame.columns) == expected.column_names
    columns = [field.name for field in expected.schema if not pa.types.is_timestamp(field.type)]
    chosen = ", ".join(f'"{column}"' for column in columns)
    found = duckdb.sql(f"select {chosen} from '{path}'").fetchall()
    plain = [tuple(row[column] for column in columns) for row in expected.to_pylist()]
    assert [tuple(map(_plain, row)) for row in found] == [tuple(map(_plain, row)) for row in plain]


def _plain(value: Any) -> Any:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) and len(value) == 16 else value


def test_merging_and_adding_is_collecting_at_once(tmp_path: Path) -> None:
    again = told(2, attempt=1, earlier_attempts=[told(2, status=-1)["execution"]])
    first = write_log(tmp_path / "first.jsonl", [told(0), told(1, status=-1), told(2, status=-1)])
    second = write_log(tmp_path / "second.jsonl.zst", [again, told(3), told(1, attempt=2)])
    collect([first, second], tmp_path / "expected")
    for name, log in (("a", first), ("b", second)):
        collect(log, tmp_path / name)
    collect([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    assert_same(tmp_path / "merged", tmp_path / "expected")
    collect(second, tmp_path / "a", append=True)
    assert_same(tmp_path / "a", tmp_path / "expected")
    manifest = json.loads((tmp_path / "merged" / "manifest.json").read_text())
    assert [source["source"] for source in manifest["sources"]] == [str(first), str(second)]
    # What was replaced before comes again with a log that has it.
    collect([tmp_path / "merged", second, first], tmp_path / "once more")
    assert_same(tmp_path / "once more", tmp_path / "expected", attempts=False)
