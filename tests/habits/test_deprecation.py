"""No name that a release had is gone, unless the page on versions tells of its removal."""

from __future__ import annotations

import re
from pathlib import Path

from api import SNAPSHOT, names_in

RELEASED = Path(__file__).with_name("released.txt")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "versions.md"


def test_released_names_are_there_or_told_to_be_removed() -> None:
    """Each line of released.txt is a release and what it had for users; a release adds to it what is new."""
    released = dict(reversed(line.split(" ", 1)) for line in RELEASED.read_text().splitlines())
    assert len(released) > 100
    now = names_in(SNAPSHOT.read_text())
    removed = re.search(r"^## Removed\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert removed is not None
    told = set(re.findall(r"`([^`]+)`", removed[1]))
    assert released.keys() - now <= told
    # What is there again, or still, is no longer told to be removed.
    assert not told & now
