"""What names of files and folders mean: one rule, wherever a user may give one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import quantum_butler
from quantum_butler import Archive, ArchiveError, NotASourceError, ProvenanceLog, collect, switches
from quantum_butler.cli.main import main
from quantum_butler.paths import (
    PathError,
    absolute_path,
    is_uri,
    local_path,
    require_writable,
    shown,
    text_path,
)
from quantum_butler.quantum.file import write_provenance
from repositories import Repository

NOT_UTF8 = os.fsdecode(b"l\xff\xfe")


class Provenance:
    """What a log can be given without a butler."""

    def model_dump_json(self) -> str:
        names = (
            "predicted_inputs",
            "available_inputs",
            "actual_inputs",
            "predicted_outputs",
            "actual_outputs",
        )
        return json.dumps({**{name: [] for name in names}, "datastore_records": {}})


PROVENANCE: Any = Provenance()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a home folder, and work in another one."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def write_log(path: str | Path, number: int = 1) -> None:
    with ProvenanceLog(path) as log:
        log.append(uuid.UUID(int=number), PROVENANCE)


def here() -> list[str]:
    return sorted(os.listdir("."))


def test_the_rule(home: Path) -> None:
    for name, path in {
        "a/b": "a/b", "/a": "/a", "~": str(home), "~/a": f"{home}/a", "./~/a": "./~/a", "a/~": "a/~",
        "~no-such-user/a": "~no-such-user/a", "$HOME/a": "$HOME/a", "a%20b#c?d": "a%20b#c?d",
        "file:///a%20b%23": "/a b#", "FILE:/a": "/a", "file://localhost/a": "/a", "file:///~/a": "/~/a",
        "file:///%FF": "/\udcff", "12:30.jsonl": "12:30.jsonl", "c:/a": "c:/a", "./s3:/a": "./s3:/a",
        "file:a": "file:a", NOT_UTF8: NOT_UTF8,
    }.items():  # fmt: skip
        assert os.path.normpath(local_path(name)) == os.path.normpath(path), name
        assert absolute_path(name) == os.path.abspath(path)
        assert not is_uri(name)
    assert local_path(Path("~/a")) == f"{home}/a"
    for name in ("s3://a/b", "s3:/a", "gs://a", "https://a/b", "davs:/a", "resource://a/b"):
        assert is_uri(name)
        with pytest.raises(PathError, match="is a URI"):
            local_path(name)
    for name, reason in {
        "": "empty",
        "file://host/a": "another machine",
        "file:///a#b": "written %3F",
    }.items():
        with pytest.raises(PathError, match=reason):
            local_path(name)
    assert text_path("ü") == os.path.abspath("ü")
    with pytest.raises(PathError, match="not UTF-8"):
        text_path(NOT_UTF8)
    assert shown(NOT_UTF8 + "ü") == "l\\xff\\xfeü"


def test_home_is_home_for_everything_in_a_program(home: Path, repository: Repository) -> None:
    (home / "logs").mkdir()
    write_log("~/logs/log.jsonl")
    assert (home / "logs" / "log.jsonl").exists()
    for place, source in enumerate(
        ("~/logs", "~/logs/*.jsonl", (home / "logs").as_uri(), "~/logs/log.jsonl")
    ):
        assert collect(source, f"~/archive-{place}").quanta == 1
    assert collect("~/logs", (home / "archive").as_uri()).quanta == 1
    for place in ("~/archive-0", "~/archive", (home / "archive").as_uri()):
        archive = Archive(place)
        assert archive.path.parent == home
        assert archive.quanta.count_rows() == 1
    write_provenance(PROVENANCE, "~/new/quantum.json")
    assert json.loads((home / "new" / "quantum.json").read_text())["actual_inputs"] == []
    switches.set_log_folder("~/process")
    assert switches.wanted_log_folder() == str(home / "process")
    switches.set_log_folder(None)
    with repository.butler(quantum_butler.QuantumBackedButler, filename="~/records.sqlite3"):
        assert (home / "records.sqlite3").exists()
    assert here() == []


def test_what_looks_like_home_or_a_uri_can_be_a_file() -> None:
    for folder in ("./~", "./s3:"):
        os.mkdir(folder)
        write_log(f"{folder}/log.jsonl")
        assert collect(folder, f"{folder}/archive").quanta == 1
        assert Archive(f"{folder}/archive").quanta.count_rows() == 1
        name = f"{uuid.UUID(int=2)}.$HOME%20#1.json"
        write_provenance(PROVENANCE, f"{folder}/{name}")
        assert sorted(os.listdir(folder)) == [name, "archive", "log.jsonl"]
        done = CliRunner().invoke(main, ["collect", folder, "-o", f"{folder}/again"])
        assert done.exit_code == 0, done.output
        assert CliRunner().invoke(main, ["stats", f"{folder}/again"]).exit_code == 0
        assert sorted(os.listdir(folder)) == [name, "again", "archive", "log.jsonl"]
    assert here() == ["s3:", "~"]


URI = "s3://bucket/folder"
REFUSING: dict[str, Callable[[str], Any]] = {
    "collect": lambda uri: collect("log.jsonl", uri),
    "archive": Archive,
    "log": lambda uri: ProvenanceLog(f"{uri}/log.jsonl"),
    "install": lambda uri: quantum_butler.install(provenance_log=uri),
    "process log": switches.set_log_folder,
}


@pytest.mark.parametrize("uri", [URI, "s3:/folder", "gs://bucket", "file://host/folder"])
@pytest.mark.parametrize("name", REFUSING)
def test_a_program_that_wants_another_place_is_told(name: str, uri: str) -> None:
    write_log("log.jsonl")
    with pytest.raises(ValueError, match=r"is a URI|of another machine"):
        REFUSING[name](uri)
    assert here() == ["log.jsonl"]


def test_a_record_file_is_not_a_uri(repository: Repository) -> None:
    with pytest.raises(ValueError, match="is a URI"):
        repository.butler(quantum_butler.QuantumBackedButler, filename="s3://bucket/records.sqlite3")
    assert here() == []


COMMANDS = {
    "collect": ["collect", "log.jsonl", "--output", URI],
    "collect, one slash": ["collect", "log.jsonl", "-o", "s3:/archive"],
    "collect, no name": ["collect", "log.jsonl", "-o", ""],
    "collect, another machine": ["collect", "log.jsonl", "-o", "file://host/archive"],
    "collect, not UTF-8": ["collect", "log.jsonl", "-o", NOT_UTF8],
    "collect from one slash": ["collect", "s3:/logs", "-o", "archive"],
    "stats": ["stats", URI],
    "diff": ["diff", URI, URI],
    "plot": ["plot", "archive", "--output", URI],
    "transfer": ["transfer", URI, "repo", "--graph", "graph.qg"],
    "exec": ["exec", "--provenance-log", URI, "true"],
    "exec, no name": ["exec", "--provenance-log", "", "true"],
    "demo": ["demo", "--keep", URI],
    "demo, not UTF-8": ["demo", "--keep", NOT_UTF8],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_refuse_other_places_as_wrong_calls(name: str) -> None:
    write_log("log.jsonl")
    if name == "plot":
        collect("log.jsonl", "archive")
    before = here()
    done = CliRunner().invoke(main, COMMANDS[name])
    assert done.exit_code == 2, done.output
    assert "Error" in done.stderr and "Traceback" not in done.stderr
    assert here() == before


def test_the_command_line_knows_home_where_a_shell_does_not(home: Path) -> None:
    write_log("log.jsonl")
    assert CliRunner().invoke(main, ["collect", "log.jsonl", "--output=~/archive"]).exit_code == 0
    for place in ("~/archive", (home / "archive").as_uri()):
        done = CliRunner().invoke(main, ["stats", place, "--format", "json"])
        assert done.exit_code == 0, done.output
    assert here() == ["log.jsonl"]


def test_names_that_are_not_utf8() -> None:
    folder = Path(NOT_UTF8)
    folder.mkdir()
    for number, ending in enumerate((".jsonl", ".jsonl.zst")):
        write_log(folder / f"{NOT_UTF8}{ending}", number)
    write_provenance(PROVENANCE, folder / f"{uuid.UUID(int=7)}.json")
    (folder / f"{NOT_UTF8}.json").write_text("{")
    report = collect([folder], "archive")
    assert (report.quanta, report.rejected) == (3, 1)
    written = [path.read_bytes() for path in Path("archive").glob("*.json*")]
    assert any(b"\\\\xff" in text for text in written)
    for text in written:
        # Anything that reads JSON reads it.
        assert b"\\udc" not in text
        text.decode()
    with pytest.raises(ValueError, match="not UTF-8"):
        collect(folder, folder / "archive")
    with pytest.raises(ArchiveError, match="not UTF-8"):
        Archive(folder)
    switches.set_log_folder(folder)
    assert switches.wanted_log_folder() == os.path.abspath(folder)
    switches.set_log_folder(None)


def test_an_archive_stays_where_it_was_when_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_log("log.jsonl")
    collect("log.jsonl", "archive")
    archive = Archive("archive")
    monkeypatch.chdir(tmp_path)
    assert archive.quanta.count_rows() == 1
    assert archive.stats().tasks


def test_a_source_with_one_slash_is_neither() -> None:
    with pytest.raises(NotASourceError, match="://"):
        collect("s3:/logs", "archive")


# A relative folder for logs, seen at the first moment that the name can be seen, and then elsewhere.
CHANGING = """
import os, subprocess, sys
{first}
os.chdir(sys.argv[1])
from quantum_butler import switches
print(switches.wanted_log_folder())
# A child sees the same, wherever it works.
child = "from quantum_butler import switches; print(switches.wanted_log_folder())"
sys.stdout.flush()
subprocess.run([sys.executable, "-c", child], cwd=sys.argv[1], check=True)
"""
FIRST = {
    "package": "import quantum_butler",
    "class": "from quantum_butler import QuantumBackedButler",
    "install": "import quantum_butler; quantum_butler.install()",
}


@pytest.mark.parametrize("first", FIRST)
def test_a_relative_folder_is_taken_from_where_it_is_first_seen(tmp_path: Path, first: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CHANGING.format(first=FIRST[first]), tmp_path / "elsewhere"],
        env={**os.environ, "QUANTUM_BUTLER_PROVENANCE": "some/logs"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [os.path.abspath("some/logs")] * 2


def test_exec_hands_on_absolute_names(home: Path) -> None:
    for value, folder in (("some/logs", os.path.abspath("some/logs")), ("~/logs", str(home / "logs"))):
        for options, env in ((["--provenance-log", value], {}), ([], {"QUANTUM_BUTLER_PROVENANCE": value})):
            done = subprocess.run(
                [sys.executable, "-c", "from quantum_butler.cli.main import main; main()", "exec", *options,
                 "sh", "-c", 'cd /; printf %s "$QUANTUM_BUTLER_PROVENANCE"'],
                env={**os.environ, **env}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout == folder
            assert os.listdir(folder) == []


def test_a_setting_made_later_counts_from_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUANTUM_BUTLER_PROVENANCE", "logs")
    first = switches.wanted_log_folder()
    assert first == os.path.abspath("logs")
    monkeypatch.chdir(tmp_path)
    assert switches.wanted_log_folder() == first == os.environ["QUANTUM_BUTLER_PROVENANCE"]


def test_whether_a_folder_can_be_written() -> None:
    require_writable("new/folder")
    assert os.listdir("new/folder") == []
    Path("file").write_text("")
    for folder in ("file", "file/below", "/dev/full", "/proc/none"):
        with pytest.raises(OSError, match="nothing can be written here") as caught:
            require_writable(folder)
        assert caught.value.filename == folder and caught.value.errno
