"""A butler that was closed says so, whatever it is asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler import DatasetRef, QuantumBackedButler

import quantum_butler
from repositories import Repository

# How each public method is called; documented names included.
CALLS: dict[str, Callable[[Any, DatasetRef, Path], Any]] = {
    "datasetExistsDirect": lambda butler, ref, folder: butler.datasetExistsDirect(ref),
    "export_predicted_datastore_records": lambda butler, ref, folder: (
        butler.export_predicted_datastore_records([ref])
    ),
    "extract_provenance_data": lambda butler, ref, folder: butler.extract_provenance_data(),
    "get": lambda butler, ref, folder: butler.get(ref),
    "getDeferred": lambda butler, ref, folder: butler.getDeferred(ref),
    "getDirect": lambda butler, ref, folder: butler.getDirect(ref),
    "getDirectDeferred": lambda butler, ref, folder: butler.getDirectDeferred(ref),
    "getURI": lambda butler, ref, folder: butler.getURI(ref, predict=True),
    "getURIs": lambda butler, ref, folder: butler.getURIs(ref, predict=True),
    "get_datastore_names": lambda butler, ref, folder: butler.get_datastore_names(),
    "get_datastore_roots": lambda butler, ref, folder: butler.get_datastore_roots(),
    "get_many_uris": lambda butler, ref, folder: butler.get_many_uris([ref], predict=True),
    "isWriteable": lambda butler, ref, folder: butler.isWriteable(),
    "markInputUnused": lambda butler, ref, folder: butler.markInputUnused(ref),
    "pruneDatasets": lambda butler, ref, folder: butler.pruneDatasets([], disassociate=False),
    "put": lambda butler, ref, folder: butler.put({}, ref),
    "putDirect": lambda butler, ref, folder: butler.putDirect({}, ref),
    "record_metrics": lambda butler, ref, folder: butler.record_metrics().__enter__(),
    "retrieve_artifacts": lambda butler, ref, folder: butler.retrieve_artifacts([ref], str(folder)),
    "retrieve_artifacts_zip": lambda butler, ref, folder: butler.retrieve_artifacts_zip([ref], str(folder)),
    "stored": lambda butler, ref, folder: butler.stored(ref),
    "stored_many": lambda butler, ref, folder: butler.stored_many([ref]),
    "write_provenance": lambda butler, ref, folder: butler.write_provenance(folder / "quantum.json"),
}

# What may still be asked: to close it again, and to make another one.
AFTERWARDS = {"close", "initialize", "from_predicted", "resume"}


def test_every_public_method_is_called() -> None:
    public = {
        attribute.name
        for attribute in inspect.classify_class_attrs(quantum_butler.QuantumBackedButler)
        if not attribute.name.startswith("_")
        and attribute.kind in ("method", "class method", "static method")
    }
    assert public == set(CALLS) | AFTERWARDS
    assert len(public) > 20


@pytest.mark.parametrize("name", CALLS)
def test_call_after_close(repository: Repository, tmp_path: Path, name: str) -> None:
    output = repository.predicted["derived"][0]
    butler = repository.butler(quantum_butler.QuantumBackedButler, inputs=[output], outputs=[output])
    butler.close()
    before = repository.artifacts()
    with pytest.raises(quantum_butler.ClosedButlerError, match="closed"):
        CALLS[name](butler, output, tmp_path)
    assert repository.artifacts() == before


@pytest.mark.parametrize("kind", ["ours", "upstream's"])
def test_what_else_is_closed(repository: Repository, kind: str) -> None:
    from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager

    ref = repository.stored["measured"][0]
    opaque = ByNameOpaqueTableStorageManager if kind == "upstream's" else None
    butler = repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref], OpaqueManagerClass=opaque)
    handle = butler.getDeferred(ref)
    butler.close()
    with pytest.raises(quantum_butler.ClosedButlerError):
        handle.get()
    with pytest.raises(quantum_butler.ClosedButlerError):
        _ = butler._datastore
    with pytest.raises(quantum_butler.ClosedButlerError):
        _ = butler._file_transfer_source
    with pytest.raises(quantum_butler.ClosedButlerError), butler:
        pass


def test_error_is_a_runtime_error() -> None:
    assert issubclass(quantum_butler.ClosedButlerError, RuntimeError)


def test_closing_again_does_nothing(repository: Repository) -> None:
    butler = repository.butler(quantum_butler.QuantumBackedButler)
    butler.close()
    butler.close()
    with repository.butler(quantum_butler.QuantumBackedButler) as butler:
        assert butler.isWriteable()
    butler.close()


def test_another_butler_is_not_affected(repository: Repository) -> None:
    ref = repository.stored["measured"][0]
    first = repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref])
    second = repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref])
    first.close()
    assert second.get(ref) == repository.values[ref.id]
    second.close()


def test_block_that_raises_closes_it(repository: Repository) -> None:
    with pytest.raises(LookupError), repository.butler(quantum_butler.QuantumBackedButler) as butler:
        raise LookupError
    assert isinstance(butler, QuantumBackedButler)
    with pytest.raises(quantum_butler.ClosedButlerError):
        butler.isWriteable()
