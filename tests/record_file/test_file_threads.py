"""One butler with a file, used from several threads."""

from __future__ import annotations

import gc
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore
from record_files import beside, contents, roles, roles_of, stock_datastore
from sqlalchemy.exc import IntegrityError

from quantum_butler import QuantumBackedButler
from repositories import NewRepository, Repository, dataset_id, example_metrics

THREADS, EACH = 6, 25


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_threads(repository: Repository, tmp_path: Path, durability: str) -> None:
    file = tmp_path / "records.sqlite3"
    example = repository.predicted["derived"][0]
    refs = [
        [
            DatasetRef(example.datasetType, example.dataId, f"run{thread}_{n}", id=dataset_id(thread, n))
            for n in range(EACH)
        ]
        for thread in range(THREADS)
    ]
    inputs = repository.stored["measured"]
    butler = repository.butler(
        QuantumBackedButler,
        inputs=inputs,
        outputs=[ref for mine in refs for ref in mine],
        filename=str(file),
        durability=durability,
    )
    gone: set[DatasetRef] = set()

    def work(thread: int) -> None:
        steps = random.Random(thread)
        for n, ref in enumerate(refs[thread]):
            butler.put({"number": n}, ref)
            assert butler.get(ref) == {"number": n}
            butler.get(steps.choice(inputs))
            if n % 5 == 4:
                some = refs[thread][n - 3 : n : 2]
                butler.pruneDatasets(some, disassociate=True, unstore=True, purge=True)
                gone.update(some)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    stay = {ref for mine in refs for ref in mine} - gone
    assert gone
    assert butler._actual_output_refs == stay
    butler.close()
    assert beside(file) == []
    assert roles(file) == roles_of(butler)
    recorded = {row[0] for row in contents(file)["file_datastore_records"]}
    assert recorded == {ref.id.hex for ref in (*stay, *inputs)}
    with stock_datastore(file, repository) as datastore:
        assert all(datastore.mexists(stay).values())
        assert not any(datastore.knows_these(gone).values())


@pytest.fixture
def _threads_anywhere() -> Iterator[None]:
    """Let threads come in between at every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.proof
@pytest.mark.usefixtures("_threads_anywhere")
def test_one_dataset_by_several_threads(new_repository: NewRepository, tmp_path: Path) -> None:
    repository = new_repository("chained")
    refs = [ref for name in ("derived", "parts_out", "whole_out") for ref in repository.predicted[name]]
    butler = repository.butler(QuantumBackedButler, outputs=refs, filename=str(tmp_path / "records.sqlite3"))
    in_memory = next(
        member for member in butler._datastore.datastores if isinstance(member, InMemoryDatastore)
    )
    start = threading.Barrier(THREADS)

    def put(ref: DatasetRef) -> bool:
        contents = {"a": 1} if ref.datasetType.name == "derived" else example_metrics(1)
        start.wait()
        try:
            butler.put(contents, ref)
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(EACH):
            for ref in refs:
                # Whoever comes too late takes no more away than upstream does, which is the artifact.
                assert sum(pool.map(put, [ref] * THREADS)) == 1
                assert in_memory.knows(ref)
            assert butler._actual_output_refs == set(refs)
            butler.pruneDatasets(refs, disassociate=True, unstore=True, purge=True)
    butler.close()


def test_a_butler_that_nobody_closes(repository: Repository, tmp_path: Path) -> None:
    file, output = tmp_path / "records.sqlite3", repository.predicted["derived"][0]
    butler = repository.butler(QuantumBackedButler, outputs=[output], filename=str(file))
    butler.put({}, output)
    del butler
    gc.collect()
    assert beside(file) == []
    assert roles(file)["actual_output"] == {output.id.hex}
