"""Logs and metadata of quanta are those that upstream's reader finds in the same graph."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lsst.pipe.base.quantum_graph import ProvenanceQuantumGraphReader

from quantum_butler import ProvenanceGraph
from quantum_butler.archive.reports import plain
from quantum_butler.cli.main import main
from told_run import Told


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def logs(told: Told) -> Any:
    """Return what upstream finds in the logs of all quanta."""
    ids = list(told.run.quanta.values())
    with ProvenanceQuantumGraphReader.open(str(told.provenance)) as reader:
        return reader.fetch_logs(ids)


def test_a_log_is_printed_as_upstream_does(told: Told, logs: Any) -> None:
    for name in (("one", 1), ("four", 3)):
        text = run("log", told.provenance, name[0], f"detector={name[1]}").stdout
        expected = [
            plain(line)
            for records in logs[told.run.quanta[name]]
            for record in records or ()
            for line in [*str(record).splitlines(), *(record.exc_info or "").rstrip().splitlines()]
        ]
        printed = [line for line in text.splitlines() if not line.startswith("# ")]
        assert printed == expected
        assert printed


def test_all_failures_of_a_task(told: Told) -> None:
    text = run("log", told.provenance, "--task", "one", "--status", "failed").stdout
    assert "ValueError: Simulated failure" in text and "# attempt 1" in text
    assert text.count("# quantum one") == 1
    whole = run("log", told.provenance, "--task", "one").stdout
    short = run("log", told.provenance, "--task", "one", "--level", "ERROR").stdout
    # Only quanta with such a record have a heading, and those that are named.
    assert 0 < short.count("# quantum one") < whole.count("# quantum one")
    for part in short.split("# quantum one")[1:]:
        assert "\nERROR " in part
    none = run("log", told.provenance, "--task", "one", "--level", "CRITICAL").stdout
    assert none == "No quantum that is like that has a record of this level.\n"
    named = run("log", told.provenance, "one", "detector=0", "--level", "CRITICAL").stdout
    assert named.count("# quantum one") == 1
    assert run("log", told.provenance, "--task", "one", "--status", "aborted").stdout == (
        "No quantum is like that.\n"
    )


def test_json_is_what_the_graph_has(told: Told) -> None:
    graph = ProvenanceGraph(told.provenance)
    for command, ask in (("log", graph.logs), ("metadata", graph.metadata)):
        lines = run(command, told.provenance, "--task", "four", "--format", "json").stdout.splitlines()
        found = {one["quantum_id"]: one["attempts"] for one in map(json.loads, lines)}
        ids = [id_ for (label, _), id_ in told.run.quanta.items() if label == "four"]
        # Numbers that JSON does not have are not equal to themselves.
        assert {key: repr(value) for key, value in found.items()} == {str(id_): repr(ask(id_)) for id_ in ids}


def test_metadata(told: Told) -> None:
    text = run("metadata", told.provenance, "one", "detector=0").stdout
    assert "quantum.startUtc = " in text and "job.qg_size = " in text


def test_an_archive_of_a_graph_has_what_that_has(told: Told) -> None:
    for command in ("log", "metadata"):
        asked = [run(command, place, "--task", "four").stdout for place in (told.archive, told.provenance)]
        assert sorted(asked[0].splitlines()) == sorted(asked[1].splitlines()) and asked[0]


def test_where_there_are_none(told: Told) -> None:
    for place in (told.planned, told.predicted):
        said = run("log", place, "--task", "one", status=1).stderr
        assert str(place) in said and "provenance graphs" in said and "quantum-butler aggregate" in said
    assert "no task 'eleven'" in run("log", told.provenance, "--task", "eleven", status=2).stderr
    assert "may be any of these" in run("log", told.provenance, "one", status=2).stderr
    run("log", told.provenance, status=2)
    run("log", told.provenance, "one", "--task", "one", status=2)
