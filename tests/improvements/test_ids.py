"""Refs without an id, and ids that are integers, are refused clearly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from lsst.daf.butler import AmbiguousDatasetError, DatasetRef, QuantumBackedButler

import quantum_butler
from case_names import name_of
from repositories import Repository


@dataclasses.dataclass(frozen=True)
class Unresolved:
    """A ref that looks like one, but has no id."""

    like: DatasetRef
    id: None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.like, name)

    def __str__(self) -> str:
        return "unresolved"


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "datasetExistsDirect": lambda butler, ref: butler.datasetExistsDirect(ref),
    "export_predicted_datastore_records": lambda butler, ref: butler.export_predicted_datastore_records(
        [ref]
    ),
    "get": lambda butler, ref: butler.get(ref),
    "getDeferred": lambda butler, ref: butler.getDeferred(ref),
    "getDirect": lambda butler, ref: butler.getDirect(ref),
    "getDirectDeferred": lambda butler, ref: butler.getDirectDeferred(ref),
    "markInputUnused": lambda butler, ref: butler.markInputUnused(ref),
    "pruneDatasets": lambda butler, ref: butler.pruneDatasets([ref], disassociate=False, unstore=True),
    "put": lambda butler, ref: butler.put({}, ref),
    "putDirect": lambda butler, ref: butler.putDirect({}, ref),
    "stored": lambda butler, ref: butler.stored(ref),
    "stored_many": lambda butler, ref: butler.stored_many([ref]),
}


@pytest.mark.parametrize("records", ["in Rust", "in SQL"])
@pytest.mark.parametrize("name", CALLS)
def test_ref_without_an_id(
    repository: Repository, name: str, records: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if records == "in SQL":
        monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref], outputs=[output]) as butler:
        before = repository.artifacts()
        with pytest.raises(AmbiguousDatasetError):
            CALLS[name](butler, Unresolved(output if name.startswith("put") else ref))
        assert repository.artifacts() == before
        assert butler._predicted_inputs == {ref.id}
        assert butler._actual_inputs == butler._available_inputs == butler._unavailable_inputs == set()
        assert butler._actual_output_refs == set()


def _with_integers(repository: Repository, inputs: list[Any], outputs: list[Any]) -> QuantumBackedButler:
    return quantum_butler.QuantumBackedButler.from_predicted(
        str(repository.root), inputs, outputs, repository.universe, {}
    )


@pytest.mark.parametrize("where", ["inputs", "outputs", "both", "among others"])
def test_integer_ids_cannot_be_extracted(repository: Repository, where: str) -> None:
    ref = repository.stored["measured"][0]
    inputs: list[Any] = {"inputs": [7], "outputs": [], "both": [7], "among others": [ref.id, 7]}[where]
    outputs: list[Any] = {"inputs": [], "outputs": [8], "both": [8], "among others": []}[where]
    with _with_integers(repository, inputs, outputs) as butler:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"(?i)integer|uuid"):
                butler.extract_provenance_data()
        assert butler._predicted_inputs == set(inputs)
        assert butler._predicted_outputs == set(outputs)


def test_refusal_of_integers_leaves_the_books_alone(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    ref = repository.stored["measured"][0]
    repository.paths(ref)[0].unlink()
    with _with_integers(repository, [ref.id, 7], []) as butler:
        butler.getDeferred(ref)
        with pytest.raises(FileNotFoundError):
            butler.get(ref)
        with pytest.raises(ValueError):
            butler.extract_provenance_data()
        # Otherwise it would have been taken from these, with a warning.
        assert butler._actual_inputs == {ref.id}
        assert not caplog.records


def test_integers_and_uuids_are_told_apart(repository: Repository) -> None:
    ref = repository.stored["measured"][0]
    with _with_integers(repository, [ref.id.int % 2**63], []) as butler:
        assert ref.id not in butler._predicted_inputs
        assert butler.get(ref) == repository.values[ref.id]
        assert butler._actual_inputs == set()


@pytest.mark.parametrize("wrong", [None, "text", 1.5, object()], ids=name_of)
def test_what_is_no_id(repository: Repository, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError, AmbiguousDatasetError)):
        _with_integers(repository, [wrong], [])
