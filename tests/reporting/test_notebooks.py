"""Answers show themselves in a notebook, and other libraries read them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx
import pytest
from lines import Line, archive_of

from quantum_butler import Archive, compare, report, times
from quantum_butler.archive.showing import html_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of a run with a failure and an odd name."""
    lines = [
        line
        for visit in range(3)
        for line in (
            Line("isr", visit, ["raw"], ["image"], status=1 if visit else -1),
            Line("<b>measure & more</b>", visit, ["image"], ["table"]),
        )
    ]
    return archive_of(lines, tmp_path_factory.mktemp("shown") / "run", 1)


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Any]:
    """Return one of each kind of answer."""
    archive = Archive(folder)
    made = archive.resolve("table visit=2", kind="dataset")
    return {
        "archive": archive,
        "lineage": archive.lineage(made.id),
        "report": report(folder),
        "times": times(folder),
        "comparison": compare(folder, folder),
    }


@pytest.mark.parametrize("name", ["archive", "lineage", "report", "times", "comparison"])
def test_what_a_notebook_shows_is_html(answers: dict[str, Any], name: str) -> None:
    text = answers[name]._repr_html_()
    tree = ElementTree.fromstring(text)
    rows = list(tree.iter("tr"))
    assert len(rows) > 2 and "<b>measure" not in text
    if name != "archive":
        assert "<b>measure & more</b>" in {cell.text for cell in tree.iter("td")}
    assert "visit=2" in text or name in ("archive", "report", "comparison")


@pytest.mark.parametrize("name", ["archive", "lineage", "report", "times", "comparison"])
def test_tables(answers: dict[str, Any], name: str) -> None:
    tables = answers[name].to_arrow()
    assert sum(map(len, tables.values())) > 0
    frames = answers[name].to_pandas()
    assert {key: len(frame) for key, frame in frames.items()} == {
        key: len(table) for key, table in tables.items()
    }
    assert all(list(frames[key].columns) == table.column_names for key, table in tables.items())


def test_numbers(answers: dict[str, Any]) -> None:
    tasks = answers["report"].to_arrow()["tasks"].to_pylist()
    assert [(row["quanta"], row["failed"]) for row in tasks] == [(3, 0), (3, 1)]
    (failure,) = answers["report"].to_arrow()["failures"].to_pylist()
    assert failure["data_id"] == "instrument=Cam, visit=0"
    rows = answers["times"].to_arrow()["tasks"].to_pylist()
    assert {(row["measure"], row["quanta"], row["sum"]) for row in rows} == {("run_time", 3, 3.0)}


def test_lineage_as_a_network(answers: dict[str, Any]) -> None:
    lineage = answers["lineage"]
    graph = lineage.to_networkx()
    assert set(graph.nodes) == {*lineage.datasets, *lineage.quanta}
    assert set(graph.edges) == set(map(tuple, lineage.edges)) and networkx.is_directed_acyclic_graph(graph)
    labels = {data["label"] for _, data in graph.nodes(data=True)}
    assert {"raw instrument=Cam, visit=2", "isr instrument=Cam, visit=2"} <= labels and len(labels) == 5
    assert not any(str(id_)[:8] in label for id_ in lineage.datasets for label in labels)


@pytest.mark.parametrize(("library", "method"), [("pandas", "to_pandas"), ("networkx", "to_networkx")])
def test_libraries_that_are_not_there(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, library: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {library}"):
        getattr(answers["lineage"], method)()


def test_long_tables_are_cut() -> None:
    text = html_table(["n"], ([n] for n in range(10**6)), 10**6)
    assert text.count("<tr>") == 51 and "and 999,950 more" in text
