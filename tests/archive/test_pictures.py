"""Pictures of small graphs and of statistics: nothing is left out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from archives import Made, chain, dataset_id, used, write, wrote
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_butler import Archive
from quantum_butler.archive.graph import Graph, Node, to_svg
from quantum_butler.cli.main import main

SVG = {"svg": "http://www.w3.org/2000/svg"}

graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="there is no Graphviz")


def lineage(folder: Path, style: str) -> Result:
    return CliRunner().invoke(main, ["lineage", str(folder), str(dataset_id(200)), "--format", style])


@graphviz
def test_graphviz_draws_all_of_a_lineage(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", chain())
    root = ElementTree.fromstring(lineage(archive, "svg").stdout_bytes)
    model = Archive(archive).lineage(dataset_id(200))
    titles = [title.text or "" for title in root.iterfind(".//svg:g[@class='node']/svg:title", SVG)]
    assert sorted(titles) == sorted(
        [*(f"dataset {id_}" for id_ in model.datasets), *(f"quantum {id_}" for id_ in model.quanta)]
    )
    ends = [title.text or "" for title in root.iterfind(".//svg:g[@class='edge']/svg:title", SVG)]
    found = [tuple(end.split()[1] for end in edge.split("->")) for edge in ends]
    assert sorted(found) == sorted((str(edge.source), str(edge.target)) for edge in model.edges)


@graphviz
@settings(max_examples=20)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=36), min_size=1, max_size=4
    )
)
def test_graphviz_draws_texts_as_they_are(texts: list[str]) -> None:
    nodes = [Node(str(n), bool(n % 2), (text,), ("details", text)) for n, text in enumerate(texts)]
    root = ElementTree.fromstring(to_svg(Graph("a title", nodes, [(0, n) for n in range(1, len(nodes))])))
    drawn = [text.text for text in root.iterfind(".//svg:g[@class='node']//svg:text", SVG)]
    assert drawn == texts


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_without_graphviz_there_is_a_hint(tmp_path: Path, only: Path) -> None:
    archive = write(tmp_path / "archive", chain())
    result = lineage(archive, "svg")
    assert result.exit_code == 2
    assert "Graphviz" in result.stderr and "--format dot" in result.stderr and not result.stdout
    assert lineage(archive, "dot").exit_code == 0


def test_what_graphviz_gets_and_gives(tmp_path: Path, only: Path) -> None:
    archive = write(tmp_path / "archive", chain())
    program = only / "dot"
    program.write_text(f'#!/bin/sh\n[ "$*" = -Tsvg ] && {shutil.which("cat", path=os.defpath)}\n')
    program.chmod(0o755)
    assert lineage(archive, "svg").stdout_bytes == lineage(archive, "dot").stdout_bytes != b""
    program.write_text("#!/bin/sh\necho 'Error: no\nlayout' >&2\nexit 3\n")
    result = lineage(archive, "svg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: dot ended with status 3: Error: no layout\n"
    program.chmod(0o644)
    result = lineage(archive, "svg")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_pictures_of_statistics(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    quanta = [
        *chain(),
        *(Made(n, {**used(n), **wrote(n + 1)}, f"task $x_{n}$ " + "y" * n) for n in range(300, 340)),
    ]
    for name, made in (("some", quanta), ("none", [])):
        archive = write(tmp_path / name, made, row_group=100)
        folder = tmp_path / "pictures" / name
        for _ in range(2):
            result = CliRunner().invoke(main, ["plot", str(archive), "--output", str(folder)])
            assert result.exit_code == 0, result.output
        paths = [Path(line) for line in result.stdout.splitlines()]
        assert sorted(paths) == sorted(folder.iterdir())
        assert {path.name for path in paths} == {"outputs.png", "outputs.svg", "inputs.png", "inputs.svg"}
        for path in paths:
            if path.suffix == ".svg":
                ElementTree.parse(path)
            else:
                assert path.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    archive = write(tmp_path / "archive", chain())
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["plot", str(archive), "--output", str(tmp_path / "file" / "x")])
    assert result.exit_code == 2
    assert "Traceback" not in result.output and str(tmp_path / "file") in result.output


def test_pictures_do_not_go_into_an_archive(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    archive = write(tmp_path / "archive", chain())
    names = sorted(path.name for path in archive.iterdir())
    for folder in (archive, archive / "pictures"):
        result = CliRunner().invoke(main, ["plot", str(archive), "--output", str(folder)])
        assert result.exit_code == 2 and "is not replaced" in result.output
    assert names == sorted(path.name for path in archive.iterdir())


def test_without_matplotlib_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "quantum_butler.archive.plots", raising=False)
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(main, ["plot", str(tmp_path), "--output", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert "quantum-butler[plot]" in result.output
