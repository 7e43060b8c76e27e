"""Archives are checked whole: one thing after the other is broken, and found."""

from __future__ import annotations

import itertools
import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import archives
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import chain, write
from click.testing import CliRunner
from hypothesis import given, settings

from quantum_butler import Archive, collect
from quantum_butler.archive.checks import tables as checked_tables
from quantum_butler.archive.checks.findings import Finding
from quantum_butler.cli.main import main
from quantum_butler.collecting import tables as written_tables

FORMAT_1 = Path(__file__).parent / "data" / "format1"


def _line(number: int) -> dict[str, Any]:
    """Return a line of a log: quanta of two tasks, one after the other, of which some have failed."""

    def dataset(n: int) -> str:
        return str(uuid.UUID(int=(1 << 120) + n))

    failed = number % 5 == 3
    of_first = number % 2 == 0
    read, written = (1000 + number, 2000 + number) if of_first else (2000 + number - 1, 3000 + number)
    outputs = [dataset(written)]
    record = {
        "formatter": "a.B",
        "path": f"x/{number}",
        "storage_class": "S",
        "component": "__NULL_STRING__",
        "checksum": None,
        "file_size": 100 + number,
    }
    table = {"file_datastore_records": [record]}
    kind = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo"
    records = {"dataset_ids": outputs, "records": {kind: {uuid.UUID(outputs[0]).hex: table}}}

    def named(name: str, n: int) -> dict[str, Any]:
        return {
            "type": name,
            "run": "out",
            "storage_class": "S",
            "dimensions": ["instrument", "visit"],
            "ids": [dataset(n)],
            "data_ids": [["Cam", number]],
        }

    return {
        "quantum_id": str(uuid.UUID(int=(2 << 120) + number)),
        "task_label": "first" if of_first else "second",
        "data_id": {"instrument": "Cam", "visit": number},
        "begin": f"2026-11-30T00:00:{number:02}.000000Z",
        "end": f"2026-11-30T00:01:{number:02}.000000Z",
        "failed": failed,
        "predicted_inputs": [dataset(read)],
        "available_inputs": [dataset(read)],
        "actual_inputs": [dataset(read)],
        "predicted_outputs": outputs,
        "actual_outputs": [] if failed else outputs,
        "datastore_records": {} if failed else {"FileDatastore@<butlerRoot>": records},
        "execution": {
            "status": -1 if failed else 1,
            "attempt": 0,
            "run_time": 1.5,
            "exception": {"type": "a.Error", "message": "no"} if failed else None,
        },
        "connections": {"inputs": {"i": "raw"}, "outputs": {"o": "image"}},
        "datasets": [
            named("image" if of_first else "table", written),
            *([named("raw", read)] if of_first else []),
        ],
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of ten quanta, of which two have failed, one of them also a second time."""
    folder = tmp_path_factory.mktemp("verify")
    lines = [
        *map(_line, range(10)),
        {**_line(3), "begin": "2026-11-30T01:00:00Z", "end": "2026-11-30T01:00:01Z"},
    ]
    log = folder / "log.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, {"quantum_id": "no id"}]))
    collect(log, folder / "archive")
    return folder / "archive"


@pytest.fixture
def archive(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "archive")


@pytest.fixture
def in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an archive whose datasets fill several row groups."""
    monkeypatch.setattr(written_tables, "_FEWEST_ROWS", 4)
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in map(_line, range(30))))
    collect(log, tmp_path / "in groups")
    assert pq.read_metadata(tmp_path / "in groups" / "datasets.parquet").num_row_groups > 4
    return tmp_path / "in groups"


def test_names_in_several_row_groups_are_sound(in_groups: Path) -> None:
    assert Archive(in_groups).verify().findings == []


@pytest.mark.parametrize("more", [False, True], ids=["alone", "with-a-log"])
def test_names_in_several_row_groups_are_collected_again(in_groups: Path, more: bool, tmp_path: Path) -> None:
    log = tmp_path / "more.jsonl"
    log.write_text(f"{json.dumps(_line(30))}\n")
    collect([in_groups, *([log] if more else [])], tmp_path / "again")
    before, after = (
        {row["dataset_id"]: row for row in pq.read_table(folder / "datasets.parquet").to_pylist()}
        for folder in (in_groups, tmp_path / "again")
    )
    assert len(after) == len(before) + 2 * more
    assert after | before == after
    assert Archive(tmp_path / "again").verify().is_sound


def change(path: Path, column: str, edit: Callable[[list[Any]], Sequence[Any]]) -> None:
    """Write a column of a table anew."""
    table = pq.read_table(path)
    place = table.column_names.index(column)
    field = table.schema.field(place)
    values = edit(_plain_values(table[column]))
    changed = pa.array(values, _storage(field.type))
    if isinstance(field.type, pa.UuidType):
        changed = pa.ExtensionArray.from_storage(pa.uuid(), changed)
    elif pa.types.is_dictionary(field.type):
        changed = changed.dictionary_encode()
    pq.write_table(table.set_column(place, field.with_nullable(True), changed), path)


def _storage(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.UuidType):
        return pa.binary(16)
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _plain_values(column: pa.ChunkedArray) -> list[Any]:
    return [one.bytes if isinstance(one, uuid.UUID) else one for one in column.to_pylist()]


def one_changed(value: Callable[[Any], Any] | Any, row: int = 0) -> Callable[[list[Any]], list[Any]]:
    """Return an edit of one row."""

    def edit(values: list[Any]) -> list[Any]:
        values[row] = value(values[row]) if callable(value) else value
        return values

    return edit


def swapped(values: list[Any]) -> list[Any]:
    return [values[1], values[0], *values[2:]]


def rows_of(path: Path, keep: Callable[[int], Sequence[int]]) -> None:
    """Keep some rows of a table, in that order."""
    table = pq.read_table(path)
    pq.write_table(table.take([*keep(len(table))]), path)


def rewrite(path: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Write an Arrow file anew."""
    with pa.ipc.open_file(path) as file:
        table = edit(file.read_all())
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def told_values(table: pa.Table, before: bytes, after: bytes) -> pa.Table:
    """Change what the index by name tells of dataset types."""
    told = table.schema.metadata[b"dataset_types"]
    assert before in told, told
    return table.replace_schema_metadata({b"dataset_types": told.replace(before, after)})


def neighbours(edit: Callable[[list[Any]], Any]) -> Callable[[pa.Table], pa.Table]:
    """Return an edit of the lists of the lineage index."""

    def apply(table: pa.Table) -> pa.Table:
        lists = table["neighbours"].to_pylist()
        edit(lists)
        column = pa.array(lists, table.schema.field("neighbours").type)
        return table.set_column(1, table.schema.field("neighbours"), column).replace_schema_metadata(
            table.schema.metadata
        )

    return apply


def found(folder: Path) -> list[Finding]:
    made = Archive(folder).verify()
    assert made.count >= len(made.findings) > 0 and not made.is_sound
    return made.findings


def test_sound_archives(sound: Path, tmp_path: Path) -> None:
    made = Archive(sound).verify()
    assert made.findings == [] and made.is_sound
    assert made.rows["quanta.parquet"] == 10 and made.rows["rejected.jsonl"] == 1
    assert made.rows["attempts.parquet"] == 1 and made.rows["replaced.jsonl"] == 1
    assert made.rows["exceptions.parquet"] == 3
    assert Archive(FORMAT_1).verify().findings == []
    assert Archive(write(tmp_path / "made", chain())).verify().findings == []
    assert Archive(write(tmp_path / "empty", [])).verify().findings == []
    collect([sound, FORMAT_1], tmp_path / "merged")
    assert Archive(tmp_path / "merged").verify().findings == []


@settings(max_examples=20, deadline=None)
@given(archives.campaigns)
def test_any_archive_that_is_written_is_sound(campaign: list[archives.Made]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert Archive(write(Path(folder) / "archive", campaign)).verify().findings == []


Break = Callable[[Path], object]

# What is broken, the file that is named for it, words of the problem, and the row.
BREAKS: dict[str, tuple[Break, str, str, int | None]] = {
    "a table is gone": (lambda a: (a / "edges.parquet").unlink(), "edges.parquet", "cannot be opened", None),
    "a table is no table": (
        lambda a: (a / "tasks.parquet").write_bytes(b"no"),
        "tasks.parquet",
        "cannot be opened",
        None,
    ),
    "a column is gone": (
        lambda a: pq.write_table(
            pq.read_table(a / "exceptions.parquet").drop_columns(["host"]), a / "exceptions.parquet"
        ),
        "exceptions.parquet",
        "column is missing: host",
        None,
    ),
    "a column has another type": (
        lambda a: pq.write_table(
            pq.read_table(a / "quanta.parquet").set_column(1, "task_label", pa.array(range(10), pa.int64())),
            a / "quanta.parquet",
        ),
        "quanta.parquet",
        "another type: task_label",
        None,
    ),
    "a value is missing": (
        lambda a: change(a / "edges.parquet", "actual_input", one_changed(None, 4)),
        "edges.parquet",
        "actual_input has no value",
        4,
    ),
    "a quantum is there twice": (
        lambda a: change(a / "quanta.parquet", "quantum_id", lambda v: [v[0], v[0], *v[2:]]),
        "quanta.parquet",
        "an id is there twice",
        1,
    ),
    "a data ID is none": (
        lambda a: change(a / "quanta.parquet", "data_id", one_changed("[1]", 2)),
        "quanta.parquet",
        "not a JSON object",
        2,
    ),
    "a status is none": (
        lambda a: change(a / "quanta.parquet", "status", one_changed(7, 2)),
        "quanta.parquet",
        "status has a number without meaning",
        2,
    ),
    "a source is none": (
        lambda a: change(a / "quanta.parquet", "source", one_changed(5, 9)),
        "quanta.parquet",
        "source has a number",
        9,
    ),
    "known_from": (
        lambda a: change(a / "quanta.parquet", "known_from", one_changed("hearsay", 1)),
        "quanta.parquet",
        "unknown word",
        1,
    ),
    "number of inputs": (
        lambda a: change(a / "quanta.parquet", "actual_inputs", one_changed(3, 1)),
        "quanta.parquet",
        "actual_inputs is 3, edges.parquet has 1",
        1,
    ),
    "bytes": (
        lambda a: change(a / "quanta.parquet", "actual_outputs_bytes", one_changed(lambda v: v + 1, 4)),
        "quanta.parquet",
        "actual_outputs_bytes is 106, records tell of 105",
        4,
    ),
    "number of edges": (
        lambda a: change(a / "quanta.parquet", "edges", lambda v: [1, 3, *v[2:]]),
        "edges.parquet",
        "not those of quanta.parquet from a row on",
        1,
    ),
    "an edge is gone": (
        lambda a: rows_of(a / "edges.parquet", lambda n: range(n - 1)),
        "edges.parquet",
        "fewer rows than quanta.parquet",
        19,
    ),
    "an edge too many": (
        lambda a: rows_of(a / "edges.parquet", lambda n: [*range(n), n - 1]),
        "edges.parquet",
        "rows of no quantum",
        20,
    ),
    "edges in another order": (
        lambda a: rows_of(a / "edges.parquet", lambda n: [0, 1, 3, 2, *range(4, n)]),
        "edges.parquet",
        "do not ascend",
        3,
    ),
    "an edge without a role": (
        lambda a: [
            change(a / "edges.parquet", name, one_changed(False, 6))
            for name in ("predicted_input", "available_input", "actual_input")
        ],
        "edges.parquet",
        "no role",
        6,
    ),
    "a record is gone": (
        lambda a: rows_of(a / "records.parquet", lambda n: range(n - 1)),
        "records.parquet",
        "fewer rows",
        7,
    ),
    "a role in the index": (
        lambda a: rewrite(a / "lineage.arrow", neighbours(lambda lists: lists[-1][0].update(roles=1))),
        "lineage.arrow",
        "datasets of a quantum are not those of edges.parquet",
        -1,
    ),
    "a use in the index": (
        lambda a: rewrite(a / "lineage.arrow", neighbours(lambda lists: lists[0].clear())),
        "lineage.arrow",
        "quanta of a dataset are not those of edges.parquet",
        0,
    ),
    "an index that is cut off": (
        lambda a: (a / "lineage.arrow").write_bytes((a / "lineage.arrow").read_bytes()[:500]),
        "lineage.arrow",
        "cannot be opened",
        None,
    ),
    "a role in the table": (
        lambda a: change(a / "edges.parquet", "available_input", one_changed(False, 0)),
        "lineage.arrow",
        "datasets of a quantum are not",
        None,
    ),
    "datasets in another order": (
        lambda a: change(a / "datasets.parquet", "dataset_id", swapped),
        "datasets.parquet",
        "not in the order of the index",
        0,
    ),
    "a dataset twice": (
        lambda a: rows_of(a / "datasets.parquet", lambda n: [*range(n), 3]),
        "datasets.parquet",
        "an id is there twice",
        15,
    ),
    "no dataset": (
        lambda a: rows_of(a / "datasets.parquet", lambda n: range(n - 1)),
        "datasets.parquet",
        "fewer rows than the index",
        14,
    ),
    "a producer": (
        lambda a: change(a / "datasets.parquet", "producer", one_changed(uuid.uuid4().bytes, 7)),
        "datasets.parquet",
        "the producer is not the quantum that writes it",
        7,
    ),
    "produced": (
        lambda a: change(a / "datasets.parquet", "produced", one_changed(True, 0)),
        "datasets.parquet",
        "produced is not what edges tell",
        0,
    ),
    "a size": (
        lambda a: change(a / "datasets.parquet", "size", one_changed(1, 5)),
        "datasets.parquet",
        "the size is not that of the records: it is 1, records tell of 100",
        5,
    ),
    "a type": (
        lambda a: change(a / "datasets.parquet", "dataset_type", one_changed("else", 1)),
        "datasets.parquet",
        "names.arrow does not lead to it",
        1,
    ),
    "keys do not ascend": (
        lambda a: rewrite(a / "names.arrow", lambda t: t.take([1, 0, *range(2, len(t))])),
        "names.arrow",
        "do not ascend",
        1,
    ),
    "a row of no dataset": (
        lambda a: rewrite(
            a / "names.arrow",
            lambda t: t.set_column(1, "row", pa.array([99, *t["row"].to_pylist()[1:]], pa.uint32())),
        ),
        "names.arrow",
        "no such row",
        0,
    ),
    "a name is gone": (
        lambda a: rewrite(a / "names.arrow", lambda t: t.slice(1)),
        "names.arrow",
        "not one row for each name: 14, there are 15",
        None,
    ),
    "a value is gone": (
        lambda a: rewrite(a / "names.arrow", lambda t: told_values(t, b"[0,2,", b"[1,2,")),
        "names.arrow",
        "it does not tell all values of a dimension: ",
        None,
    ),
    "a type that nothing has": (
        lambda a: rewrite(a / "names.arrow", lambda t: told_values(t, b'"types":{', b'"types":{"no":{},')),
        "names.arrow",
        "no dataset has a type that it tells of: no",
        None,
    ),
    "keys of quanta do not ascend": (
        lambda a: rewrite(a / "quantum_names.arrow", lambda t: t.take([1, 0, *range(2, len(t))])),
        "quantum_names.arrow",
        "do not ascend",
        1,
    ),
    "a row of no quantum": (
        lambda a: rewrite(
            a / "quantum_names.arrow",
            lambda t: t.set_column(1, "row", pa.array([99, *t["row"].to_pylist()[1:]], pa.uint32())),
        ),
        "quantum_names.arrow",
        "no such row of quanta.parquet",
        0,
    ),
    "a name of a quantum is gone": (
        lambda a: rewrite(a / "quantum_names.arrow", lambda t: t.slice(1)),
        "quantum_names.arrow",
        "not one row for each name",
        None,
    ),
    "a task that nothing has": (
        lambda a: rewrite(
            a / "quantum_names.arrow", lambda t: told_values(t, b'"types":{', b'"types":{"no":{},')
        ),
        "quantum_names.arrow",
        "no quantum is of a task that it tells of: no",
        None,
    ),
    "an index of quanta that is cut off": (
        lambda a: (a / "quantum_names.arrow").write_bytes(b"ARROW1"),
        "quantum_names.arrow",
        "cannot be opened",
        None,
    ),
    "a data ID": (
        lambda a: change(a / "quanta.parquet", "data_id", one_changed('{"tract": 98}', 1)),
        "quanta.parquet",
        "quantum_names.arrow does not lead to it",
        1,
    ),
    "an attempt at nothing": (
        lambda a: change(a / "attempts.parquet", "quantum_id", one_changed(uuid.uuid4().bytes)),
        "attempts.parquet",
        "no such quantum",
        0,
    ),
    "an exception of nothing": (
        lambda a: change(a / "exceptions.parquet", "quantum_id", one_changed(uuid.uuid4().bytes, 1)),
        "exceptions.parquet",
        "no such quantum",
        1,
    ),
    "an exception is gone": (
        lambda a: rows_of(a / "exceptions.parquet", lambda n: range(n - 1)),
        "exceptions.parquet",
        "not one row for each exception: 2, quanta and attempts have 3",
        None,
    ),
    "a task is gone": (
        lambda a: change(
            a / "tasks.parquet", "task_label", lambda v: ["third" if t == "first" else t for t in v]
        ),
        "quanta.parquet",
        "tasks.parquet does not have the task: first",
        0,
    ),
    "a connection twice": (
        lambda a: rows_of(a / "tasks.parquet", lambda n: [*range(n), 0]),
        "tasks.parquet",
        "a connection is there twice: first",
        4,
    ),
    "a line of no JSON": (
        lambda a: (a / "rejected.jsonl").write_text("{\n"),
        "rejected.jsonl",
        "not what it should be",
        0,
    ),
    "no lines": (
        lambda a: (a / "replaced.jsonl").unlink(),
        "replaced.jsonl",
        "another number of lines: 1, not 0",
        None,
    ),
    "a count": (
        lambda a: (a / "manifest.json").write_text(
            (a / "manifest.json").read_text().replace('"edges": 20', '"edges": 21')
        ),
        "manifest.json",
        "edges is 21, there are 20",
        None,
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(archive: Path, name: str) -> None:
    breaks, file, words, row = BREAKS[name]
    breaks(archive)
    findings = found(archive)
    those = [one for one in findings if one.file == file and words in one.problem]
    assert those, findings
    if row is not None:
        last = Archive(archive).verify().rows
        wanted = row if row >= 0 else sum(map(last.__getitem__, ("quanta.parquet", "datasets.parquet"))) + row
        assert those[0].row == wanted
        tables_with_ids = {"quanta.parquet", "edges.parquet", "lineage.arrow", "datasets.parquet"}
        if file in tables_with_ids and "rows of no" not in words and "fewer rows than the index" not in words:
            assert those[0].id is not None


def test_the_first_format_is_checked_too(tmp_path: Path) -> None:
    for name, edit in {
        "edges": lambda a: change(a / "edges.parquet", "actual_input", one_changed(lambda v: not v)),
        "attempts": lambda a: change(a / "attempts.parquet", "quantum_id", one_changed(uuid.uuid4().bytes)),
        "quanta": lambda a: rows_of(a / "quanta.parquet", lambda n: range(n - 1)),
    }.items():
        folder = shutil.copytree(FORMAT_1, tmp_path / name)
        edit(folder)
        assert found(folder)
    early = shutil.copytree(FORMAT_1, tmp_path / "early")
    (early / "attempts.parquet").unlink()
    quanta = pq.read_table(early / "quanta.parquet")
    pq.write_table(quanta.drop_columns(["begin", "end", "failed", "attempts"]), early / "quanta.parquet")
    assert [one.file for one in Archive(early).verify().findings] == []


def test_tables_that_another_tool_wrote_anew_are_sound(archive: Path) -> None:
    """Dictionaries and Arrow's type of ids are ways to store, and not what is stored."""
    for path in archive.glob("*.parquet"):
        table = pq.read_table(path)
        columns = {
            field.name: table[field.name].cast(pa.string())
            if pa.types.is_dictionary(field.type)
            else table[field.name]
            for field in table.schema
        }
        pq.write_table(pa.table(columns), path, store_schema=False)
    assert Archive(archive).verify().findings == []


def test_ids_are_compared_share_by_share(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(archive / "quanta.parquet", "quantum_id", lambda v: [*v[:8], v[2], v[9]])
    monkeypatch.setattr(checked_tables, "_COMPARED", 3)
    assert [one.row for one in found(archive) if "twice" in one.problem] == [8]


def test_no_more_than_some_of_a_kind_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", [archives.Made(n, archives.used(n)) for n in range(300)])
    change(folder / "quanta.parquet", "actual_inputs", lambda v: [9] * len(v))
    made = Archive(folder).verify()
    assert (made.count, len(made.findings)) == (300, 100)


def test_command(sound: Path, archive: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(main, ["verify", *map(str, arguments)])

    done = run(sound)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "The archive is sound.")
    change(archive / "quanta.parquet", "actual_inputs", one_changed(3, 1))
    done = run(archive)
    assert done.exit_code == 1 and "1 finding" in done.stdout
    assert f"quanta.parquet    1  {uuid.UUID(int=(2 << 120) + 1)}" in done.stdout
    told = json.loads(run(archive, "--format", "json").stdout)
    assert (told["sound"], told["count"], told["findings"][0]["row"]) == (False, 1, 1)
    assert run(archive, "--format", "csv").stdout.splitlines()[0] == "file,row,id,problem"
    (tmp_path / "folder").mkdir()
    assert run(tmp_path / "folder").exit_code == run(tmp_path / "nothing").exit_code == 2


def test_progress_is_told(sound: Path) -> None:
    steps: list[str] = []
    Archive(sound).verify(progress=lambda one: steps.append(one.step))
    assert [step for step, _ in itertools.groupby(steps)][:3] == [
        "reading quanta",
        "reading edges",
        "reading records",
    ]
