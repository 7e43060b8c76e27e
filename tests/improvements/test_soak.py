"""One butler under everything that eight threads do to it at once; nothing is lost.

Each thread has outputs of its own, all share the inputs.  What a thread does is
drawn at random, from a seed; it keeps books, and in the end the books of all
threads must add up to what the butler, its records, its provenance and the
disk say.  A run takes some hundred operations in each thread; with
``QUANTUM_BUTLER_SOAK`` in the environment it goes on for that many seconds.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from together import THREADS, at_once, many_outputs

import quantum_butler
from repositories import NewRepository, Repository, example_metrics

pytestmark = pytest.mark.proof

SECONDS = float(os.environ.get("QUANTUM_BUTLER_SOAK", "0"))
OPERATIONS = 100
"""What each thread does at least."""

OUTPUTS = ("derived", "parts_out", "model_out", "fragile_v1_out")
"""Dataset types: bytes, one file for each component, conversion, a formatter of the first generation."""

OF_EACH = 24
"""Outputs of each type and thread; every third may be pruned."""


@dataclasses.dataclass
class Books:
    """What one thread has done."""

    kept: dict[DatasetRef, Any] = dataclasses.field(default_factory=dict)
    """What it has put and not pruned, and as what."""

    read: set[DatasetRef] = dataclasses.field(default_factory=set)
    """Inputs that it has read."""

    found: set[DatasetRef] = dataclasses.field(default_factory=set)
    """Inputs that were there when it looked."""

    missed: set[DatasetRef] = dataclasses.field(default_factory=set)
    """Inputs that were not."""

    done: Counter[str] = dataclasses.field(default_factory=Counter)
    """Successful operations, by name."""


class Thread:
    """What one of the threads does.

    Parameters
    ----------
    butler : `quantum_butler.QuantumBackedButler`
        The butler that all share.
    inputs : `dict` [ `DatasetRef`, `object` ]
        Predicted inputs and what is in them; `None` for what is missing.
    outputs : `list` [ `DatasetRef` ]
        Outputs of this thread alone.
    lasting : `set`
        Ids of datasets that no thread ever prunes.
    seed : `int`
        What makes it different.
    """

    def __init__(
        self,
        butler: quantum_butler.QuantumBackedButler,
        inputs: dict[DatasetRef, Any],
        outputs: list[DatasetRef],
        lasting: set[Any],
        seed: int,
    ):
        self.butler, self.inputs, self.outputs, self.lasting = butler, inputs, outputs, lasting
        self.random = random.Random(seed)
        self.books = Books()

    def work(self, seconds: float) -> Books:
        """Do it, for so long at least."""
        end = time.monotonic() + seconds
        operations = (self.put, self.put, self.read, self.read_back, self.look, self.look_at_many)
        operations = (*operations, self.defer, self.prune, self.extract)
        for count in itertools.count():
            if count >= OPERATIONS and time.monotonic() >= end:
                return self.books
            self.random.choice(operations)()
        raise AssertionError("unreachable")

    def put(self) -> None:
        absent = [ref for ref in self.outputs if ref not in self.books.kept]
        if not absent:
            return
        ref = self.random.choice(absent)
        number = self.random.randrange(1000)
        value: Any = {"number": number}
        if ref.datasetType.name in ("parts_out", "model_out"):
            value = example_metrics(number)
        assert self.butler.stored(ref) is False
        assert self.butler.put(value, ref) is ref
        if ref.datasetType.name == "model_out":
            value = ref.datasetType.storageClass.coerce_type(value)
        self.books.kept[ref] = value
        self.books.done["put"] += 1

    def read_back(self) -> None:
        if self.books.kept:
            ref = self.random.choice(list(self.books.kept))
            assert self.butler.get(ref) == self.books.kept[ref]
            self.books.done["get"] += 1

    def read(self) -> None:
        ref, value = self.random.choice(list(self.inputs.items()))
        if value is None:
            with pytest.raises(FileNotFoundError):
                self.butler.get(ref)
            self.books.missed.add(ref)
            self.books.done["failed get"] += 1
            return
        assert self.butler.get(ref) == value
        self.books.read.add(ref)
        self.books.done["get"] += 1

    def defer(self) -> None:
        ref, value = self.random.choice(list(self.inputs.items()))
        if value is not None:
            assert self.butler.getDeferred(ref).get() == value
            self.books.read.add(ref)
            self.books.done["get"] += 1

    def look(self) -> None:
        ref, value = self.random.choice(list(self.inputs.items()))
        assert self.butler.stored(ref) is (value is not None)
        (self.books.missed if value is None else self.books.found).add(ref)
        self.books.done["stored"] += 1

    def look_at_many(self) -> None:
        existence = self.butler.stored_many([*self.inputs, *self.outputs])
        assert {ref for ref in self.outputs if existence[ref]} == self.books.kept.keys()
        for ref, value in self.inputs.items():
            assert existence[ref] is (value is not None)
            (self.books.missed if value is None else self.books.found).add(ref)
        self.books.done["stored_many"] += 1

    def prune(self) -> None:
        mine = [ref for ref in self.books.kept if ref.id not in self.lasting]
        if mine:
            refs = self.random.sample(mine, self.random.randint(1, len(mine)))
            self.butler.pruneDatasets(refs, disassociate=True, unstore=True, purge=True)
            for ref in refs:
                del self.books.kept[ref]
            assert self.butler.stored_many(refs) == dict.fromkeys(refs, False)
            self.books.done["pruneDatasets"] += 1

    def extract(self) -> None:
        provenance = self.butler.extract_provenance_data()
        assert provenance.model_dump_json()
        recorded = set(
            itertools.chain.from_iterable(data.dataset_ids for data in provenance.datastore_records.values())
        )
        # A dataset that is being pruned loses its record before it ceases to be an output.
        assert recorded <= provenance.actual_outputs
        assert provenance.actual_outputs & self.lasting <= recorded
        mine = {ref.id for ref in self.outputs}
        assert recorded & mine == {ref.id for ref in self.books.kept}
        assert {ref.id for ref in self.books.read} <= provenance.actual_inputs
        self.books.done["extract_provenance_data"] += 1


def _files(repository: Repository) -> set[Path]:
    return {repository.root / name for name in repository.artifacts()}


@pytest.mark.timeout(300 + 3 * SECONDS)
@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("kind", ["file", "chained"])
def test_everything_at_once(new_repository: NewRepository, kind: str) -> None:
    repository = new_repository(kind)
    recorded = [ref for name in ("measured", "parts", "whole") for ref in repository.stored[name]]
    inputs = {ref: repository.values[ref.id] for ref in [*recorded, *repository.stored["exposed"]]}
    for ref in (repository.stored["measured"][3], repository.stored["parts"][2]):
        for path in repository.paths(ref):
            path.unlink()
        inputs[ref] = None
    outputs = {name: many_outputs(repository, name, OF_EACH * THREADS) for name in OUTPUTS}
    everything = list(itertools.chain.from_iterable(outputs.values()))
    lasting = {ref.id for number, ref in enumerate(everything) if number % 3}
    before = _files(repository)
    with repository.butler(
        quantum_butler.QuantumBackedButler, inputs=inputs, outputs=everything, recorded=recorded
    ) as butler:
        threads = [
            Thread(butler, inputs, [ref for refs in outputs.values() for ref in refs[n::THREADS]], lasting, n)
            for n in range(THREADS)
        ]
        books = at_once([functools.partial(thread.work, SECONDS) for thread in threads])
        done = sum((each.done for each in books), Counter())
        print(f"{done.total():,} operations on {kind}: {dict(done)}")
        kept = {ref: value for each in books for ref, value in each.kept.items()}
        ids = {ref.id for ref in kept}
        assert ids and ids < {ref.id for ref in everything}
        read, found, missed = (
            {ref.id for each in books for ref in getattr(each, name)} for name in ("read", "found", "missed")
        )

        # The butler's own bookkeeping.
        assert butler._actual_output_refs == kept.keys()
        assert butler._predicted_inputs == {ref.id for ref in inputs}
        assert butler._predicted_outputs == {ref.id for ref in everything}
        assert butler._actual_inputs == read
        assert butler._available_inputs == read | found
        assert butler._unavailable_inputs == missed
        assert (butler._metrics.n_get, butler._metrics.n_put) == (done["get"], done["put"])

        # What is stored, and can be read.
        assert butler.stored_many(everything) == {ref: ref in kept for ref in everything}
        assert butler._datastore.knows_these(everything) == {ref: ref in kept for ref in everything}
        assert {ref: butler.get(ref) for ref in kept} == kept

        # Records, and the files that they tell of.
        exported = butler._datastore.export_records(everything)
        assert {dataset for data in exported.values() for dataset in data.records} == ids
        infos = {
            Path(name.partition("@")[2].replace("<butlerRoot>", str(repository.root)), info.path): info
            for name, data in exported.items()
            for tables in data.records.values()
            for info in itertools.chain.from_iterable(tables.values())
            if isinstance(info, StoredFileInfo)
        }
        assert infos.keys() == _files(repository) - before
        assert {path: path.stat().st_size for path in infos} == {
            path: info.file_size for path, info in infos.items()
        }
        assert before <= _files(repository)

        # Provenance, from Rust and as JSON.
        provenance = butler.extract_provenance_data()
        text = provenance.model_dump_json()
        for told in (provenance, quantum_butler.QuantumProvenanceData.model_validate_json(text)):
            assert told.actual_outputs == ids
            assert told.actual_inputs == read
            assert told.available_inputs == read | found
            assert {
                dataset for data in told.datastore_records.values() for dataset in data.dataset_ids
            } == ids
