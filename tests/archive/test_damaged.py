"""Archives that are damaged, or made to mislead: an error that names the file, or the right answer."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import Made, chain, dataset_id, quantum_id, write
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler import Archive, ArchiveError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "archive", chain())


def ask_all(folder: Path) -> None:
    """Ask everything; the first that goes wrong is raised."""
    archive = Archive(folder)
    archive.stats()
    for number in (1, 2, 99):
        archive.show(quantum_id(number))
    for number in (0, 1, 2, 100, 200):
        for direction in ("up", "down"):
            found = archive.lineage(dataset_id(number), direction=direction)  # type: ignore[arg-type]
            assert found.edges is not None
            found.describe_datasets()
            found.describe_quanta()
        archive.producer(dataset_id(number))
        archive.consumers(dataset_id(number))
    archive.diff(archive)


def refused(folder: Path, file: str, match: str | None = None) -> None:
    with pytest.raises(ArchiveError, match=match) as caught:
        ask_all(folder)
    assert file in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_whole_is_answered(folder: Path) -> None:
    ask_all(folder)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not the manifest"),
        (b'{"format": "other"}', "not the manifest"),
        ({"version": 3}, "version 3, and this release reads up to 2"),
        ({"version": True}, "version True"),
        ({"version": "1"}, "version '1'"),
        ({"counts": []}, "counts is missing"),
        ({"sources": None}, "sources is missing"),
    ],
)
def test_manifests(folder: Path, content: bytes | dict[str, Any], match: str) -> None:
    path = folder / "manifest.json"
    if isinstance(content, dict):
        content = json.dumps({**json.loads(path.read_text()), **content}).encode()
    path.write_bytes(content)
    refused(folder, "manifest.json", match)


@pytest.mark.parametrize("name", ["lineage.arrow", "quanta.parquet", "records.parquet"])
def test_files_that_are_missing_cut_or_other(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for content in (
        b"",
        b"PAR1",
        b"ARROW1\0\0",
        whole[: len(whole) // 2],
        whole[:-5],
        whole[100:],
        bytes(len(whole)),
    ):
        path.write_bytes(content)
        refused(folder, name)
    path.unlink()
    refused(folder, name, "no such file")
    path.mkdir()
    refused(folder, name)


def test_files_of_another_archive(folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", chain()[:3])
    for name in ("lineage.arrow", "quanta.parquet", "records.parquet"):
        whole = (folder / name).read_bytes()
        shutil.copy(other / name, folder / name)
        refused(folder, "")
        (folder / name).write_bytes(whole)
    ask_all(folder)


Columns = tuple[list[Any], list[list[int]], list[list[int]]]


def rewrite(folder: Path, change: Callable[[Columns], None], **metadata: object) -> None:
    """Write the index anew, with something changed in its ids, neighbours and roles."""
    path = folder / "lineage.arrow"
    table = pa.ipc.open_file(path).read_all()
    lists = table["neighbours"].combine_chunks()
    rows, roles = (
        pa.ListArray.from_arrays(lists.offsets, lists.values.field(name)).to_pylist()
        for name in ("row", "roles")
    )
    columns = (table["id"].to_pylist(), rows, roles)
    change(columns)
    neighbours = [
        [{"row": row, "roles": role} for row, role in zip(*pair, strict=True)]
        for pair in zip(columns[1], columns[2], strict=True)
    ]
    ids = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([id_.bytes for id_ in columns[0]], pa.binary(16))
    )
    schema = table.schema.with_metadata(
        {**table.schema.metadata, **{key: str(value) for key, value in metadata.items()}}
    )
    table = pa.table([ids, pa.array(neighbours, table.schema.field("neighbours").type)], schema=schema)
    with pa.ipc.new_file(path, schema) as file:
        file.write_table(table)


def nothing(columns: Columns) -> None:
    pass


def far(columns: Columns) -> None:
    columns[1][0][-1] = 2**32 - 1


def wrong_kind(columns: Columns) -> None:
    columns[1][0][0] = 0


def wrong_kind_of_quantum(columns: Columns) -> None:
    columns[1][-1][-1] = len(columns[0]) - 1


def descending(columns: Columns) -> None:
    longest = max(columns[1], key=len)
    longest.reverse()


def no_role(columns: Columns) -> None:
    columns[2][0][0] = 0


def strange_role(columns: Columns) -> None:
    columns[2][-1][0] = 32


def unsorted_ids(columns: Columns) -> None:
    columns[0][0], columns[0][5] = columns[0][5], columns[0][0]


def one_sided(columns: Columns) -> None:
    # The quantum that wrote the coadd does not know of it.
    row = columns[0].index(dataset_id(200))
    (quantum,) = columns[1][row]
    place = columns[1][quantum].index(row)
    del columns[1][quantum][place], columns[2][quantum][place]


@pytest.mark.parametrize(
    "change",
    [far, wrong_kind, wrong_kind_of_quantum, descending, no_role, strange_role, unsorted_ids, one_sided],
)
def test_an_index_that_does_not_hold_together(folder: Path, change: Callable[[Columns], None]) -> None:
    rewrite(folder, nothing)
    ask_all(folder)
    rewrite(folder, change)
    refused(folder, "lineage.arrow", "damaged")


@pytest.mark.parametrize(
    "metadata", [{"datasets": 3}, {"quanta": 2**32 - 1}, {"datasets": "x"}, {"quanta": -1}]
)
def test_an_index_with_other_metadata(folder: Path, metadata: dict[str, object]) -> None:
    rewrite(folder, nothing, **metadata)
    refused(folder, "lineage.arrow")


def test_an_index_of_another_format(folder: Path) -> None:
    rewrite(folder, nothing, format=2)
    refused(folder, "lineage.arrow", "of another format")


def test_other_columns(folder: Path) -> None:
    path = folder / "lineage.arrow"
    table = pa.ipc.open_file(path).read_all()
    odd = pa.table({"id": table["id"], "neighbours": pa.array([[1]] * len(table), pa.list_(pa.uint32()))})
    for changed in (odd, table.drop_columns(["id"]), pa.table({"id": pa.nulls(len(table), pa.binary(16))})):
        changed = changed.replace_schema_metadata(table.schema.metadata)
        with pa.ipc.new_file(path, changed.schema) as file:
            file.write_table(changed)
        refused(folder, "lineage.arrow")


def offsets(folder: Path, values: list[int]) -> None:
    """Write an index of one dataset and one quantum with these offsets of its lists."""
    path = folder / "lineage.arrow"
    schema = pa.ipc.open_file(path).schema
    children = [pa.array([1, 0], pa.uint32()), pa.array([1, 1], pa.uint8())]
    struct = pa.StructArray.from_arrays(children, fields=list(schema.field("neighbours").type.value_type))
    buffer = pa.array(values, pa.int32()).buffers()[1]
    lists = pa.Array.from_buffers(schema.field("neighbours").type, 2, [None, buffer], children=[struct])
    ids = pa.array([dataset_id(1).bytes, quantum_id(1).bytes], pa.binary(16))
    schema = schema.with_metadata({"format": "1", "datasets": "1", "quanta": "1"})
    batch = pa.record_batch([pa.ExtensionArray.from_storage(pa.uuid(), ids), lists], schema=schema)
    with pa.ipc.new_file(path, schema) as file:
        file.write_batch(batch)


@pytest.mark.parametrize("values", [[0, 3, 2], [0, -1, 2], [1, 0, 2], [0, 2**31 - 1, 2]])
def test_lists_that_are_nowhere(tmp_path: Path, values: list[int]) -> None:
    folder = write(tmp_path / "archive", [Made(1, {1: frozenset({"predicted_input"})})])
    offsets(folder, [0, 1, 2])
    Archive(folder).stats()
    offsets(folder, values)
    with pytest.raises(ArchiveError, match=r"lineage\.arrow"):
        Archive(folder).stats()


@pytest.mark.proof
@given(st.data())
def test_no_byte_of_the_index_brings_the_process_down(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bytes") / "archive"
    path = write(folder, chain()) / "lineage.arrow"
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        ask_all(folder)
    except ArchiveError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize("text", ["[1]", "{", "7", '"visit"', "[" * 100_000])
def test_data_ids_that_are_none(folder: Path, text: str) -> None:
    path = folder / "quanta.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("data_id")
    pq.write_table(table.set_column(place, "data_id", pa.array([text] * len(table))), path)
    with pytest.raises(ArchiveError, match=r"quanta\.parquet: a data ID is not a JSON object"):
        Archive(folder).show(quantum_id(1))


def test_tables_without_a_column(folder: Path) -> None:
    for name, column in (
        ("quanta", "data_id"),
        ("quanta", "records"),
        ("records", "path"),
        ("quanta", "task_label"),
    ):
        path = folder / f"{name}.parquet"
        whole = path.read_bytes()
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
        refused(folder, path.name)
        path.write_bytes(whole)


def test_tables_with_other_columns(folder: Path) -> None:
    for name, column, values in (
        ("quanta", "task_label", [1.5]),
        ("quanta", "actual_inputs_bytes", ["x"]),
        ("quanta", "records", [None]),
        ("quanta", "records", [-1]),
        ("records", "dataset_id", ["x"]),
        ("records", "file_size", [[1]]),
    ):
        path = folder / f"{name}.parquet"
        whole = path.read_bytes()
        table = pq.read_table(path)
        odd = pa.array(values * len(table))
        odd = odd.cast(pa.int32()) if column == "records" else odd
        pq.write_table(table.set_column(table.column_names.index(column), column, odd), path)
        refused(folder, path.name)
        path.write_bytes(whole)


def test_tables_that_another_tool_wrote_anew(folder: Path) -> None:
    before = Archive(folder).stats(), Archive(folder).show(quantum_id(1))
    for name in ("quanta", "records"):
        path = folder / f"{name}.parquet"
        table = pq.read_table(path)
        columns = {
            field.name: table[field.name].cast(pa.string())
            if pa.types.is_dictionary(field.type)
            else table[field.name]
            for field in table.schema
        }
        pq.write_table(pa.table(columns), path, store_schema=False)
    ask_all(folder)
    assert (Archive(folder).stats(), Archive(folder).show(quantum_id(1))) == before


def test_ids_of_the_index_are_uuids(folder: Path) -> None:
    assert isinstance(next(iter(Archive(folder).lineage(dataset_id(1)).datasets)), uuid.UUID)
