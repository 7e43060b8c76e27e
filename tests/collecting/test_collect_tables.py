"""What an archive says is what upstream's model reads from every line."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler.datastore.record_data import DatastoreRecordTable
from made_up import CLASS, ROLES, expected_rows, quantum, record, tables, text, write_log

from quantum_butler import Archive, ProvenanceLog, QuantumProvenanceData, collect


def assert_says(archive: Path, quanta: list[dict[str, Any]]) -> None:
    """Assert that an archive has exactly these quanta."""
    found, expected = tables(archive), expected_rows(quanta)
    rows = found["quanta"].to_pylist()
    assert [{name: row[name] for name in expected["quanta"][0]} for row in rows] == expected["quanta"]
    assert found["edges"].to_pylist() == expected["edges"]
    key = lambda row: (str(row["dataset_id"]), row["datastore_name"], row["path"])  # noqa: E731
    first = 0
    for row in rows:
        # In one quantum, upstream has them in the order of its dictionaries.
        last = first + row["records"]
        ours = found["records"].slice(first, row["records"]).to_pylist()
        assert sorted(ours, key=key) == sorted(expected["records"][first:last], key=key)
        first = last
    assert first == len(expected["records"])


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst", ".jsonl.gz"])
def test_tables_have_what_upstream_reads_from_the_lines(tmp_path: Path, ending: str) -> None:
    quanta = [quantum(n) for n in range(200)]
    write_log(tmp_path / f"log{ending}", quanta)
    report = collect(tmp_path / f"log{ending}", tmp_path / "archive")
    assert_says(tmp_path / "archive", quanta)
    assert (report.quanta, report.read, report.rejected) == (200, 200, 0)
    assert report.content_bytes == sum(len(text(one)) for one in quanta)


uuids = st.integers(0, 30).map(lambda n: str(uuid.UUID(int=n << 64 | n)))
texts = st.text(st.characters(codec="utf-8"), max_size=6)


@st.composite
def some_quantum(draw: st.DrawFn) -> dict[str, Any]:
    rows = st.lists(
        st.builds(
            record,
            texts,
            formatter=texts,
            storage_class=texts,
            component=st.one_of(st.none(), texts),
            checksum=st.one_of(st.none(), texts),
            file_size=st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=2,
    )
    by_dataset = st.dictionaries(uuids.map(lambda one: uuid.UUID(one).hex), rows, max_size=3)
    by_class = by_dataset.map(lambda found: {CLASS: {key: {"t": rows} for key, rows in found.items()}})
    datastore = st.fixed_dictionaries({"dataset_ids": st.lists(uuids, max_size=2), "records": by_class})
    return {
        "quantum_id": str(draw(st.uuids())),
        "task_label": draw(st.one_of(st.none(), texts)),
        "data_id": draw(
            st.one_of(
                st.none(),
                st.dictionaries(texts, st.one_of(texts, st.integers(-(2**63), 2**63 - 1)), max_size=3),
            )
        ),
        **{role: draw(st.lists(uuids, max_size=6)) for role in ROLES},
        "datastore_records": draw(st.dictionaries(texts, datastore, max_size=2)),
    }


@pytest.mark.proof
@given(
    st.lists(some_quantum(), min_size=1, max_size=4, unique_by=lambda one: one["quantum_id"]), st.booleans()
)
def test_random_quanta_are_what_upstream_reads(
    tmp_path_factory: pytest.TempPathFactory, quanta: list[dict[str, Any]], ascii: bool
) -> None:
    folder = tmp_path_factory.mktemp("random")
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(one, ensure_ascii=ascii) + "\n" for one in quanta), encoding="utf-8")
    assert collect(log, folder / "archive").rejections == []
    found = tables(folder / "archive")
    for row, one in zip(found["quanta"].to_pylist(), quanta, strict=True):
        assert (row["data_id"] is None) == (one["data_id"] is None)
        assert row["data_id"] is None or json.loads(row["data_id"]) == one["data_id"]
        one["data_id"] = None
    for name in ("quanta",):
        rows = [{**row, "data_id": None} for row in found[name].to_pylist()]
        expected = expected_rows(quanta)[name]
        assert [{key: row[key] for key in expected[0]} for row in rows] == expected
    assert found["edges"].to_pylist() == expected_rows(quanta)["edges"]


WHOLE = ("status", "caveats", "attempt", "process", "memory", "earlier_quanta", "n_get", "n_put")
SECONDS = (
    *("prep_time", "init_time", "run_time", "run_time_cpu"),
    *("time_in_get", "time_in_put", "start_time_cpu", "graph_read_time"),
)


def test_schemas_are_the_documented_ones(tmp_path: Path) -> None:
    write_log(tmp_path / "log.jsonl", [quantum(n) for n in range(20)])
    collect(tmp_path / "log.jsonl", tmp_path / "archive")
    found = {
        name: pq.read_schema(tmp_path / "archive" / f"{name}.parquet")
        for name in ("quanta", "edges", "records")
    }
    assert found["records"].equals(DatastoreRecordTable.make_arrow_schema(), check_metadata=False)
    assert DatastoreRecordTable.from_arrow(tables(tmp_path / "archive")["records"]) is not None
    assert found["edges"].types == [pa.uuid(), pa.uuid(), *[pa.bool_()] * 5]
    numbers = [pa.int32()] * 7 + [pa.int64()] * 5
    time = pa.timestamp("us", tz="UTC")
    types = [pa.uuid(), pa.dictionary(pa.int32(), pa.string()), pa.string(), *numbers]
    assert found["quanta"].types[:19] == [*types, time, time, pa.bool_(), pa.int32()]
    names = [*ROLES, "edges", "records", *(f"{role}_bytes" for role in ROLES)]
    assert found["quanta"].names[3:19] == [*names, "begin", "end", "failed", "attempts"]
    texts = pa.dictionary(pa.int32(), pa.string())
    further = {found["quanta"].names[19 + n]: type_ for n, type_ in enumerate(found["quanta"].types[19:])}
    assert further == {
        "run": texts,
        **dict.fromkeys(WHOLE, pa.int64()),
        **dict.fromkeys(SECONDS, pa.float64()),
        "start": time,
        "host": texts,
        "exception_type": texts,
        "exception_message": pa.string(),
        "known_from": texts,
        "source": pa.int32(),
    }


def test_the_manifest_says_what_there_is(tmp_path: Path) -> None:
    logs = [
        write_log(tmp_path / f"{name}.jsonl", [quantum(n) for n in range(first, first + 5)])
        for name, first in (("a", 0), ("b", 3))
    ]
    report = collect(logs, tmp_path / "archive")
    manifest = json.loads((tmp_path / "archive" / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"]) == ("quantum-butler provenance archive", 2)
    assert manifest["sources"] == [
        {"source": str(log), "bytes": log.stat().st_size, "quanta": 5, "rejected": 0} for log in logs
    ]
    found = tables(tmp_path / "archive")
    counts = manifest["counts"]
    assert counts == {
        "quanta": len(found["quanta"]),
        "datasets": len(set(found["edges"]["dataset_id"].to_pylist())),
        "edges": len(found["edges"]),
        "records": len(found["records"]),
        "named": len(found["datasets"]),
        "attempts": 0,
        "exceptions": 0,
        "rejected": 0,
        "repeated": 2,
        "replaced": 0,
    }
    reported = counts.keys() - {"named", "attempts", "exceptions"}
    assert {name: getattr(report, name) for name in reported} == {name: counts[name] for name in reported}
    assert not list((tmp_path / "archive").glob("*.jsonl"))
    assert set(manifest["software"]) == {"quantum-butler", "pyarrow", "python"}


def test_questions_find_what_was_collected(tmp_path: Path) -> None:
    quanta = [quantum(n) for n in range(30)]
    collect(write_log(tmp_path / "log.jsonl", quanta), tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    stats = archive.stats()
    assert stats is not None
    sizes = {}
    for row in tables(tmp_path / "archive")["records"].to_pylist():
        sizes[row["dataset_id"]] = sizes.get(row["dataset_id"], 0)
    found = tables(tmp_path / "archive")
    assert sum(found["quanta"]["actual_outputs_bytes"].to_pylist()) > 0
    for one, row in zip(quanta, found["quanta"].to_pylist(), strict=True):
        assert archive.show(uuid.UUID(one["quantum_id"])) is not None
        assert row["actual_inputs_bytes"] <= row["available_inputs_bytes"] <= row["predicted_inputs_bytes"]


def test_a_log_that_a_butler_wrote_is_collected(tmp_path: Path) -> None:
    one = quantum(1)
    model = QuantumProvenanceData.model_validate(
        {name: one[name] for name in QuantumProvenanceData.model_fields}
    )
    for ending in (".jsonl", ".jsonl.zst"):
        with ProvenanceLog(tmp_path / f"log{ending}") as log:
            log.append(
                uuid.UUID(one["quantum_id"]), model, task_label=one["task_label"], data_id=one["data_id"]
            )
        collect(tmp_path / f"log{ending}", tmp_path / "archive", overwrite=True)
        assert_says(tmp_path / "archive", [one])


def test_an_empty_log_gives_an_empty_archive(tmp_path: Path) -> None:
    ProvenanceLog(tmp_path / "log.jsonl").close()
    report = collect(tmp_path / "log.jsonl", tmp_path / "archive")
    assert report.quanta == 0
    found = tables(tmp_path / "archive")
    assert {"quanta", "edges", "records", "datasets", "attempts", "lineage"} <= found.keys()
    assert set(map(len, found.values())) == {0}
    collect(write_log(tmp_path / "more.jsonl", [quantum(1)]), tmp_path / "archive", append=True)
    assert_says(tmp_path / "archive", [quantum(1)])


def test_more_than_a_row_group_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quantum_butler.collecting import sources
    from quantum_butler.collecting import tables as module

    monkeypatch.setattr(sources, "_LINES_PIECE", 3000)
    layouts = {name: layout._replace(rows=100) for name, layout in module._LAYOUTS.items()}
    monkeypatch.setattr(module, "_LAYOUTS", layouts)
    quanta = [quantum(n) for n in range(400)]
    collect(write_log(tmp_path / "log.jsonl", quanta), tmp_path / "archive")
    assert pq.read_metadata(tmp_path / "archive" / "quanta.parquet").num_row_groups == 4
    assert_says(tmp_path / "archive", quanta)


def test_lsst_is_not_imported(tmp_path: Path) -> None:
    write_log(tmp_path / "log.jsonl", [quantum(1)])
    code = (
        "import sys, quantum_butler; quantum_butler.collect(sys.argv[1], sys.argv[2]); "
        "sys.exit(any(name.startswith('lsst') for name in sys.modules))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log.jsonl"), str(tmp_path / "archive")], check=True
    )


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.zst", ".jsonl.gz"])
def test_tasks_of_a_log_that_is_read_in_several_steps(tmp_path: Path, ending: str) -> None:
    """Each step, of some megabytes, has other tasks, types and states than the one before."""
    quanta = []
    for n in range(6):
        long = {"type": f"a.Error{n // 2}", "message": f"{n}" * (3 << 20)}
        connections = {"inputs": {"i": f"raw{n // 2}"}, "outputs": {"o": f"image{n // 2}"}}
        more = {"execution": {"status": -1, "exception": long}, "connections": connections}
        quanta.append(quantum(n, task_label=f"task{n // 2}", **more))
    write_log(tmp_path / f"log{ending}", quanta)
    collect(tmp_path / f"log{ending}", tmp_path / "archive")
    told = pq.read_table(tmp_path / "archive" / "tasks.parquet").to_pylist()
    assert [tuple(row.values()) for row in told] == [
        (f"task{n}", *connection)
        for n in range(3)
        for connection in (("inputs", "i", f"raw{n}"), ("outputs", "o", f"image{n}"))
    ]
    assert_says(tmp_path / "archive", quanta)
    assert Archive(tmp_path / "archive").verify().is_sound
    again = collect(tmp_path / "archive", tmp_path / "again")
    assert again.quanta == 6 and Archive(tmp_path / "again").verify().is_sound
