"""What can be wrong with a file: an error that names it, and a butler that is as before."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, DimensionUniverse
from record_files import beside, contents, roles, roles_of, stock_contents
from resuming import resume

from quantum_butler import QuantumBackedButler, RecordFileError
from quantum_butler.record_file import database as opening
from repositories import Repository


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite3"


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_PATIENCE", 0.1)


def begin(repository: Repository, file: Path, **options: Any) -> QuantumBackedButler:
    return repository.butler(
        QuantumBackedButler,
        inputs=repository.stored["measured"],
        outputs=repository.predicted["derived"],
        filename=str(file),
        **options,
    )


def state(repository: Repository, butler: QuantumBackedButler) -> Any:
    """Return everything that a failed call must not change."""
    refs = [*repository.stored["measured"], *repository.predicted["derived"]]
    return (
        butler._datastore.export_records(refs),
        butler._datastore.knows_these(refs),
        set(butler._datastore.bridge.check({ref.id for ref in refs})),
        roles_of(butler),
        repository.artifacts(),
    )


@contextlib.contextmanager
def fails(repository: Repository, butler: QuantumBackedButler, file: Path, number: int) -> Iterator[None]:
    """Expect an error that names the file, and nothing else changed."""
    before, rows = state(repository, butler), stock_contents(file)
    with pytest.raises(RecordFileError, match=r"records\.sqlite3") as caught:
        yield
    assert caught.value.errno == number
    assert caught.value.filename == str(file)
    assert state(repository, butler) == before
    assert stock_contents(file) == rows


def _hold(file: str, ready: Any, done: Any) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ready.set()
    done.wait()
    connection.close()


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Let another process hold the lock of a file."""
    context = multiprocessing.get_context("forkserver")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(file), ready, done))
    process.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        done.set()
        process.join()


def both(repository: Repository, butler: QuantumBackedButler, file: Path, number: int) -> None:
    """A put and a prune fail."""
    first, second = repository.predicted["derived"][:2]
    with fails(repository, butler, file, number):
        butler.put({"a": 1}, second)
    with fails(repository, butler, file, number):
        butler.pruneDatasets([first], disassociate=True, unstore=True, purge=True)
    with fails(repository, butler, file, number):
        butler.pruneDatasets([first, second], disassociate=True, unstore=True, purge=True)


def works(repository: Repository, butler: QuantumBackedButler, file: Path) -> None:
    """What has failed works when tried again."""
    first, second = repository.predicted["derived"][:2]
    butler.put({"a": 1}, second)
    butler.pruneDatasets([first], disassociate=True, unstore=True, purge=True)
    butler.close()
    assert beside(file) == []
    assert roles(file) == roles_of(butler)
    with QuantumBackedButler.resume(file, str(repository.root), repository.universe) as again:
        assert not again.resumption
        assert again._actual_output_refs == {second}
        assert again.get(second) == {"a": 1}


def test_a_lock(repository: Repository, file: Path) -> None:
    butler = begin(repository, file)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    with held(file):
        both(repository, butler, file, errno.EBUSY)
    works(repository, butler, file)


def test_a_reader_while_it_is_closed(repository: Repository, file: Path) -> None:
    butler = begin(repository, file)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM dataset_location").fetchall()
    with pytest.raises(RecordFileError, match=r"in use.*records\.sqlite3"):
        butler.close()
    reader.close()
    butler.close()
    butler.close()
    assert beside(file) == []


def _read(file: str, ready: Any, done: Any) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM dataset_location").fetchall()
    ready.set()
    done.wait()
    connection.close()


@contextlib.contextmanager
def read_until_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let another process read a file until this one waits for it."""
    context = multiprocessing.get_context("forkserver")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_read, args=(str(file), ready, done))
    process.start()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        done.set()
        process.join()

    try:
        assert ready.wait(60)
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_PATIENCE", 60.0)
            patch.setattr(opening.time, "sleep", pause)
            yield pauses
    finally:
        done.set()
        process.join()


def test_close_waits_for_a_reader(
    repository: Repository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    butler = begin(repository, file)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    with read_until_waited_for(file, monkeypatch) as pauses:
        butler.close()
    assert len(pauses) == 1
    assert beside(file) == []
    assert roles(file) == roles_of(butler)


def test_a_reader_keeps_no_file_looking_closed(repository: Repository, file: Path) -> None:
    """What a reader keeps from being copied into the file is copied when it has gone."""
    first, second = repository.predicted["derived"][:2]
    begin(repository, file).close()
    butler = resume(repository, file)
    reader = reading(file)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM quantum_butler_role").fetchall()
    butler.put({"a": 1}, first)
    reader.close()
    butler.put({"a": 2}, second)
    copy = file.with_name("copy.sqlite3")
    # Without its log, which has the puts.
    copy.write_bytes(file.read_bytes())
    assert opening.lacks_log(str(copy))
    butler.close()


def test_readers_do_not_disturb(repository: Repository, file: Path) -> None:
    with begin(repository, file) as butler:
        for ref in repository.predicted["derived"]:
            contents(file)
            butler.put({"a": 0}, ref)
            contents(file)
    assert len(roles(file)["actual_output"]) == 4


def test_somebody_else_writes(repository: Repository, file: Path) -> None:
    butler = begin(repository, file)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    with contextlib.closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE file_datastore_records SET file_size = 0")
    both(repository, butler, file, errno.EBUSY)


def limited(durability: str) -> None:
    """Work in a process that may not write long files for a while."""
    DimensionUniverse()
    repository, file = pickle.load(sys.stdin.buffer)
    butler = begin(repository, file, durability=durability)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(f"{file}-wal"), hard))
    both(repository, butler, file, errno.EIO)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    works(repository, butler, file)
    print("worked")


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_a_limit_on_the_size(repository: Repository, file: Path, durability: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from test_file_errors import limited; limited({durability!r})"],
        input=pickle.dumps((repository, file)),
        capture_output=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.decode() == "worked\n", done.stderr.decode()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one mebibyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mount.returncode:
        pytest.skip(f"No file system can be mounted here: {mount.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no space in a file system."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1024))
    return filler


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_a_full_disk(repository: Repository, small_disk: Path, durability: str) -> None:
    file = small_disk / "records.sqlite3"
    butler = begin(repository, file, durability=durability)
    butler.put({"a": 0}, repository.predicted["derived"][0])
    filler = fill(small_disk)
    both(repository, butler, file, errno.ENOSPC)
    with pytest.raises(RecordFileError, match="other"):
        begin(repository, small_disk / "other.sqlite3")
    assert not (small_disk / "other.sqlite3").exists()
    filler.unlink()
    works(repository, butler, file)


def test_a_folder_that_cannot_be_written_to(repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    file = folder / "records.sqlite3"
    begin(repository, file).close()
    mount = subprocess.run(["mount", "-o", "bind,ro", folder, folder], capture_output=True)
    if mount.returncode == 0:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    elif os.geteuid() != 0:
        folder.chmod(0o500)
    else:
        pytest.skip(f"No folder can be made read-only here: {mount.stderr.decode().strip()}")
    try:
        with pytest.raises(RecordFileError, match=r"new\.sqlite3") as caught:
            begin(repository, folder / "new.sqlite3")
        assert caught.value.errno in (errno.EACCES, errno.EROFS)
        with pytest.raises(RecordFileError, match=r"records\.sqlite3") as caught:
            QuantumBackedButler.resume(file, str(repository.root), repository.universe)
        assert caught.value.errno in (errno.EACCES, errno.EROFS)
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)
        else:
            folder.chmod(0o700)
    with QuantumBackedButler.resume(file, str(repository.root), repository.universe) as butler:
        butler.put({"a": 1}, repository.predicted["derived"][0])


def test_no_folder(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RecordFileError, match="nowhere"):
        begin(repository, tmp_path / "nowhere" / "records.sqlite3")


def _garbage(file: Path, repository: Repository) -> None:
    file.write_bytes(b"This is no database. " * 1000)


def _cut(file: Path, repository: Repository) -> None:
    begin(repository, file).close()
    os.truncate(file, 10_000)


def _overwritten(file: Path, repository: Repository) -> None:
    begin(repository, file).close()
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 40_000)


def _folder(file: Path, repository: Repository) -> None:
    file.mkdir()


def _somebody_elses(file: Path, repository: Repository) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def _registry(file: Path, repository: Repository) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for name in ("butler_attributes", "dataset_location", "dataset_location_trash", "opaque_meta"):
            connection.execute(f"CREATE TABLE {name} (name TEXT)")


def _other_columns(file: Path, repository: Repository) -> None:
    begin(repository, file).close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("ALTER TABLE file_datastore_records ADD COLUMN novelty TEXT")


def _no_id(file: Path, repository: Repository) -> None:
    begin(repository, file).close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE dataset_location SET dataset_id = 'me' WHERE rowid = 1")


def _no_number(file: Path, repository: Repository) -> None:
    begin(repository, file).close()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE file_datastore_records SET file_size = 'large' WHERE rowid = 1")


@pytest.mark.parametrize(
    "make",
    [
        _garbage,
        _cut,
        _overwritten,
        _folder,
        _somebody_elses,
        _registry,
        _other_columns,
        _no_id,
        _no_number,
    ],
)
def test_other_files(repository: Repository, file: Path, make: Callable[[Path, Repository], None]) -> None:
    make(file, repository)
    before = None if file.is_dir() else file.read_bytes()
    for again in (
        lambda: begin(repository, file),
        lambda: QuantumBackedButler.resume(file, str(repository.root), repository.universe),
    ):
        with pytest.raises(RecordFileError, match=r"records\.sqlite3"):
            again()
        assert file.exists()
        assert beside(file) == []
    if make in (_garbage, _cut, _somebody_elses, _registry, _other_columns):
        # It was not ours to touch.
        assert file.read_bytes() == before


def test_records_that_clash(repository: Repository, file: Path) -> None:
    import sqlalchemy

    inputs = repository.stored["measured"]
    records = repository.records_of(inputs)
    with QuantumBackedButler.from_predicted(
        str(repository.root), [], [], repository.universe, {}, filename=str(file)
    ) as butler:
        butler._datastore.import_records(records)
        before = stock_contents(file)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            butler._datastore.import_records(records)
        assert stock_contents(file) == before


def test_a_beginning_that_fails(repository: Repository, file: Path) -> None:
    with pytest.raises(AttributeError):
        QuantumBackedButler.from_predicted(
            str(repository.root),
            [],
            [],
            repository.universe,
            {"FileDatastore@<butlerRoot>": object()},  # type: ignore[dict-item]
            filename=str(file),
        )
    assert not file.exists()
    assert beside(file) == []


def _put_in_child(butler: QuantumBackedButler, ref: DatasetRef, answer: Any) -> None:
    try:
        butler.put({}, ref)
    except RecordFileError as error:
        answer.send(str(error))
    butler.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_leaves_the_file_alone(repository: Repository, file: Path) -> None:
    context = multiprocessing.get_context("fork")
    ref, other = repository.predicted["derived"][:2]
    with begin(repository, file) as butler:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_put_in_child, args=(butler, ref, sender))
        child.start()
        assert receiver.poll(60)
        assert f"process {os.getpid()}" in receiver.recv()
        child.join()
        butler.put({}, other)
    assert roles(file)["actual_output"] == {other.id.hex}


def test_a_folder_is_no_file(repository: Repository, file: Path) -> None:
    file.mkdir()
    for way in (begin, resume):
        with pytest.raises(RecordFileError, match=r"folder.*records\.sqlite3") as caught:
            way(repository, file)
        assert caught.value.errno == errno.EISDIR
    assert list(file.iterdir()) == []


def test_a_block_that_cannot_close_its_butler_raises(repository: Repository, file: Path) -> None:
    ref = repository.predicted["derived"][0]
    with pytest.raises(RecordFileError, match=r"records\.sqlite3"), begin(repository, file) as butler:
        butler.put({"a": 1}, ref)
        reader = reading(file)
    reader.close()
    butler.close()
    assert beside(file) == []


def test_a_block_that_has_failed_raises_that(
    repository: Repository, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyError, match="of the block"), begin(repository, file) as butler:
        reader = reading(file)
        raise KeyError("of the block")
    assert "An exception occurred during Butler.close()" in caplog.text
    reader.close()
    butler.close()
    assert beside(file) == []


def reading(file: Path) -> sqlite3.Connection:
    """Open a file, and read some of it."""
    reader = sqlite3.connect(file, isolation_level=None)
    assert reader.execute("SELECT * FROM quantum_butler_role").fetchall()
    return reader
