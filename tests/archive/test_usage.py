"""What nothing has used, and what is not there, against a few lines of Python on made-up archives."""

from __future__ import annotations

import pytest
from archives import Made, campaigns, dataset_id, write
from hypothesis import given

from quantum_butler import Archive


@given(campaigns)
def test_against_the_description(tmp_path_factory: pytest.TempPathFactory, quanta: list[Made]) -> None:
    archive = Archive(write(tmp_path_factory.mktemp("usage") / "archive", quanta))
    roles: dict[int, set[str]] = {}
    for made in quanta:
        for number, names in made.datasets.items():
            roles.setdefault(number, set()).update(names)
    unused = {
        dataset_id(number)
        for number, names in roles.items()
        if names & {"actual_output", "available_input"} and "actual_input" not in names
    }
    missing = {
        dataset_id(number)
        for number, names in roles.items()
        if "actual_output" not in names
        and ("predicted_output" in names or ("predicted_input" in names and "available_input" not in names))
    }
    assert set(archive.unused()["dataset_id"].to_pylist()) == unused
    assert set(archive.missing()["dataset_id"].to_pylist()) == missing
