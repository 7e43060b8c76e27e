"""The whole suite once more with every fast path off, if that is asked for.

With ``QUANTUM_BUTLER_NATIVE=0`` in the environment each test holds our class,
now over upstream's own datastore and records, to the same assertions and the
same journals.  What concerns the stock class alone has been tested without.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from lsst.resources.s3utils import clean_test_environment_for_s3
from moto import mock_aws

from quantum_butler import _core
from quantum_butler.butler import blueprint
from quantum_butler.switches import native_enabled

SWITCHED_OFF = not native_enabled()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not SWITCHED_OFF:
        return
    stock = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.callspec.params.get("is_ours") == "stock"
    ]
    config.hook.pytest_deselected(items=stock)
    left_out = set(stock)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def object_store() -> Iterator[None]:
    """Have an object store in this process, in which nothing is."""
    with clean_test_environment_for_s3(), mock_aws():
        yield


@dataclasses.dataclass
class Made:
    """How many butlers and record stores have been made."""

    stock_parts: int = 0
    """Butlers of ours made of upstream's parts (`int`)."""

    in_rust: int = 0
    """Datastores with their records in Rust (`int`)."""


@pytest.fixture(scope="session")
def _made() -> Iterator[Made]:
    made = Made()

    def stock_parts(*args: Any, make: Any = blueprint._stock_parts, **options: Any) -> Any:
        made.stock_parts += 1
        return make(*args, **options)

    def file_records(*args: Any, make: Any = _core.FileRecords) -> Any:
        made.in_rust += 1
        return make(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blueprint, "_stock_parts", stock_parts)
        patch.setattr(_core, "FileRecords", file_records)
        yield made
    assert made.stock_parts, "Not one butler was made with its fast paths off."


@pytest.fixture(autouse=True)
def _off_means_off(request: pytest.FixtureRequest) -> Iterator[None]:
    if not SWITCHED_OFF:
        yield
        return
    made: Made = request.getfixturevalue("_made")
    before = made.in_rust
    yield
    assert made.in_rust == before, "The records went into Rust although every fast path is off."
