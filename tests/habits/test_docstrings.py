"""Names that users meet are documented in full, all others in a line; `docstrings.py` reports both."""

from __future__ import annotations

from collections import Counter

import docstrings
import pytest

# Lines of sections on names that no user meets: at most so many, until they are gone.
MOST = {"butler": 117}

# Methods that are public in name only, until they have moved.
PUBLIC_IN_NAME = {"Archive.checked"}


def test_exported_names_have_their_sections() -> None:
    assert len(docstrings.exported()) > 40
    assert [line for line in docstrings.missing() if line.split(":")[0] not in PUBLIC_IN_NAME] == []


def test_other_names_have_no_more_sections_than_before() -> None:
    sections, looked_at = docstrings.surplus()
    assert looked_at > 600
    lines = Counter[str]()
    for section in sections:
        lines[section.module.split("/")[0]] += section.lines
    more = {room: count for room, count in lines.items() if count > MOST.get(room, 0)}
    assert not more, "\n".join(
        f"{x.module}:{x.line}: {x.name}" for x in sections if x.module.split("/")[0] in more
    )


@pytest.mark.parametrize(
    ("text", "found"), [("One line.", False), ("One.\n\nReturns\n-------\nx : `int`", True)]
)
def test_what_a_section_is(text: str, found: bool) -> None:
    assert bool(docstrings._UNDERLINED.search(text)) is found
