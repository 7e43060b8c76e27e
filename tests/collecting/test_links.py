"""Links in a folder of logs: round in a circle, out of it, up, and to nowhere."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from made_up import quantum, tables, write_log

from quantum_butler import NoSuchSourceError, collect


def sources_of(archive: Path) -> list[str]:
    manifest = json.loads((archive / "manifest.json").read_text())
    return [entry["source"] for entry in manifest["sources"]]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of logs with links of every kind, in the working folder."""
    monkeypatch.chdir(tmp_path)
    logs, outside = tmp_path / "parent" / "logs", tmp_path / "outside"
    write_log(logs / "a" / "one.jsonl", [quantum(1)])
    write_log(logs / "b" / "two.jsonl", [quantum(2)])
    write_log(outside / "three.jsonl", [quantum(3)])
    write_log(outside / "deep" / "four.jsonl", [quantum(4)])
    # What is beside the logs is not meant.
    write_log(tmp_path / "parent" / "five.jsonl", [quantum(5)])
    for at, target in {
        "loop": ".", "a/back": "..", "a/other": "../b", "b/other": "../a", "up": "..", "far-up": "/",
        "out": outside, "out-again": outside, "itself": "itself", "itself.txt": "itself.txt", "nowhere": "x",
    }.items():  # fmt: skip
        (logs / at).symlink_to(target)
    # A circle beyond the first link, and what is beside that.
    (outside / "round").symlink_to(logs)
    write_log(tmp_path / "elsewhere" / "six.jsonl", [quantum(6)])
    (outside / "up").symlink_to("..")
    return logs


@pytest.mark.parametrize("source", ["parent/logs", "parent/logs/**", "parent/logs/**/*.jsonl", "**/logs"])
def test_each_folder_is_read_once(logs: Path, tmp_path: Path, source: str) -> None:
    report = collect(source, tmp_path / "archive")
    assert (report.quanta, report.read, report.repeated, report.rejected) == (4, 4, 0, 0)
    read = [Path(name).name for name in sources_of(tmp_path / "archive")]
    assert sorted(read) == ["four.jsonl", "one.jsonl", "three.jsonl", "two.jsonl"]


def test_patterns_pass_over_what_leads_nowhere(logs: Path, tmp_path: Path) -> None:
    report = collect("parent/logs/*", tmp_path / "archive")
    assert (report.quanta, report.repeated) == (4, 0)


def test_a_log_that_leads_nowhere_is_told(logs: Path, tmp_path: Path) -> None:
    for name, target in (("lost.jsonl", "nowhere.jsonl"), ("round.jsonl", "round.jsonl")):
        (logs / name).symlink_to(target)
    report = collect(logs, tmp_path / "archive")
    assert (report.quanta, report.rejected) == (4, 2)
    assert {Path(entry["source"]).name for entry in report.rejections} == {"lost.jsonl", "round.jsonl"}
    report = collect(f"{logs}/*", tmp_path / "again")
    assert (report.quanta, report.rejected) == (4, 2)
    with pytest.raises(NoSuchSourceError, match="nowhere"):
        collect(logs / "nowhere", tmp_path / "none")
    with pytest.raises(OSError, match="itself"):
        collect(logs / "itself", tmp_path / "none")


def test_the_source_may_be_a_link(logs: Path, tmp_path: Path) -> None:
    collect(logs / "loop", tmp_path / "archive")
    assert len(tables(tmp_path / "archive")["quanta"]) == 4


def test_a_link_to_the_archive_is_passed_over(tmp_path: Path) -> None:
    write_log(tmp_path / "logs" / "one.jsonl", [quantum(1)])
    (tmp_path / "logs" / "to").symlink_to(tmp_path / "archive")
    collect(tmp_path / "logs", tmp_path / "archive")
    assert collect(tmp_path / "logs", tmp_path / "archive", overwrite=True).read == 1


def test_folders_may_be_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Deeper than functions may call each other, as those would that remove it.
    monkeypatch.chdir(tmp_path)
    folders = ["d" + "/d" * n for n in range(sys.getrecursionlimit() + 50)]
    for folder in folders:
        os.mkdir(folder)
    log = write_log(Path(folders[-1], "log.jsonl"), [quantum(1)])
    try:
        assert collect("d", "archive").quanta == 1
    finally:
        log.unlink()
        for folder in reversed(folders):
            os.rmdir(folder)
