"""What somebody changes on a butler's datastore takes effect on that butler."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from lsst.daf.butler import StorageClassFactory
from lsst.daf.butler.datastore.constraints import Constraints
from lsst.daf.butler.datastore.file_templates import FileTemplates
from lsst.daf.butler.formatters.json import JsonFormatter
from lsst.daf.butler.formatters.yaml import YamlFormatter
from scenarios import Run, scenario

import quantum_butler
from repositories import Repository


@scenario
def test_trust_mode_switched_off(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref], datastore_records={})
    butler._datastore._set_trust_mode(False)
    assert type(run.error(butler.get, ref)) is FileNotFoundError
    assert run(butler.stored, ref) is False


@scenario
def test_other_constraints(run: Run) -> None:
    ref, other = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[ref, other])
    run(butler.put, {"a": 1}, ref)
    butler._datastore.constraints = Constraints({"reject": ["derived"]}, universe=run.repository.universe)
    run.error(butler.put, {"a": 1}, other)
    run(butler.export_predicted_datastore_records, [other])


@scenario
def test_other_templates(run: Run) -> None:
    ref, other = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[ref, other])
    run(butler.put, {"a": 1}, ref)
    datastore = butler._datastore
    datastore.templates = FileTemplates(
        {"default": "elsewhere/{run}/{datasetType}.{component:?}_{instrument}_{detector}"},
        universe=run.repository.universe,
    )
    run(butler.put, {"a": 1}, other)
    assert "elsewhere" in str(run(butler.getURI, other))
    assert "elsewhere" not in str(run(run.butler(outputs=[other]).getURI, other, predict=True))


@scenario
def test_added_formatter_and_a_clone(run: Run) -> None:
    ref, other = run.refs("derived", 0, 1)
    butler = run.butler(outputs=[ref, other])
    run(butler.put, {"a": 1}, ref)
    datastore = butler._datastore
    datastore.formatterFactory.registerFormatter(ref.datasetType, YamlFormatter)
    run(butler.put, {"a": 1}, other)
    assert run(butler.getURI, other).getExtension() == ".yaml"
    assert run(butler.get, other) == {"a": 1}
    assert run(run.butler(outputs=[other]).getURI, other, predict=True).getExtension() == ".json"


class _Once(JsonFormatter):
    """Serializes a stream, which is used up by that."""

    def to_bytes(self, in_memory_dataset: Any) -> bytes:
        items = list(in_memory_dataset["items"])
        if "fail" in items:
            raise OSError("the stream failed half-way")
        data = json.dumps({"items": items}).encode()
        return bytearray(data) if in_memory_dataset.get("array") else data  # type: ignore[return-value]


@pytest.mark.parametrize(
    "dataset",
    [
        lambda: {"items": iter([1, 2, 3])},
        lambda: {"items": iter([1, "fail", 3])},
        lambda: {"items": iter([1, 2, 3]), "array": True},
    ],
    ids=["stream", "failing", "bytearray"],
)
def test_a_dataset_is_serialized_once(
    dataset: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    new_repository: Callable[[], Repository],
    stock_class: type[Any],
) -> None:
    outcomes = []
    for butler_class in (quantum_butler.QuantumBackedButler, stock_class):
        repository = new_repository()
        ref = repository.predicted["derived"][0]
        butler = repository.butler(butler_class, outputs=[ref])
        with monkeypatch.context() as patched:
            patched.setattr(JsonFormatter, "to_bytes", _Once.to_bytes)
            try:
                butler.put(dataset(), ref)
                outcomes.append((butler.get(ref), butler.stored(ref), butler._actual_output_refs))
            except RuntimeError as err:
                outcomes.append((str(err), butler.stored(ref), type(err.__cause__)))
        butler.close()
    assert outcomes[0] == outcomes[1]
    assert not butler_class.__module__.startswith("quantum_butler")


@scenario
def test_storage_classes_reset(run: Run) -> None:
    ref = run.ref("measured")
    factory = StorageClassFactory()
    known = copy.copy(factory._storageClasses)
    run(run.butler(inputs=[ref]).get, ref)
    try:
        factory.reset()
        butler = run.butler(inputs=[ref])
        run(butler.get, ref)
    finally:
        factory._storageClasses.update(known)


def test_a_forked_child_can_read_what_its_parent_extracted(repository: Repository) -> None:
    ref = repository.stored["measured"][0]
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=[ref]) as butler:
        butler.get(ref)
        provenance = butler.extract_provenance_data()
    if (child := os.fork()) == 0:
        os._exit(0 if provenance.actual_inputs == {ref.id} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert provenance.actual_inputs == {ref.id}
