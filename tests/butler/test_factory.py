"""What makes butlers: by itself, in other threads and processes, and kept for the next one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsst.daf.butler import (
    ButlerConfig,
    ButlerMetrics,
    Config,
    DataCoordinate,
    DatasetRef,
    DatasetType,
    DimensionConfig,
    DimensionUniverse,
    Quantum,
    QuantumBackedButler,
    StorageClassFactory,
)
from lsst.daf.butler.registry.bridge.monolithic import MonolithicDatastoreRegistryBridgeManager
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager

import quantum_butler
from quantum_butler import QuantumBackedButlerFactory
from quantum_butler.butler import blueprint
from quantum_butler.datastore.spawn import record_sources
from repositories import RUN, NewRepository, Repository, dataset_id

KINDS = ("file", "checksum", "cached", "constrained", "chained")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blueprint, "_blueprints", OrderedDict())
    monkeypatch.delenv("QUANTUM_BUTLER_NATIVE", raising=False)


def _factory(repository: Repository, config: Any = None) -> QuantumBackedButlerFactory:
    return QuantumBackedButlerFactory(
        str(repository.root) if config is None else config,
        repository.universe,
        dataset_types=repository.dataset_types,
    )


def _use(butler: QuantumBackedButler, ref: DatasetRef, output: DatasetRef) -> dict[str, Any]:
    """Return what a butler says in the course of one small quantum."""
    before = butler.stored_many([ref, output])
    value = butler.get(ref)
    butler.put({"from": value}, output)
    provenance = butler.extract_provenance_data()
    predicted = butler.export_predicted_datastore_records([output])
    return {
        "before": before,
        "after": butler.stored_many([ref, output]),
        "value": value,
        "back": butler.get(output),
        "provenance": provenance.model_dump(),
        "predicted": {name: data.to_simple() for name, data in predicted.items()},
        "names": butler.get_datastore_names(),
        "roots": butler.get_datastore_roots(),
        "dataset type": butler._retrieve_dataset_type(ref.datasetType.name),
    }


def _without_the_clock(answers: dict[str, Any]) -> Any:
    # Datastores in memory are named after the time when they were made.
    return {name: answer for name, answer in answers.items() if name not in ("names", "roots")}


@pytest.mark.parametrize("kind", KINDS)
def test_butler_for_a_quantum(
    new_repository: NewRepository,
    stock_class: type[QuantumBackedButler],
    our_class: type[QuantumBackedButler],
    kind: str,
) -> None:
    answers = []
    for way in ("factory", "ours", "stock"):
        repository = new_repository(kind)
        ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
        quantum = repository.quantum([ref], [output], init_inputs=repository.stored["calibration"])
        if way == "factory":
            butler = _factory(repository)(quantum)
            assert type(butler) is quantum_butler.QuantumBackedButler
        else:
            butler = repository.butler(our_class if way == "ours" else stock_class, quantum)
        with butler:
            assert butler._predicted_inputs == {ref.id, repository.stored["calibration"][0].id}
            assert butler._predicted_outputs == {output.id}
            used = _use(butler, ref, output)
        # Each in its own copy of the repository.
        used["roots"] = {
            name: root and str(root).replace(str(repository.root), "<root>")
            for name, root in used["roots"].items()
        }
        answers.append(used if kind != "chained" else _without_the_clock(used))
    assert answers[0] == answers[1] == answers[2]


def test_butler_from_predictions(repository: Repository) -> None:
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    make = _factory(repository)
    metrics = ButlerMetrics()
    with make.from_predicted([ref.id], [output], repository.records_of([ref]), metrics=metrics) as butler:
        assert butler._predicted_inputs == {ref.id}
        assert butler._predicted_outputs == {output.id}
        assert butler._datastore.knows(ref)
        assert butler.get(ref) == repository.values[ref.id]
    assert metrics.n_get == 1
    with make(repository.quantum([ref]), metrics=metrics) as butler:
        butler.get(ref)
    assert metrics.n_get == 2
    for records in ({}, None):
        with make.from_predicted([ref], iter([output.id]), records) as butler:
            assert not butler._datastore.knows(ref)
            assert butler.get(ref) == repository.values[ref.id]
            assert butler._metrics.n_get == 1


def test_configuration_is_read_once(repository: Repository) -> None:
    make = _factory(repository)
    (repository.root / "butler.yaml").unlink()
    ref = repository.stored["measured"][0]
    for _ in range(2):
        with make(repository.quantum([ref])) as butler:
            assert butler.get(ref) == repository.values[ref.id]


def test_missing_configuration(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _factory(repository, str(tmp_path / "nowhere"))


def test_storage_classes_come_back(repository: Repository) -> None:
    known = StorageClassFactory()
    before = dict(known._storageClasses)
    make = _factory(repository)
    try:
        known.reset()
        assert "MetricsWhole" not in known
        with make(repository.quantum()) as butler:
            assert "MetricsWhole" in butler.storageClasses
    finally:
        known._storageClasses.clear()
        known._storageClasses.update(before)


def test_executor_calls_it(repository: Repository) -> None:
    executors = pytest.importorskip("lsst.pipe.base.single_quantum_executor")
    make = _factory(repository)
    executor = executors.SingleQuantumExecutor(limited_butler_factory=make)
    with executor._limited_butler_factory(repository.quantum(repository.stored["measured"])) as butler:
        # What it does with a butler beside reading and writing.
        with butler.record_metrics() as metrics:
            butler.get(repository.stored["measured"][0])
        assert metrics.n_get == 1
        assert butler.dimensions is repository.universe


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_executor_runs_a_graph_with_it(tmp_path: Path, processes: int) -> None:
    """Upstream's executors, here and in spawned workers, which get the factory pickled."""
    pytest.importorskip("lsst.ctrl.mpexec")
    from lsst.pipe.base.mp_graph_executor import MPGraphExecutor
    from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

    from quantum_butler.demo.graph import make_repository, read_graph

    root, graph_file = tmp_path / "repo", tmp_path / "graph.qg"
    make_repository(root, graph_file, 2)
    graph = read_graph(graph_file)
    with graph.make_init_qbb(str(root)) as butler:
        graph.init_output_run(butler)
    types = {node.name: node.dataset_type for node in graph.pipeline_graph.dataset_types.values()}
    make = QuantumBackedButlerFactory(str(root), graph.pipeline_graph.universe, dataset_types=types)
    made = []

    def count(quantum: Quantum) -> QuantumBackedButler:
        made.append(make(quantum))
        return made[-1]

    executor = SingleQuantumExecutor(limited_butler_factory=count if processes == 1 else make)
    MPGraphExecutor(num_proc=processes, timeout=120, quantum_executor=executor).execute(graph)
    assert len(made) == (4 if processes == 1 else 0)
    quanta = [data["quantum"] for _, data in graph.quantum_only_xgraph.nodes(data=True)]
    outputs = [ref for quantum in quanta for refs in quantum.outputs.values() for ref in refs]
    # Two tasks, two detectors, three outputs each.
    assert len(quanta) == 4 and len(outputs) == 12
    with QuantumBackedButler.from_predicted(
        str(root), [ref.id for ref in outputs], [], make._dimensions, {}, dataset_types=types
    ) as stock:
        assert stock.stored_many(outputs) == dict.fromkeys(outputs, True)
        assert all(stock.get(ref) is not None for ref in outputs)
    for butler in made:
        assert butler._actual_inputs == butler._predicted_inputs
        assert {ref.id for ref in butler._actual_output_refs} == butler._predicted_outputs


@pytest.mark.parametrize("form", ["path", "Path", "Config", "ButlerConfig", "Config with a root"])
def test_pickled(repository: Repository, form: str) -> None:
    root = str(repository.root)
    config: Any = {"path": root, "Path": repository.root}.get(form)
    if config is None:
        config = ButlerConfig(root) if form == "ButlerConfig" else Config(f"{root}/butler.yaml")
    if form == "Config with a root":
        config = Config(yaml.safe_load((repository.root / "butler.yaml").read_text()))
        config["root"] = root
    make = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(_factory(repository, config)))))
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    with make(repository.quantum([ref], [output])) as butler:
        assert butler.dimensions is repository.universe
        used = _use(butler, ref, output)
    assert used["value"] == repository.values[ref.id]
    assert used["dataset type"] == ref.datasetType
    assert next(iter(used["roots"].values())).ospath == f"{root}/"


def test_pickled_with_search_paths(repository: Repository, tmp_path: Path) -> None:
    defaults = {
        "datastore": {"templates": {"default": "searched/{run:/}/{datasetType}_{instrument:?}_{detector:?}"}}
    }
    (tmp_path / "datastores").mkdir()
    (tmp_path / "datastores" / "fileDatastore.yaml").write_text(yaml.safe_dump(defaults))
    make = QuantumBackedButlerFactory(str(repository.root), repository.universe, search_paths=[str(tmp_path)])
    output = repository.predicted["derived"][0]
    for copy in (make, pickle.loads(pickle.dumps(make))):
        with copy(repository.quantum([], [output])) as butler:
            assert "/searched/" in butler.getURI(output, predict=True).path


@pytest.mark.parametrize(
    "way", ["plain", "switched off", "SQLite file", "upstream's managers", "factory", "factory switched off"]
)
def test_search_paths_reach_the_configuration(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    defaults = {
        "datastore": {"templates": {"default": "searched/{run:/}/{datasetType}_{instrument:?}_{detector:?}"}}
    }
    (tmp_path / "datastores").mkdir()
    (tmp_path / "datastores" / "fileDatastore.yaml").write_text(yaml.safe_dump(defaults))
    if "switched off" in way:
        monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", "0")
    options: dict[str, Any] = {}
    if way == "SQLite file":
        options["filename"] = str(tmp_path / "records.sqlite3")
    elif way == "upstream's managers":
        options["OpaqueManagerClass"] = ByNameOpaqueTableStorageManager
        options["BridgeManagerClass"] = MonolithicDatastoreRegistryBridgeManager
    output = repository.predicted["derived"][0]
    quantum = repository.quantum([], [output])
    if way.startswith("factory"):
        butler = QuantumBackedButlerFactory(
            str(repository.root), repository.universe, search_paths=[str(tmp_path)]
        )(quantum)
    else:
        butler = repository.butler(
            quantum_butler.QuantumBackedButler, quantum, search_paths=[str(tmp_path)], **options
        )
    with butler:
        assert "/searched/" in butler.getURI(output, predict=True).path


def _other_universe() -> tuple[DimensionUniverse, DatasetRef, DatasetRef]:
    """Return a universe that no other process knows, and two datasets in it."""
    definition = DimensionConfig()
    definition["namespace"] = "test_factory"
    universe = DimensionUniverse(definition)
    storage_class = StorageClassFactory().getStorageClass("StructuredDataDict")
    first, second = (
        DatasetRef(
            DatasetType(name, universe.empty, storage_class),
            DataCoordinate.make_empty(universe),
            RUN,
            id=dataset_id("other universe", name),
        )
        for name in ("first", "second")
    )
    return universe, first, second


def _use_elsewhere(
    make: QuantumBackedButlerFactory, ref: DatasetRef, output: DatasetRef, records: Any
) -> tuple[int, Any, str, str]:
    # In another process.
    quantum = Quantum(
        taskName="some.Task",
        inputs={ref.datasetType: [ref]},
        outputs={output.datasetType: [output]},
        datastore_records=records,
    )
    with make(quantum) as butler:
        used = _use(butler, ref, output)
        text = butler.extract_provenance_data().model_dump_json()
        return os.getpid(), used["value"], text, butler.dimensions.namespace


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_worker_processes(repository: Repository, method: str) -> None:
    refs, outputs = repository.stored["measured"], repository.predicted["derived"]
    universe, other_input, other_output = _other_universe()
    types = {ref.datasetType.name: ref.datasetType for ref in (other_input, other_output)}
    other = QuantumBackedButlerFactory(Config(str(repository.root / "butler.yaml")), universe, types)
    with other.from_predicted([], [other_input]) as butler:
        butler.put({"a": 1}, other_input)
    context = multiprocessing.get_context(method)
    make = _factory(repository)
    with ProcessPoolExecutor(1, mp_context=context) as processes:
        # The factory comes first: it brings its universe with it.
        elsewhere = processes.submit(_use_elsewhere, other, other_input, other_output, {}).result(timeout=120)
        results = [
            processes.submit(_use_elsewhere, make, ref, output, repository.records_of([ref]))
            for ref, output in zip(refs, outputs, strict=True)
        ]
        found = [result.result(timeout=120) for result in results]
    assert elsewhere[1] == {"a": 1}
    assert elsewhere[3] == "test_factory"
    assert os.getpid() not in {elsewhere[0], *(pid for pid, *_ in found)}
    for ref, output, (_, value, text, namespace) in zip(refs, outputs, found, strict=True):
        assert value == repository.values[ref.id]
        assert namespace == repository.universe.namespace
        provenance = quantum_butler.QuantumProvenanceData.model_validate_json(text)
        assert provenance.actual_inputs == {ref.id}
        assert provenance.actual_outputs == {output.id}
        # The other process has closed its butler; its files are here.
        with make(repository.quantum([output])) as butler:
            assert butler.get(output) == {"from": value}


@pytest.mark.parametrize("kind", ["file", "chained"])
@pytest.mark.parametrize("way", ["factory", "initialize"])
def test_many_threads(new_repository: NewRepository, kind: str, way: str) -> None:
    repository = new_repository(kind)
    ref, universe = repository.stored["measured"][0], repository.universe
    make: Callable[[Quantum], QuantumBackedButler] = _factory(repository)
    if way == "initialize":
        make = lambda quantum: repository.butler(quantum_butler.QuantumBackedButler, quantum)  # noqa: E731
    outputs = [
        DatasetRef(output.datasetType, output.dataId, f"threads/{run}", id=dataset_id(kind, way, run, number))
        for run in range(16)
        for number, output in enumerate(repository.predicted["derived"])
    ]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(timeout=60)
        for output in outputs[number::8]:
            with make(repository.quantum([ref], [output])) as butler:
                assert butler.dimensions is universe
                used = _use(butler, ref, output)
                assert used["before"] == {ref: True, output: False}
                assert used["after"] == {ref: True, output: True}
                assert used["value"] == repository.values[ref.id]
                assert used["provenance"]["actual_outputs"] == {output.id}
                assert butler._actual_output_refs == {output}

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(blueprint._blueprints) == (way == "initialize")
    with make(repository.quantum(outputs)) as butler:
        assert all(butler.stored_many(outputs).values())


def test_kept_for_the_next_one(repository: Repository) -> None:
    root, universe = str(repository.root), repository.universe
    first = blueprint.cached_blueprint(root, universe)
    assert blueprint.cached_blueprint(str(repository.root), universe) is first
    assert blueprint.cached_blueprint(root, universe, None) is first
    assert len(blueprint._blueprints) == 1
    # Equal content, other objects.
    config = Config(f"{root}/butler.yaml")
    by_content = blueprint.cached_blueprint(config, universe)
    for same in (config, Config(config), Config(f"{root}/butler.yaml"), pickle.loads(pickle.dumps(config))):
        assert blueprint.cached_blueprint(same, universe) is by_content
    whole = blueprint.cached_blueprint(ButlerConfig(root), universe)
    assert blueprint.cached_blueprint(ButlerConfig(root), universe) is whole
    assert len({first, by_content, whole}) == len(blueprint._blueprints) == 3


def test_butlers_use_what_was_kept(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    quantum = repository.quantum(repository.stored["measured"])
    arguments = (str(repository.root), [], [], repository.universe, {})
    repository.butler(quantum_butler.QuantumBackedButler, quantum).close()
    monkeypatch.setattr(blueprint, "read_configuration", None)
    repository.butler(quantum_butler.QuantumBackedButler, quantum).close()
    quantum_butler.QuantumBackedButler.from_predicted(*arguments).close()


def test_forked_with_a_warm_cache(repository: Repository) -> None:
    refs, outputs = repository.stored["measured"], repository.predicted["derived"]
    quanta = [repository.quantum([ref], [output]) for ref, output in zip(refs, outputs, strict=True)]
    repository.butler(quantum_butler.QuantumBackedButler, quanta[0]).close()
    [kept] = blueprint._blueprints.values()
    ready, release = threading.Event(), threading.Event()

    def hold() -> None:
        with blueprint._blueprints_lock:
            ready.set()
            release.wait(timeout=60)

    # The children must not wait for a thread that they do not have.
    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait(timeout=60)
    children = []
    for ref, output, quantum in zip(refs, outputs, quanta, strict=True):
        with warnings.catch_warnings():
            # Python says what may happen; here it must not.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            signal.alarm(60)
            status = 1
            try:
                with repository.butler(quantum_butler.QuantumBackedButler, quantum) as butler:
                    used = _use(butler, ref, output)
                same = next(iter(blueprint._blueprints.values())) is kept
                status = 0 if same and used["after"] == {ref: True, output: True} else 2
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    release.set()
    holder.join()
    assert statuses == [0] * len(refs)
    with repository.butler(quantum_butler.QuantumBackedButler, inputs=outputs) as butler:
        assert [butler.get(output) for output in outputs] == [
            {"from": repository.values[ref.id]} for ref in refs
        ]


def test_few_are_kept(repository: Repository) -> None:
    config = ButlerConfig(str(repository.root))
    most = blueprint._MOST_BLUEPRINTS
    blueprints = []
    for number in range(most + 4):
        config["datastore", "name"] = f"name{number}"
        blueprints.append(blueprint.cached_blueprint(config, repository.universe))
        assert len(blueprint._blueprints) == min(number + 1, most)
        # The one in use all the time stays.
        config["datastore", "name"] = "name0"
        assert blueprint.cached_blueprint(config, repository.universe) is blueprints[0]
    config["datastore", "name"] = f"name{most + 3}"
    assert blueprint.cached_blueprint(config, repository.universe) is blueprints[-1]
    config["datastore", "name"] = "name1"
    assert blueprint.cached_blueprint(config, repository.universe) is not blueprints[1]
    assert len(blueprint._blueprints) == most


def _members(butler: QuantumBackedButler) -> list[Any]:
    return list(getattr(butler._datastore, "datastores", [butler._datastore]))


@pytest.mark.parametrize("kind", ["file", "cached", "chained"])
def test_nothing_is_shared(new_repository: NewRepository, kind: str) -> None:
    repository = new_repository(kind)
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    quantum = repository.quantum([ref], [output])

    def new() -> QuantumBackedButler:
        return repository.butler(quantum_butler.QuantumBackedButler, quantum)

    untouched = new()
    changed = new()
    assert len(blueprint._blueprints) == 1
    _use(changed, ref, output)
    changed._datastore._set_trust_mode(False)
    for datastore in _members(changed):
        if not datastore.isEphemeral:
            datastore.useChecksum = True
            datastore.cacheManager = None
            datastore.formatterFactory = None
    for butler in (untouched, new()):
        with butler:
            assert butler._actual_inputs == butler._available_inputs == set()
            assert butler._actual_output_refs == set()
            assert not butler._datastore.knows(output)
            assert butler._datastore.trustGetRequest if kind != "chained" else True  # type: ignore[attr-defined]
            assert not butler.extract_provenance_data().actual_outputs
            mine, theirs = _members(butler), _members(changed)
            assert not {id(datastore) for datastore in mine} & {id(datastore) for datastore in theirs}
            for datastore in mine:
                assert not datastore.knows(output)
                if datastore.isEphemeral:
                    assert not datastore.datasets and not datastore.records
                else:
                    assert datastore.trustGetRequest
                    assert not datastore.useChecksum
                    assert datastore.cacheManager is not None
                    assert datastore.formatterFactory is not None
            # It finds the file where it predicts it.
            assert butler.stored(output) and butler.get(output) == {"from": repository.values[ref.id]}
    assert changed._actual_output_refs == {output}
    changed.close()


def test_cache_managers_are_apart(new_repository: NewRepository) -> None:
    repository = new_repository("cached")
    managers = []
    for _ in range(2):
        with repository.butler(quantum_butler.QuantumBackedButler) as butler:
            managers.append(butler._datastore.cacheManager)  # type: ignore[attr-defined]
    assert managers[0] is not managers[1]


def test_without_fast_paths(
    repository: Repository, stock_class: type[QuantumBackedButler], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    quantum = repository.quantum([ref], [output])
    make = _factory(repository)

    def answers(butler: QuantumBackedButler) -> tuple[type, bool, dict[str, Any]]:
        with butler:
            used = _use(butler, ref, output)
            butler.pruneDatasets([output], disassociate=True, unstore=True, purge=True)
            return type(butler._datastore), record_sources(butler._datastore) is not None, used

    stock_datastore, native, expected = answers(repository.butler(stock_class, quantum))
    assert not native
    # The setting counts when a butler is made, not when the factory is.
    for value, fast in (("1", True), ("0", False), ("1", True), ("0", False)):
        monkeypatch.setenv("QUANTUM_BUTLER_NATIVE", value)
        for butler in (make(quantum), repository.butler(quantum_butler.QuantumBackedButler, quantum)):
            assert type(butler) is quantum_butler.QuantumBackedButler
            datastore, native, used = answers(butler)
            assert (datastore is not stock_datastore) is native is fast
            assert used == expected
