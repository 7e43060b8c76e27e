"""What a butler does to datasets, with its records in memory."""

from __future__ import annotations

__all__ = ("Get", "OfButler", "Prune", "Put", "value_of")

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from operation_base import Operation, is_temporary
from shim import Fault, Mode, Strike

from quantum_butler import QuantumBackedButler
from repositories import Repository, example_metrics


def value_of(ref: DatasetRef) -> Any:
    """Return the value that a dataset is given."""
    return example_metrics(3) if ref.datasetType.name.startswith(("parts", "whole")) else {"a": [1] * 50}


class OfButler(Operation):
    """Something that a butler does to a dataset."""

    dataset_types: ClassVar[tuple[str, ...]]

    def __init__(self, repository: Repository, folder: Path, variant: str):
        super().__init__(repository, folder, variant)
        name, _, self._how = variant.partition(" ")
        self.refs = list(repository.predicted[name][: 3 if self._how == "many" else 1])
        self.other = repository.predicted["log"][0]
        self.input = repository.stored["measured"][0]
        component = ".summary" if name.startswith("parts") else ""
        self.vanishing = repository.root / self.refs[0].run / f"{name}{component}"
        self.butler: Any = None
        shutil.rmtree(self.vanishing, ignore_errors=True)
        self.original = repository.artifacts()

    def named(self) -> str:
        return self.refs[0].datasetType.name

    def open(self) -> None:
        self.butler = self.repository.butler(
            QuantumBackedButler, inputs=[self.input], outputs=[*self.refs, self.other]
        )

    def end(self) -> None:
        for name in self.repository.artifacts().keys() - self.original.keys():
            (self.repository.root / name).unlink()
        if self.butler is not None:
            self.butler.close()
            self.butler = None

    def state(self) -> dict[str, Any]:
        butler = self.butler
        told = json.loads(butler.extract_provenance_data().model_dump_json())
        return {
            "artifacts": self.repository.artifacts(),
            "provenance": {
                name: sorted(value) if isinstance(value, list) else value for name, value in told.items()
            },
            "records": sorted(self.recorded()),
            "known": butler._datastore.knows_these([*self.refs, self.other]),
            "outputs": set(butler._actual_output_refs),
            "transaction": butler._datastore._transaction,
        }

    def recorded(self) -> Iterator[str]:
        """Yield the paths that there are records of."""
        for data in self.butler._datastore.export_records([*self.refs, self.other]).values():
            for tables in data.records.values():
                for info in itertools.chain.from_iterable(tables.values()):
                    assert isinstance(info, StoredFileInfo)
                    yield info.path

    def check_stored(self, refs: list[DatasetRef]) -> None:
        """Check that there are these datasets, and the other one, and no other file."""
        assert self.butler.stored_many(self.refs) == {ref: ref in refs for ref in self.refs}
        assert self.butler._actual_output_refs == {self.other, *refs}
        for ref in [self.other, *refs]:
            assert self.butler.get(ref) == value_of(ref)
        recorded, found = set(self.recorded()), self.repository.artifacts().keys() - self.original.keys()
        assert recorded == found, f"{recorded ^ found} is recorded or there, not both"
        for data in self.butler._datastore.export_records([*self.refs, self.other]).values():
            for tables in data.records.values():
                for info in itertools.chain.from_iterable(tables.values()):
                    assert (self.repository.root / info.path).stat().st_size == info.file_size


class Put(OfButler):
    """`put`, through formatters of every kind, into a new folder and into one that is there."""

    formatters = ("derived", "whole_out", "parts_out", "fragile_out", "fragile_v1_out", "fragile_direct_out")
    variants = tuple(f"{name} {how}" for name in formatters for how in ("new", "there"))

    def prepare(self) -> None:
        self.open()
        self.butler.put(value_of(self.other), self.other)
        shutil.rmtree(self.vanishing, ignore_errors=True)
        if self._how == "there":
            self.vanishing.mkdir()
        self.before = self.state()

    def run(self) -> None:
        self.butler.put(value_of(self.refs[0]), self.refs[0])

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
            now = self.state()
            for name, before in self.before.items():
                assert now[name] == before, f"{name} {before} has become {now[name]}"
            assert self.butler.stored(self.refs[0]) is False
        elif fault.mode is not Mode.VANISH:
            self.check_stored(self.refs)
        else:
            # The folder may have vanished after the last that was done to it.
            whole = {**self.before["artifacts"], **self.expected()}
            now = self.repository.artifacts()
            assert now.items() <= whole.items()
            assert self.before["artifacts"].items() <= now.items()

    def again(self) -> None:
        if self.refs[0] in self.butler._actual_output_refs:
            # A single dataset whose file has vanished is not pruned, as upstream has it.
            for name, data in self.expected().items():
                (self.repository.root / name).parent.mkdir(exist_ok=True)
                (self.repository.root / name).write_bytes(data)
            self.butler.pruneDatasets(self.refs, disassociate=True, unstore=True, purge=True)
        self.run()
        self.check_stored(self.refs)

    def expected(self) -> dict[str, bytes]:
        """Return the artifacts that it makes."""
        if not hasattr(self, "_expected"):
            with self.repository.butler(QuantumBackedButler, outputs=self.refs) as butler:
                kept = self.repository.artifacts()
                for name in kept.keys() & {path for path in kept if f"/{self.named()}" in path}:
                    (self.repository.root / name).unlink()
                before = self.repository.artifacts()
                butler.put(value_of(self.refs[0]), self.refs[0])
                now = self.repository.artifacts()
                self._expected = {name: now[name] for name in now.keys() - before.keys()}
                butler.pruneDatasets(self.refs, disassociate=True, unstore=True, purge=True)
            for name, data in kept.items():
                (self.repository.root / name).parent.mkdir(exist_ok=True)
                (self.repository.root / name).write_bytes(data)
        return self._expected

    def after_kill(self) -> None:
        # A formatter that writes in place has to answer for what it leaves there itself.
        in_place = self.variant.startswith("fragile_direct")
        expected = self.expected()
        for name, data in self.repository.artifacts().items():
            if name in self.original or "/log/" in name:
                continue
            if is_temporary(Path(name).name):
                stem = Path(name).name[16:].partition(".tmp.")[0]
                assert any(Path(one).name.startswith(f"{stem}.") for one in expected), name
            else:
                assert in_place or data == expected[name], f"{name} is not whole"
        # Who comes next can put it, whatever is there.
        for path in self.repository.root.rglob("*.tmp.*"):
            path.unlink()
        for name in self.repository.artifacts().keys() - self.original.keys() - expected.keys():
            (self.repository.root / name).unlink()
        self.open()
        self.run()
        for ref in self.refs:
            assert self.butler.get(ref) == value_of(ref)


class Prune(OfButler):
    """`pruneDatasets` of one dataset and of several."""

    variants = ("derived one", "derived many", "parts_out one", "parts_out many")

    def prepare(self) -> None:
        self.open()
        for ref in [self.other, *self.refs]:
            self.butler.put(value_of(ref), ref)
        self.before = self.state()

    def run(self) -> None:
        self.butler.pruneDatasets(self.refs, disassociate=True, unstore=True, purge=True)

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        now = self.state()
        if error is not None:
            self.check_error(error, strike, fault)
        elif not strike.hits:
            self.check_stored([])
            return
        # As upstream has it, what is taken out of the books stays out, and a file that cannot be removed
        # is left without a word; whoever prunes again removes it.  And as upstream has it, the record of
        # a single dataset whose file has vanished stays.
        left = [ref for ref in self.refs if now["known"][ref]]
        assert left == (self.refs if self.has_vanished(strike, fault) else [])
        assert now["outputs"] == {self.other}
        assert set(now["provenance"]["actual_outputs"]) == {str(self.other.id)}
        assert now["artifacts"].items() <= self.before["artifacts"].items()
        assert self.butler.get(self.other) == value_of(self.other)

    def has_vanished(self, strike: Strike, fault: Fault) -> bool:
        return fault.mode is Mode.VANISH and self._how == "one" and strike.call.startswith("stat")

    def again(self) -> None:
        for name in self.recorded():
            if not (self.repository.root / name).exists():
                (self.repository.root / name).parent.mkdir(exist_ok=True)
                (self.repository.root / name).write_bytes(self.before["artifacts"][name])
        self.run()
        self.check_stored([])
        for ref in self.refs:
            self.butler.put(value_of(ref), ref)
        self.check_stored(self.refs)

    def after_kill(self) -> None:
        left = self.repository.artifacts()
        assert left.keys() >= self.original.keys()
        for name in left.keys() - self.original.keys():
            assert not is_temporary(Path(name).name), name
            json.loads(left[name]) if name.endswith(".json") else None


class Get(OfButler):
    """`get` of datasets with one and with several files."""

    variants = ("derived one", "parts_out one", "fragile_out one")

    def prepare(self) -> None:
        self.open()
        for ref in [self.other, *self.refs]:
            self.butler.put(value_of(ref), ref)
        self.before = self.state()
        self.got: Any = None

    def run(self) -> None:
        self.got = None
        self.got = self.butler.get(self.refs[0])

    def check(self, error: BaseException | None, strike: Strike, fault: Fault) -> None:
        if error is not None:
            self.check_error(error, strike, fault)
        elif not (self.variant.startswith("parts") and strike.call.startswith("stat")):
            # Upstream makes a composite of the components whose files it can see.
            assert self.got == value_of(self.refs[0])
        now = self.state()
        if fault.mode is Mode.VANISH:
            self.restore()
            now["artifacts"] = self.before["artifacts"]
        assert now == self.before

    def restore(self) -> None:
        """Bring back the files that have vanished."""
        for name, data in self.before["artifacts"].items():
            path = self.repository.root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def again(self) -> None:
        self.run()
        assert self.got == value_of(self.refs[0])
