"""After the final job a repository is what upstream's aggregator and ingester would have made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from click.testing import CliRunner

from final_jobs import Finished, aggregated_by_upstream, final_state, read
from quantum_butler import IngestOptions, aggregate
from quantum_butler.cli.main import main
from registries import DATABASES


def ours(finished: Finished, root: Path, output: Path | None = None, **options: Any) -> Any:
    names = ("incomplete", "overwrite", "jobs", "logs")
    settings = {name: options.pop(name) for name in names if name in options}
    return aggregate(finished.graph_file, str(root), output, ingest=IngestOptions(**options), **settings)


@pytest.mark.parametrize("database", DATABASES)
def test_the_repository_is_that_of_upstream(
    finished: Callable[[str], Finished], database: str, tmp_path: Path, gathered: list[int]
) -> None:
    run = finished(database)
    theirs = run.repository()
    aggregated_by_upstream(theirs, run.run, tmp_path, promise_ingest_graph=True)
    expected, contents = final_state(theirs), read(theirs)
    assert any("run_provenance" in row for row in expected["file_datastore_records"])
    assert len(contents) > 25
    # What logs tell is registered as well, also where quanta are not shown to upstream's classes.
    for logs in ((), run.logs) if database == "sqlite" else (run.logs,):
        mine = run.repository()
        gathered.clear()
        report = ours(run, mine, batch=7, logs=logs)
        assert (report.quanta, report.failed, report.already_registered, report.wrong) == (31, 5, 0, 0)
        assert Path(report.path).is_relative_to(mine)
        assert report.quanta / 2 < sum(gathered) < report.quanta
        found = final_state(mine)
        assert found.keys() == expected.keys()
        for name, rows in expected.items():
            assert found[name] == rows, name
        assert contents == read(mine)
    # Again, nothing is left to do.
    again = ours(run, mine, batch=7, logs=run.logs)
    assert (again.path, again.quanta, again.failed, again.registered) == (report.path, 31, 5, 0)
    assert final_state(mine) == found


@pytest.mark.parametrize("incomplete", [True, False])
def test_without_the_graph(
    on_sqlite: Finished, tmp_path: Path, incomplete: bool, gathered: list[int]
) -> None:
    theirs, mine = on_sqlite.repository(), on_sqlite.repository()
    before = final_state(mine)
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path, incomplete=incomplete)
    report = ours(on_sqlite, mine, graph=False, incomplete=incomplete)
    expected = final_state(theirs)
    assert final_state(mine) == expected
    assert report.path is None
    new = len(expected["dataset"]) - len(before["dataset"])
    assert (report.registered, report.already_registered) == (new, 0)
    # What is there is found by a conflict, or looked for from the first.
    for defensive, logs in ((False, ()), (True, on_sqlite.logs), (False, on_sqlite.logs)):
        again = ours(on_sqlite, mine, graph=False, incomplete=incomplete, defensive=defensive, logs=logs)
        assert (again.registered, again.already_registered) == (0, report.registered)
    assert final_state(mine) == expected
    assert sum(gathered) > 31


def test_first_a_part_and_then_all(on_sqlite: Finished, tmp_path: Path) -> None:
    theirs, mine = on_sqlite.repository(), on_sqlite.repository()
    for incomplete in (True, False):
        aggregated_by_upstream(
            theirs, on_sqlite.run, tmp_path, incomplete=incomplete, promise_ingest_graph=not incomplete
        )
        ours(on_sqlite, mine, tmp_path / "ours.qg", incomplete=incomplete)
        assert (tmp_path / "ours.qg").exists() is not incomplete
    assert final_state(mine) == final_state(theirs)


def test_choices(on_sqlite: Finished, tmp_path: Path) -> None:
    theirs, mine = on_sqlite.repository(), on_sqlite.repository()
    before = final_state(mine)
    dry = ours(on_sqlite, mine, dry_run=True)
    assert final_state(mine) == before
    assert dry.path is None
    assert not [one.name for one in on_sqlite.graph_file.parent.iterdir() if "provenance" in one.name]
    options = {"register_dataset_types": True, "update_output_chain": False, "dry_run": False}
    aggregated_by_upstream(theirs, on_sqlite.run, tmp_path, **options)
    report = ours(on_sqlite, mine, graph=False, **options)
    assert final_state(mine) == final_state(theirs)
    assert dry.registered < report.registered
    # What is registered is found.
    again = ours(on_sqlite, mine, dry_run=True)
    assert (again.registered, again.already_registered) == (0, dry.registered)
    arguments = ["aggregate", str(on_sqlite.graph_file), str(mine), "--ingest", "--dry-run"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "31 quanta (5 failed or blocked)\n" in result.stdout
    assert f"0 datasets would be registered, {dry.registered} were there already\n" in result.stdout
    result = CliRunner().invoke(main, [*arguments, "--archive", str(tmp_path / "archive")])
    assert (result.exit_code, "none is written" in result.output) == (2, True)
