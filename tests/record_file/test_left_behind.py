"""What a crash leaves in less simple cases, and what repair has to leave alone."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
import yaml
from lsst.daf.butler import DatasetRef
from record_files import beside, contents, roles, roles_of
from resuming import begin, crash, drop, resume

from quantum_butler import FileHasQuantumError, QuantumBackedButler, RecordFileError, record_file
from quantum_butler.record_file import Journal
from repositories import NewRepository, Repository

PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


def test_one_datastore_of_a_chain_has_lost_it(new_repository: NewRepository, file: Path) -> None:
    repository = new_repository("chained")
    ref, other = repository.predicted["exposed_out"][:2]
    butler = begin(repository, file)
    for one in (ref, other):
        butler.put({"a": 1}, one)
    holders = [member for member in butler._datastore.datastores[1:] if member.knows(ref)]
    assert len(holders) == 2
    os.unlink(holders[0].getURI(ref).ospath)
    for member in holders:
        os.unlink(member.getURI(other).ospath)
    drop(butler)
    with resume(repository, file, repair=True) as again:
        assert len(again.resumption.missing_artifacts) == 3
        assert again._actual_output_refs == {ref}
        assert again.get(ref) == {"a": 1}
        assert not again.stored(other)
        again.put({"a": 2}, other)
        assert again.get(other) == {"a": 2}
    with resume(repository, file) as clean:
        assert not clean.resumption


def test_what_was_in_memory_only_is_gone(new_repository: NewRepository, file: Path) -> None:
    repository = new_repository("chained")
    path = repository.root / "butler.yaml"
    config = yaml.safe_load(path.read_text())
    for datastore in config["datastore"]["datastores"][1:]:
        datastore["constraints"] = {"accept": ["all"], "reject": ["derived"]}
    path.write_text(yaml.safe_dump(config))
    volatile, filed = repository.predicted["derived"][0], repository.predicted["exposed_out"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, volatile)
    butler.put({"a": 2}, filed)
    assert butler.stored(volatile)
    drop(butler)
    with resume(repository, file) as told:
        assert [found.dataset_id for found in told.resumption.missing_artifacts] == [volatile.id]
        assert told._actual_output_refs == {volatile, filed}
    with resume(repository, file, repair=True) as again:
        assert again._actual_output_refs == {filed}
        again.put({"a": 3}, volatile)
        assert again.get(volatile) == {"a": 3}
    assert roles(file) == roles_of(again)


def test_a_run_whose_name_has_a_hash(repository: Repository, file: Path) -> None:
    refs = [
        DatasetRef(ref.datasetType, ref.dataId, "a#b", id=ref.id) for ref in repository.predicted["derived"]
    ]
    butler = begin(repository, file, outputs=refs)
    butler.put({"a": 1}, refs[0])
    path = Path(butler.getURI(refs[1], predict=True).ospath)
    drop(butler)
    path.write_text("half")
    with resume(repository, file, repair=True) as again:
        assert [found.dataset_id for found in again.resumption.unrecorded_artifacts] == [refs[1].id]
        assert again.resumption.missing_artifacts == ()
        assert again.get(refs[0]) == {"a": 1}
    assert not path.exists()


def test_a_put_over_what_was_there_before(repository: Repository, file: Path) -> None:
    ref, other = repository.predicted["derived"][:2]
    with repository.butler(QuantumBackedButler, outputs=[ref, other]) as earlier:
        for one in (ref, other):
            earlier.put({"a": "old"}, one)

    def work() -> None:
        butler = begin(repository, file)
        Journal._write = lambda *_, **__: os._exit(0)  # type: ignore[method-assign]
        butler.put({"a": "never acknowledged"}, ref)

    crash(work)
    with resume(repository, file, repair=True) as again:
        assert [found.dataset_id for found in again.resumption.unrecorded_artifacts] == [ref.id]
        assert not again.stored(ref)
        assert again.get(other) == {"a": "old"}


def test_what_was_forgotten_stays(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    with begin(repository, file) as butler:
        butler.put({"a": 1}, ref)
        butler._datastore.forget([ref])
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        assert again._actual_output_refs == {ref}
        assert again.get(ref) == {"a": 1}


def test_a_put_of_what_is_in_the_trash_says_so(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    butler._datastore.trash([ref])
    drop(butler)
    with resume(repository, file) as told:
        assert [found.dataset_id for found in told.resumption.unfinished_removals] == [ref.id]
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="in the trash"):
            told.put({"a": 2}, ref)
    with resume(repository, file, repair=True) as again:
        again.put({"a": 2}, ref)
        assert again.get(ref) == {"a": 2}


def test_other_refs_become_the_outputs(repository: Repository, file: Path) -> None:
    first, second, third = repository.predicted["derived"][:3]
    with begin(repository, file) as butler:
        butler.put({"a": 1}, first)
        old = butler._actual_output_refs
        butler._actual_output_refs = {first, second}
        assert butler._actual_output_refs == {first, second}
        butler.put({"a": 3}, third)
        provenance = butler.extract_provenance_data()
        assert provenance.actual_outputs == {first.id, second.id, third.id}
        assert old == {first}
    assert roles(file) == roles_of(butler)
    assert roles(file)["actual_output"] == {first.id.hex, second.id.hex, third.id.hex}
    with resume(repository, file) as again:
        again._actual_output_refs = again._actual_output_refs - {second}
    assert roles(file)["actual_output"] == {first.id.hex, third.id.hex}


_DAMAGE = (
    "UPDATE quantum_butler_output SET dimensions = '{'",
    """UPDATE quantum_butler_output SET dimensions = '["nix"]'""",
    "UPDATE quantum_butler_output SET data_id = '[]'",
    "UPDATE quantum_butler_output SET dataset_id = 'zz'",
    "INSERT INTO quantum_butler_role VALUES ('zz', 1, 1, 1, 1, 1)",
    "INSERT INTO quantum_butler_predicted_artifact VALUES ('FileDatastore@<butlerRoot>', 'zz', 'a', 'b')",
)


@pytest.mark.parametrize("damage", _DAMAGE)
def test_damage_of_the_quantums_tables(repository: Repository, file: Path, damage: str) -> None:
    with begin(repository, file) as butler:
        butler.put({"a": 1}, repository.predicted["derived"][0])
    connection = sqlite3.connect(file)
    with connection:
        assert connection.execute(damage).rowcount == 1
    connection.close()
    before, artifacts = contents(file), repository.artifacts()
    with pytest.raises(RecordFileError) as caught:
        resume(repository, file, repair=True)
    assert caught.value.filename == str(file)
    assert (contents(file), repository.artifacts(), beside(file)) == (before, artifacts, [])


def test_what_cannot_be_repaired_leaves_a_closed_file(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    path = Path(butler.getURI(ref, predict=True).ospath)
    drop(butler)
    path.mkdir(parents=True)
    with pytest.raises(OSError):
        resume(repository, file, repair=True)
    assert beside(file) == []


def test_a_prune_of_a_chain_that_fails_leaves_what_is_in_memory(
    new_repository: NewRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = new_repository("chained")
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise RecordFileError(28, "full", str(file))

        patch.setattr(Journal, "_write", fail)
        with pytest.raises(RecordFileError):
            butler.pruneDatasets([ref], **PURGE)
    assert ref in butler._actual_output_refs
    assert butler.get(ref) == {"a": 1}
    assert butler._datastore.datastores[0].knows(ref)
    butler.pruneDatasets([ref], **PURGE)
    assert not butler.stored(ref)
    butler.close()
    assert roles(file) == roles_of(butler)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_copy_without_its_log_is_not_repaired(
    repository: Repository,
    file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    at_once: bool,
) -> None:
    first, second = repository.predicted["derived"][:2]
    butler = begin(repository, file)
    butler.put({"a": 1}, first)
    if not at_once:
        assert butler._journal is not None
        butler._journal.read("PRAGMA wal_checkpoint(TRUNCATE)")
    butler.put({"a": 2}, second)
    copy, whole = tmp_path / "copy.sqlite3", tmp_path / "whole.sqlite3"
    for target in (copy, whole):
        shutil.copy(file, target)
    shutil.copy(f"{file}-wal", f"{whole}-wal")
    before = repository.artifacts()
    for _ in range(2):
        # Whatever else is tried, it does not look whole afterwards.
        with pytest.raises(RecordFileError, match=r"copy\.sqlite3-wal") as raised:
            resume(repository, copy, repair=True)
        assert (raised.value.errno, raised.value.filename) == (errno.ENODATA, str(copy))
        assert beside(copy) == []
        if not at_once:
            with pytest.raises(FileHasQuantumError):
                begin(repository, copy)
            with monkeypatch.context() as patch:
                patch.setattr(record_file, "look_around", lambda *_, **__: 1 // 0)
                with pytest.raises(ZeroDivisionError):
                    resume(repository, copy)
            # Nobody closes this one.
            resume(repository, copy)
            gc.collect()
    if at_once:
        with pytest.raises(RecordFileError, match="copied without the -wal"):
            resume(repository, copy)
    else:
        told = resume(repository, copy)
        assert "copy.sqlite3-wal" in caplog.text
        assert [found.dataset_id for found in told.resumption.unrecorded_artifacts] == [second.id]
        told.close()
        # Whoever does that wants it so.
        assert resume(repository, copy).resumption == told.resumption
    assert repository.artifacts() == before
    caplog.clear()
    with resume(repository, whole, repair=True) as again:
        assert not again.resumption
        assert again._actual_output_refs == {first, second}
    assert caplog.text == ""
    butler.close()
