"""How a butler is made: configuration, managers, file, search paths, positions."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsst.daf.butler import (
    ButlerConfig,
    ButlerMetrics,
    Config,
    DimensionUniverse,
    QuantumBackedButler,
    StorageClassFactory,
)
from lsst.daf.butler.registry.bridge.monolithic import MonolithicDatastoreRegistryBridgeManager
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager
from lsst.resources import ResourcePath
from scenarios import Run, scenario

from repositories import NewRepository, Repository

TEMPLATE = "{run:/}/{datasetType}_{instrument:?}_{detector:?}"

FORMS = (
    "root",
    "root with a slash",
    "file",
    "URI of the root",
    "URI of the file",
    "path of the root",
    "path of the file",
    "ResourcePath",
    "Config",
    "ButlerConfig",
    "Config with a root",
)


def _configurations(repository: Repository) -> dict[str, Any]:
    root = repository.root
    configurations = {
        "root": str(root),
        "root with a slash": f"{root}/",
        "file": str(root / "butler.yaml"),
        "URI of the root": root.as_uri(),
        "URI of the file": (root / "butler.yaml").as_uri(),
        "path of the root": root,
        "path of the file": root / "butler.yaml",
        "ResourcePath": ResourcePath(str(root), forceDirectory=True),
        "Config": Config(str(root / "butler.yaml")),
        "ButlerConfig": ButlerConfig(str(root)),
        "Config with a root": _with_a_root(root),
    }
    assert tuple(configurations) == FORMS
    return configurations


def _with_a_root(root: Path) -> Config:
    config = Config(yaml.safe_load((root / "butler.yaml").read_text()))
    config["root"] = str(root)
    return config


@pytest.mark.parametrize("kind", ["file", "chained"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["initialize", "from_predicted"])
def test_form_of_the_configuration(
    butler_class: type[QuantumBackedButler], new_repository: NewRepository, kind: str, form: str, way: str
) -> None:
    repository = new_repository(kind)
    config = _configurations(repository)[form]
    ref, output = repository.stored["measured"][0], repository.predicted["derived"][0]
    records = repository.records_of([ref])
    if way == "initialize":
        quantum = repository.quantum([ref], [output])
        butler = butler_class.initialize(config, quantum, repository.universe)
    else:
        butler = butler_class.from_predicted(config, [ref.id], [output.id], repository.universe, records)
    with butler:
        assert type(butler) is butler_class
        assert butler._datastore.name.startswith(("FileDatastore@<butlerRoot>", "ChainedDatastore["))
        assert butler.get(ref) == repository.values[ref.id]
        butler.put({"a": 1}, output)
    assert any("/derived/" in path for path in repository.artifacts())


def test_relative_path(
    butler_class: type[QuantumBackedButler], new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same words, two repositories.
    for _ in range(2):
        repository = new_repository()
        monkeypatch.chdir(repository.root)
        for config in (".", "butler.yaml", "./"):
            with butler_class.from_predicted(config, [], [], repository.universe, {}) as butler:
                (root,) = butler.get_datastore_roots().values()
                assert root is not None and Path(root.ospath) == repository.root


@scenario
def test_everything_by_position(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    metrics, types = ButlerMetrics(), run.repository.dataset_types
    root, universe = str(run.repository.root), run.repository.universe
    quantum = run.repository.quantum([ref], [output])
    options = (None, None, None, None, types, metrics)
    butler = run(run.butler_class.initialize, root, quantum, universe, *options)
    run.watch(butler)
    assert butler._metrics is metrics
    assert run(butler.get, ref) == run.value(ref)
    records = run.repository.records_of([ref])
    butler = run(run.butler_class.from_predicted, root, [ref.id], [output.id], universe, records, *options)
    run.watch(butler)
    assert run(butler.get, ref) == run.value(ref)
    assert metrics.n_get == 2


@scenario
def test_as_the_aggregator_does(run: Run) -> None:
    # Configuration by position, no ids, no records.
    output = run.ref("derived")
    writer = run.butler(outputs=[output])
    run(writer.put, {"a": 1}, output)
    butler = run(
        run.butler_class.from_predicted,
        str(run.repository.root),
        predicted_inputs=[],
        predicted_outputs=[],
        dimensions=run.repository.universe,
        datastore_records={},
        dataset_types=run.repository.dataset_types,
    )
    run.watch(butler)
    assert run(butler.get, output) == {"a": 1}
    assert run(butler.stored_many, [output]) == {output: True}
    assert run(butler.extract_provenance_data).predicted_inputs == set()


@scenario
def test_by_the_constructor(run: Run) -> None:
    # A datastore of the caller's.
    ref, output = run.ref("measured"), run.ref("derived")
    lender = run.butler(inputs=[ref])
    arguments = ([ref.id], [output.id], run.repository.universe, lender._datastore, StorageClassFactory())
    butler = run(run.butler_class, *arguments)
    run.watch(butler)
    assert butler._datastore is lender._datastore
    assert butler._predicted_inputs == {ref.id}
    assert run(butler.get, ref) == run.value(ref)
    run(butler.put, {}, output)
    assert butler._actual_output_refs == {output}
    assert lender._actual_output_refs == set()


@scenario
def test_ids_may_be_any_iterable(run: Run) -> None:
    ref, output = run.ref("measured"), run.ref("derived")
    for inputs, outputs in (
        ((i for i in [ref.id]), (i for i in [output.id])),
        ({ref.id}, frozenset([output.id])),
        ([ref.id, ref.id], (output.id,)),
        (dict.fromkeys([ref.id]), dict.fromkeys([output.id]).keys()),
    ):
        butler = run(
            run.butler_class.from_predicted,
            str(run.repository.root),
            inputs,
            outputs,
            run.repository.universe,
            run.repository.records_of([ref]),
        )
        run.watch(butler)
        assert butler._predicted_inputs == {ref.id}
        assert butler._predicted_outputs == {output.id}


@scenario
def test_without_records(run: Run) -> None:
    ref = run.ref("measured")
    for records in (None, {}):
        butler = run(
            run.butler_class.from_predicted,
            str(run.repository.root),
            [ref.id],
            [],
            run.repository.universe,
            records,
        )
        run.watch(butler)
        assert run(butler.get, ref) == run.value(ref)


@scenario
def test_dataset_that_is_input_and_output(run: Run) -> None:
    ref = run.ref("derived")
    butler = run.butler(inputs=[ref], outputs=[ref])
    assert run(butler.stored, ref) is False
    run(butler.put, {"a": 1}, ref)
    run(butler.get, ref)
    provenance = run(butler.extract_provenance_data)
    # It was looked for too early.
    assert provenance.available_inputs == {ref.id}
    assert provenance.actual_inputs == set()
    assert provenance.actual_outputs == {ref.id}


@scenario
def test_integer_ids(run: Run) -> None:
    butler = run.butler_class.from_predicted(
        str(run.repository.root), [1, 2], {3, 2**40}, run.repository.universe, {}
    )
    assert butler._predicted_inputs == {1, 2}
    assert butler._predicted_outputs == {3, 2**40}
    with pytest.raises(ValueError):
        butler.extract_provenance_data()
    assert butler._predicted_inputs == {1, 2}
    butler.close()
    run.note("the files", None)


@pytest.mark.parametrize(
    "path", ["nowhere", "nowhere/butler.yaml", "empty", "broken.yaml", "list.yaml", "other.txt"]
)
@scenario
def test_bad_configuration(run: Run, path: str) -> None:
    (run.folder / "empty").mkdir()
    (run.folder / "broken.yaml").write_text("datastore: [1, 2")
    (run.folder / "list.yaml").write_text("- 1\n- 2\n")
    (run.folder / "other.txt").write_text("datastore: 1")
    config = str(run.folder / path)
    error = run.error(run.butler_class.from_predicted, config, [], [], run.repository.universe, {})
    if path.startswith(("nowhere", "empty")):
        assert type(error) is FileNotFoundError


@pytest.mark.parametrize(
    "changes",
    [
        {"cls": "lsst.daf.butler.datastores.fileDatastore.NoSuchDatastore"},
        {"cls": "builtins.dict"},
        {"root": "/proc/nowhere/datastore"},
        {"root": "<butlerRoot>/missing", "create": False},
        {"templates": {"default": "{run"}},
        {"templates": {"default": "{nonsense}"}},
        {"formatters": {"StructuredDataDict": "no.such.formatter"}},
        {"composites": {"disassembled": {"MetricsParts": "maybe"}}},
        {"constraints": {"nonsense": 1}},
    ],
    ids=str,
)
@scenario
def test_bad_datastore(run: Run, changes: dict[str, Any]) -> None:
    # Some are found out at once, some when they are needed: as in stock.
    file = run.repository.root / "butler.yaml"
    config = yaml.safe_load(file.read_text())
    config["datastore"].update(changes)
    file.write_text(yaml.safe_dump(config))
    ref, output, parts = run.ref("measured"), run.ref("derived"), run.ref("parts_out")
    try:
        butler = run.butler(inputs=[ref], outputs=[output, parts])
    except Exception as error:
        run.note("refused", type(error).__name__)
        return
    for attempt in (
        lambda: butler.get(ref),
        lambda: butler.put({}, output),
        lambda: butler.stored(parts),
        lambda: butler.stored(run.ref("exposed")),
    ):
        try:
            run(attempt)
        except Exception as error:
            run.note("refused", type(error).__name__)


@scenario
def test_datastore_elsewhere(run: Run) -> None:
    # A root of its own, and a new table name.
    file = run.repository.root / "butler.yaml"
    config = yaml.safe_load(file.read_text())
    config["datastore"]["root"] = str(run.folder / "store")
    config["datastore"]["records"]["table"] = "my_records"
    file.write_text(yaml.safe_dump(config))
    output = run.ref("derived")
    butler = run.butler(outputs=[output])
    assert butler._datastore.name == f"FileDatastore@{run.folder}/store"
    run(butler.put, {"a": 1}, output)
    assert len(list((run.folder / "store").rglob("*.json"))) == 1
    (data,) = run(butler._datastore.export_records, [output]).values()
    assert list(data.records[output.id]) == ["my_records"]


@pytest.mark.parametrize("way", ["initialize", "from_predicted"])
@scenario
def test_changed_configuration_is_noticed(run: Run, way: str) -> None:
    output = run.ref("derived")
    quantum = run.repository.quantum([], [output])

    def make() -> QuantumBackedButler:
        root, universe = str(run.repository.root), run.repository.universe
        if way == "initialize":
            butler = run(run.butler_class.initialize, root, quantum, universe)
        else:
            butler = run(run.butler_class.from_predicted, root, [], [output.id], universe, {})
        run.watch(butler)
        return butler  # type: ignore[no-any-return]

    file = run.repository.root / "butler.yaml"
    before = run(make().getURI, output, predict=True)
    config = yaml.safe_load(file.read_text())
    config["datastore"]["templates"] = {"default": f"elsewhere/{TEMPLATE}"}
    file.write_text(yaml.safe_dump(config))
    after = run(make().getURI, output, predict=True)
    assert "/elsewhere/" in after.path and "/elsewhere/" not in before.path
    # A change that leaves the size as it is.
    file.write_text(file.read_text().replace("elsewhere", "elsewhen2"))
    assert "/elsewhen2/" in run(make().getURI, output, predict=True).path


@scenario
def test_changed_config_object_is_noticed(run: Run) -> None:
    output = run.ref("derived")
    config = Config(str(run.repository.root / "butler.yaml"))

    def uri() -> str:
        butler = run(run.butler_class.from_predicted, config, [], [output.id], run.repository.universe, {})
        run.watch(butler)
        return str(run(butler.getURI, output, predict=True).path)

    before = uri()
    config["datastore", "templates", "default"] = f"elsewhere/{TEMPLATE}"
    assert "/elsewhere/" in uri() and "/elsewhere/" not in before
    config["datastore", "templates", "default"] = f"elsewhen/{TEMPLATE}"
    assert "/elsewhen/" in uri()


@scenario
def test_included_file_that_changes_is_noticed(run: Run) -> None:
    output = run.ref("derived")
    file = run.repository.root / "butler.yaml"
    config = yaml.safe_load(file.read_text())
    formatters = config["datastore"].pop("formatters")
    text = yaml.safe_dump(config).replace(
        "datastore:\n", "datastore:\n  formatters: !include formatters.yaml\n"
    )
    file.write_text(text)
    included = run.repository.root / "formatters.yaml"
    included.write_text(yaml.safe_dump(formatters))
    suffixes = []
    for _ in range(2):
        butler = run(
            run.butler_class.from_predicted,
            str(run.repository.root),
            [],
            [output.id],
            run.repository.universe,
            {},
        )
        run.watch(butler)
        suffixes.append(run(butler.getURI, output, predict=True).getExtension())
        formatters["StructuredDataDict"] = "lsst.daf.butler.formatters.yaml.YamlFormatter"
        included.write_text(yaml.safe_dump(formatters))
    assert suffixes == [".json", ".yaml"]
    included.unlink()


@pytest.mark.parametrize("way", ["initialize", "from_predicted", "environment"])
@scenario
def test_search_paths(run: Run, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run.ref("derived")
    folder = run.folder / "datastores"
    folder.mkdir()
    defaults = {"datastore": {"templates": {"default": f"searched/{TEMPLATE}"}}}
    (folder / "fileDatastore.yaml").write_text(yaml.safe_dump(defaults))
    found = []
    for search_paths in (None, [str(run.folder)], [str(run.repository.root)], None):
        arguments: dict[str, Any] = {"search_paths": search_paths}
        if way == "environment":
            value = search_paths[0] if search_paths else ""
            monkeypatch.setenv("DAF_BUTLER_CONFIG_PATH", value)
            arguments = {}
        root, universe = str(run.repository.root), run.repository.universe
        if way == "from_predicted":
            butler = run(run.butler_class.from_predicted, root, [], [output.id], universe, {}, **arguments)
        else:
            quantum = run.repository.quantum([], [output])
            butler = run(run.butler_class.initialize, root, quantum, universe, **arguments)
        run.watch(butler)
        uri = run(butler.getURI, output, predict=True)
        found.append("/searched/" in uri.path)
        run(butler.put, {}, output)
        run(butler.pruneDatasets, [output], disassociate=True, unstore=True, purge=True)
    assert found == [False, True, False, False]


@scenario
def test_root_that_went_away(run: Run) -> None:
    # Another butler of the same configuration was made before.
    output = run.ref("derived")
    run.butler(outputs=[output])
    config = _with_a_root(run.repository.root)
    config["datastore", "root"] = str(run.folder / "store")
    arguments = (config, [], [output.id], run.repository.universe, {})
    for _ in range(2):
        butler = run(run.butler_class.from_predicted, *arguments)
        run.watch(butler)
        # It is made anew.
        assert (run.folder / "store").is_dir()
        run(butler.put, {}, output)
        shutil.rmtree(run.folder / "store")


@scenario
def test_other_universe(run: Run) -> None:
    ref = run.ref("measured")
    other = DimensionUniverse()
    butler = run(
        run.butler_class.from_predicted,
        str(run.repository.root),
        [ref.id],
        [],
        other,
        run.repository.records_of([ref]),
    )
    run.watch(butler)
    assert butler.dimensions is other
    assert run(butler.get, ref) == run.value(ref)


@scenario
def test_storage_classes(run: Run) -> None:
    butler = run.butler()
    assert isinstance(butler.storageClasses, StorageClassFactory)
    assert "MetricsWhole" in butler.storageClasses
    run.note("class", butler.storageClasses.getStorageClass("MetricsWhole").name)


@pytest.mark.parametrize("filename", [None, ":memory:", "records.sqlite3"])
@scenario
def test_filename(run: Run, filename: str | None) -> None:
    inputs, output = run.refs("measured"), run.ref("derived")
    given = filename if filename in (None, ":memory:") else str(run.folder / "records.sqlite3")
    butler = run.butler(inputs=inputs, outputs=[output], filename=given)
    assert run(butler.stored_many, inputs) == dict.fromkeys(inputs, True)
    assert run(butler.get, inputs[0]) == run.value(inputs[0])
    run(butler.put, {"a": 1}, output)
    run(butler.extract_provenance_data)
    made = run.folder / "records.sqlite3"
    assert made.exists() is (given not in (None, ":memory:"))
    if made.exists():
        run.note("contents", _tables(made))


def _tables(file: Path) -> dict[str, int]:
    connection = sqlite3.connect(file)
    try:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            # Of the quantum, which the stock class does not keep.
            if not name.startswith("quantum_butler_")
        ]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    finally:
        connection.close()


def _managers() -> dict[str, tuple[type | None, type | None]]:
    from quantum_butler.datastore.managers import (
        NativeDatastoreRegistryBridgeManager,
        NativeOpaqueTableStorageManager,
    )

    return {
        "default": (None, None),
        "upstream's": (ByNameOpaqueTableStorageManager, MonolithicDatastoreRegistryBridgeManager),
        "upstream's table": (ByNameOpaqueTableStorageManager, None),
        "upstream's bridge": (None, MonolithicDatastoreRegistryBridgeManager),
        "ours": (NativeOpaqueTableStorageManager, NativeDatastoreRegistryBridgeManager),
        "a user's": (
            type("MyOpaque", (ByNameOpaqueTableStorageManager,), {}),
            type("MyBridge", (MonolithicDatastoreRegistryBridgeManager,), {}),
        ),
    }


@pytest.mark.parametrize("kind", ["file", "chained"])
@pytest.mark.parametrize(
    "which", ["default", "upstream's", "upstream's table", "upstream's bridge", "ours", "a user's"]
)
def test_managers(
    butler_class: type[QuantumBackedButler],
    new_repository: NewRepository,
    kind: str,
    which: str,
) -> None:
    opaque, bridge = _managers()[which]
    repository = new_repository(kind)
    inputs, outputs = (
        [*repository.stored["measured"], *repository.stored["parts"]],
        repository.predicted["derived"],
    )
    butler = repository.butler(
        butler_class, inputs=inputs, outputs=outputs, OpaqueManagerClass=opaque, BridgeManagerClass=bridge
    )
    with butler:
        files = [
            d for d in getattr(butler._datastore, "datastores", [butler._datastore]) if not d.isEphemeral
        ]
        for datastore in files:
            native = which == "ours"
            if opaque is not None and which != "default":
                assert type(datastore._table).__module__.startswith("quantum_butler") is native
            if bridge is not None:
                assert type(datastore.bridge).__module__.startswith("quantum_butler") is native
        assert butler.stored_many(inputs) == dict.fromkeys(inputs, True)
        assert [butler.get(ref) for ref in inputs] == [repository.values[ref.id] for ref in inputs]
        for number, ref in enumerate(outputs):
            butler.put({"number": number}, ref)
        butler.pruneDatasets(outputs[:2], disassociate=True, unstore=True, purge=True)
        assert butler.stored_many(outputs) == dict(zip(outputs, [False, False, True, True], strict=True))
        provenance = butler.extract_provenance_data()
        assert provenance.actual_outputs == {ref.id for ref in outputs[2:]}
        recorded = {dataset for data in provenance.datastore_records.values() for dataset in data.dataset_ids}
        assert recorded == provenance.actual_outputs


def test_managers_are_those_that_were_given(
    butler_class: type[QuantumBackedButler], new_repository: NewRepository
) -> None:
    calls = []

    class Opaque(ByNameOpaqueTableStorageManager):
        @classmethod
        def initialize(cls, *args: Any, **options: Any) -> Any:
            calls.append("opaque")
            return super().initialize(*args, **options)

    class Bridge(MonolithicDatastoreRegistryBridgeManager):
        @classmethod
        def initialize(cls, *args: Any, **options: Any) -> Any:
            calls.append("bridge")
            return super().initialize(*args, **options)

    repository = new_repository()
    managers = {"OpaqueManagerClass": Opaque, "BridgeManagerClass": Bridge}
    repository.butler(butler_class, **managers).close()
    assert calls == ["opaque", "bridge"]
    butler_class.from_predicted(
        str(repository.root), [uuid.uuid4()], [], repository.universe, {}, **managers
    ).close()
    assert calls == ["opaque", "bridge"] * 2


@scenario
def test_two_butlers_share_nothing(run: Run) -> None:
    inputs, outputs = run.refs("measured"), run.refs("derived", 0, 1)
    first = run.butler(inputs=inputs[:2], outputs=outputs[:1])
    second = run.butler(inputs=inputs[2:], outputs=outputs[1:])
    run(first.put, {}, outputs[0])
    run(second.put, {}, outputs[1])
    assert run(first._datastore.knows_these, [*inputs, *outputs]) == dict(
        zip([*inputs, *outputs], [True, True, False, False, True, False], strict=True)
    )
    assert run(second._datastore.knows_these, [*inputs, *outputs]) == dict(
        zip([*inputs, *outputs], [False, False, True, True, False, True], strict=True)
    )
    first._datastore._set_trust_mode(False)
    assert run(second.stored, inputs[0]) is True
    assert run(first.stored, inputs[3]) is False


@scenario
def test_subclass(run: Run) -> None:
    class Mine(run.butler_class):  # type: ignore[misc, name-defined]
        """A butler that counts."""

        def put(self, obj: Any, ref: Any, /, **options: Any) -> Any:
            self.puts = getattr(self, "puts", 0) + 1
            return super().put(obj, ref, **options)

    output = run.ref("derived")
    butler = run.repository.butler(Mine, outputs=[output])
    assert type(butler) is Mine
    butler.put({}, output)
    assert butler.puts == 1
    butler.close()
    run.note("the files", None)


@scenario
def test_methods_that_ask_another(run: Run) -> None:
    # What a caller has put in the place of that other is asked, be it of a subclass or of the object.
    class Mine(run.butler_class):  # type: ignore[misc, name-defined]
        """A butler for which nothing is there."""

        def stored_many(self, refs: Any) -> Any:
            return dict.fromkeys(super().stored_many(refs), False)

    ref, output = run.ref("measured"), run.ref("derived")
    mine = run(run.repository.butler, Mine, inputs=[ref])
    assert run(mine.stored, ref) is False
    mine.close()
    butler = run.butler(inputs=[ref], outputs=[output])
    butler.put({"a": 1}, output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(butler._datastore, "mexists", lambda refs: dict.fromkeys(refs, False))
        assert run(butler.stored, ref) is False
        assert butler._unavailable_inputs == {ref.id}
    assert run(butler.stored, ref) is True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(butler._datastore, "export_records", lambda refs: {})
        assert run(butler.extract_provenance_data).datastore_records == {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(butler, "stored_many", lambda refs: dict.fromkeys(refs, "perhaps"))
        assert run(butler.stored, ref) == "perhaps"


def test_every_way_gives_the_same(our_class: type, template: Callable[[str], Repository]) -> None:
    # Whatever the way the configuration is given, predictions agree.
    repository = template("file")
    output = repository.predicted["derived"][0]
    uris = set()
    for config, way in itertools.product(_configurations(repository).values(), ("new", "again")):
        with our_class.from_predicted(config, [], [output.id], repository.universe, {}) as butler:
            uris.add((str(butler.getURI(output, predict=True)), way))
    assert len({uri for uri, _ in uris}) == 1
