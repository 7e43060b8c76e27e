"""A quantum that comes more than once, and archives that are added to."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import ROLES, assert_same, lines, quantum, tables, text, write_log

from quantum_butler import ArchiveError, collect
from quantum_butler.collecting import duplicates


def turned(one: dict[str, Any]) -> dict[str, Any]:
    """Return the same content in another order."""
    other = {**one, **{role: one[role][::-1] + one[role][:1] for role in ROLES}}
    other["datastore_records"] = {
        name: {
            "dataset_ids": found["dataset_ids"][::-1],
            "records": {
                kind: {
                    key: {table: rows[::-1] for table, rows in by_table.items()}
                    for key, by_table in reversed(by_dataset.items())
                }
                for kind, by_dataset in found["records"].items()
            },
        }
        for name, found in one["datastore_records"].items()
    }
    if one["data_id"] is not None:
        other["data_id"] = dict(reversed(one["data_id"].items()))
    return dict(reversed(other.items()))


def test_the_same_content_in_any_order_counts_once(tmp_path: Path) -> None:
    quanta = [quantum(n) for n in range(60)]
    log = write_log(tmp_path / "log.jsonl", [*quanta, *map(turned, quanta)])
    report = collect(log, tmp_path / "archive")
    assert (report.read, report.quanta, report.repeated, report.replaced) == (120, 60, 60, 0)
    collect(write_log(tmp_path / "once.jsonl", quanta), tmp_path / "expected")
    assert_same(tmp_path / "archive", tmp_path / "expected")
    assert not (tmp_path / "archive" / "replaced.jsonl").exists()


def changes(one: dict[str, Any]) -> list[dict[str, Any]]:
    """Return quanta that differ from one in one thing each."""
    changed = []

    def change(**values: Any) -> None:
        changed.append({**one, **values})

    change(task_label="another")
    change(data_id={"instrument": "Cam", "detector": 1000})
    change(data_id={})
    extra = str(uuid.UUID(int=1))
    for role in ROLES:
        change(**{role: [*one[role], extra]})
    for column in ("path", "formatter", "storage_class", "component", "checksum", "file_size"):
        records = json.loads(json.dumps(one["datastore_records"]))
        [[row, *_], *_] = (
            next(iter(records["FileDatastore@<butlerRoot>"]["records"].values())).popitem()[1].values()
        )
        records = json.loads(json.dumps(one["datastore_records"]))
        for by_table in next(iter(records["FileDatastore@<butlerRoot>"]["records"].values())).values():
            by_table["file_datastore_records"][0][column] = 123 if column == "file_size" else "changed"
        assert row is not None
        change(datastore_records=records)
    change(datastore_records={"other": one["datastore_records"]["FileDatastore@<butlerRoot>"]})
    change(datastore_records={})
    return changed


def test_any_difference_is_told_and_the_later_is_kept(tmp_path: Path) -> None:
    one = next(quantum(n) for n in range(99) if quantum(n)["actual_outputs"] and quantum(n)["data_id"])
    for number, changed in enumerate(changes(one)):
        first = write_log(tmp_path / "first.jsonl", [quantum(900), one])
        second = write_log(tmp_path / "second.jsonl", [quantum(901), quantum(902), changed])
        archive = tmp_path / f"archive{number}"
        report = collect([first, second], archive)
        assert (report.quanta, report.repeated, report.replaced) == (4, 0, 1), changed
        assert lines(archive / "replaced.jsonl") == [
            {
                "quantum_id": one["quantum_id"],
                "kept": {
                    "source": str(second),
                    "offset": len(text(quantum(901))) + len(text(quantum(902))),
                },
                "dropped": {"source": str(first), "offset": len(text(quantum(900)))},
            }
        ]
        expected = write_log(tmp_path / "kept.jsonl", [quantum(900), quantum(901), quantum(902), changed])
        collect(expected, tmp_path / "expected", overwrite=True)
        assert_same(archive, tmp_path / "expected", attempts=False)
        assert sorted(tables(archive)["quanta"]["attempts"].to_pylist()) == [1, 1, 1, 2]


contents = st.lists(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from("ab")), max_size=8), min_size=2, max_size=4
)


@pytest.mark.proof
@given(contents)
def test_adding_to_an_archive_is_collecting_at_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, str]]]
) -> None:
    folder = tmp_path_factory.mktemp("append")
    logs = [
        write_log(folder / f"{number}.jsonl", [quantum(n, task_label=label) for n, label in batch])
        for number, batch in enumerate(batches)
    ]
    at_once = collect(logs, folder / "expected")
    for number, log in enumerate(logs):
        report = collect(log, folder / "archive", append=number > 0)
    assert_same(folder / "archive", folder / "expected")
    manifests = [
        json.loads((folder / name / "manifest.json").read_text()) for name in ("archive", "expected")
    ]
    assert manifests[0]["sources"] == manifests[1]["sources"]
    assert manifests[0]["counts"] == manifests[1]["counts"]
    assert (report.quanta, report.datasets) == (at_once.quanta, at_once.datasets)
    ids = [
        [one["quantum_id"] for one in lines(folder / name / "replaced.jsonl")]
        for name in ("archive", "expected")
    ]
    assert sorted(ids[0]) == sorted(ids[1])


def test_a_quantum_of_the_archive_that_is_replaced_is_told_by_its_row(tmp_path: Path) -> None:
    collect(
        write_log(tmp_path / "a.jsonl", [quantum(1), quantum(2), {"quantum_id": 7}]), tmp_path / "archive"
    )
    log = write_log(tmp_path / "b.jsonl", [quantum(2, task_label="new"), {"quantum_id": 8}])
    collect(log, tmp_path / "archive", append=True)
    [replaced] = lines(tmp_path / "archive" / "replaced.jsonl")
    assert replaced["dropped"] == {"archive": str(tmp_path / "archive"), "row": 1}
    assert replaced["kept"] == {"source": str(log), "offset": 0}
    rejected = lines(tmp_path / "archive" / "rejected.jsonl")
    assert [Path(one["source"]).name for one in rejected] == ["a.jsonl", "b.jsonl"]


def test_adding_to_nothing_makes_an_archive(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.jsonl", [quantum(1)])
    collect(log, tmp_path / "archive", append=True)
    assert len(tables(tmp_path / "archive")["quanta"]) == 1


def test_many_duplicates_are_found_in_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quanta = [quantum(n % 40, task_label="ab"[n % 120 // 80]) for n in range(160)]
    log = write_log(tmp_path / "log.jsonl", quanta)
    collect(log, tmp_path / "expected")
    monkeypatch.setattr(duplicates, "_AT_ONCE", 30)
    report = collect(log, tmp_path / "archive")
    assert (report.quanta, report.repeated, report.replaced) == (40, 40, 80)
    assert_same(tmp_path / "archive", tmp_path / "expected")


def test_an_archive_of_another_version_is_not_added_to(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.jsonl", [quantum(1)])
    collect(log, tmp_path / "archive")
    manifest = tmp_path / "archive" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(ArchiveError, match="version 3"):
        collect(log, tmp_path / "archive", append=True)
