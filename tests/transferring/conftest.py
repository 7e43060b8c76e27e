"""What tests of the transfer share: a campaign for each kind of database, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from registries import DATABASES, Registries

if TYPE_CHECKING:
    from campaigns import Campaign


@pytest.fixture(scope="session")
def campaigns(registries: Registries, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Campaign]:
    """Return what gives a campaign in a repository with some kind of database."""
    pytest.importorskip("lsst.ctrl.mpexec", reason="the demo's graph needs an executor")
    from campaigns import make_campaign

    made: dict[str, Campaign] = {}

    def get(database: str) -> Campaign:
        if database not in made:
            made[database] = make_campaign(registries, tmp_path_factory.mktemp("campaign"), database)
        return made[database]

    return get


@pytest.fixture(params=DATABASES)
def campaign(request: pytest.FixtureRequest, campaigns: Callable[[str], Campaign]) -> Campaign:
    """Return a campaign with either kind of database."""
    return campaigns(request.param)


@pytest.fixture
def on_sqlite(campaigns: Callable[[str], Campaign]) -> Campaign:
    """Return the campaign with SQLite."""
    return campaigns("sqlite")
