"""Butlers of whole graphs: what is logged stays short."""

from __future__ import annotations

import logging
import uuid

import pytest

import quantum_butler
from repositories import Repository


def test_unchecked_inputs_are_not_all_named(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    inputs = [uuid.UUID(int=number, version=4) for number in range(100_000)]
    with (
        quantum_butler.QuantumBackedButler.from_predicted(
            str(repository.root), inputs, [], repository.universe, {}
        ) as butler,
        caplog.at_level(logging.WARNING),
    ):
        provenance = butler.extract_provenance_data()
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("Execution harness did not check predicted inputs ")
    assert message.endswith(" for existence; available inputs recorded in provenance may be incomplete.")
    assert len(message) < 20_000
    assert "100000" in message or "100,000" in message or "99900" in message or "99,900" in message
    assert provenance.predicted_inputs == set(inputs)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_are_all_named(repository: Repository, caplog: pytest.LogCaptureFixture, count: int) -> None:
    inputs = [uuid.UUID(int=number, version=4) for number in range(count)]
    with (
        quantum_butler.QuantumBackedButler.from_predicted(
            str(repository.root), inputs, [], repository.universe, {}
        ) as butler,
        caplog.at_level(logging.WARNING),
    ):
        butler.extract_provenance_data()
    (record,) = caplog.records
    assert record.name == "lsst.daf.butler._quantum_backed"
    assert all(str(dataset) in record.getMessage() for dataset in inputs)
