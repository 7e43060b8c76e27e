"""Several attempts at one quantum: which is kept, and what is known of the others."""

from __future__ import annotations

import itertools
import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import assert_same, lines, provenance_of, quantum, tables, text, write_log

from quantum_butler import Archive, ArchiveError, collect

DAY = "2026-11-30T"


def attempt(n: int, label: str, begin: str | None, end: str | None, failed: bool | None) -> dict[str, Any]:
    """Return a quantum with the time of an attempt; its label tells it from others."""
    time = lambda clock: None if clock is None else f"{DAY}{clock}.000000Z"  # noqa: E731
    return {**quantum(n, task_label=label), "begin": time(begin), "end": time(end), "failed": failed}


def rows(archive: Path, name: str = "quanta") -> list[dict[str, Any]]:
    """Return rows of a table; none if it is not there."""
    path = archive / f"{name}.parquet"
    return pq.read_table(path).to_pylist() if path.exists() else []


def kept(archive: Path) -> list[tuple[str, int]]:
    """Return the labels of what is kept, and how many attempts there were."""
    return [(row["task_label"], row["attempts"]) for row in rows(archive)]


# Attempts at one quantum, in order of the sources; the right one is called "kept".
CASES = {
    "a failure that was logged later": [
        ("kept", "10:00:00", "11:00:00", False), ("x", "09:00:00", "10:30:00", True),
    ],
    "a success in the log of a process that began earlier": [
        ("kept", "10:00:00", "10:01:00", False), ("x", "09:00:00", "09:01:00", True),
    ],
    "a failure within a success, by the clock of another host": [
        ("kept", "10:00:00", "11:00:00", False), ("x", "10:20:00", "10:30:00", True),
    ],
    "a failure after a success, such as one whose outputs were there": [
        ("kept", "10:00:00", "11:00:00", False), ("x", "12:00:00", "12:00:01", True),
    ],
    "two successes": [("kept", "10:00:00", "10:30:00", False), ("x", "09:00:00", "11:00:00", False)],
    "two failures": [("kept", "10:00:00", "10:30:00", True), ("x", "09:00:00", "11:00:00", True)],
    "equal beginnings": [("kept", "10:00:00", "10:30:00", False), ("x", "10:00:00", "10:20:00", False)],
    "equal times": [("x", "10:00:00", "10:30:00", False), ("kept", "10:00:00", "10:30:00", False)],
    "no times": [("x", None, None, None), ("kept", None, None, None)],
    "an old line after a new one": [("kept", "10:00:00", "10:30:00", False), ("x", None, None, None)],
    "an old line and a failure": [("kept", None, None, None), ("x", "10:00:00", "10:30:00", True)],
    "an end without a beginning": [("kept", None, "10:30:00", None), ("x", "10:00:00", None, None)],
    "a clock that was set back": [
        ("kept", "10:00:00", "09:00:00", False), ("x", "09:30:00", "09:40:00", False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ways", ["one log", "two logs", "appended", "appended the other way"])
def test_each_case_of_the_rule(tmp_path: Path, case: str, ways: str) -> None:
    attempts = [attempt(1, *one) for one in CASES[case]]
    if ways == "appended the other way":
        if case in ("equal times", "no times"):
            pytest.skip("there the order of the sources decides")
        attempts.reverse()
    archive = tmp_path / "archive"
    if ways == "one log":
        collect(write_log(tmp_path / "log.jsonl", attempts), archive)
    else:
        logs = [write_log(tmp_path / f"{number}.jsonl", [one]) for number, one in enumerate(attempts)]
        if ways == "two logs":
            collect(logs, archive)
        else:
            collect(logs[0], archive)
            collect(logs[1], archive, append=True)
    assert kept(archive) == [("kept", 2)]
    [wanted] = [one for one in attempts if one["task_label"] == "kept"]
    [other] = [one for one in attempts if one["task_label"] != "kept"]
    for one, found in ((wanted, rows(archive)), (other, rows(archive, "attempts"))):
        [row] = found
        times = [
            None if row[name] is None else row[name].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            for name in ("begin", "end")
        ]
        assert (str(row["quantum_id"]), *times, row["failed"]) == tuple(
            one[name] for name in ("quantum_id", "begin", "end", "failed")
        )
    [replaced] = lines(archive / "replaced.jsonl")
    assert replaced["quantum_id"] == wanted["quantum_id"]
    # Questions are asked of what is kept.
    assert Archive(archive).show(uuid.UUID(wanted["quantum_id"])).quantum.task_label == "kept"


def test_logs_that_are_added_again_change_nothing(tmp_path: Path) -> None:
    """As whoever collects a folder each night does."""
    log = write_log(
        tmp_path / "a.jsonl",
        [
            attempt(1, "first", "09:00:00", "09:10:00", True),
            attempt(2, "only", "09:00:00", "09:10:00", False),
            attempt(1, "second", "10:00:00", "10:10:00", False),
        ],
    )
    collect(log, tmp_path / "expected")
    collect(log, tmp_path / "archive")
    for _ in range(2):
        report = collect(log, tmp_path / "archive", append=True)
        assert (report.read, report.repeated, report.replaced) == (3, 3, 0)
        assert_same(tmp_path / "archive", tmp_path / "expected")
        assert rows(tmp_path / "archive", "attempts") == rows(tmp_path / "expected", "attempts")
    assert sorted(kept(tmp_path / "archive")) == [("only", 1), ("second", 2)]


def test_two_attempts_may_have_done_the_same(tmp_path: Path) -> None:
    same = [attempt(1, "x", f"{hour}:00:00", f"{hour}:10:00", False) for hour in (10, 11, 11)]
    report = collect(write_log(tmp_path / "log.jsonl", same), tmp_path / "archive")
    assert (report.repeated, report.replaced) == (1, 1)
    [row] = rows(tmp_path / "archive")
    assert (row["attempts"], row["begin"].hour) == (2, 11)


@pytest.mark.parametrize("file_first", [False, True])
@pytest.mark.parametrize("failed", [False, True])
def test_the_file_of_a_quantum_is_the_attempt_that_a_log_has(
    tmp_path: Path, file_first: bool, failed: bool
) -> None:
    one = {**quantum(1, task_label=None, data_id=None), "begin": f"{DAY}10:00:00.000000Z", "failed": failed}
    log = write_log(tmp_path / "log.jsonl", [one])
    file = tmp_path / f"{one['quantum_id']}.json"
    file.write_text(json.dumps(provenance_of(one)))
    sources = [file, log] if file_first else [log, file]
    report = collect(sources, tmp_path / "archive")
    assert (report.quanta, report.repeated, report.replaced) == (1, 1, 0)
    [row] = rows(tmp_path / "archive")
    assert (row["attempts"], row["begin"].hour, row["failed"]) == (1, 10, failed)
    collect(sources[0], tmp_path / "added")
    collect(sources[1], tmp_path / "added", append=True)
    assert plain(rows(tmp_path / "added")) == plain(rows(tmp_path / "archive"))


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: str(row["quantum_id"]))


some = st.tuples(
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from(["09:00:00", "10:00:00", "11:00:00"]),
    st.sampled_from([None, "12:00:00"]),
    st.sampled_from([None, False, True]),
)


@given(st.lists(st.lists(some, max_size=6), min_size=2, max_size=4))
def test_adding_is_collecting_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[int, str, str, str | None, bool | None]]],
) -> None:
    folder = tmp_path_factory.mktemp("attempts")
    logs = [
        write_log(folder / f"{number}.jsonl", [attempt(*one) for one in batch])
        for number, batch in enumerate(batches)
    ]
    collect(logs, folder / "expected")
    for number, log in enumerate(logs):
        collect(log, folder / "archive", append=number > 0)
    assert_same(folder / "archive", folder / "expected")
    assert rows(folder / "archive", "attempts") == rows(folder / "expected", "attempts")
    counts = [
        json.loads((folder / name / "manifest.json").read_text())["counts"]
        for name in ("archive", "expected")
    ]
    assert counts[0] == counts[1]
    found = rows(folder / "expected")
    for n in {one[0] for one in itertools.chain(*batches)}:
        of_quantum = [one[1:] for one in itertools.chain(*batches) if one[0] == n]
        [row] = [row for row in found if str(row["quantum_id"]) == quantum(n)["quantum_id"]]
        assert row["failed"] is not True or all(failed for *_, failed in of_quantum)
        latest = max(
            begin for _, begin, _, failed in of_quantum if (failed is True) == (row["failed"] is True)
        )
        assert row["begin"].strftime("%H:%M:%S") == latest


def test_an_archive_of_an_earlier_release_is_added_to(tmp_path: Path) -> None:
    quanta = [quantum(n) for n in range(3)]
    old = tmp_path / "archive"
    collect(write_log(tmp_path / "old.jsonl", quanta), old)
    table = pq.read_table(old / "quanta.parquet")
    first = table.column_names.index("begin")
    pq.write_table(table.drop_columns(table.column_names[first:]), old / "quanta.parquet")
    manifest = old / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 1'))
    new = [attempt(1, "new", "10:00:00", None, False), attempt(2, "failed", "10:00:00", None, True)]
    collect(write_log(tmp_path / "new.jsonl", new), old, append=True)
    collect([tmp_path / "old.jsonl", tmp_path / "new.jsonl"], tmp_path / "expected")
    assert_same(old, tmp_path / "expected", attempts=False)
    assert [row["attempts"] for row in plain(rows(old))] == [1, 2, 2]


def damaged(archive: Path, change: str) -> None:
    """Damage what an archive says of attempts."""
    path = archive / "attempts.parquet"
    table = pq.read_table(path)
    if change == "missing":
        path.unlink()
    elif change == "no table":
        path.write_bytes(b"PAR1")
    elif change == "another table":
        shutil.copy(archive / "edges.parquet", path)
    elif change == "a quantum that is not there":
        ids = pa.array([uuid.UUID(int=5)] * len(table), pa.uuid())
        pq.write_table(table.set_column(0, table.schema.field(0), ids), path)
    else:
        pq.write_table(pa.concat_tables([table, table]), path)


@pytest.mark.parametrize(
    "change", ["missing", "no table", "another table", "a quantum that is not there", "one too many"]
)
def test_an_archive_that_does_not_know_its_attempts_is_not_added_to(tmp_path: Path, change: str) -> None:
    log = write_log(
        tmp_path / "log.jsonl",
        [attempt(1, "a", "10:00:00", None, True), attempt(1, "b", "11:00:00", None, True)],
    )
    archive = tmp_path / "archive"
    collect(log, archive)
    damaged(archive, change)
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    with pytest.raises(ArchiveError, match=r"attempts\.parquet"):
        collect(log, archive, append=True)
    assert {path.name: path.read_bytes() for path in archive.iterdir()} == before


def test_fingerprints_stay_as_they_are(tmp_path: Path) -> None:
    """An archive keeps them, and a later release compares its own with them."""
    first, second = (attempt(3, "x", f"{hour}:00:00", None, True) for hour in (10, 11))
    collect(write_log(tmp_path / "log.jsonl", [first, second]), tmp_path / "archive")
    [row] = rows(tmp_path / "archive", "attempts")
    assert row["content"].hex() == "0b8d01a48a12c29cb67a54b448a0651b"


TIMES: Sequence[tuple[str, str | None]] = [
    ("2026-11-30T10:00:00.5Z", "10:00:00.500000"),
    ("2026-11-30T10:00:00+00:00", "10:00:00.000000"),
    ("2026-11-30T12:00:00.123456789+02:00", "10:00:00.123456"),
    ("2026-11-30T10:00:00", None),
    ("yesterday", None),
]


@pytest.mark.parametrize(("given", "read"), TIMES)
def test_times_of_other_writers(tmp_path: Path, given: str, read: str | None) -> None:
    one = {**quantum(1), "begin": given}
    report = collect(write_log(tmp_path / "log.jsonl", [one]), tmp_path / "archive")
    if read is None:
        [rejected] = report.rejections
        assert rejected["reason"].startswith("begin: not a date, a time and a zone")
    else:
        [row] = tables(tmp_path / "archive")["quanta"].to_pylist()
        assert row["begin"].strftime("%H:%M:%S.%f") == read
    assert text(one)
