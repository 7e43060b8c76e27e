"""What is written for other tools, read back with them, and compared with the tables of the archive."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

import quantum_butler
from mixed_run import RUN, aggregate, make_mixed_run
from openlineage_schema import RUN_EVENT
from quantum_butler import Archive, ArchiveError, ExportError, ProvenanceLog, collect, export
from quantum_butler.cli.main import main
from quantum_butler.exporting import contents, driver

FORMATS = ("prov-json", "prov-n", "openlineage", "ro-crate", "runtime-parquet")


class Exported(NamedTuple):
    """A run that ended in every way there is."""

    archive: Path
    graph: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return an archive of a run, and upstream's provenance graph of it; leave them as they are."""
    folder = tmp_path_factory.mktemp("exported")
    quantum_butler.install(provenance_log=folder / "logs")
    try:
        made = make_mixed_run(folder)
    finally:
        quantum_butler.uninstall()
    collect([folder / "logs", made.graph_file], folder / "archive")
    return Exported(folder / "archive", aggregate(made.root, made.graph_file, folder / "run.qg"))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that datasets are met again in another batch, and in another document of the library's.
    monkeypatch.setattr(contents, "_AT_ONCE", 5)
    monkeypatch.setattr(contents, "_MOST_NAMES", 1)
    if importlib.util.find_spec("prov") is not None:
        monkeypatch.setattr("quantum_butler.exporting.w3c._AT_ONCE", 2)


def exported(place: Path, to: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    export(place, to, stream, **options)
    return stream.getvalue()


def quanta_of(archive: Path) -> dict[uuid.UUID, dict[str, Any]]:
    """Return the rows of the quanta that have run."""
    rows = pq.read_table(archive / "quanta.parquet").to_pylist()
    return {row["quantum_id"]: row for row in rows if row["attempts"]}


def uses_of(archive: Path, role: str, quanta: Any) -> set[tuple[uuid.UUID, uuid.UUID]]:
    rows = pq.read_table(archive / "edges.parquet").to_pylist()
    return {
        (row["quantum_id"], row["dataset_id"]) for row in rows if row[role] and row["quantum_id"] in quanta
    }


def datasets_of(archive: Path) -> dict[uuid.UUID, dict[str, Any]]:
    return {row["dataset_id"]: row for row in pq.read_table(archive / "datasets.parquet").to_pylist()}


def id_in(name: Any) -> uuid.UUID:
    return uuid.UUID(str(name).rpartition(":")[2])


# --- PROV ----------------------------------------------------------------------------------------------


def prov_document(content: bytes) -> Any:
    model = pytest.importorskip("prov.model")
    return model.ProvDocument.deserialize(content=content.decode(), format="json")


def relations(document: Any, kind: str) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return the quantum and the dataset of each relation of a kind."""
    records = importlib.import_module("prov.model")
    found = []
    for one in document.get_records(getattr(records, kind)):
        first, second = (id_in(value) for _, value in one.formal_attributes[:2])
        found.append((first, second) if kind == "ProvUsage" else (second, first))
    return found


@pytest.mark.parametrize("actual", [True, False])
def test_prov_has_each_use_once(run: Exported, actual: bool) -> None:
    document = prov_document(exported(run.archive, "prov-json", actual=actual))
    model = importlib.import_module("prov.model")
    quanta = quanta_of(run.archive)
    if not actual:
        quanta |= {
            row["quantum_id"]: row for row in pq.read_table(run.archive / "quanta.parquet").to_pylist()
        }
    kind = "actual" if actual else "predicted"
    used, written = relations(document, "ProvUsage"), relations(document, "ProvGeneration")
    assert len(set(used)) == len(used) > 10 and len(set(written)) == len(written) > 10
    assert set(used) == uses_of(run.archive, f"{kind}_input", quanta)
    assert set(written) == uses_of(run.archive, f"{kind}_output", quanta)
    entities = [id_in(one.identifier) for one in document.get_records(model.ProvEntity)]
    assert sorted(entities) == sorted({dataset for _, dataset in used + written})
    activities = {id_in(one.identifier): one for one in document.get_records(model.ProvActivity)}
    assert set(activities) == set(quanta)
    for quantum, one in activities.items():
        row = quanta[quantum]
        assert (one.get_startTime(), one.get_endTime()) == (row["begin"], row["end"])
        values = {str(name): value for name, value in one.extra_attributes}
        assert values["lsst:task"] == row["task_label"]
        assert json.loads(values["lsst:dataId"]) == json.loads(row["data_id"])
        assert values.get("lsst:exception") == row["exception_type"]
        assert values["lsst:datasets"] == kind
    agents = {one.label for one in document.get_records(model.ProvAgent)}
    assert agents == {row["task_label"] for row in quanta.values()}
    assert len(list(document.get_records(model.ProvAssociation))) == len(quanta)


def test_prov_names_datasets(run: Exported) -> None:
    document = prov_document(exported(run.archive, "prov-json"))
    rows = datasets_of(run.archive)
    for one in document.get_records(importlib.import_module("prov.model").ProvEntity):
        values = {str(name): value for name, value in one.extra_attributes}
        row = rows[id_in(one.identifier)]
        assert values["lsst:datasetType"] == row["dataset_type"]
        assert values["lsst:run"] == row["run"]
        assert json.loads(values["lsst:dataId"]) == {
            name: value for name, value in row["data_id"].items() if value is not None
        }
        assert values.get("lsst:size") == row["size"]


def test_both_notations_of_prov_say_the_same(run: Exported) -> None:
    document = prov_document(exported(run.archive, "prov-json"))
    theirs = [line.strip() for line in document.get_provn().splitlines() if line.strip()]
    ours = [line.strip() for line in exported(run.archive, "prov-n").decode().splitlines()]
    assert sorted(ours) == sorted(theirs) and len(ours) > 100
    assert (ours[0], ours[-1]) == ("document", "endDocument")


# --- OpenLineage ---------------------------------------------------------------------------------------


def events_of(content: bytes) -> dict[uuid.UUID, list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in content.splitlines():
        event = json.loads(line)
        found[uuid.UUID(event["run"]["runId"])].append(event)
    return found


def test_events_are_what_the_specification_wants(run: Exported) -> None:
    pytest.importorskip("openlineage.client")
    validator = jsonschema.Draft202012Validator(
        RUN_EVENT, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    events = events_of(exported(run.archive, "openlineage"))
    quanta = quanta_of(run.archive)
    assert set(events) == set(quanta)
    for quantum, both in events.items():
        for event in both:
            validator.validate(event)
        status = quanta[quantum]["status"]
        begin, end = both
        assert (begin["eventType"], end["eventType"]) == ("START", "FAIL" if status == -1 else "COMPLETE")
        assert begin["eventTime"] <= end["eventTime"]
        assert begin["job"]["name"] == end["job"]["name"] == quanta[quantum]["task_label"]
        exception = quanta[quantum]["exception_type"]
        assert (exception is not None) == ("errorMessage" in end["run"]["facets"])
    assert {both[1]["eventType"] for both in events.values()} == {"FAIL", "COMPLETE"}
    broken = {**both[0], "run": {"runId": "no id"}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken | {"producer": 7}, RUN_EVENT)


def test_events_name_what_was_used_and_written(run: Exported) -> None:
    pytest.importorskip("openlineage.client")
    events = events_of(exported(run.archive, "openlineage"))
    quanta, rows = quanta_of(run.archive), datasets_of(run.archive)
    for kind in ("input", "output"):
        listed = [
            (quantum, uuid.UUID(one["facets"]["version"]["datasetVersion"]), one)
            for quantum, (_, end) in events.items()
            for one in end[f"{kind}s"]
        ]
        assert {(quantum, dataset) for quantum, dataset, _ in listed} == uses_of(
            run.archive, f"actual_{kind}", quanta
        )
        # One name is one dataset.
        names = {dataset: one["name"] for _, dataset, one in listed}
        assert len(set(names.values())) == len(names) > 5
        assert all(rows[dataset]["dataset_type"] in name for dataset, name in names.items())
        if kind == "output":
            sizes = {
                dataset: one["outputFacets"]["outputStatistics"]["size"]
                for _, dataset, one in listed
                if one["outputFacets"]
            }
            assert sizes == {dataset: rows[dataset]["size"] for dataset in sizes} and sizes


def test_events_can_be_made_models_of_again(run: Exported) -> None:
    client = pytest.importorskip("openlineage.client.event_v2")
    for both in events_of(exported(run.archive, "openlineage")).values():
        for event in both:
            made = client.RunEvent(
                eventType=client.RunState(event["eventType"]),
                eventTime=event["eventTime"],
                run=client.Run(**event["run"]),
                job=client.Job(**event["job"]),
                inputs=[client.InputDataset(**one) for one in event["inputs"]],
                outputs=[client.OutputDataset(**one) for one in event["outputs"]],
                producer=event["producer"],
            )
            assert made.schemaURL == event["schemaURL"]


# --- RO-Crate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crate", "crate.zip", "crate.json"])
def test_a_crate_is_read(run: Exported, tmp_path: Path, name: str) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate")
    export(run.archive, "ro-crate", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    place = tmp_path / name
    if name.endswith(".json"):
        place = tmp_path / "folder"
        place.mkdir()
        (tmp_path / name).rename(place / "ro-crate-metadata.json")
    crate = rocrate.ROCrate(place)
    quanta, rows = quanta_of(run.archive), datasets_of(run.archive)
    actions = {id_in(one.id): one for one in crate.get_by_type("CreateAction")}
    assert set(actions) == set(quanta)
    used = uses_of(run.archive, "actual_input", quanta)
    written = uses_of(run.archive, "actual_output", quanta)
    for role, expected in (("object", used), ("result", written)):
        found = {(quantum, id_in(file.id)) for quantum, one in actions.items() for file in one.get(role, ())}
        assert found == expected
    files = {id_in(one.id): one for one in crate.get_by_type("File")}
    assert set(files) == {dataset for _, dataset in used | written}
    assert all(rows[dataset]["dataset_type"] in one["name"] for dataset, one in files.items())
    assert {one["name"] for one in crate.get_by_type("SoftwareApplication")} == {
        row["task_label"] for row in quanta.values()
    }
    assert len(crate.root_dataset["mentions"]) == len(quanta)


def test_a_crate_of_too_many_quanta_is_refused(
    run: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip("quantum_butler.exporting.crate")
    assert module.MOST_QUANTA == 10_000
    monkeypatch.setattr(module, "MOST_QUANTA", 20)
    with pytest.raises(ExportError, match="tasks"):
        export(run.archive, "ro-crate", tmp_path / "crate")
    assert list(tmp_path.iterdir()) == []
    export(run.archive, "ro-crate", tmp_path / "crate", tasks=["one", "two"])
    with pytest.raises(ExportError, match="there already"):
        export(run.archive, "ro-crate", tmp_path / "crate")
    export(run.archive, "ro-crate", tmp_path / "crate.zip", tasks=["one"])
    export(run.archive, "ro-crate", tmp_path / "crate.zip", tasks=["two"])


# --- The table of runtimes -----------------------------------------------------------------------------

COLUMNS = {
    "task_label": pa.dictionary(pa.int32(), pa.string()),
    "quantum_id": pa.binary(16),
    "status": pa.int8(),
    "memory": pa.float32(),
    "prep_time": pa.float32(),
    "init_time": pa.float32(),
    "run_time": pa.float32(),
    "run_time_cpu": pa.float32(),
    "data_id": pa.string(),
    "dims": pa.map_(pa.string(), pa.string()),
}


@pytest.mark.parametrize("kind", ["archive", "graph"])
def test_the_table_has_the_columns_and_the_figures(run: Exported, tmp_path: Path, kind: str) -> None:
    place = getattr(run, kind)
    export(place, "runtime-parquet", tmp_path / "runtime.parquet")
    table = pq.read_table(tmp_path / "runtime.parquet")
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == COLUMNS
    if kind == "graph":
        collect(place, tmp_path / "archive")
        place = tmp_path / "archive"
    figures = ("memory", "prep_time", "init_time", "run_time", "run_time_cpu")
    rows = {
        row["quantum_id"]: row
        for row in pq.read_table(place / "quanta.parquet").to_pylist()
        if any(row[name] is not None for name in figures)
    }
    found = {uuid.UUID(bytes=row["quantum_id"]): row for row in table.to_pylist()}
    assert set(found) == set(rows) and len(found) == len(table) > 10
    everything = pq.read_table(place / "quanta.parquet")
    assert len(found) < len(everything)
    for quantum, row in found.items():
        expected = rows[quantum]
        assert (row["task_label"], row["status"]) == (expected["task_label"], expected["status"])
        assert row["memory"] == pytest.approx(expected["memory"] / 2**20)
        for name in figures[1:]:
            assert row[name] == (None if expected[name] is None else pytest.approx(expected[name]))
        assert json.loads(row["data_id"]) == json.loads(expected["data_id"])
        data_id = json.loads(expected["data_id"])
        assert dict(row["dims"]) == {name: str(value) for name, value in data_id.items()}


# --- Parts, and what cannot be told --------------------------------------------------------------------


def test_quanta_of_some_tasks(run: Exported) -> None:
    pytest.importorskip("openlineage.client")
    events = events_of(exported(run.archive, "openlineage", tasks=["one", "four"]))
    expected = {id_ for id_, row in quanta_of(run.archive).items() if row["task_label"] in ("one", "four")}
    assert set(events) == expected
    with pytest.raises(ExportError, match="no task six; it has all, five, four, one"):
        export(run.archive, "openlineage", io.BytesIO(), tasks=["six", "one"])


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_lineage_of_a_dataset(run: Exported, direction: Any) -> None:
    wanted = "three_output" if direction == "up" else "zero_output"
    rows = pq.read_table(run.archive / "datasets.parquet").to_pylist()
    dataset = next(
        row["dataset_id"] for row in rows if row["dataset_type"] == wanted and row["data_id"]["detector"] == 0
    )
    lineage = Archive(run.archive).lineage(dataset, direction=direction)
    document = prov_document(exported(run.archive, "prov-json", datasets=[dataset], direction=direction))
    found = {(dataset, quantum) for quantum, dataset in relations(document, "ProvUsage")}
    found |= set(relations(document, "ProvGeneration"))
    assert found == {tuple(edge) for edge in lineage.edges}
    assert len(lineage.quanta) > 1
    values = [f"{name}={value}" for name, value in Archive(run.archive).resolve(dataset).data_id.items()]
    options = ["export", str(run.archive), "--to", "prov-json", "--dataset", " ".join([wanted, *values])]
    done = CliRunner().invoke(main, [*options, f"--{direction}"])
    assert (done.exit_code, prov_document(done.stdout_bytes)) == (0, document)
    activities = document.get_records(importlib.import_module("prov.model").ProvActivity)
    assert {id_in(one.identifier) for one in activities} == set(lineage.quanta)


def test_what_did_not_run_is_left_out(run: Exported) -> None:
    rows = pq.read_table(run.archive / "quanta.parquet").to_pylist()
    blocked = sum(row["attempts"] == 0 for row in rows)
    report = export(run.archive, "prov-n", io.BytesIO())
    assert (report.quanta, report.left_out, report.without_use) == (len(rows) - blocked, blocked, 0)
    assert blocked
    report = export(run.archive, "prov-n", io.BytesIO(), actual=False)
    assert (report.quanta, report.left_out) == (len(rows), 0)


def test_graphs_do_not_tell_what_was_used(run: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--predicted"):
        export(run.graph, "prov-json", tmp_path / "prov.json")
    export(run.graph, "prov-json", tmp_path / "prov.json", actual=False)
    document = prov_document((tmp_path / "prov.json").read_bytes())
    collect(run.graph, tmp_path / "archive")
    activities = document.get_records(importlib.import_module("prov.model").ProvActivity)
    quanta = {id_in(one.identifier) for one in activities}
    assert set(relations(document, "ProvUsage")) == uses_of(tmp_path / "archive", "predicted_input", quanta)
    assert len(quanta) == len(pq.read_table(tmp_path / "archive" / "quanta.parquet"))
    report = export(tmp_path / "archive", "prov-json", tmp_path / "prov.json")
    assert report.without_use == report.quanta > 0


def test_an_archive_without_times_or_names(tmp_path: Path) -> None:
    written = uuid.uuid4()
    data = quantum_butler.QuantumProvenanceData(
        predicted_inputs=set(),
        available_inputs=set(),
        actual_inputs=set(),
        predicted_outputs={written},
        actual_outputs={written},
        datastore_records={},
    )
    with ProvenanceLog(tmp_path / "log.jsonl") as log:
        log.append(uuid.uuid4(), data)
    collect(tmp_path / "log.jsonl", tmp_path / "archive")
    for to in FORMATS:
        report = export(tmp_path / "archive", to, tmp_path / f"{to}.json")
        assert report.without_time == (to == "openlineage")
    assert (tmp_path / "openlineage.json").read_bytes() == b""
    assert len(pq.read_table(tmp_path / "runtime-parquet.json")) == 0
    document = prov_document((tmp_path / "prov-json.json").read_bytes())
    assert [dataset for _, dataset in relations(document, "ProvGeneration")] == [written]


def test_what_is_there_stays_if_an_export_fails(run: Exported, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    unknown = str(uuid.uuid4())
    for to in ("prov-json", "ro-crate"):
        with pytest.raises(ArchiveError, match=unknown):
            export(run.archive, to, file.with_suffix(".json"), datasets=[unknown])
    with pytest.raises(ValueError, match="prov-json"):
        export(run.archive, "prov-xml", file)
    with pytest.raises(ArchiveError):
        export(tmp_path, "prov-n", file)
    with pytest.raises(ArchiveError, match="merged"):
        export(run.archive, "prov-n", file, run.archive)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and file.read_text() == "before"


@pytest.mark.parametrize("to", FORMATS[:-1])
def test_a_library_that_is_not_there(run: Exported, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    def import_module(name: str, package: str) -> Any:
        raise ModuleNotFoundError("No module named 'it'", name="it")

    monkeypatch.setattr(driver, "import_module", import_module)
    with pytest.raises(ExportError, match=r"pip install 'quantum-butler\[export\]'"):
        export(run.archive, to, io.BytesIO())


# --- The command ---------------------------------------------------------------------------------------


def test_the_command_prints_or_writes(run: Exported, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", str(run.archive), "--to", "prov-n", "--task", "one"])
    assert done.exit_code == 0
    assert done.stdout_bytes == exported(run.archive, "prov-n", tasks=["one"])
    file = tmp_path / "prov.json"
    done = CliRunner().invoke(main, ["export", str(run.archive), "--to", "prov-json", "-o", str(file)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert file.read_bytes() == exported(run.archive, "prov-json")
    assert "have not run, and are left out" in done.stderr
    done = CliRunner().invoke(main, ["export", str(run.graph), "--to", "prov-n", "--predicted"])
    assert done.exit_code == 0 and RUN in done.stdout


def test_what_is_no_graph_is_refused_as_by_other_commands(run: Exported, tmp_path: Path) -> None:
    fake, torn = tmp_path / "fake.qg", tmp_path / "torn.qg"
    fake.write_text("no graph")
    data = bytearray(run.graph.read_bytes())
    data[100 : len(data) // 2] = bytes(len(data) // 2 - 100)
    torn.write_bytes(data)
    found = CliRunner().invoke(main, ["find", str(fake)])
    for graph, said in ((fake, found.stderr), (torn, str(torn))):
        done = CliRunner().invoke(main, ["export", str(graph), "--to", "prov-n", "--predicted"])
        assert (done.exit_code, done.stdout) == (found.exit_code, "") and isinstance(
            done.exception, SystemExit
        )
        assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--to", "runtime-parquet"], 2, "--output"),
        (["--to", "prov-xml"], 2, "prov-json"),
        ([], 2, "--to"),
        (["--to", "prov-n", "--task", "six"], 2, "no task six"),
        (["--to", "prov-n", "--dataset", str(uuid.UUID(int=1))], 1, "no dataset"),
        (["--to", "prov-n", "--dataset", "three_output"], 2, "may be any of these"),
        (["--to", "prov-n", "--dataset", "three_output detector=99"], 1, "there is no"),
        (["--to", "prov-n", "--dataset", "three_output planet=3"], 2, "no dimension"),
        (["--to", "prov-n", "-o", "nowhere/at/all"], 2, "no folder nowhere/at"),
    ],
)
def test_the_command_says_what_is_wrong(run: Exported, arguments: list[str], status: int, said: str) -> None:
    done = CliRunner().invoke(main, ["export", str(run.archive), *arguments])
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_goes_away(run: Exported) -> None:
    command = f"{sys.executable} -m quantum_butler export {run.archive} --to prov-json"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 100 > {os.devnull}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("0", "141") and "Traceback" not in done.stderr


def test_no_stack_is_imported(run: Exported) -> None:
    code = (
        "import io, sys, quantum_butler\n"
        f"quantum_butler.export({str(run.archive)!r}, 'runtime-parquet', io.BytesIO())\n"
        "assert not [one for one in sys.modules if one.partition('.')[0] in ('lsst', 'prov', 'rocrate')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
