"""Every order in which the steps of puts and an extract can follow each other.

The calls run in threads that stop at some points: in the formatter, around the
insertion of a record, before the output is noted as written, around the look
at what has been noted.  One thread at a time is let on to its next point, and
all orders are tried in turn.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.formatters.json import JsonFormatter

import failing_formatters
import quantum_butler
from quantum_butler.datastore.file import NativeFileDatastore
from repositories import NewRepository, Repository, dataset_id, example_metrics

_current = threading.local()


class _Worker:
    """A call in a thread of its own, which goes on step by step.

    Parameters
    ----------
    call : `~collections.abc.Callable`
        What to do.
    """

    def __init__(self, call: Callable[[], Any]):
        self._call = call
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self.done = False
        self.steps = 0
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        _current.worker = self
        try:
            assert self._go.acquire(timeout=60)
            self.result = self._call()
        except BaseException as error:
            self.error = error
        finally:
            self.done = True
            self._paused.release()

    def pause(self) -> None:
        """Wait for the next step; called by the thread itself."""
        self._paused.release()
        assert self._go.acquire(timeout=60)

    def step(self) -> None:
        """Let the thread go on to its next pause or its end."""
        self.steps += 1
        self._go.release()
        assert self._paused.acquire(timeout=60)
        if self.done:
            self._thread.join(timeout=60)


def _pause() -> None:
    if (worker := getattr(_current, "worker", None)) is not None:
        worker.pause()


def _orders(start: Callable[[], Sequence[_Worker]]) -> Iterator[tuple[list[int], Sequence[_Worker]]]:
    """Yield every order of the steps of some workers, and what came of it.

    Parameters
    ----------
    start : `~collections.abc.Callable`
        Makes the workers anew for each order.
    """
    prefix: list[int] | None = []
    while prefix is not None:
        workers = start()
        taken: list[int] = []
        choices: list[list[int]] = []
        while ready := [number for number, worker in enumerate(workers) if not worker.done]:
            number = prefix[len(taken)] if len(taken) < len(prefix) else ready[0]
            taken.append(number)
            choices.append(ready)
            workers[number].step()
        yield taken, workers
        prefix = None
        for place in reversed(range(len(taken))):
            if later := [number for number in choices[place] if number > taken[place]]:
                prefix = [*taken[:place], later[0]]
                break


class _Noted(set[DatasetRef]):
    """What was written, with a pause before it is noted and around a look at it."""

    def add(self, ref: DatasetRef) -> None:
        _pause()
        super().add(ref)

    def copy(self) -> set[DatasetRef]:  # type: ignore[override]
        _pause()
        noted = set(self)
        _pause()
        return noted


@pytest.fixture
def _pausing_formatters(monkeypatch: pytest.MonkeyPatch) -> None:
    to_bytes, write = JsonFormatter.to_bytes, failing_formatters._write

    def paused_to_bytes(formatter: JsonFormatter, dataset: Any) -> bytes:
        _pause()
        return to_bytes(formatter, dataset)

    def paused_write(dataset: Any, path: str) -> None:
        _pause()
        write(dataset, path)

    monkeypatch.setattr(JsonFormatter, "to_bytes", paused_to_bytes)
    monkeypatch.setattr(failing_formatters, "_write", paused_write)


def _fresh(repository: Repository, name: str, attempt: int, *numbers: int) -> list[DatasetRef]:
    refs = repository.predicted[name]
    return [
        DatasetRef(refs[n].datasetType, refs[n].dataId, f"order{attempt}", id=dataset_id(name, attempt, n))
        for n in numbers
    ]


def _recorded(provenance: Any) -> set[uuid.UUID]:
    recorded = set()
    for data in provenance.datastore_records.values():
        ids = {uuid.UUID(hex_id) for tables in data.records.values() for hex_id in tables}
        assert ids == set(data.dataset_ids)
        recorded |= ids
    return recorded


def _watched(repository: Repository, outputs: Sequence[DatasetRef]) -> Any:
    butler: Any = repository.butler(quantum_butler.QuantumBackedButler, outputs=outputs)
    butler._actual_output_refs = _Noted()
    for datastore in getattr(butler._datastore, "datastores", [butler._datastore]):
        if isinstance(datastore, NativeFileDatastore):
            _pause_before_recording(datastore)
    return butler


def _pause_before_recording(datastore: Any) -> None:
    add = datastore.store.add

    def paused(*args: Any) -> Any:
        _pause()
        return add(*args)

    datastore.store.add = paused


def _check(
    order: list[int], workers: Sequence[_Worker], outputs: Sequence[DatasetRef], failing: bool = False
) -> int:
    """Hold what was extracted against the order of the steps.

    The last worker extracted.  Return the number of outputs that it saw.
    """
    *puts, extract = workers
    assert extract.error is None, order
    provenance = extract.result
    # All of an output, or nothing.
    assert _recorded(provenance) == provenance.actual_outputs, order
    first, last = order.index(len(puts)), len(order) - order[::-1].index(len(puts))
    for number, (put, ref) in enumerate(zip(puts, outputs, strict=True)):
        seen = ref.id in provenance.actual_outputs
        assert (put.error is not None) is failing, order
        if failing or number not in order[:last]:
            assert not seen, order
        elif number not in order[first:]:
            assert seen, order
    return len(provenance.actual_outputs)


@pytest.mark.parametrize(
    ["kind", "name"],
    [
        ("file", "derived"),
        ("file", "fragile_out"),
        ("file", "fragile_v1_out"),
        ("file", "fragile_direct_out"),
        ("file", "parts_out"),
        ("checksum", "fragile_out"),
        ("chained", "derived"),
    ],
)
@pytest.mark.parametrize("failing", [False, True], ids=["succeeds", "fails"])
@pytest.mark.usefixtures("_pausing_formatters")
def test_put_and_extract(new_repository: NewRepository, kind: str, name: str, failing: bool) -> None:
    repository = new_repository(kind)
    dataset: Any = {"a": 1, "fail_write": "OSError"} if "fragile" in name and failing else {"a": 1}
    if name == "parts_out":
        dataset = example_metrics(1)
        dataset.output = {"a": object()} if failing else {}
    elif name == "derived" and failing:
        dataset = {"a": object()}
    tried = 0
    seen = set()
    butler: Any
    outputs: list[DatasetRef]

    def start() -> list[_Worker]:
        nonlocal butler, outputs
        outputs = _fresh(repository, name, tried, 0)
        butler = _watched(repository, outputs)
        return [_Worker(lambda: butler.put(dataset, outputs[0])), _Worker(butler.extract_provenance_data)]

    for order, workers in _orders(start):
        tried += 1
        seen.add(_check(order, workers, outputs, failing))
        provenance = butler.extract_provenance_data()
        expected = set() if failing else {outputs[0].id}
        assert provenance.actual_outputs == _recorded(provenance) == expected
        assert failing is not any("order" in path for path in repository.artifacts() if name in path)
        if not failing:
            butler.pruneDatasets(outputs, disassociate=True, unstore=True, purge=True)
        butler.close()
        # The formatter, the record, the note; before and after looking.
        assert failing or workers[0].steps >= 4
        assert workers[1].steps >= 3
    assert seen == ({0} if failing else {0, 1})
    assert tried >= (10 if failing else 35)


@pytest.mark.parametrize("name", ["derived", "fragile_out"])
def test_two_puts_and_extract(repository: Repository, name: str) -> None:
    # Without the pauses in the formatter, or there would be thousands.
    tried = 0
    seen = set()
    butler: Any
    outputs: list[DatasetRef]

    def start() -> list[_Worker]:
        nonlocal butler, outputs
        outputs = _fresh(repository, name, tried, 0, 1)
        butler = _watched(repository, outputs)
        del butler._datastore.store.add
        puts = [_Worker(lambda ref=ref: butler.put({"a": 1}, ref)) for ref in outputs]  # type: ignore[misc]
        return [*puts, _Worker(butler.extract_provenance_data)]

    for order, workers in _orders(start):
        tried += 1
        seen.add(_check(order, workers, outputs))
        assert butler.extract_provenance_data().actual_outputs == {ref.id for ref in outputs}
        butler.close()
    assert seen == {0, 1, 2}
    assert tried >= 210
