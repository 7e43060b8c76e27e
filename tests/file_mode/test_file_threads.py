"""One butler with a file, used from several threads."""

from __future__ import annotations

import gc
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lsst.daf.butler import DatasetRef
from record_files import beside, contents, roles, roles_of, stock_datastore

from quantum_butler import QuantumBackedButler
from repositories import Repository, dataset_id

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


def test_a_butler_that_nobody_closes(repository: Repository, tmp_path: Path) -> None:
    file, output = tmp_path / "records.sqlite3", repository.predicted["derived"][0]
    butler = repository.butler(QuantumBackedButler, outputs=[output], filename=str(file))
    butler.put({}, output)
    del butler
    gc.collect()
    assert beside(file) == []
    assert roles(file)["actual_output"] == {output.id.hex}
