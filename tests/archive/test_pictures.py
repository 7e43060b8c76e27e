"""Pictures of small graphs and of statistics: nothing overlaps, nothing is left out."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from archives import Made, chain, used, write, wrote
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from quantum_butler.archive.graph import Graph, Node
from quantum_butler.archive.layers import arrange
from quantum_butler.archive.svg import to_svg
from quantum_butler.cli.main import main

GAP, THIN = 5.0, 3.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int]]]:
    sizes = draw(st.lists(st.sampled_from([10.0, 25.0]), min_size=1, max_size=12))
    place = st.integers(0, len(sizes) - 1)
    edges = draw(st.lists(st.tuples(place, place).filter(lambda edge: edge[0] != edge[1]), max_size=20))
    return sizes, list(dict.fromkeys(edges))


@given(graphs())
def test_nodes_are_apart_and_edges_lead_on(graph: tuple[list[float], list[tuple[int, int]]]) -> None:
    sizes, edges = graph
    layout = arrange(sizes, edges, GAP, THIN)
    things = list(zip(layout.layers, layout.heights, sizes, strict=True))
    for (source, target), route in zip(edges, layout.routes, strict=True):
        layers = [layout.layers[source], *(layer for layer, _ in route), layout.layers[target]]
        steps = {b - a for a, b in pairwise(layers)}
        assert steps in ({1}, {-1})
        things += [(layer, height, THIN) for layer, height in route]
    for (layer, height, size), (other, lower, other_size) in pairwise(sorted(things)):
        assert layer != other or lower - height >= (size + other_size) / 2 + GAP - 1e-6
    assert min(height - size / 2 for _, height, size in things) == pytest.approx(0)


@given(graphs())
def test_without_cycles_all_edges_go_to_the_right(graph: tuple[list[float], list[tuple[int, int]]]) -> None:
    sizes, edges = graph
    forward = [edge for edge in edges if edge[0] < edge[1]]
    layout = arrange(sizes, forward, GAP, THIN)
    assert all(layout.layers[source] < layout.layers[target] for source, target in forward)


def test_crossings_that_need_not_be_are_not() -> None:
    # Three pairs, each in the wrong order.
    layout = arrange([10.0] * 6, [(0, 5), (1, 4), (2, 3)], GAP, THIN)
    order = sorted(range(3), key=layout.heights.__getitem__)
    assert sorted((5, 4, 3), key=layout.heights.__getitem__) == [5 - node for node in order]


def test_long_chains_need_no_deep_stack() -> None:
    count = 3000
    layout = arrange([10.0] * count, [(n, n + 1) for n in range(count - 1)], GAP, THIN)
    assert layout.layers == list(range(count))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_boxes_hold_their_text(texts: list[str]) -> None:
    nodes = [Node(str(n), bool(n % 2), (text[:36] or "x",), ("details",)) for n, text in enumerate(texts)]
    nodes = [
        Node(n.key, n.is_quantum, tuple(filter(str.isprintable, n.lines)) or ("x",), n.details) for n in nodes
    ]
    root = ElementTree.fromstring(
        to_svg(Graph("title", nodes, [(0, n) for n in range(1, len(nodes))])).encode()
    )
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    (drawing,) = root.findall("svg:g", space)
    right, down = (float(n) for n in re.findall(r"[\d.]+", drawing.attrib["transform"]))
    for box in drawing.iterfind("svg:g/svg:rect", space):
        x, y, wide, high = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x + right and x + right + wide <= width
        assert 0 <= y + down and y + down + high <= height


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
    assert result.exit_code == 1
    assert "Traceback" not in result.output and str(tmp_path / "file") in result.output


def test_without_matplotlib_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "quantum_butler.archive.plots", raising=False)
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(main, ["plot", str(tmp_path), "--output", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert "quantum-butler[plot]" in result.output
