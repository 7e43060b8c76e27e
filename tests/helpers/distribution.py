"""Which worker of pytest-xdist runs which tests: those that share what takes long to make are run by one.

By default a test goes to whichever worker is free, so that each worker makes every graph, run and archive
that tests share. Proofs that take minutes and share nothing are given out one by one, before all others.
"""

from __future__ import annotations

__all__ = ("TogetherScheduling", "longest_first")

import pytest
from xdist.scheduler import LoadScopeScheduling

# Their conftest.py has real runs.
_FOLDERS = frozenset(
    f"tests/{name}/"
    for name in (
        "aggregating",
        "asking",
        "bps",
        "execution",
        "quantum_graphs",
        "reporting",
        "running",
        "transferring",
    )
)

_ONE_BY_ONE = ("tests/test_benches.py", "tests/reliability/test_faults.py")


def _place(nodeid: str) -> str:
    """Return what a worker is given at once: a folder whose tests share runs, a file, or a single test."""
    file = nodeid.partition("::")[0]
    if file in _ONE_BY_ONE:
        return nodeid
    folder = file[: file.rfind("/") + 1]
    return folder if folder in _FOLDERS else file


class TogetherScheduling(LoadScopeScheduling):
    """Gives all tests of a place to one worker, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object = None):
        super().__init__(config, log)  # type: ignore[arg-type]
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _place(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Move what is slow to the front, or one worker would be busy with it at the end."""
    slow = {_place(item.nodeid) for item in items if item.get_closest_marker("slow")} | _FOLDERS
    longest = {file: number for number, file in enumerate(_ONE_BY_ONE)}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        file = item.nodeid.partition("::")[0]
        return longest.get(file, len(longest)), _place(item.nodeid) not in slow

    items.sort(key=rank)
