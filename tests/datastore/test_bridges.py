"""Bridges, which know what a datastore holds: upstream's and ours, held to the same assertions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.interfaces import DatastoreRegistryBridge, OpaqueTableStorage
from pairs import IDS, REFS, Managers, numbers, record, rows_of, trash


def test_insert_of_locations(managers: Managers, bridge: DatastoreRegistryBridge) -> None:
    assert bridge.datastoreName == "FileDatastore@<butlerRoot>"
    bridge.insert([])
    assert bridge.check(IDS) == set()
    bridge.insert(REFS[:3])
    bridge.insert(ref for ref in REFS[5:7])
    assert bridge.check(IDS) == {*IDS[:3], *IDS[5:7]}
    assert bridge.check(iter(IDS[:2])) == set(IDS[:2])
    assert bridge.check([]) == set()
    assert managers.bridges.register(bridge.datastoreName).check(IDS[:1]) == set(IDS[:1])


@pytest.mark.parametrize("numbers", [(5, 1), (5, 5)], ids=["held", "in one call"])
def test_insert_of_a_location_twice(bridge: DatastoreRegistryBridge, numbers: Sequence[int]) -> None:
    bridge.insert(REFS[:3])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        bridge.insert([REFS[n] for n in numbers])
    assert bridge.check(IDS) == set(IDS[:3])


def test_insert_of_what_has_no_id(bridge: DatastoreRegistryBridge) -> None:
    with pytest.raises((AttributeError, TypeError)):
        bridge.insert([REFS[0], "no ref"])  # type: ignore[list-item]
    assert bridge.check(IDS) == set()


def test_ensure_of_locations(bridge: DatastoreRegistryBridge) -> None:
    bridge.insert(REFS[:2])
    bridge.ensure([])
    bridge.ensure([REFS[1], REFS[4], REFS[4]])
    assert bridge.check(IDS) == {*IDS[:2], IDS[4]}


def test_forget(bridge: DatastoreRegistryBridge) -> None:
    bridge.insert(REFS[:3])
    bridge.forget([])
    bridge.forget([REFS[1], REFS[30], REFS[1]])
    assert bridge.check(IDS) == {IDS[0], IDS[2]}
    bridge.insert(REFS[1:2])
    bridge.forget(iter(REFS))
    assert bridge.check(IDS) == set()


def test_find_datastores(managers: Managers) -> None:
    one, two = managers.bridges.register("one"), managers.bridges.register("two")
    memory = managers.bridges.register("memory", ephemeral=True)
    one.insert(REFS[:3])
    two.insert(REFS[2:4])
    memory.insert(REFS[2:3])
    found = [sorted(managers.bridges.findDatastores(ref)) for ref in REFS[:5]]
    assert found == [["one"], ["one"], ["memory", "one", "two"], ["two"], []]
    assert list(managers.bridges.findDatastores(REFS[2]))[-1] == "memory"
    assert one.check(IDS) == set(IDS[:3])
    assert two.check(IDS) == set(IDS[2:4])
    one.moveToTrash(REFS[:1], transaction=None)
    assert list(managers.bridges.findDatastores(REFS[0])) == []


def test_move_to_trash(bridge: DatastoreRegistryBridge) -> None:
    bridge.insert(REFS[:4])
    bridge.moveToTrash([], transaction=None)
    bridge.moveToTrash([REFS[1], REFS[30], REFS[1]], transaction=None)
    bridge.moveToTrash((ref for ref in REFS[2:3]), transaction=DatastoreTransaction())
    assert bridge.check(IDS) == {IDS[0], IDS[3]}
    bridge.insert(REFS[1:2])
    assert bridge.check(IDS) == {IDS[0], IDS[1], IDS[3]}


def test_move_to_trash_of_what_is_there_already(bridge: DatastoreRegistryBridge) -> None:
    bridge.insert(REFS[:3])
    bridge.moveToTrash(REFS[:1], transaction=None)
    bridge.insert(REFS[:1])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        bridge.moveToTrash([REFS[1], REFS[0]], transaction=None)
    assert bridge.check(IDS) == set(IDS[:3])


def test_rollback_of_move_to_trash(managers: Managers, table: OpaqueTableStorage) -> None:
    bridge = managers.bridges.register("D")
    bridge.insert(REFS[:4])
    table.insert(*(record(n) for n in range(4)))
    bridge.moveToTrash(REFS[:1], transaction=None)
    with managers.rolled_back() as transaction:
        bridge.moveToTrash([REFS[1], REFS[2], REFS[30]], transaction=transaction)
        assert bridge.check(IDS) == set(IDS[3:4])
    assert bridge.check(IDS) == set(IDS[1:4])
    assert trash(bridge, table)[0] == [(0, "p0", None)]


@pytest.fixture
def trashed(managers: Managers, table: OpaqueTableStorage) -> DatastoreRegistryBridge:
    """Return a bridge with datasets 0 to 7, of which 2 to 5 are in the trash.

    Datasets 5 and 6 share an artifact; dataset 3 has two.
    """
    bridge = managers.bridges.register("D")
    bridge.insert(REFS[:8])
    table.insert(*(record(n) for n in (0, 1, 2, 4, 5, 7)), record(6, "p5"))
    table.insert(*(record(3, f"p3{component}", component) for component in ("summary", "data")))
    bridge.moveToTrash(REFS[2:6], transaction=None)
    return bridge


ALL_TRASH = [
    (2, "p2", None),
    (3, "p3data", "data"),
    (3, "p3summary", "summary"),
    (4, "p4", None),
    (5, "p5", None),
]


def test_empty_trash(trashed: DatastoreRegistryBridge, table: OpaqueTableStorage) -> None:
    assert trash(trashed, table, dry_run=False) == (ALL_TRASH, {"p5"})
    assert numbers(rows_of(table)) == [0, 1, 6, 7]
    assert trashed.check(IDS) == {IDS[n] for n in (0, 1, 6, 7)}
    assert trash(trashed, table, dry_run=False) == ([], set())
    trashed.insert(REFS[2:6])
    table.insert(record(2))
    trashed.moveToTrash([REFS[6], REFS[2]], transaction=None)
    assert trash(trashed, table, dry_run=False) == ([(2, "p2", None), (6, "p5", None)], set())


def test_empty_trash_dry_run(trashed: DatastoreRegistryBridge, table: OpaqueTableStorage) -> None:
    before = rows_of(table)
    assert trash(trashed, table, dry_run=True) == (ALL_TRASH, {"p5"})
    assert trash(trashed, table, dry_run=True, record_column=None) == (ALL_TRASH, None)
    assert rows_of(table) == before


@pytest.mark.parametrize("container", [set, list, tuple, frozenset, dict.fromkeys])
def test_empty_trash_of_selected_datasets(
    trashed: DatastoreRegistryBridge, table: OpaqueTableStorage, container: Callable[[Any], Any]
) -> None:
    def select(*numbers: int) -> Any:
        return container([IDS[n] for n in numbers])

    assert trash(trashed, table, selected_ids=select(5)) == ([(5, "p5", None)], {"p5"})
    assert trash(trashed, table, dry_run=False, selected_ids=select(0, 30)) == ([], set())
    assert trash(trashed, table, dry_run=False, selected_ids=select(3, 0)) == (ALL_TRASH[1:3], set())
    assert numbers(rows_of(table)) == [0, 1, 2, 4, 5, 6, 7]
    assert trash(trashed, table) == ([ALL_TRASH[0], *ALL_TRASH[3:]], {"p5"})
    # Upstream takes "none of them" for "no selection".
    assert trash(trashed, table, selected_ids=select()) == trash(trashed, table)


def test_shared_artifact_is_free_when_all_its_datasets_are_trashed(
    trashed: DatastoreRegistryBridge, table: OpaqueTableStorage
) -> None:
    trashed.moveToTrash(REFS[6:7], transaction=None)
    # The selection says what goes; only what is not in the trash at all holds an artifact.
    assert trash(trashed, table, selected_ids={IDS[5]}) == ([(5, "p5", None)], set())
    assert trash(trashed, table, dry_run=False)[1] == set()
    assert numbers(rows_of(table)) == [0, 1, 7]


def test_other_columns_can_name_the_artifact(
    trashed: DatastoreRegistryBridge, table: OpaqueTableStorage
) -> None:
    assert trash(trashed, table, record_column="storage_class")[1] == {"StructuredDataDict"}


def test_exception_inside_empty_trash(trashed: DatastoreRegistryBridge, table: OpaqueTableStorage) -> None:
    before = rows_of(table)
    with (
        pytest.raises(ZeroDivisionError),
        trashed.emptyTrash(table, record_class=StoredFileInfo, record_column="path"),
    ):
        raise ZeroDivisionError
    assert rows_of(table) == before
    assert trash(trashed, table) == (ALL_TRASH, {"p5"})


def test_trash_that_comes_while_it_is_emptied_stays(
    trashed: DatastoreRegistryBridge, table: OpaqueTableStorage
) -> None:
    with trashed.emptyTrash(table, record_class=StoredFileInfo, record_column="path") as (matches, _):
        assert len(list(matches)) == len(ALL_TRASH)
        trashed.moveToTrash(REFS[:1], transaction=None)
        assert len(rows_of(table)) == 9
    assert trash(trashed, table) == ([(0, "p0", None)], set())


def test_trash_without_record_stays(trashed: DatastoreRegistryBridge, table: OpaqueTableStorage) -> None:
    trashed.insert(REFS[10:11])
    trashed.moveToTrash(REFS[10:11], transaction=None)
    assert trash(trashed, table, dry_run=False)[0] == ALL_TRASH
    assert trashed.check(IDS[10:11]) == set()
    table.insert(record(10))
    assert trash(trashed, table, dry_run=False) == ([(10, "p10", None)], set())


def test_two_datastores_in_one_manager(
    managers: Managers, trashed: DatastoreRegistryBridge, table: OpaqueTableStorage
) -> None:
    other = managers.bridges.register("other")
    other.insert([*REFS[2:4], REFS[20]])
    table.insert(record(20, "p4"))
    other_table = managers.opaque.register("other_records", FileDatastore.makeTableSpec())
    other_table.insert(record(2, "q"), record(3, "q"))
    other.moveToTrash(REFS[2:3], transaction=None)
    # A record counts for the datastore that holds its dataset.
    assert trash(other, other_table) == ([(2, "q", None)], {"q"})
    assert trash(trashed, table)[1] == {"p5"}
    assert trash(other, other_table, dry_run=False)[0] == [(2, "q", None)]
    assert numbers(rows_of(other_table)) == [3]
    assert trash(trashed, table)[0] == ALL_TRASH
    assert other.check(IDS) == {IDS[3], IDS[20]}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "This implementation requires a records table."),
        ({"record_class": StoredFileInfo}, ValueError, "This implementation requires a records table."),
        ({"records_table": ...}, ValueError, "Record class must be provided if records table is given."),
        (
            {"records_table": ..., "record_class": StoredFileInfo, "record_column": "colour"},
            KeyError,
            "colour",
        ),
    ],
)
def test_empty_trash_called_wrongly(
    trashed: DatastoreRegistryBridge,
    table: OpaqueTableStorage,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    if "records_table" in arguments:
        arguments = {**arguments, "records_table": table}
    with pytest.raises(error, match=message), trashed.emptyTrash(**arguments):
        pytest.fail("must not get here")
    assert trash(trashed, table)[0] == ALL_TRASH


# Ephemeral bridges


def ephemeral_trash(bridge: DatastoreRegistryBridge, **options: Any) -> list[tuple[int, Any]]:
    with bridge.emptyTrash(**options) as (matches, keep):
        assert keep is None
        return sorted((IDS.index(ref.id), info) for ref, info in matches)


def test_ephemeral_bridge(managers: Managers) -> None:
    bridge = managers.bridges.register("memory", ephemeral=True)
    assert bridge.datastoreName == "memory"
    bridge.insert([REFS[1], REFS[1], REFS[2]])
    bridge.insert([REFS[2]])
    bridge.ensure([REFS[2], REFS[3]])
    bridge.forget([REFS[3], REFS[30]])
    assert managers.bridges.register("memory", ephemeral=True).check(IDS) == {IDS[1], IDS[2]}
    assert managers.bridges.register("other", ephemeral=True).check(IDS) == set()
    with pytest.raises(RuntimeError, match="Must be called with a defined transaction"):
        bridge.moveToTrash(REFS[:3], transaction=None)
    transaction = DatastoreTransaction()
    bridge.moveToTrash([REFS[1]], transaction=transaction)
    assert bridge.check(IDS) == {IDS[2]}
    transaction.rollback()
    assert bridge.check(IDS) == {IDS[1], IDS[2]}


def test_empty_trash_of_an_ephemeral_bridge(managers: Managers) -> None:
    bridge = managers.bridges.register("memory", ephemeral=True)
    bridge.insert(REFS[:4])
    bridge.moveToTrash(REFS[1:4], transaction=DatastoreTransaction())
    assert ephemeral_trash(bridge, dry_run=True) == [(1, None), (2, None), (3, None)]
    assert ephemeral_trash(bridge, selected_ids=[]) == []
    assert ephemeral_trash(bridge, selected_ids={IDS[2], IDS[0]}) == [(2, None)]
    assert ephemeral_trash(bridge) == [(1, None), (3, None)]
    assert ephemeral_trash(bridge) == []
    assert bridge.check(IDS) == {IDS[0]}


def test_ephemeral_bridge_with_records(managers: Managers, table: OpaqueTableStorage) -> None:
    bridge = managers.bridges.register("memory", ephemeral=True)
    bridge.insert(REFS[:3])
    table.insert(record(0), record(1), record(1, "x", "summary"))
    bridge.moveToTrash(REFS[1:3], transaction=DatastoreTransaction())
    with pytest.raises(ValueError, match="Record class must be provided"):
        ephemeral_trash(bridge, records_table=table)
    with bridge.emptyTrash(records_table=table, record_class=StoredFileInfo) as (matches, keep):
        assert sorted(info.path for _, info in matches if isinstance(info, StoredFileInfo)) == ["p1", "x"]
        assert keep is None
    assert numbers(rows_of(table)) == [0]
    assert bridge.check(IDS) == {IDS[0]}
