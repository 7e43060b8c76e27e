"""Two runs are matched by what quanta and datasets are called."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner, Result
from lines import Line, archive_of
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

from mixed_run import MixedRun
from quantum_butler import collect, compare
from quantum_butler.cli.main import main

FORMAT_1 = Path(__file__).resolve().parents[1] / "archive" / "data" / "format1"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert "Traceback" not in result.output
    return result


def chain(visit: int, **more: Any) -> list[Line]:
    return [
        Line("isr", visit, ["raw"], ["image", "isr_log"], ["flat"]),
        Line("measure", visit, ["image"], ["table"], **more),
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return archives of two runs that differ in each way once."""
    folder = tmp_path_factory.mktemp("runs")
    left = [line for visit in range(6) for line in chain(visit)]
    right = [line for visit in range(5) for line in chain(visit, run_time=2.0)]
    left[3].status = -1
    right[5].status = -1
    # One uses the flat field, too, and what it writes is larger; so is its log, which is no difference.
    right[0].inputs, right[0].unused, right[0].size = ["raw", "flat"], [], 300
    right.append(Line("extra", 0, ["table"], ["plot"]))
    # Lines come in any order.
    return archive_of(left, folder / "left", 1), archive_of(reversed(right), folder / "right", 2)


def test_each_difference_is_found_once(runs: tuple[Path, Path]) -> None:
    made = compare(*runs)
    assert not made.is_same and made.remarks == []
    counts = {
        task.label: (task.left, task.right, task.matched, task.failing, task.mended, task.gained, task.lost)
        for task in made.tasks
    }
    assert counts == {
        "extra": (0, 1, 0, 0, 0, 0, 0),
        "isr": (6, 5, 5, 0, 0, 1, 0),
        "measure": (6, 5, 5, 1, 1, 0, 0),
    }
    changes = made.changes.select(["data_id", "left_status", "right_status", "right_exception"]).to_pylist()
    assert [tuple(row.values()) for row in changes] == [
        ("instrument=Cam, visit=1", "failed", "successful", None),
        ("instrument=Cam, visit=2", "successful", "failed", "a.Error"),
    ]
    only = {(row["task_label"], row["data_id"], row["side"]) for row in made.quanta.to_pylist()}
    assert only == {
        ("isr", "instrument=Cam, visit=5", "left"),
        ("measure", "instrument=Cam, visit=5", "left"),
        ("extra", "instrument=Cam, visit=0", "right"),
    }
    (gained,) = made.inputs.to_pylist()
    assert (gained["dataset_type"], gained["side"], gained["is_actual"]) == ("flat", "right", True)
    types = {one.name: one for one in made.types}
    assert (types["table"].only_left, types["table"].only_right, types["plot"].only_right) == (2, 1, 1)
    assert (types["image"].sized, types["image"].resized, types["isr_log"].resized) == (5, 1, 1)
    assert (types["image"].left_bytes, types["image"].right_bytes) == (500, 700)
    sizes = [
        (row["dataset_type"], row["left_size"], row["right_size"])
        for row in made.datasets.filter(pc.equal(made.datasets["dataset_type"], "image")).to_pylist()
    ]
    assert sizes == [("image", 100, 300), ("image", 100, None)]
    (measure,) = (task for task in made.tasks if task.label == "measure")
    before, after = measure.times["run_time"]
    assert (before.total, after.total, measure.ratio) == (5.0, 10.0, (2.0, 2.0, 2.0))


def test_the_other_way_round(runs: tuple[Path, Path]) -> None:
    one, other = compare(*runs), compare(*reversed(runs))
    assert [(task.failing, task.gained) for task in one.tasks] == [
        (task.mended, task.lost) for task in other.tasks
    ]
    assert len(one.datasets) == len(other.datasets) and len(one.quanta) == len(other.quanta)


def test_runs_that_are_the_same_but_for_ids_order_and_times(tmp_path: Path) -> None:
    lines = [line for visit in range(3) for line in chain(visit)]
    again = [line for visit in range(3) for line in chain(visit, run_time=9.0)]
    left = archive_of(lines, tmp_path / "left", 1)
    right = archive_of(reversed(again), tmp_path / "right", 2)
    assert compare(left, right).is_same
    done = run("compare", left, right)
    assert done.exit_code == 0 and "The runs are the same" in done.stdout
    # With both runs in one archive there are two of each name.
    collect([left, right], tmp_path / "both")
    made = compare(tmp_path / "both", tmp_path / "both")
    assert made.is_same and [task.matched for task in made.tasks] == [6, 6]


def test_what_data_ids_look_like_does_not_matter(tmp_path: Path) -> None:
    """Texts that look like times or numbers, and data IDs of other dimensions beside them."""
    ids: list[Any] = [
        {"instrument": "2026-01-01", "visit": 1},
        {"instrument": "2026-01-01", "group": "2026-01-01T00:00:00"},
        {},
        {"skymap": 'a "b"\n', "tract": 2**53 + 1},
    ]
    left = [Line("one", n, [], [f"out{n}"], more={"data_id": one}) for n, one in enumerate(ids)]
    turned = [dict(reversed(one.items())) for one in ids]
    right = [Line("one", n, [], [f"out{n}"], more={"data_id": one}) for n, one in enumerate(turned)]
    made = compare(archive_of(left, tmp_path / "left", 1), archive_of(right, tmp_path / "right", 2))
    assert made.is_same and made.tasks[0].matched == 4
    odd = [Line("one", 0, [], ["out0"], more={"data_id": {"visit": n}}) for n in (1, "b")]
    mixed = archive_of(odd[:1], tmp_path / "odd", 1), archive_of(odd[1:], tmp_path / "other", 2)
    assert [row["data_id"] for row in compare(*mixed).quanta.to_pylist()] == ["visit=1", "visit=b"]


def _states(path: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """Return what upstream's reader says of all quanta."""
    with ProvenanceQuantumGraphReader.open(str(path)) as reader:
        reader.read_full_graph()
        nodes = reader.graph.quantum_only_xgraph.nodes.values()
        return {
            (
                node["task_label"],
                ", ".join(f"{name}={value}" for name, value in node["data_id"].required.items()),
            ): (node["status"].name, 0 if node["caveats"] is None else node["caveats"].value)
            for node in nodes
        }


def test_graphs_differ_as_upstream_reads_them(mixed: MixedRun, graph: Path) -> None:
    before, after = _states(mixed.first_try), _states(graph)
    assert before.keys() == after.keys()
    expected = {name for name in before if before[name] != after[name]}
    made = compare(mixed.first_try, graph)
    assert {(row["task_label"], row["data_id"]) for row in made.changes.to_pylist()} == expected != set()
    assert sum(task.matched for task in made.tasks) == len(before)
    assert not len(made.quanta) and not len(made.inputs)
    assert compare(graph, graph).is_same
    assert any(task.times for task in made.tasks)


def test_an_archive_and_the_graph_it_is_of(mixed: MixedRun, graph: Path, tmp_path: Path) -> None:
    collect(graph, tmp_path / "archive")
    assert compare(tmp_path / "archive", graph).is_same
    theirs, ours = compare(mixed.first_try, graph), compare(mixed.first_try, tmp_path / "archive")
    assert [task.changes for task in ours.tasks] == [task.changes for task in theirs.tasks]
    assert sorted(map(repr, ours.datasets.to_pylist())) == sorted(map(repr, theirs.datasets.to_pylist()))


def test_archives_of_the_first_format_have_no_names(runs: tuple[Path, Path]) -> None:
    assert compare(FORMAT_1, FORMAT_1).is_same
    made = compare(FORMAT_1, runs[0])
    assert "does not tell what datasets are called" in made.remarks[0]
    assert len(made.quanta) > 0


def test_command(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("compare", *runs)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == (
        "The runs differ: 3 quanta of one run only, 1 new failure, 1 mended, 1 input gained, "
        "6 datasets of one run only."
    )
    assert "Quanta that ended in another way: 2" in done.stdout and "Error: no" in done.stdout
    assert "and 2 more" in run("compare", *runs, "--limit", 1).stdout
    short = run("compare", *runs, "--summary").stdout
    assert "Quanta that ended" not in short and "The runs differ" in short
    told = json.loads(run("compare", *runs, "--format", "json").stdout)
    assert told["same"] is False and len(told["changes"]) == 2 and len(told["inputs"]) == 1
    rows = list(csv.DictReader(run("compare", *runs, "--format", "csv").stdout.splitlines()))
    assert [row["what"] for row in rows[:3]] == ["status", "status", "quantum"]
    (tmp_path / "odd.qg").write_text("no graph")
    for wrong in (tmp_path, tmp_path / "odd.qg", tmp_path / "nothing"):
        assert run("compare", runs[0], wrong).exit_code == 2
