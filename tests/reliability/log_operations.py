"""What is done to provenance logs."""

from __future__ import annotations

__all__ = ("Append", "CloseButler", "CloseLog", "OpenLog", "TryFolder")

import os
import shutil
import uuid
from pathlib import Path

from dataset_operations import OfButler, value_of
from operation_base import OfFolder, provenance, read_log
from shim import Fault, Mode, Strike

from quantum_butler import ProvenanceLog, switches
from quantum_butler.paths import require_writable
from quantum_butler.quantum import process_log
from repositories import Repository


class _OfLog(OfFolder):
    """Something that is done to a provenance log."""

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        ending, *options = variant.split(" ")
        self.path = self.folder / "logs" / f"log{ending}"
        self.vanishing = self.path.parent
        self.fsync = "fsync" in options
        self.log: ProvenanceLog | None = None

    def named(self) -> str:
        return str(self.path)

    def open(self) -> None:
        self.log = ProvenanceLog(self.path, fsync=self.fsync)

    def append(self, n: int) -> None:
        assert self.log is not None
        self.log.append(uuid.UUID(int=n), provenance(n), task_label="isr", data_id={"detector": n})

    def quanta(self) -> list[int]:
        lines = read_log(self.path)
        for line in lines:
            n = uuid.UUID(line["quantum_id"]).int
            assert line["actual_inputs"] == [str(uuid.UUID(int=n << 32))]
        return [uuid.UUID(line["quantum_id"]).int for line in lines]

    def end(self) -> None:
        if self.log is not None:
            self.log.close()
            self.log = None
        super().end()


class OpenLog(_OfLog):
    """Opening a log: a new one, one that is there, and one whose end is torn."""

    variants = tuple(
        f"{ending} {state}" for ending in (".jsonl", ".jsonl.zst") for state in ("new", "there", "torn")
    )

    def prepare(self) -> None:
        self.clear()
        self.path.parent.mkdir()
        if "new" not in self.variant:
            self.open()
            for n in (1, 2):
                self.append(n)
                self.log.flush()
            self.log.close()
        if "torn" in self.variant:
            os.truncate(self.path, self.path.stat().st_size - 9)
        self.before = self.path.read_bytes() if self.path.exists() else None
        self.log = None

    def kept(self) -> list[int]:
        return [] if "new" in self.variant else [1] if "torn" in self.variant else [1, 2]

    def run(self) -> None:
        self.open()

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is None:
            self.finish()
            return
        self.check_error(error, strike, fault)
        if fault.mode is Mode.VANISH:
            return
        now = self.path.read_bytes() if self.path.exists() else None
        assert now in (self.before, self.before or b""), "the log is not as it was"

    def again(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        if self.log is None:
            self.open()
            self.finish()

    def finish(self) -> None:
        there = self.path.exists() and self.path.stat().st_size > 0
        self.append(7)
        self.log.close()
        if self.path.exists():
            assert self.quanta() == [*(self.kept() if there else []), 7]

    def after_kill(self) -> None:
        self.open()
        self.finish()


class Append(_OfLog):
    """`append` to a log, with what is needed to have it kept."""

    variants = tuple(f"{ending}{fsync}" for ending in (".jsonl", ".jsonl.zst") for fsync in ("", " fsync"))

    def prepare(self) -> None:
        self.clear()
        self.path.parent.mkdir()
        self.open()
        self.append(1)
        self.log.flush()
        self.appended = False

    def run(self) -> None:
        self.append(2)
        self.appended = True
        self.log.flush()

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        self.kept = [1, 2] if self.appended else [1]
        if fault.mode is Mode.VANISH and strike.hits:
            return
        # Nothing is lost, and nothing of what has failed is taken for a line.
        try:
            assert self.quanta() == ([1] if error is not None else [1, 2])
        except (AssertionError, ValueError, OSError):
            # The torn end could not be taken back; it is not taken for more than that.
            assert strike.hits > 1 or strike.call.startswith("ftruncate"), strike

    def again(self) -> None:
        if not self.path.exists():
            self.log.close()
            self.path.parent.mkdir()
            self.open()
            self.kept = []
        self.append(3)
        self.log.flush()
        assert self.quanta() == [*self.kept, 3]
        self.append(4)
        self.log.close()
        assert self.quanta() == [*self.kept, 3, 4]

    def after_kill(self) -> None:
        self.open()
        self.append(3)
        self.log.close()
        assert self.quanta() in ([1, 3], [1, 2, 3])


class CloseLog(_OfLog):
    """`close` of a log that has something left to write."""

    variants = (".jsonl.zst", ".jsonl.zst fsync", ".jsonl.zst empty", ".jsonl")

    def prepare(self) -> None:
        self.clear()
        self.path.parent.mkdir()
        self.open()
        self.kept = [] if "empty" in self.variant else [1]
        for n in self.kept:
            self.append(n)

    def run(self) -> None:
        self.log.close()

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        elif fault.mode is not Mode.VANISH:
            assert self.quanta() == self.kept

    def again(self) -> None:
        self.log.close()
        if self.path.exists():
            assert self.quanta() == self.kept

    def after_kill(self) -> None:
        self.open()
        self.append(3)
        self.log.close()
        assert self.quanta() in ([3], [1, 3])


class TryFolder(OfFolder):
    """Trying a folder for logs before the first quantum: one that is there, and one that is not."""

    variants = ("new", "there")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.logs = self.vanishing = self.folder / "some" / "logs"

    def named(self) -> str:
        return str(self.logs)

    def prepare(self) -> None:
        self.clear()
        if self.variant == "there":
            self.logs.mkdir(parents=True)

    def run(self) -> None:
        require_writable(str(self.logs))

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        elif fault.mode is not Mode.VANISH:
            assert self.logs.is_dir()
        left = list(self.logs.glob(".*")) if self.logs.exists() else []
        # A file that cannot be removed is hidden, so that it is not collected.
        assert not left or strike.call.startswith("unlink"), left

    def again(self) -> None:
        self.run()

    def after_kill(self) -> None:
        self.run()


class CloseButler(OfButler):
    """`close` of a butler whose provenance is logged."""

    variants = ("derived first", "derived later")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.logs = self.vanishing = self.below = folder / "logs"

    def named(self) -> str:
        return str(self.logs)

    def prepare(self) -> None:
        self.end()
        shutil.rmtree(self.logs, ignore_errors=True)
        process_log._log_of_process.cache_clear()
        switches.set_log_folder(self.logs)
        self.closed = 0
        self.open()
        self.butler.put(value_of(self.other), self.other)
        if self._how == "later":
            self.butler.close()
            self.closed += 1
            self.open()
            self.butler.stored_many([*self.refs, self.input])

    def run(self) -> None:
        self.butler.close()

    def lines(self) -> int:
        return sum(len(read_log(path)) for path in self.logs.rglob("*.jsonl"))

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
            if fault.mode is not Mode.VANISH:
                assert self.lines() == self.closed
        elif not strike.hits or fault.mode is not Mode.VANISH:
            self.closed += 1
            assert self.lines() == self.closed
        else:
            # What is written to a file that has vanished goes with it.
            self.closed = self.lines()
        # The butler is closed nevertheless.
        self.butler.close()

    def again(self) -> None:
        self.open()
        self.butler.stored_many([*self.refs, self.input])
        self.butler.close()
        if list(self.logs.rglob("*.jsonl")):
            assert self.lines() == self.closed + 1

    def end(self) -> None:
        switches.set_log_folder(None)
        super().end()
        shutil.rmtree(self.logs, ignore_errors=True)
