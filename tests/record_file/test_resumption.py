"""What a crash leaves is told, and mended if asked."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from record_files import beside, contents, roles, roles_of
from resuming import begin, drop, resume

from quantum_butler import QuantumBackedButler, RecordFileError
from quantum_butler.record_file import Journal
from repositories import NewRepository, Repository, example_metrics


class PowerCutError(BaseException):
    """Nobody handles it."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


def path_of(repository: Repository, butler: QuantumBackedButler, ref: DatasetRef) -> Path:
    return Path(butler.getURI(ref, predict=True).ospath)


@pytest.mark.parametrize("kind", ["file", "chained", "checksum"])
def test_going_on(new_repository: NewRepository, file: Path, kind: str) -> None:
    repository = new_repository(kind)
    inputs = repository.stored["measured"]
    derived, parts, exposed = (repository.predicted[name] for name in ("derived", "parts_out", "exposed_out"))
    butler = begin(repository, file)
    butler.get(inputs[0])
    butler.getDeferred(inputs[1])
    butler.stored(inputs[2])
    if kind != "chained":
        repository.paths(inputs[3])[0].unlink()
        with pytest.raises(FileNotFoundError):
            butler.get(inputs[3])
    butler.put({"a": 1}, derived[0])
    butler.put(example_metrics(1), parts[0])
    butler.put({"a": 2}, exposed[0])
    butler.put({"a": 3}, derived[1])
    butler.pruneDatasets([derived[1]], disassociate=False, unstore=True)
    expected = roles_of(butler)
    provenance = butler.extract_provenance_data()
    drop(butler)

    again = resume(repository, file)
    assert not again.resumption
    assert again._actual_output_refs == {derived[0], derived[1], parts[0], exposed[0]}
    assert {ref.id for ref in again._actual_output_refs if ref.dataId.hasFull()} == {
        ref.id for ref in (derived[0], derived[1], parts[0], exposed[0])
    }
    assert roles_of(again) == expected
    if kind == "file":
        assert again.get(derived[0]) == {"a": 1}
    assert again.get(parts[0]) == example_metrics(1)
    assert again.extract_provenance_data() == provenance
    again.put({"a": 4}, derived[2])
    again.pruneDatasets([derived[0]], disassociate=True, unstore=True, purge=True)
    again.close()
    with resume(repository, file) as third:
        assert third._actual_output_refs == {derived[1], derived[2], parts[0], exposed[0]}
        assert third.get(derived[2]) == {"a": 4}
    assert beside(file) == []


def crash_in_write(
    butler: QuantumBackedButler,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: BaseException | None = None,
) -> None:
    """Make a butler crash before its next-but-``number`` transaction."""
    numbers: Iterator[int] = itertools.count()
    write = Journal._write

    def crash(self: Journal, *args: Any, **options: Any) -> None:
        if next(numbers) == number:
            raise error or PowerCutError
        write(self, *args, **options)

    monkeypatch.setattr(Journal, "_write", crash)


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("what", ["derived", "parts_out"])
def test_an_artifact_without_a_record(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, what: str, repair: bool
) -> None:
    butler = begin(repository, file)
    ref, other = repository.predicted[what][:2]
    value: Any = {"a": 1} if what == "derived" else example_metrics(1)
    butler.put(value, other)
    with monkeypatch.context() as patch:
        # Killed, so that nobody takes the artifact away.
        patch.setattr("quantum_butler.butler.writing.all_or_nothing", lambda *_: _Nothing())
        crash_in_write(butler, patch, 0)
        with pytest.raises(PowerCutError):
            butler.put(value, ref)
    drop(butler)
    parts = {"derived": 1, "parts_out": 3}[what]
    with resume(repository, file, repair=repair) as again:
        assert again.resumption is not None
        assert {found.dataset_id for found in again.resumption.unrecorded_artifacts} == {ref.id}
        assert len(again.resumption.unrecorded_artifacts) == parts
        assert again.resumption.is_repaired is repair
        assert again.stored(ref) is not repair
        assert again._actual_output_refs == {other}
        again.put(value, ref)
        assert again.get(ref) == value
    with resume(repository, file) as clean:
        assert not clean.resumption


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *args: object) -> None: ...


def test_what_was_there_before_stays(repository: Repository, file: Path) -> None:
    ref, other = repository.predicted["derived"][:2]
    with repository.butler(QuantumBackedButler, outputs=[ref, other]) as earlier:
        earlier.put({"a": 1}, ref)
        earlier.put({"a": 1}, other)
    drop(butler := begin(repository, file))
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        assert again.get(ref) == {"a": 1}
        path = path_of(repository, butler=again, ref=ref)
        again.put({"a": 2}, ref)
        again.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)
        path.write_text("{}")
    del butler
    # It is not the one that was there before.
    with resume(repository, file, repair=True) as third:
        assert [found.dataset_id for found in third.resumption.unrecorded_artifacts] == [ref.id]
        assert not third.stored(ref)
        assert third.stored(other)


def test_temporary_files(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    path = path_of(repository, butler, ref)
    left = [path.with_name(f"{start}{path.stem}.tmp.json") for start in ("0123456789abcdef", "ab_cd012")]
    foreign = [path.with_name(name) for name in (f"x{path.stem}.tmp.json", f"0123456789abcdef{path.name}")]
    for name in (*left, *foreign):
        name.write_text("half")
    drop(butler)
    with resume(repository, file) as again:
        assert {found.path for found in again.resumption.temporary_files} == {
            name.relative_to(repository.root).as_posix() for name in left
        }
        assert all(name.exists() for name in left)
    with resume(repository, file, repair=True) as again:
        assert not any(name.exists() for name in left)
        assert all(name.exists() for name in foreign)
        assert again.get(ref) == {"a": 1}


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize("what", ["derived", "parts_out"])
def test_a_record_without_an_artifact(repository: Repository, file: Path, damage: str, what: str) -> None:
    ref, other = repository.predicted[what][:2]
    value: Any = {"a": 1} if what == "derived" else example_metrics(1)
    butler = begin(repository, file)
    butler.put(value, ref)
    butler.put(value, other)
    [(_, record), *_] = butler._datastore._get_dataset_locations_info(ref)
    path = repository.root / record.path
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, 1)
    drop(butler)
    with resume(repository, file) as again:
        assert [(found.dataset_id, found.path) for found in again.resumption.missing_artifacts] == [
            (ref.id, record.path)
        ]
        assert again._actual_output_refs == {ref, other}
    with resume(repository, file, repair=True) as again:
        assert again._actual_output_refs == {other}
        assert not again.stored(ref)
        assert not again._datastore.knows(ref)
        assert not [name for name in repository.artifacts() if name.endswith(path.name)]
        again.put(value, ref)
        assert again.get(ref) == value
    assert roles(file)["actual_output"] == {ref.id.hex, other.id.hex}


def test_an_input_that_is_not_there_is_nobodys_fault(repository: Repository, file: Path) -> None:
    repository.paths(repository.stored["measured"][0])[0].unlink()
    drop(begin(repository, file))
    with resume(repository, file, repair=True) as again:
        assert not again.resumption
        assert again._datastore.knows(repository.stored["measured"][0])


@pytest.mark.parametrize("purge", [True, False])
def test_an_unfinished_removal(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, purge: bool
) -> None:
    derived = repository.predicted["derived"]
    butler = begin(repository, file)
    for ref in derived:
        butler.put({"a": 1}, ref)
    with monkeypatch.context() as patch:
        crash_in_write(butler, patch, 1)
        with pytest.raises(PowerCutError):
            butler.pruneDatasets(derived[:2], disassociate=purge, unstore=True, purge=purge)
    drop(butler)
    assert {row[0] for row in contents(file)["dataset_location_trash"]} == {ref.id.hex for ref in derived[:2]}
    expected = set(derived[2:]) if purge else set(derived)
    with resume(repository, file) as again:
        assert {found.dataset_id for found in again.resumption.unfinished_removals} == {
            ref.id for ref in derived[:2]
        }
        assert again._actual_output_refs == expected
    with resume(repository, file, repair=True) as again:
        assert again._actual_output_refs == expected
        assert again.stored_many(derived) == {ref: ref in derived[2:] for ref in derived}
    tables = contents(file)
    assert tables["dataset_location_trash"] == []
    assert not {row[0] for row in tables["file_datastore_records"]} & {ref.id.hex for ref in derived[:2]}


@pytest.mark.parametrize("count", [1, 2])
def test_a_removal_that_fails_half_way(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    derived = repository.predicted["derived"]
    butler = begin(repository, file)
    for ref in derived:
        butler.put({"a": 1}, ref)
    with monkeypatch.context() as patch:
        crash_in_write(butler, patch, 1, RecordFileError(errno.ENOSPC, "full", str(file)))
        with pytest.raises(RecordFileError):
            butler.pruneDatasets(derived[:count], disassociate=True, unstore=True, purge=True)
    butler.pruneDatasets(derived[:count], disassociate=True, unstore=True, purge=True)
    for ref in derived[:count]:
        butler.put({"a": 2}, ref)
    butler.close()
    with resume(repository, file) as again:
        assert not again.resumption
        assert again.get(derived[0]) == {"a": 2}
        assert again._actual_output_refs == set(derived)


def test_predictions_without_refs(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    butler = QuantumBackedButler.from_predicted(
        str(repository.root), [], [ref.id], repository.universe, {}, filename=str(file)
    )
    butler.put({"a": 1}, ref)
    drop(butler)
    with resume(repository, file, repair=True) as again:
        assert again._actual_output_refs == {ref}
        assert again.get(ref) == {"a": 1}


@pytest.mark.parametrize(
    "path",
    [
        "../outside/a.json",
        "a/../../outside/a.json",
        "%2e%2e/outside/a.json",
        "{outside}/a.json",
        "linked.json",
    ],
)
def test_a_strangers_file_leads_nowhere_outside(repository: Repository, file: Path, path: str) -> None:
    outside = repository.root.parent / "outside"
    outside.mkdir()
    names = ("a.json", "0123456789abcdefa.tmp.json")
    for name in names:
        (outside / name).write_text("{}")
    (repository.root / "linked.json").symlink_to(outside / "a.json")
    ref, other = repository.predicted["derived"][:2]
    butler = begin(repository, file)
    butler.put({"a": 1}, ref)
    butler.close()
    path = path.format(outside=outside)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE file_datastore_records SET path = ?, file_size = 7", (path,))
        changed = connection.execute(
            "UPDATE quantum_butler_predicted_artifact SET path = ? WHERE dataset_id = ?", (path, other.id.hex)
        )
        assert changed.rowcount == 1
    connection.close()
    with resume(repository, file, repair=True) as again:
        again.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)
    assert sorted(found.name for found in outside.iterdir()) == sorted(names)


def test_integer_ids(repository: Repository, file: Path) -> None:
    with QuantumBackedButler.from_predicted(
        str(repository.root), [7, uuid.UUID(int=7)], [8], repository.universe, {}, filename=str(file)
    ) as butler:
        assert butler._predicted_inputs == {7, uuid.UUID(int=7)}
    with resume(repository, file) as again:
        assert again._predicted_inputs == {7, uuid.UUID(int=7)}
        assert again._predicted_outputs == {8}


def test_files_to_resume_from(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        resume(repository, tmp_path / "missing.sqlite3")
    assert not (tmp_path / "missing.sqlite3").exists()
    empty = tmp_path / "empty.sqlite3"
    empty.touch()
    with pytest.raises(RecordFileError, match=r"initialize.*empty"):
        resume(repository, empty)
    # As is a file whose butler never came to be.
    with begin(repository, empty) as butler:
        butler.put({}, repository.predicted["derived"][0])
    assert roles(empty)["actual_output"]


def test_a_later_format(repository: Repository, file: Path) -> None:
    begin(repository, file).close()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE quantum_butler_meta SET value = '2'")
    connection.close()
    for again in (resume, begin):
        with pytest.raises(RecordFileError, match="format 2"):
            again(repository, file)
    assert beside(file) == []
