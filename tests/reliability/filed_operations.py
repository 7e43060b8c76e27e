"""What a butler does that keeps its records in a SQLite file.

Calls on that file, and on those that SQLite has beside it, count like those on artifacts.
"""

from __future__ import annotations

__all__ = ("CloseFile", "OpenFile", "PruneFromFile", "PutToFile", "ResumeFile")

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from dataset_operations import OfButler, Prune, Put, value_of
from record_files import beside, contents, roles, roles_of
from shim import Fault, Mode, Strike

from quantum_butler import FileHasQuantumError, QuantumBackedButler, RecordFileError
from repositories import Repository


class _OfFile(OfButler):
    """Something that a butler does whose file is beside the repository.

    The last word of a variant is the durability.
    """

    def __init__(self, repository: Repository, folder: Path, variant: str):
        what, _, self.durability = variant.rpartition(" ")
        super().__init__(repository, folder, what)
        self.variant = variant
        self.below = folder
        self.files = folder / "files"
        self.file = self.files / "quantum.sqlite3"
        # What all butlers share is made and imported once, not by each process that is forked.
        self.files.mkdir()
        self.open()
        for ref in (self.other, *self.refs):
            self.butler.put(value_of(ref), ref)
            self.butler.get(ref)
        self.butler.close()
        self.resume()
        self.end()

    def prepare(self) -> None:
        self.end()
        self.files.mkdir()
        super().prepare()

    def end(self) -> None:
        try:
            super().end()
        finally:
            self.butler = None
            shutil.rmtree(self.files, ignore_errors=True)

    def open(self) -> None:
        self.butler = self.repository.butler(
            QuantumBackedButler,
            inputs=[self.input],
            outputs=[*self.refs, self.other],
            filename=str(self.file),
            durability=self.durability,
        )

    def resume(self, *, repair: bool = False) -> None:
        self.butler = QuantumBackedButler.resume(
            self.file,
            str(self.repository.root),
            self.repository.universe,
            self.repository.dataset_types,
            repair=repair,
            durability=self.durability,
        )

    def give_up(self) -> None:
        """Let go of a butler whose file has vanished."""
        if self.butler is not None:
            with contextlib.suppress(RecordFileError):
                self.butler.close()
            self.butler._journal.abandon()
            self.butler = None

    def state(self) -> dict[str, Any]:
        return {**super().state(), "rows": contents(self.file)}

    def check_error(self, error: BaseException, strike: Strike, fault: Fault) -> None:
        if str(self.files) not in strike.call:
            super().check_error(error, strike, fault)
            return
        assert isinstance(error, RecordFileError), f"no RecordFileError, but {error!r}"
        assert error.filename == str(self.file), error.filename
        assert str(self.file) in str(error)
        if fault.mode is not Mode.VANISH:
            assert error.errno in self.numbers(strike, fault), f"error number {error.errno}: {error}"

    def numbers(self, strike: Strike, fault: Fault) -> set[int]:
        """Return the error numbers that may come of a fault, as far as SQLite tells its kind."""
        call, _, path = strike.call.partition(" ")
        if fault.mode is not Mode.FAIL:
            # It may have had other ways, until another call has failed.
            return {errno.ENOSPC, errno.EIO, errno.EACCES}
        if call in ("write", "pwrite") and fault.code == errno.ENOSPC and not path.endswith("-shm"):
            return {errno.ENOSPC}
        if call == "open":
            # It cannot be opened, or, as SQLite tells it, only be read.
            return {errno.EACCES, fault.code}
        if call == "stat":
            # SQLite takes it for one that has been moved, and can only be read.
            return {errno.EIO, errno.EACCES, fault.code}
        if call == "lock":
            # Somebody else may have it.
            return {errno.EIO, errno.EBUSY}
        if call == "unlink":
            # What SQLite does not tell is seen after it.
            return {errno.EIO, fault.code}
        if call == "pread" and fault.code == errno.EIO:
            # That is taken for damage.
            return {errno.EIO, errno.EINVAL}
        return {errno.EIO}

    def finish(self) -> None:
        """Close the butler, and compare the file that it leaves with what it had."""
        butler, recorded = self.butler, sorted(self.recorded())
        outputs = set(butler._actual_output_refs)
        butler.close()
        assert beside(self.file) == [], f"not one file: {beside(self.file)}"
        assert roles(self.file) == roles_of(butler)
        rows = contents(self.file)
        paths = {path for _, path, *_ in rows["file_datastore_records"]}
        assert paths >= set(recorded), f"{set(recorded) - paths} is not in the file"
        assert rows["dataset_location_trash"] == []
        self.resume()
        assert not self.butler.resumption, self.butler.resumption
        assert self.butler._actual_output_refs == outputs
        assert sorted(self.recorded()) == recorded
        for ref in outputs:
            assert self.butler.get(ref) == value_of(ref)
        self.butler.close()
        self.butler = None

    def go_on(self, *, repair: bool = True) -> None:
        """Go on after a kill, with a file that a butler is said to have begun."""
        self.resume(repair=repair)
        outputs = self.butler._actual_output_refs
        # Nothing is believed of a dataset unless all is.
        for ref in (*self.refs, self.other):
            assert self.butler._datastore.knows(ref) is (ref in outputs), ref
        self.check_stored([ref for ref in self.refs if ref in outputs])

    def put_the_rest(self) -> None:
        """Put what is not there, and look at everything."""
        for ref in (self.other, *self.refs):
            if ref not in self.butler._actual_output_refs:
                self.butler.put(value_of(ref), ref)
        self.check_stored(self.refs)
        self.finish()


class PutToFile(_OfFile, Put):
    """`put`, into a folder that is there or not, of datasets with one file and with several."""

    variants = (
        "derived new disk",
        "derived there process",
        "parts_out there disk",
        "fragile_out new process",
    )

    def again(self) -> None:
        super().again()
        self.finish()

    def after_kill(self) -> None:
        self.go_on()
        assert self.other in self.butler._actual_output_refs
        self.put_the_rest()


class PruneFromFile(_OfFile, Prune):
    """`pruneDatasets` of one dataset and of several."""

    variants = ("derived one disk", "derived many process", "parts_out one disk")

    def has_vanished(self, strike: Strike, fault: Fault) -> bool:
        # The file of the records is looked at afterwards.
        return super().has_vanished(strike, fault) and str(self.files) not in strike.call

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        self.has_lost_files = fault.mode is Mode.VANISH
        if error is None or fault.mode is Mode.VANISH:
            super().check(error, strike, fault)
            return
        self.check_error(error, strike, fault)
        now = self.state()
        if now["artifacts"] == self.before["artifacts"]:
            assert now == self.before
            return
        # What cannot be taken back: the files are gone, and the datasets are in the trash until somebody
        # prunes again.
        trash = {dataset_id for dataset_id, _ in now["rows"]["dataset_location_trash"]}
        assert trash == {ref.id.hex for ref in self.refs}
        assert now["outputs"] == {self.other}
        assert roles(self.file)["actual_output"] == {self.other.id.hex}
        assert self.butler.stored_many(self.refs) == dict.fromkeys(self.refs, False)
        assert self.butler.get(self.other) == value_of(self.other)

    def again(self) -> None:
        if self.has_lost_files:
            super().again()
        else:
            self.run()
            self.check_stored([])
            for ref in self.refs:
                self.butler.put(value_of(ref), ref)
            self.check_stored(self.refs)
        self.finish()

    def after_kill(self) -> None:
        self.go_on()
        # All of them or none.
        assert self.butler._actual_output_refs in ({self.other}, {self.other, *self.refs})
        self.put_the_rest()


class OpenFile(_OfFile):
    """`initialize` with a file that is not there, or is that of another quantum."""

    variants = ("derived new disk", "derived new process", "derived taken disk")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.vanishing = self.files
        self.is_new = self._how == "new"

    def prepare(self) -> None:
        self.end()
        self.files.mkdir()
        if not self.is_new:
            self.open()
            self.butler.put(value_of(self.other), self.other)
            self.butler.close()
            self.butler = None
            self.before = contents(self.file)

    def run(self) -> None:
        self.is_refused = False
        try:
            self.open()
        except FileHasQuantumError as error:
            assert not self.is_new
            assert error.filename == str(self.file)
            self.is_refused = True

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        if fault.mode is Mode.VANISH and strike.hits:
            self.give_up()
            self.prepare()
        elif not self.is_new:
            assert error is not None or self.is_refused, "another quantum has taken the file"
            assert self.file.exists(), "the file of another quantum is gone"
            assert contents(self.file) == self.before
        elif error is not None:
            assert os.listdir(self.files) == [], f"{os.listdir(self.files)} is left"

    def again(self) -> None:
        if self.is_new:
            if self.butler is None:
                self.run()
            assert self.butler._actual_output_refs == set()
        else:
            self.go_on(repair=False)
        self.put_the_rest()

    def after_kill(self) -> None:
        if not self.is_new:
            self.go_on(repair=False)
            assert self.butler._actual_output_refs == {self.other}
        else:
            try:
                self.resume(repair=True)
            except (FileNotFoundError, RecordFileError):
                # It has not begun; it can be begun now.
                self.open()
            assert self.butler._actual_output_refs == set()
        self.put_the_rest()


class ResumeFile(_OfFile):
    """`resume` with the file of a butler that was closed, or of one that was killed amid of things."""

    variants = ("derived closed disk", "derived killed disk", "parts_out killed process")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.vanishing = None
        self.refs = list(repository.predicted[self.refs[0].datasetType.name])
        self.kept = [self.refs[0]]
        """What has been put, besides the other (`list` [ `DatasetRef` ])."""
        self.image: dict[Path, bytes] | None = None

    def make(self) -> dict[Path, bytes]:
        """Return all files that such a butler leaves."""
        kept, lost, torn, pruned = self.refs
        self.open()
        for ref in (self.other, kept, pruned):
            self.butler.put(value_of(ref), ref)
        if self._how == "closed":
            self.butler.pruneDatasets([pruned], disassociate=True, unstore=True, purge=True)
            self.butler.close()
        else:
            with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
                ids = (pruned.id.hex,)
                connection.execute(
                    "INSERT INTO dataset_location_trash (datastore_name, dataset_id) "
                    "SELECT datastore_name, dataset_id FROM dataset_location WHERE dataset_id = ?",
                    ids,
                )
                connection.execute("DELETE FROM dataset_location WHERE dataset_id = ?", ids)
                connection.execute("DELETE FROM quantum_butler_output WHERE dataset_id = ?", ids)
            with self.repository.butler(QuantumBackedButler, outputs=[lost, torn]) as another:
                another.put(value_of(lost), lost)
                another.put(value_of(torn), torn)
                [uri, *_] = another.getURIs(torn).iter_all()
                path = Path(uri.ospath)
            path.rename(path.with_name(f"{'0' * 16}{path.stem}.tmp{path.suffix}"))
        places = [path for path in self.files.iterdir() if not path.name.endswith("-shm")]
        places += [
            self.repository.root / name for name in self.repository.artifacts().keys() - self.original.keys()
        ]
        image = {path: path.read_bytes() for path in places}
        if self._how != "closed":
            assert any(path.name.endswith("-wal") for path in image)
        self.give_up()
        return image

    def prepare(self) -> None:
        self.end()
        self.files.mkdir()
        if self.image is None:
            self.image = self.make()
            self.end()
            self.files.mkdir()
        for path, data in self.image.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def run(self) -> None:
        self.resume(repair=True)

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        else:
            # What is amiss may not have been found, but nothing that is not.
            assert self.butler._actual_output_refs == {self.other, *self.kept}
            for ref in (self.other, *self.kept):
                assert self.butler.get(ref) == value_of(ref)
            self.butler.close()
        self.butler = None

    def again(self) -> None:
        self.go_on()
        assert self.butler._actual_output_refs == {self.other, *self.kept}
        self.put_the_rest()

    def after_kill(self) -> None:
        self.again()


class CloseFile(_OfFile):
    """`close`, with something that has been read and not yet written."""

    variants = ("derived all disk", "derived all process")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.vanishing = self.files

    def prepare(self) -> None:
        self.end()
        self.files.mkdir()
        self.open()
        for ref in (*self.refs, self.other):
            self.butler.put(value_of(ref), ref)
        self.before = contents(self.file)
        self.butler.get(self.input)

    def run(self) -> None:
        self.butler.close()

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        self.is_gone = fault.mode is Mode.VANISH and strike.hits > 0
        if error is not None:
            self.check_error(error, strike, fault)
        elif not self.is_gone:
            assert beside(self.file) == []
        if not self.is_gone:
            # Until it is closed, what has been read may be there or not, and that it was closed.
            now = contents(self.file)
            for name in self.before:
                if name not in ("quantum_butler_role", "quantum_butler_dataset", "quantum_butler_meta"):
                    assert now[name] == self.before[name], name

    def again(self) -> None:
        if self.is_gone:
            self.give_up()
            return
        butler = self.butler
        butler.close()
        assert beside(self.file) == []
        assert roles(self.file) == roles_of(butler)
        assert roles(self.file)["actual_input"] == {self.input.id.hex}
        self.go_on(repair=False)
        self.finish()

    def after_kill(self) -> None:
        self.go_on(repair=False)
        assert not self.butler.resumption
        assert self.butler._actual_output_refs == {self.other, *self.refs}
        self.finish()
