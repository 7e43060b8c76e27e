"""What tests of the final job share: a run in a repository with either kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from registries import Registries

if TYPE_CHECKING:
    from final_jobs import Finished


@pytest.fixture(scope="session")
def finished(registries: Registries, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """Return what gives a run in a repository with some kind of database; leave it as it is."""
    pytest.importorskip("lsst.pipe.base.quantum_graph.aggregator")
    from final_jobs import make_finished

    made: dict[str, Finished] = {}

    def get(database: str) -> Finished:
        if database not in made:
            made[database] = make_finished(registries, tmp_path_factory.mktemp("finished"), database)
        return made[database]

    return get


@pytest.fixture
def on_sqlite(finished: Callable[[str], Finished]) -> Finished:
    """Return the run in a repository with SQLite."""
    return finished("sqlite")


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of how many quanta have been gathered, piece by piece."""
    from quantum_butler.aggregating.gathering import Gathered, Gathering

    counted: list[int] = []
    gather = Gathering.gather

    def counting(self: Gathering, quanta: Any, lost: Any) -> Iterator[Gathered]:
        for one in gather(self, quanta, lost):
            counted.append(0 if one.blocks is None else len(one.blocks))
            yield one

    monkeypatch.setattr(Gathering, "gather", counting)
    return counted


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Scan a few quanta at once, and return a list of how many."""
    from quantum_butler.aggregating import gathering, sharing
    from quantum_butler.aggregating.scanning import Scanner

    monkeypatch.setattr(sharing, "_CHUNK", 3)
    monkeypatch.setattr(gathering, "_STORED", 3)
    counted: list[int] = []
    scan = Scanner.scan

    def counting(self: Scanner, quanta: Any, *others: Any) -> Any:
        counted.append(len(quanta := list(quanta)))
        return scan(self, quanta, *others)

    monkeypatch.setattr(Scanner, "scan", counting)
    return counted
