"""A worker is killed at random moments: what it was told is done, is done.

``QUANTUM_BUTLER_KILLS`` says how many times; ten by default.
"""

from __future__ import annotations

import os
import pickle
import random
import time
from pathlib import Path

import pytest
from killed_workers import Task, open_or_resume, read_journal
from record_files import beside, contents, roles, roles_of, stock_datastore

from repositories import NewRepository, Repository

pytestmark = pytest.mark.proof

KILLS = int(os.environ.get("QUANTUM_BUTLER_KILLS", "10"))

# Kills that one file has to survive.
_EACH = 5


@pytest.mark.timeout(120 + 20 * KILLS)
@pytest.mark.parametrize("durability", ["disk", "process"])
def test_kills(new_repository: NewRepository, tmp_path: Path, durability: str) -> None:
    moments = random.Random(durability)
    kills = done = calls = 0
    while kills < max(1, KILLS // 2):
        repository = new_repository()
        folder = repository.root.parent / f"work{kills}"
        folder.mkdir()
        inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
        task = Task(
            str(repository.root),
            pickle.dumps((inputs, outputs, repository.records_of(inputs))),
            str(folder / "records.sqlite3"),
            str(folder / "journal"),
            durability,
        )
        for _ in range(_EACH):
            worker = task.start(seed=moments.randrange(10**9))
            _wait_for(Path(task.journal), moments)
            worker.kill()
            worker.join()
            assert worker.exitcode == -9, "The worker has ended on its own."
            kills += 1
            if moments.random() < 0.5:
                # Otherwise the next worker has to cope with it.
                calls = _check(task, repository)
        done += max(calls, _check(task, repository))
    print(f"{kills} kills, {done} calls that had returned")
    assert done > 0


def _wait_for(journal: Path, moments: random.Random) -> None:
    """Wait until the worker is doing something, and then a random time."""
    size = journal.stat().st_size if journal.exists() else 0
    deadline = time.monotonic() + 60
    early = moments.random() < 0.2
    while not early and (not journal.exists() or journal.stat().st_size < size + 40):
        assert time.monotonic() < deadline, "The worker does nothing."
        time.sleep(0.001)
    time.sleep(moments.random() * moments.choice([0.003, 0.03, 0.3]))


def _check(task: Task, repository: Repository) -> int:
    """Compare what the journal says with what there is."""
    file, outputs = Path(task.file), repository.predicted["derived"]
    if not Path(task.journal).exists():
        return 0
    known, done = read_journal(Path(task.journal), list(outputs))
    with open_or_resume(task) as butler:
        written = {ref.id.hex for ref in butler._actual_output_refs}
        for ref in outputs:
            what = known[ref.id.hex]
            recorded = butler._datastore.knows(ref)
            # Nothing is believed that is not recorded, not even on trust.
            assert butler.stored(ref) is recorded
            value = butler.get(ref) if recorded else None
            assert value in [what.value, *what.maybe]
            if not what.maybe:
                assert what.is_output in (None, ref.id.hex in written)
            elif recorded:
                assert ref.id.hex in written
        recorded_paths = {row[1] for row in contents(file)["file_datastore_records"]}
        places = {path for path in repository.artifacts() if "/derived/" in path}
        assert places <= recorded_paths, "Something was left behind."
        assert roles(file)["predicted_input"] == {ref.id.hex for ref in repository.stored["measured"]}
    assert beside(file) == []
    assert roles(file) == roles_of(butler)
    with stock_datastore(file, repository) as datastore:
        for ref in outputs:
            what = known[ref.id.hex]
            if not what.maybe:
                assert datastore.knows(ref) is (what.value is not None)
    return done
