"""Whoever does the work, the archive is the same, table for table."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from made_up import assert_same, quantum, text, write_log

from quantum_butler import _core, collect
from quantum_butler.collecting import sources


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return sources of every kind, in many pieces, with quanta that come twice and input that is bad."""
    monkeypatch.setattr(sources, "_LINES_PIECE", 5000)
    monkeypatch.setattr(sources, "_FRAMES_PIECE", 2000)
    monkeypatch.setattr(sources, "_FILES_PIECE", 7)
    write_log(tmp_path / "in" / "a.jsonl", [quantum(n) for n in range(100)])
    write_log(tmp_path / "in" / "b.jsonl.zst", [quantum(n) for n in range(90, 190)])
    write_log(tmp_path / "in" / "c.jsonl.gz", [quantum(n, task_label="changed") for n in range(180, 220)])
    with (tmp_path / "in" / "d.jsonl").open("wb") as stream:
        for n in range(220, 300):
            stream.write(b"bad\n" if n % 9 == 0 else text(quantum(n)))
    for n in range(300, 330):
        (tmp_path / "in" / f"{n}.json").write_bytes(text(quantum(n)))
        (tmp_path / "in" / f"{n}z.json.zst").write_bytes(_core.compress(text(quantum(n + 100))))
    return [tmp_path / "in"]


@pytest.fixture
def expected(given: list[Path], tmp_path: Path) -> Path:
    """Return the archive that one thread makes."""
    report = collect(given, tmp_path / "expected", jobs=1)
    assert (report.rejected, report.repeated, report.replaced) == (9, 10, 10)
    assert report.quanta == 220 + 71 + 60
    return tmp_path / "expected"


def test_threads(given: list[Path], expected: Path, tmp_path: Path) -> None:
    for jobs in (2, 7):
        collect(given, tmp_path / "archive", jobs=jobs, overwrite=True)
        assert_same(tmp_path / "archive", expected)


def test_a_process_pool(given: list[Path], expected: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        collect(given, tmp_path / "archive", executor=executor)
        assert_same(tmp_path / "archive", expected)
        collect(given, tmp_path / "archive", executor=executor, append=True)


def test_dask(given: list[Path], expected: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # Dask's own, about what it imports and the sockets that it leaves to the collector.
        warnings.simplefilter("ignore")
        from dask_cluster import two_workers

        with two_workers(tmp_path) as (_, client), client.get_executor(pure=False) as executor:
            collect(given, tmp_path / "archive", executor=executor)
    assert_same(tmp_path / "archive", expected)


class Backwards(Executor):
    """Does what it is given in the wrong order, and late."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: work(*args, **kwargs)))
        self._pool.submit(self._one)
        return future

    def _one(self) -> None:
        future, work = self._waiting.pop()
        if future.set_running_or_notify_cancel():
            future.set_result(work())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait)


def test_the_order_of_the_work_does_not_matter(given: list[Path], expected: Path, tmp_path: Path) -> None:
    with Backwards() as executor:
        collect(given, tmp_path / "archive", executor=executor)
    assert_same(tmp_path / "archive", expected)


class Broken(ThreadPoolExecutor):
    """Loses its workers after a while."""

    count = 0

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.count += 1
        if self.count > 5:
            return super().submit(_fail)
        return super().submit(work, *args, **kwargs)


def _fail() -> None:
    raise RuntimeError("the worker is gone")


def test_a_worker_that_fails_leaves_the_archive_as_it_was(
    given: list[Path], expected: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in expected.iterdir()}
    with Broken(2) as executor, pytest.raises(RuntimeError, match="the worker is gone"):
        collect(given, expected, executor=executor, overwrite=True)
    assert {path.name: path.read_bytes() for path in expected.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "in"]


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.glob("*.partial-*"))
