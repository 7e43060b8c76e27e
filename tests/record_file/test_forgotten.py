"""`Datastore.forget` with a file: all or nothing, and what stays is told from what is put afterwards."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from record_files import contents, roles, roles_of, stock_contents
from resuming import begin, crash, drop, resume

from quantum_butler import RecordFileError
from quantum_butler.record_file import Journal
from repositories import NewRepository, Repository, example_metrics

PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


def test_it_is_one_transaction(repository: Repository, file: Path) -> None:
    butler, ref = begin(repository, file), repository.predicted["derived"][0]
    butler.put({"a": 1}, ref)
    statements: list[str] = []
    assert butler._journal is not None
    assert butler._journal._connection is not None
    butler._journal._connection.set_trace_callback(statements.append)
    butler._datastore.forget([ref])
    assert statements.count("BEGIN IMMEDIATE") == statements.count("COMMIT") == 1
    butler._journal._connection.set_trace_callback(None)
    drop(butler)
    resumed = resume(repository, file)
    assert not resumed._datastore.knows(ref)
    assert not resumed.resumption
    assert repository.artifacts().keys() >= {"observed/night1/derived/derived_Cam_D0_observed_night1.json"}
    resumed.close()


@pytest.mark.parametrize("kind", ["file", "chained"])
def test_if_it_fails_nothing_has_changed(new_repository: NewRepository, file: Path, kind: str) -> None:
    repository = new_repository(kind)
    butler, [ref] = begin(repository, file), repository.predicted["parts_out"][:1]
    butler.put(example_metrics(1), ref)
    members = getattr(butler._datastore, "datastores", [butler._datastore])
    knows, rows = [member.knows(ref) for member in members], stock_contents(file)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN IMMEDIATE")
    for member in members[-1:]:
        with pytest.raises(RecordFileError, match="records"):
            member.forget([ref])
    assert ([member.knows(ref) for member in members], stock_contents(file)) == (knows, rows)
    reader.close()
    for member in members[-1:]:
        member.forget([ref])
        assert not member.knows(ref)
    butler.close()
    assert roles(file) == roles_of(butler)


def test_what_is_put_afterwards_is_not_what_was_left(repository: Repository, file: Path) -> None:
    butler, ref = begin(repository, file), repository.predicted["derived"][0]
    butler.put({"a": 1}, ref)
    butler._datastore.forget([ref])
    butler.put({"a": 2}, ref)
    butler.pruneDatasets([ref], **PURGE)
    drop(butler)

    def put_by_half() -> None:
        resumed = resume(repository, file)
        # Killed before its record is written.
        Journal._write = lambda *_: os._exit(0)  # type: ignore[assignment]
        resumed.put({"half": 3}, ref)

    crash(put_by_half)
    with resume(repository, file, repair=True) as again:
        assert [found.dataset_id for found in again.resumption.unrecorded_artifacts] == [ref.id]
        assert not again.stored(ref)
    assert ref.id.hex not in {row[0] for row in contents(file)["file_datastore_records"]}
