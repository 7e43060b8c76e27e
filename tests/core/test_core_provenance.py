"""`Provenance` of the kernel against upstream's pydantic model."""

from __future__ import annotations

__all__ = ()

import copy
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.daf.butler import QuantumProvenanceData
from lsst.daf.butler.datastore.record_data import DatastoreRecordData, SerializedDatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

from case_names import name_of
from quantum_butler._core import FileRecords, Locations, Provenance, Table, Tracker

ID_FIELDS = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs", "actual_outputs")

A = uuid.UUID("0199f8a1-6f0e-7d3a-9a55-0123456789ab")
B = uuid.UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")
NIL = uuid.UUID(int=0)
CLASS = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"
TABLE = "file_datastore_records"
STORE = "FileDatastore@<butlerRoot>"
ROW = {
    "formatter": "lsst.daf.butler.formatters.json.JsonFormatter",
    "path": "run/a/a_1.json#part",
    "storage_class": "StructuredDataDict",
    "component": "__NULL_STRING__",
    "checksum": str(A),
    "file_size": 1234,
    "nothing": None,
}
AWKWARD = "".join(map(chr, range(0x180))) + '"\\/\u2028\u2029\ufeff\uffff\U00010000\U0001f600\U0010ffff'


def fields(**changes: Any) -> dict[str, Any]:
    """Fields of an ordinary model, in their JSON form."""
    result: dict[str, Any] = {
        "predicted_inputs": [str(A)],
        "available_inputs": [str(A)],
        "actual_inputs": [],
        "predicted_outputs": [str(B)],
        "actual_outputs": [str(B)],
        "datastore_records": {
            STORE: {"dataset_ids": [str(B)], "records": {CLASS: {B.hex: {TABLE: [dict(ROW)]}}}}
        },
    }
    return result | changes


def with_rows(*rows: Any) -> dict[str, Any]:
    return fields(
        datastore_records={STORE: {"dataset_ids": [], "records": {CLASS: {B.hex: {TABLE: list(rows)}}}}}
    )


MODELS: dict[str, dict[str, Any]] = {
    "ordinary": fields(),
    "empty": {name: [] for name in ID_FIELDS} | {"datastore_records": {}},
    "nil id": fields(predicted_inputs=[str(NIL)]),
    "stock answer without outputs": fields(datastore_records={STORE: {"dataset_ids": [], "records": {}}}),
    "empty levels": fields(
        datastore_records={
            "": {"dataset_ids": [], "records": {"": {}, "b": {"": {}}, "c": {B.hex: {"": []}}}},
            "d": {"dataset_ids": [], "records": {"c": {"k": {"t": [{}, {"": ""}, {}]}}}},
        }
    ),
    "list of ids keeps order": fields(
        datastore_records={STORE: {"dataset_ids": [str(B), str(A), str(B)], "records": {}}}
    ),
    "awkward text": fields(
        datastore_records={
            AWKWARD: {"dataset_ids": [], "records": {AWKWARD: {AWKWARD: {AWKWARD: [{AWKWARD: AWKWARD}]}}}}
        }
    ),
    "each awkward character": with_rows(*({"c": character} for character in AWKWARD)),
    "numbers": with_rows(*({"n": n} for n in (0, -1, 2**63 - 1, -(2**63), 10**18))),
    "different columns": with_rows({"a": 1, "b": 2}, {"b": 1, "a": 2}, {"a": "1"}, {}, {"a": 1, "b": None}),
    "text like numbers": with_rows({"a": "1", "b": "true", "c": "null", "d": "", "e": A.hex}),
    "keys that are no ids": fields(
        datastore_records={
            STORE: {"dataset_ids": [], "records": {"c": {B.hex.upper(): {}, str(B): {}, "x": {}, B.hex: {}}}}
        }
    ),
}


def validated(document: Mapping[str, Any]) -> QuantumProvenanceData:
    return QuantumProvenanceData.model_validate_json(json.dumps(document))


def normal(text: str) -> str:
    """JSON with the five sets sorted."""
    document = json.loads(text)
    for name in ID_FIELDS:
        document[name].sort()
    return json.dumps(document)


def to_model(provenance: Provenance) -> QuantumProvenanceData:
    """Make the stock model of what `Provenance` hands over to Python."""
    return QuantumProvenanceData(
        **{name: provenance.ids(name) for name in ID_FIELDS},
        datastore_records={
            name: SerializedDatastoreRecordData(dataset_ids=ids, records=records)
            for name, (ids, records) in provenance.datastore_records().items()
        },
    )


@pytest.mark.parametrize("document", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("indent", [None, 0, 1, 2, 4])
def test_json_is_that_of_pydantic(document: dict[str, Any], indent: int | None) -> None:
    stock = validated(document)
    provenance = Provenance.from_fields(stock.__dict__)
    assert provenance is not None
    assert all(len(getattr(stock, name)) < 2 for name in ID_FIELDS)
    assert provenance.to_json(indent) == stock.model_dump_json(indent=indent)
    assert provenance == Provenance.from_json(stock.model_dump_json(indent=indent))


@pytest.mark.parametrize("document", MODELS.values(), ids=MODELS)
def test_python_values_are_those_of_pydantic(document: dict[str, Any]) -> None:
    stock = validated(document)
    provenance = Provenance.from_json(json.dumps(document))
    assert provenance is not None
    assert to_model(provenance) == stock
    for name in ID_FIELDS:
        assert all(type(id) is uuid.UUID for id in provenance.ids(name))
    for name, (ids, records) in provenance.datastore_records().items():
        assert [type(id) for id in ids] == [uuid.UUID] * len(ids)
        assert json.dumps(records) == json.dumps(stock.datastore_records[name].records)


def test_sets_are_written_sorted() -> None:
    many = [uuid.uuid4() for _ in range(100)]
    stock = validated(fields(predicted_inputs=[str(id) for id in many * 2]))
    provenance = Provenance.from_fields(stock.__dict__)
    assert provenance is not None
    written = provenance.to_json()
    assert normal(written) == normal(stock.model_dump_json())
    assert json.loads(written)["predicted_inputs"] == sorted(map(str, many))
    assert QuantumProvenanceData.model_validate_json(written) == stock
    assert provenance.ids("predicted_inputs") == set(many)


def test_large_documents() -> None:
    """Long enough that the interpreter is released."""
    ids = sorted((uuid.uuid4() for _ in range(5000)), key=str)
    rows = {id.hex: {TABLE: [ROW | {"path": f"{id}.json", "file_size": n}]} for n, id in enumerate(ids)}
    document = fields(
        predicted_outputs=[str(id) for id in ids],
        datastore_records={STORE: {"dataset_ids": [str(id) for id in ids], "records": {CLASS: rows}}},
    )
    text = json.dumps(document, separators=(",", ":"))
    provenance = Provenance.from_json(text)
    assert provenance is not None
    assert provenance.to_json() == text
    turned = text.replace('"dataset_ids"', '"dataset_ids" ')
    assert provenance == Provenance.from_json(bytearray(turned.encode()))
    shuffled = dict(reversed(rows.items()))
    document["datastore_records"][STORE]["records"][CLASS] = shuffled
    assert provenance == Provenance.from_json(json.dumps(document))
    assert provenance == Provenance.from_fields(to_model(provenance).__dict__)


def changed(path: tuple[str | int, ...], value: Any) -> str:
    """Replace one value of the ordinary document; `Raw` is JSON text."""
    document = copy.deepcopy(fields())
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    raw = isinstance(value, Raw)
    place[path[-1]] = "@@" if raw else value
    text = json.dumps(document)
    return text.replace('"@@"', value) if raw else text


class Raw(str):
    """Text that stands in the JSON as it is."""


RECORDS_PATH = ("datastore_records", STORE, "records")
ROWS_PATH = (*RECORDS_PATH, CLASS, B.hex, TABLE)
SIZE_PATH = (*ROWS_PATH, 0, "file_size")
TEXT = json.dumps(fields())


def repeated(key: str, value: str, place: str | None = None) -> str:
    """Put another ``"key": value`` before ``place`` in the ordinary document."""
    place = place or f'"{key}":'
    assert place in TEXT
    return TEXT.replace(place, f'"{key}":{value},{place}', 1)


# Whether they are plain, and the documents.
CORPUS: dict[str, tuple[bool, str | bytes]] = {
    "ordinary": (True, TEXT),
    "bytes": (True, TEXT.encode()),
    "white space": (True, " \t\r\n" + json.dumps(fields(), indent=3, separators=(" ,\r\n", "\t: ")) + "\n"),
    "keys in another order": (True, json.dumps(dict(reversed(fields().items())))),
    "upper case ids": (True, TEXT.replace(str(A), str(A).upper())),
    "repeated ids": (True, json.dumps(fields(predicted_inputs=[str(A), str(B), str(A)]))),
    "ascii escapes": (True, json.dumps(with_rows({"a": AWKWARD}))),
    "utf-8": (True, json.dumps(with_rows({"a": AWKWARD}), ensure_ascii=False).encode()),
    "escaped slash": (True, changed((*ROWS_PATH, 0, "path"), Raw(r'"a\/b"'))),
    "escaped key": (True, TEXT.replace('"actual_inputs"', r'"\u0061ctual_inputs"')),
    "zero": (True, changed(SIZE_PATH, 0)),
    "largest": (True, changed(SIZE_PATH, 2**63 - 1)),
    "smallest": (True, changed(SIZE_PATH, -(2**63))),
    "string that looks like an id": (True, changed(SIZE_PATH, str(A))),
    "null byte": (True, changed(SIZE_PATH, "\0")),
    "nothing": (False, ""),
    "white space only": (False, " \n"),
    "truncated": (False, TEXT[:-1]),
    "truncated in a string": (False, TEXT[: TEXT.index("JsonFormatter")]),
    "truncated in an id": (False, TEXT[:40]),
    "trailing garbage": (False, TEXT + "x"),
    "trailing bracket": (False, TEXT + "}"),
    "two documents": (False, TEXT + TEXT),
    "trailing comma": (False, TEXT[:-1] + ",}"),
    "trailing comma in a list": (False, changed(("actual_inputs",), Raw(f'["{A}",]'))),
    "missing comma": (False, changed(("actual_inputs",), Raw(f'["{A}" "{B}"]'))),
    "byte order mark": (False, "\ufeff" + TEXT),
    "byte order mark in bytes": (False, b"\xef\xbb\xbf" + TEXT.encode()),
    "utf-16": (False, TEXT.encode("utf-16")),
    "form feed": (False, "\f" + TEXT),
    "no-break space": (False, "\xa0" + TEXT),
    "comment": (False, TEXT.replace(",", ", /* inputs */", 1)),
    "single quotes": (False, TEXT.replace('"', "'")),
    "a list": (False, f"[{TEXT}]"),
    "null": (False, "null"),
    "a string": (False, json.dumps(TEXT)),
    "empty object": (False, "{}"),
    "extra key": (False, TEXT[:-1] + ',"extra":1}'),
    "extra key of records": (False, changed(("datastore_records", STORE, "extra"), 1)),
    "missing ids": (False, json.dumps({k: v for k, v in fields().items() if k != "actual_inputs"})),
    "missing records": (False, json.dumps({k: v for k, v in fields().items() if k != "datastore_records"})),
    "missing dataset_ids": (False, changed(("datastore_records", STORE), {"records": {}})),
    "missing nested records": (False, changed(("datastore_records", STORE), {"dataset_ids": []})),
    "repeated field": (False, repeated("actual_inputs", f'["{A}"]')),
    "repeated field, escaped": (False, repeated(r"actual\u005finputs", "[]", '"actual_inputs":')),
    "repeated datastore_records": (False, repeated("datastore_records", "{}")),
    "repeated datastore": (False, repeated(STORE, '{"dataset_ids":[],"records":{}}')),
    "repeated dataset_ids": (False, repeated("dataset_ids", "[]")),
    "repeated nested records": (False, repeated("records", "{}")),
    "repeated class": (False, repeated(CLASS, "{}")),
    "repeated dataset": (False, repeated(B.hex, "{}")),
    "repeated table": (False, repeated(TABLE, "[]")),
    "repeated column": (False, repeated("file_size", "1")),
    "id with braces": (False, TEXT.replace(str(A), f"{{{A}}}")),
    "id as urn": (False, TEXT.replace(str(A), A.urn)),
    "id without hyphens": (False, TEXT.replace(str(A), A.hex)),
    "id with an escape": (False, TEXT.replace(f'"{A}"', f'"\\u0030{str(A)[1:]}"')),
    "id with a space": (False, TEXT.replace(f'"{A}"', f'" {A}"')),
    "id with a wrong digit": (False, TEXT.replace(f'"{A}"', f'"g{str(A)[1:]}"')),
    "id with hyphens elsewhere": (False, TEXT.replace(f'"{A}"', '"' + "0-" * 18 + '"')),
    "id too short": (False, TEXT.replace(f'"{A}"', f'"{str(A)[1:]}"')),
    "id too long": (False, TEXT.replace(f'"{A}"', f'"{A}0"')),
    "id of other letters": (False, TEXT.replace(f'"{A}"', f'"é{str(A)[1:]}"')),
    "id as number": (False, changed(("actual_inputs",), [1])),
    "id null": (False, changed(("actual_inputs",), [None])),
    "ids null": (False, changed(("actual_inputs",), None)),
    "ids as object": (False, changed(("actual_inputs",), {str(A): 1})),
    "ids as text": (False, changed(("actual_inputs",), str(A))),
    "records as list": (False, changed(("datastore_records",), [])),
    "nested records null": (False, changed(RECORDS_PATH, None)),
    "rows as object": (False, changed(ROWS_PATH, {})),
    "row as list": (False, changed(ROWS_PATH, [[]])),
    "row null": (False, changed(ROWS_PATH, [None])),
    "value as list": (False, changed(SIZE_PATH, [])),
    "value as object": (False, changed(SIZE_PATH, {})),
    "true": (False, changed(SIZE_PATH, True)),
    "false": (False, changed(SIZE_PATH, False)),
    "whole float": (False, changed(SIZE_PATH, Raw("1.0"))),
    "float": (False, changed(SIZE_PATH, 1.5)),
    "exponent": (False, changed(SIZE_PATH, Raw("1e2"))),
    "minus zero": (False, changed(SIZE_PATH, Raw("-0"))),
    "leading zero": (False, changed(SIZE_PATH, Raw("01"))),
    "plus": (False, changed(SIZE_PATH, Raw("+1"))),
    "hexadecimal": (False, changed(SIZE_PATH, Raw("0x1"))),
    "NaN": (False, changed(SIZE_PATH, Raw("NaN"))),
    "Infinity": (False, changed(SIZE_PATH, Raw("Infinity"))),
    "minus Infinity": (False, changed(SIZE_PATH, Raw("-Infinity"))),
    "one too large": (False, changed(SIZE_PATH, 2**63)),
    "one too small": (False, changed(SIZE_PATH, -(2**63) - 1)),
    "huge number": (False, changed(SIZE_PATH, Raw("9" * 4000))),
    "very huge number": (False, changed(SIZE_PATH, Raw("9" * 10_000))),
    "invalid utf-8": (False, TEXT.encode().replace(b"JsonFormatter", b"\xff")),
    "overlong utf-8": (False, TEXT.encode().replace(b"JsonFormatter", b"\xc0\xaf")),
    "surrogate in utf-8": (False, TEXT.encode().replace(b"JsonFormatter", b"\xed\xa0\x80")),
    "truncated utf-8": (False, TEXT.encode().replace(b"JsonFormatter", b"\xf0\x9f\x98")),
    "surrogate in text": (False, TEXT.replace("JsonFormatter", "\ud800")),
    "lone high surrogate": (False, changed(SIZE_PATH, Raw(r'"\ud800"'))),
    "lone low surrogate": (False, changed(SIZE_PATH, Raw(r'"\udc00"'))),
    "two high surrogates": (False, changed(SIZE_PATH, Raw(r'"\ud800\ud800"'))),
    "surrogates reversed": (False, changed(SIZE_PATH, Raw(r'"\udc00\ud800"'))),
    "control character": (False, TEXT.replace("JsonFormatter", "\x1f")),
    "line break in a string": (False, TEXT.replace("JsonFormatter", "\n")),
    "unknown escape": (False, TEXT.replace("JsonFormatter", r"\x41")),
    "short escape": (False, TEXT.replace("JsonFormatter", r"\u41")),
    "10,000 lists": (False, "[" * 10_000 + "]" * 10_000),
    "10,000 objects": (False, '{"a":' * 10_000 + "1" + "}" * 10_000),
    "10,000 lists of ids": (False, changed(("actual_inputs",), Raw("[" * 10_000 + "]" * 10_000))),
    "10,000 objects in a row": (False, changed(SIZE_PATH, Raw('{"a":' * 10_000 + "1" + "}" * 10_000))),
    "10,000 lists unclosed": (False, '{"predicted_inputs":' + "[" * 10_000),
}


def check_against_pydantic(data: str | bytes) -> bool:
    """Compare the answers; say whether the document was plain."""
    provenance = Provenance.from_json(data)
    if provenance is None:
        return False
    stock = QuantumProvenanceData.model_validate_json(data)
    assert to_model(provenance) == stock
    assert normal(provenance.to_json()) == normal(stock.model_dump_json())
    assert Provenance.from_fields(stock.__dict__) == provenance
    return True


@pytest.mark.parametrize(("plain", "data"), CORPUS.values(), ids=CORPUS)
def test_corpus(plain: bool, data: str | bytes) -> None:
    assert check_against_pydantic(data) is plain


@pytest.mark.parametrize(
    "data", [None, 1, [], memoryview(TEXT.encode()), type("S", (str,), {})(TEXT), Provenance], ids=name_of
)
def test_other_types_are_not_plain(data: Any) -> None:
    assert Provenance.from_json(data) is None


def test_every_truncation_and_every_changed_byte_agrees() -> None:
    data = json.dumps(with_rows({"a": "é\\\U0001f600", "b": -12, "c": None})).encode()
    accepted = 0
    for at in range(len(data)):
        assert Provenance.from_json(data[:at]) is None
        for byte in b'"\\{}[],: 0-ae\x00\x7f\xff':
            accepted += check_against_pydantic(data[:at] + bytes([byte]) + data[at + 1 :])
    assert accepted > 100


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["__NULL_STRING__", A.hex, B.hex, str(A), "", AWKWARD]),
    st.uuids().map(lambda id: id.hex),
)
ids = st.lists(st.one_of(st.uuids(), st.sampled_from([A, B, NIL])).map(str), max_size=4)
values = st.one_of(st.none(), texts, st.integers(-(2**63), 2**63 - 1))
odd_values = st.one_of(values, st.booleans(), st.floats(), st.integers(), st.lists(values, max_size=1))


def documents(value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    rows = st.lists(st.dictionaries(texts, value, max_size=3), max_size=3)
    tables = st.dictionaries(texts, rows, max_size=2)
    classes = st.dictionaries(texts, st.dictionaries(texts, tables, max_size=3), max_size=2)
    datastores = st.fixed_dictionaries({"dataset_ids": ids, "records": classes})
    return st.fixed_dictionaries(
        {name: ids for name in ID_FIELDS}
        | {"datastore_records": st.dictionaries(texts, datastores, max_size=2)}
    )


@settings(max_examples=300, deadline=None)
@given(documents(values), st.booleans(), st.sampled_from([None, 0, 2]))
def test_generated_documents_are_plain(document: dict[str, Any], ascii: bool, indent: int | None) -> None:
    assert check_against_pydantic(json.dumps(document, ensure_ascii=ascii, indent=indent))
    stock = validated(document)
    provenance = Provenance.from_fields(stock.__dict__)
    assert provenance is not None
    ours, theirs = provenance.to_json(indent), stock.model_dump_json(indent=indent)
    assert normal(ours) == normal(theirs)
    assert len(ours) == len(theirs)


@settings(max_examples=300, deadline=None)
@given(documents(odd_values), st.data())
def test_odd_documents_agree(document: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(document)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 50, len(text))))
    piece = data.draw(st.sampled_from(["", '"', "}", "]", ",", "\\", "1", " ", text[end : end + 40]]))
    check_against_pydantic(text[:start] + piece + text[end:])


@settings(max_examples=200, deadline=None)
@given(documents(values), documents(values))
def test_equality_is_that_of_the_models(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (Provenance.from_json(json.dumps(document)) for document in (one, other))
    assert (first == second) is (validated(one) == validated(other))
    assert first == Provenance.from_json(json.dumps(one, sort_keys=True))
    assert first != validated(one)


class OtherUUID(uuid.UUID):
    """Not exactly a `uuid.UUID`."""


def records(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"dataset_ids": [B], "records": {CLASS: {B.hex: {TABLE: [ROW]}}}} | changes))


def in_row(value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda _: {STORE: records(records={CLASS: {B.hex: {TABLE: [{"a": value}]}}})}


NOT_FROM_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "list of ids": ("actual_inputs", list),
    "ids as text": ("actual_inputs", lambda _: {str(A)}),
    "integer ids": ("actual_inputs", lambda _: {A, 1}),
    "subclass of uuid.UUID": ("actual_inputs", lambda _: {OtherUUID(int=1)}),
    "subclass of set": ("actual_inputs", type("Ids", (set,), {})),
    "None": ("actual_inputs", lambda _: None),
    "set of listed ids": ("datastore_records", lambda _: {STORE: records(dataset_ids={B})}),
    "tuple of listed ids": ("datastore_records", lambda _: {STORE: records(dataset_ids=(B,))}),
    "no listed ids": ("datastore_records", lambda _: {STORE: SimpleNamespace(records={})}),
    "no records": ("datastore_records", lambda _: {STORE: SimpleNamespace(dataset_ids=[])}),
    "records as dict": ("datastore_records", lambda _: {STORE: {"dataset_ids": [], "records": {}}}),
    "other mapping": ("datastore_records", lambda all: MappingProxyType(all)),
    "other mapping inside": ("datastore_records", lambda _: {STORE: records(records=OrderedDict())}),
    "name no text": ("datastore_records", lambda _: {1: records()}),
    "name with a surrogate": ("datastore_records", lambda _: {"\ud800": records()}),
    "class no text": ("datastore_records", lambda _: {STORE: records(records={None: {}})}),
    "key no text": ("datastore_records", lambda _: {STORE: records(records={CLASS: {B: {}}})}),
    "tuple of rows": ("datastore_records", lambda _: {STORE: records(records={CLASS: {"k": {"t": ()}}})}),
    "row no mapping": ("datastore_records", lambda _: {STORE: records(records={CLASS: {"k": {"t": [1]}}})}),
    "bool": ("datastore_records", in_row(True)),
    "float": ("datastore_records", in_row(1.0)),
    "large integer": ("datastore_records", in_row(2**63)),
    "bytes": ("datastore_records", in_row(b"a")),
    "UUID": ("datastore_records", in_row(A)),
    "lone surrogate": ("datastore_records", in_row("\udc00")),
    "subclass of str": ("datastore_records", in_row(type("S", (str,), {})("a"))),
    "subclass of int": ("datastore_records", in_row(type("I", (int,), {})(1))),
}


@pytest.mark.parametrize(("field", "change"), NOT_FROM_FIELDS.values(), ids=NOT_FROM_FIELDS)
def test_fields_of_other_types(field: str, change: Callable[[Any], Any]) -> None:
    good = dict(validated(fields()).__dict__)
    assert Provenance.from_fields(good) is not None
    assert Provenance.from_fields(good | {field: change(good[field])}) is None


def test_fields_are_all_there_and_no_more() -> None:
    good = dict(validated(fields()).__dict__)
    for name in good:
        assert Provenance.from_fields({k: v for k, v in good.items() if k != name}) is None
        assert Provenance.from_fields({k if k != name else "other": v for k, v in good.items()}) is None
    assert Provenance.from_fields(good | {"other": 1}) is None
    assert Provenance.from_fields(list(good.items())) is None  # type: ignore[arg-type]
    frozen = good | {"actual_inputs": frozenset([A])}
    provenance = Provenance.from_fields(frozen)
    assert provenance is not None and provenance.ids("actual_inputs") == {A}


def test_an_attribute_that_fails_is_an_error() -> None:
    class Failing:
        @property
        def dataset_ids(self) -> list[uuid.UUID]:
            raise OSError("not now")

    good = dict(validated(fields()).__dict__)
    with pytest.raises(OSError, match="not now"):
        Provenance.from_fields(good | {"datastore_records": {STORE: Failing()}})


def test_what_is_handed_over_is_a_copy() -> None:
    provenance = Provenance.from_json(TEXT)
    assert provenance is not None
    provenance.ids("predicted_inputs").clear()
    provenance.datastore_records()[STORE][0].clear()
    provenance.datastore_records()[STORE][1].clear()
    assert to_model(provenance) == validated(fields())


def test_unknown_field() -> None:
    provenance = Provenance.from_json(TEXT)
    assert provenance is not None
    with pytest.raises(KeyError, match="datastore_records"):
        provenance.ids("datastore_records")


def test_equality_with_other_things() -> None:
    provenance = Provenance.from_json(TEXT)
    assert provenance != TEXT
    assert provenance != None  # noqa: E711
    with pytest.raises(TypeError, match="unhashable"):
        hash(provenance)


def test_indent_is_refused_as_pydantic_does() -> None:
    provenance = Provenance.from_json(TEXT)
    assert provenance is not None
    stock = validated(fields())
    for indent in (-1, "2", 1.5):
        with pytest.raises((OverflowError, TypeError)) as theirs:
            stock.model_dump_json(indent=indent)  # type: ignore[arg-type]
        with pytest.raises(theirs.type):
            provenance.to_json(indent)  # type: ignore[arg-type]


def file_info(path: str, component: str | None = None, checksum: str | None = None) -> StoredFileInfo:
    return StoredFileInfo(
        "lsst.daf.butler.formatters.json.JsonFormatter",
        path,
        None,
        component,
        checksum,
        -1 if component else 10,
        storage_class_name="StructuredDataDict",
    )


def file_records(datastore: str) -> tuple[FileRecords, Locations]:
    text = ("path", "formatter", "storage_class", "component")
    columns = [("dataset_id", "guid", False), *((name, "text", False) for name in text)]
    columns += [("checksum", "text", True), ("file_size", "integer", True)]
    locations = Locations(datastore)
    table = Table(TABLE, columns, ["dataset_id", "component"])
    return FileRecords(table, locations, StoredFileInfo), locations


def stock_answer(
    tracker: Tracker,
    outputs: set[uuid.UUID],
    stores: dict[str, dict[uuid.UUID, list[StoredFileInfo]]],
) -> QuantumProvenanceData:
    """Make the stock model as upstream's butler does of the same state."""
    return QuantumProvenanceData(
        **{name: set(tracker.view(name)) for name in ID_FIELDS[:4]},  # type: ignore[arg-type]
        actual_outputs=outputs,
        datastore_records={
            store: DatastoreRecordData({id: {TABLE: [*infos]} for id, infos in records.items()}).to_simple()
            for store, records in stores.items()
        },
    )


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_extract(count: int) -> None:
    inputs, outputs = ([uuid.uuid4() for _ in range(count)] for _ in range(2))
    tracker = Tracker(inputs, outputs)
    for id in inputs[::2]:
        tracker.note_read(id)
    tracker.note_existence({id: True for id in inputs[::3]})
    first, first_locations = file_records(STORE)
    second, _ = file_records("second")
    empty, _ = file_records("empty")
    single = {id: [file_info(f"run/{id}.json", checksum=str(id))] for id in sorted(outputs[1:])}
    for id, infos in single.items():
        first.add([id], infos)
    # Components in another order than theirs; one dataset of somebody else.
    parts = {id: [file_info(f"run/{id}_{name}.json", name) for name in "ab"] for id in sorted(outputs[:2])}
    for id, infos in parts.items():
        second.add([id, id], infos[::-1])
    second.add([NIL], [file_info("nil.json")])
    # A dataset in the trash keeps its records for a while.
    if trashed := outputs[2:3]:
        first_locations.move_to_trash(trashed)
        del single[trashed[0]]
    provenance = Provenance.extract(tracker, outputs, [(STORE, first), ("second", second), ("empty", empty)])
    expected = stock_answer(tracker, set(outputs), {STORE: single, "second": parts, "empty": {}})
    assert to_model(provenance) == expected
    assert normal(provenance.to_json()) == normal(expected.model_dump_json())
    assert Provenance.from_fields(expected.__dict__) == provenance
    if count == 0:
        assert provenance.datastore_records() == {name: ([], {}) for name in (STORE, "second", "empty")}


def test_extract_takes_refs_and_no_datastores() -> None:
    refs = [SimpleNamespace(id=A), SimpleNamespace(id=B)]
    provenance = Provenance.extract(Tracker([], [A]), refs, [])
    assert provenance.ids("actual_outputs") == {A, B}
    assert provenance.ids("predicted_outputs") == {A}
    assert provenance.datastore_records() == {}


def test_extract_is_a_snapshot() -> None:
    tracker = Tracker([A], [])
    provenance = Provenance.extract(tracker, [], [])
    tracker.note_read(A)
    assert provenance.ids("actual_inputs") == set()


def test_extract_needs_uuids() -> None:
    with pytest.raises(ValueError, match="predicted_inputs holds the integer 12"):
        Provenance.extract(Tracker([A, 12], []), [], [])
    with pytest.raises(ValueError, match="predicted_outputs holds the integer 12"):
        Provenance.extract(Tracker([], [12]), [], [])
    with pytest.raises(ValueError, match="actual_outputs holds the integer 12"):
        Provenance.extract(Tracker([], []), [SimpleNamespace(id=12)], [])


def test_extract_refuses_a_datastore_given_twice() -> None:
    records, _ = file_records(STORE)
    with pytest.raises(ValueError, match="FileDatastore"):
        Provenance.extract(Tracker([], []), [], [(STORE, records), (STORE, records)])


def test_what_pydantic_refuses_is_refused() -> None:
    """The corpus has both kinds, or it would prove nothing."""
    refused = 0
    for plain, data in CORPUS.values():
        try:
            QuantumProvenanceData.model_validate_json(data)
        except (pydantic.ValidationError, UnicodeError):
            refused += 1
            assert not plain
    assert 50 < refused < len(CORPUS) - 20
