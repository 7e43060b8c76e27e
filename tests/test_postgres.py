"""Where the tests get their PostgreSQL server from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import postgres


@pytest.fixture
def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put another ``apt-get`` in the place of the real one, and return what it writes its calls to."""
    calls = tmp_path / "calls"
    script = tmp_path / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ "$2" != install ] || {{ echo no >&2; exit 100; }}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.setattr(postgres, "_installed", lambda: None)
    monkeypatch.delenv("QUANTUM_BUTLER_APT", raising=False)
    return calls


@pytest.mark.parametrize(("user", "setting"), [(1000, None), (0, "0")], ids=["not root", "forbidden"])
def test_nothing_is_installed(
    apt_get: Path, monkeypatch: pytest.MonkeyPatch, user: int, setting: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if setting is not None:
        monkeypatch.setenv("QUANTUM_BUTLER_APT", setting)
    with pytest.raises(postgres.NoPostgresError, match="none is installed"), postgres.start():
        pass
    assert not apt_get.exists()


def test_root_installs_it(apt_get: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(postgres.NoPostgresError, match=r"install .* postgresql failed: no"), postgres.start():
        pass
    calls = apt_get.read_text().splitlines()
    assert calls == ["-q update", "-q install --yes --no-install-recommends postgresql"]


def test_a_database_of_its_own_for_whoever_asks(postgres_server: postgres.Server) -> None:
    first = postgres_server.new_database()
    assert len({first, postgres_server.new_database(), postgres_server.copy_database(first)}) == 3
