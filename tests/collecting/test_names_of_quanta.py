"""The index by name of quanta: the same answers as without it, whatever their data IDs are."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import quantum, tables, write_log

from quantum_butler import AmbiguousNameError, Archive, collect
from quantum_butler.archive.naming import name_key
from quantum_butler.collecting import name_indexes

INDEX = "quantum_names.arrow"

# Tasks, and data IDs of their quanta; dimensions are not the same in all parts of a log.
NAMES: list[tuple[str | None, dict[str, Any] | None]] = [
    *(("isr", {"instrument": "Cam", "exposure": n, "detector": n % 3}) for n in range(140)),
    *(("isr", {"instrument": '\u00e4\\"', "exposure": n, "detector": 0}) for n in range(2)),
    ("isr", {"exposure": 7}),
    ("isr", None),
    (None, {"tract": 3}),
    (None, None),
    *(("coadd", {"skymap": one, "tract": -n}) for one in ("rings", "2026-11-30") for n in range(2)),
    ("all", {}),
    ("new", {"healpix9": 2**40}),
]


def line(n: int, label: str | None, data_id: dict[str, Any] | None) -> dict[str, Any]:
    one = copy.deepcopy(quantum(0))
    one["quantum_id"] = str(uuid.UUID(int=n + 1))
    for name in ("task_label", "data_id"):
        one.pop(name, None)
    if label is not None:
        one["task_label"] = label
    if data_id is not None:
        one["data_id"] = data_id
    values = {name: value for name, value in (data_id or {}).items() if name != "healpix9"}
    output = str(uuid.UUID(int=(1 << 64) + n))
    for name in one:
        if isinstance(one[name], list):
            one[name] = []
    one["predicted_outputs"] = one["actual_outputs"] = [output]
    one["datastore_records"] = {}
    one["datasets"] = [
        {
            "type": f"{label}_out",
            "run": "out",
            "storage_class": "X",
            "dimensions": [*values],
            "ids": [output],
            "data_ids": [[*values.values()]],
        }
    ]
    return one


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quanta")
    lines = [line(n, *name) for n, name in enumerate(NAMES)]
    collect(write_log(folder / "log.jsonl", lines), folder / "archive")
    return folder / "archive"


@pytest.fixture(scope="module")
def without(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same archive as earlier releases have written it."""
    before = Path(shutil.copytree(archive, tmp_path_factory.mktemp("before") / "archive"))
    (before / INDEX).unlink()
    return before


def resolved(run: Archive, name: list[str]) -> Any:
    try:
        return run.resolve(name, kind="quantum")
    except AmbiguousNameError as error:
        return error.candidates
    except LookupError:
        return None


def test_it_leads_to_each_quantum(archive: Path) -> None:
    with pa.ipc.open_file(archive / INDEX) as file:
        names = file.read_all().to_pydict()
    assert names["key"] == sorted(names["key"])
    pairs = {*zip(names["key"], names["row"], strict=True)}
    quanta = tables(archive)["quanta"].to_pylist()
    labelled = [(n, row) for n, row in enumerate(quanta) if row["task_label"] is not None]
    assert len(pairs) == len(names["row"]) == len(labelled) > 100
    for number, row in labelled:
        assert (name_key(row["task_label"], json.loads(row["data_id"] or "{}")), number) in pairs
    assert Archive(archive).verify().findings == []


def test_it_gives_the_same_answers(archive: Path, without: Path) -> None:
    one, other = Archive(archive), Archive(without)
    assert one.source.labels("quantum") == other.source.labels("quantum") == ["all", "coadd", "isr", "new"]
    assert Archive(without).verify().findings == []
    asked = 0
    for label, data_id in NAMES[::13] + NAMES[138:]:
        pairs = [*(data_id or {}).items(), ("detector", 10_000)]
        for count in range(len(pairs) + 1):
            for some in itertools.combinations(pairs, count):
                words = [f"{name} = {value!r}" for name, value in some if "\u00e4" not in str(value)]
                where = " AND ".join(words) or None
                conditions = [
                    where,
                    f"NOT ({where})" if where else None,
                    f"{where or 'tract = 0'} OR tract = 3",
                ]
                for condition in conditions:
                    found = [run.find_quanta(task=label, where=condition).to_pylist() for run in (one, other)]
                    assert found[0] == found[1]
                    asked += bool(found[0])
                if label is not None and len(dict(some)) == count:
                    name = [label, *(f"{name}={value}" for name, value in some)]
                    assert resolved(one, name) == resolved(other, name)
    assert asked > 40


@pytest.mark.parametrize(
    "odd",
    [{"exposure": 1.5}, {"exposure": "7"}, {"exposure": [7]}, {"exposure": {"a": 7}}, {"exposure": 2**70}],
    ids=str,
)
def test_data_ids_that_it_cannot_know_have_none(archive: Path, odd: dict[str, Any], tmp_path: Path) -> None:
    """Conditions on these do not mean equal values, or are an error."""
    lines = [line(n, *name) for n, name in enumerate(NAMES)]
    lines[50]["data_id"] = odd
    collect(write_log(tmp_path / "log.jsonl", lines), tmp_path / "archive")
    rows = pq.read_table(tmp_path / "archive" / "quanta.parquet")
    if len(rows) == len(NAMES):
        assert not (tmp_path / "archive" / INDEX).exists()
    assert Archive(tmp_path / "archive").verify().findings == []
    [found] = Archive(tmp_path / "archive").find_quanta(task="new").to_pylist()
    assert json.loads(found["data_id"]) == {"healpix9": 2**40}


def test_a_merge_has_it_too(archive: Path, without: Path, tmp_path: Path) -> None:
    collect([without], tmp_path / "merged")
    assert (tmp_path / "merged" / INDEX).read_bytes() == (archive / INDEX).read_bytes()


def test_it_is_put_in_order_in_parts(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are too many for memory at once are sorted in files, and are one batch all the same."""
    monkeypatch.setattr(name_indexes, "_OF_FILE", 4)
    collect([archive], tmp_path / "again")
    for name in (INDEX, "names.arrow"):
        assert (tmp_path / "again" / name).read_bytes() == (archive / name).read_bytes()
        with pa.ipc.open_file(archive / name) as file:
            assert file.num_record_batches == 1
