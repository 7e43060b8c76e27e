"""Whose a file is: nobody's butler takes that of another, or repairs what belongs to another repository."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsst.daf.butler import DatasetRef
from lsst.daf.butler import QuantumBackedButler as Stock
from record_files import beside, contents, roles, roles_of
from resuming import begin, crash, drop, resume

from quantum_butler import FileHasQuantumError, QuantumBackedButler, RecordFileError
from quantum_butler.record_file import database as opening
from quantum_butler.record_file.schema import FileSchema
from repositories import NewRepository, Repository

PURGE = {"disassociate": True, "unstore": True, "purge": True}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


@pytest.mark.parametrize("is_open", [False, True])
def test_two_that_begin_at_once(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    monkeypatch.setattr(opening, "_PATIENCE", 0.1)
    ref, other = repository.predicted["derived"][:2]
    create, winners = FileSchema.create, []

    def create_later(schema: FileSchema, path: str, *, on_disk: bool) -> bool:
        monkeypatch.setattr(FileSchema, "create", create)
        winners.append(winner := begin(repository, file))
        winner.put({"a": 1}, ref)
        if not is_open:
            winner.close()
        return create(schema, path, on_disk=on_disk)

    monkeypatch.setattr(FileSchema, "create", create_later)
    with pytest.raises(FileHasQuantumError):
        begin(repository, file)
    [winner] = winners
    if is_open:
        winner.put({"a": 2}, other)
        winner.close()
    assert roles(file) == roles_of(winner)
    assert ref.id.hex in roles(file)["actual_output"]


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_is_left_beside_a_file_that_is_gone(repository: Repository, file: Path, suffix: str) -> None:
    if suffix == "-wal":
        crash(lambda: begin(repository, file).put({"a": 1}, repository.predicted["derived"][0]))
        file.unlink()
    else:
        Path(f"{file}-journal").write_bytes(b"from another time")
    assert f"{file.name}{suffix}" in beside(file)
    with pytest.raises(RecordFileError, match="gone") as caught:
        begin(repository, file)
    assert caught.value.filename == str(file)
    assert f"{file}{suffix}" in str(caught.value)
    assert not file.exists()
    for name in beside(file):
        (file.parent / name).unlink()
    with begin(repository, file) as butler:
        assert butler._actual_output_refs == set()


def test_a_file_that_is_made_anew_while_it_is_open(repository: Repository, file: Path) -> None:
    ref, other, another = repository.predicted["derived"][:3]
    old = begin(repository, file)
    old.put({"a": 0}, other)
    for name in (file.name, *beside(file)):
        (file.parent / name).unlink()
    new = begin(repository, file)
    new.put({"a": 1}, ref)
    # Nobody is told that it is on the disk, as it is not.
    with pytest.raises(RecordFileError, match="removed or replaced"):
        old.put({"a": 0}, another)
    with pytest.raises(RecordFileError, match="removed or replaced"):
        old.close()
    old.close()
    del old
    gc.collect()
    assert beside(file) == [f"{file.name}-shm", f"{file.name}-wal"]
    new.put({"a": 2}, another)
    drop(new)
    with resume(repository, file) as again:
        assert again._actual_output_refs == {ref, another}


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_cannot_be_looked_at_is_not_missing(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    path = Path(butler.getURI(ref).ospath)
    drop(butler)
    name = "stat" if what == "a file" else "listdir"
    ask = getattr(os, name)

    def fail(where: Any, *args: Any, **options: Any) -> Any:
        if os.fspath(where) in (str(path), str(path.parent)):
            raise OSError(errno.EIO, os.strerror(errno.EIO), where)
        return ask(where, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError) as caught:
            resume(repository, file, repair=True)
        assert caught.value.errno == errno.EIO
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        assert again.get(ref) == {"a": 1}


def _configure(repository: Repository, **datastore: Any) -> None:
    path = repository.root / "butler.yaml"
    config = yaml.safe_load(path.read_text())
    config["datastore"].update(datastore)
    path.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("change", [{"name": "Other"}, {"records": {"table": "other_records"}}])
def test_another_datastore(
    new_repository: NewRepository, file: Path, change: dict[str, Any], repair: bool
) -> None:
    repository = new_repository()
    ref = repository.predicted["derived"][0]
    with begin(repository, file) as butler:
        butler.put({"a": 1}, ref)
    before, artifacts = contents(file), repository.artifacts()
    _configure(repository, **change)
    with pytest.raises(RecordFileError, match="another datastore") as caught:
        resume(repository, file, repair=repair)
    assert caught.value.filename == str(file)
    assert (contents(file), repository.artifacts(), beside(file)) == (before, artifacts, [])


def test_a_stock_file_of_another_datastore(new_repository: NewRepository, file: Path) -> None:
    repository = new_repository()
    ref = repository.predicted["derived"][0]
    with Stock.from_predicted(
        str(repository.root), [], [ref.id], repository.universe, {}, filename=str(file)
    ) as stock:
        stock.put({"a": 1}, ref)
    before = contents(file)
    _configure(repository, name="Other")
    for again in (begin, resume):
        with pytest.raises(RecordFileError, match="another datastore"):
            again(repository, file)
    assert contents(file) == before


def test_another_root(new_repository: NewRepository, file: Path) -> None:
    repository, other = new_repository(), new_repository()
    ref = repository.predicted["derived"][0]
    with begin(repository, file) as butler:
        butler.put({"a": 1}, ref)
    before = contents(file)
    with pytest.raises(RecordFileError, match="Nothing can be repaired"):
        resume(other, file, repair=True)
    assert contents(file) == before
    with resume(other, file) as told:
        assert [found.dataset_id for found in told.resumption.missing_artifacts] == [ref.id]
    # Nothing has come of that.
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        assert again.get(ref) == {"a": 1}


def test_a_stock_file_twice(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    with Stock.from_predicted(
        str(repository.root), [], [ref.id], repository.universe, {}, filename=str(file)
    ) as stock:
        stock.put({"a": 1}, ref)
    for _ in range(2):
        with resume(repository, file, repair=True) as again:
            assert not again.resumption
            assert again.get(ref) == {"a": 1}
            assert again._predicted_outputs == set()


def test_a_stock_file_with_a_full_trash(repository: Repository, file: Path) -> None:
    inputs, [ref, *_] = repository.stored["measured"], repository.predicted["derived"]
    with Stock.from_predicted(
        str(repository.root),
        [one.id for one in inputs],
        [ref.id],
        repository.universe,
        repository.records_of(inputs),
        filename=str(file),
    ) as stock:
        stock.put({"a": 1}, ref)
        stock._datastore.trash([ref, inputs[0]])
    with begin(repository, file) as butler:
        # As in stock, what is in the trash has its records still.
        assert butler.get(inputs[0]) == repository.values[inputs[0].id]
        assert butler.get(inputs[1]) == repository.values[inputs[1].id]
        butler._datastore.emptyTrash(refs=[ref])
        butler.put({"a": 2}, ref)
        assert butler.get(ref) == {"a": 2}


@pytest.mark.parametrize("name", [None, "", ":memory:"])
def test_nothing_to_resume(repository: Repository, name: Any) -> None:
    with pytest.raises(ValueError, match="from a file"):
        resume(repository, name)


def test_a_folder_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RecordFileError, match="no folder") as caught:
        begin(repository, tmp_path / "missing" / "records.sqlite3")
    assert caught.value.errno == 2


def test_a_link_to_where_no_file_is_yet(repository: Repository, file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    with begin(repository, link):
        assert file.exists()
    assert link.is_symlink()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        resume(repository, link)

    def outputs() -> Iterator[DatasetRef]:
        yield repository.predicted["derived"][0]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        QuantumBackedButler.from_predicted(
            str(repository.root), [], outputs(), repository.universe, {}, filename=link
        )
    assert not file.exists()
    assert link.is_symlink()


def test_large_integers(repository: Repository, file: Path) -> None:
    with QuantumBackedButler.from_predicted(
        str(repository.root), [(1 << 63) - 1, 1 << 63], [-1], repository.universe, {}, filename=str(file)
    ) as butler:
        butler._unavailable_inputs = {1 << 63}
    with resume(repository, file) as again:
        assert again._predicted_inputs == {(1 << 63) - 1, 1 << 63}
        assert again._predicted_outputs == {-1}
        assert again._unavailable_inputs == {1 << 63}
