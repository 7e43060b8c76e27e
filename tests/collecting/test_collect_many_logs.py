"""Many small logs, as a job for each quantum leaves: read together, each told by its own name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up import assert_same, lines, provenance_of, quantum, tables, text, write_log

from quantum_butler import collect
from quantum_butler.collecting import found as found_module
from quantum_butler.collecting import pieces as pieces_module
from quantum_butler.collecting import sources as sources_module
from quantum_butler.collecting.pieces import scan_piece
from quantum_butler.collecting.sources import Sources


def maps() -> int:
    """Return how many parts of files, and of memory, the process has mapped."""
    return len(Path("/proc/self/maps").read_text().splitlines())


class Most:
    """The most of something, whenever `collect` tells how far it is."""

    def __init__(self, count: Callable[[], int]):
        self._count, self.most, self.calls = count, 0, 0

    def __call__(self, progress: Any) -> None:
        self.most = max(self.most, self._count())
        self.calls += 1


def write_logs(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{n:05d}.jsonl" for n in range(count)]
    for n, path in enumerate(paths):
        path.write_bytes(text(quantum(n)))
    return paths


@pytest.mark.parametrize("together", [True, False])
def test_no_file_is_mapped_for_each_log(
    tmp_path: Path, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1500
    paths = write_logs(tmp_path / "logs", count)
    (tmp_path / "whole.jsonl").write_bytes(b"".join(path.read_bytes() for path in paths))
    if not together:
        # As if each were larger.
        monkeypatch.setattr(sources_module, "_SMALL", 1 << 60)
    collect(paths[0], tmp_path / "archive")
    before, most = maps(), Most(maps)
    report = collect(tmp_path / "logs", tmp_path / "archive", overwrite=True, progress=most)
    assert (report.quanta, report.rejected) == (count, 0)
    assert most.calls > (count if not together else 2)
    assert most.most - before < 500
    collect(tmp_path / "whole.jsonl", tmp_path / "expected")
    assert_same(tmp_path / "archive", tmp_path / "expected")


def test_pieces_have_as_much_as_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "_FILES_PIECE", 40)
    paths = write_logs(tmp_path / "logs", 100)
    pieces = list(Sources([tmp_path / "logs"], "").pieces())
    assert [len(piece.names) for piece in pieces] == [40, 40, 20]
    size = sum(path.stat().st_size for path in paths)
    monkeypatch.setattr(sources_module, "_LINES_PIECE", size // 3)
    monkeypatch.setattr(sources_module, "_SMALL", 2)
    pieces = list(Sources([tmp_path / "logs"], "").pieces())
    assert [name for piece in pieces for name in piece.names] == [str(path) for path in paths]
    assert all(sum(piece.sizes) <= size // 3 for piece in pieces) and len(pieces) in (4, 5)


def varied(folder: Path) -> list[dict[str, Any]]:
    """Write logs of each kind, some of them damaged, and return the entries that a manifest has of them."""
    entries = []
    for n, ending in enumerate([".jsonl", ".jsonl.zst", ".jsonl.gz"] * 4):
        # A folder for each, as jobs have them.
        path = write_log(folder / f"job-{n:02d}" / f"log{ending}", [quantum(2 * n), quantum(2 * n + 1)])
        rejected = 0
        if n in (3, 4, 5):
            path.write_bytes(path.read_bytes()[:-5])
            rejected = 1
        if n == 6:
            path.write_bytes(b"")
        read = {3: 1, 6: 0}.get(n, 2)
        # Of a compressed log that ends too soon, the lines before the end are read.
        entries.append(
            {"source": str(path), "bytes": path.stat().st_size, "quanta": read, "rejected": rejected}
        )
    return entries


@pytest.mark.parametrize("relative", [False, True])
def test_each_log_is_told_by_its_own_name(
    tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = varied(Path("logs") if relative else tmp_path / "logs")
    last = write_log(Path("z.jsonl"), [quantum(1000), quantum(0, task_label="new")])
    report = collect(["logs" if relative else tmp_path / "logs", last], tmp_path / "archive")
    expected.append({"source": str(last), "bytes": last.stat().st_size, "quanta": 2, "rejected": 0})
    found = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    for one, wanted in zip(found, expected, strict=True):
        if one["rejected"] and not one["source"].endswith(".jsonl"):
            # What there was before the end depends on the compression.
            assert one["quanta"] <= wanted.pop("quanta") and one.pop("quanta") >= 0
        assert one == wanted
    rejected = lines(tmp_path / "archive" / "rejected.jsonl")
    damaged = [one for one in expected if one["rejected"]]
    assert [one["source"] for one in rejected] == [one["source"] for one in damaged]
    assert rejected[0]["offset"] == len(text(quantum(6)))
    [replaced] = lines(tmp_path / "archive" / "replaced.jsonl")
    assert replaced["dropped"] == {"source": expected[0]["source"], "offset": 0}
    assert replaced["kept"] == {"source": "z.jsonl", "offset": len(text(quantum(1000)))}
    assert report.input_bytes == sum(one["bytes"] for one in found)


def test_too_many_logs_have_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_module, "_MOST_LISTED", 5)
    paths = write_logs(tmp_path / "logs", 6)
    size = sum(path.stat().st_size for path in paths)
    few = write_log(tmp_path / "few" / "a.jsonl", [quantum(50)])
    sources = [tmp_path / "few", tmp_path / "logs", f"{tmp_path}/logs/*.jsonl", *paths]
    collect(sources, tmp_path / "archive")
    found = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    counts = {"logs": 6, "bytes": size, "quanta": 6, "rejected": 0}
    assert found == [
        {"source": str(few), "bytes": few.stat().st_size, "quanta": 1, "rejected": 0},
        {"source": str(tmp_path / "logs"), **counts},
        {"source": f"{tmp_path}/logs/*.jsonl", **counts},
        {"source": str(paths[0]), **counts},
    ]
    collect(paths[:5], tmp_path / "archive", overwrite=True)
    found = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    assert [one["source"] for one in found] == [str(path) for path in paths[:5]]


def test_files_in_folders_of_their_own_are_read_together(tmp_path: Path) -> None:
    for n in range(30):
        folder = tmp_path / "files" / f"job-{n:02d}"
        folder.mkdir(parents=True)
        (folder / f"{quantum(n)['quantum_id']}.json").write_bytes(text(provenance_of(quantum(n))))
    [piece] = Sources([tmp_path / "files"], "").pieces()
    assert len(piece.names) == 30
    report = collect(tmp_path / "files", tmp_path / "archive")
    assert (report.quanta, report.rejected) == (30, 0)
    [entry] = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    assert (entry["source"], entry["quanta"]) == (str(tmp_path / "files"), 30)


def test_a_log_that_comes_while_others_are_read_is_listed(tmp_path: Path) -> None:
    write_logs(tmp_path / "logs", 3)

    def add(progress: Any) -> None:
        write_log(tmp_path / "logs" / "late.jsonl", [quantum(70)])

    report = collect(tmp_path / "logs", tmp_path / "archive", progress=add)
    assert report.quanta == 4
    found = json.loads((tmp_path / "archive" / "manifest.json").read_text())["sources"]
    assert [one["source"] for one in found][-1] == str(tmp_path / "logs" / "late.jsonl")


def test_logs_that_vanish_or_cannot_be_read_take_nothing_with_them(tmp_path: Path) -> None:
    paths = write_logs(tmp_path / "logs", 5)

    [piece] = Sources(paths, "").pieces()
    paths[2].unlink()
    paths[2].mkdir()
    paths[3].unlink()
    (tmp_path / "parts").mkdir()
    part = scan_piece(piece, 1, str(tmp_path / "parts"))
    assert (part.quanta, part.rejected) == (3, 2)
    assert [rejected for _, _, rejected in part.by_source] == [0, 0, 1, 1, 0]
    rejected = lines(tmp_path / "parts" / "00000001.rejected")
    assert [(one["source"], one["reason"]) for one in rejected] == [
        (str(paths[2]), "the log cannot be read: Is a directory"),
        (str(paths[3]), "the log cannot be read: No such file or directory"),
    ]


def test_a_log_of_nothing_but_rejections_ends_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_MOST_REJECTED", 50)
    for name, ending in (("a", ".jsonl"), ("c", ".jsonl.gz"), ("e", ".jsonl.zst")):
        write_log(tmp_path / "logs" / f"{name}{ending}", [{"quantum_id": 7}] * 200)
    for n, name in enumerate("bdf"):
        write_log(tmp_path / "logs" / f"{name}.jsonl", [quantum(n)])
    report = collect(tmp_path / "logs", tmp_path / "archive")
    assert (report.quanta, report.rejected) == (3, 3 * 51)
    assert len(tables(tmp_path / "archive")["quanta"]) == 3
