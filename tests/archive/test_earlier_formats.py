"""An archive and a log that release 0.1.0 has written are asked, added to and merged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from quantum_butler import Archive, collect
from quantum_butler.archive.format import VERSION

FORMAT_1 = Path(__file__).with_name("data") / "format1"
LOG_1 = Path(__file__).parents[1] / "collecting" / "data" / "format1.jsonl"


def version_of(archive: Path) -> int:
    return int(json.loads((archive / "manifest.json").read_text())["version"])


def answers(archive: Archive) -> dict[str, Any]:
    """Return what every question answers, for every quantum and dataset."""
    lines = [json.loads(line) for line in LOG_1.read_text().splitlines()]
    quanta = {UUID(line["quantum_id"]) for line in lines}
    datasets = {
        UUID(one) for line in lines for one in (*line["predicted_inputs"], *line["predicted_outputs"])
    }
    assert len(quanta) == 4 and len(datasets) == 14
    shown = {one: dataclasses.asdict(archive.show(one)) for one in quanta}
    for use in (use for details in shown.values() for use in details["uses"]):
        # Format 1 has no table of datasets, which tells it.
        del use["dataset"]["produced"], use["dataset"]["producer"]
    return {
        "stats": archive.stats(),
        "shown": shown,
        "up": {one: archive.lineage(one).quanta for one in datasets},
        "down": {one: archive.lineage(one, direction="down").datasets for one in datasets},
        "producers": {one: archive.producer(one) for one in datasets},
        "consumers": {one: archive.consumers(one) for one in datasets},
    }


@pytest.fixture
def anew(tmp_path: Path) -> Archive:
    """Return an archive that this release makes of the log of which 0.1.0 made its own."""
    collect(LOG_1, tmp_path / "anew")
    return Archive(tmp_path / "anew")


def test_what_is_kept_is_of_the_first_format(anew: Archive) -> None:
    assert version_of(FORMAT_1) == 1 < VERSION == version_of(anew.path)


def test_an_archive_answers_what_one_of_today_does(anew: Archive) -> None:
    old = Archive(FORMAT_1)
    assert answers(old) == answers(anew)
    assert not old.diff(anew) and not anew.diff(old)


@pytest.mark.parametrize("sources", [[LOG_1], [FORMAT_1], [FORMAT_1, LOG_1]], ids=str)
def test_it_becomes_one_of_the_newest_format(tmp_path: Path, anew: Archive, sources: list[Path]) -> None:
    added = shutil.copytree(FORMAT_1, tmp_path / "added")
    collect(sources, added, append=True)
    collect(sources, tmp_path / "merged")
    for archive in (added, tmp_path / "merged"):
        assert version_of(archive) == VERSION
        assert answers(Archive(archive)) == answers(anew)
        # The earlier attempt is still told of.
        attempts = pq.read_table(archive / "attempts.parquet")
        assert len(attempts) == len(pq.read_table(anew.path / "attempts.parquet")) == 1


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    later = shutil.copytree(FORMAT_1, tmp_path / "later")
    manifest = json.loads((later / "manifest.json").read_text())
    (later / "manifest.json").write_text(json.dumps({**manifest, "version": VERSION + 1}))
    with pytest.raises(ValueError, match=f"version {VERSION + 1}.*up to {VERSION}"):
        Archive(later).stats()
