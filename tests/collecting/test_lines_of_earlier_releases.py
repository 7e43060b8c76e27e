"""Logs that earlier releases have written are read as they were."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from quantum_butler import collect

DATA = Path(__file__).parent / "data"


def test_lines_that_only_have_provenance_and_times(tmp_path: Path) -> None:
    report = collect(DATA / "format1.jsonl", tmp_path / "archive")
    assert (report.read, report.quanta, report.rejected, report.replaced) == (5, 4, 0, 1)
    quanta = pq.read_table(tmp_path / "archive" / "quanta.parquet").to_pylist()
    assert sorted(quantum["attempts"] for quantum in quanta) == [1, 1, 1, 2]
    assert {quantum["task_label"] for quantum in quanta} == {"first", "second"}
