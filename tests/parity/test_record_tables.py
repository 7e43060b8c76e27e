"""Datastore records that come and go as Arrow tables."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy.exc
from hypothesis import given
from hypothesis import strategies as st
from lsst.daf.butler import DatasetRef
from lsst.daf.butler.datastore.record_data import DatastoreRecordTable
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from scenarios import Butler, Run, scenario

import quantum_butler
from repositories import NewRepository, Repository

NAME = "FileDatastore@<butlerRoot>"
SCHEMA = DatastoreRecordTable.make_arrow_schema()
KINDS = ("measured", "parts", "whole", "zipped", "external")

Rows = list[dict[str, Any]]


def _ids(refs: Sequence[DatasetRef]) -> list[uuid.UUID]:
    return [ref.id for ref in refs]


def _in_order(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: (row["datastore_name"], row["dataset_id"], row["component"] or ""))


def _replace(name: str, make: Callable[[int], Any]) -> Callable[[pa.Table], pa.Table]:
    """Return a function that replaces a column, given the number of rows."""

    def replace(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), name, make(len(table)))

    return replace


def _cast(name: str, to: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    """Return a function that gives a column another type."""
    return lambda table: _replace(name, lambda _: table.column(name).cast(to))(table)


def _not_utf8(rows: int) -> pa.Array:
    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in range(rows + 1)))
    return pa.StringArray.from_buffers(rows, offsets, pa.py_buffer(b"\xff" * rows))


def _dictionary(number: int | None, text: str | None) -> Callable[[int], pa.Array]:
    return lambda rows: pa.DictionaryArray.from_arrays(
        pa.array([number] * rows, pa.int32()), pa.array([text], pa.string())
    )


def _in_python(table: pa.Table) -> pa.Table:
    # Buffers that belong to objects of Python.
    pieces = [pa.Table.from_pylist([row], schema=SCHEMA).combine_chunks() for row in table.to_pylist()]
    return pa.concat_tables(pieces)


# What a table may look like, and yet be good.
GOOD: dict[str, Callable[[pa.Table], pa.Table]] = {
    "as it is": lambda table: table,
    "sliced": lambda table: table.slice(1, len(table) - 2),
    "in chunks": lambda table: pa.concat_tables([table.slice(n, 1) for n in range(len(table))]),
    "in uneven chunks": lambda table: pa.concat_tables(
        [table.slice(0, 2), table.slice(0, 0), table.slice(2)]
    ),
    "chunks of columns differ": lambda table: _replace(
        "path", lambda rows: pa.chunked_array([pa.array([f"a/{n}"]) for n in range(rows)])
    )(table),
    "backwards": lambda table: table.take(list(range(len(table)))[::-1]),
    "one dictionary": lambda table: table.combine_chunks().unify_dictionaries(),
    "made row by row": _in_python,
    "plain strings": lambda table: _cast("formatter", pa.string())(_cast("component", pa.string())(table)),
    "large strings": lambda table: _cast("path", pa.large_string())(table),
    "views": lambda table: _cast("path", pa.string_view())(table),
    "dictionaries everywhere": lambda table: _cast("path", pa.dictionary(pa.int32(), pa.string()))(table),
    "other numbers of a dictionary": lambda table: _cast(
        "storage_class", pa.dictionary(pa.int8(), pa.string())
    )(table),
    "bytes for ids": lambda table: _replace(
        "dataset_id",
        lambda _: pa.array([value.bytes for value in table.column("dataset_id").to_pylist()], pa.binary(16)),
    )(table),
    "small integers": lambda table: _cast("file_size", pa.int32())(table),
    "sizes of nothing": _replace("file_size", lambda rows: pa.nulls(rows, pa.int64())),
    "untyped nulls": _replace("checksum", pa.nulls),
    "negative sizes": _replace("file_size", lambda rows: pa.array([-7] * rows)),
    "checksums like ids": _replace(
        "checksum", lambda rows: pa.array([uuid.UUID(int=n).hex for n in range(rows)])
    ),
    "long strings": _replace("formatter", lambda rows: pa.array(["ü/" * 500] * rows)),
    "empty paths": _replace("path", lambda rows: pa.array([""] * rows)),
    "placeholder for no component": _replace("component", lambda rows: pa.array(["__NULL_STRING__"] * rows)),
    "components": _replace("component", lambda rows: pa.array(["odd"] * rows)),
    "another datastore": _replace("datastore_name", lambda rows: pa.array(["elsewhere"] * rows)),
    "no datastore": _replace("datastore_name", pa.nulls),
    "with metadata": lambda table: table.replace_schema_metadata({"a": "b"}),
    "empty": lambda table: table.slice(0, 0),
}

# What is refused, and with which exception.
BAD: dict[str, tuple[type[Exception], Callable[[pa.Table], pa.Table]]] = {
    "a column more": (ValueError, lambda table: table.append_column("more", table.column("path"))),
    "a column less": (ValueError, lambda table: table.drop_columns("checksum")),
    "no datastore column": (KeyError, lambda table: table.drop_columns("datastore_name")),
    "another order": (ValueError, lambda table: table.select(table.column_names[::-1])),
    "null paths": (ValueError, _replace("path", lambda rows: pa.nulls(rows, pa.string()))),
    "null ids": (ValueError, _replace("dataset_id", lambda rows: pa.nulls(rows, pa.uuid()))),
    "sizes that are words": (pa.ArrowInvalid, _replace("file_size", lambda rows: pa.array(["x"] * rows))),
    "ids that are words": (pa.ArrowInvalid, _replace("dataset_id", lambda rows: pa.array(["x"] * rows))),
    "the same id": (
        sqlalchemy.exc.IntegrityError,
        _replace("dataset_id", lambda rows: pa.array([b"x" * 16] * rows, pa.binary(16))),
    ),
    "a table twice": (sqlalchemy.exc.IntegrityError, lambda table: pa.concat_tables([table, table])),
    "empty components": (sqlalchemy.exc.IntegrityError, _replace("component", _dictionary(0, ""))),
    "long components": (sqlalchemy.exc.IntegrityError, _replace("component", _dictionary(0, "x" * 33))),
    "null in a dictionary": (sqlalchemy.exc.IntegrityError, _replace("component", _dictionary(0, None))),
    "null formatter in a dictionary": (
        sqlalchemy.exc.IntegrityError,
        _replace("formatter", _dictionary(0, None)),
    ),
    "no text": (UnicodeDecodeError, _replace("path", _not_utf8)),
}


def _example(run: Run) -> pa.Table:
    """Return a table with one record a dataset, which stock has made."""
    refs = [*run.refs("measured"), *run.refs("zipped"), *run.refs("external")]
    with run.repository.butler(Butler, inputs=refs) as butler:
        table = butler._datastore.export_table(_ids(refs)).to_arrow()
    assert len(table) == len(refs) == 12
    return table


@pytest.mark.parametrize("name", KINDS)
@scenario
def test_export(run: Run, name: str) -> None:
    refs = run.refs(name)
    butler = run.butler(inputs=refs)
    table = run(butler._datastore.export_table, _ids(refs)).to_arrow()
    assert table.schema.equals(SCHEMA, check_metadata=True)
    table.validate(full=True)
    assert set(table.column("datastore_name").to_pylist()) == {NAME}
    rows = table.to_pylist()
    run.note("in this order", [(row["dataset_id"], row["component"]) for row in rows])
    (data,) = run.repository.records_of(refs).values()
    expected = [
        {**info.to_record(), "component": info.component, "dataset_id": dataset, "datastore_name": NAME}
        for dataset, tables in data.records.items()
        for info in itertools.chain.from_iterable(tables.values())
        if isinstance(info, StoredFileInfo)
    ]
    assert len(expected) == len(rows) >= len(refs)
    assert _in_order(rows) == _in_order(expected)


@scenario
def test_export_of_what_is_asked_for(run: Run) -> None:
    refs = run.refs("measured")
    butler = run.butler(inputs=refs, outputs=run.refs("derived"))
    export = butler._datastore.export_table
    backwards = run(export, _ids(refs)[::-1]).to_arrow()
    assert backwards.column("dataset_id").to_pylist() == sorted(_ids(refs))
    assert len(run(export, [refs[0].id, refs[0].id])) == 1
    assert len(run(export, {ref.id: ref for ref in refs})) == 4
    for nothing in ([], [uuid.UUID(int=5)], _ids(run.refs("derived"))):
        table = run(export, nothing).to_arrow()
        assert len(table) == 0
        assert table.schema.equals(SCHEMA, check_metadata=True)


@pytest.mark.parametrize("form", GOOD)
@scenario
def test_import(run: Run, form: str) -> None:
    table = GOOD[form](_example(run))
    butler = run.butler(inputs=run.refs("measured"), recorded=[])
    assert run(butler._datastore.import_table, DatastoreRecordTable(table)) is None
    ids = table.column("dataset_id").to_pylist()
    ids = [value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value) for value in ids]
    again = run(butler._datastore.export_table, ids)
    assert len(again) == len(table)
    # What it holds is a part of what there is.
    run(butler._datastore.export_table, _example(run).column("dataset_id").to_pylist())


@pytest.mark.parametrize("form", BAD)
@scenario
def test_import_of_something_else(run: Run, form: str) -> None:
    error_class, change = BAD[form]
    table = change(_example(run))
    butler = run.butler(inputs=run.refs("measured"), recorded=[])
    error = run.error(butler._datastore.import_table, DatastoreRecordTable(table))
    assert isinstance(error, error_class)
    assert len(run(butler._datastore.export_table, _example(run).column("dataset_id").to_pylist())) == 0


@scenario
def test_import_of_what_is_known(run: Run) -> None:
    table = _example(run)
    known, new = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[known, new], recorded=[known])
    error = run.error(butler._datastore.import_table, DatastoreRecordTable(table))
    assert type(error) is sqlalchemy.exc.IntegrityError
    assert run(butler._datastore.knows_these, [known, new]) == {known: True, new: False}
    assert len(run(butler._datastore.export_table, table.column("dataset_id").to_pylist())) == 1


@scenario
def test_what_is_in_the_trash(run: Run) -> None:
    trashed, other = run.refs("measured", 0, 1)
    butler = run.butler(inputs=[trashed, other])
    run(butler._datastore.trash, trashed)
    table = run(butler._datastore.export_table, [trashed.id, other.id]).to_arrow()
    assert table.column("dataset_id").to_pylist() == [other.id]


def test_a_record_in_the_trash_is_in_the_way(butler_class: type[Butler], repository: Repository) -> None:
    # Afterwards the stock class holds the dataset again, and ours does not.
    ref = repository.stored["measured"][0]
    with repository.butler(butler_class, inputs=[ref]) as butler:
        table = butler._datastore.export_table([ref.id])
        butler._datastore.trash(ref)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            butler._datastore.import_table(table)


@scenario
def test_what_was_removed_can_come_back(run: Run) -> None:
    ref = run.ref("measured")
    butler = run.butler(inputs=[ref])
    table = run(butler._datastore.export_table, [ref.id])
    run(butler.pruneDatasets, [ref], disassociate=True, unstore=True, purge=True)
    run(butler._datastore.import_table, table)
    assert run(butler._datastore.knows, ref) is True
    assert run(butler.stored, ref) is False
    assert (
        run(butler._datastore.export_table, [ref.id]).to_arrow().to_pylist() == table.to_arrow().to_pylist()
    )


@scenario
def test_through_parquet(run: Run) -> None:
    refs = [*run.refs("measured"), *run.refs("zipped")]
    butler = run.butler(inputs=refs)
    path = run.folder / "records.parquet"
    table = run(butler._datastore.export_table, _ids(refs)).to_arrow()
    pyarrow.parquet.write_table(table, path, row_group_size=3)
    read = pyarrow.parquet.read_table(path)
    assert read.schema.field("dataset_id").type == pa.uuid()
    other = run.butler(inputs=refs, recorded=[])
    run(other._datastore.import_table, DatastoreRecordTable.from_arrow(read))
    again = run(other._datastore.export_table, _ids(refs)).to_arrow()
    assert again.to_pylist() == table.to_pylist() == read.to_pylist()
    for ref in refs:
        assert run(other.get, ref) == run.value(ref)


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours-stock-ours", "stock-ours-stock"])
@pytest.mark.parametrize("kind", ["file", "chained"])
def test_from_one_class_to_the_other_and_back(
    new_repository: NewRepository, kind: str, ours_first: bool
) -> None:
    repository = new_repository(kind)
    refs = repository.stored["measured"]
    classes: list[type[Butler]] = [quantum_butler.QuantumBackedButler, Butler]
    if not ours_first:
        classes.reverse()
    tables = []
    with repository.butler(classes[0], inputs=refs) as butler:
        tables.append(butler._datastore.export_table(_ids(refs)))
    for cls in (classes[1], classes[0]):
        with repository.butler(cls, inputs=refs, recorded=[]) as butler:
            butler._datastore.import_table(tables[-1])
            tables.append(butler._datastore.export_table(_ids(refs)))
            assert [butler.get(ref) for ref in refs] == [repository.values[ref.id] for ref in refs]
    first, second, third = (table.to_arrow() for table in tables)
    assert first.schema == second.schema == third.schema
    assert _in_order(first.to_pylist()) == _in_order(second.to_pylist()) == _in_order(third.to_pylist())
    assert len(first) >= 4


@scenario("chained")
def test_chain(run: Run) -> None:
    refs = [*run.refs("measured"), *run.refs("parts"), *run.refs("exposed")]
    butler = run.butler(inputs=refs)
    table = run(butler._datastore.export_table, _ids(refs)).to_arrow()
    assert table.schema.equals(SCHEMA, check_metadata=True)
    names = [f"FileDatastore@<butlerRoot>/FileDatastore_{n}" for n in (1, 2)]
    assert set(table.column("datastore_name").to_pylist()) == set(names)
    whole = [row for row in table.to_pylist() if row["component"] is None]
    assert len(whole) > 4
    ids = sorted({row["dataset_id"] for row in whole})
    other = run.butler(inputs=refs, recorded=[])
    run(other._datastore.import_table, DatastoreRecordTable(pa.Table.from_pylist(whole, schema=SCHEMA)))
    for one in (butler, other):
        for member in one._datastore.datastores:  # type: ignore[attr-defined]
            run(member.export_table, ids)
    again = run(other._datastore.export_table, ids).to_arrow()
    assert _in_order(again.to_pylist()) == _in_order(whole)
    # A member does not look at names; the chain does.
    third = run.butler(inputs=refs, recorded=[])
    rows = [whole[0], {**whole[1], "datastore_name": "elsewhere"}]
    unknown = DatastoreRecordTable(pa.Table.from_pylist(rows, schema=SCHEMA))
    error = run.error(third._datastore.import_table, unknown)
    assert type(error) is ValueError
    assert "elsewhere" in str(error)
    assert len(run(third._datastore.export_table, ids)) == 0
    error = run.error(other._datastore.import_table, DatastoreRecordTable(table))
    assert type(error) is sqlalchemy.exc.IntegrityError


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_ROW = st.fixed_dictionaries(
    {
        "datastore_name": st.sampled_from([NAME, "elsewhere", None]),
        "dataset_id": st.integers(0, 200).map(lambda number: uuid.UUID(int=number).bytes),
        "path": st.one_of(_TEXT, st.sampled_from(["a/b", "a/c", "a/b#c", "file:///x/y"])),
        "formatter": st.sampled_from(["a.Formatter", "b.Formatter", ""]),
        "storage_class": st.one_of(st.sampled_from(["A", "B"]), _TEXT),
        "component": st.sampled_from([None, None, "x", "y", "__NULL_STRING__", ""]),
        "checksum": st.one_of(st.none(), _TEXT, st.uuids().map(str)),
        "file_size": st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    }
)


@given(
    rows=st.lists(_ROW, max_size=12),
    distinct=st.booleans(),
    cuts=st.lists(st.integers(0, 12), max_size=3).map(sorted),
    asked=st.lists(st.integers(0, 210), max_size=20),
)
def test_random_tables(
    template: Callable[[str], Repository], rows: Rows, distinct: bool, cuts: list[int], asked: list[int]
) -> None:
    if distinct:
        rows = list({row["dataset_id"]: row for row in rows if row["component"] != ""}.values())
    ids = [uuid.UUID(bytes=row["dataset_id"]) for row in rows] + [uuid.UUID(int=number) for number in asked]
    bounds = list(itertools.pairwise([0, *(min(cut, len(rows)) for cut in cuts), len(rows)]))
    table = pa.concat_tables([pa.Table.from_pylist(rows[a:b], schema=SCHEMA) for a, b in bounds])
    repository = template("file")

    def outcome(cls: type[Butler]) -> Any:
        with repository.butler(cls) as butler:
            error = None
            try:
                butler._datastore.import_table(DatastoreRecordTable(table))
            except sqlalchemy.exc.IntegrityError as err:
                error = type(err)
            exported = butler._datastore.export_table(ids).to_arrow()
            exported.validate(full=True)
            return error, exported.schema, exported.to_pylist()

    assert outcome(quantum_butler.QuantumBackedButler) == outcome(Butler)


@pytest.fixture
def butlers(repository: Repository) -> Iterator[list[Butler]]:
    """Give a butler with records, and one without."""
    refs = repository.stored["measured"]
    with (
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs) as butler,
        repository.butler(quantum_butler.QuantumBackedButler, inputs=refs, recorded=[]) as other,
    ):
        yield [butler, other]


def test_a_table_outlives_its_butler(butlers: list[Butler], repository: Repository, tmp_path: Path) -> None:
    refs = repository.stored["measured"]
    table = butlers[0]._datastore.export_table(_ids(refs))
    rows = table.to_arrow().to_pylist()
    butlers[0].pruneDatasets(refs, disassociate=True, unstore=True, purge=True)
    butlers[0].close()
    assert table.to_arrow().to_pylist() == rows
    butlers[1]._datastore.import_table(table)
    del table
    again = butlers[1]._datastore.export_table(_ids(refs))
    assert again.to_arrow().to_pylist() == rows
