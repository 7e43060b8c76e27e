"""Files that hold several datasets, and files that are not the repository's."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from scenarios import Run, scenario

PURGE = {"disassociate": True, "unstore": True, "purge": True}
UNSTORE = {"disassociate": False, "unstore": True}


def _artifacts(run: Run, name: str) -> list[str]:
    folder = {"grouped": "/grouped/", "zipped": "zips/"}[name]
    return [path for path in run.repository.artifacts() if folder in path]


@pytest.mark.parametrize(
    "options", [PURGE, {"disassociate": False, "unstore": True}], ids=["purge", "unstore"]
)
@pytest.mark.parametrize("name", ["grouped", "zipped"])
@scenario
def test_file_stays_while_anybody_needs_it(run: Run, name: str, options: dict[str, Any]) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs)
    for count, ref in enumerate(refs[:-1], start=1):
        run(butler.pruneDatasets, [ref], **options)
        assert len(_artifacts(run, name)) == 1
        for left in refs[count:]:
            assert run(butler.stored, left) is True
            assert run(butler.get, left) == run.value(left)
        assert type(run.error(butler.get, ref)) is FileNotFoundError
    run(butler.pruneDatasets, refs[-1:], **options)
    assert _artifacts(run, name) == []


@pytest.mark.parametrize("name", ["grouped", "zipped"])
@scenario
def test_several_at_once(run: Run, name: str) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs)
    run(butler.pruneDatasets, refs[:2], **PURGE)
    assert len(_artifacts(run, name)) == 1
    assert run(butler.get, refs[2]) == run.value(refs[2])
    run(butler.pruneDatasets, refs[2:], **PURGE)
    assert _artifacts(run, name) == []


@pytest.mark.parametrize("name", ["grouped", "zipped"])
@scenario
def test_only_some_are_recorded_here(run: Run, name: str) -> None:
    # This butler cannot know of the others.
    refs = run.refs(name)
    butler = run.butler(inputs=refs, recorded=refs[:2])
    run(butler.pruneDatasets, refs[:1], **PURGE)
    assert len(_artifacts(run, name)) == 1
    run(butler.pruneDatasets, refs[1:2], **PURGE)
    assert _artifacts(run, name) == []


@scenario
def test_in_the_trash_together(run: Run) -> None:
    refs = [*run.refs("grouped"), *run.refs("zipped")]
    butler = run.butler(inputs=refs)
    datastore = butler._datastore
    run(datastore.trash, refs)
    # The first may go as long as the others are in the trash, too.
    run(datastore.emptyTrash, refs=refs[:1])
    run(datastore.emptyTrash, refs=refs[4:5])
    run.note("left", (_artifacts(run, "grouped"), _artifacts(run, "zipped")))
    run(datastore.emptyTrash)
    assert _artifacts(run, "grouped") == _artifacts(run, "zipped") == []


@scenario
def test_external_files_are_never_deleted(run: Run) -> None:
    refs = run.refs("external")
    records, paths = _moved_outside(run, refs)
    butler = run.butler(inputs=refs, datastore_records=records)
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)
    assert run(butler.get, refs[0]) == run.value(refs[0])
    run(butler.pruneDatasets, refs[:1], **PURGE)
    run(butler.pruneDatasets, refs[1:], **PURGE)
    assert run(butler._datastore.knows_these, refs) == dict.fromkeys(refs, False)
    assert all(path.exists() for path in paths)


def _moved_outside(run: Run, refs: list[DatasetRef]) -> tuple[dict[str, DatastoreRecordData], list[Path]]:
    # Copies in the run's own folder: a class that deletes them harms nobody.
    records = run.repository.records_of(refs)
    paths = []
    for data in records.values():
        for tables in data.records.values():
            for infos in tables.values():
                for number, info in enumerate(infos):
                    source = Path(urlparse(info.path).path)  # type: ignore[attr-defined]
                    target = run.folder / source.name
                    target.write_bytes(source.read_bytes())
                    infos[number] = info.update(path=target.as_uri())
                    paths.append(target)
    return records, paths


@scenario
def test_output_on_top_of_a_recorded_path(run: Run) -> None:
    # Two records, one path: an output that somebody else has written.
    ref, other = run.refs("derived", 0, 1)
    first = run.butler(outputs=[ref])
    run(first.put, {"a": 1}, ref)
    (name,) = run.repository.records
    (info,) = run(first._datastore.export_records, [ref])[name].records[ref.id]["file_datastore_records"]
    records = {
        name: DatastoreRecordData(
            records={dataset.id: {"file_datastore_records": [info]} for dataset in (ref, other)}
        )
    }
    second = run.butler(inputs=[ref, other], datastore_records=records)
    assert run(second.get, other) == {"a": 1}
    run(second.pruneDatasets, [ref], **PURGE)
    assert run(second.get, other) == {"a": 1}
    run(second.pruneDatasets, [other], **PURGE)
    assert run(first.stored, ref) is False


@scenario
def test_failed_second_put_does_not_touch_a_shared_file(run: Run) -> None:
    refs = run.refs("grouped")
    butler = run.butler(inputs=refs, outputs=refs)
    run.error(butler.put, {"a": 1}, refs[0])
    assert len(_artifacts(run, "grouped")) == 1
    assert run(butler.get, refs[1]) == run.value(refs[1])


@pytest.mark.parametrize("name", ["zipped", "external"])
@scenario
def test_existence_of_many(run: Run, name: str) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs)
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, True)


@scenario
def test_existence_of_many_in_one_file(run: Run) -> None:
    refs = run.refs("grouped")
    butler = run.butler(inputs=refs)
    # Stock keeps one dataset for each file here, and looks for the others
    # where they would be if they had files of their own.
    assert sum(run(butler.stored_many, refs).values()) in (1, len(refs))
    run.repository.paths(refs[0])[0].unlink()
    assert run(butler.stored_many, refs) == dict.fromkeys(refs, False)


@scenario
def test_existence_of_one_by_one_in_one_file(run: Run) -> None:
    refs = run.refs("grouped")
    butler = run.butler(inputs=refs)
    assert all(run(butler.stored, ref) for ref in refs)
    assert all(run(butler._datastore.exists, ref) for ref in refs)
    assert butler._available_inputs == {ref.id for ref in refs}


@scenario
def test_uris(run: Run) -> None:
    grouped, zipped, external = run.refs("grouped"), run.refs("zipped"), run.refs("external")
    butler = run.butler(inputs=[*grouped, *zipped, *external])
    for refs in (grouped, zipped, external):
        uris = run(butler.get_many_uris, refs)
        assert uris.keys() == set(refs)
    assert {run(butler.getURI, ref).fragment != "" for ref in zipped} == {True}


@scenario
def test_records_come_out_as_they_went_in(run: Run) -> None:
    refs = [*run.refs("grouped"), *run.refs("zipped"), *run.refs("external")]
    butler = run.butler(inputs=refs)
    exported = run(butler._datastore.export_records, refs)
    assert {name: data.records for name, data in exported.items()} == {
        name: data.records for name, data in run.repository.records_of(refs).items()
    }
