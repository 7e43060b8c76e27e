"""Which of upstream's private names we rely on; a weekly without one of them fails here, by its name."""

from __future__ import annotations

import pytest
import upstream_names

AGREED = upstream_names.parse(upstream_names.SNAPSHOT.read_text())


@pytest.fixture(scope="module")
def upstream() -> dict[str, set[str]]:
    """Return what upstream defines."""
    return upstream_names.defined_upstream()


def test_there_is_something_to_check(upstream: dict[str, set[str]]) -> None:
    assert len(AGREED) > 20
    assert len(upstream) > 500
    # One of each kind: a module, an imported name, an attribute.
    assert {"_quantum_backed", "_datastore"} <= AGREED.keys()


@pytest.mark.parametrize("name", AGREED)
def test_upstream_still_has_it(upstream: dict[str, set[str]], name: str) -> None:
    _, owners = AGREED[name]
    assert owners & upstream.get(name, set()), (
        f"upstream no longer defines {name}; it was in {sorted(owners)}"
    )


def test_no_other_is_used(upstream: dict[str, set[str]]) -> None:
    # `make api` writes the list anew.
    used = {name: rooms for name, rooms in upstream_names.used_by_us().items() if name in upstream}
    assert used == {name: rooms for name, (rooms, _) in AGREED.items()}
