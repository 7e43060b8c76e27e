"""Datastore records that go in and come out."""

from __future__ import annotations

import copy
import uuid

import pytest
import sqlalchemy.exc
from lsst.daf.butler.datastore.record_data import DatastoreRecordData, DatastoreRecordTable
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from scenarios import Butler, Run, scenario

from repositories import NewRepository, dataset_id, example_metrics

NAME = "FileDatastore@<butlerRoot>"
TABLE = "file_datastore_records"


@pytest.mark.parametrize(
    "name", ["measured", "exposed", "calibration", "whole", "parts", "plain", "grouped", "zipped", "external"]
)
@scenario
def test_records_come_out_as_they_went_in(run: Run, name: str) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs)
    (exported,) = run(butler._datastore.export_records, refs).values()
    (expected,) = run.repository.records_of(refs).values()
    assert exported.records.keys() == expected.records.keys()
    for dataset, tables in expected.records.items():
        assert tables.keys() == exported.records[dataset].keys()
        for table, infos in tables.items():
            assert set(exported.records[dataset][table]) == set(infos)
            assert all(type(info) is StoredFileInfo for info in exported.records[dataset][table])


@scenario
def test_export_of_what_is_not_there(run: Run) -> None:
    known, unknown = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[known], outputs=run.refs("derived"))
    assert set(run(butler._datastore.export_records, [known, unknown])[NAME].records) == {known.id}
    assert run(butler._datastore.export_records, [unknown])[NAME].records == {}
    assert run(butler._datastore.export_records, [])[NAME].records == {}
    assert run(butler._datastore.export_records, (ref for ref in [known, known]))[NAME].records.keys() == {
        known.id
    }


@scenario
def test_export_as_a_table(run: Run) -> None:
    parts = run.refs("parts")
    refs = [*run.refs("measured"), *run.refs("zipped"), *run.refs("external")]
    butler = run.butler(inputs=[*refs, *parts])
    table = run(butler._datastore.export_table, [ref.id for ref in refs])
    assert isinstance(table, DatastoreRecordTable)
    assert len(table) == 4 + 4 + 4
    table_of_parts = run(butler._datastore.export_table, [ref.id for ref in parts])
    assert len(table_of_parts) == 12
    assert len(run(butler._datastore.export_table, [])) == 0
    assert len(run(butler._datastore.export_table, [dataset_id("unknown")])) == 0
    other = run.butler(inputs=refs, recorded=[])
    run(other._datastore.import_table, table)
    assert run(other._datastore.knows_these, refs) == dict.fromkeys(refs, True)
    for ref in refs:
        assert run(other.get, ref) == run.value(ref)
    run(other._datastore.import_table, run(butler._datastore.export_table, []))
    error = run.error(other._datastore.import_table, table)
    assert type(error) is sqlalchemy.exc.IntegrityError
    # Several records of one dataset are too many.
    error = run.error(other._datastore.import_table, table_of_parts)
    assert type(error) is sqlalchemy.exc.IntegrityError


@scenario
def test_import(run: Run) -> None:
    refs = [*run.refs("measured"), *run.refs("parts")]
    butler = run.butler(inputs=refs, recorded=[])
    assert run(butler._datastore.import_records, run.repository.records_of(refs)) is None
    assert run(butler._datastore.knows_these, refs) == dict.fromkeys(refs, True)
    for ref in refs:
        assert run(butler.get, ref) == run.value(ref)


@scenario
def test_import_of_what_is_known_changes_nothing(run: Run) -> None:
    known, new = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[known, new], recorded=[known])
    error = run.error(butler._datastore.import_records, run.repository.records_of([new, known]))
    assert type(error) is sqlalchemy.exc.IntegrityError
    assert run(butler._datastore.knows_these, [known, new]) == {known: True, new: False}
    run(butler._datastore.import_records, run.repository.records_of([new]))
    assert run(butler._datastore.knows, new) is True


@scenario
def test_import_for_other_datastores_is_ignored(run: Run) -> None:
    ref = run.ref("measured")
    (data,) = run.repository.records_of([ref]).values()
    butler = run.butler(inputs=[ref], datastore_records={"FileDatastore@elsewhere": data})
    run(butler._datastore.import_records, {"FileDatastore@elsewhere": data})
    run(butler._datastore.import_records, {})
    run(butler._datastore.import_records, {NAME: DatastoreRecordData()})
    assert run(butler._datastore.knows, ref) is False


@scenario
def test_import_of_other_tables_is_a_location_without_records(run: Run) -> None:
    ref, empty = run.refs("measured", 0, 1)
    (data,) = run.repository.records_of([ref]).values()
    infos = data.records[ref.id][TABLE]
    records = {NAME: DatastoreRecordData(records={ref.id: {"other_table": infos}, empty.id: {}})}
    butler = run.butler(inputs=[ref, empty], outputs=[ref], datastore_records=records)
    assert run(butler._datastore.knows_these, [ref, empty]) == {ref: False, empty: False}
    assert run(butler.get, ref) == run.value(ref)
    assert run(butler._datastore.export_records, [ref, empty])[NAME].records == {}
    # It counts as held all the same.
    assert type(run.error(butler.put, {}, ref)) is sqlalchemy.exc.IntegrityError


def test_records_that_are_no_records(butler_class: type[Butler], new_repository: NewRepository) -> None:
    repository = new_repository()
    ref = repository.stored["measured"][0]
    wrong = {NAME: DatastoreRecordData(records={ref.id: {TABLE: [{"path": "x"}]}})}  # type: ignore[list-item]
    # Stock has an assertion here.
    with pytest.raises((AssertionError, TypeError), match="StoredFileInfo"):
        repository.butler(butler_class, inputs=[ref], datastore_records=wrong)


@scenario
def test_the_same_record_twice(run: Run) -> None:
    ref = run.ref("measured")
    records = run.repository.records_of([ref])
    records[NAME].records[ref.id][TABLE] *= 2
    options = {"inputs": [ref], "datastore_records": records}
    error = run.error(run.repository.butler, run.butler_class, **options)
    assert type(error) is sqlalchemy.exc.IntegrityError


@scenario
def test_importing_leaves_the_records_alone(run: Run) -> None:
    refs = [*run.refs("measured"), *run.refs("parts")]
    records = run.repository.records_of(refs)
    before = copy.deepcopy(records)
    butler = run.butler(inputs=refs, datastore_records=records)
    run(butler.pruneDatasets, refs[:1], disassociate=True, unstore=True, purge=True)
    exported = run(butler._datastore.export_records, refs)
    exported[NAME].records.clear()
    assert records == before
    assert len(run(butler._datastore.export_records, refs)[NAME].records) == len(refs) - 1


@scenario
def test_merging_keeps_what_is_there(run: Run) -> None:
    # As the builders of graphs do with inputs of many quanta.
    first, second = run.refs("measured", 0, 1)
    records = run.repository.records_of([first])
    (info,) = records[NAME].records[first.id][TABLE]
    moved = DatastoreRecordData(records={first.id: {TABLE: [info.update(path="elsewhere.json")]}})
    records[NAME].update(moved)
    records[NAME].update(run.repository.records_of([second])[NAME])
    butler = run.butler(inputs=[first, second], datastore_records=records)
    assert run(butler.get, first) == run.value(first)
    (exported,) = run(butler._datastore.export_records, [first]).values()
    assert exported.records[first.id][TABLE] == [info]
    # The same rule for what comes out of two butlers.
    other = run.butler(inputs=[first], datastore_records={NAME: moved})
    merged = DatastoreRecordData.merge_mappings(
        run(butler._datastore.export_records, [first]), run(other._datastore.export_records, [first])
    )
    assert merged[NAME].records[first.id][TABLE] == [info]


@scenario
def test_predicted_records(run: Run) -> None:
    outputs = [run.ref(name) for name in run.repository.predicted]
    inputs = run.refs("measured")
    butler = run.butler(inputs=inputs, outputs=outputs)
    (predicted,) = run(butler.export_predicted_datastore_records, [*outputs, *inputs]).values()
    assert predicted.records.keys() == {ref.id for ref in [*outputs, *inputs]}
    parts = predicted.records[run.ref("parts_out").id][TABLE]
    assert {info.component for info in parts} == {"summary", "output", "data"}
    assert {(info.file_size, info.checksum) for info in parts} == {(-1, None)}
    assert run(butler.export_predicted_datastore_records, [])[NAME].records == {}
    # They tell the truth.
    run(butler.put, {}, run.ref("derived"))
    run(butler.put, example_metrics(1), run.ref("parts_out"))
    written = run(butler._datastore.export_records, outputs)[NAME].records
    assert written.keys() == {run.ref("derived").id, run.ref("parts_out").id}
    for dataset, tables in written.items():
        assert {info.path for info in tables[TABLE]} == {
            info.path for info in predicted.records[dataset][TABLE]
        }


@scenario
def test_predicted_records_of_what_was_not_predicted(run: Run) -> None:
    known, unknown, other = run.ref("derived"), run.ref("derived", 1), run.ref("measured")
    butler = run.butler(outputs=[known])
    error = run.error(butler.export_predicted_datastore_records, [known, unknown, other])
    assert type(error) is ValueError
    assert str(error) == f"Cannot export datastore records for unknown outputs: {[unknown, other]}"
    # A datastore does not mind.
    run(butler._datastore.export_predicted_records, [known, unknown, other])


@scenario
def test_predicted_records_of_overrides(run: Run) -> None:
    ref = run.ref("model_out")
    butler = run.butler(outputs=[ref])
    (predicted,) = run(
        butler.export_predicted_datastore_records, [ref.overrideStorageClass("MetricsPlain")]
    ).values()
    (info,) = predicted.records[ref.id][TABLE]
    assert info.storage_class_name == "MetricsModel"
    assert info.path.endswith(".json")


@scenario
def test_records_of_one_butler_serve_another(run: Run) -> None:
    refs = [run.ref("derived"), run.ref("parts_out")]
    first = run.butler(outputs=refs)
    run(first.put, {"a": 1}, refs[0])
    run(first.put, example_metrics(1), refs[1])
    provenance = run(first.extract_provenance_data)
    records = {
        name: DatastoreRecordData.from_simple(simple) for name, simple in provenance.datastore_records.items()
    }
    second = run.butler(inputs=refs, datastore_records=records)
    assert run(second._datastore.knows_these, refs) == dict.fromkeys(refs, True)
    assert run(second.get, refs[0]) == {"a": 1}
    assert run(second.get, refs[1]) == example_metrics(1)


@scenario
def test_checksum_that_looks_like_an_id_stays_a_string(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    looks = uuid.uuid5(uuid.NAMESPACE_DNS, "checksum")
    for text in (str(looks), looks.hex, "0" * 32, "{" + str(looks) + "}"):
        records = run.repository.records_of([ref])
        (info,) = records[NAME].records[ref.id][TABLE]
        records[NAME].records[ref.id][TABLE][:] = [info.update(checksum=text)]
        butler = run.butler(inputs=[ref], outputs=[ref, output], datastore_records=records)
        (exported,) = run(butler._datastore.export_records, [ref])[NAME].records[ref.id][TABLE]
        assert type(exported.checksum) is str
        assert exported.checksum == text
        simple = run(butler._datastore.export_records, [ref])[NAME].to_simple()
        (row,) = next(iter(simple.records.values()))[ref.id.hex][TABLE]
        assert type(row["checksum"]) is str
        butler._actual_output_refs.add(ref)
        provenance = run(butler.extract_provenance_data)
        (row,) = next(iter(provenance.datastore_records[NAME].records.values()))[ref.id.hex][TABLE]
        assert type(row["checksum"]) is str
        assert type(provenance).model_validate_json(provenance.model_dump_json()) == provenance


@pytest.mark.parametrize(
    "changes",
    [
        {"file_size": -1},
        {"file_size": 2**40},
        {"checksum": ""},
        {"checksum": "ü" * 100},
        {"path": "with space/ä#fragment.json"},
        {"path": "x%20y.json"},
        {"component": "odd"},
    ],
    ids=repr,
)
@scenario
def test_odd_records(run: Run, changes: dict[str, object]) -> None:
    ref = run.ref("measured")
    records = run.repository.records_of([ref])
    (info,) = records[NAME].records[ref.id][TABLE]
    records[NAME].records[ref.id][TABLE][:] = [info.update(**changes)]
    butler = run.butler(inputs=[ref], datastore_records=records)
    (exported,) = run(butler._datastore.export_records, [ref])[NAME].records[ref.id][TABLE]
    assert exported == info.update(**changes)
    run(butler.getURIs, ref)
    run(butler.stored, ref)
    run(butler.stored_many, [ref])
    try:
        run(butler.get, ref)
    except Exception as error:
        run.note("refused", type(error).__name__)


@scenario
def test_record_names_its_formatter_and_storage_class(run: Run) -> None:
    # The record wins over the configuration.
    ref = run.ref("measured")
    for changes in (
        {"formatter": "lsst.daf.butler.formatters.yaml.YamlFormatter"},
        {"formatter": "lsst.daf.butler.formatters.nowhere.Formatter"},
        {"storage_class_name": "MetricsDict"},
    ):
        records = run.repository.records_of([ref])
        (info,) = records[NAME].records[ref.id][TABLE]
        fields = {**info.to_record(), **changes}
        record = {**fields, "storage_class": changes.get("storage_class_name", fields["storage_class"])}
        record.pop("storage_class_name", None)
        records[NAME].records[ref.id][TABLE][:] = [StoredFileInfo.from_record(record)]
        butler = run.butler(inputs=[ref], datastore_records=records)
        try:
            run(butler.get, ref)
        except Exception as error:
            run.note("refused", type(error).__name__)
        run(butler.stored, ref)
