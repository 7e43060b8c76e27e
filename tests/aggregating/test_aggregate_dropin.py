"""Upstream's ``butler aggregate-graph`` does it our way, with one word more."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from lsst.pipe.base.quantum_graph import aggregator as upstream

from commands import run_exec
from final_jobs import Finished, aggregated_by_upstream, final_state
from graph_contents import upstream_provenance
from quantum_butler import install, uninstall

STOCK = upstream.aggregate_graph
TELL = "from lsst.pipe.base.quantum_graph import aggregator; print(aggregator.aggregate_graph.__module__)"


@pytest.fixture
def _installed() -> Iterator[None]:
    install(aggregator=True)
    yield
    uninstall()
    assert upstream.aggregate_graph is STOCK


def test_the_command_with_one_word_more(on_sqlite: Finished, tmp_path: Path) -> None:
    theirs, mine = on_sqlite.repository(), on_sqlite.repository()
    path = tmp_path / "ours.qg"
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path)
    options = ("--register-dataset-types", "--update-output-chain", "--mock-storage-classes", "-o", path)
    command = (
        Path(sys.executable).with_name("butler"),
        "--log-level",
        "VERBOSE",
        "aggregate-graph",
        on_sqlite.graph_file,
        mine,
        *options,
    )
    done = run_exec(*map(str, command), env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "Ingested " in done.stderr
    assert "dataset(s); skipped 0 already present." in done.stderr
    assert "All aggregation tasks complete after" in done.stderr
    assert final_state(mine) == final_state(theirs)
    found, expected = upstream_provenance(path), upstream_provenance(tmp_path / "theirs.qg")
    assert found["quanta"] == expected["quanta"]
    assert found["datasets"] == expected["datasets"]


@pytest.mark.parametrize(
    ("value", "module"), [("0", STOCK.__module__), ("1", "quantum_butler.dropin.install")]
)
def test_switch(value: str, module: str) -> None:
    done = run_exec(sys.executable, "-c", TELL, env={**os.environ, "QUANTUM_BUTLER_AGGREGATOR": value})
    assert (done.stdout.strip(), done.stderr) == (module, "")


@pytest.mark.usefixtures("_installed")
def test_configuration(
    on_sqlite: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs, mine = on_sqlite.repository(), on_sqlite.repository()
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path, incomplete=True)

    def call(graph: Path = on_sqlite.graph_file, **options: Any) -> None:
        config = upstream.AggregatorConfig(mock_storage_classes=True, **options)
        upstream.aggregate_graph(str(graph), str(mine), config)

    with caplog.at_level(logging.INFO):
        call(incomplete=True, dry_run=True, zstd_dict_size=0, ingest_batch_size=5)
        before = final_state(mine)
        call(incomplete=True, ingest_batch_size=5, log_status_interval=0.001)
    assert final_state(mine) == final_state(theirs) != before
    assert "2 quanta incomplete/failed abandoned; re-run with incomplete=False to finish." in caplog.text
    assert "Status after " in caplog.text
    # What we do not take over.
    asked: list[Any] = []
    swaps = [(lambda *arguments: asked.append(arguments), upstream.aggregate_graph)]
    with monkeypatch.context() as patch:
        patch.setattr("quantum_butler.dropin.install._swaps", swaps)
        call(interactive_status=True)
        call(worker_log_dir=str(tmp_path))
        call(graph=tmp_path / "missing.qg")
        assert len(asked) == 3


@pytest.mark.usefixtures("_installed")
def test_failure(
    on_sqlite: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = upstream.AggregatorConfig(mock_storage_classes=True)
    monkeypatch.setattr("quantum_butler.aggregating.driver._scan_all", lambda *arguments: 1 / 0)
    with pytest.raises(upstream.FatalWorkerError, match="division by zero"):
        upstream.aggregate_graph(str(on_sqlite.graph_file), str(on_sqlite.repository()), config)
    assert "Exception raised on aggregator" in caplog.text
