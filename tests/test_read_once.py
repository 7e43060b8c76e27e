"""What the tests keep of configurations is what upstream reads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsst.daf.butler import ButlerConfig, StorageClassConfig, _config

from configurations import Kept, reading_once
from repositories import DATASTORES, Repository

READ = _config.ConfigSubset._updateWithOtherConfigFile
"""Upstream's own, since no fixture has been set up yet."""


@contextlib.contextmanager
def read_again() -> Iterator[None]:
    """Have upstream read everything as it does without us."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_config, "yaml", yaml)
        patch.setattr(_config.ConfigSubset, "_updateWithOtherConfigFile", READ)
        yield


def told(root: Path) -> tuple[Any, ...]:
    config = ButlerConfig(str(root))
    files = [*StorageClassConfig().filesRead, config.configFile, config.configDir]
    return config.toDict(), list(config.names()), list(map(str, files))


@pytest.mark.parametrize("kind", DATASTORES)
def test_it_is_what_upstream_reads(kind: str, template: Callable[[str], Repository]) -> None:
    root = template(kind).root
    with read_again():
        expected = told(root)
    with reading_once() as kept:
        for _ in range(3):
            assert told(root) == expected
        assert len(kept.defaults) > 4 and kept.documents


def test_nobody_shares_what_is_kept(template: Callable[[str], Repository]) -> None:
    root = template("chained").root
    with reading_once():
        first, second = ButlerConfig(str(root)), ButlerConfig(str(root))
        before = second.toDict()
        first["datastore", "datastores"].clear()
        for part in first.toDict():
            del first[part]
        assert second.toDict() == before == ButlerConfig(str(root)).toDict()


def test_a_file_that_changes_is_read(tmp_path: Path) -> None:
    included, file = tmp_path / "included.yaml", tmp_path / "config.yaml"
    file.write_text("one: !include included.yaml\n")
    with reading_once() as kept:
        for number in range(3):
            included.write_text(f"number: {number}\n")
            assert _config.Config(str(file)).toDict() == {"one": {"number": number}}
        assert file.read_bytes() not in kept.documents
        file.write_text("one: 1\n")
        assert _config.Config(str(file)).toDict() == {"one": 1}


def test_it_is_used_here() -> None:
    assert isinstance(_config.yaml, Kept)
    assert READ is not _config.ConfigSubset._updateWithOtherConfigFile
