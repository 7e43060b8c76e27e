"""Graphs that are read in several batches, as all larger ones are: the archive is the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from quantum_butler import Archive, collect
from quantum_butler.collecting import graphs
from told_run import Told


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("kind", ["provenance", "planned"])
def test_an_archive_of_a_graph_in_batches(
    told: Told, kind: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches have dictionaries of their own: each has other tasks, and other connections."""
    graph, whole = (told.provenance, told.archive) if kind == "provenance" else (told.predicted, told.planned)
    monkeypatch.setattr(graphs, "_AT_ONCE", at_once)
    collect(graph, tmp_path / "archive")
    assert Archive(tmp_path / "archive").verify().findings == []
    for path in whole.glob("*.parquet"):
        one, other = (pq.read_table(folder / path.name) for folder in (tmp_path / "archive", whole))
        assert one.to_pylist() == other.to_pylist(), path.name
    # A merge reads what was written.
    collect([tmp_path / "archive", graph], tmp_path / "both")
    assert Archive(tmp_path / "both").verify().findings == []
