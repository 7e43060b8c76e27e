"""What every test shares: two classes, real repositories, hypothesis profiles."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from lsst.daf.butler import QuantumBackedButler

import configurations
import distribution
import interpreters
import postgres
import repositories
from registries import registries  # noqa: F401
from repositories import NewRepository, Repository

OURS = "quantum_butler:QuantumBackedButler"

# `ci` tries the same examples in every run; `long` searches for new ones and takes minutes.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=1000, stateful_step_count=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--against",
        default=OURS,
        metavar="MODULE:CLASS",
        help="class to hold against the stock one (default: %(default)s); giving the stock class itself "
        "shows that the comparison reports no difference where there is none",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STEPS] = Counter()
    config.addinivalue_line("markers", "repository(kind): kind of repository that `repository` is")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    distribution.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> distribution.TogetherScheduling:
    return distribution.TogetherScheduling(config, log)


def pytest_collection_finish() -> None:
    # What has been imported stays: no collection has to look through it again.
    gc.collect()
    gc.freeze()


# What the state machine has compared, by kind of repository.
_STEPS = pytest.StashKey[Counter[str]]()


@pytest.fixture
def steps_taken(pytestconfig: pytest.Config) -> Counter[str]:
    """Return where to count steps that are told of at the end."""
    return pytestconfig.stash[_STEPS]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (worker := getattr(session.config, "workeroutput", None)) is not None:
        worker["steps"] = dict(session.config.stash[_STEPS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # A worker of pytest-xdist has done its share.
    node.config.stash[_STEPS].update(getattr(node, "workeroutput", {}).get("steps", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if steps := config.stash[_STEPS]:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(steps.items()))
        terminalreporter.write_line(f"state machine: {steps.total():,} steps without a difference ({counts})")


def import_class(name: str) -> type[QuantumBackedButler]:
    """Return the class called ``module:class``, which must exist."""
    module, _, attribute = name.partition(":")
    found: type[QuantumBackedButler] = getattr(importlib.import_module(module), attribute)
    return found


@pytest.fixture(scope="session")
def stock_class() -> type[QuantumBackedButler]:
    """Return upstream's class."""
    return QuantumBackedButler


@pytest.fixture(scope="session")
def our_class(pytestconfig: pytest.Config) -> type[QuantumBackedButler]:
    """Return our class."""
    return import_class(pytestconfig.getoption("--against"))


@pytest.fixture(params=["stock", "ours"])
def is_ours(request: pytest.FixtureRequest) -> bool:
    """Say which of the two classes is under test."""
    return bool(request.param == "ours")


@pytest.fixture
def butler_class(is_ours: bool, request: pytest.FixtureRequest) -> type[QuantumBackedButler]:
    """Return upstream's class, then ours: what is asserted holds for both."""
    found: type[QuantumBackedButler] = request.getfixturevalue("our_class" if is_ours else "stock_class")
    return found


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    # Upstream reads its configuration from these, too.
    for name in (
        "DAF_BUTLER_CONFIG_PATH",
        "DAF_BUTLER_CACHE_DIRECTORY",
        "DAF_BUTLER_CACHE_DIRECTORY_IF_UNSET",
        "DAF_BUTLER_CACHE_EXPIRATION_MODE",
        "DAF_BUTLER_REPOSITORY_INDEX",
        "DAF_BUTLER_REPOSITORIES",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _interpreter() -> Iterator[None]:
    with interpreters.closing_connections(), interpreters.seeking_zip_files():
        yield


@pytest.fixture(scope="session", autouse=True)
def _configurations() -> Iterator[None]:
    with configurations.reading_once():
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Repository]:
    """Return a function that gives the repository of some kind.

    It is made once in a session: copy it or leave it as it is.
    """
    made: dict[str, Repository] = {}

    def get(kind: str) -> Repository:
        if kind not in made:
            made[kind] = repositories.make(tmp_path_factory.mktemp(kind) / "repo", kind)
        return made[kind]

    return get


@pytest.fixture
def new_repository(template: Callable[[str], Repository], tmp_path: Path) -> NewRepository:
    """Return a function that gives a new copy of a repository."""
    count = 0

    def copy(kind: str = "file", *, registry: bool = False) -> Repository:
        nonlocal count
        count += 1
        return template(kind).copy(tmp_path / f"{kind}{count}", registry=registry)

    return copy


@pytest.fixture
def repository(request: pytest.FixtureRequest, new_repository: NewRepository) -> Repository:
    """Return a copy of a repository of the kind that a mark names, or a file one."""
    mark = request.node.get_closest_marker("repository")
    arguments: tuple[Any, ...] = mark.args if mark else ()
    return new_repository(*arguments)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """Run a PostgreSQL server until the session ends."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgres.start())
        except postgres.NoPostgresError as error:
            pytest.skip(f"There is no PostgreSQL server to test with: {error}")
        yield server
