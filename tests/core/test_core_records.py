"""Locations, and the records of a file datastore."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import uuid
from collections import UserDict
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.interfaces import FakeDatasetRef

from quantum_butler._core import (
    DuplicateKeyError,
    FileRecords,
    Locations,
    Table,
    UnfitValueError,
    UnknownColumnError,
)

A, B, C, D = (uuid.UUID(int=number) for number in (1, 2, 3, 4))

COLUMNS = [
    ("dataset_id", "guid", False),
    ("path", "text", False),
    ("formatter", "text", False),
    ("storage_class", "text", False),
    ("component", "text", False),
    ("checksum", "text", True),
    ("file_size", "integer", True),
]


class Store:
    """A datastore's records and what they are made of."""

    def __init__(self) -> None:
        self.table = Table("file_datastore_records", COLUMNS, ["dataset_id", "component"], (), [["path"]])
        self.locations = Locations("FileDatastore@<butlerRoot>")
        self.records = FileRecords(self.table, self.locations, StoredFileInfo)

    def state(self) -> tuple[Any, ...]:
        return self.table.fetch({}), self.locations.check([A, B, C, D, 5]), self.locations.trashed()


@pytest.fixture
def store() -> Store:
    return Store()


def info(path: str = "a/b.json", component: str | None = None, **other: Any) -> StoredFileInfo:
    keywords = {
        "checksum": None,
        "file_size": 10,
        "formatter": "some.Formatter",
        "storage_class_name": "Thing",
    }
    return StoredFileInfo(path=path, storageClass=None, component=component, **(keywords | other))


def test_the_columns_are_upstreams() -> None:
    spec = FileDatastore.makeTableSpec()
    assert list(spec.fields.names) == [name for name, _, _ in COLUMNS]
    assert [field.name for field in spec.fields if field.primaryKey] == ["dataset_id", "component"]


def test_locations_come_and_go() -> None:
    locations = Locations("store")
    inserted = locations.insert([A, FakeDatasetRef(B), 5])  # type: ignore[list-item]
    assert locations.datastore == "store" and len(locations) == 3
    assert A in locations and 5 in locations and C not in locations
    for refused in ([C, A], [C, C]):
        with pytest.raises(DuplicateKeyError, match="already recorded in datastore store"):
            locations.insert(refused)
        assert locations.check([A, B, C, 5]) == {A, B, 5}
    ensured = locations.ensure([A, C])
    moved = locations.move_to_trash([A, C, D])
    assert locations.check([A, B, C, D]) == {B} and A not in locations
    assert locations.trashed() == [A, C] and locations.trashed([D, C]) == [C] and locations.trashed([]) == []
    for undo in (moved, moved, ensured, ensured):
        undo()
    assert locations.check([A, B, C]) == {A, B} and locations.trashed() == []
    locations.move_to_trash([A])
    locations.drop_from_trash(iter([A]))
    moved()
    assert locations.trashed() == [] and len(locations) == 2
    inserted()
    assert len(locations) == 0
    locations.ensure([A])
    locations.forget([A, B])
    assert len(locations) == 0


def test_a_bad_id_leaves_the_locations_as_they_were() -> None:
    locations = Locations("store")
    locations.insert([A])
    for method in ("insert", "ensure", "forget", "move_to_trash", "drop_from_trash", "check", "trashed"):
        with pytest.raises(TypeError, match="not str"):
            getattr(locations, method)([A, "b"])
    assert locations.check([A]) == {A} and locations.trashed() == []


def test_added_records_come_back_in_order(store: Store) -> None:
    infos = [info("w", "w"), info("v", "v", checksum=str(A), file_size=-1)]
    undo = store.records.add([FakeDatasetRef(A), A], infos)
    assert store.records.get(A) == infos[::-1]
    assert store.records.get(FakeDatasetRef(A)) == infos[::-1]
    assert type(store.records.get(A)[0]) is StoredFileInfo
    assert A in store.locations and len(store.locations) == 1
    assert store.table.fetch({"component": "v"}) == [infos[1].to_record(dataset_id=A)]
    assert store.records.get(B) == [] and store.records.get(5) == []
    assert store.records.known([A, B, 5]) == [True, False, False]
    undo()
    undo()
    assert store.state() == ([], set(), [])


def test_rows_are_those_that_upstream_writes(store: Store) -> None:
    original = info()
    store.records.add([A], [original])
    assert store.table.fetch({}) == [original.to_record(dataset_id=A)]
    assert store.records.get(A) == [StoredFileInfo.from_record(row) for row in store.table.fetch({})]


def test_records_are_as_good_as_those_of_the_constructor(store: Store) -> None:
    infos = [info("é/w", "w", checksum="c"), info("v", "v", file_size=-1), info("", "x", checksum="")]
    store.records.add([A, A, A], infos)
    made = store.records.export([A])[A]
    assert made == sorted(infos, key=lambda info: info.component or "")
    for one, other in zip(made, sorted(infos, key=lambda info: info.component or ""), strict=True):
        assert hash(one) == hash(other) and repr(one) == repr(other)
        assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == other
        assert one.to_record() == other.to_record() and one.update(path="p") == other.update(path="p")
        with pytest.raises(FrozenInstanceError):
            one.path = "elsewhere"


class _Loose:
    """A class of records that has no slots."""

    def __init__(self, **fields: Any):
        self.__dict__.update(fields)


class _Counted(StoredFileInfo):
    """A class of records whose constructor does more."""

    __slots__ = ("made",)

    def __init__(self, *args: Any, **fields: Any):
        super().__init__(*args, **fields)
        object.__setattr__(self, "made", True)


def test_records_of_other_classes() -> None:
    for record_class in (_Loose, _Counted, StoredFileInfo, _Loose):
        table = Table("file_datastore_records", COLUMNS, ["dataset_id", "component"])
        records = FileRecords(table, Locations("store"), record_class)
        store = FileRecords(table, Locations("other"), StoredFileInfo)
        store.add([A], [info("p", checksum="c")])
        (made,) = records.get(A)
        assert type(made) is record_class
        assert (made.path, made.component, made.checksum, made.file_size) == ("p", None, "c", 10)
        assert record_class is not _Counted or made.made


@pytest.mark.parametrize(
    ("datasets", "infos", "exception", "message"),
    [
        ([B, A], [info(), info()], DuplicateKeyError, "already recorded in datastore"),
        ([B, B], [info(), info()], DuplicateKeyError, "duplicate key"),
        ([B, 5], [info(), info()], TypeError, "column dataset_id .* holds guid, not integer"),
        ([B, C], [info(), "x"], TypeError, "a record must be a StoredFileInfo, not str"),
        ([B, "x"], [info(), info()], TypeError, "expected a dataset id"),
        ([B, C], [info()], ValueError, "1 records were given for 2 datasets"),
        ([B], [info(path=None)], TypeError, "str"),  # type: ignore[arg-type]
        ([B], [info(file_size=2**63)], OverflowError, "too large"),
    ],
)
def test_a_refused_addition_changes_nothing(
    store: Store, datasets: Any, infos: Any, exception: type[Exception], message: str
) -> None:
    store.records.add([A], [info()])
    before = store.state()
    with pytest.raises(exception, match=message):
        store.records.add(datasets, infos)
    assert store.state() == before


def test_modes_of_adding(store: Store) -> None:
    store.records.add([A], [info("old")])
    before = store.state()
    ensured = store.records.add([A, B], [info("new"), info("b")], "ensure")
    assert store.records.get(A) == [info("old")]
    replaced = store.records.add([A, C], [info("new"), info("c")], "replace")
    assert store.records.get(A) == [info("new")]
    assert store.locations.check([A, B, C]) == {A, B, C}
    replaced()
    ensured()
    assert store.state() == before
    with pytest.raises(ValueError, match='unknown insert mode "upsert"'):
        store.records.add([], [], "upsert")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [dict, UserDict], ids=lambda wrap: wrap.__name__)
def test_import_locates_every_dataset(store: Store, wrap: Any) -> None:
    name = store.table.name
    undo = store.records.import_data(
        wrap(
            {
                A: wrap({name: [info("x", "x"), info("y", "y")]}),
                B: wrap({}),
                C: wrap({"another_table": [object()], name: ()}),
                5: wrap({name: None}),
            }
        )
    )
    assert store.locations.check([A, B, C, D, 5]) == {A, B, C, 5}
    assert store.records.get_many([C, A]) == {A: [info("x", "x"), info("y", "y")]}
    undo()
    assert store.state() == ([], set(), [])


@pytest.mark.parametrize(
    ("data", "exception"),
    [
        ({B: {"file_datastore_records": [info()]}, A: {}}, DuplicateKeyError),
        ({B: {"file_datastore_records": [info(), info()]}}, DuplicateKeyError),
        ({B: {"file_datastore_records": [info(), object()]}}, TypeError),
        ({B: {"file_datastore_records": [info()]}, 5: {"file_datastore_records": [info()]}}, TypeError),
        ({B: {"file_datastore_records": [info()]}, "c": {}}, TypeError),
    ],
)
def test_a_refused_import_changes_nothing(store: Store, data: Any, exception: type[Exception]) -> None:
    store.records.add([A], [info()])
    before = store.state()
    with pytest.raises(exception):
        store.records.import_data(data)
    assert store.state() == before


def test_export_leaves_out_what_is_in_the_trash(store: Store) -> None:
    store.records.import_data({id_: {store.table.name: [info(str(id_))]} for id_ in (C, A, B)})
    store.locations.ensure([D])
    store.locations.move_to_trash([B])
    exported = store.records.export([D, C, FakeDatasetRef(B), A, 5])
    assert list(exported.items()) == [(A, [info(str(A))]), (C, [info(str(C))])]
    assert set(store.records.get_many([A, B, D])) == {A, B}


def test_existence_is_that_of_all_files(store: Store, tmp_path: Path) -> None:
    for name in ("a", "sub/b", "sub/é c+d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    existing = ["a", "sub/b", "sub/é c+d", "sub"]
    missing = ["b", "broken", "a/b"]
    ids = [uuid.UUID(int=100 + number) for number in range(len(existing + missing))]
    store.records.add(ids, [info(path) for path in existing + missing])
    store.records.add([A, A], [info("a", "x"), info("sub/b", "y")])
    store.records.add([B, B], [info("a", "x"), info("b", "y")])
    for root in (str(tmp_path), f"{tmp_path}/"):
        existence = store.records.exist(root, [*ids, C, 5])
        assert existence == [True] * len(existing) + [False] * len(missing) + [None, None]
        assert existence[: len(ids)] == [os.path.exists(tmp_path / path) for path in existing + missing]
        assert store.records.exist(root, [A]) == [True] and store.records.exist(root, [B]) == [False]
        # Datasets that share an artifact are for upstream to answer.
        assert store.records.exist(root, [A, ids[0], ids[2]]) == [None, None, True]


@pytest.mark.parametrize(
    "path", ["/a", "~/a", "a#b", "a%20b", "a?b", "s3://a/b", "../a", "a//b", "a/", "$HOME/a"]
)
def test_paths_that_are_not_plain_are_left_to_others(store: Store, tmp_path: Path, path: str) -> None:
    store.records.add([A, A], [info("a", "x"), info(path, "y")])
    assert store.records.exist(str(tmp_path), [A]) == [None]


def test_many_datasets_are_looked_for_in_order(store: Store, tmp_path: Path) -> None:
    ids = [uuid.UUID(int=number) for number in range(5000)]
    store.records.add(ids, [info(f"{number}.json") for number in range(5000)])
    for number in range(0, 5000, 7):
        (tmp_path / f"{number}.json").touch()
    assert store.records.exist(str(tmp_path), ids) == [number % 7 == 0 for number in range(5000)]


def test_a_table_must_hold_file_records() -> None:
    locations = Locations("store")
    with pytest.raises(UnknownColumnError, match="has no column path"):
        FileRecords(Table("t", COLUMNS[:1], ["dataset_id"]), locations, StoredFileInfo)
    wrong = [(name, "integer", nullable) for name, _, nullable in COLUMNS]
    with pytest.raises(TypeError, match="column dataset_id"):
        FileRecords(Table("t", wrong, ["dataset_id"]), locations, StoredFileInfo)


def test_other_columns_of_the_table_stay_null() -> None:
    for nullable in (True, False):
        table = Table("t", [*COLUMNS, ("more", "text", nullable)], ["dataset_id", "component"])
        locations = Locations("store")
        records = FileRecords(table, locations, StoredFileInfo)
        if nullable:
            records.add([A], [info()])
            assert table.fetch({})[0]["more"] is None
        else:
            with pytest.raises(UnfitValueError, match="column more"):
                records.add([A], [info()])
            assert len(locations) == 0


def test_records_used_by_many_threads_stay_sound(store: Store, tmp_path: Path) -> None:
    start = threading.Barrier(8)
    winners: list[int] = []

    def work(thread: int) -> None:
        start.wait()
        for number in range(200):
            mine, contested = uuid.UUID(int=1000 * (thread + 1) + number), uuid.UUID(int=number)
            store.records.add([mine], [info(f"{thread}/{number}")])
            try:
                store.records.add([contested, contested], [info("x", "x"), info("y", "y")])
                winners.append(number)
            except DuplicateKeyError:
                pass
            # Never half of it.
            assert len(store.records.get(contested)) == 2
            if number % 2:
                store.records.add([mine], [info("other", "z")], "ensure")()
                store.locations.move_to_trash([mine])
            if number % 50 == 0:
                many = [uuid.UUID(int=1_000_000 * (thread + 1) + other) for other in range(1000)]
                undo = store.records.import_data({id_: {store.table.name: [info(str(id_))]} for id_ in many})
                assert store.records.exist(str(tmp_path), many) == [False] * 1000
                assert len(store.records.export(many)) == 1000
                undo()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == list(range(200))
    assert len(store.table) == 8 * 200 + 2 * 200
    assert len(store.locations) == 8 * 100 + 200
    assert len(store.locations.trashed()) == 8 * 100


def test_what_has_changed_is_told_as_sqlite_takes_it(store: Store) -> None:
    def changes(*held: uuid.UUID) -> Any:
        less_rows, rows, moved, present, trashed, upto = store.records.changes(held)
        located = ({key for _, key in found} for found in (moved, present, trashed))
        assert {name for found in (moved, present, trashed) for name, _ in found} <= {
            store.locations.datastore
        }
        return {key for (key,) in less_rows}, {row[0] for row in rows}, *located, upto

    store.records.add([A], [info()])
    assert store.records.is_settled()
    store.records.watch()
    undo = store.records.add([B], [info("a/é")])
    *now, upto = changes()
    assert now == [set(), {B.hex}, set(), {B.hex}, set()]
    [row] = store.table.fetch({"dataset_id": B})
    assert store.records.changes([])[1] == [(B.hex, *list(row.values())[1:])]
    # Somebody else takes care of it.
    *others, upto_others = changes(B)
    assert others == [set(), set(), set(), set(), set()]
    store.records.settle(upto_others, [B])
    assert not store.records.is_settled()
    store.locations.move_to_trash([A])
    store.records.settle(upto, [])
    *now, upto = changes()
    assert now == [set(), set(), {A.hex}, set(), {A.hex}]
    undo()
    store.records.settle(upto, [])
    *now, upto = changes()
    assert now == [{B.hex}, set(), {B.hex}, set(), set()]
    store.records.settle(upto, [])
    assert store.records.is_settled()
