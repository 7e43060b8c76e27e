"""Random sequences of calls on upstream's managers and on ours, with the same results."""

from __future__ import annotations

import contextlib
from typing import Any

import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler.datastore import DatastoreTransaction
from lsst.daf.butler.datastores.fileDatastore import FileDatastore
from lsst.daf.butler.registry.interfaces import OpaqueTableStorage
from pairs import IDS, REFS, MakeManagers, Managers, Row, in_order, record, rows_of, trash

_number = st.integers(0, 4)
_component = st.sampled_from(["__NULL_STRING__", "data", "summary"])
_path = st.sampled_from(["p", "P", "p_q", "pxq", "p%q", "p#a", "P#b", "p/é", "p/É"])
_size = st.sampled_from([None, -1, 0, 5, 2**40])
_checksum = st.sampled_from([None, "", str(IDS[0]), "c"])
_rows = st.lists(
    st.builds(
        lambda n, path, component, size, checksum: record(
            n, path, component, file_size=size, checksum=checksum
        ),
        _number,
        _path,
        _component,
        _size,
        _checksum,
    ),
    max_size=4,
)
_id = st.sampled_from(IDS[:6])


def _several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(values, max_size=3), st.lists(values, max_size=3).map(tuple), st.sets(values, max_size=3)
    )


_where = st.fixed_dictionaries(
    {},
    optional={
        "dataset_id": _id | _several(_id),
        "component": _component | _several(_component),
        "path": _path
        | _several(_path)
        | st.sampled_from(["%", "p%", "P%", "p_%", "p#%", "p%q%", "p/É%", "x%", "_#%"]),
        "file_size": _size | _several(_size.filter(lambda size: size is not None)),
        "checksum": _checksum,
    },
)
_table_call = st.one_of(
    st.tuples(st.sampled_from(["insert", "ensure", "replace"]), _rows),
    st.tuples(st.sampled_from(["fetch", "fetch_batches"]), _where),
    st.tuples(
        st.just("delete"),
        st.sampled_from([("dataset_id",), ("dataset_id", "component"), ("path",), ("path", "component")]),
        st.lists(st.tuples(_id, _path, _component), max_size=3),
    ),
)


def call_table(table: OpaqueTableStorage, call: tuple[Any, ...]) -> Any:
    """Make one random call and return its outcome."""
    match call:
        case (("insert" | "ensure" | "replace") as name, rows):
            try:
                return getattr(table, name)(*rows)
            except Exception as error:
                return type(error)
        case ("fetch", where):
            return in_order(rows_of(table, **where))
        case ("fetch_batches", where):
            return in_order([dict(row) for batch in table.fetch_batches(**where) for row in batch])
        case ("delete", columns, values):
            names = ("dataset_id", "path", "component")
            rows = [dict(zip(names, value, strict=True)) for value in values]
            return table.delete(columns, *({name: row[name] for name in columns} for row in rows))
    raise AssertionError(call)


@given(calls=st.lists(_table_call, min_size=3, max_size=12))
def test_random_calls_of_a_table(make_managers: MakeManagers, calls: list[tuple[Any, ...]]) -> None:
    with make_managers("stock") as stock, make_managers("ours") as ours:
        tables = [kind.opaque.register("t", FileDatastore.makeTableSpec()) for kind in (stock, ours)]
        for call in calls:
            expected, got = (call_table(table, call) for table in tables)
            assert got == expected
            assert rows_of(tables[1]) == rows_of(tables[0])


@given(before=_rows, calls=st.lists(_table_call, max_size=6))
def test_random_calls_rolled_back(
    make_managers: MakeManagers, before: list[Row], calls: list[tuple[Any, ...]]
) -> None:
    with make_managers("ours") as ours:
        table = ours.opaque.register("t", FileDatastore.makeTableSpec())
        table.ensure(*map(dict, before))
        rows = rows_of(table)
        with ours.rolled_back() as transaction:
            for name, argument, *_ in calls:
                if name in ("insert", "ensure", "replace"):
                    with contextlib.suppress(sqlalchemy.exc.IntegrityError):
                        getattr(table, name)(*argument, transaction=transaction)
        assert rows_of(table) == rows
        for row in rows:
            assert row in rows_of(table, path=row["path"])
            assert row in rows_of(table, dataset_id=row["dataset_id"])


_refs = st.lists(st.sampled_from(REFS[:5]), max_size=3)
_bridge_call = st.one_of(
    st.tuples(st.sampled_from(["insert", "ensure", "forget", "moveToTrash"]), st.sampled_from("AB"), _refs),
    st.tuples(
        st.just("emptyTrash"),
        st.sampled_from("AB"),
        st.none() | st.sets(_id, max_size=3),
        st.booleans(),
        st.sampled_from([None, "path"]),
    ),
    st.tuples(st.just("records"), st.just(""), _rows),
)


def call_bridge(managers: Managers, table: OpaqueTableStorage, call: tuple[Any, ...]) -> Any:
    """Make one random call and return its outcome."""
    bridge = managers.bridges.register(call[1])
    try:
        match call:
            case ("emptyTrash", _, selected, dry_run, column):
                return trash(bridge, table, dry_run=dry_run, record_column=column, selected_ids=selected)
            case ("records", _, rows):
                return table.replace(*rows)
            case ("moveToTrash", _, refs):
                return bridge.moveToTrash(refs, transaction=DatastoreTransaction())
            case (name, _, refs):
                return getattr(bridge, name)(refs)
    except sqlalchemy.exc.IntegrityError as error:
        return type(error)


@given(rows=_rows, calls=st.lists(_bridge_call, min_size=3, max_size=12))
def test_random_calls_of_bridges(
    make_managers: MakeManagers, rows: list[dict[str, Any]], calls: list[tuple[Any, ...]]
) -> None:
    with make_managers("stock") as stock, make_managers("ours") as ours:
        states = []
        for kind in (stock, ours):
            table = kind.opaque.register("t", FileDatastore.makeTableSpec())
            table.replace(*rows)
            states.append((kind, table))
        for call in calls:
            expected, got = (call_bridge(*state, call) for state in states)
            assert got == expected
            after = [
                (
                    rows_of(table),
                    [kind.bridges.register(name).check(IDS) for name in "AB"],
                )
                for kind, table in states
            ]
            assert after[1] == after[0]
        for ref in REFS[:5]:
            found = [sorted(kind.bridges.findDatastores(ref)) for kind, _ in states]
            assert found[1] == found[0]
