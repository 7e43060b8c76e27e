"""Writing files of provenance, and collecting them."""

from __future__ import annotations

__all__ = ("Collect", "WriteProvenance")

import gzip
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from operation_base import OfFolder, provenance
from shim import Fault, Mode, Strike

from quantum_butler import ProvenanceLog, collect
from quantum_butler.quantum.file import write_provenance
from repositories import Repository

_OLD = uuid.UUID(int=10**9)
"""Quantum of the archive that is there before another is collected."""


class WriteProvenance(OfFolder):
    """`write_provenance`, which replaces a file."""

    variants = (".json", ".json.zst", ".json.gz", ".yaml")

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        self.path = self.folder / "below" / f"provenance{variant}"
        self.vanishing = self.path.parent

    def named(self) -> str:
        return str(self.path.parent)

    def prepare(self) -> None:
        self.clear()
        self.path.parent.mkdir()
        self.path.write_bytes(b"old")

    def run(self) -> None:
        write_provenance(provenance(5), self.path)

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
            if fault.mode is not Mode.VANISH:
                assert self.path.read_bytes() == b"old"
        if self.path.exists():
            assert [path.name for path in self.path.parent.iterdir()] == [self.path.name]

    def again(self) -> None:
        self.run()
        data = self.path.read_bytes()
        if self.variant == ".json.gz":
            data = gzip.decompress(data)
        elif self.variant == ".json.zst":
            data = pyarrow.input_stream(str(self.path), compression="zstd").read()
        if self.variant != ".yaml":
            assert len(json.loads(data)["predicted_inputs"]) == 40
        assert [path.name for path in self.path.parent.iterdir()] == [self.path.name]

    def after_kill(self) -> None:
        assert self.path.read_bytes() == b"old" or self.path.stat().st_size > 100
        # What is left has no ending by which it would be collected.
        for path in self.path.parent.iterdir():
            assert path == self.path or re.fullmatch(r"\.[0-9a-f]{32}", path.name), path


class Collect(OfFolder):
    """`collect` into a new archive, in place of one, and into one."""

    variants = ("new", "new sources", "overwrite", "append", "append sources")

    # Arrow does.
    keeps_to_itself = ("close", "mmap")

    def __init__(self, repository: Repository, folder: Path, variant: str, *, quanta: int = 30):
        super().__init__(repository, folder, variant)
        self.sources = self.folder / "sources"
        self.archive = self.folder / "archives" / "archive"
        # The archive goes with all that is beside it, or the input does.
        self.vanishing = self.sources if variant.endswith("sources") else self.archive.parent
        self.outside = folder / "outside"
        self.old, self.new = self.outside / "old", self.outside / "new"
        if not self.outside.exists():
            self.make(quanta)

    def make(self, quanta: int) -> None:
        """Make the input, and the archives that there are before and after."""
        sources = self.outside / "sources"
        sources.mkdir(parents=True)
        self.write_sources(sources, quanta)
        with ProvenanceLog(self.outside / "old.jsonl") as log:
            log.append(_OLD, provenance(1))
        collect(self.outside / "old.jsonl", self.old)
        append = self.variant.startswith("append")
        if append:
            shutil.copytree(self.old, self.new)
        collect(sources, self.new, append=append)

    def write_sources(self, folder: Path, quanta: int) -> None:
        for first, name in enumerate(("a.jsonl", "b.jsonl.zst")):
            with ProvenanceLog(folder / name) as log:
                for n in range(first * quanta, (first + 1) * quanta):
                    log.append(uuid.UUID(int=n), provenance(n), task_label="isr")
                    if n % 7 == 0:
                        log.flush()
        for n in range(2 * quanta, 2 * quanta + 6):
            path = folder / f"{uuid.UUID(int=n)}.json{'.gz' if n % 2 else ''}"
            write_provenance(provenance(n), path)

    def prepare(self) -> None:
        self.clear()
        shutil.copytree(self.outside / "sources", self.sources)
        self.archive.parent.mkdir()
        if not self.variant.startswith("new"):
            shutil.copytree(self.old, self.archive)
        self.report: Any = None

    def run(self) -> None:
        append, overwrite = self.variant.startswith("append"), self.variant == "overwrite"
        self.report = collect(self.sources, self.archive, append=append, overwrite=overwrite, jobs=2)

    def named(self) -> str:
        return str(self.folder)

    def content(self, archive: Path) -> dict[str, bytes] | None:
        return {path.name: path.read_bytes() for path in archive.iterdir()} if archive.exists() else None

    def ids(self, archive: Path) -> list[uuid.UUID]:
        table = pyarrow.parquet.read_table(archive / "quanta.parquet", use_threads=False)
        return table["quantum_id"].to_pylist()

    def litter(self) -> list[str]:
        if not self.archive.parent.exists():
            return []
        return [name for name in os.listdir(self.archive.parent) if name != self.archive.name]

    def is_new(self) -> None:
        """Check that the archive has everything."""
        for name in ("quanta", "edges", "records"):
            ours, expected = (
                pyarrow.parquet.read_table(archive / f"{name}.parquet", use_threads=False)
                for archive in (self.archive, self.new)
            )
            assert ours.equals(expected), name
        with pyarrow.ipc.open_file(self.archive / "lineage.arrow") as ours:
            with pyarrow.ipc.open_file(self.new / "lineage.arrow") as expected:
                assert ours.read_all().equals(expected.read_all())
        assert not (self.archive / "rejected.jsonl").exists()

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        gone = not self.sources.exists()
        if fault.mode is Mode.VANISH and strike.hits and self.vanishing == self.archive.parent:
            # Together with the archives that are there, or some of their files.
            if error is not None:
                self.check_error(error, strike, fault)
            elif self.archive.exists() and self.content(self.archive).keys() >= self.content(self.new).keys():
                self.is_new()
            shutil.rmtree(self.archive, ignore_errors=True)
            return
        if error is not None:
            self.check_error(error, strike, fault)
            if not gone:
                old = None if self.variant.startswith("new") else self.content(self.old)
                assert self.content(self.archive) == old, "the old archive is not as it was"
        elif self.report.rejected:
            # Input that cannot be read is told of, and does not stop the rest.
            assert "/sources" in strike.call or fault.mode is Mode.VANISH, strike
            lines = [json.loads(line) for line in (self.archive / "rejected.jsonl").open()]
            assert len(lines) == self.report.rejected
            assert all(line["source"].startswith(str(self.sources)) for line in lines)
            assert set(self.ids(self.archive)) < set(self.ids(self.new))
            if self.variant.startswith("append"):
                assert _OLD in self.ids(self.archive)
        elif self.archive.exists():
            self.is_new()
        else:
            assert gone
        # Removing the scratch folder may have failed, too; whoever comes next does it.
        if fault.mode in (Mode.FAIL, Mode.VANISH) and self.removed_nothing(strike):
            assert self.litter() == []

    def removed_nothing(self, strike: Strike) -> bool:
        return ".partial-" not in strike.call

    def again(self) -> None:
        if not self.sources.exists():
            shutil.copytree(self.outside / "sources", self.sources)
        self.archive.parent.mkdir(exist_ok=True)
        if self.variant.startswith("new"):
            shutil.rmtree(self.archive, ignore_errors=True)
        elif not self.archive.exists():
            shutil.copytree(self.old, self.archive)
        elif self.report is not None and self.variant.startswith("append"):
            shutil.rmtree(self.archive)
            shutil.copytree(self.old, self.archive)
        self.run()
        assert self.report.rejected == 0
        self.is_new()
        assert self.litter() == [], self.litter()

    def after_kill(self) -> str:
        old = None if self.variant.startswith("new") else self.content(self.old)
        self.report = None
        if self.content(self.archive) != old:
            self.is_new()
            self.report = True
        left = "left the old archive" if self.report is None else "left the new archive"
        self.again()
        return left
