"""Whatever tells of a run, a name means the same, and what it cannot mean is said."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph

from quantum_butler import (
    AmbiguousNameError,
    Archive,
    ConditionError,
    QuantumButlerError,
    UnknownIdError,
    UnknownNameError,
    open_run,
)
from told_run import Told

Names = dict[uuid.UUID, tuple[str, str, dict[str, Any], str]]

FORMAT_1 = Path(__file__).resolve().parents[1] / "archive" / "data" / "format1"


@pytest.fixture(scope="module")
def upstream(told: Told) -> Names:
    """Return kind, label, data ID and run of all quanta and datasets by id, as upstream reads them."""
    graph = PredictedQuantumGraph.read_execution_quanta(str(told.predicted))
    found: Names = {}
    for id_, info in graph.bipartite_xgraph.nodes.items():
        data_id = dict(info["data_id"].required)
        if "task_label" in info:
            found[id_] = "quantum", info["task_label"], data_id, graph.header.output_run
        else:
            found[id_] = "dataset", info["dataset_type_name"], data_id, info["run"]
    return found


def test_names_of_all_kinds(
    told: Told, upstream: dict[uuid.UUID, tuple[str, str, dict[str, Any], str]]
) -> None:
    """Each quantum and dataset is found by id, by end of the id, and by type or task with data ID."""
    assert {kind for kind, *_ in upstream.values()} == {"quantum", "dataset"} and len(upstream) > 100
    for place in told.places:
        run = open_run(place)
        for id_, (kind, label, data_id, in_run) in upstream.items():
            assert run.resolve(id_).id == id_
            found = run.resolve([label, *(f"{name}={value}" for name, value in data_id.items())])
            assert (found.kind, found.name, found.data_id, found.run) == (kind, label, data_id, in_run)
            assert found.id == id_
        for id_ in [*upstream][:: len(upstream) // 9]:
            kind, label, data_id, in_run = upstream[id_]
            values = ", ".join(f"{name} = {value!r}" for name, value in data_id.items())
            for name in (
                str(id_),
                id_.hex,
                str(id_)[-17:],
                f"...{id_.hex[-15:]}",
                str(id_)[:-1],
                f"{label} {values}",
            ):
                assert run.resolve(name) == run.resolve(id_)
            assert run.resolve(f"{label} {values}, run={in_run}").id == id_
            with pytest.raises(LookupError, match="there is no"):
                run.resolve(f"{label} {values} run=elsewhere")
            other = "quantum" if kind == "dataset" else "dataset"
            with pytest.raises(LookupError, match=f"the id of a {kind}"):
                run.resolve(id_, kind=other)  # type: ignore[arg-type]
            with pytest.raises(LookupError, match="asked for"):
                run.resolve(label, kind=other)  # type: ignore[arg-type]


def test_what_may_be_several(told: Told) -> None:
    for place in told.places:
        run = open_run(place)
        with pytest.raises(AmbiguousNameError) as caught:
            run.resolve("one visit=7")
        expected = {(6, "quantum", "one", "mixed/run")}
        candidates = caught.value.candidates
        assert {(len(candidates), one.kind, one.name, one.run) for one in candidates} == expected
        lines = str(caught.value).splitlines()
        assert len(lines) == 7 and str(place) in lines[0]
        for one in candidates:
            (line,) = [line for line in lines if str(one.id) in line]
            assert "quantum one" in line and f"detector={one.data_id['detector']}" in line  # type: ignore[index]
        with pytest.raises(AmbiguousNameError) as caught:
            run.resolve(str(candidates[0].id)[:4])
        assert len(caught.value.candidates) == 20 and str(caught.value).endswith("and more")


def test_what_is_not_there(told: Told) -> None:
    for place in told.places:
        run = open_run(place)
        error = UnknownIdError if isinstance(run, Archive) else UnknownNameError
        unknown = uuid.uuid4()
        for name, words in (
            (unknown, [str(unknown)]),
            ("on", ["'on'", "one"]),
            ("one_outptu visit=7", ["one_outptu", "one_output"]),
            ("one detector=77", ["one detector=77", "for instance", "detector="]),
            ("all detector=1", ["all detector=1"]),
            ("ffffffff", ["ffffffff"]),
            ("runs/1/x.json", ["runs/1/x.json"]),
        ):
            with pytest.raises(error) as caught:
                run.resolve(name)
            said = str(caught.value)
            assert all(word in said for word in [str(place), *words]), said
            assert isinstance(caught.value, QuantumButlerError)
        for name in (
            "",
            " , ",
            "visit=7",
            "one detector",
            "one detector=x",
            "one detector='3'",
            "one moon=3",
            [],
        ):
            with pytest.raises(ConditionError):
                run.resolve(name)
        with pytest.raises(ConditionError, match="two values"):
            run.resolve("one visit=7 visit=8")


def test_what_is_near_has_most_values(told: Told) -> None:
    """What has more of the values comes first, then what has closer ones, in any case of letters."""
    for place in told.places:
        run = open_run(place)
        for name, near in (
            ("one detector=4 visit=999", "detector=4"),
            ("one detector=77 visit=7", "detector=5"),
            ("one instrument='Mixedcam' detector=2", "detector=2"),
            ("one detector=3 run=mixed/rum", "detector=3"),
        ):
            with pytest.raises(LookupError) as caught:
                run.resolve(name)
            assert near in str(caught.value).partition("for instance, ")[2].partition(", or ")[0], (
                caught.value
            )
        with pytest.raises(LookupError, match=r"'ONE' is no .*; there are one"):
            run.resolve("ONE detector=1")


def test_the_first_format() -> None:
    """It has names of quanta, and ids."""
    run = Archive(FORMAT_1)
    (row, *_) = run.quanta.to_table(columns=["quantum_id", "task_label", "data_id"]).to_pylist()
    label, data_id = row["task_label"], run.show(row["quantum_id"]).quantum.data_id
    assert data_id
    values = [f"{name}={value}" for name, value in data_id.items()]
    assert run.resolve([label, *values]).id == row["quantum_id"]
    dataset = run.edges.to_table(columns=["dataset_id"])["dataset_id"][0].as_py()
    assert run.resolve(str(dataset)[-12:]).id == run.resolve(dataset).id == dataset
    with pytest.raises(UnknownIdError):
        run.resolve("calexp visit=7")
    with pytest.raises(QuantumButlerError, match="first format"):
        run.find_datasets()


def test_several_files_are_one(told: Told, tmp_path: Path) -> None:
    again = shutil.copy(told.run.first_try, tmp_path / "first.qg")
    run = open_run(again, told.provenance)
    assert len(run.find_quanta()) == len(open_run(told.provenance).find_quanta())
    assert run.resolve("one detector=1").id == told.run.quanta["one", 1]
    with pytest.raises(QuantumButlerError, match="one archive, or graphs"):
        open_run(told.archive, told.provenance)
