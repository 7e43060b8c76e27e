"""Managers of opaque tables, and the tables: upstream's and ours, held to the same assertions."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.time
import pytest
import sqlalchemy
from lsst.daf.butler import QuantumBackedButler, ddl
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.interfaces import OpaqueTableStorage
from lsst.sphgeom import Angle, Box, Circle, LonLat, UnitVector3d
from pairs import IDS, REFS, MakeManagers, Managers, Row, in_order, numbers, record, rows_of

from case_names import name_of
from repositories import NewRepository

# Managers


def test_unknown_table(managers: Managers) -> None:
    assert managers.opaque.get("nothing") is None
    with pytest.raises(LookupError, match="No logical table with name 'nothing' found"):
        managers.opaque["nothing"]


def test_register_twice_gives_the_same_rows(managers: Managers) -> None:
    first = managers.opaque.register("records", FileDatastore.makeTableSpec())
    first.insert(record(1))
    second = managers.opaque.register("records", FileDatastore.makeTableSpec())
    assert second.name == "records"
    assert rows_of(second) == [record(1)]
    second.insert(record(2))
    assert rows_of(first) == rows_of(managers.opaque["records"]) == [record(1), record(2)]


def test_tables_are_separate(managers: Managers) -> None:
    one = managers.opaque.register("one", FileDatastore.makeTableSpec())
    other = managers.opaque.register("an other; one", FileDatastore.makeTableSpec())
    one.insert(record(1))
    assert rows_of(other) == []


def test_clone_of_managers_sees_the_same_data(managers: Managers, table: OpaqueTableStorage) -> None:
    bridge = managers.bridges.register("D")
    table.insert(record(1))
    bridge.insert(REFS[:2])
    opaque = managers.opaque.clone(managers.database)
    bridges = managers.bridges.clone(db=managers.database, opaque=opaque)
    assert type(opaque) is type(managers.opaque)
    assert type(bridges) is type(managers.bridges)
    assert bridges.opaque is opaque
    assert bridges.universe is managers.bridges.universe
    assert rows_of(opaque["file_records"]) == [record(1)]
    assert bridges.register("D").check(IDS) == set(IDS[:2])
    opaque.register("later", FileDatastore.makeTableSpec()).insert(record(2))
    assert rows_of(managers.opaque["later"]) == [record(2)]


def test_versions(managers: Managers) -> None:
    for manager in (managers.opaque, managers.bridges):
        assert manager.currentVersions()
        assert manager.newSchemaVersion() in manager.currentVersions()
    managers.bridges.refresh()


def test_managers_are_separate(make_managers: MakeManagers) -> None:
    with make_managers("ours") as one, make_managers("ours") as other:
        one.opaque.register("t", FileDatastore.makeTableSpec()).insert(record(1))
        one.bridges.register("D").insert(REFS[:1])
        assert other.opaque.get("t") is None
        assert other.bridges.register("D").check(IDS) == set()


def test_ours_in_the_stock_butler(make_managers: MakeManagers, new_repository: NewRepository) -> None:
    with make_managers("ours") as ours:
        opaque, bridges = type(ours.opaque), type(ours.bridges)
    options: dict[str, Any] = {"OpaqueManagerClass": opaque, "BridgeManagerClass": bridges}
    answers: list[tuple[Any, ...]] = []
    for extra in ({}, options):
        repository = new_repository()
        refs = [*repository.stored["measured"], *repository.stored["parts"], *repository.stored["zipped"]]
        outputs = [*repository.predicted["derived"], *repository.predicted["parts_out"]]
        with repository.butler(QuantumBackedButler, inputs=refs, outputs=outputs, **extra) as butler:
            got = [butler.get(ref) for ref in refs]
            for ref in outputs:
                value = repository.values[repository.stored["parts"][0].id]
                butler.put(value if ref.datasetType.name == "parts_out" else {"a": 1}, ref)
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                butler.put({"a": 2}, outputs[0])
            butler.pruneDatasets(outputs[1:3], disassociate=True, unstore=True, purge=True)
            butler.pruneDatasets(refs[-2:], disassociate=False, unstore=True)
            records = butler._datastore.export_records([*refs, *outputs])
            answers.append((got, butler.stored_many([*refs, *outputs]), records))
        answers[-1] = (*answers[-1], repository.artifacts())
    assert answers[0] == answers[1]


# Insert, ensure, replace


def test_insert(table: OpaqueTableStorage) -> None:
    table.insert()
    assert rows_of(table) == []
    table.insert(record(3), record(1), record(1, "x", "summary"))
    assert rows_of(table) == [record(3), record(1), record(1, "x", "summary")]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([record(5), record(1, "elsewhere")], id="in the table"),
        pytest.param([record(5), record(6), record(5)], id="in one call"),
    ],
)
def test_insert_of_a_key_twice(table: OpaqueTableStorage, rows: list[Row]) -> None:
    table.insert(record(1))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        table.insert(*rows)
    assert rows_of(table) == [record(1)]
    table.insert(record(5))
    assert numbers(rows_of(table)) == [1, 5]


def test_ensure_keeps_what_there_is(table: OpaqueTableStorage) -> None:
    table.insert(record(1))
    table.ensure()
    table.ensure(record(1, "new"), record(2), record(2, "new"), record(1, "x", "summary"))
    assert rows_of(table) == [record(1), record(2), record(1, "x", "summary")]


def test_replace_overwrites_in_place(table: OpaqueTableStorage) -> None:
    table.insert(record(1), record(2, checksum="c"), record(3))
    table.replace()
    table.replace(record(2, "new", file_size=7), record(4), record(4, "newer"))
    assert rows_of(table) == [record(1), record(2, "new", file_size=7), record(3), record(4, "newer")]


def test_replace_where_every_column_is_in_the_key(managers: Managers) -> None:
    table = managers.opaque.register(
        "keys", ddl.TableSpec([ddl.FieldSpec("id", dtype=ddl.GUID, primaryKey=True)])
    )
    table.insert({"id": IDS[0]})
    table.replace({"id": IDS[0]}, {"id": IDS[1]})
    assert rows_of(table) == [{"id": IDS[0]}, {"id": IDS[1]}]


def test_missing_nullable_columns_are_null(table: OpaqueTableStorage) -> None:
    def short(row: Row) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in ("checksum", "file_size")}

    expected = record(1, checksum=None, file_size=None)
    table.insert(short(record(1)))
    assert rows_of(table) == [expected]
    table.ensure(short(record(2)))
    table.replace(short(record(1)), short(record(3)))
    assert rows_of(table, checksum=None, file_size=None) == [
        expected,
        record(2, file_size=None),
        record(3, file_size=None),
    ]


@pytest.mark.parametrize("call", ["insert", "ensure", "replace"])
@pytest.mark.parametrize("column", ["path", "dataset_id", "component"])
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "none"])
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_missing_value(table: OpaqueTableStorage, call: str, column: str, absent: bool) -> None:
    table.insert(record(1))
    bad = {**record(2), column: None}
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        getattr(table, call)(record(3), bad)
    if absent:
        del bad[column]
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        getattr(table, call)(bad)
    assert rows_of(table) == [record(1)]


@pytest.mark.parametrize("call", ["insert", "ensure", "replace"])
@pytest.mark.parametrize("component", ["", "c" * 33])
def test_short_strings_have_their_length_checked(
    table: OpaqueTableStorage, call: str, component: str
) -> None:
    # Upstream checks columns of up to 32 characters, in SQLite too.
    table.insert(record(1, component="\N{GRINNING FACE}" * 32))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        getattr(table, call)(record(2), record(3, component=component))
    assert numbers(rows_of(table)) == [1]


def test_long_strings_have_no_limit(table: OpaqueTableStorage) -> None:
    table.insert(record(1, "p" * 1000, checksum=""), record(2, "", checksum="c" * 129))
    assert [row["path"] for row in table.fetch()] == ["p" * 1000, ""]
    assert [row["checksum"] for row in table.fetch()] == ["", "c" * 129]


@pytest.mark.parametrize("call", ["insert", "ensure", "replace"])
def test_row_with_an_unknown_column(managers: Managers, table: OpaqueTableStorage, call: str) -> None:
    # Upstream says nothing and drops the value.
    row = record(1, colour="red")
    if managers.name == "stock":
        getattr(table, call)(row)
        assert rows_of(table) == [record(1)]
    else:
        with pytest.raises(KeyError, match="colour"):
            getattr(table, call)(record(2), row)
        assert rows_of(table) == []


def test_unique_columns(managers: Managers) -> None:
    fields = [
        ddl.FieldSpec("id", dtype=ddl.GUID, primaryKey=True),
        ddl.FieldSpec("a", dtype=sqlalchemy.String),
        ddl.FieldSpec("b", dtype=sqlalchemy.String),
    ]
    table = managers.opaque.register(
        "unique", ddl.TableSpec(fields, unique=[("a", "b")], indexes=[ddl.IndexSpec("a")])
    )
    rows = [
        {"id": IDS[0], "a": "x", "b": "y"},
        {"id": IDS[1], "a": "x", "b": None},
        {"id": IDS[2], "a": "x", "b": None},
    ]
    table.insert(*rows)
    same = {"id": IDS[3], "a": "x", "b": "y"}
    for change in (table.insert, table.replace):
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            change({"id": IDS[4], "a": "z", "b": "z"}, same)
    table.ensure(same)
    assert rows_of(table) == rows
    assert in_order(rows_of(table, a="x")) == in_order(rows)
    table.delete(["id"], {"id": IDS[0]})
    table.insert(same)
    assert rows_of(table) == [*rows[1:], same]


# Kinds of column

TIME = astropy.time.Time("2026-01-02T03:04:05.123456789", scale="tai")
TIME_LATER = astropy.time.Time("2026-06-02T03:04:05", scale="tai")
CIRCLE = Circle(UnitVector3d(1, 0, 0), Angle(0.1))
BOX = Box(LonLat.fromDegrees(10, 20), LonLat.fromDegrees(30, 40))

_KINDS: list[tuple[ddl.FieldSpec, list[Any]]] = [
    (ddl.FieldSpec("guid", dtype=ddl.GUID), [IDS[0], IDS[1]]),
    (ddl.FieldSpec("short", dtype=sqlalchemy.String, length=16), ["a", "\N{SNOWMAN}" * 16]),
    (ddl.FieldSpec("string", dtype=sqlalchemy.String, length=64), ["", "a\0b", str(IDS[0]), "x" * 64]),
    (ddl.FieldSpec("text", dtype=sqlalchemy.Text), ["", "é", "x" * 10_000]),
    (ddl.FieldSpec("integer", dtype=sqlalchemy.BigInteger), [0, -(2**63), 2**63 - 1, 5]),
    (ddl.FieldSpec("small", dtype=sqlalchemy.Integer), [0, -7, 5]),
    (ddl.FieldSpec("real", dtype=sqlalchemy.Float), [0.1, -1e300, float("inf"), 5e-324]),
    (ddl.FieldSpec("flag", dtype=sqlalchemy.Boolean), [True, False]),
    (ddl.FieldSpec("blob", dtype=sqlalchemy.LargeBinary), [b"", b"\0\xff", b"x" * 10_000]),
    (ddl.FieldSpec("hash", dtype=ddl.Base64Bytes, nbytes=32), [b"", b"\0\xff", bytes(range(32))]),
    (ddl.FieldSpec("time", dtype=ddl.AstropyTimeNsecTai), [TIME, TIME_LATER]),
    (ddl.FieldSpec("region", dtype=ddl.Base64Region, nbytes=2048), [CIRCLE, BOX]),
]
KINDS = {field.name: (field, values) for field, values in _KINDS}


def kind_table(managers: Managers, kind: str, **options: Any) -> OpaqueTableStorage:
    """Return a table with one column of some kind, called ``value``."""
    field = dataclasses.replace(KINDS[kind][0], name="value", **options)
    fields = [field] if field.primaryKey else [ddl.FieldSpec("id", dtype=ddl.GUID, primaryKey=True), field]
    return managers.opaque.register("kinds", ddl.TableSpec(fields))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_come_back_as_they_were(managers: Managers, kind: str) -> None:
    table = kind_table(managers, kind)
    values = [*KINDS[kind][1], None]
    rows = [{"id": dataset_id, "value": value} for dataset_id, value in zip(IDS, values, strict=False)]
    table.insert(*rows)
    assert rows_of(table) == rows
    assert [type(row["value"]) for row in table.fetch()] == [type(value) for value in values]
    table.replace(*({"id": row["id"], "value": values[0]} for row in rows))
    assert [row["value"] for row in table.fetch()] == [values[0]] * len(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_can_be_asked_for(managers: Managers, kind: str) -> None:
    table = kind_table(managers, kind)
    values = KINDS[kind][1]
    table.insert(*({"id": i, "value": value} for i, value in zip(IDS, values, strict=False)))
    table.insert({"id": IDS[30]})
    for number, value in enumerate(values):
        assert rows_of(table, value=value) == [{"id": IDS[number], "value": value}]
    assert rows_of(table, value=None) == [{"id": IDS[30], "value": None}]
    if kind not in ("time", "region"):  # upstream sorts what it is given
        assert [row["id"] for row in table.fetch(value=values)] == IDS[: len(values)]
        assert rows_of(table, value=values[:1]) == [{"id": IDS[0], "value": values[0]}]
    if kind != "region":  # upstream puts them in a set
        table.delete(["value"], *({"value": value} for value in values[1:]))
        assert [row["id"] for row in table.fetch()] == [IDS[0], IDS[30]]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_may_not_be_null(managers: Managers, kind: str) -> None:
    table = kind_table(managers, kind, nullable=False)
    value = KINDS[kind][1][0]
    table.insert({"id": IDS[0], "value": value})
    for row in ({"id": IDS[1], "value": None}, {"id": IDS[1]}):
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            table.insert(row)
    assert rows_of(table) == [{"id": IDS[0], "value": value}]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_as_key(managers: Managers, kind: str) -> None:
    table = kind_table(managers, kind, primaryKey=True)
    values = KINDS[kind][1]
    table.insert(*({"value": value} for value in values))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        table.insert({"value": values[-1]})
    table.ensure({"value": values[0]})
    found = [row["value"] for row in table.fetch()]
    assert len(found) == len(values)
    assert all(value in found for value in values)
    assert rows_of(table, value=values[0]) == [{"value": values[0]}]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("guid", IDS[3].int, IDS[3]),
        ("guid", IDS[3].hex, IDS[3]),
        ("guid", str(IDS[3]), IDS[3]),
        ("guid", IDS[3].bytes, IDS[3]),
        ("flag", 1, True),
        ("flag", 0, False),
        ("integer", True, 1),
        ("real", 3, 3.0),
        ("blob", bytearray(b"xy"), b"xy"),
    ],
)
def test_other_ways_to_give_a_value(managers: Managers, kind: str, given: Any, expected: Any) -> None:
    table = kind_table(managers, kind)
    table.insert({"id": IDS[0], "value": given})
    (row,) = table.fetch()
    assert row["value"] == expected
    assert type(row["value"]) is type(expected)
    assert len(rows_of(table, value=given)) == 1


@pytest.mark.parametrize("call", ["insert", "ensure", "replace"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("guid", "no uuid"),
        ("guid", 1.5),
        ("guid", -1),
        ("guid", 2**128),
        ("real", "x"),
        ("flag", 2),
        ("flag", "x"),
        ("blob", "x"),
        ("hash", "x"),
        ("hash", bytearray(b"x")),
        ("time", "2026-01-01"),
        ("string", ["x"]),
    ],
)
def test_values_of_a_wrong_type(managers: Managers, call: str, kind: str, value: Any) -> None:
    table = kind_table(managers, kind)
    good = {"id": IDS[0], "value": KINDS[kind][1][0]}
    table.insert(good)
    with pytest.raises(sqlalchemy.exc.StatementError):
        getattr(table, call)({"id": IDS[1], "value": KINDS[kind][1][1]}, {"id": IDS[2], "value": value})
    assert rows_of(table) == [good]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_have_64_bits(managers: Managers, value: int) -> None:
    table = kind_table(managers, "integer")
    with pytest.raises(OverflowError):
        table.insert({"id": IDS[0], "value": value})
    assert rows_of(table) == []


# Fetch

TEXTS = ["abc", "abd", "ABc", "a_c", "a%c", "b", "ab\\c", "a[b]*?", "Éa", "éb", "a#x", "a#y"]


@pytest.fixture
def texts(table: OpaqueTableStorage) -> OpaqueTableStorage:
    """Return the table with a row for each of `TEXTS`, not sorted by id."""
    table.insert(
        *(
            record(20 - n, text, checksum=None if n % 3 else text, file_size=n % 4)
            for n, text in enumerate(TEXTS)
        )
    )
    return table


def test_rows_are_mappings_with_the_columns_in_order(texts: OpaqueTableStorage) -> None:
    (row,) = texts.fetch(path="abc")
    assert isinstance(row, Mapping)
    assert list(row) == [field.name for field in FileDatastore.makeTableSpec().fields]
    assert dict(row) == row == record(20, "abc", checksum="abc", file_size=0)
    assert StoredFileInfo.from_record(row).path == "abc"
    with pytest.raises(KeyError):
        row["colour"]


def test_order_of_rows(texts: OpaqueTableStorage) -> None:
    # All of them, or some by a column that is not in the key, as inserted.
    assert [row["path"] for row in texts.fetch()] == TEXTS
    assert [row["path"] for row in texts.fetch(file_size=1)] == TEXTS[1::4]
    assert [row["path"] for row in texts.fetch(path=["éb", "abc", "b"])] == ["abc", "b", "éb"]
    texts.replace(record(20, "abc"))
    assert [row["path"] for row in texts.fetch()] == TEXTS
    texts.delete(["path"], {"path": "abc"})
    texts.insert(record(20, "abc"))
    assert [row["path"] for row in texts.fetch()] == [*TEXTS[1:], "abc"]


def test_records_of_one_dataset_are_sorted_by_component(table: OpaqueTableStorage) -> None:
    # The order in which exported records list the components.
    for component in ("output", "data", "summary"):
        table.insert(record(1, component, component), record(0, component, component))
    for where in (IDS[1], [IDS[1]], {IDS[1]}):
        assert [row["path"] for row in table.fetch(dataset_id=where)] == ["data", "output", "summary"]
    both = [(row["dataset_id"], row["path"]) for row in table.fetch(dataset_id=IDS)]
    assert [path for dataset_id, path in both if dataset_id == IDS[0]] == ["data", "output", "summary"]


def matches(table: OpaqueTableStorage, **where: Any) -> set[str]:
    paths = [row["path"] for row in table.fetch(**where)]
    assert len(paths) == len(set(paths))
    return set(paths)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"path": "abc"}, {"abc"}),
        ({"path": "ABC"}, set()),
        ({"path": ""}, set()),
        ({"dataset_id": IDS[20]}, {"abc"}),
        ({"dataset_id": IDS[20].hex}, {"abc"}),
        ({"dataset_id": IDS[20].int}, {"abc"}),
        ({"dataset_id": IDS[0]}, set()),
        ({"path": ["abd", "abc", "abc", "zz"]}, {"abc", "abd"}),
        ({"path": ("abd",)}, {"abd"}),
        ({"path": {"abd", "b"}}, {"abd", "b"}),
        ({"path": []}, set()),
        ({"path": set()}, set()),
        ({"path": ["ab%"]}, set()),
        ({"path": ["a%c"]}, {"a%c"}),
        ({"dataset_id": {IDS[20], IDS[19], IDS[0]}}, {"abc", "abd"}),
        ({"checksum": None}, {text for n, text in enumerate(TEXTS) if n % 3}),
        ({"path": None}, set()),
        ({"checksum": [None]}, set()),
        ({"file_size": 0, "checksum": "abc"}, {"abc"}),
        ({"file_size": 1, "checksum": "abc"}, set()),
        ({"file_size": [0, 1], "checksum": None}, {"abd", "a%c", "b", "Éa"}),
        ({"path": ["abc", "abd"], "file_size": [1, 2]}, {"abd"}),
        ({"path": ["abc", "abd"], "file_size": []}, set()),
        ({"path": "ab%", "file_size": 1}, {"abd"}),
        ({"path": "ab%", "dataset_id": [IDS[20], IDS[5]]}, {"abc"}),
    ],
    ids=name_of,
)
def test_fetch(texts: OpaqueTableStorage, where: dict[str, Any], expected: set[str]) -> None:
    assert matches(texts, **where) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        # As SQL's LIKE has it: ASCII letters match in either case, ...
        ("ab%", {"abc", "abd", "ABc", "ab\\c"}),
        ("AB%", {"abc", "abd", "ABc", "ab\\c"}),
        ("É%", {"Éa"}),
        ("é%", {"éb"}),
        # ... "_" is any one character and "%" any number, ...
        ("a_c%", {"abc", "ABc", "a_c", "a%c"}),
        ("a%c%", {"abc", "ABc", "a_c", "a%c", "ab\\c"}),
        ("a%%", {"abc", "abd", "ABc", "a_c", "a%c", "ab\\c", "a[b]*?", "a#x", "a#y"}),
        ("%", set(TEXTS)),
        ("____%", {"ab\\c", "a[b]*?"}),
        # ... and nothing else has a meaning of its own.
        ("ab\\%", {"ab\\c"}),
        ("a[%", {"a[b]*?"}),
        ("a#%", {"a#x", "a#y"}),
        ("abc%", {"abc", "ABc"}),
        ("abcd%", set()),
    ],
)
def test_fetch_by_prefix(texts: OpaqueTableStorage, prefix: str, expected: set[str]) -> None:
    assert matches(texts, path=prefix) == expected


def test_a_prefix_does_not_match_null(texts: OpaqueTableStorage) -> None:
    assert matches(texts, checksum="%") == set(TEXTS[::3])


@pytest.mark.parametrize("value", [1, None, [], ["x"], "x%"])
def test_fetch_by_an_unknown_column(texts: OpaqueTableStorage, value: Any) -> None:
    with pytest.raises(KeyError, match="colour"):
        list(texts.fetch(colour=value))
    with pytest.raises(KeyError, match="colour"):
        list(texts.fetch_batches(path="abc", colour=value))


@pytest.mark.parametrize("value", ["no uuid", "0%", 1.5])
def test_fetch_by_an_impossible_value(texts: OpaqueTableStorage, value: Any) -> None:
    with pytest.raises(sqlalchemy.exc.StatementError):
        list(texts.fetch(dataset_id=value))


def test_fetch_by_values_that_cannot_be_sorted(texts: OpaqueTableStorage) -> None:
    with pytest.raises(TypeError):
        list(texts.fetch(file_size=[1, None]))


def test_fetch_batches(texts: OpaqueTableStorage) -> None:
    def batches(**where: Any) -> list[Row]:
        found = [list(batch) for batch in texts.fetch_batches(**where)]
        return [dict(row) for batch in found for row in batch]

    assert in_order(batches()) == in_order(rows_of(texts))
    for value in ("abc", TEXTS[:5], "a%", [], "zz"):
        assert in_order(batches(path=value)) == in_order(rows_of(texts, path=value))
    assert len(batches(path=TEXTS[:5])) == 5


def test_many_rows(managers: Managers) -> None:
    fields = [
        ddl.FieldSpec("id", dtype=ddl.GUID, primaryKey=True),
        ddl.FieldSpec("number", dtype=sqlalchemy.BigInteger),
    ]
    table = managers.opaque.register("many", ddl.TableSpec(fields))
    table.insert(*({"id": uuid.UUID(int=n * 7919 % 2503), "number": n} for n in range(2500)))
    assert [row["number"] for row in table.fetch()] == list(range(2500))
    assert sorted(row["number"] for row in table.fetch(number=list(range(-10, 2400)))) == list(range(2400))
    batches = list(table.fetch_batches(id=[uuid.UUID(int=n) for n in range(2503)]))
    assert sum(len(batch) for batch in batches) == 2500
    table.delete(["number"], *({"number": n} for n in range(0, 2500, 2)))
    assert [row["number"] for row in table.fetch()] == list(range(1, 2500, 2))


# Delete


@pytest.fixture
def sized(table: OpaqueTableStorage) -> OpaqueTableStorage:
    """Return the table with ten rows; two have no size."""
    table.insert(*(record(n, f"s{n % 3}", file_size=n % 4 if n % 5 else None) for n in range(10)))
    return table


@pytest.mark.parametrize(
    ("columns", "rows", "left"),
    [
        (["path"], [], range(10)),
        ([], [], []),
        ([], [{}], []),
        (["path"], [{"path": "s1"}], [0, 2, 3, 5, 6, 8, 9]),
        (("path",), [{"path": "s1"}, {"path": "s2"}, {"path": "s1"}], [0, 3, 6, 9]),
        (["path"], [{"path": "s%"}], range(10)),
        (["path"], [{"path": "s1", "file_size": 99}], [0, 2, 3, 5, 6, 8, 9]),
        (["dataset_id"], [{"dataset_id": IDS[3]}, {"dataset_id": IDS[30]}], [0, 1, 2, 4, 5, 6, 7, 8, 9]),
        (["path", "file_size"], [{"path": "s1", "file_size": 1}], [0, 2, 3, 4, 5, 6, 7, 8, 9]),
        (
            ["path", "file_size"],
            [{"path": "s1", "file_size": 1}, {"path": "s1", "file_size": 3}],
            [0, 2, 3, 4, 5, 6, 8, 9],
        ),
        (
            ["file_size", "path"],
            [{"path": "s1", "file_size": 1}, {"path": "s2", "file_size": 2}],
            [0, 3, 4, 5, 6, 7, 8, 9],
        ),
        (
            ["dataset_id", "component"],
            [
                {"dataset_id": IDS[3], "component": "__NULL_STRING__"},
                {"dataset_id": IDS[4], "component": "summary"},
            ],
            [0, 1, 2, 4, 5, 6, 7, 8, 9],
        ),
        # In SQL nothing equals NULL.
        (["file_size"], [{"file_size": None}], range(10)),
        (["file_size"], [{"file_size": None}, {"file_size": 1}], [0, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_delete(
    sized: OpaqueTableStorage, columns: Sequence[str], rows: list[Row], left: Sequence[int]
) -> None:
    sized.delete(columns, *rows)
    assert [IDS.index(row["dataset_id"]) for row in sized.fetch()] == list(left)


def test_delete_takes_an_iterator(sized: OpaqueTableStorage) -> None:
    sized.delete(iter(["path"]), {"path": "s0"}, {"path": "s1"})
    assert matches(sized, path="s2", dataset_id=IDS[2]) == {"s2"}
    assert numbers(rows_of(sized)) == [2, 5, 8]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (["colour"], [{"colour": "red"}]),
        (["path", "colour"], [{"path": "s1", "colour": "red"}]),
        (["path", "colour"], [{"path": "s1", "colour": "red"}, {"path": "s2", "colour": "blue"}]),
        (["path"], [{"colour": "red"}]),
    ],
)
def test_delete_by_an_unknown_column(
    sized: OpaqueTableStorage, columns: Sequence[str], rows: list[dict[str, Any]]
) -> None:
    with pytest.raises(KeyError):
        sized.delete(columns, *rows)
    assert numbers(rows_of(sized)) == list(range(10))


def test_delete_by_an_impossible_value(sized: OpaqueTableStorage) -> None:
    with pytest.raises(sqlalchemy.exc.StatementError):
        sized.delete(["dataset_id"], {"dataset_id": "no uuid"})
    assert numbers(rows_of(sized)) == list(range(10))


# Rollback of tables


@pytest.mark.parametrize("call", ["insert", "ensure", "replace"])
def test_rollback(managers: Managers, table: OpaqueTableStorage, call: str) -> None:
    before = [record(3), record(1, checksum="c"), record(2)]
    table.insert(*before)
    rows = [record(4), record(5)]
    if call != "insert":
        rows.insert(1, record(1, "new"))
    with managers.rolled_back() as transaction:
        getattr(table, call)(*rows, transaction=transaction)
        assert len(rows_of(table)) == 5
    assert rows_of(table) == before
    assert rows_of(table, path="new") == []
    table.insert(record(4))


def test_rollback_of_several_changes(managers: Managers, table: OpaqueTableStorage) -> None:
    before = [record(1), record(2)]
    table.insert(*before)
    with managers.rolled_back() as transaction:
        table.insert(record(3), transaction=transaction)
        table.replace(record(3, "a"), record(1, "b"), record(1, "c"), transaction=transaction)
        table.ensure(record(3, "d"), record(4), transaction=transaction)
        table.replace(record(4, "e"), record(2, "f"), transaction=transaction)
        assert matches(table) == {"a", "c", "e", "f"}
    assert rows_of(table) == before
    assert rows_of(table, path=["a", "b", "c", "d", "e", "f"]) == []


def test_a_failed_change_leaves_nothing_to_roll_back(managers: Managers, table: OpaqueTableStorage) -> None:
    table.insert(record(1))
    transaction = DatastoreTransaction()
    table.insert(record(2), transaction=transaction)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        table.insert(record(3), record(1), transaction=transaction)
    assert numbers(rows_of(table)) == [1, 2]
    transaction.rollback()
    # Only a database takes a change back by itself.
    assert numbers(rows_of(table)) == ([1, 2] if managers.name == "stock" else [1])


def test_commit(table: OpaqueTableStorage) -> None:
    transaction = DatastoreTransaction()
    table.insert(record(1), transaction=transaction)
    transaction.commit()
    table.insert(record(2))
    assert numbers(rows_of(table)) == [1, 2]
