"""Values of data IDs have the names that upstream gives them, whatever the dimensions."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from lsst.daf.butler import DimensionUniverse

from graph_zips import changed, frame, unframe
from quantum_butler import ProvenanceGraph, QuantumGraphError


def with_types(path: Path, into: Path, types: dict[str, list[str]]) -> Path:
    """Write a graph whose pipeline has other dataset types."""

    def other(data: bytes) -> bytes:
        pipeline = json.loads(unframe(data))
        pipeline["dataset_types"] = {
            name: {"dimensions": dimensions, "storage_class": "S"} for name, dimensions in types.items()
        }
        return frame(json.dumps(pipeline).encode())

    return changed(path, into, {"pipeline_graph.json.zst": other})


def test_names_and_their_order(plain_graph: Path, tmp_path: Path) -> None:
    universe = DimensionUniverse()
    names = sorted(universe.dimensions.names)
    chance = random.Random(14)
    skypix = [name for name in names if name in universe.skypix_dimensions.names]
    others = [name for name in names if name not in skypix]
    assert len(others) > 10 and len(skypix) > 30
    groups = [[], *([name] for name in names), others, names]
    groups += [chance.sample(others, chance.randrange(2, 6)) for _ in range(300)]
    groups += [[*chance.sample(others, 2), chance.choice(skypix)] for _ in range(20)]
    types = {f"t{number}": group for number, group in enumerate(groups)}
    graph = ProvenanceGraph(with_types(plain_graph, tmp_path / "types.qg", types))
    for name, group in types.items():
        expected = universe.conform(group)
        found = graph.dataset_types[name]
        assert found.dimensions == tuple(expected.data_coordinate_keys), group
        assert found.required == tuple(expected.required), group


def test_a_dimension_that_there_is_not(plain_graph: Path, tmp_path: Path) -> None:
    path = with_types(plain_graph, tmp_path / "types.qg", {"t": ["detector", "colour"]})
    with pytest.raises(QuantumGraphError, match=r'types\.qg: pipeline_graph: there is no dimension "colour"'):
        _ = ProvenanceGraph(path).dataset_types


def test_dimensions_that_require_each_other(plain_graph: Path, tmp_path: Path) -> None:
    def circle(data: bytes) -> bytes:
        pipeline = json.loads(unframe(data))
        pipeline["dimensions"]["elements"]["instrument"]["requires"] = ["detector"]
        return frame(json.dumps(pipeline).encode())

    path = changed(plain_graph, tmp_path / "circle.qg", {"pipeline_graph.json.zst": circle})
    with pytest.raises(QuantumGraphError, match="dimensions require each other"):
        _ = ProvenanceGraph(path).tasks
