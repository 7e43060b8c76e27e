"""Our reader of graphs and upstream's make the same plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_butler.running import plan

pytestmark = pytest.mark.slow


def test_both_readers_make_the_same_plan(pristine: tuple[Path, Path]) -> None:
    graph = str(pristine[1])
    ours, upstreams = plan._read_here(graph), plan._read_by_upstream(graph)
    assert ours is not None and len(ours) == 6
    assert vars(ours) == vars(upstreams)
    assert vars(plan.read_plan(graph)) == vars(ours)


def test_others_are_left_to_upstream(tmp_path: Path) -> None:
    (tmp_path / "text.qg").write_text("no graph")
    for graph in (tmp_path / "text.qg", tmp_path / "nothing.qg", "s3://bucket/graph.qg"):
        assert plan._read_here(str(graph)) is None
