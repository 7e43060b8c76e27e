"""Opaque tables: values across the boundary, keys, look-ups, undo; and SQLite, which they stand in for."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections import Counter, UserDict
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import ddl
from lsst.daf.butler.registry.databases.sqlite import SqliteDatabase
from lsst.daf.butler.registry.opaque import ByNameOpaqueTableStorageManager

from quantum_butler._core import DuplicateKeyError, Table, UnfitValueError, UnknownColumnError

A, B, C = (uuid.UUID(int=number) for number in (1, 2, 3))

FILE_COLUMNS = [
    ("dataset_id", "guid", False),
    ("path", "text", False),
    ("formatter", "text", False),
    ("storage_class", "text", False),
    ("component", "text", False),
    ("checksum", "text", True),
    ("file_size", "integer", True),
]


def file_table() -> Table:
    return Table("records", FILE_COLUMNS, ["dataset_id", "component"], (), [["path"]])


def file_row(id_: uuid.UUID, path: str = "a/b", component: str = "x", **other: Any) -> dict[str, Any]:
    row = {"dataset_id": id_, "path": path, "formatter": "f", "storage_class": "s", "component": component}
    return {**row, "checksum": None, "file_size": 1, **other}


def one_column(kind: str) -> Table:
    return Table("things", [("n", "integer", False), ("value", kind, True)], ["n"])


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("guid", A, A),
        ("text", "", ""),
        ("text", "é/\x00/😀", "é/\x00/😀"),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", -(2**63), -(2**63)),
        ("integer", True, 1),
        ("boolean", True, True),
        ("boolean", 0, False),
        ("float", 0.1, 0.1),
        ("float", 3, 3.0),
        ("float", float("inf"), float("inf")),
        # As in SQLite.
        ("float", float("nan"), None),
        ("bytes", b"", b""),
        ("bytes", b"\x00\xff", b"\x00\xff"),
        ("timestamp", -1, -1),
    ],
)
def test_values_come_back(kind: str, value: Any, kept: Any) -> None:
    table = one_column(kind)
    table.insert([{"n": 1, "value": value}, {"n": 2}, {"n": 3, "value": None}])
    rows = table.fetch({})
    assert rows == [{"n": 1, "value": kept}, {"n": 2, "value": None}, {"n": 3, "value": None}]
    assert type(rows[0]["value"]) is type(kept)
    assert list(rows[0]) == ["n", "value"]
    assert [row["n"] for row in table.fetch({"value": None})] == ([1, 2, 3] if kept is None else [2, 3])
    if kept is not None:
        assert [row["n"] for row in table.fetch({"value": value})] == [1]
        assert [row["n"] for row in table.fetch({"value": [value, None]})] == [1]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("guid", str(A)),
        ("guid", 1),
        ("text", 1),
        ("text", b"a"),
        ("integer", "1"),
        ("integer", 1.0),
        ("boolean", 2),
        ("boolean", "yes"),
        ("float", "1"),
        ("bytes", "a"),
        ("timestamp", datetime.datetime(2026, 1, 1)),
    ],
)
def test_values_of_another_type_are_refused(kind: str, value: Any) -> None:
    table = one_column(kind)
    message = rf"column value of table things holds {kind}, not {type(value).__name__}"
    with pytest.raises(TypeError, match=message):
        table.insert([{"n": 1}, {"n": 2, "value": value}])
    assert len(table) == 0
    with pytest.raises(TypeError, match=message):
        table.fetch({"value": value})
    with pytest.raises(TypeError, match=message):
        table.delete(["value"], [{"value": value}])


def test_an_integer_beyond_64_bits_overflows() -> None:
    with pytest.raises(OverflowError):
        one_column("integer").insert([{"n": 2**63}])


def test_text_that_is_no_unicode_is_refused() -> None:
    table = one_column("text")
    with pytest.raises(UnicodeEncodeError):
        table.insert([{"n": 1, "value": "\ud800"}])
    assert len(table) == 0


@pytest.mark.parametrize("wrap", [dict, UserDict, MappingProxyType], ids=lambda wrap: wrap.__name__)
def test_any_mapping_is_a_row(wrap: Any) -> None:
    table = file_table()
    table.insert((wrap(file_row(A)),))
    assert table.fetch(wrap({"dataset_id": A})) == [file_row(A)]
    assert table.delete(["dataset_id"], [wrap({"dataset_id": A})]) == 1


@pytest.mark.parametrize(
    ("rows", "exception", "message"),
    [
        ([file_row(B), file_row(A)], DuplicateKeyError, r'\(dataset_id, component\) = \(.*0001, "x"\)'),
        ([file_row(B), file_row(B)], DuplicateKeyError, "duplicate key"),
        (
            [file_row(B), {"dataset_id": C, "component": "x"}],
            UnfitValueError,
            "column path of table records",
        ),
        ([file_row(B), file_row(C, colour=1)], UnknownColumnError, "table records has no column colour"),
        ([file_row(B), file_row(None)], UnfitValueError, "column dataset_id"),  # type: ignore[arg-type]
        ([file_row(B), 5], TypeError, "a row of table records is a mapping, not int"),
        ([file_row(B), {1: 2}], TypeError, "the name of a column is a str, not int"),
        (5, TypeError, "not iterable"),
    ],
)
def test_a_refused_batch_changes_nothing(rows: Any, exception: type[Exception], message: str) -> None:
    table = file_table()
    table.insert([file_row(A)])
    with pytest.raises(exception, match=message) as caught:
        table.insert(rows)
    assert type(caught.value) is exception
    assert table.fetch({}) == [file_row(A)]


def test_exceptions_are_the_nearest_of_pythons_own() -> None:
    assert issubclass(DuplicateKeyError, ValueError) and issubclass(UnfitValueError, ValueError)
    assert issubclass(UnknownColumnError, KeyError)
    assert DuplicateKeyError.__module__ == "quantum_butler._core"


def test_unknown_columns_are_refused_everywhere() -> None:
    table = file_table()
    with pytest.raises(UnknownColumnError):
        table.fetch({"colour": 1})
    with pytest.raises(UnknownColumnError):
        table.delete(["colour"], [{"colour": 1}])
    with pytest.raises(UnknownColumnError):
        table.delete(["path"], [{"path": "a", "colour": 1}])
    with pytest.raises(UnknownColumnError):
        Table("t", [("a", "text", True)], ["b"])
    with pytest.raises(UnknownColumnError):
        Table("t", [("a", "text", True)], ["a"], unique=[["b"]])
    with pytest.raises(UnknownColumnError):
        Table("t", [("a", "text", True)], ["a"], indexes=[["a", "b"]])
    with pytest.raises(ValueError, match='column a cannot be of kind "uuid"'):
        Table("t", [("a", "uuid", True)], ["a"])


def test_a_table_says_what_it_is() -> None:
    table = file_table()
    assert (table.name, table.columns) == ("records", [name for name, _, _ in FILE_COLUMNS])
    assert len(table) == 0 and table.fetch({}) == []


@pytest.mark.parametrize("method", ["insert", "ensure", "replace"])
def test_undo_restores_the_former_rows_once(method: str) -> None:
    table = file_table()
    table.insert([file_row(A, "old"), file_row(B, "b")])
    former = table.fetch({})
    given = [file_row(C, "c")] if method == "insert" else [file_row(A, "new"), file_row(C, "c")]
    undo = getattr(table, method)(given)
    assert table.fetch({"dataset_id": C}) == [file_row(C, "c")]
    expected = {"insert": "old", "ensure": "old", "replace": "new"}[method]
    assert table.fetch({"dataset_id": A}) == [file_row(A, expected)]
    undo()
    assert table.fetch({}) == former
    table.insert([file_row(C, "again")])
    undo()
    assert table.fetch({"dataset_id": C}) == [file_row(C, "again")]


def test_undo_leaves_alone_what_others_did_since() -> None:
    table = file_table()
    undo = table.insert([file_row(A), file_row(B)])
    table.delete(["dataset_id"], [{"dataset_id": A}])
    table.insert([file_row(A, "mine")])
    undo()
    assert table.fetch({}) == [file_row(A, "mine")]


def test_undo_outlives_its_table() -> None:
    undo = file_table().insert([file_row(A)])
    undo()


def test_deletion_counts_and_needs_just_the_columns() -> None:
    table = file_table()
    table.insert([file_row(id_, component=name) for id_ in (A, B, C) for name in "xy"])
    assert table.delete(["dataset_id"], []) == 0
    assert table.delete(["dataset_id"], [{"dataset_id": A}, {"dataset_id": A}]) == 2
    keys = [{"component": "x", "dataset_id": B}, {"dataset_id": C, "component": "z"}]
    assert table.delete(["dataset_id", "component"], keys) == 1
    assert table.delete(["checksum"], [{"checksum": None}]) == 0
    for row in ({}, {"path": "a"}, {"dataset_id": A, "path": "a"}):
        with pytest.raises(ValueError, match="just the columns"):
            table.delete(["dataset_id"], [row])
    assert table.delete([], []) == 3
    assert len(table) == 0


def test_a_table_used_by_many_threads_stays_sound() -> None:
    table = file_table()
    start = threading.Barrier(8)
    refused: Counter[int] = Counter()

    def work(thread: int) -> None:
        start.wait()
        for number in range(300):
            mine, shared = uuid.UUID(int=1000 * (thread + 1) + number), uuid.UUID(int=number)
            table.insert([file_row(mine, f"run/{thread}/{number}")])
            try:
                table.insert([file_row(shared, "shared"), file_row(mine, component="other")])
            except DuplicateKeyError:
                refused[thread] += 1
            table.replace([file_row(mine, "replaced")])()
            assert table.fetch({"dataset_id": mine, "component": "x"})[0]["path"] == f"run/{thread}/{number}"
            if number % 100 == 0:
                table.fetch({"path": f"run/{thread}/%"})
            if number % 3 == 0:
                assert (
                    table.delete(["dataset_id", "component"], [{"dataset_id": mine, "component": "x"}]) == 1
                )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each shared row was inserted by just one thread, whose own second row came with it.
    assert sum(refused.values()) == 7 * 300
    assert len(table.fetch({"path": "shared"})) == len(table.fetch({"component": "other"})) == 300
    assert len(table) == 8 * 200 + 600


def test_a_million_records_take_little_room() -> None:
    table = file_table()
    million, at_once = 1_000_000, 100_000
    formatter = "lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter"
    for start in range(0, million, at_once):
        table.insert(
            [
                file_row(
                    uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128),
                    f"u/someone/run/2026/calexp/{number // 200}/calexp_LSSTCam_r_{number:07}.fits",
                    "__NULL_STRING__",
                    formatter=formatter,
                    storage_class="ExposureF",
                    file_size=number,
                )
                for number in range(start, start + at_once)
            ]
        )
    assert len(table) == million
    each = table.memory() / million
    assert 60 < each <= 120, f"{each} bytes per record"
    (row,) = table.fetch({"path": f"u/someone/run/2026/calexp/4999/calexp_LSSTCam_r_{million - 1:07}.fits"})
    assert row["file_size"] == million - 1 and row["formatter"] == formatter


SQL_TYPES = {"guid": ddl.GUID, "text": sqlalchemy.String, "integer": sqlalchemy.BigInteger}
SQL_COLUMNS = [
    ("id", "guid", False),
    ("part", "text", False),
    ("path", "text", True),
    ("size", "integer", True),
]
# Upstream's columns check that strings are not empty; that is no business of ours.
TEXTS = st.text(alphabet="aAb%_/é", min_size=1, max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from([A, B, C]),
    "part": st.sampled_from(["a", "b/c", "B"]),
    "path": st.none() | TEXTS,
    "size": st.none() | st.integers(-1, 2),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), max_size=4)
PREFIXES = st.just("%") | TEXTS.map(lambda text: text + "%")
WANTED = st.one_of(
    [
        st.fixed_dictionaries(
            {}, optional={name: st.one_of(values, st.lists(values.filter(bool), max_size=3))}
        )
        for name, values in VALUES.items()
    ]
    + [st.fixed_dictionaries({"path": PREFIXES}, optional={"id": VALUES["id"]})]
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "ensure", "replace"]), ROWS) | st.tuples(st.just("fetch"), WANTED)
)


def as_counts(rows: Iterable[Any]) -> Counter[tuple[Any, ...]]:
    """Rows without their order, which upstream leaves to SQLite."""
    return Counter(tuple(row[name] for name, _, _ in SQL_COLUMNS) for row in rows)


@given(STEPS)
def test_tables_agree_with_upstreams_on_sqlite(steps: list[tuple[str, Any]]) -> None:
    database = SqliteDatabase.fromUri("sqlite:///:memory:", origin=0)
    try:
        with database.declareStaticTables(create=True) as context:
            manager = ByNameOpaqueTableStorageManager.initialize(database, context)
        fields = [
            ddl.FieldSpec(
                name, dtype=SQL_TYPES[kind], length=32 if kind == "text" else None, primaryKey=not nullable
            )
            for name, kind, nullable in SQL_COLUMNS
        ]
        theirs = manager.register("things", ddl.TableSpec(fields, unique=[("size",)]))
        ours = Table("things", SQL_COLUMNS, ["id", "part"], [["size"]])
        for method, given_ in steps:
            if method == "fetch":
                assert as_counts(ours.fetch(given_)) == as_counts(theirs.fetch(**given_))
                continue
            refused = []
            try:
                getattr(theirs, method)(*given_)
            except sqlalchemy.exc.IntegrityError:
                refused.append("theirs")
            try:
                getattr(ours, method)(given_)
            except DuplicateKeyError:
                refused.append("ours")
            assert refused in ([], ["theirs", "ours"])
            assert as_counts(ours.fetch({})) == as_counts(theirs.fetch())
    finally:
        database.dispose()
