"""A put that fails leaves neither a file nor half a record."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy.exc
from lsst.daf.butler import DatasetRef, QuantumBackedButler
from lsst.daf.butler.datastore.record_data import DatastoreRecordData

import quantum_butler
from repositories import NewRepository, Repository, example_metrics


class _Broken:
    """Stands in for something whose methods mostly work.

    Parameters
    ----------
    whole : `object`
        What works.
    *broken : `str`
        Methods that raise instead.
    """

    def __init__(self, whole: Any, *broken: str):
        self._whole, self._broken = whole, broken
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name in self._broken:

            def fail(*args: Any, **options: Any) -> None:
                self.calls += 1
                raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("disk full"))

            return fail
        return getattr(self._whole, name)


def _value(ref: DatasetRef) -> Any:
    return example_metrics(1) if ref.datasetType.name in ("parts_out", "whole_out") else {"a": 1}


def _nothing_is_left(repository: Repository, butler: Any, ref: DatasetRef, before: dict[str, bytes]) -> None:
    assert repository.artifacts() == before
    assert butler._datastore.knows(ref) is False
    assert butler.stored(ref) is False
    assert butler._datastore.export_records([ref]).keys()
    assert all(not data.records for data in butler._datastore.export_records([ref]).values())
    assert butler._actual_output_refs == set()
    assert butler._metrics.n_put == 0
    assert butler.extract_provenance_data().actual_outputs == set()
    # Upstream goes on in the transaction that has been rolled back.
    assert butler._datastore._transaction is None


NAMES = ["derived", "whole_out", "parts_out", "fragile_out", "fragile_v1_out", "fragile_direct_out"]


@pytest.mark.parametrize("name", NAMES)
def test_recording_that_fails(repository: Repository, name: str) -> None:
    ref = repository.predicted[name][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        before = repository.artifacts()
        datastore: Any = butler._datastore
        records = datastore._records
        datastore._records = broken = _Broken(records, "add")
        with pytest.raises(sqlalchemy.exc.OperationalError, match="disk full"):
            butler.put(_value(ref), ref)
        assert broken.calls == 1
        datastore._records = records
        _nothing_is_left(repository, butler, ref, before)
        # And it works once the disk has room.
        butler.put(_value(ref), ref)
        assert butler.get(ref) == _value(ref)


@pytest.mark.parametrize("name", NAMES)
def test_location_that_is_taken(repository: Repository, name: str) -> None:
    # A dataset that counts as held, without any record.
    ref = repository.predicted[name][0]
    (datastore_name,) = repository.records
    with repository.butler(
        quantum_butler.QuantumBackedButler,
        outputs=[ref],
        datastore_records={datastore_name: DatastoreRecordData(records={ref.id: {}})},
    ) as butler:
        before = repository.artifacts()
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            butler.put(_value(ref), ref)
        _nothing_is_left(repository, butler, ref, before)


@pytest.mark.parametrize("name", NAMES)
def test_record_that_is_taken(repository: Repository, name: str) -> None:
    # A record that survived its dataset: the location must not stay alone.
    ref = repository.predicted[name][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        butler.put(_value(ref), ref)
        datastore: Any = butler._datastore
        datastore.bridge.forget([ref])
        butler._actual_output_refs.clear()
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            butler.put(_value(ref), ref)
        assert datastore.bridge.check([ref.id]) == set()
        assert butler._actual_output_refs == set()


@pytest.mark.parametrize(
    ["name", "dataset", "exception"],
    [
        ("log", {"a": object()}, RuntimeError),
        ("log", [1], TypeError),
        ("parts_out", "incomplete", RuntimeError),
        ("fragile_out", {"fail_write": "OSError"}, RuntimeError),
        ("fragile_v1_out", {"fail_write": "OSError"}, RuntimeError),
        ("fragile_direct_out", {"fail_write": "KeyboardInterrupt"}, KeyboardInterrupt),
    ],
)
def test_chain_of_datastores(
    new_repository: NewRepository,
    caplog: pytest.LogCaptureFixture,
    name: str,
    dataset: Any,
    exception: type[BaseException],
) -> None:
    # Stock keeps what the members took before one of them failed.
    repository = new_repository("chained")
    ref = repository.predicted[name][0]
    if dataset == "incomplete":
        dataset = example_metrics(1)
        dataset.output = {"a": object()}
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        before = repository.artifacts()
        with caplog.at_level(logging.WARNING), pytest.raises(exception):
            butler.put(dataset, ref)
        # To take things back is no reason to warn.
        assert caplog.records == []
        _nothing_is_left(repository, butler, ref, before)
        for member in butler._datastore.datastores:  # type: ignore[attr-defined]
            assert member.exists(ref) is False
        butler.put(_value(ref), ref)
        assert butler.get(ref) == _value(ref)


def test_second_member_of_a_chain_that_cannot_record(new_repository: NewRepository) -> None:
    repository = new_repository("chained")
    ref = repository.predicted["log"][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        before = repository.artifacts()
        last: Any = butler._datastore.datastores[-1]  # type: ignore[attr-defined]
        records = last._records
        last._records = _Broken(records, "add")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            butler.put({"a": 1}, ref)
        last._records = records
        _nothing_is_left(repository, butler, ref, before)


def test_second_put_into_a_chain_does_not_empty_its_memory(new_repository: NewRepository) -> None:
    repository = new_repository("chained")
    ref = repository.predicted["log"][0]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=[ref]) as butler:
        butler.put({"a": 1}, ref)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            butler.put({"a": 2}, ref)
        memory = butler._datastore.datastores[0]  # type: ignore[attr-defined]
        assert memory.exists(ref) is True
        assert butler._actual_output_refs == {ref}


def test_import_in_a_transaction_that_fails(repository: Repository) -> None:
    # Upstream leaves the records where they are.
    ref, other = repository.stored["measured"][:2]
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref], recorded=[other]) as butler:
        with pytest.raises(RuntimeError, match="too late"), butler._datastore.transaction():
            butler._datastore.import_records(repository.records_of([ref]))
            assert butler._datastore.knows(ref) is True
            raise RuntimeError("too late")
        assert butler._datastore.knows_these([ref, other]) == {ref: False, other: True}
        # And it works the next time.
        butler._datastore.import_records(repository.records_of([ref]))
        assert butler._datastore.knows(ref) is True


@pytest.mark.parametrize("name", ["derived", "parts_out"])
def test_put_in_a_transaction_that_fails(
    repository: Repository, is_ours: bool, butler_class: type[QuantumBackedButler], name: str
) -> None:
    first, second = repository.predicted[name][:2]
    with repository.butler(butler_class, outputs=[first, second]) as butler:
        before = repository.artifacts()
        with pytest.raises(RuntimeError, match="too late"), butler._datastore.transaction():
            butler.put(_value(first), first)
            with butler._datastore.transaction():
                butler.put(_value(second), second)
            raise RuntimeError("too late")
        assert repository.artifacts() == before
        assert butler.stored_many([first, second]) == {first: False, second: False}
        assert butler._actual_output_refs == {first, second}
        # Stock remembers what is no longer there.
        assert butler._datastore.knows_these([first, second]) == {first: not is_ours, second: not is_ours}
        if is_ours:
            butler.put(_value(second), second)
            assert butler.get(second) == _value(second)
