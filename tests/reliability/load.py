"""Eight processes with four threads each, quantum after quantum into one repository and one folder of logs.

At the end files, records and log lines are counted, and the memory of each process has been watched.  From
the root of a checkout, 200,000 quanta::

    PYTHONPATH=tests:tests/reliability python tests/reliability/load.py FOLDER 200000 [SECONDS]

``FOLDER`` is made; with ``SECONDS`` it ends after so many, whatever has been done by then.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
from children import start
from lsst.daf.butler import DataCoordinate, DatasetRef

import quantum_butler
import repositories
from quantum_butler import QuantumBackedButler, collect
from repositories import Repository, dataset_id

PROCESSES = 8
THREADS = 4

_PER_RUN = 500
"""Quanta whose outputs are in the same folders."""

_SAMPLES = 40
"""How often a process looks at its memory."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def _data_ids(repository: Repository) -> list[DataCoordinate]:
    """Return data IDs of more detectors than the repository knows of."""
    known = repository.predicted["derived"][0].dataId
    detector = repository.universe["detector"].RecordClass
    return [
        DataCoordinate.standardize(known, detector=number).expanded(
            {
                "instrument": known.records["instrument"],
                "detector": detector(instrument="Cam", id=number, full_name=f"D{number}"),
            }
        )
        for number in range(_PER_RUN)
    ]


class _Quanta:
    """The quanta of one thread."""

    def __init__(self, repository: Repository, process: int, thread: int):
        self._repository = repository
        self._name = f"{process}.{thread}"
        self._types = [repository.dataset_types[name] for name in ("derived", "fragile_out")]
        self._inputs = repository.stored["measured"]
        self._data_ids = _data_ids(repository)

    def ref(self, kind: int, number: int) -> DatasetRef:
        """Return an output of a quantum."""
        data_id = self._data_ids[number % _PER_RUN]
        run = f"load/{self._name}/{number // _PER_RUN}"
        name = self._types[kind].name
        return DatasetRef(self._types[kind], data_id, run, id=dataset_id("load", self._name, name, number))

    def run(self, number: int) -> None:
        """Run one: read, write two, and of every third take the second back."""
        refs = [self.ref(0, number), self.ref(1, number)]
        measured = self._inputs[number % len(self._inputs)]
        quantum = self._repository.quantum([measured], refs)
        with self._repository.butler(QuantumBackedButler, quantum) as butler:
            assert butler.get(measured) == self._repository.values[measured.id]
            for ref in refs:
                butler.put({"quantum": number, "of": self._name}, ref)
            if number % 3 == 0:
                butler.pruneDatasets(refs[1:], disassociate=True, unstore=True, purge=True)

    def kept(self, count: int) -> Iterator[DatasetRef]:
        """Yield what there must be after so many."""
        for number in range(count):
            yield self.ref(0, number)
            if number % 3:
                yield self.ref(1, number)


def work(repository: Repository, root: Path, process: int, quanta: int, seconds: float) -> None:
    """Do the share of one process, and write down what has been done."""
    quantum_butler.install(provenance_log=root / "logs")
    end = time.monotonic() + seconds
    done = [0] * THREADS
    errors: list[str] = []

    def run(thread: int) -> None:
        mine = _Quanta(repository, process, thread)
        share = quanta // THREADS + (thread < quanta % THREADS)
        try:
            while done[thread] < share and time.monotonic() < end:
                mine.run(done[thread])
                done[thread] += 1
        except BaseException as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    samples: list[tuple[int, int]] = []
    step = max(1, quanta // _SAMPLES)
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.02)
        if sum(done) >= len(samples) * step:
            samples.append((sum(done), _resident()))
        for thread in threads[1:]:
            if not threads[0].is_alive():
                thread.join(0.02)
    samples.append((sum(done), _resident()))
    told = {"done": done, "samples": samples, "errors": errors}
    (root / f"told-{process}.json").write_text(json.dumps(told))


def _resident() -> int:
    """Return the memory of this process, in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE // 1024


def slope(samples: Sequence[tuple[int, int]]) -> float:
    """Return the growth from the middle to the end, in KiB for 1000 quanta: least squares."""
    later = samples[len(samples) // 2 :]
    mean_x = sum(x for x, _ in later) / len(later)
    mean_y = sum(y for _, y in later) / len(later)
    spread = sum((x - mean_x) ** 2 for x, _ in later)
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in later) / spread if spread else 0.0


def load(root: Path, quanta: int, seconds: float = float("inf")) -> dict[str, Any]:
    """Let all processes run, and count.

    Parameters
    ----------
    root : `pathlib.Path`
        Folder to make.
    quanta : `int`
        How many, in all.
    seconds : `float`, optional
        After how many seconds to end, at the latest.

    Returns
    -------
    result : `dict`
        What was done and found, with what is missing or double.
    """
    root.mkdir(parents=True)
    repository = repositories.make(root / "repo")
    begin = time.monotonic()
    running = []
    for process in range(PROCESSES):
        share = quanta // PROCESSES + (process < quanta % PROCESSES)
        running.append(start(functools.partial(work, repository, root, process, share, seconds), None))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in running]
    told = [json.loads((root / f"told-{process}.json").read_text()) for process in range(PROCESSES)]
    result: dict[str, Any] = {
        "seconds": round(time.monotonic() - begin, 1),
        "statuses": statuses,
        "errors": [error for one in told for error in one["errors"]][:20],
        "quanta": sum(sum(one["done"]) for one in told),
        "memory_kib": [one["samples"][-1][1] for one in told],
        "growth_kib": [one["samples"][-1][1] - one["samples"][len(one["samples"]) // 2][1] for one in told],
        "slopes_kib_per_1000_quanta": [round(slope(one["samples"]), 1) for one in told],
    }
    result.update(_count(repository, root, [one["done"] for one in told]))
    return result


def _count(repository: Repository, root: Path, done: list[list[int]]) -> dict[str, Any]:
    """Count files, records and lines."""
    files: Counter[str] = Counter(
        path.relative_to(repository.root).as_posix()
        for path in (repository.root / "load").rglob("*")
        if path.is_file()
    )
    lines: Counter[str] = Counter()
    recorded: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    paths: dict[str, str] = {}
    for log in (root / "logs").iterdir():
        with log.open() as stream:
            for line in stream:
                quantum = json.loads(line)
                lines[quantum["quantum_id"]] += 1
                outputs.update(quantum["actual_outputs"])
                for datastore in quantum["datastore_records"].values():
                    for tables in datastore["records"].values():
                        for dataset, records in tables.items():
                            for record in (one for infos in records.values() for one in infos):
                                recorded[str(uuid.UUID(dataset))] += 1
                                paths[record["path"]] = str(uuid.UUID(dataset))
    expected: set[str] = set()
    count = 0
    for process, by_thread in enumerate(done):
        for thread, number in enumerate(by_thread):
            count += number
            expected.update(str(ref.id) for ref in _Quanta(repository, process, thread).kept(number))
    collected = collect(root / "logs", root / "archive")
    quanta = pyarrow.parquet.read_table(root / "archive" / "quanta.parquet", columns=["quantum_id"])
    return {
        "logs": len(list((root / "logs").iterdir())),
        "lines": lines.total(),
        "files": files.total(),
        "records": recorded.total(),
        "collected": collected.quanta,
        "missing": {
            "lines": count - len(lines),
            "outputs": len(expected - outputs.keys()),
            "records": len(expected - recorded.keys()),
            "files": len(paths.keys() - files.keys()),
            "collected": count - len(quanta),
        },
        "double or unexpected": {
            "lines": lines.total() - len(lines),
            "outputs": outputs.total() - len(outputs) + len(outputs.keys() - expected),
            "records": recorded.total() - len(recorded) + len(recorded.keys() - expected),
            "files": len(files.keys() - paths.keys()),
            "collected": collected.repeated + collected.replaced + collected.rejected,
        },
    }


def main() -> None:
    root, quanta, *limit = sys.argv[1:]
    print(json.dumps(load(Path(root), int(quanta), *map(float, limit)), indent=1))


if __name__ == "__main__":
    main()
