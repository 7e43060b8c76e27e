"""The tests' own remedies for faults of upstream and of Python do what they are for, and no more."""

from __future__ import annotations

import gc
import sqlite3
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from lsst.daf.butler.registry.databases.sqlite import SqliteDatabase

import interpreters

FORGET = "def forget(connect):\n    connect()\n"


def unclosed(connect: Callable[[], object], filename: str) -> list[str]:
    """Return the warnings when a file's code has connected and forgotten."""
    names: dict[str, Callable[[Callable[[], object]], None]] = {}
    exec(compile(FORGET, filename, "exec"), names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names["forget"](connect)
        gc.collect()
    return [str(one.message) for one in caught if one.category is ResourceWarning]


def test_upstreams_connections_are_closed_and_ours_are_told(tmp_path: Path) -> None:
    def connect() -> object:
        return SqliteDatabase.makeEngine(filename=str(tmp_path / "file")).raw_connection().driver_connection

    def forgotten() -> object:
        return sqlite3.connect(tmp_path / "file")

    tells = bool(unclosed(forgotten, __file__))
    assert tells or sys.version_info < (3, 13)
    assert unclosed(connect, __file__) == []
    assert bool(unclosed(connect, f"{interpreters.PACKAGE}made_up.py")) is tells


def test_zip_files_are_sought() -> None:
    assert interpreters.zip_files_seek()


def test_a_sound_zip_file_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with interpreters.seeking_zip_files():
        seek = zipfile._SharedFile.seek  # type: ignore[attr-defined]
        with interpreters.seeking_zip_files():
            assert zipfile._SharedFile.seek is seek  # type: ignore[attr-defined]
