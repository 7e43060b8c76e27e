"""Archives and graphs give the same answers, and these are upstream's."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph, ProvenanceQuantumGraphReader

from commands import invoke, invoke_json
from quantum_butler import (
    AmbiguousNameError,
    Archive,
    ConditionError,
    GraphRun,
    QuantumButlerError,
    UnknownIdError,
    open_run,
)
from quantum_butler.archive.named import NamedRows
from quantum_butler.queries.found import DATASET, QUANTUM, Found, Name
from quantum_butler.running.errors import SelectionError
from quantum_butler.running.plan import _read_by_upstream, read_plan
from quantum_butler.running.selection import select
from told_run import Told


@pytest.fixture(scope="module")
def upstream(told: Told) -> Any:
    """Return upstream's graph of what happened."""
    with ProvenanceQuantumGraphReader.open(str(told.provenance)) as reader:
        reader.read_full_graph()
        return reader.graph


@pytest.fixture(scope="module")
def pairs(told: Told) -> list[tuple[GraphRun, Archive]]:
    """Return graphs, and archives that were made of them."""
    found = []
    for graph, archive in ((told.provenance, told.archive), (told.predicted, told.planned)):
        one, other = open_run(graph), open_run(archive)
        assert isinstance(one, GraphRun) and isinstance(other, Archive)
        found.append((one, other))
    return found


def ids(table: Any, kind: str) -> set[uuid.UUID]:
    return set(table[f"{kind}_id"].to_pylist())


@pytest.mark.parametrize(
    ("labels", "status", "where"),
    [
        (None, None, None),
        ("one", None, None),
        (None, "failed", None),
        (None, ("BLOCKED", "log lost"), None),
        (("one", "four"), "successful", "detector > 2"),
        (None, None, "visit = 7 AND detector IN (1, 4)"),
        (None, None, "visit = 7 AND NOT (detector IN (0..4:2))"),
        (None, None, "detector != 3 OR visit = 8"),
        ("all", None, "detector = 1"),
        (None, None, "instrument = 'MixedCam' AND detector < 1"),
        ("nothing", None, None),
    ],
)
def test_find_quanta(told: Told, upstream: Any, labels: Any, status: Any, where: str | None) -> None:
    """What is found is what a few lines of Python find in upstream's graph."""
    rules = {
        None: lambda d: True,
        "detector > 2": lambda d: d.get("detector", -1) > 2,
        "visit = 7 AND detector IN (1, 4)": lambda d: d.get("detector") in (1, 4),
        "visit = 7 AND NOT (detector IN (0..4:2))": lambda d: d.get("detector") in (1, 3, 5),
        "detector != 3 OR visit = 8": lambda d: d.get("detector", 3) != 3,
        "detector = 1": lambda d: d.get("detector") == 1,
        "instrument = 'MixedCam' AND detector < 1": lambda d: d.get("detector") == 0,
    }
    words = {"ABORTED_SUCCESS": "log lost"}
    tasks = None if labels is None else {labels} if isinstance(labels, str) else set(labels)
    states = {status} if isinstance(status, str) else {one.lower() for one in status or ()} or None
    expected = {
        id_
        for id_, node in upstream.quantum_only_xgraph.nodes.items()
        if (tasks is None or node["task_label"] in tasks)
        and (states is None or words.get(node["status"].name, node["status"].name.lower()) in states)
        and rules[where](dict(node["data_id"].required))
    }
    for place in (told.provenance, told.archive):
        found = open_run(place).find_quanta(task=labels, status=status, where=where)
        assert ids(found, "quantum") == expected and len(found) == len(expected)


@pytest.mark.parametrize("with_all", [True, False], ids=["whole", "partial"])
def test_many_names_are_looked_up_in_one_pass(
    told: Told, monkeypatch: pytest.MonkeyPatch, with_all: bool
) -> None:
    """What they are is what each alone is, and no table is read more often than for one of them."""
    reads: list[object] = []
    read = NamedRows._read
    monkeypatch.setattr(NamedRows, "_read", lambda *words: (reads.append(words[1:]), read(*words))[1])

    def looked_up(names: Sequence[Name]) -> tuple[list[Found], int]:
        reads.clear()
        return Archive(told.archive).source.resolve_all(names, (QUANTUM, DATASET)), len(reads)

    everything = Archive(told.archive)
    found = [
        one
        for kind, table in ((QUANTUM, everything.find_quanta()), (DATASET, everything.find_datasets()))
        for one in everything.source.rows_of(kind, table)
        if one.name in ("one", "one_output") and one.data_id is not None
    ]
    names: list[Name] = [
        [
            str(one.name),
            *(f"{name}={value}" for name, value in one.data_id.items() if with_all or name != "instrument"),
        ]
        for one in found
        if one.data_id
    ]
    assert len(names) > 8
    assert looked_up(names)[0] == found == [Archive(told.archive).resolve(name) for name in names]
    assert looked_up([one.id for one in found])[0] == found
    few = looked_up([names[0], names[1], names[-1], names[-2]])[1]
    assert 0 < looked_up(names)[1] <= few
    with pytest.raises(UnknownIdError, match="detector=99"):
        looked_up([*names, "one detector=99"])
    with pytest.raises(AmbiguousNameError) as caught:
        looked_up([*names, "one"])
    assert len(caught.value.candidates) == sum(one.name == "one" for one in found)


def test_find_datasets(upstream: Any, pairs: list[tuple[GraphRun, Archive]]) -> None:
    nodes = upstream.bipartite_xgraph.nodes.items()
    expected = {
        id_
        for id_, node in nodes
        if node.get("dataset_type_name") in ("one_output", "two_log")
        and node["data_id"].get("detector", 0) > 3
    }
    assert expected
    for one, other in pairs:
        for place in (one, other):
            found = place.find_datasets(dataset_type=("one_output", "two_log"), where="detector > 3")
            assert ids(found, "dataset") == expected
            assert len(place.find_datasets(run="input_run", limit=3)) == 3
            assert ids(place.find_datasets(run="input_run"), "dataset") == {
                id_ for id_, node in nodes if node.get("run") == "input_run"
            }
        assert ids(one.find_datasets(), "dataset") == ids(other.find_datasets(), "dataset")
        for bad in ("moon = 3", "detector = 'x'", "detector =", "detector"):
            for place in (one, other):
                with pytest.raises(ConditionError):
                    place.find_datasets(where=bad)
        with pytest.raises(ConditionError, match="no status"):
            one.find_quanta(status="bad")


def test_missing(upstream: Any, pairs: list[tuple[GraphRun, Archive]]) -> None:
    quanta = set(upstream.quantum_only_xgraph)
    planned = {dataset for quantum in quanta for dataset in upstream.bipartite_xgraph.successors(quantum)}
    not_there = {id_ for id_ in planned if not upstream.bipartite_xgraph.nodes[id_]["produced"]}
    assert not_there
    # Upstream takes a log for written whose file the aggregator has not found.
    logs = {
        id_ for id_ in planned if upstream.bipartite_xgraph.nodes[id_]["dataset_type_name"].endswith("_log")
    }
    for (one, other), expected in zip(pairs, (not_there, planned), strict=True):
        found = ids(one.missing(), "dataset")
        assert found == ids(other.missing(), "dataset")
        assert expected <= found <= planned and found - logs == expected - logs
        for place in (one, other):
            with pytest.raises(QuantumButlerError, match="what was used"):
                place.unused()


def test_details_and_lineage(told: Told, pairs: list[tuple[GraphRun, Archive]]) -> None:
    """All quanta and datasets look the same to both, and so does what they come from."""
    for one, other in pairs:
        quanta = sorted(ids(one.find_quanta(), "quantum"))
        for id_ in quanta:
            left, right = one.show(id_), other.show(id_)
            assert (left.quantum, left.uses, left.attempts) == (right.quantum, right.uses, right.attempts)
        for id_ in sorted(ids(one.find_datasets(), "dataset")):
            mine, its = one.show_dataset(id_), other.show_dataset(id_)
            assert (mine.dataset, mine.producer) == (its.dataset, its.producer)
            assert {use.quantum.quantum_id: use for use in mine.consumers} == {
                use.quantum.quantum_id: use for use in its.consumers
            }
        for name, direction, depth in (
            ("three_output detector=3", "up", None),
            ("zero_output detector=3", "down", 2),
            ("all_output", "up", 1),
            ("two detector=3", "up", None),
            ("two detector=3", "down", None),
        ):
            a, b = (place.lineage(name, direction=direction, depth=depth) for place in (one, other))  # type: ignore[arg-type]
            assert a.actual is b.actual is False
            assert (a.datasets, a.quanta) == (b.datasets, b.quanta) and set(a.edges) == set(b.edges)
            assert {it.dataset_id: it for it in a.describe_datasets()} == {
                it.dataset_id: it for it in b.describe_datasets()
            }
        for actual in (True, False):
            assert one.producer("one_output detector=1", actual=actual) == other.producer(
                "one_output detector=1", actual=actual
            )
        with pytest.raises(QuantumButlerError, match="what was used"):
            one.lineage("one_output detector=3", actual=True)


def test_commands(told: Told) -> None:
    for place in (told.provenance, told.archive):
        found = invoke_json("find", place, "--status", "failed", "--task", "one")
        assert [(row["task_label"], row["data_id"]["detector"], row["status"]) for row in found] == [
            ("one", 1, "failed")
        ]
        assert (
            invoke_json("show", place, "one", "detector=1", "visit=7")["quantum_id"] == found[0]["quantum_id"]
        )
        text = invoke("find", place, "--type", "one_output", "--limit", 2).stdout
        assert "2 datasets, and there are more" in text and "mixed/run" in text and "one_output" in text
        for command in (("find",), ("find", "--type", "one_output"), ("missing",)):
            whole = invoke_json(command[0], place, *command[1:])
            assert len(whole) > 2
            assert invoke_json(command[0], place, *command[1:], "--limit", 0) == whole
            assert "There is no such" not in invoke(command[0], place, *command[1:], "--limit", 0).stdout
        counts = invoke_json("find", place, "--summary")
        assert sum(row["quanta"] for row in counts) == 31
        rows = list(csv.DictReader(io.StringIO(invoke("missing", place, "--format", "csv").stdout)))
        assert {row["produced"] for row in rows} == {"False"}
        total = invoke("missing", place, "--summary").stdout.splitlines()[-1].split()
        assert total == ["total", str(len(rows))]
        said = invoke("show", place, "one", status=2).stderr
        assert "may be any of these" in said and "detector=3" in said and "mixed/run" in said
        invoke("show", place, "nothing", status=1)
        invoke("find", place, "--where", "detector", status=2)
        invoke("find", place, "--type", "x", "--status", "failed", status=2)
        nothing = ("find", place, "--task", "all", "--status", "aborted")
        assert "There is no such quantum" in invoke(*nothing).stdout
        assert invoke_json(*nothing) == []
        lineage = invoke("lineage", place, "three_output", "detector=2").stdout
        for word in ("zero_output", "one", "two_output", "detector=2", "input_run", "as predicted"):
            assert word in lineage
        assert "more rows" in invoke("lineage", place, "three_output", "detector=2", "--limit", 2).stdout
        assert "two" in invoke("consumers", place, "one_output", "detector=2").stdout
        assert "one" in invoke("producer", place, "one_output", "detector=2").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("find", "--task", "onee"), "no task 'onee'; there are one"),
        (("find", "--task", "ONE"), "no task 'ONE'; there are one"),
        (("find", "--task", "one", "--task", "one_output"), "one_output is a dataset type"),
        (("find", "--type", "One_Outptu"), "no dataset type 'One_Outptu'; there are one_output"),
        (("find", "--type", "one"), "one is a task"),
        (("find", "--run", "mixed/rum"), "no run 'mixed/rum'; there are mixed/run"),
        (("find", "--type", "one_output", "--run", "nobody/has"), "no run 'nobody/has'"),
        (("find", "--summary", "--task", "onee"), "no task 'onee'"),
        (("missing", "--type", "one_outptu"), "one_output"),
        (("missing", "--run", "nobody/has"), "no run 'nobody/has'; there are input_run, mixed/run"),
        (("log", "--task", "onee"), "no task 'onee'; there are one"),
        (("metadata", "--task", "ONE"), "there are one"),
        (
            ("find", "--task", "all", "-w", "detector = 1"),
            "detector is no dimension .* of all, which have inst",
        ),
        (
            ("find", "--type", "all_output", "-w", "detector = 1 OR visit = 7"),
            "detector is no dimension",
        ),
        (("missing", "-w", "band = 'r' AND detector = 1"), "band is no dimension"),
        (("find", "-w", "physical_filter = 'r' OR detector = 1"), "physical_filter is no dimension"),
    ],
)
def test_what_nobody_knows_is_refused(told: Told, words: tuple[str, ...], said: str) -> None:
    """It is called wrongly, and what is near is named; what is known and matches nothing is an answer."""
    for place in (told.provenance, told.archive):
        assert re.search(said, invoke(words[0], place, *words[1:], status=2).stderr)


def test_what_is_known_and_matches_nothing(told: Told) -> None:
    for place in told.places:
        for words in (
            ("--run", "input_run"),
            ("--task", "one", "-w", "detector = 99"),
            ("--type", "one_output", "--run", "input_run"),
        ):
            done = invoke("find", place, *words, "--format", "json")
            assert json.loads(done.stdout) == [] and done.stderr == ""


def test_a_run_knows_what_data_ids_imply(told: Told) -> None:
    """A graph has the values, and upstream's names of them; both readers find the same."""
    plan = read_plan(str(told.predicted))
    assert vars(plan) == vars(_read_by_upstream(str(told.predicted)))
    whole = PredictedQuantumGraph.read_execution_quanta(str(told.predicted)).quantum_only_xgraph
    for name, value in (("band", "r"), ("physical_filter", "Cam-R")):
        chosen = {plan.ids[number] for number in select(plan, where=f"{name} = '{value}'")}
        has_it = {
            id_ for id_, node in whole.nodes.items() if dict(node["data_id"].mapping).get(name) == value
        }
        assert chosen and chosen == has_it
    with pytest.raises(SelectionError, match="no quantum is chosen"):
        select(plan, where="band = 'g'")


def test_messages_name_the_file(told: Told) -> None:
    for place in (told.predicted, told.planned):
        assert re.search(r"attempts:? +none\n", invoke("show", place, "one", "detector=1").stdout)
    for words in (("--task", "one"), ("one", "detector=1")):
        said = invoke("log", told.predicted, *words, status=1).stderr
        assert said.startswith(f"Error: {told.predicted} is a predicted graph: ")
    said = invoke("log", told.provenance, "--task", "x", status=2).stderr
    assert f"Error: {told.provenance}: there is no task 'x'" in said


def test_data_ids_have_one_order(told: Told) -> None:
    """It is upstream's, for quanta and datasets, in archives and graphs, as text and as JSON."""
    shown: set[str] = set()
    for place in told.places:
        for words in ((), ("--type", "one_output")):
            shown |= {"".join(row["data_id"]) for row in invoke_json("find", place, *words)}
            assert "detector=1, instrument" not in (text := invoke("find", place, *words).stdout)
            assert "instrument=MixedCam, detector=1, visit=7" in text
    assert shown == {"instrumentdetectorvisit", "instrumentvisit"}


def test_hints_of_nothing(told: Told) -> None:
    """Quanta that may be blocked are pointed out where nothing tells of them."""
    for place in (told.predicted, told.planned):
        done = invoke("find", place, "--status", "blocked", "--task", "one", "--format", "csv")
        assert len(done.stdout.splitlines()) == 1
        assert "Of 6 quanta nothing tells" in done.stderr and "--status 'not seen'" in done.stderr
        assert len(invoke_json("find", place, "--status", "not seen", "--task", "one")) == 6
    assert invoke("find", told.archive, "--status", "blocked").stderr == ""


def test_tables_of_an_archive(told: Told) -> None:
    archive = Archive(told.archive)
    assert archive.datasets.count_rows() == len(archive.find_datasets())
    assert archive.tasks.count_rows() and archive.exceptions.count_rows()
    assert archive.attempts.count_rows() >= 1
