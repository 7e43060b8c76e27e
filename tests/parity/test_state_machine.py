"""Random sequences of calls on the stock class and on ours.

Each class has a copy of one repository and runs the same calls.  After every
step all that can be observed must be equal: the outcome of the call (its value,
or its exception by type, message and cause), the private sets, the metrics,
the datastore's records and every file.

A run in CI takes several hundred steps; ``HYPOTHESIS_PROFILE=long`` takes more
than 20,000.  The summary at the end says how many it was.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy.exc
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from lsst.daf.butler import (
    ButlerConfig,
    DatasetProvenance,
    DatasetRef,
    DeferredDatasetHandle,
    QuantumBackedButler,
    QuantumProvenanceData,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastores.inMemoryDatastore import InMemoryDatastore
from lsst.daf.butler.tests import MetricsExampleModel
from scenarios import BOOKKEEPING, plain
from stores import Bucket, Files, Folder, files_in

from repositories import Repository, example_metrics

F = TypeVar("F", bound=Callable[..., None])

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

# Rounds, sequences in a round, and steps in a sequence, by kind of repository.  Rounds are short because
# hypothesis makes most sequences after the ninth by changing an earlier one a little.
EFFORT = {
    "file": (60, 9, 50) if LONG else (1, 9, 40),
    "checksum": (6, 9, 50) if LONG else (1, 6, 25),
    "cached": (6, 9, 50) if LONG else (1, 6, 25),
    "constrained": (6, 9, 50) if LONG else (1, 6, 25),
    "chained": (6, 9, 50) if LONG else (1, 6, 25),
    "components": (40, 9, 60) if LONG else (1, 6, 25),
    "s3": (40, 9, 60) if LONG else (1, 4, 15),
    "cached-warm": (40, 9, 60) if LONG else (1, 4, 15),
    "chained-remote": (40, 9, 60) if LONG else (1, 4, 10),
}

# Repositories of which kind are made for these, and which of them are in an object store.
TEMPLATES = {"components": "file", "s3": "file", "cached-warm": "cached", "chained-remote": "chained"}
IN_A_STORE = ("s3", "cached-warm", "chained-remote")

# Datasets that the first quantum finds: with records, with a file only, with nothing.
RECORDED = (
    *("measured/0", "measured/1", "parts/0", "parts/1", "whole/0", "whole/1", "plain/0", "series/0"),
    *("fragile/0", "exposed/0", "calibration/0", "external/0"),
    *("zipped/0", "zipped/1", "grouped/0", "grouped/1"),
)
UNRECORDED = ("measured/2", "parts/2", "whole/2", "zipped/2", "exposed/1")
MISSING = ("derived/2", "parts_out/2", "whole_out/2")
INPUTS = (*RECORDED, *UNRECORDED, *MISSING)
OUTPUTS = (
    *("derived/0", "derived/1", "parts_out/0", "parts_out/1", "whole_out/0", "whole_out/1"),
    *("plain_out/0", "model_out/0", "traced_out/0", "dict_out/0", "log/0", "exposed_out/0"),
    *("fragile_out/0", "fragile_v1_out/0", "fragile_direct_out/0"),
)
# And datasets that no quantum has been told of; they share artifacts with others, some of them.
UNPREDICTED = ("measured/3", "parts/3", "derived/3", "parts_out/3", "zipped/3", "grouped/2")
EVERYTHING = (*INPUTS, *OUTPUTS, *UNPREDICTED)
COMPOSITES = tuple(name for name in EVERYTHING if name.startswith(("parts", "whole")))


def seldom(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return nothing, four times of five."""
    return st.integers(0, 4).flatmap(lambda n: strategy if n == 4 else st.none())


output = st.sampled_from(OUTPUTS)
dataset = st.sampled_from(EVERYTHING)
some_datasets = st.lists(dataset, max_size=5)
number = st.integers(0, 3)
component = st.sampled_from(["summary", "output", "data", "counter", "nonsense"])
storage_class = st.sampled_from(
    ["StructuredDataDict", "MetricsModel", "MetricsPlain", "MetricsAsDict", "MetricsWhole", "MetricsList"]
)
parameters = st.sampled_from([{"slice": slice(2)}, {"slice": slice(1, None)}, {"nonsense": 1}, {}])
object_form = st.sampled_from(["right", "right", "right", "metrics", "model", "dict", "list", "text"])


@dataclasses.dataclass
class Side:
    """One of the two classes with its copy of the repository."""

    butler_class: type[QuantumBackedButler]
    template: Repository
    files: Files
    folder: Path
    cache: Path | None = None

    def __post_init__(self) -> None:
        self.refs = {
            f"{name}/{number}": ref
            for kind in (self.template.stored, self.template.predicted)
            for name, refs in kind.items()
            for number, ref in enumerate(refs)
        }
        self.places = {
            self.files.root: "<root>",
            str(self.folder): "<folder>",
            str(self.cache): "<cache>",
            f"{self.butler_class.__module__}.{self.butler_class.__qualname__}": "<class>",
        }
        self.new_files()
        # Parsing it would take most of the time otherwise.
        self.config = ButlerConfig(self.files.root)
        if self.cache is not None:
            self.config["datastore", "cached", "root"] = str(self.cache)
            self.config["datastore", "cached", "expiry", "threshold"] = 4

    def new_files(self) -> None:
        """Make the files those of the template."""
        self.repository = self.files.restore(self.template)
        if self.cache is not None:
            shutil.rmtree(self.cache, ignore_errors=True)
            self.cache.mkdir(parents=True)

    def start(self, quantum: Sequence[Sequence[str]], records: Any, *, dataset_types: bool) -> None:
        """Make a butler; ``quantum`` has the names of inputs and outputs."""
        inputs, outputs = map(self.some, quantum)
        # Those of a closed butler are of no use.
        self.handles: list[DeferredDatasetHandle] = []
        types = self.repository.dataset_types if dataset_types else None
        if dataset_types:
            self.butler = self.butler_class.initialize(
                self.config,
                self.repository.quantum(inputs, outputs, datastore_records=records),
                self.repository.universe,
                dataset_types=types,
            )
        else:
            self.butler = self.butler_class.from_predicted(
                self.config,
                [ref.id for ref in inputs],
                [ref.id for ref in outputs],
                self.repository.universe,
                records,
            )

    def some(self, names: Sequence[str]) -> list[DatasetRef]:
        """Return those of the datasets that the repository has."""
        return [self.refs[name] for name in names if name in self.refs]

    def state(self) -> dict[str, Any]:
        """Return all that a step may have changed."""
        state: dict[str, Any] = {name: set(getattr(self.butler, name)) for name in BOOKKEEPING}
        state["storage classes of outputs"] = {
            (ref.id, ref.datasetType.storageClass_name) for ref in self.butler._actual_output_refs
        }
        metrics = self.butler._metrics
        state["metrics"] = (metrics.n_get, metrics.n_put, metrics.n_ingest)
        records = self.butler._datastore.export_records(self.refs.values())
        state["records"] = [data.records for _, data in sorted(records.items())]
        state["files"] = self.files.contents()
        if self.cache is not None:
            state["cache"] = files_in(self.cache)
        return state

    def outcome(self, call: Callable[[Side], Any]) -> Any:
        """Return what a call returns or raises, as something to compare."""
        try:
            value = call(self)
        except Exception as error:
            return self.describe(error)
        return (type(value).__name__, plain(value, self.places))

    def describe(self, error: BaseException | None) -> Any:
        match error:
            case None:
                return None
            case sqlalchemy.exc.IntegrityError():
                return ("raised", "IntegrityError")
        message = plain(str(error), self.places)
        return ("raised", type(error).__name__, message, self.describe(error.__cause__))


@dataclasses.dataclass
class Workbench:
    """What all sequences for one kind of repository share."""

    sides: tuple[Side, Side]
    steps: int = 0


def dataset_for(ref: DatasetRef, number: int, form: str) -> Any:
    """Return an object to put; in the right form, or in another."""
    storage_class = ref.datasetType.storageClass_name
    if form == "right":
        form = "metrics" if storage_class in ("MetricsWhole", "MetricsParts", "MetricsPlain") else "dict"
        form = "model" if storage_class in ("MetricsModel", "MetricsTraced") else form
    match form:
        case "metrics":
            return example_metrics(number)
        case "model":
            return MetricsExampleModel.from_metrics(example_metrics(number))
        case "dict" if "Metrics" in storage_class:
            return example_metrics(number).exportAsDict()
        case "dict" if "Fragile" in storage_class:
            failures = [{}, {}, {"fail_write": "OSError"}, {"fail_read": "LookupError"}]
            return {"number": number, **failures[number]}
        case "dict":
            return {"number": number}
        case "list":
            return [number]
        case _:
            return f"text {number}"


def put(side: Side, dataset: Any, ref: DatasetRef, **options: Any) -> DatasetRef:
    """Put a dataset; if that fails, no member of a chain keeps it.

    Ours sees to that itself, on purpose; here the stock class is made equal.
    """
    members = getattr(side.butler._datastore, "datastores", ())
    strangers = [one for one in members if isinstance(one, InMemoryDatastore) and not one.knows(ref)]
    try:
        return side.butler.put(dataset, ref, **options)
    except BaseException:
        for member in strangers:
            if member.knows(ref):
                member.remove(ref)
        raise


def put_right(side: Side, name: str, number: int) -> DatasetRef:
    ref = side.refs[name]
    return put(side, dataset_for(ref, number, "right"), ref)


CALLS: list[tuple[str, st.SearchStrategy[dict[str, Any]]]] = []


def call(weight: int, /, **arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Make a method one of the calls that a sequence is made of.

    They are not rules of their own: hypothesis leaves a random half of the
    rules out of each sequence, which is good for thousands of sequences.
    """

    def add(method: F) -> F:
        CALLS.extend([(method.__name__, st.fixed_dictionaries(arguments))] * weight)
        return method

    return add


class Comparison(RuleBasedStateMachine):
    """Calls both classes and compares."""

    def __init__(self, bench: Workbench):
        super().__init__()
        self.bench = bench
        self.sides = bench.sides

    @initialize(dataset_types=st.booleans())
    def first_quantum(self, dataset_types: bool) -> None:
        for side in self.sides:
            side.new_files()
            records = side.repository.records_of(side.some(RECORDED))
            side.start((INPUTS, OUTPUTS), records, dataset_types=dataset_types)
        self.compare_states()

    def teardown(self) -> None:
        for side in self.sides:
            if hasattr(side, "butler"):
                side.butler.close()

    def step(self, call: Callable[[Side], Any]) -> Any:
        """Make one call on both sides, compare, and return the outcome."""
        expected, found = (side.outcome(call) for side in self.sides)
        assert found == expected
        self.compare_states()
        self.bench.steps += 1
        return expected

    def compare_states(self) -> None:
        stock, ours = (side.state() for side in self.sides)
        for name, value in stock.items():
            assert ours[name] == value, name

    def has(self, name: str) -> bool:
        """Whether the repository of this kind has the dataset."""
        return name in self.sides[0].refs

    # Writing

    @call(3, name=output, number=number, form=object_form, traced=st.booleans())
    def put(self, name: str, number: int, form: str, traced: bool) -> None:
        def call(side: Side) -> Any:
            ref = side.refs[name]
            provenance = None
            if traced:
                provenance = DatasetProvenance(quantum_id=side.refs["measured/0"].id)
                provenance.add_input(side.refs["measured/0"])
            return put(side, dataset_for(ref, number, form), ref, provenance=provenance)

        self.step(call)

    @call(6, name=output, number=number)
    def put_as_it_should_be(self, name: str, number: int) -> None:
        self.step(lambda side: put_right(side, name, number))

    @call(1, name=dataset, number=number)
    def put_anything(self, name: str, number: int) -> None:
        if self.has(name):
            self.step(lambda side: put_right(side, name, number))

    @call(1, name=output, storage_class=storage_class, form=object_form, number=number)
    def put_as_another_storage_class(self, name: str, storage_class: str, form: str, number: int) -> None:
        def call(side: Side) -> Any:
            ref = side.refs[name].overrideStorageClass(storage_class)
            return put(side, dataset_for(ref, number, form), ref)

        self.step(call)

    @call(
        2,
        names=some_datasets,
        options=st.sampled_from(
            [
                {"disassociate": False, "unstore": True},
                {"disassociate": True, "unstore": True, "purge": True},
                {"disassociate": False},
            ]
        ),
    )
    def prune(self, names: list[str], options: dict[str, Any]) -> None:
        self.step(lambda side: side.butler.pruneDatasets(side.some(names), **options))

    @call(3, names=st.lists(output, min_size=1, max_size=3), purge=st.booleans())
    def prune_outputs(self, names: list[str], purge: bool) -> None:
        self.step(
            lambda side: side.butler.pruneDatasets(
                [side.refs[name] for name in names], disassociate=purge, unstore=True, purge=purge
            )
        )

    @call(
        1,
        name=st.sampled_from(COMPOSITES),
        options=st.fixed_dictionaries(
            {"disassociate": st.booleans(), "unstore": st.booleans(), "purge": st.booleans()}
        ),
        component=st.booleans(),
    )
    def prune_in_odd_ways(self, name: str, options: dict[str, Any], component: bool) -> None:
        def call(side: Side) -> Any:
            ref = side.refs[name].makeComponentRef("summary") if component else side.refs[name]
            return side.butler.pruneDatasets(iter([ref]), **options)

        self.step(call)

    # Reading

    @call(6, name=dataset)
    def get(self, name: str) -> None:
        if self.has(name):
            self.step(lambda side: side.butler.get(side.refs[name]))

    @call(3, name=st.sampled_from(COMPOSITES), component=component)
    def get_component(self, name: str, component: str) -> None:
        self.step(lambda side: side.butler.get(side.refs[name].makeComponentRef(component)))

    @call(2, name=dataset, storage_class=storage_class, of_ref=st.booleans())
    def get_as_another_storage_class(self, name: str, storage_class: str, of_ref: bool) -> None:
        if self.has(name):
            self.step(
                lambda side: (
                    side.butler.get(side.refs[name].overrideStorageClass(storage_class))
                    if of_ref
                    else side.butler.get(side.refs[name], storageClass=storage_class)
                )
            )

    @call(2, name=st.sampled_from((*COMPOSITES, "series/0", "measured/0")), parameters=parameters)
    def get_a_part(self, name: str, parameters: dict[str, Any]) -> None:
        self.step(lambda side: side.butler.get(side.refs[name], parameters=dict(parameters)))

    @call(
        3,
        name=dataset,
        component=seldom(component),
        storage_class=seldom(storage_class),
    )
    def get_deferred(self, name: str, component: str | None, storage_class: str | None) -> None:
        def call(side: Side) -> None:
            ref = side.refs[name]
            if component is not None and name in COMPOSITES:
                ref = ref.makeComponentRef(component)
            side.handles.append(side.butler.getDeferred(ref, storageClass=storage_class))

        if self.has(name):
            self.step(call)

    @call(
        3,
        which=st.integers(0, 20),
        component=seldom(component),
        parameters=seldom(parameters),
        storage_class=seldom(storage_class),
    )
    def get_from_handle(
        self,
        which: int,
        component: str | None,
        parameters: dict[str, Any] | None,
        storage_class: str | None,
    ) -> None:
        if self.sides[0].handles:
            self.step(
                lambda side: side.handles[which % len(side.handles)].get(
                    component=component, parameters=parameters, storageClass=storage_class
                )
            )

    @call(3, name=dataset, component=seldom(component))
    def stored(self, name: str, component: str | None) -> None:
        def call(side: Side) -> bool:
            ref = side.refs[name]
            if component is not None and name in COMPOSITES:
                ref = ref.makeComponentRef(component)
            return side.butler.stored(ref)

        if self.has(name):
            self.step(call)

    @call(2, names=st.sampled_from([INPUTS, EVERYTHING]) | some_datasets)
    def stored_many(self, names: Sequence[str]) -> None:
        self.step(lambda side: side.butler.stored_many(side.some(names)))

    @call(2, name=dataset)
    def mark_input_unused(self, name: str) -> None:
        if self.has(name):
            self.step(lambda side: side.butler.markInputUnused(side.refs[name]))

    # What is known

    @call(1)
    def extract_provenance(self) -> None:
        self.step(lambda side: side.butler.extract_provenance_data())

    @call(1)
    def extract_provenance_as_json(self) -> None:
        # The order of ids is not part of the answer; reading sorts that out.
        self.step(
            lambda side: QuantumProvenanceData.model_validate_json(
                side.butler.extract_provenance_data().model_dump_json()
            )
        )

    @call(1, names=some_datasets)
    def export_records(self, names: list[str]) -> None:
        self.step(lambda side: side.butler._datastore.export_records(side.some(names)))

    @call(1, names=st.sampled_from([OUTPUTS, INPUTS]) | some_datasets)
    def export_predicted_records(self, names: Sequence[str]) -> None:
        self.step(lambda side: side.butler.export_predicted_datastore_records(side.some(names)))

    @call(1, names=some_datasets, predict=st.booleans(), allow_missing=st.booleans())
    def uris(self, names: list[str], predict: bool, allow_missing: bool) -> None:
        def call(side: Side) -> Any:
            try:
                return side.butler.get_many_uris(
                    side.some(names), predict=predict, allow_missing=allow_missing
                )
            except FileNotFoundError:
                # Upstream asks a store in several threads, and names whichever it hears of first.
                if isinstance(side.files, Bucket):
                    return "something is missing"
                raise

        self.step(call)

    @call(1, name=dataset, predict=st.booleans())
    def uri(self, name: str, predict: bool) -> None:
        if self.has(name):
            self.step(lambda side: side.butler.getURI(side.refs[name], predict=predict))

    @call(1, names=some_datasets)
    def datastore_knows(self, names: list[str]) -> None:
        def call(side: Side) -> Any:
            refs = side.some(names)
            datastore = side.butler._datastore
            return (
                datastore.knows_these(refs),
                datastore.mexists(refs),
                [datastore.knows(ref) for ref in refs],
            )

        self.step(call)

    @call(1)
    def trash(self) -> None:
        self.step(lambda side: side.butler._datastore.emptyTrash(dry_run=True))

    @call(1, names=some_datasets)
    def files_to_transfer(self, names: list[str]) -> None:
        def call(side: Side) -> Any:
            refs = side.some(names)
            source = side.butler._file_transfer_source
            return [
                {id_: [(file.location.uri, file.file_info) for file in files] for id_, files in found.items()}
                for found in (
                    source.get_file_info_for_transfer([ref.id for ref in refs]),
                    source.locate_missing_files_for_transfer(refs, {}),
                )
            ]

        self.step(call)

    @call(1, names=some_datasets, preserve_path=st.booleans())
    def retrieve_artifacts(self, names: list[str], preserve_path: bool) -> None:
        def call(side: Side) -> Any:
            shutil.rmtree(side.folder, ignore_errors=True)
            side.folder.mkdir(parents=True)
            uris = side.butler.retrieve_artifacts(
                side.some(names), str(side.folder), transfer="copy", preserve_path=preserve_path
            )
            return sorted(map(str, uris)), files_in(side.folder)

        self.step(call)

    # Accidents and what follows

    @call(2, which=st.integers(0, 60), damage=st.sampled_from([None, b"", b"rubbish"]))
    def lose_a_file(self, which: int, damage: bytes | None) -> None:
        files = sorted(name for name in self.sides[0].files.contents() if not name.startswith("butler.yaml"))
        if not files:
            return

        def call(side: Side) -> None:
            side.files.damage(files[which % len(files)], damage)

        self.step(call)

    @call(2, name=st.sampled_from(["derived/0", "derived/2", "log/0", "parts_out/1", "whole_out/2"]))
    def somebody_else_writes(self, name: str) -> None:
        # Another process runs the quantum too.
        def call(side: Side) -> None:
            repository = side.template
            kind, _, _ = name.partition("_")
            source = {"parts": "parts/0", "whole": "whole/0"}.get(kind, "measured/0")
            uris = side.butler.getURIs(side.refs[name], predict=True)
            model = {path.parent.suffix: path for path in repository.paths(side.refs[source])}
            for suffix, uri in [
                ("", uris.primaryURI),
                *((f".{component}", uri) for component, uri in uris.componentURIs.items()),
            ]:
                if uri is not None and uri.scheme in ("file", "s3"):
                    uri.replace(fragment="").write(model[suffix].read_bytes())

        self.step(call)

    @call(
        1,
        source=st.sampled_from(["exported", "provenance", "predicted", "nothing"]),
        roles=st.sampled_from(
            [(INPUTS, OUTPUTS), (OUTPUTS, UNPREDICTED), (EVERYTHING, EVERYTHING), ((), ())]
        ),
        dataset_types=st.booleans(),
    )
    def next_quantum(self, source: str, roles: tuple[Sequence[str], ...], dataset_types: bool) -> None:
        def call(side: Side) -> None:
            butler = side.butler
            match source:
                case "exported":
                    records = dict(butler._datastore.export_records(side.refs.values()))
                case "provenance":
                    text = butler.extract_provenance_data().model_dump_json()
                    read = QuantumProvenanceData.model_validate_json(text)
                    records = DatastoreRecordData.merge_mappings(
                        side.repository.records_of([side.refs["measured/0"], side.refs["parts/0"]]),
                        {
                            name: DatastoreRecordData.from_simple(data)
                            for name, data in read.datastore_records.items()
                        },
                    )
                case "predicted":
                    names = butler._predicted_outputs
                    refs = [ref for ref in side.refs.values() if ref.id in names]
                    records = butler.export_predicted_datastore_records(refs)
                case _:
                    records = {}
            side.start(roles, records, dataset_types=dataset_types)
            butler.close()

        self.step(call)


def sequences_of(calls: Sequence[tuple[str, st.SearchStrategy[dict[str, Any]]]]) -> type[Comparison]:
    """Return a machine that makes such calls."""

    class Sequences(Comparison):
        """Sequences of some of the calls."""

        @rule(call=st.sampled_from(calls).flatmap(lambda call: st.tuples(st.just(call[0]), call[1])))
        def call(self, call: tuple[str, dict[str, Any]]) -> None:
            name, arguments = call
            getattr(self, name)(**arguments)

    return Sequences


def with_composites(
    calls: Sequence[tuple[str, st.SearchStrategy[dict[str, Any]]]],
) -> list[tuple[str, st.SearchStrategy[dict[str, Any]]]]:
    """Return the calls that read and write datasets, for composites only."""
    written = [name for name in OUTPUTS if name in COMPOSITES]

    def change(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        names = written if method.startswith("put") else COMPOSITES
        if "name" not in arguments:
            return arguments
        return {**arguments, "name": names[EVERYTHING.index(arguments["name"]) % len(names)]}

    return [
        (method, strategy.map(functools.partial(change, method)))
        for method, strategy in calls
        if method.startswith(("get", "put", "stored", "prune", "lose", "somebody", "next"))
    ]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep the warnings about what goes wrong on purpose to ourselves."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", EFFORT)
@pytest.mark.timeout(3600)
def test_random_sequences(
    kind: str,
    template: Callable[[str], Repository],
    stock_class: type[QuantumBackedButler],
    our_class: type[QuantumBackedButler],
    tmp_path: Path,
    steps_taken: Counter[str],
    request: pytest.FixtureRequest,
) -> None:
    if kind in IN_A_STORE:
        request.getfixturevalue("object_store")
    sides = []
    for name, butler_class in (("stock", stock_class), ("ours", our_class)):
        own = tmp_path / name
        files = Bucket(name) if kind in IN_A_STORE else Folder(own / "repo")
        cache = own / "cache" if kind == "cached-warm" else None
        made = template(TEMPLATES.get(kind, kind))
        sides.append(Side(butler_class, made, files, own / "retrieved", cache))
    machine = sequences_of(with_composites(CALLS) if kind == "components" else CALLS)
    bench = Workbench((sides[0], sides[1]))
    rounds, sequences, steps = EFFORT[kind]
    try:
        for _ in range(rounds):
            run_state_machine_as_test(
                functools.partial(machine, bench),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=sequences,
                    stateful_step_count=steps,
                    deadline=None,
                    derandomize=not LONG,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    phases=(Phase.generate, Phase.shrink),
                ),
            )
    finally:
        steps_taken[kind] += bench.steps
    assert bench.steps > rounds * sequences * steps // 3, "Too many sequences ended early."
