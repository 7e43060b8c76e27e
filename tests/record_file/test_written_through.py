"""The file has what the stock class would have written, after every step."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import numpy
import pytest
from lsst.daf.butler import DataCoordinate, DatasetRef, DatasetType, QuantumBackedButler
from lsst.daf.butler.registry.interfaces import SchemaAlreadyDefinedError
from record_files import beside, contents, definitions, roles, roles_of, stock_contents, stock_datastore
from resuming import begin, resume

import quantum_butler
from repositories import NewRepository, Repository, example_metrics

KINDS = ["file", "checksum", "cached", "constrained", "chained"]


def prune(butler: QuantumBackedButler, *refs: DatasetRef, purge: bool = True) -> None:
    butler.pruneDatasets(refs, disassociate=purge, unstore=True, purge=purge)


class Pair:
    """The stock class and ours, each in a repository with a file of its own."""

    def __init__(self, new_repository: NewRepository, folder: Path, kind: str, durability: str = "disk"):
        self.stock_repository, self.our_repository = new_repository(kind), new_repository(kind)
        self.stock_file, self.our_file = folder / "stock.sqlite3", folder / "ours.sqlite3"
        self.refs = self.our_repository.predicted
        inputs = [ref for name in ("measured", "parts", "whole") for ref in self.our_repository.stored[name]]
        self.inputs = inputs
        self.outputs = [ref for refs in self.refs.values() for ref in refs]
        self.stock: QuantumBackedButler = self.stock_repository.butler(
            QuantumBackedButler, inputs=inputs, outputs=self.outputs, filename=str(self.stock_file)
        )
        self.ours = self.our_repository.butler(
            quantum_butler.QuantumBackedButler,
            inputs=inputs,
            outputs=self.outputs,
            filename=str(self.our_file),
            durability=durability,
        )

    def __call__(self, name: str, *args: Any, **options: Any) -> None:
        """Call a method of both, and compare the results and the files."""
        results = []
        for butler in (self.stock, self.ours):
            try:
                results.append(getattr(butler, name)(*args, **options))
            except Exception as error:
                results.append(type(error))
        assert results[0] == results[1] or name == "extract_provenance_data"
        self.compare()

    def compare(self) -> None:
        assert stock_contents(self.stock_file) == stock_contents(self.our_file)
        assert {ref.id for ref in self.stock._actual_output_refs} == {
            ref.id for ref in self.ours._actual_output_refs
        }
        assert roles(self.our_file)["actual_output"] == roles_of(self.ours)["actual_output"]

    def close(self) -> None:
        self.stock.close()
        self.ours.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_after_every_step(new_repository: NewRepository, tmp_path: Path, kind: str) -> None:
    pair = Pair(new_repository, tmp_path, kind)
    pair.compare()
    derived, parts, whole = (pair.refs[name] for name in ("derived", "parts_out", "whole_out"))
    pair("get", pair.inputs[0])
    pair("put", {"a": 1}, derived[0])
    pair("put", {"a": 2}, derived[0])
    pair("put", {"a": 2}, derived[1])
    pair("put", example_metrics(1), parts[0])
    pair("put", example_metrics(2), parts[1])
    pair("put", example_metrics(2), whole[0])
    if kind != "chained":
        # In a chain, stock keeps what the other members have written.
        pair("put", {"fail_write": "OSError"}, pair.refs["fragile_out"][0])
    pair("put", {"a": 2}, pair.inputs[0])
    pair("stored_many", pair.inputs + pair.outputs)
    pair("pruneDatasets", [derived[1], parts[1]], disassociate=True, unstore=True, purge=True)
    pair("pruneDatasets", [whole[0]], disassociate=False, unstore=True)
    pair("pruneDatasets", [derived[2]], disassociate=True, unstore=True, purge=True)
    pair("pruneDatasets", [pair.inputs[3]], disassociate=False, unstore=True)
    pair("pruneDatasets", [derived[0]], disassociate=True, unstore=False)
    pair("put", {"a": 3}, derived[1])
    pair("get", derived[1])
    assert len(roles(pair.our_file)["actual_output"]) >= 4
    pair.close()
    pair.compare()
    assert definitions(pair.stock_file) == definitions(pair.our_file)
    assert roles(pair.our_file) == roles_of(pair.ours)


@pytest.mark.parametrize("seed", range(6))
def test_the_same_rows_after_random_steps(new_repository: NewRepository, tmp_path: Path, seed: int) -> None:
    steps = random.Random(seed)
    pair = Pair(new_repository, tmp_path, KINDS[seed % len(KINDS)], "process")
    refs = [*pair.refs["derived"], *pair.refs["parts_out"]]
    for number in range(25):
        ref = steps.choice(refs)
        some = steps.sample([*refs, *pair.inputs], steps.randint(1, 5))
        value: Any = {"a": number} if ref.datasetType.name == "derived" else example_metrics(number)
        match steps.choice(["put", "put", "prune", "unstore", "get", "stored"]):
            case "put":
                pair("put", value, ref)
            case "prune":
                pair("pruneDatasets", some, disassociate=True, unstore=True, purge=True)
            case "unstore":
                pair("pruneDatasets", some, disassociate=False, unstore=True)
            case "get":
                pair("stored", ref)
            case "stored":
                pair("stored_many", some)
    pair.close()
    pair.compare()
    assert roles(pair.our_file) == roles_of(pair.ours)


@pytest.mark.parametrize("kind", ["file", "chained"])
def test_upstream_opens_our_file(new_repository: NewRepository, tmp_path: Path, kind: str) -> None:
    pair = Pair(new_repository, tmp_path, kind)
    output, other = pair.refs["derived"][:2]
    for butler in (pair.stock, pair.ours):
        butler.put({"a": 1}, output)
    expected = pair.ours._datastore.export_records([*pair.inputs, output])
    pair.close()
    with stock_datastore(pair.our_file, pair.our_repository) as datastore:
        assert datastore.export_records([*pair.inputs, output]) == expected
        assert datastore.get(output) == {"a": 1}
        # Upstream can also go on writing to it.
        datastore.put({"a": 2}, other)
        datastore.trash(output)
        datastore.emptyTrash()
    with stock_datastore(pair.stock_file, pair.stock_repository) as datastore:
        datastore.put({"a": 2}, other)
        datastore.trash(output)
        datastore.emptyTrash()
    assert stock_contents(pair.our_file) == stock_contents(pair.stock_file)
    with quantum_butler.QuantumBackedButler.resume(
        pair.our_file, str(pair.our_repository.root), pair.our_repository.universe
    ) as butler:
        assert butler._datastore.knows(other)
        assert not butler._datastore.knows(output)


@pytest.mark.parametrize("kind", ["file", "chained"])
@pytest.mark.parametrize("way", ["from_predicted", "resume"])
def test_we_open_a_stock_file(new_repository: NewRepository, tmp_path: Path, kind: str, way: str) -> None:
    repository, file = new_repository(kind), tmp_path / "stock.sqlite3"
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    with repository.butler(QuantumBackedButler, inputs=inputs, outputs=outputs, filename=str(file)) as stock:
        stock.put({"a": 1}, outputs[0])
        expected = stock._datastore.export_records([*inputs, *outputs])
    where = (str(repository.root),)
    if way == "resume":
        butler = quantum_butler.QuantumBackedButler.resume(file, *where, repository.universe)
    else:
        butler = quantum_butler.QuantumBackedButler.from_predicted(
            *where,
            [ref.id for ref in inputs],
            outputs,
            repository.universe,
            repository.records_of([*inputs, repository.stored["whole"][0]]),
            filename=str(file),
        )
    with butler:
        assert butler._datastore.export_records([*inputs, *outputs]) == expected
        assert butler._datastore.knows(repository.stored["whole"][0]) is (way == "from_predicted")
        assert butler.get(outputs[0]) == {"a": 1}
        if way == "from_predicted":
            butler.put({"a": 2}, outputs[1])
            prune(butler, outputs[0])
    if way == "from_predicted":
        with stock_datastore(file, repository) as datastore:
            assert datastore.knows_these(outputs[:3]) == {
                outputs[0]: False,
                outputs[1]: True,
                outputs[2]: False,
            }


def test_a_file_with_a_quantum_is_not_overwritten(repository: Repository, tmp_path: Path) -> None:
    file, outputs = tmp_path / "records.sqlite3", repository.predicted["derived"]
    options: Any = {"outputs": outputs, "filename": str(file)}
    for cls in (quantum_butler.QuantumBackedButler, QuantumBackedButler):
        with repository.butler(quantum_butler.QuantumBackedButler, **options) as butler:
            butler.put({"a": 1}, outputs[0])
        before = contents(file)
        # Nor would the stock class do so.
        with pytest.raises(SchemaAlreadyDefinedError, match=r"records\.sqlite3"):
            repository.butler(cls, **options)
        assert contents(file) == before
        assert beside(file) == []
        prune_all(file, repository)


def prune_all(file: Path, repository: Repository) -> None:
    with quantum_butler.QuantumBackedButler.resume(file, str(repository.root), repository.universe) as butler:
        prune(butler, *butler._actual_output_refs)
    file.unlink()


@pytest.mark.parametrize("durability", ["disk", "process"])
def test_what_has_returned_is_in_the_file(repository: Repository, tmp_path: Path, durability: str) -> None:
    file, copy = tmp_path / "records.sqlite3", tmp_path / "copy.sqlite3"
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    butler = repository.butler(
        quantum_butler.QuantumBackedButler,
        inputs=inputs,
        outputs=outputs,
        filename=str(file),
        durability=durability,
    )

    def seen() -> tuple[set[str], set[str], set[str]]:
        # As another program sees it, while it is open.
        tables = contents(file)
        return (
            {row[0] for row in tables["file_datastore_records"]},
            {row[1] for row in tables["dataset_location"]},
            roles(file)["actual_output"],
        )

    of_inputs = {ref.id.hex for ref in inputs}
    assert seen() == (of_inputs, of_inputs, set())
    butler.get(inputs[0])
    butler.put({"a": 1}, outputs[0])
    one = {outputs[0].id.hex}
    assert seen() == (of_inputs | one, of_inputs | one, one)
    # What was read before is in the file by now, too.
    assert roles(file)["actual_input"] == {inputs[0].id.hex}
    prune(butler, outputs[0])
    assert seen() == (of_inputs, of_inputs, set())
    butler.get(inputs[1])
    butler.markInputUnused(inputs[0])
    butler.close()
    assert beside(file) == []
    assert roles(file) == roles_of(butler)
    assert roles(file)["actual_input"] == {inputs[1].id.hex}
    butler.close()
    shutil.copy(file, copy)
    assert contents(copy) == contents(file)


def test_records_that_are_imported_go_to_the_file(repository: Repository, tmp_path: Path) -> None:
    file, inputs = tmp_path / "records.sqlite3", repository.stored["measured"]
    butler = repository.butler(
        quantum_butler.QuantumBackedButler, inputs=inputs, recorded=inputs[:1], filename=str(file)
    )
    with butler:
        butler._datastore.import_records(repository.records_of(inputs[1:2]))
        with repository.butler(
            quantum_butler.QuantumBackedButler, inputs=inputs, recorded=inputs[2:3]
        ) as other:
            table = other._datastore.export_table({inputs[2].id})
        butler._datastore.import_table(table)
        found = {uuid.UUID(row[0]) for row in contents(file)["file_datastore_records"]}
        assert found == {ref.id for ref in inputs[:3]}
        butler._datastore.forget(inputs[:1])
        assert len(contents(file)["file_datastore_records"]) == len(contents(file)["dataset_location"]) == 2


def test_a_transaction_that_is_rolled_back(repository: Repository, tmp_path: Path) -> None:
    file, outputs = tmp_path / "records.sqlite3", repository.predicted["derived"]
    with repository.butler(quantum_butler.QuantumBackedButler, outputs=outputs, filename=str(file)) as butler:
        butler.put({"a": 0}, outputs[0])
        before = stock_contents(file)
        with pytest.raises(ZeroDivisionError), butler._datastore.transaction():
            butler._datastore.put({"a": 1}, outputs[1])
            butler._datastore.trash([outputs[0]])
            assert stock_contents(file) != before
            raise ZeroDivisionError
        assert stock_contents(file) == before
        assert butler.stored_many(outputs[:2]) == {outputs[0]: True, outputs[1]: False}


def test_changes_of_the_actual_outputs_by_hand(repository: Repository, tmp_path: Path) -> None:
    file, outputs = tmp_path / "records.sqlite3", repository.predicted["derived"]
    butler = repository.butler(quantum_butler.QuantumBackedButler, outputs=outputs, filename=str(file))
    for ref in outputs:
        butler.put({}, ref)
    refs = butler._actual_output_refs
    refs -= {outputs[0]}
    refs.remove(outputs[1])
    refs.update(outputs[:1])
    refs.intersection_update([outputs[0], outputs[2]])
    butler.close()
    assert roles(file)["actual_output"] == {outputs[0].id.hex, outputs[2].id.hex}


def test_values_of_durability(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="durability"):
        repository.butler(
            quantum_butler.QuantumBackedButler, filename=str(tmp_path / "x"), durability="for ever"
        )
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize("as_path", [False, True])
def test_the_factory(repository: Repository, tmp_path: Path, as_path: bool) -> None:
    file: Any = tmp_path / "a name with %41, ? and #.sqlite3"
    make = quantum_butler.QuantumBackedButlerFactory(str(repository.root), repository.universe)
    outputs = repository.predicted["derived"]
    quantum = repository.quantum([], outputs)
    with make(quantum, filename=file if as_path else str(file), durability="process") as butler:
        butler.put({"a": 1}, outputs[0])
    assert roles(file)["actual_output"] == {outputs[0].id.hex}


def test_switched_off(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    file, outputs = tmp_path / "records.sqlite3", repository.predicted["derived"]
    with repository.butler(
        quantum_butler.QuantumBackedButler, outputs=outputs, filename=str(file), durability="process"
    ) as butler:
        butler.put({"a": 1}, outputs[0])
    assert contents(file) == stock_contents(file)
    with quantum_butler.QuantumBackedButler.resume(file, str(repository.root), repository.universe) as butler:
        assert butler.get(outputs[0]) == {"a": 1}


@pytest.mark.parametrize("is_full", [True, False])
def test_outputs_are_told_by_their_data_ids(repository: Repository, tmp_path: Path, is_full: bool) -> None:
    # Text of which JSON must escape some.
    name, day = 'a "quoted" \\ \N{GREEK SMALL LETTER ALPHA}', 20250101
    dimensions = repository.universe.conform(["exposure", "detector"])
    values = {"instrument": name, "detector": 3, "exposure": 2**40}
    implied = {"band": "r", "day_obs": day, "group": name, "physical_filter": f"{name}-r"}
    assert values.keys() | implied.keys() == set(dimensions.names)
    data_id = DataCoordinate.standardize(values | implied if is_full else values, dimensions=dimensions)
    assert data_id.hasFull() == is_full
    dataset_type = DatasetType("told", dimensions, "StructuredDataDict")
    ref = DatasetRef(dataset_type, data_id, run="a run")
    file = tmp_path / "records.sqlite3"
    butler = begin(repository, file, outputs=[ref])
    butler._actual_output_refs.add(ref)
    butler.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        [(told,)] = connection.execute("SELECT data_id FROM quantum_butler_output")
    assert told == json.dumps(dict(data_id.mapping if is_full else data_id.required))
    resumed = resume(repository, file)
    assert resumed._actual_output_refs == {ref}
    [again] = resumed._actual_output_refs
    assert (again.id, again.run, again.dataId.hasFull()) == (ref.id, ref.run, is_full)
    assert dict(again.dataId.mapping) == dict(data_id.mapping)
    resumed.close()


def test_an_output_with_two_storage_classes(repository: Repository, tmp_path: Path) -> None:
    file, ref = tmp_path / "records.sqlite3", repository.predicted["plain_out"][0]
    other = ref.overrideStorageClass("MetricsModel")
    butler = begin(repository, file)
    butler.put(example_metrics(1), ref)
    butler.pruneDatasets([ref], disassociate=False, unstore=True)
    butler.put(example_metrics(1), other)
    butler.pruneDatasets([ref], disassociate=True, unstore=True, purge=True)
    assert butler._actual_output_refs == {other}
    butler.close()
    assert roles(file) == roles_of(butler)
    with resume(repository, file) as resumed:
        assert resumed._actual_output_refs == {other}


def test_numbers_that_are_no_integers_of_python(repository: Repository, tmp_path: Path) -> None:
    file, ref = tmp_path / "records.sqlite3", repository.predicted["derived"][0]
    values = tuple(numpy.int64(one) if isinstance(one, int) else one for one in ref.dataId.required_values)
    data_id = DataCoordinate.from_required_values(ref.dataId.dimensions, values)
    strange = DatasetRef(ref.datasetType, data_id, ref.run, id=ref.id)
    assert any(type(one) is not int for one in strange.dataId.required_values[1:])
    butler = begin(repository, file, outputs=[strange])
    butler._actual_output_refs.add(strange)
    butler.close()
    with resume(repository, file) as resumed:
        assert resumed._actual_output_refs == {ref}


def test_a_truth_value_in_a_data_id_is_a_number(repository: Repository, tmp_path: Path) -> None:
    file, ref = tmp_path / "records.sqlite3", repository.predicted["derived"][1]
    names = list(ref.dataId.dimensions.required)
    values = tuple(True if name == "detector" else value for name, value in ref.dataId.required.items())
    data_id = DataCoordinate.from_required_values(ref.dataId.dimensions, values)
    strange = DatasetRef(ref.datasetType, data_id, ref.run, id=ref.id)
    butler = begin(repository, file, outputs=[strange])
    butler._actual_output_refs.add(strange)
    butler.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        [(told,)] = connection.execute("SELECT data_id FROM quantum_butler_output")
    # As `DataCoordinate.standardize` has it.
    expected = DataCoordinate.standardize(
        dict(zip(names, values, strict=True)), dimensions=data_id.dimensions
    )
    assert told == json.dumps(dict(expected.required)) and "true" not in told
