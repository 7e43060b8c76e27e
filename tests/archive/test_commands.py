"""The questions on the command line: every format is read back, every exit status is looked at."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from archives import File, Made, chain, dataset_id, quantum_id, used, write, wrote
from click.testing import CliRunner, Result

from quantum_butler import Archive
from quantum_butler.archive.format import ROLES
from quantum_butler.archive.reports import plain, size_text
from quantum_butler.archive.texts import counted
from quantum_butler.cli.main import main

COMMAND = [sys.executable, "-c", "from quantum_butler.cli.main import main; main()"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "archive", chain())


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return write(tmp_path / "empty", [])


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def as_json(*arguments: object, status: int = 0) -> Any:
    return json.loads(run(*arguments, "--format", "json", status=status).stdout)


def as_csv(*arguments: object, status: int = 0) -> list[dict[str, str]]:
    text = run(*arguments, "--format", "csv", status=status).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def test_stats(archive: Path) -> None:
    text = run("stats", archive).stdout
    (isr,) = re.findall(r"^isr .*", text.partition("Bytes")[0], re.MULTILINE)
    assert isr.split() == ["isr", "2", "4", "3", "3", "1", "2", "2", "0"]
    (calibrate,) = re.findall(r"^calibrate .*", text.partition("Bytes")[2], re.MULTILINE)
    assert calibrate.split() == ["calibrate", "2.0", "kB", "2.0", "kB", "2.0", "kB", "60", "B"]
    found = as_json("stats", archive)
    assert [task["task_label"] for task in found["tasks"]] == ["isr", "calibrate", "coadd"]
    assert found["tasks"][1]["missing_outputs"] == found["total"]["missing_outputs"] == 2
    assert found["tasks"][0]["datasets"]["predicted_input"] == 4
    assert found["total"]["bytes"]["actual_output"] == 2001 + 60 + 100
    rows = as_csv("stats", archive)
    assert [row["task_label"] for row in rows] == ["isr", "calibrate", "coadd"]
    assert rows[1]["actual_inputs_bytes"] == "2001"
    assert sum(int(row["quanta"]) for row in rows) == found["total"]["quanta"] == 5


def test_sizes_that_nobody_knows_are_not_nothing(tmp_path: Path) -> None:
    """The archive has records of what was written only, some without a size, and one of an empty file."""
    archive = write(
        tmp_path / "archive",
        [
            Made(1, {**used(1), **wrote(2)}, "writes", files=[File(2, "two", None)]),
            Made(2, {**used(2), **wrote(3)}, "writes", files=[File(3, "three", -1)]),
            Made(3, {**used(3), **wrote(4)}, "empties", files=[File(4, "four", 0)]),
            Made(4, {**used(4)}, "reads"),
        ],
    )
    found = as_json("stats", archive)
    sizes = {
        task["task_label"]: task["bytes"] for task in [*found["tasks"], {**found["total"], "task_label": ""}]
    }
    assert {label: list(one.values()) for label, one in sizes.items()} == {
        "writes": [None] * 5,
        "empties": [None, None, None, 0, 0],
        "reads": [0] * 5,
        "": [0] * 5,
    }
    assert [row["actual_outputs_bytes"] for row in as_csv("stats", archive)] == ["", "0", "0"]
    words = {line.split()[0]: line.split()[1:] for line in run("stats", archive).stdout.splitlines()[-5:]}
    assert words["writes"] == ["unknown"] * 4
    assert words["empties"] == ["unknown"] * 3 + ["0", "B"]
    assert words["reads"] == words["total"] == ["0", "B"] * 4
    assert [use["size"] for use in as_json("show", archive, quantum_id(2))["datasets"]] == [None, None]
    assert "-1" not in run("show", archive, quantum_id(2)).stdout.partition("three")[0]


def test_show(archive: Path) -> None:
    text = run("show", archive, quantum_id(1)).stdout
    assert "detector=0, visit=7" in text
    assert re.search(rf"^{dataset_id(101)}  input: predicted$", text, re.MULTILINE)
    assert re.search(
        rf"^{dataset_id(1)}  output: predicted, written +Exposure +1.0 kB  post/det0", text, re.MULTILINE
    )
    found = as_json("show", archive, quantum_id(1))
    assert (found["task_label"], found["data_id"]) == ("isr", {"visit": 7, "detector": 0})
    roles = {dataset["dataset_id"]: set(dataset["roles"]) for dataset in found["datasets"]}
    assert roles == {str(dataset_id(n)): set(roles) for n, roles in chain()[0].datasets.items()}
    rows = as_csv("show", archive, quantum_id(1))
    assert {row["dataset_id"]: {role for role in ROLES if row[role] == "1"} for row in rows} == roles


def test_lineage(archive: Path) -> None:
    found = as_json("lineage", archive, dataset_id(200))
    model = Archive(archive).lineage(dataset_id(200))
    for kind, key in (("datasets", "dataset_id"), ("quanta", "quantum_id")):
        distances = {uuid.UUID(one[key]): one["distance"] for one in found[kind]}
        assert distances == getattr(model, kind)
    assert [(uuid.UUID(edge["from"]), uuid.UUID(edge["to"])) for edge in found["edges"]] == model.edges
    assert found["direction"] == "up" and found["actual"] is True and found["depth"] is None
    rows = as_csv("lineage", archive, dataset_id(200))
    assert {uuid.UUID(row["id"]): int(row["distance"]) for row in rows} == model.datasets | model.quanta
    distances = [(int(row["distance"]), row["kind"] == "dataset") for row in rows]
    assert distances == sorted(distances)
    assert {row["data_id"] for row in rows if row["task_label"] == "coadd"} == {'{"tract": 3}'}
    text = run("lineage", archive, dataset_id(200)).stdout
    assert text.endswith("\n8 datasets and 5 quanta\n")
    assert all(str(id_) in text for id_ in (*model.datasets, *model.quanta))


def test_summary_of_lineage(archive: Path) -> None:
    whole = as_csv("lineage", archive, dataset_id(200))
    rows = as_csv("lineage", archive, dataset_id(200), "--summary")
    assert as_json("lineage", archive, dataset_id(200), "--summary") == [
        {**row, "count": int(row["count"])} for row in rows
    ]
    assert rows and sum(int(row["count"]) for row in rows) == len(whole)
    coadds = [int(row["count"]) for row in rows if (row["kind"], row["name"]) == ("quantum", "coadd")]
    assert sum(coadds) == sum(row["task_label"] == "coadd" for row in whole) > 0
    text = run("lineage", archive, dataset_id(200), "--summary").stdout
    assert text.endswith("\n8 datasets and 5 quanta\n") and "coadd" in text
    refused = run("lineage", archive, dataset_id(200), "--summary", "--format", "dot", status=2)
    assert "--summary has no form dot" in refused.stderr


def test_options_of_lineage(archive: Path) -> None:
    assert len(as_json("lineage", archive, dataset_id(200), "--up", "--depth", 1)["quanta"]) == 1
    assert len(as_json("lineage", archive, dataset_id(1), "--down")["quanta"]) == 2
    assert as_json("lineage", archive, dataset_id(50), "--actual")["quanta"] == []
    assert len(as_json("lineage", archive, dataset_id(50), "--predicted")["quanta"]) == 2
    assert run("lineage", archive, dataset_id(200), "--depth", 0).stdout.endswith("1 dataset and 0 quanta\n")


DOT = re.compile(r'  "(\w+ [-0-9a-f]{36})"(?: \[(.*)\]| -> "(\w+ [-0-9a-f]{36})");')


def test_dot(archive: Path) -> None:
    first, *body, last, _ = run("lineage", archive, dataset_id(200), "--format", "dot").stdout.split("\n")
    assert (first, last) == ("digraph lineage {", "}")
    found = [match.groups() for line in body if (match := DOT.fullmatch(line))]
    model = Archive(archive).lineage(dataset_id(200))
    assert {uuid.UUID(a.split()[1]) for a, label, _ in found if label} == {*model.datasets, *model.quanta}
    ends = {(uuid.UUID(a.split()[1]), uuid.UUID(b.split()[1])) for a, _, b in found if b}
    assert ends == set(model.edges)
    assert len(body) == len(found) + 3


def test_mermaid(archive: Path) -> None:
    text = run("lineage", archive, dataset_id(200), "--format", "mermaid").stdout
    assert text.startswith("flowchart LR\n")
    labels = dict(re.findall(r'^  (n\d+)\(?\["(.*)"\]\)?:::\w+$', text, re.MULTILINE))
    edges = re.findall(r"^  (n\d+) --> (n\d+)$", text, re.MULTILINE)
    model = Archive(archive).lineage(dataset_id(200))
    assert len(labels) == len(model.datasets) + len(model.quanta)
    assert len(edges) == len(set(edges)) == len(model.edges)
    assert {end for edge in edges for end in edge} <= set(labels)
    assert len(text.splitlines()) == 1 + len(labels) + len(edges) + 3


def test_a_picture_that_nobody_could_read_is_not_drawn(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", [Made(1, {**used(*range(1, 400)), **wrote(0)})], row_group=1000)
    result = run("lineage", archive, dataset_id(0), "--format", "svg", status=2)
    assert "401 nodes" in result.output and "--depth" in result.output
    if shutil.which("dot"):
        run("lineage", archive, dataset_id(0), "--format", "svg", "--depth", 0)


def test_producer_and_consumers(archive: Path) -> None:
    assert str(quantum_id(2)) in run("producer", archive, dataset_id(2)).stdout
    assert as_json("producer", archive, dataset_id(2))["task_label"] == "calibrate"
    assert as_json("producer", archive, dataset_id(100)) is None
    assert as_csv("producer", archive, dataset_id(100)) == []
    assert "No quantum wrote" in run("producer", archive, dataset_id(100)).stdout
    assert as_json("producer", archive, dataset_id(50)) is None
    assert as_json("producer", archive, dataset_id(50), "--predicted")["quantum_id"] == str(quantum_id(2))
    consumers = [str(quantum_id(1)), str(quantum_id(11))]
    assert [one["quantum_id"] for one in as_json("consumers", archive, dataset_id(100))] == consumers
    assert [row["quantum_id"] for row in as_csv("consumers", archive, dataset_id(100))] == consumers
    assert as_json("consumers", archive, dataset_id(101)) == []
    assert "No quantum read" in run("consumers", archive, dataset_id(101)).stdout
    assert len(as_json("consumers", archive, dataset_id(101), "--predicted")) == 2


def test_diff(archive: Path, tmp_path: Path) -> None:
    assert "same quanta" in run("diff", archive, archive).stdout
    quanta = chain()
    quanta[0].datasets[101] = used(101)[101]
    quanta[2].number = 55
    other = write(tmp_path / "other", quanta[:-1])
    found = as_json("diff", archive, other, status=1)
    assert found["left_quanta"] == sorted(map(str, (quantum_id(11), quantum_id(99))))
    assert found["right_quanta"] == [str(quantum_id(55))]
    assert found["left_datasets"] == [str(dataset_id(200))]
    (change,) = found["changes"]
    assert (change["quantum_id"], change["dataset_id"]) == (str(quantum_id(1)), str(dataset_id(101)))
    assert (change["left"], set(change["right"])) == (["predicted_input"], set(used(101)[101]))
    rows = as_csv("diff", archive, other, status=1)
    assert sorted(row["what"] for row in rows) == ["dataset", "quantum", "quantum", "quantum", "use"]
    assert [row["left"] for row in rows if row["quantum_id"] == str(quantum_id(55))] == [""]
    text = run("diff", archive, other, status=1).stdout
    assert f"2 quanta only in {archive}" in text
    assert "1 different use of a dataset, in 1 quantum of both" in text


def test_an_empty_archive_is_answered(empty: Path, archive: Path) -> None:
    assert as_json("stats", empty)["tasks"] == as_csv("stats", empty) == []
    assert "total" in run("stats", empty).stdout
    run("diff", empty, empty)
    assert len(as_json("diff", empty, archive, status=1)["right_quanta"]) == 5


@pytest.mark.parametrize("command", ["show", "lineage", "producer", "consumers"])
def test_unknown_ids(archive: Path, empty: Path, command: str) -> None:
    unknown = uuid.uuid4()
    for folder in (archive, empty):
        result = run(command, folder, unknown, status=1)
        assert result.stderr.count("\n") == 1
        assert str(unknown) in result.stderr and str(folder) in result.stderr
    assert "'7' is no " in run(command, archive, "7", status=1).stderr
    assert "no name is given" in run(command, archive, status=2).stderr


def test_the_other_kind_of_id(archive: Path) -> None:
    for command in ("producer", "consumers"):
        said = run(command, archive, quantum_id(2), status=1).stderr
        assert said.count("\n") == 1 and "the id of a quantum" in said
    said = run("show", archive, dataset_id(2), "--quantum", status=1).stderr
    assert said.count("\n") == 1 and "the id of a dataset" in said
    assert as_json("show", archive, dataset_id(2))["made_by"]["quantum_id"] == str(quantum_id(2))
    # The lineage of a quantum is that of what it has written.
    found = as_json("lineage", archive, quantum_id(2))
    own = as_json("lineage", archive, dataset_id(2))
    assert (found["quanta"], found["datasets"]) == (own["quanta"], own["datasets"])


def test_wrong_use(archive: Path) -> None:
    id_ = dataset_id(1)
    run("lineage", archive, id_, "--depth", -1, status=2)
    run("lineage", archive, id_, "--format", "xml", status=2)
    run("stats", archive, "--format", "dot", status=2)
    run("stats", status=2)
    run("plot", archive, status=2)


def test_what_is_no_archive_takes_one_line(tmp_path: Path) -> None:
    for arguments in (
        ["stats"],
        ["show", quantum_id(1)],
        ["diff", tmp_path],
        ["plot", "--output", tmp_path / "x"],
    ):
        result = run(arguments[0], tmp_path, *arguments[1:], status=2)
        assert result.stderr == f"Error: {tmp_path} is not a provenance archive: the folder is empty\n"
    for name, said in (
        ("what.txt", "it has no manifest.json"),
        ("graph.qg", "it has quantum graphs; name these files"),
        ("butler.yaml", "it is a repository; quantum-butler collect LOGS -o ARCHIVE makes"),
        ("1-host-2-3.jsonl", f"it has provenance logs; quantum-butler collect {tmp_path} -o ARCHIVE makes"),
    ):
        (tmp_path / name).touch()
        for command in ("find", "report", "times", "verify", "stats", "export"):
            more = ("--to", "prov-n") if command == "export" else ()
            assert f"archive: {said}" in run(command, tmp_path, *more, status=2).stderr
    assert "missing' does not exist" in run("stats", tmp_path / "missing", status=2).stderr


def test_a_file_in_the_place_of_an_archive_is_told_what_it_is(archive: Path, tmp_path: Path) -> None:
    graph, log, other = (tmp_path / name for name in ("graph.qg", "log.jsonl.zst", "notes.txt"))
    for path in (graph, log, other):
        path.touch()
    for path, said in (
        (graph, f"it is a quantum graph; quantum-butler collect {graph} -o ARCHIVE makes an archive of it"),
        (log, f"it is a provenance log; quantum-butler collect {log} -o ARCHIVE makes an archive of it"),
        (archive / "quanta.parquet", f"it is a file of the archive {archive}; name that folder"),
        (other, "it is a file"),
    ):
        for arguments in (
            ["stats", path],
            ["diff", archive, path],
            ["verify", path],
            ["plot", path, "-o", tmp_path / "x"],
        ):
            assert f"{path} is not a provenance archive: {said}\n" in run(*arguments, status=2).stderr


def test_text_of_strangers_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    hostile = 'a\x1b[2J"\n<b>&\u202e\\'
    made = Made(1, {**used(1), **wrote(2)}, hostile, {"x\n": hostile}, [File(2, f"{hostile}.fits")])
    archive = write(tmp_path / "archive", [made])
    for command in (
        ["stats"],
        ["show", quantum_id(1)],
        ["lineage", dataset_id(2)],
        ["producer", dataset_id(2)],
    ):
        text = run(command[0], archive, *command[1:]).stdout
        assert all(line.isprintable() for line in text.splitlines()), text
        assert "a\\x1b[2J" in text
    for style in ("dot", "mermaid", *(["svg"] if shutil.which("dot") else [])):
        text = run("lineage", archive, dataset_id(2), "--format", style).stdout
        assert "\x1b" not in text and "\u202e" not in text
        if style == "svg":
            ElementTree.fromstring(text.encode())
        if style == "dot":
            assert sum(bool(DOT.fullmatch(line)) for line in text.splitlines()) == 5
    assert as_json("show", archive, quantum_id(1))["task_label"] == hostile
    assert as_csv("producer", archive, dataset_id(2))[0]["task_label"] == plain(hostile)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", [Made(1, {**used(*range(1, 5000)), **wrote(0)})], row_group=10_000)
    for style in ("table", "json", "csv", "dot"):
        command = [*COMMAND, "lineage", str(archive), str(dataset_id(0)), "--format", style]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        process.wait()


def test_a_whole_process_does_not_need_lsst(archive: Path) -> None:
    code = (
        "import sys; from quantum_butler.cli.main import main; main(sys.argv[1:], standalone_mode=False); "
        "sys.exit(any(name.startswith('lsst') for name in sys.modules))"
    )
    for style in ("table", "json", "csv", "dot", "mermaid"):
        arguments = ["lineage", str(archive), str(dataset_id(200)), "--format", style]
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    for arguments in (["stats", str(archive)], ["show", str(archive), str(quantum_id(1))]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", ["stats", "lineage"])
def test_a_whole_process_does_not_import_pandas(archive: Path, command: str) -> None:
    """Much of pyarrow does where pandas is installed, which doubles what a short command takes."""
    pytest.importorskip("pandas")
    code = (
        "import sys; from quantum_butler.cli.main import main; main(sys.argv[1:], standalone_mode=False); "
        "sys.exit('numpy' not in sys.modules or 'pandas' in sys.modules or 'rich' in sys.modules)"
    )
    arguments = [command, str(archive), *([str(dataset_id(200))] if command == "lineage" else [])]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)


def test_one_is_told_as_one() -> None:
    assert counted(1, "quantum") == "1 quantum" and counted(0, "quantum") == "0 quanta"
    assert counted(1, "entry", "is", "are") == "1 entry is" and counted(2, "entry") == "2 entries"
    assert counted(1200, "dataset", "is there", "are there") == "1,200 datasets are there"


def test_help_imports_little() -> None:
    code = (
        "import sys; from quantum_butler.cli.main import main; main(['--help'], standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('pyarrow', 'numpy', 'lsst', 'matplotlib', 'rich')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (5 * 10**15, "5.0 PB"),
        (2**63 - 1, "9.2 EB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text
