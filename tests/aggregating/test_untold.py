"""A graph that would call all quanta failed is not written, unless they were killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")

from click.testing import CliRunner

from final_jobs import Finished
from graph_contents import comparable_provenance
from mixed_run import aggregate as upstream_aggregate
from quantum_butler import AggregateError, IngestOptions, aggregate
from quantum_butler.aggregating.untold import Untold
from quantum_butler.cli.main import main


@pytest.fixture
def root(on_sqlite: Finished, tmp_path: Path) -> Path:
    """Return a copy of a repository with a run in it."""
    return Path(shutil.copytree(on_sqlite.run.root, tmp_path / "repo"))


def without_files(root: Path, pattern: str = "*") -> int:
    """Remove metadata and logs as if logs alone had them; return of how many quanta with an output."""
    with_output = removed = 0
    for metadata in sorted(root.rglob(f"{pattern}_metadata_*.json")):
        of_kind = {kind: Path(str(metadata).replace("_metadata", kind)) for kind in ("_log", "_output")}
        with_output += of_kind["_output"].is_file()
        of_kind["_log"].unlink(missing_ok=True)
        metadata.unlink()
        removed += 1
    assert 0 < with_output <= removed
    return with_output


def call(finished: Finished, root: Path, *more: str | Path, status: int) -> Any:
    arguments = ["aggregate", finished.graph_file, root, "-o", root.parent / "ours.qg", *more]
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def test_logs_that_are_forgotten(on_sqlite: Finished, root: Path) -> None:
    """That some have failed, and so have logs in files and others that wait for them, is no difference."""
    count = without_files(root)
    # What has failed has left a log.
    assert list(root.rglob("one_log_*.json"))
    told = call(on_sqlite, root, status=1).stderr
    assert (
        f"\nError: {root}: no quantum has metadata, but {count} have left all their outputs, such as"
        in f"\n{told}"
    )
    assert "give them with --logs" in told and "--accept-killed" in told
    assert [one.name for one in root.parent.iterdir()] == ["repo"]
    with pytest.raises(AggregateError, match=f"{count} have left .* such as .*--logs"):
        aggregate(on_sqlite.graph_file, str(root), ingest=IngestOptions())
    # Two quanta were changed after the run, and their lines are lost.
    logged = ("--logs", on_sqlite.logs, "--check", "none", "--format", "json")
    told = call(on_sqlite, root, *logged, "--overwrite", status=0).stderr
    assert "2 quanta have left outputs" in told and "give all with --logs" in told
    for kind in ("metadata", "log"):
        for path in on_sqlite.run.root.rglob(f"*_{kind}_*.json"):
            if path.name.startswith(("one_", "four_")):
                shutil.copy2(path, root / path.relative_to(on_sqlite.run.root))
    assert json.loads(call(on_sqlite, root, *logged, "--overwrite", status=0).stdout)["untold"] == 0


def test_lines_without_contents(on_sqlite: Finished, root: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "logs").mkdir()
    quanta = set()
    for log in on_sqlite.logs.glob("*.jsonl"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            line.pop("contents", None)
            quanta.add(line["quantum_id"])
        (folder / log.name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    told = call(on_sqlite, root, "--logs", folder, "--overwrite", status=0).stdout
    assert (
        f"0 quanta were taken from logs; the logs have lines of {len(quanta)} more, but no contents" in told
    )
    without_files(root)
    told = call(on_sqlite, root, "--logs", folder, "--overwrite", status=1).stderr
    assert f"the logs have lines of {len(quanta)} quanta, but no contents" in told
    assert "--provenance-contents" in told and "--logs" not in told


def test_what_was_killed(on_sqlite: Finished, root: Path) -> None:
    """Upstream takes it for failed. So do we, with a warning, since others have metadata."""
    without_files(root, "two")
    expected = comparable_provenance(
        upstream_aggregate(root, on_sqlite.graph_file, root.parent / "theirs.qg")
    )
    told = call(on_sqlite, root, status=0)
    assert "quanta have left outputs, but neither metadata nor a log" in told.stderr
    assert comparable_provenance(root.parent / "ours.qg") == expected
    options = IngestOptions(graph=False, lenient=True)
    path = root.parent / "upstreams.qg"
    aggregate(on_sqlite.graph_file, str(root), path, ingest=options)
    assert comparable_provenance(path) == expected


@pytest.mark.parametrize(
    ("ended", "has_told", "has_metadata", "message"),
    [
        (0, True, False, None),
        (0, False, False, "none of the 2 quanta"),
        (1, True, False, "no quantum has metadata, but 1 have left all"),
        (1, True, True, None),
    ],
)
def test_rule(ended: int, has_told: bool, has_metadata: bool, message: str | None) -> None:
    for accept in (False, True):
        untold = Untold(accept_killed=accept, as_upstream=False)
        of_some = SimpleNamespace(
            untold=2, ended=["an id"] * ended, has_told=has_told, has_metadata=has_metadata
        )
        untold.add(of_some)  # type: ignore[arg-type]
        if message is None or accept:
            untold.require_true_graph(None)
        else:
            with pytest.raises(AggregateError, match=message):
                untold.require_true_graph(None)
