"""``collect_and_transfer`` does what upstream's does, in batches or not."""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from lsst.daf.butler import Butler, DatasetRef, DatasetType, MissingDatasetTypeError, Quantum
from lsst.daf.butler import QuantumProvenanceData as Stock
from lsst.daf.butler.persistence_context import PersistenceContextVars
from lsst.daf.butler.registry import ConflictingDefinitionError, MissingCollectionError

import quantum_butler
from quantum_butler import QuantumProvenanceData
from quantum_butler.quantum import transfer as transferring_quanta
from registries import DATASTORE, RUNS, STORAGE_CLASS, Content, Registries, content, dataset

TABLE = "file_datastore_records"
FILE_INFO = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"


def row(ref: DatasetRef, path: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
        "path": path or f"{ref.run}/{ref.datasetType.name}-{ref.id}.json",
        "storage_class": "StructuredDataDict",
        "component": "__NULL_STRING__",
        "checksum": None,
        "file_size": 12,
        **changes,
    }


@dataclass
class Done:
    """A quantum and what it has done."""

    outputs: list[DatasetRef]
    actual: list[DatasetRef] | None = None
    rows: Mapping[DatasetRef, list[dict[str, Any]]] | None = None
    listed: Iterable[DatasetRef] = ()
    datastore: str = DATASTORE
    table: str = TABLE
    record_class: str = FILE_INFO
    key: Callable[[DatasetRef], str] = lambda ref: ref.id.hex

    def quantum(self) -> Quantum:
        outputs: dict[Any, list[DatasetRef]] = {}
        for ref in self.outputs:
            outputs.setdefault(ref.datasetType, []).append(ref)
        return Quantum(taskName="some.Task", outputs=outputs)

    def provenance(self) -> str:
        actual = self.outputs if self.actual is None else self.actual
        rows = {ref: [row(ref)] for ref in actual} if self.rows is None else self.rows
        records = {self.record_class: {self.key(ref): {self.table: of} for ref, of in rows.items()}}
        data = {
            "predicted_inputs": [],
            "available_inputs": [],
            "actual_inputs": [],
            "predicted_outputs": [str(ref.id) for ref in self.outputs],
            "actual_outputs": [str(ref.id) for ref in actual],
            "datastore_records": {
                self.datastore: {
                    "dataset_ids": [str(ref.id) for ref in [*rows, *self.listed]],
                    "records": records if rows else {},
                }
            },
        }
        return json.dumps(data)


@dataclass
class Scenario:
    """What is to be transferred, and what must come of it."""

    done: list[Done]
    raises: type[Exception] | None = None
    before: list[Done] = field(default_factory=list)
    """What upstream has transferred before."""
    quanta: int | None = None
    """How many of the quanta are given."""
    provenances: int | None = None
    both: bool = False
    """Whether it is worth a try with PostgreSQL, too."""


A, B, C = (dataset("image", n) for n in range(3))
CATALOG, REPORT, SUMMARY = dataset("catalog"), dataset("report"), dataset("summary")
MANY = [
    Done(
        [dataset("image", n), dataset("catalog", n, run=RUNS[n % 2])] + ([REPORT, SUMMARY] if n == 3 else [])
    )
    for n in range(8)
]
COMPONENT = DatasetRef(
    DatasetType("image.wcs", A.datasetType.dimensions, STORAGE_CLASS, parentStorageClass=STORAGE_CLASS),
    A.dataId,
    A.run,
    id=A.id,
)

SCENARIOS = {
    "nothing": Scenario([]),
    "without outputs": Scenario([Done([])]),
    "many": Scenario(MANY, both=True),
    "not all are written": Scenario([Done([A, CATALOG], actual=[A]), Done([B], actual=[])]),
    "written but not predicted": Scenario([Done([A], actual=[A, B], rows={A: [row(A)]})]),
    "records of what is not there": Scenario(
        [Done([A]), Done([], actual=[], rows={B: [row(B)]})], sqlalchemy.exc.IntegrityError, both=True
    ),
    "records of what was there": Scenario(
        [Done([A]), Done([], actual=[], rows={B: [row(B)]})], before=[Done([B], rows={})]
    ),
    "records before their dataset": Scenario(
        [Done([], actual=[], rows={C: [row(C)]}), Done([A]), Done([B]), Done([C], rows={})], both=True
    ),
    "records after their dataset": Scenario(
        [Done([C], rows={}), Done([A]), Done([B]), Done([], actual=[], rows={C: [row(C)]})]
    ),
    "the first records stay": Scenario(
        [Done([A]), Done([B]), Done([C, CATALOG], rows={C: [row(C)], A: [row(A, "late")]})]
    ),
    "records of one quantum in several files": Scenario(
        [Done([A], rows={A: [row(A, "a", component="x"), row(A, "b", component="y")]}), Done([B]), Done([C])]
    ),
    "listed without records": Scenario([Done([A, B], rows={B: [row(B)]}, listed=[A]), Done([C])]),
    "listed first, recorded later": Scenario(
        [
            Done([A], rows={}, listed=[A]),
            Done([B]),
            Done([C]),
            Done([], actual=[], rows={A: [row(A)]}),
        ]
    ),
    "an unknown datastore": Scenario([Done([A], datastore="FileDatastore@elsewhere"), Done([B])]),
    "an unknown table": Scenario([Done([A], table="other_records"), Done([B])]),
    "a quantum twice": Scenario([Done([A]), Done([B]), Done([A])], ConflictingDefinitionError, both=True),
    "a quantum twice, far apart": Scenario([*MANY, MANY[0]], ConflictingDefinitionError),
    "a quantum twice that was there": Scenario(
        [Done([A]), Done([B]), Done([C]), Done([A])],
        ConflictingDefinitionError,
        before=[Done([A], rows={})],
    ),
    "some are there": Scenario(MANY, before=[Done(done.outputs, rows={}) for done in MANY[2:5]], both=True),
    "another id for a data ID": Scenario(
        [Done([A]), Done([B]), Done([dataset("image", 0, key="other")])], ConflictingDefinitionError
    ),
    "another id for a data ID that is there": Scenario(
        [Done([C]), Done([B]), Done([dataset("image", 0, key="other")])],
        ConflictingDefinitionError,
        before=[Done([A])],
        both=True,
    ),
    "an id in another run": Scenario(
        [Done([B]), Done([C]), Done([DatasetRef(A.datasetType, A.dataId, RUNS[1], id=A.id)])],
        ConflictingDefinitionError,
        before=[Done([A], rows={})],
    ),
    "an id with two types": Scenario(
        [Done([A]), Done([B]), Done([DatasetRef(CATALOG.datasetType, A.dataId, A.run, id=A.id)])],
        ConflictingDefinitionError,
    ),
    "recorded before": Scenario(
        [Done([B]), Done([C]), Done([A])], sqlalchemy.exc.IntegrityError, before=[Done([A])], both=True
    ),
    "an unknown type": Scenario(
        [Done([A]), Done([B]), Done([dataset("unheard_of")])], MissingDatasetTypeError, both=True
    ),
    "an unknown run": Scenario(
        [Done([A]), Done([B]), Done([dataset("image", run="runs/nowhere")])], MissingCollectionError
    ),
    "a missing dimension record": Scenario([Done([A]), Done([dataset("image", 77)])], Exception),
    "a component": Scenario([Done([B]), Done([COMPONENT])], Exception),
    "too few quanta": Scenario(MANY, ValueError, quanta=5, both=True),
    "too few provenances": Scenario(MANY, ValueError, provenances=5),
    "keys with hyphens": Scenario([Done([A], key=lambda ref: str(ref.id)), Done([B])]),
    "keys that are no ids": Scenario([Done([A]), Done([B], key=lambda ref: "nobody")], ValueError),
    "the class of old": Scenario(
        [Done([A], record_class="lsst.daf.butler.core.storedFileInfo.StoredFileInfo"), Done([B])]
    ),
    "a class that is none": Scenario([Done([A]), Done([B], record_class="uuid.UUID")], RuntimeError),
    "a record without a path": Scenario(
        [Done([A]), Done([B], rows={B: [{"formatter": "x", "storage_class": "y"}]})], KeyError
    ),
}


def lazily(items: Iterable[Any]) -> Iterator[Any]:
    """Yield items once only, and hold none of them."""
    yield from items


def transfer(
    root: Path, model: Any, scenario: Scenario, models: Any = None
) -> tuple[Exception | None, Content]:
    """Transfer what a scenario has; return what was raised, and what is there afterwards."""
    quanta = lazily([done.quantum() for done in scenario.done][: scenario.quanta])
    models = model if models is None else models
    data = [models.model_validate_json(done.provenance()) for done in scenario.done]
    raised = None
    with Butler.from_config(str(root), writeable=True) as butler:
        try:
            model.collect_and_transfer(butler, quanta, lazily(data[: scenario.provenances]))
        except Exception as error:
            raised = error
        return raised, content(butler)


def prepared(registries: Registries, database: str, scenario: Scenario, datastore: str = "file") -> Path:
    root = registries.new(database, datastore)
    if scenario.before:
        assert transfer(root, Stock, Scenario(scenario.before))[0] is None
    return root


@pytest.mark.parametrize(
    ("name", "database"),
    [
        *((name, "sqlite") for name in SCENARIOS),
        *((name, "postgresql") for name, scenario in SCENARIOS.items() if scenario.both),
    ],
)
def test_the_same_as_upstream(
    name: str, database: str, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS[name]
    template = prepared(registries, database, scenario)
    error, expected = transfer(registries.copy(template), Stock, scenario)
    if scenario.raises is None:
        assert error is None
    else:
        assert isinstance(error, scenario.raises)
    for models in (QuantumProvenanceData, *([Stock] if scenario.both else [])):
        raised, found = transfer(registries.copy(template), QuantumProvenanceData, scenario, models)
        assert (type(raised), first_line(raised)) == (type(error), first_line(error))
        assert found == expected
    monkeypatch.setattr(transferring_quanta, "BATCH", 1)
    raised, found = transfer(registries.copy(template), QuantumProvenanceData, scenario)
    assert type(raised) is type(error)
    assert found == (expected if error is None else content(template))
    assert (found != content(template)) == (error is None and any(done.outputs for done in scenario.done))


def first_line(error: Exception | None) -> str | None:
    """Return the first line of a message, up to the name of a temporary table."""
    return None if error is None else str(error).partition("\n")[0].partition("tmp_")[0]


@pytest.mark.parametrize("batch", [1, 50_000])
def test_chained_datastores(registries: Registries, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(transferring_quanta, "BATCH", batch)
    with Butler.from_config(str(registries.new("sqlite", "chained"))) as butler:
        names = [child.name for child in butler._datastore.datastores[:2]]  # type: ignore[attr-defined]
    done = [
        Done([dataset("image", n)], datastore=name, table=table)
        for n, (name, table) in enumerate(
            [(name, f"{child}_records") for name in [*names, "elsewhere"] for child in ("one", "two")]
        )
    ]
    scenario = Scenario(done)
    results = []
    for model in (Stock, QuantumProvenanceData):
        root = prepared(registries, "sqlite", scenario, "chained")
        error, found = transfer(root, model, scenario)
        assert error is None
        results.append(found)
    assert results[0] == results[1]
    assert [len(rows) for rows in results[0].records.values()] == [1, 1]
    assert [len(ids) for ids in results[0].located.values()] == [2, 2]


def test_what_an_iterator_raises_comes_out_and_nothing_stays(
    registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transferring_quanta, "BATCH", 3)
    root = registries.new("sqlite")
    before = content(root)
    imported = []

    def broken(butler: Butler) -> Iterator[Quantum]:
        for done in MANY:
            yield done.quantum()
            imported.append(len(butler.query_all_datasets(RUNS[0], limit=None)))
        raise OSError("the disk has gone")

    data = [QuantumProvenanceData.model_validate_json(done.provenance()) for done in MANY]
    with Butler.from_config(str(root), writeable=True) as butler:
        with pytest.raises(OSError, match="the disk has gone"):
            QuantumProvenanceData.collect_and_transfer(butler, broken(butler), data)
        assert imported[-1] > 5
        assert content(root) == before
        QuantumProvenanceData.collect_and_transfer(butler, [done.quantum() for done in MANY], data)
    assert len(content(root).refs) == 18


def test_within_a_transaction_of_the_caller(registries: Registries) -> None:
    root = registries.new("sqlite")
    before = content(root)
    data = [QuantumProvenanceData.model_validate_json(done.provenance()) for done in MANY]
    with Butler.from_config(str(root), writeable=True) as butler:
        with pytest.raises(KeyError, match="undo"), butler.transaction():
            QuantumProvenanceData.collect_and_transfer(butler, [done.quantum() for done in MANY], data)
            raise KeyError("undo")
    assert content(root) == before


def test_nothing_is_materialised_and_batches_are_let_go(
    registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transferring_quanta, "BATCH", 4)
    seen: list[QuantumProvenanceData] = []
    alive: list[int] = []

    def quanta() -> Iterator[Quantum]:
        for done in MANY:
            gc.collect()
            alive.append(sum(type(found) is Quantum for found in gc.get_objects()))
            yield done.quantum()

    def data() -> Iterator[QuantumProvenanceData]:
        for done in MANY:
            model = QuantumProvenanceData.model_validate_json(done.provenance())
            seen.append(model)
            yield model

    with Butler.from_config(str(registries.new("sqlite")), writeable=True) as butler:
        QuantumProvenanceData.collect_and_transfer(butler, quanta(), data())
    assert len(seen) == len(MANY)
    assert all(model._native is not None for model in seen)
    assert max(alive) - min(alive) <= 1


class Loose:
    """Provenance that is no model, and not even of the model's types."""

    def __init__(self, done: Done):
        stock = Stock.model_validate_json(done.provenance())
        self.actual_outputs = list(stock.actual_outputs)
        self.datastore_records = stock.datastore_records


@pytest.mark.parametrize("batch", [1, 50_000])
def test_whatever_has_the_two_fields_will_do(
    registries: Registries, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(transferring_quanta, "BATCH", batch)
    results: list[Content] = []
    for model in (Stock, QuantumProvenanceData):
        root = registries.new("sqlite")
        with Butler.from_config(str(root), writeable=True) as butler:
            model.collect_and_transfer(butler, [done.quantum() for done in MANY], map(Loose, MANY))  # type: ignore[arg-type]
        results.append(content(root))
    assert results[0] == results[1]
    assert len(results[0].refs) == 18


def test_a_model_that_was_changed(registries: Registries) -> None:
    root = registries.new("sqlite")
    model = QuantumProvenanceData.model_validate_json(Done([A, B]).provenance())
    model.actual_outputs.discard(B.id)
    records = model.datastore_records[DATASTORE]
    del records.records[FILE_INFO][B.id.hex]  # type: ignore[attr-defined]
    records.dataset_ids.remove(B.id)
    with Butler.from_config(str(root), writeable=True) as butler:
        QuantumProvenanceData.collect_and_transfer(butler, [Done([A, B]).quantum()], [model])
    assert content(root).refs == {A.id: A}


def test_upstreams_own_way_where_ours_is_off(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(
        "quantum_butler.quantum.provenance.collect_and_transfer", lambda *args: called.append(args)
    )
    done = Done([A])

    def run() -> int:
        root = registries.new("sqlite")
        model = QuantumProvenanceData.model_validate_json(done.provenance())
        with Butler.from_config(str(root), writeable=True) as butler:
            QuantumProvenanceData.collect_and_transfer(butler, [done.quantum()], [model])
        return len(content(root).refs)

    assert run() == 0
    assert len(called) == 1
    # Upstream's record cache answers for sets of ids that it has seen.
    token = PersistenceContextVars.dataStoreRecords.set({})
    try:
        assert run() == 1
    finally:
        PersistenceContextVars.dataStoreRecords.reset(token)
    monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    assert run() == 1
    assert len(called) == 1


def test_after_install(registries: Registries) -> None:
    import lsst.daf.butler

    root = registries.new("sqlite")
    quantum_butler.install()
    try:
        assert lsst.daf.butler.QuantumProvenanceData is QuantumProvenanceData
        model = lsst.daf.butler.QuantumProvenanceData.model_validate_json(Done([A]).provenance())
        with Butler.from_config(str(root), writeable=True) as butler:
            lsst.daf.butler.QuantumProvenanceData.collect_and_transfer(butler, [Done([A]).quantum()], [model])
    finally:
        quantum_butler.uninstall()
    assert content(root).refs == {A.id: A}


def test_datasets_of_a_field_come_out_as_a_dictionary_would_have_them() -> None:
    from quantum_butler import _core

    native = _core.Provenance.from_json(Done([A, B], actual=[A, B]).provenance())
    assert native is not None
    other = dataset("image", 0, run=A.run)
    assert other is not A
    found = native.among("actual_outputs", [A, CATALOG, B, other])
    assert found == [other, B]
    assert found[0] is other
    assert native.among("actual_inputs", [A]) == []
    with pytest.raises(KeyError, match="outputs"):
        native.among("outputs", [A])


def test_records_that_python_has_made_come_out_as_they_went_in() -> None:
    from quantum_butler import _core

    merge = _core.RecordMerge(dict)
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    assert merge.add_other("store", {one: {"t": ["x"], "u": []}, two: {}}) == {one: {"t": ["x"]}, two: {}}
    assert merge.add_other("store", {one: {"t": ["y"], "u": ["z"]}, two: {}}) == {one: {"u": ["z"]}}
    assert merge.add_other("other", {one: {"t": ["y"]}}) == {one: {"t": ["y"]}}
    with pytest.raises(TypeError, match="not str"):
        merge.add_other("store", {"one": {}})  # type: ignore[dict-item]
