"""`QuantumProvenanceData`: ours can be used in every way that upstream's can.

What is asserted holds for both classes, and for a model however it was made;
what depends on pydantic's version is compared with what upstream's class does.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import operator
import pickle
import re
import types
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pydantic
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import QuantumBackedButler
from lsst.daf.butler import QuantumProvenanceData as Stock
from lsst.daf.butler.datastore.record_data import SerializedDatastoreRecordData

from case_names import name_of
from repositories import NewRepository, Repository, dataset_id, example_metrics

ID_FIELDS = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")
FIELDS = (*ID_FIELDS, "datastore_records")
NEW = dataset_id("new")

Model = Any  # a subclass of Stock, or itself; a variable is no type to mypy


# The classes, and one quantum's provenance


@pytest.fixture(scope="module")
def ours(our_class: type[QuantumBackedButler], pytestconfig: pytest.Config) -> Model:
    """Return our model."""
    module = pytestconfig.getoption("--against").partition(":")[0]
    found: Model = importlib.import_module(module).QuantumProvenanceData
    return found


@pytest.fixture
def model(is_ours: bool, ours: Model) -> Model:
    """Return upstream's model, then ours."""
    return ours if is_ours else Stock


@pytest.fixture(scope="module")
def butlers(
    template: Callable[[str], Repository],
    stock_class: type[QuantumBackedButler],
    our_class: type[QuantumBackedButler],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[bool, QuantumBackedButler]]:
    """Return a butler of each class after a quantum, by ``is_ours``."""
    butlers = {}
    for is_ours, butler_class in ((False, stock_class), (True, our_class)):
        repository = template("checksum").copy(tmp_path_factory.mktemp("provenance") / "repo")
        inputs = [*repository.stored["measured"], *repository.stored["parts"]]
        outputs = [*repository.predicted["derived"], *repository.predicted["parts_out"]]
        butler = repository.butler(butler_class, inputs=inputs, outputs=outputs)
        butler.stored_many(inputs[:6])
        for ref in inputs[:5]:
            butler.get(ref)
        for number, ref in enumerate([*outputs[:3], *outputs[4:7]]):
            butler.put(example_metrics(number) if "parts" in ref.datasetType.name else {"a": number}, ref)
        butlers[is_ours] = butler
    yield butlers
    for butler in butlers.values():
        butler.close()


@pytest.fixture(scope="module")
def example(butlers: Mapping[bool, QuantumBackedButler]) -> Stock:
    """Return the stock butler's answer; look, do not touch."""
    return butlers[False].extract_provenance_data()


@pytest.fixture(scope="module")
def text(example: Stock) -> str:
    """Return the stock butler's answer in JSON."""
    return example.model_dump_json()


WAYS: dict[str, Callable[[Model, str], Stock]] = {
    "called": lambda model, text: model(**Stock.model_validate_json(text).model_dump()),
    "from_json": lambda model, text: model.model_validate_json(text),
    "from_bytes": lambda model, text: model.model_validate_json(text.encode()),
    "from_python": lambda model, text: model.model_validate(json.loads(text)),
    "adapted": lambda model, text: pydantic.TypeAdapter(model).validate_json(text),
    "direct": lambda model, text: model.direct(**json.loads(text)),
    "constructed": lambda model, text: model.model_construct(**dict(Stock.model_validate_json(text))),
    "copied": lambda model, text: copy.copy(model.model_validate_json(text)),
    "copied_deep": lambda model, text: copy.deepcopy(model.model_validate_json(text)),
    "copied_by_model": lambda model, text: model.model_validate_json(text).model_copy(),
    "pickled": lambda model, text: pickle.loads(pickle.dumps(model.model_validate_json(text))),
}


@pytest.fixture(params=["extracted", *WAYS])
def provenance(
    request: pytest.FixtureRequest,
    is_ours: bool,
    model: Model,
    butlers: Mapping[bool, QuantumBackedButler],
    text: str,
) -> Stock:
    """Return a new model equal to the example, made in one of many ways."""
    if request.param == "extracted":
        return butlers[is_ours].extract_provenance_data()
    return WAYS[request.param](model, text)


def exact(value: Any) -> Any:
    """Return ``value`` with its types, in an order of its own where it is a
    set.
    """
    match value:
        case pydantic.BaseModel():
            return (type(value).__name__, [(name, exact(item)) for name, item in dict(value).items()])
        case set() | frozenset():
            return (type(value).__name__, sorted(map(exact, value), key=repr))
        case list() | tuple():
            return (type(value).__name__, [exact(item) for item in value])
        case Mapping():
            return (type(value).__name__, [(exact(key), exact(item)) for key, item in value.items()])
        case _:
            return (type(value).__name__, repr(value))


def in_order(dumped: Any) -> Any:
    """Return what was dumped with its arrays of ids sorted."""
    if isinstance(dumped, dict):
        return {
            key: sorted(value)
            if isinstance(value, list) and (key in ID_FIELDS or key == "dataset_ids")
            else in_order(value)
            for key, value in dumped.items()
        }
    return [in_order(item) for item in dumped] if isinstance(dumped, list) else dumped


def from_json(text: str | bytes) -> Any:
    return in_order(json.loads(text))


# What it is


def test_the_example_is_worth_it(example: Stock) -> None:
    assert [len(getattr(example, name)) for name in ID_FIELDS] == [8, 6, 5, 8, 6]
    (records,) = example.datastore_records.values()
    assert len(records.dataset_ids) == 6
    # A row for each component of a disassembled dataset, with checksums.
    assert example.model_dump_json().count('"checksum":"') == 3 + 3 * 3


def test_class(provenance: Stock, model: Model) -> None:
    assert type(provenance) is model
    assert isinstance(provenance, Stock)
    assert isinstance(provenance, pydantic.BaseModel)


def test_fields(provenance: Stock, example: Stock) -> None:
    for name in ID_FIELDS:
        ids = getattr(provenance, name)
        assert ids == getattr(example, name)
        assert type(ids) is set
        assert {type(id_) for id_ in ids} == {uuid.UUID}
    assert type(provenance.datastore_records) is dict
    assert list(provenance.datastore_records) == list(example.datastore_records)
    for name, records in provenance.datastore_records.items():
        expected = example.datastore_records[name]
        assert type(records) is SerializedDatastoreRecordData
        assert set(records.dataset_ids) == set(expected.dataset_ids)
        assert len(records.dataset_ids) == len(expected.dataset_ids)
        assert {type(id_) for id_ in records.dataset_ids} == {uuid.UUID}
        assert records.records == expected.records


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_one_object(provenance: Stock, name: str) -> None:
    assert getattr(provenance, name) is getattr(provenance, name)
    assert dict(provenance)[name] is getattr(provenance, name)
    assert vars(provenance)[name] is getattr(provenance, name)


def test_iteration(provenance: Stock, example: Stock) -> None:
    assert [name for name, _ in provenance] == list(FIELDS)
    assert [name for name in vars(provenance)] == list(FIELDS)
    assert provenance.model_fields_set == set(FIELDS)
    assert provenance.model_extra is None
    for name in ID_FIELDS:
        assert dict(provenance)[name] == getattr(example, name)


def test_no_other_attribute(provenance: Stock) -> None:
    with pytest.raises(AttributeError, match="'QuantumProvenanceData' object has no attribute 'colour'"):
        operator.attrgetter("colour")(provenance)
    with pytest.raises(ValueError, match='"QuantumProvenanceData" object has no field "colour"'):
        provenance.colour = 1
    assert not hasattr(provenance, "colour")


def test_not_hashable(provenance: Stock) -> None:
    with pytest.raises(TypeError, match="unhashable type: 'QuantumProvenanceData'"):
        hash(provenance)


def test_checksums_that_look_like_ids_stay_strings(model: Model, text: str) -> None:
    data = json.loads(text)
    number = 0
    for records in data["datastore_records"].values():
        for tables in records["records"].values():
            for table in tables.values():
                for rows in table.values():
                    for row in rows:
                        row["checksum"] = [str(NEW), NEW.hex, f"urn:uuid:{NEW}", "12", None][number % 5]
                        number += 1
    assert number == 12
    for read in (
        model.model_validate_json(json.dumps(data)),
        model.model_validate(data),
        model.direct(**data),
        pickle.loads(pickle.dumps(model.model_validate_json(json.dumps(data)))),
    ):
        for dumped in (json.loads(read.model_dump_json()), read.model_dump(), read.model_dump(mode="json")):
            for name, records in data["datastore_records"].items():
                assert exact(dumped["datastore_records"][name]["records"]) == exact(records["records"])


# Text


def test_repr(model: Model) -> None:
    # At most one id in each, or the order of a set would show.
    fields: dict[str, Any] = {name: set() for name in FIELDS[1:4]}
    fields |= {"predicted_inputs": {NEW}, "actual_outputs": {NEW}}
    records = SerializedDatastoreRecordData(dataset_ids=[NEW], records={"c": {NEW.hex: {"t": [{"a": 1}]}}})
    fields |= {"datastore_records": {"D": records}}
    expected = Stock(**fields)
    made = model(**fields)
    for one in (made, model.model_validate_json(made.model_dump_json())):
        assert repr(one) == repr(expected)
        assert str(one) == str(expected)
        assert list(one.__rich_repr__()) == list(expected.__rich_repr__())
        assert one.__repr_name__() == "QuantumProvenanceData"


def test_repr_shows_every_id(provenance: Stock) -> None:
    shown = repr(provenance)
    for name in ID_FIELDS:
        assert f"{name}={{UUID(" in shown
        assert all(repr(id_) in shown for id_ in getattr(provenance, name))


# Dumps

CHOICES: list[dict[str, Any]] = [
    {},
    {"include": {"actual_inputs", "datastore_records"}},
    {"exclude": {"datastore_records"}},
    {"include": set()},
    {"include": {"colour"}},
    {"exclude": set(FIELDS)},
    {"include": {"actual_inputs": True, "datastore_records": {"__all__": {"dataset_ids"}}}},
    {"exclude": {"actual_inputs": True, "datastore_records": {"__all__": {"records"}}}},
    {"exclude_unset": True},
    {"exclude_defaults": True},
    {"exclude_none": True},
    {"by_alias": True},
    {"round_trip": True},
    {"serialize_as_any": True},
    {"warnings": "error"},
    {"include": {"predicted_inputs", "actual_inputs"}, "exclude": {"actual_inputs"}, "exclude_none": True},
]


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_dump(provenance: Stock, example: Stock, options: dict[str, Any]) -> None:
    for mode in ("python", "json"):
        dumped, expected = (one.model_dump(mode=mode, **options) for one in (provenance, example))
        assert exact(in_order(dumped)) == exact(in_order(expected))
    dumped_json = provenance.model_dump_json(**options)
    assert exact(from_json(dumped_json)) == exact(from_json(example.model_dump_json(**options)))


@pytest.mark.parametrize("indent", [None, 0, 1, 2, 4])
def test_text_of_json(provenance: Stock, is_ours: bool, example: Stock, indent: int | None) -> None:
    dumped = provenance.model_dump_json(indent=indent)
    assert type(dumped) is str
    expected = example.model_dump_json(indent=indent)
    assert sorted(dumped) == sorted(expected)
    separators = (",", ":") if indent is None else (",", ": ")
    data = json.loads(dumped)
    if indent != 0:
        assert dumped == json.dumps(data, indent=indent, separators=separators, ensure_ascii=False)
    if is_ours:
        # Ours has an order of its own.
        for name in ID_FIELDS:
            assert data[name] == sorted(data[name])


def test_bytes_do_not_depend_on_how_it_was_made(
    ours: Model, butlers: Mapping[bool, QuantumBackedButler], text: str
) -> None:
    extracted = {butlers[True].extract_provenance_data().model_dump_json() for _ in range(3)}
    assert len(extracted) == 1
    (extracted_text,) = extracted
    assert {make(ours, extracted_text).model_dump_json() for make in WAYS.values()} == extracted
    data = json.loads(extracted_text)
    for name in ID_FIELDS:
        data[name].reverse()
    assert ours.model_validate_json(json.dumps(data)).model_dump_json() == extracted_text
    (records,) = data["datastore_records"].values()
    assert records["dataset_ids"] == sorted(records["dataset_ids"])
    for tables in records["records"].values():
        assert list(tables) == sorted(tables)


def test_dumps_of_an_empty_model(model: Model) -> None:
    empty = model(**{name: {} if name == "datastore_records" else [] for name in FIELDS})
    for one in (empty, model.model_validate_json(empty.model_dump_json())):
        for indent in (None, 2):
            stock = Stock.model_validate(empty.model_dump())
            assert one.model_dump_json(indent=indent) == stock.model_dump_json(indent=indent)


def test_awkward_strings(model: Model, text: str) -> None:
    awkward = "".join(map(chr, range(0x200))) + '"\\/\u2028\u2029\ufeff\uffff\N{GRINNING FACE}'
    data = json.loads(text)
    (records,) = data["datastore_records"].values()
    data["datastore_records"] = {awkward: records, "": {"dataset_ids": [], "records": {}}}
    records["records"] = {awkward: {awkward: {awkward: [{awkward: awkward}]}}}
    (name,) = (name for name in data["datastore_records"] if name)
    expected = Stock.model_validate(data)
    for read in (model.model_validate_json(json.dumps(data)), model.model_validate(data)):
        dumped = read.model_dump_json(include={"datastore_records"})
        assert dumped == expected.model_dump_json(include={"datastore_records"})
        assert read.model_dump_json().endswith(dumped[1:])
        assert exact(read.datastore_records[name].records) == exact(records["records"])


def test_pydantic_core_dumps(provenance: Stock, text: str) -> None:
    assert from_json(pydantic_core.to_json(provenance)) == from_json(text)
    assert in_order(pydantic_core.to_jsonable_python(provenance)) == from_json(text)


@pytest.mark.parametrize("name", ["dict", "json", "copy"])
def test_methods_of_pydantic_1(provenance: Stock, example: Stock, name: str) -> None:
    with pytest.warns(pydantic.PydanticDeprecatedSince20):
        answer = getattr(provenance, name)()
    with pytest.warns(pydantic.PydanticDeprecatedSince20):
        expected = getattr(example, name)()
    if name == "json":
        answer, expected = from_json(answer), from_json(expected)
    elif name == "copy":
        assert type(answer) is type(provenance)
        answer, expected = from_json(answer.model_dump_json()), from_json(expected.model_dump_json())
    else:
        assert {key: answer[key] for key in ID_FIELDS} == {key: expected[key] for key in ID_FIELDS}
        answer, expected = list(answer), list(expected)
    assert answer == expected


# Equality


def with_sorted_lists(provenance: Stock) -> Stock:
    """Sort what is a list in no particular order."""
    for records in provenance.datastore_records.values():
        records.dataset_ids.sort()
    return provenance


def test_equality(provenance: Stock, model: Model, text: str) -> None:
    other = with_sorted_lists(model.model_validate_json(text))
    with_sorted_lists(provenance)
    assert provenance == other
    assert other == provenance
    assert not provenance != other
    assert provenance == provenance
    assert provenance != None  # noqa: E711
    assert provenance != other.model_dump()
    other.actual_inputs.add(NEW)
    assert provenance != other
    assert not provenance == other


def test_equality_before_anything_was_looked_at(
    model: Model, is_ours: bool, butlers: Mapping[bool, QuantumBackedButler], text: str
) -> None:
    assert model.model_validate_json(text) == model.model_validate_json(text)
    assert butlers[is_ours].extract_provenance_data() == butlers[is_ours].extract_provenance_data()
    changed = json.loads(text)
    changed["actual_inputs"].pop()
    assert model.model_validate_json(text) != model.model_validate_json(json.dumps(changed))


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_counts(model: Model, text: str, name: str) -> None:
    changed = model.model_validate_json(text).model_copy(
        update={name: {} if name == "datastore_records" else {NEW}}
    )
    assert changed != model.model_validate_json(text)


def test_equal_to_a_stock_model(provenance: Stock, text: str) -> None:
    with_sorted_lists(provenance)
    stock = with_sorted_lists(Stock.model_validate_json(text))
    assert provenance == stock
    assert stock == provenance
    assert not stock != provenance
    stock.actual_inputs.add(NEW)
    assert provenance != stock
    assert stock != provenance


# Copies


def test_shallow_copies_share(provenance: Stock) -> None:
    for copied in (copy.copy(provenance), provenance.model_copy()):
        assert type(copied) is type(provenance)
        assert copied == provenance
        for name in FIELDS:
            assert getattr(copied, name) is getattr(provenance, name)
        assert copied.model_fields_set == set(FIELDS)


def test_deep_copies_do_not(provenance: Stock) -> None:
    for copied in (copy.deepcopy(provenance), provenance.model_copy(deep=True)):
        assert copied == provenance
        for name in FIELDS:
            assert getattr(copied, name) is not getattr(provenance, name)
        copied.actual_inputs.add(NEW)
        assert NEW not in provenance.actual_inputs
        assert str(NEW) not in provenance.model_dump_json()


def test_copy_with_a_change(provenance: Stock, example: Stock) -> None:
    copied = provenance.model_copy(update={"actual_inputs": {NEW}})
    assert copied.actual_inputs == {NEW}
    assert provenance.actual_inputs == example.actual_inputs
    assert copied.predicted_inputs is provenance.predicted_inputs
    assert from_json(copied.model_dump_json())["actual_inputs"] == [str(NEW)]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(provenance: Stock, protocol: int) -> None:
    read = pickle.loads(pickle.dumps(provenance, protocol))
    assert type(read) is type(provenance)
    assert read == provenance
    assert read.model_fields_set == set(FIELDS)
    assert from_json(read.model_dump_json()) == from_json(provenance.model_dump_json())
    assert pickle.loads(pickle.dumps(read, protocol)) == provenance


# Changes


def test_extraction_is_a_snapshot(
    butler_class: type[QuantumBackedButler], new_repository: NewRepository
) -> None:
    repository = new_repository()
    inputs, outputs = repository.stored["measured"], repository.predicted["derived"]
    with repository.butler(butler_class, inputs=inputs, outputs=outputs) as butler:
        butler.stored_many(inputs)
        butler.put({"a": 1}, outputs[0])
        before, looked_at = butler.extract_provenance_data(), butler.extract_provenance_data()
        assert looked_at.actual_inputs == set()
        dumped = from_json(before.model_dump_json())
        looked_at.actual_inputs.add(NEW)
        looked_at.datastore_records.clear()
        butler.get(inputs[0])
        butler.put({"a": 2}, outputs[1])
        butler.pruneDatasets(outputs[:1], disassociate=True, unstore=True, purge=True)
        after = butler.extract_provenance_data()
    assert before.actual_inputs == set()
    assert before.actual_outputs == {outputs[0].id}
    assert from_json(before.model_dump_json()) == dumped
    assert looked_at.actual_inputs == {NEW}
    assert after.actual_inputs == {inputs[0].id}
    assert after.actual_outputs == {outputs[1].id}
    (records,) = after.datastore_records.values()
    assert records.dataset_ids == [outputs[1].id]


def test_changes_inside_are_dumped(provenance: Stock) -> None:
    provenance.model_dump_json()
    for name in ID_FIELDS:
        getattr(provenance, name).clear()
        getattr(provenance, name).add(NEW)
    for expected in (provenance.model_dump(mode="json"), json.loads(provenance.model_dump_json())):
        assert all(expected[name] == [str(NEW)] for name in ID_FIELDS)
    (records,) = provenance.datastore_records.values()
    records.dataset_ids.append(NEW)
    for tables in records.records.values():
        for table in tables.values():
            for rows in table.values():
                rows[0]["path"] = "moved"
    dumped = json.loads(provenance.model_dump_json())
    (dumped_records,) = dumped["datastore_records"].values()
    assert dumped_records["dataset_ids"][-1] == str(NEW)
    assert json.dumps(dumped_records).count('"moved"') == 6
    provenance.datastore_records.clear()
    assert json.loads(provenance.model_dump_json())["datastore_records"] == {}
    assert provenance.model_copy().model_dump()["datastore_records"] == {}


@pytest.mark.parametrize("name", FIELDS)
def test_assignment(provenance: Stock, example: Stock, name: str) -> None:
    value: Any = {} if name == "datastore_records" else {NEW}
    setattr(provenance, name, value)
    assert getattr(provenance, name) is value
    dumped = from_json(provenance.model_dump_json())
    assert dumped.pop(name) == ({} if name == "datastore_records" else [str(NEW)])
    expected = from_json(example.model_dump_json())
    del expected[name]
    assert dumped == expected
    assert provenance != example


@pytest.mark.parametrize("value", ["text", None, 5, [NEW], frozenset([NEW]), {str(NEW)}, {NEW: 1}], ids=repr)
def test_assignment_of_something_else(provenance: Stock, example: Stock, value: Any) -> None:
    # Nothing checks it; pydantic may warn when it dumps.
    def dumps(one: Stock) -> list[Any]:
        one.actual_inputs = value
        answers: list[Any] = []
        for dump in (
            lambda: from_json(one.model_dump_json(warnings=False)),
            lambda: exact(one.model_dump(warnings=False)["actual_inputs"]),
            lambda: from_json(one.model_dump_json(warnings="error")),
        ):
            try:
                answers.append(dump())
            except pydantic_core.PydanticSerializationError as error:
                answers.append(str(error))
        return answers

    assert dumps(provenance) == dumps(copy.deepcopy(example))


def test_deleted_field(provenance: Stock) -> None:
    del provenance.actual_inputs
    assert not hasattr(provenance, "actual_inputs")
    assert "actual_inputs" not in json.loads(provenance.model_dump_json())
    assert "actual_inputs" not in dict(provenance)
    assert len(provenance.predicted_inputs) == 8


# Validation


def test_an_instance_stays_what_it_is(provenance: Stock, model: Model) -> None:
    assert model.model_validate(provenance) is provenance
    assert Stock.model_validate(provenance) is provenance
    assert pydantic.TypeAdapter(model).validate_python(provenance) is provenance


def test_validation_copies_sets_and_keeps_records(model: Model) -> None:
    ids = {NEW}
    records = SerializedDatastoreRecordData(dataset_ids=[NEW], records={})
    fields: dict[str, Any] = {name: ids for name in ID_FIELDS} | {"datastore_records": {"D": records}}
    for made in (model(**fields), model.model_validate(fields)):
        assert made.actual_inputs == ids
        assert made.actual_inputs is not ids
        assert made.datastore_records["D"] is records


def test_from_attributes(model: Model, example: Stock) -> None:
    source = types.SimpleNamespace(**dict(example))
    made = model.model_validate(source, from_attributes=True)
    assert type(made) is model
    assert made.actual_inputs == example.actual_inputs
    with pytest.raises(pydantic.ValidationError):
        model.model_validate(source)


def test_model_construct(model: Model, example: Stock) -> None:
    nothing = model.model_construct()
    assert nothing.model_fields_set == set()
    assert repr(nothing) == "QuantumProvenanceData()"
    assert nothing.model_dump() == {}
    assert nothing.model_dump_json() == "{}"
    assert not hasattr(nothing, "actual_inputs")
    ids = {NEW}
    some = model.model_construct(actual_inputs=ids, colour="red")
    assert some.actual_inputs is ids
    assert some.model_fields_set == {"actual_inputs"}
    assert some.model_dump_json() == f'{{"actual_inputs":["{NEW}"]}}'
    assert not hasattr(some, "colour")
    chosen = model.model_construct(_fields_set={"actual_inputs"}, **dict(example))
    assert chosen.model_fields_set == {"actual_inputs"}
    assert set(json.loads(chosen.model_dump_json(exclude_unset=True))) == {"actual_inputs"}
    assert set(json.loads(chosen.model_dump_json())) == set(FIELDS)
    # Unchecked values stay what they are.
    odd = model.model_construct(actual_inputs=[1, "x"])
    assert odd.actual_inputs == [1, "x"]
    assert json.loads(odd.model_dump_json(warnings=False)) == {"actual_inputs": [1, "x"]}


def test_direct(model: Model, example: Stock, text: str) -> None:
    data = json.loads(text)
    mixed = {**data, "actual_inputs": iter(example.actual_inputs)}
    mixed["actual_outputs"] = tuple(data["actual_outputs"])
    for made in (model.direct(**data), model.direct(**mixed)):
        assert type(made) is model
        assert made.model_fields_set == set(FIELDS)
        assert made.actual_inputs == example.actual_inputs
        assert made.actual_outputs == example.actual_outputs
        (records,) = made.datastore_records.values()
        (expected,) = data["datastore_records"].values()
        assert type(records) is SerializedDatastoreRecordData
        assert [str(id_) for id_ in records.dataset_ids] == expected["dataset_ids"]
        assert records.records == expected["records"]
    with pytest.raises(ValueError, match="badly formed hexadecimal UUID string"):
        model.direct(**{**data, "actual_inputs": ["no uuid"]})
    with pytest.raises(TypeError, match=r"missing 6 required keyword-only arguments"):
        model.direct()
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        model.direct(**data, colour="red")


@pytest.mark.parametrize("arguments", [(), ("{}",), (b"{}",)])
def test_parse_raw(model: Model, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotImplementedError) as caught:
        model.parse_raw(*arguments)
    assert str(caught.value) == "parse_raw() is not usable for this class, use direct() instead."


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call gives, or raises, as something to compare."""
    try:
        value = call()
    except pydantic.ValidationError as error:
        details = [(e["type"], e["loc"], e["msg"]) for e in error.errors(include_url=False)]
        # The text shows objects with their addresses.
        text = re.sub(r"0x[0-9a-f]+", "0x", str(error))
        return ("ValidationError", error.title, error.error_count(), details, text)
    except Exception as error:
        return (type(error).__name__, str(error))
    return exact(value)


def changed(data: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {**data, **changes}


def with_records(value: Any) -> dict[str, Any]:
    return {"datastore_records": {"D": value}}


def with_value(value: Any) -> dict[str, Any]:
    return with_records({"dataset_ids": [], "records": {"c": {NEW.hex: {"t": [{"a": value}]}}}})


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "more keys": {"colour": "red", "model_config": 1, "": None},
    **{f"{name} null": {name: None} for name in FIELDS},
    **{f"{name} a number": {name: 5} for name in FIELDS},
    "ids an object": {"actual_inputs": {}},
    "ids text": {"actual_inputs": str(NEW)},
    "ids true": {"actual_inputs": True},
    "no ids": {"actual_inputs": []},
    "id text": {"actual_inputs": [str(NEW), "no uuid"]},
    "ids wrong in two fields": {"actual_inputs": ["x", str(NEW), "y"], "actual_outputs": [1]},
    "id empty": {"actual_inputs": [""]},
    "id number": {"actual_inputs": [5]},
    "id fraction": {"actual_inputs": [5.5]},
    "id null": {"actual_inputs": [None]},
    "id list": {"actual_inputs": [[]]},
    "id object": {"actual_inputs": [{}]},
    "id true": {"actual_inputs": [True]},
    "id twice": {"actual_inputs": [str(NEW), NEW.hex, str(NEW).upper()]},
    "id hex": {"actual_inputs": [NEW.hex]},
    "id urn": {"actual_inputs": [f"urn:uuid:{NEW}"]},
    "id braces": {"actual_inputs": [f"{{{NEW}}}"]},
    "id spaces": {"actual_inputs": [f" {NEW} "]},
    "id short": {"actual_inputs": [str(NEW)[:-1]]},
    "id long": {"actual_inputs": [f"{NEW}0"]},
    "id odd hyphens": {"actual_inputs": [f"{NEW.hex[:4]}-{NEW.hex[4:]}"]},
    "id wrong letter": {"actual_inputs": [str(NEW)[:-1] + "g"]},
    "id other digits": {"actual_inputs": ["\N{ARABIC-INDIC DIGIT ONE}" * 32]},
    "id nil": {"actual_inputs": [str(uuid.UUID(int=0))]},
    "records null": with_records(None),
    "records list": with_records([]),
    "records empty": with_records({}),
    "records without ids": with_records({"records": {}}),
    "records without records": with_records({"dataset_ids": []}),
    "records more keys": with_records({"dataset_ids": [], "records": {}, "colour": 1}),
    "records wrong id": with_records({"dataset_ids": ["x", str(NEW), 7], "records": {}}),
    "records ids twice": with_records({"dataset_ids": [str(NEW), str(NEW)], "records": {}}),
    "records ids null": with_records({"dataset_ids": None, "records": {}}),
    "records a list": with_records({"dataset_ids": [], "records": []}),
    "class null": with_records({"dataset_ids": [], "records": {"c": None}}),
    "class empty": with_records({"dataset_ids": [], "records": {"c": {}, "": {}}}),
    "table null": with_records({"dataset_ids": [], "records": {"c": {"x": None}}}),
    "table empty": with_records({"dataset_ids": [], "records": {"c": {"no uuid": {}}}}),
    "rows null": with_records({"dataset_ids": [], "records": {"c": {"x": {"t": None}}}}),
    "rows object": with_records({"dataset_ids": [], "records": {"c": {"x": {"t": {}}}}}),
    "rows empty": with_records({"dataset_ids": [], "records": {"c": {"x": {"t": []}}}}),
    "row null": with_records({"dataset_ids": [], "records": {"c": {"x": {"t": [None, 1]}}}}),
    "row empty": with_records({"dataset_ids": [], "records": {"c": {"x": {"t": [{}, {"": ""}]}}}}),
    "value text": with_value("12"),
    "value id": with_value(str(NEW)),
    "value null": with_value(None),
    "value true": with_value(True),
    "value false": with_value(False),
    "value fraction": with_value(1.5),
    "value whole fraction": with_value(1.0),
    "value minus nought": with_value(-0.0),
    "value huge fraction": with_value(1e300),
    "value big": with_value(2**63),
    "value bigger": with_value(-(2**70)),
    "value biggest": with_value(10**4000),
    "value list": with_value([]),
    "value object": with_value({"a": 1}),
    "value not a number": with_value(float("nan")),
    "value infinite": with_value(float("-inf")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_data(ours: Model, text: str, name: str) -> None:
    data = changed(json.loads(text), **CHANGES[name])
    dumped = json.dumps(data)
    for strict in (None, True, False):
        for call in (
            lambda model, strict=strict: model.model_validate_json(dumped, strict=strict),
            lambda model, strict=strict: model.model_validate_json(dumped.encode(), strict=strict),
            lambda model, strict=strict: model.model_validate(data, strict=strict),
            lambda model, strict=strict: pydantic.TypeAdapter(dict[str, model]).validate_json(
                f'{{"a": {dumped}}}', strict=strict
            ),
        ):
            assert outcome(lambda call=call: call(ours)) == outcome(lambda call=call: call(Stock))
    if "" not in data:  # which is no keyword
        assert outcome(lambda: ours(**data)) == outcome(lambda: Stock(**data))


@pytest.mark.parametrize("missing", [(), *((name,) for name in FIELDS), ID_FIELDS, FIELDS], ids=repr)
def test_missing_fields(ours: Model, text: str, missing: tuple[str, ...]) -> None:
    data = {name: value for name, value in json.loads(text).items() if name not in missing}
    for call in (
        lambda model: model.model_validate_json(json.dumps(data)),
        lambda model: model.model_validate(data),
        lambda model: model(**data),
    ):
        assert outcome(lambda call=call: call(ours)) == outcome(lambda call=call: call(Stock))


DEEP = 10_000
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"",
    "spaces": lambda text: b"  \n",
    "null": lambda text: b"null",
    "number": lambda text: b"1",
    "text": lambda text: b'"text"',
    "list": lambda text: b"[]",
    "empty object": lambda text: b"{}",
    "word": lambda text: b"nonsense",
    **{f"cut at {n}": lambda text, n=n: text[: len(text) * n // 10] for n in range(1, 10)},
    "cut before the end": lambda text: text[:-1],
    "more after the end": lambda text: text + b" 1",
    "twice": lambda text: text + text,
    "spaces around": lambda text: b" \r\n\t" + text + b" \r\n\t",
    "comma at the end": lambda text: text[:-1] + b",}",
    "single quotes": lambda text: text.replace(b'"', b"'"),
    "comment": lambda text: b"// comment\n" + text,
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "utf-16": lambda text: text.decode().encode("utf-16"),
    "wrong utf-8 before": lambda text: b"\xff" + text,
    "wrong utf-8 in a name": lambda text: text.replace(b"FileDatastore@", b"FileDatastore\xff"),
    "wrong utf-8 in a value": lambda text: text.replace(b"formatters.json", b"\xc3\x28"),
    "wrong utf-8 in an id": lambda text: text.replace(b'["', b'["\x80', 1),
    "wrong utf-8 in another key": lambda text: text[:-1] + b',"x":"\xf0\x28\x8c\xbc"}',
    "surrogate in utf-8": lambda text: text[:-1] + b',"x":"\xed\xa0\x80"}',
    "surrogate escaped": lambda text: text[:-1] + b',"x":"\\ud800"}',
    "surrogate escaped in a name": lambda text: text.replace(b"FileDatastore@", b"\\ud800"),
    "pair of surrogates": lambda text: text.replace(b"FileDatastore@", b"\\ud83d\\ude00"),
    "wrong escape": lambda text: text.replace(b"FileDatastore@", b"\\x41"),
    "escaped key": lambda text: text.replace(b"actual_inputs", b"\\u0061ctual_inputs"),
    "escaped id": lambda text: text.replace(b'["', b'["\\u0030', 1),
    "control character": lambda text: text.replace(b"FileDatastore@", b"\n"),
    "key twice, first wrong": lambda text: b'{"actual_inputs":["x"],' + text[1:],
    "key twice, last wrong": lambda text: text[:-1] + b',"actual_inputs":["x"]}',
    "key twice, last counts": lambda text: text[:-1] + b',"actual_inputs":[]}',
    "row key twice": lambda text: text.replace(b'{"formatter"', b'{"formatter":1.5,"formatter"'),
    "datastore twice": lambda text: (
        text[:-1]
        + b',"datastore_records":{"D":{"dataset_ids":["x"],"records":{}},'
        + b'"D":{"dataset_ids":[],"records":{}}}}'
    ),
    "dataset twice": lambda text: (
        text[:-1]
        + b',"datastore_records":{"D":{"dataset_ids":[],"records":{"c":{"a":{"t":[{"x":1}]},"a":{}}}}}}'
    ),
    "NaN": lambda text: text[:-1] + b',"x":NaN}',
    "infinity": lambda text: text[:-1] + b',"x":-Infinity}',
    "number with a zero before": lambda text: text[:-1] + b',"x":01}',
    "number with a plus": lambda text: text[:-1] + b',"x":+1}',
    "number without end": lambda text: text[:-1] + b',"x":1.}',
    "number with 5,000 digits": lambda text: text[:-1] + b',"x":' + b"1" * 5000 + b"}",
    "huge exponent": lambda text: text[:-1] + b',"x":1e999999}',
    "deep": lambda text: b"[" * DEEP + b"]" * DEEP,
    "deep and open": lambda text: b"[" * DEEP,
    "deep objects": lambda text: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in another key": lambda text: text[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects in another key": lambda text: (
        text[:-1] + b',"x":' + b'{"a":' * DEEP + b"1" + b"}" * (DEEP + 1)
    ),
    "deep in ids": lambda text: text[:-1] + b',"actual_inputs":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep in records": lambda text: (
        text[:-1] + b',"datastore_records":' + b'{"a":' * DEEP + b"1" + b"}" * (DEEP + 1)
    ),
    **{
        f"{depth} deep in another key": lambda text, depth=depth: (
            text[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
        )
        for depth in (100, 190, 195, 196, 197, 198, 199, 200, 201, 202, 210, 260)
    },
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_json(ours: Model, text: str, name: str) -> None:
    data = DAMAGE[name](text.encode())
    sources: list[Any] = [data, bytearray(data)]
    try:
        sources.append(data.decode())
    except UnicodeDecodeError:
        # As what was read with the wrong error handler.
        sources.append(data.decode(errors="surrogateescape"))
    for source in sources:
        expected = outcome(lambda source=source: Stock.model_validate_json(source))
        assert outcome(lambda source=source: ours.model_validate_json(source)) == expected
        expected = outcome(lambda source=source: pydantic.TypeAdapter(Stock).validate_json(source))
        assert outcome(lambda source=source: pydantic.TypeAdapter(ours).validate_json(source)) == expected


@pytest.mark.parametrize(
    "source", [None, 1, {}, [], memoryview(b"{}"), uuid.UUID(int=0), object], ids=name_of
)
def test_what_is_not_json(ours: Model, source: Any) -> None:
    assert outcome(lambda: ours.model_validate_json(source)) == outcome(
        lambda: Stock.model_validate_json(source)
    )


class _Text(str):
    pass


PYTHON: dict[str, Any] = {
    "tuple": (NEW,),
    "frozenset": frozenset([NEW]),
    "generator": lambda: (id_ for id_ in [NEW]),
    "keys": {NEW: 1}.keys(),
    "dict": {NEW: 1},
    "range": range(3),
    "bytes": b"x",
    "id bytes": [NEW.bytes],
    "id text in bytes": [str(NEW).encode()],
    "id integer": [NEW.int],
    "id subclass": [type("Id", (uuid.UUID,), {})(int=NEW.int)],
    "id text subclass": [_Text(NEW)],
    "id mixed": [NEW, str(NEW), NEW.hex],
}


@pytest.mark.parametrize("name", PYTHON)
@pytest.mark.parametrize("strict", [None, True])
def test_ids_in_python(ours: Model, example: Stock, name: str, strict: bool | None) -> None:
    def call(model: Model) -> Any:
        value = PYTHON[name]() if callable(PYTHON[name]) else PYTHON[name]
        return model.model_validate({**dict(example), "actual_inputs": value}, strict=strict)

    assert outcome(lambda: call(ours)) == outcome(lambda: call(Stock))


@pytest.mark.parametrize(
    "records",
    [
        MappingProxyType({"c": {}}),
        OrderedDict({"c": OrderedDict({"x": {"t": [OrderedDict(a=1)]}})}),
        defaultdict(dict, {"c": {"x": {"t": ({"a": 1},)}}}),
        {"c": {"x": {"t": [{"a": _Text("x"), "b": True, _Text("c"): 1}]}}},
        {"c": {"x": {"t": [{"a": b"x"}]}}},
        {"c": {"x": {"t": [{"a": NEW}]}}},
        {"c": {NEW: {"t": []}}},
        {1: {}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("strict", [None, True])
def test_records_in_python(ours: Model, example: Stock, records: Any, strict: bool | None) -> None:
    def call(model: Model) -> Any:
        data = {"D": {"dataset_ids": [NEW], "records": records}}
        return model.model_validate({**dict(example), "datastore_records": data}, strict=strict)

    assert outcome(lambda: call(ours)) == outcome(lambda: call(Stock))


PIECES = [b"", b"", b'"', b"[", b"]", b"{", b"}", b",", b":", b"\\", b"0", b"null", b"\xc3", b"-", b"1.5"]


@given(data=st.data())
def test_json_damaged_at_random(ours: Model, text: str, data: st.DataObject) -> None:
    damaged = text.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 2, 10, 100]))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        damaged = damaged[:start] + piece + damaged[start + length :]
    assert outcome(lambda: ours.model_validate_json(damaged)) == outcome(
        lambda: Stock.model_validate_json(damaged)
    )


_leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.uuids().map(str),
    st.just(NEW.hex),
)
_tree = st.recursive(
    _leaf, lambda tree: st.lists(tree, max_size=3) | st.dictionaries(st.text(max_size=2), tree, max_size=3)
)
_ids = st.lists(st.uuids().map(str), max_size=3)
_rows = st.lists(st.dictionaries(st.text(max_size=3), _leaf, max_size=3), max_size=2)
_records = st.dictionaries(
    st.text(max_size=2),
    st.fixed_dictionaries(
        {
            "dataset_ids": _ids | _tree,
            "records": st.dictionaries(
                st.text(max_size=2),
                st.dictionaries(
                    st.text(max_size=2), st.dictionaries(st.text(max_size=2), _rows | _tree, max_size=2)
                ),
                max_size=2,
            )
            | _tree,
        }
    ),
    max_size=2,
)
_model = st.fixed_dictionaries(
    {name: _ids | st.lists(_leaf, max_size=2) | _tree for name in ID_FIELDS}
    | {"datastore_records": _records | _tree},
    optional={"colour": _tree},
)


@given(data=_model)
def test_json_made_at_random(ours: Model, data: dict[str, Any]) -> None:
    dumped = json.dumps(data)
    for call in (
        lambda model: model.model_validate_json(dumped),
        lambda model: model.model_validate(data),
        lambda model: from_json(model.model_validate_json(dumped).model_dump_json()),
    ):
        assert outcome(lambda call=call: call(ours)) == outcome(lambda call=call: call(Stock))


# Schema


def test_json_schema(ours: Model) -> None:
    for mode in ("validation", "serialization"):
        schema = ours.model_json_schema(mode=mode)
        assert schema == Stock.model_json_schema(mode=mode)
        assert list(schema["properties"]) == list(FIELDS)
        for adapted in (list, set, dict):
            types_ = [dict[str, one] if adapted is dict else adapted[one] for one in (ours, Stock)]
            schemas = [pydantic.TypeAdapter(one).json_schema(mode=mode) for one in types_]
            assert schemas[0] == schemas[1]


def test_model_fields(ours: Model) -> None:
    assert list(ours.model_fields) == list(Stock.model_fields) == list(FIELDS)
    for name in FIELDS:
        mine, stock = ours.model_fields[name], Stock.model_fields[name]
        assert mine.annotation == stock.annotation
        assert mine.is_required()
        assert (mine.alias, mine.metadata, mine.description) == (
            stock.alias,
            stock.metadata,
            stock.description,
        )
    assert ours.model_computed_fields == Stock.model_computed_fields == {}
    assert ours.__name__ == Stock.__name__
    assert ours.model_rebuild() is None


def test_signatures(ours: Model) -> None:
    def shape(function: Any) -> list[tuple[str, Any, bool]]:
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default is inspect.Parameter.empty) for p in parameters]

    names = ["collect_and_transfer", "direct", "parse_raw", "model_construct", "model_copy", "model_validate"]
    assert shape(ours) == shape(Stock)
    for name in names:
        assert shape(getattr(ours, name)) == shape(getattr(Stock, name)), name
    assert isinstance(inspect.getattr_static(Stock, "collect_and_transfer"), staticmethod)
    assert isinstance(inspect.getattr_static(ours, "collect_and_transfer"), staticmethod)


# Inside something else


def make_outer(expected_type: Model) -> type[pydantic.BaseModel]:
    """Return a model with fields for provenance."""
    fields: dict[str, Any] = {
        "one": (expected_type, ...),
        "maybe": (expected_type | None, None),
        "several": (list[expected_type], []),
        "named": (dict[str, expected_type], {}),
        "anything": (Any, None),
        "as_it_is": (pydantic.SerializeAsAny[expected_type] | None, None),
    }
    return pydantic.create_model("Outer", **fields)


@pytest.mark.parametrize("expected_type", ["its own", "upstream's"])
def test_as_a_field(provenance: Stock, model: Model, expected_type: str, text: str) -> None:
    outer = make_outer(model if expected_type == "its own" else Stock)
    made: Any = outer(
        one=provenance,
        maybe=provenance,
        several=[provenance],
        named={"a": provenance},
        anything=provenance,
        as_it_is=provenance,
    )
    assert made.one is made.maybe is made.several[0] is made.named["a"] is made.as_it_is is provenance
    expected = from_json(text)
    for dumped in (json.loads(made.model_dump_json(warnings="error")), made.model_dump(mode="json")):
        assert in_order(dumped["one"]) == expected
        assert in_order(dumped["maybe"]) == expected
        assert in_order(dumped["several"]) == [expected]
        assert in_order(dumped["named"]) == {"a": expected}
        assert in_order(dumped["anything"]) == expected
        assert in_order(dumped["as_it_is"]) == expected
    assert made.model_dump()["one"]["actual_inputs"] == provenance.actual_inputs
    only = made.model_dump(include={"one": {"actual_inputs"}})
    assert only == {"one": {"actual_inputs": provenance.actual_inputs}}


def test_a_field_read_by_pydantic_first(provenance: Stock, text: str) -> None:
    # Nothing has asked for a field of it yet.
    made: Any = make_outer(Stock)(one=provenance)
    assert from_json(made.model_dump_json(include={"one"})) == {"one": from_json(text)}
    assert made == copy.copy(made)


def test_read_as_a_field(model: Model, text: str) -> None:
    outer = make_outer(model)
    source = f'{{"one": {text}, "several": [{text}, {text}]}}'
    for read in (outer.model_validate_json(source), outer.model_validate(json.loads(source))):
        made: Any = read
        assert type(made.one) is model
        assert made.several[0] == made.several[1] == made.one
        assert made.maybe is None
        assert from_json(made.one.model_dump_json()) == from_json(text)
        dumped = json.loads(made.model_dump_json(exclude_unset=True))
        assert in_order(dumped["several"]) == [from_json(text)] * 2
        assert copy.deepcopy(made) == made
        assert pickle.loads(pickle.dumps(made.one)) == made.one


def test_errors_inside_a_field(ours: Model, text: str) -> None:
    def call(model: Model) -> Any:
        outer = pydantic.create_model("Outer", several=(list[model], ...))
        data = changed(json.loads(text), actual_inputs=["x"])
        return outer.model_validate_json(json.dumps({"several": [json.loads(text), data]}))

    assert outcome(lambda: call(ours)) == outcome(lambda: call(Stock))


def test_adapters(provenance: Stock, model: Model, text: str) -> None:
    for adapter in (pydantic.TypeAdapter(model), pydantic.TypeAdapter(Stock)):
        assert from_json(adapter.dump_json(provenance)) == from_json(text)
        assert in_order(adapter.dump_python(provenance, mode="json")) == from_json(text)
        assert adapter.dump_python(provenance)["actual_inputs"] == provenance.actual_inputs
    several = pydantic.TypeAdapter(list[model])
    read = several.validate_json(several.dump_json([provenance, provenance]))
    assert [type(one) for one in read] == [model, model]
    assert read[0] == read[1] == provenance
    root = pydantic.RootModel[list[model]]([provenance])
    assert in_order(json.loads(root.model_dump_json())) == [from_json(text)]


def test_union_with_another_model(model: Model, text: str) -> None:
    class Other(pydantic.BaseModel):
        name: str

    adapter: Any = pydantic.TypeAdapter(Other | model)
    read = adapter.validate_json(text)
    assert type(read) is model
    assert type(adapter.validate_json('{"name": "x"}')) is Other
    assert from_json(adapter.dump_json(read)) == from_json(text)


def test_subclass(model: Model, text: str) -> None:
    class Timed(model):
        seconds: float = 1.5

        @pydantic.computed_field
        @property
        def count(self) -> int:
            return len(self.actual_inputs)

    for read in (
        Timed.model_validate_json(text),
        Timed.model_validate(json.loads(text)),
        copy.deepcopy(Timed.model_validate_json(text)),
    ):
        assert type(read) is Timed
        dumped = from_json(read.model_dump_json())
        assert dumped.pop("seconds") == 1.5
        assert dumped.pop("count") == 5
        assert dumped == from_json(text)
        assert read.model_fields_set == set(FIELDS)
    longer = Timed.model_validate_json(text[:-1] + ',"seconds":2}')
    assert longer.seconds == 2.0
    assert longer != Timed.model_validate_json(text)


# Transfer to a repository


def test_collect_and_transfer(
    butler_class: type[QuantumBackedButler], model: Model, new_repository: NewRepository
) -> None:
    repository = new_repository(registry=True)
    inputs = repository.stored["measured"][:2]
    outputs = [*repository.predicted["derived"][:2], *repository.predicted["parts_out"][:2]]
    quanta = [repository.quantum(inputs, [output]) for output in outputs]
    collected = []
    for number, (quantum, output) in enumerate(zip(quanta, outputs, strict=True)):
        with repository.butler(butler_class, quantum) as butler:
            butler.stored_many(inputs)
            if number != 1:  # which fails
                butler.put(example_metrics(number) if number > 1 else {"a": number}, output)
            collected.append(butler.extract_provenance_data())
    collected[2] = model.model_validate_json(collected[2].model_dump_json())
    collected[3] = Stock.model_validate_json(collected[3].model_dump_json())
    with repository.open() as full:
        model.collect_and_transfer(full, iter(quanta), iter(collected))
        assert full.get(outputs[0]) == {"a": 0}
        assert full.get_dataset(outputs[1].id) is None
        assert full.get(outputs[2]) == example_metrics(2)
        assert full.get(outputs[3]) == example_metrics(3)
        with pytest.raises(ValueError, match="zip"):
            model.collect_and_transfer(full, quanta, collected[:1])
