"""With ``--output``, an answer is in a file, and otherwise all is the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quantum_butler import collect
from quantum_butler.cli.main import main
from told_run import Told

# For each command what comes after its place, and its exit status.
COMMANDS: list[tuple[int, list[str]]] = [
    (0, ["find", "ARCHIVE", "--format", "csv"]),
    (0, ["find", "GRAPH", "--summary"]),
    (0, ["missing", "GRAPH", "--format", "json"]),
    (0, ["stats", "ARCHIVE"]),
    (0, ["show", "GRAPH", "four", "detector=3"]),
    (0, ["lineage", "GRAPH", "four", "detector=3", "--format", "json"]),
    (0, ["lineage", "ARCHIVE", "four", "detector=3", "--format", "dot"]),
    (0, ["producer", "GRAPH", "four_output", "detector=1"]),
    (0, ["consumers", "GRAPH", "one_output", "detector=0"]),
    (1, ["diff", "ARCHIVE", "OTHER"]),
    (1, ["compare", "ARCHIVE", "OTHER", "--format", "json"]),
    (0, ["verify", "ARCHIVE"]),
    (3, ["report", "GRAPH"]),
    (0, ["times", "GRAPH", "--format", "json"]),
    (0, ["log", "GRAPH", "--task", "four"]),
    (0, ["metadata", "GRAPH", "--task", "four", "--format", "json"]),
    (0, ["export", "ARCHIVE", "--to", "prov-n"]),
]


def run(arguments: list[str], status: int) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def places(told: Told) -> dict[str, str]:
    named = {"ARCHIVE": told.archive, "GRAPH": told.provenance, "OTHER": told.planned}
    return {name: str(path) for name, path in named.items()}


@pytest.mark.parametrize(
    ("status", "words"), COMMANDS, ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else ""
)
def test_what_would_be_printed_is_in_it(
    status: int, words: list[str], places: dict[str, str], tmp_path: Path
) -> None:
    words = [places.get(word, word) for word in words]
    printed = run(words, status)
    assert printed.stdout
    # What is there is replaced, and a link to it stays.
    kept = tmp_path / "kept"
    kept.write_text("before")
    file = tmp_path / "answer"
    file.symlink_to(kept)
    written = run([*words, "-o", str(file)], status)
    assert written.stdout == ""
    assert written.stderr == printed.stderr
    assert kept.read_bytes() == printed.stdout_bytes
    assert file.is_symlink() or words[0] == "export"
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "answer"}


def test_there_is_one_for_each_listing() -> None:
    listings = {
        name
        for name, command in main.commands.items()
        for option in command.params
        if "-o" in option.opts and option.metavar == "FILE"
    }
    # The first three write graphs, and what quanta print; the last one has all from where missing has it.
    others = {"aggregate", "merge-graphs", "run", "unused"}
    assert listings - {words[0] for _, words in COMMANDS} == others


def test_what_is_asked_is_not_replaced(told: Told, tmp_path: Path) -> None:
    graph = Path(shutil.copy(told.provenance, tmp_path / "run.qg"))
    before = graph.read_bytes()
    (tmp_path / "link.qg").symlink_to(graph)
    for words in (["find"], ["show"], ["log"], ["report"], ["lineage"]):
        name = ["four", "detector=3"] if words[0] in ("show", "log", "lineage") else []
        for output in (graph, tmp_path / "link.qg"):
            said = run([*words, str(graph), *name, "-o", str(output)], 2).stderr
            assert "is what is asked" in said
    assert graph.read_bytes() == before


def test_no_answer_goes_into_an_archive(places: dict[str, str], tmp_path: Path) -> None:
    archives = [Path(shutil.copytree(places[name], tmp_path / name)) for name in ("ARCHIVE", "OTHER")]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for archive in archives:
        for name in ("quanta.parquet", "manifest.json", "answer.txt"):
            said = run(["find", str(archives[0]), "-o", str(archive / name)], 2).stderr
            assert "is not replaced" in said or "in an archive" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_by_name(places: dict[str, str], tmp_path: Path, name: str) -> None:
    path = tmp_path / "answers"
    path.write_text("before\n")
    for words in (["find", places["ARCHIVE"]], ["export", places["ARCHIVE"], "--to", "prov-n"]):
        before = path.read_text()
        with path.open("a") as stream:
            command = [sys.executable, "-m", "quantum_butler", *words, "-o", name]
            subprocess.run(command, stdout=stream, check=True, cwd=tmp_path)
        after = path.read_text()
        assert after.startswith(before) and len(after) > len(before) + 20
    assert os.listdir(tmp_path) == ["answers"]


def test_where_nothing_can_be_written(places: dict[str, str], tmp_path: Path) -> None:
    for words in (["find", places["ARCHIVE"]], ["diff", places["ARCHIVE"], places["OTHER"]]):
        said = run([*words, "-o", str(tmp_path / "no" / "file")], 2).stderr
        assert f"there is no folder {tmp_path / 'no'}" in said
        assert f"{tmp_path} is a folder" in run([*words, "-o", str(tmp_path)], 2).stderr
    # That there is a difference, and nothing else, ends with 1.
    for status, words in (
        (1, ["find", places["ARCHIVE"]]),
        (2, ["diff", places["ARCHIVE"], places["OTHER"]]),
    ):
        said = run([*words, "-o", str(tmp_path / ("a" * 250))], status).stderr
        assert "a: File name too long" in said
    assert not [*tmp_path.iterdir()]


def test_a_failure_leaves_what_was_there(told: Told, tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("before")
    run(["find", str(told.archive), "--where", "nonsense ~ 3", "-o", str(file)], 2)
    run(["show", str(told.archive), "nothing", "-o", str(file)], 1)
    assert file.read_text() == "before"
    assert [*tmp_path.iterdir()] == [file]


def test_a_pipe_is_written_to(told: Told, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (["stats", str(told.archive)], ["export", str(told.archive), "--to", "prov-n"]):
        read: list[bytes] = []
        reader = threading.Thread(target=lambda read=read: read.append(pipe.read_bytes()))
        reader.start()
        run([*words, "-o", str(pipe)], 0)
        reader.join()
        assert read == [run(words, 0).stdout_bytes]
    assert pipe.is_fifo()


def test_files_are_looked_at_before_any_work(told: Told, tmp_path: Path) -> None:
    """In all options that name a file to write; a folder is made, but only where one can be."""
    no, archive, graph = tmp_path / "no", str(told.archive), str(told.predicted)
    (tmp_path / "file").write_text("before")
    for words in (
        ["run", str(told.run.root), graph, "--summary"],
        ["run", str(told.run.root), graph, "--journal"],
        ["run", str(told.run.root), graph, "--log-file"],
        ["run", str(told.run.root), graph, "-o"],
        ["report", archive, "--html"],
        ["export", archive, "--to", "prov-n", "-o"],
        ["rebuild", graph, "four_output", "detector=1", "-o"],
        ["merge-graphs", str(told.provenance), "-o"],
        ["aggregate", graph, str(told.run.root), "-o"],
    ):
        assert f"there is no folder {no}" in run([*words, str(no / "file")], 2).stderr
    for words in (
        ["report", archive, "--data-id-tables"],
        ["collect", graph, "-o"],
        ["plot", archive, "-o"],
        ["demo", "--keep"],
        ["aggregate", graph, str(told.run.root), "-o", str(tmp_path / "new.qg"), "--archive"],
    ):
        said = run([*words, str(tmp_path / "file" / "new")], 2).stderr
        assert f"there is no folder {tmp_path / 'file'}" in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sources_of_an_archive_are_not_replaced(told: Told, tmp_path: Path) -> None:
    graph, link = Path(shutil.copy(told.predicted, tmp_path / "graph.qg")), tmp_path / "link"
    link.symlink_to(graph)
    log = tmp_path / "log.jsonl"
    log.write_text("")
    collect([graph, log], tmp_path / "archive")
    before = graph.read_bytes()
    asked = [["find", str(tmp_path / "archive")], ["export", str(told.archive), "--to", "prov-n"]]
    for words in (*asked, ["stats", str(told.archive)]):
        for output in (graph, link):
            assert "is a quantum graph, and is not replaced" in run([*words, "-o", str(output)], 2).stderr
    said = run([*asked[0], "-o", str(log)], 2).stderr
    assert f"is a source of {tmp_path / 'archive'}, and is not replaced" in said
    for option in ("--html", "--data-id-tables"):
        run(["report", str(told.archive), option, str(graph)], 2)
    run(["run", str(told.run.root), str(told.predicted), "--summary", str(graph)], 2)
    assert (graph.read_bytes(), log.read_bytes()) == (before, b"")
    # What only is beside them is replaced.
    for _ in range(2):
        run([*asked[0], "-o", str(tmp_path / "answer.json")], 0)


def test_repositories_are_looked_at_before_any_work(told: Told, tmp_path: Path) -> None:
    graph = Path(shutil.copy(told.predicted, tmp_path / "graph.qg"))
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (
        ["run", "REPO", str(graph)],
        ["run", "REPO", str(graph), "--dry-run"],
        ["transfer", str(told.archive), "REPO", "--graph", str(graph)],
        ["aggregate", str(graph), "REPO", "-o", str(tmp_path / "new.qg")],
    ):
        for repo, message in ((tmp_path / "nowhere", "no such repository"), (empty, "has no butler.yaml")):
            said = run([str(repo) if word == "REPO" else word for word in words], 2).stderr
            assert message in said and str(repo) in said and "quanta done" not in said
    assert sorted(os.listdir(tmp_path)) == ["empty", "graph.qg"]


def test_two_options_do_not_name_one_file(told: Told, tmp_path: Path) -> None:
    page = str(tmp_path / "page")
    said = run(["report", str(told.archive), "--html", page, "-o", page], 2).stderr
    assert "--output and --html name one file" in said and not os.listdir(tmp_path)


def test_what_was_used_is_unknown_without_logs(told: Told, tmp_path: Path) -> None:
    """Of graphs alone, and of a task that no log tells of."""
    line = {
        "quantum_id": str(uuid.UUID(int=1)),
        "task_label": "alone",
        "available_inputs": [],
        "predicted_inputs": [],
        "actual_inputs": [],
        "predicted_outputs": [],
        "actual_outputs": [],
        "datastore_records": {},
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    collect([told.planned, tmp_path / "log.jsonl"], tmp_path / "both")
    for archive in (told.planned, told.archive, tmp_path / "both"):
        found = json.loads(run(["stats", str(archive), "--format", "json"], 0).stdout)
        for task in found["tasks"] if archive.name == "both" else [*found["tasks"], found["total"]]:
            expected = 0 if task.get("task_label") == "alone" else None
            for role in ("available_input", "actual_input"):
                assert task["datasets"][role] == task["bytes"][role] == expected
            assert task["unused_inputs"] == expected and isinstance(task["datasets"]["predicted_input"], int)
        assert (found["total"]["unused_inputs"] is None) == (archive.name != "both")
    shown = run(["stats", str(told.planned)], 0).stdout
    (total, of_bytes) = (line.split() for line in shown.splitlines() if line.startswith("total"))
    assert total[3:6] == ["unknown"] * 3 and of_bytes[-3:-2] == ["unknown"]
    assert run(["plot", str(told.planned), "-o", str(tmp_path / "pictures")], 0)
    assert "used: unknown" in (tmp_path / "pictures" / "inputs.svg").read_text()
