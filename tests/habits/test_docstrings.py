"""Names that users meet are documented in full, all others in a line; `docstrings.py` reports both."""

from __future__ import annotations

import docstrings
import pytest

# Methods that are public in name only, until they have moved.
PUBLIC_IN_NAME = {"Archive.checked"}


def test_exported_names_have_their_sections() -> None:
    assert len(docstrings.exported()) > 40
    assert [line for line in docstrings.missing() if line.split(":")[0] not in PUBLIC_IN_NAME] == []


def test_other_names_have_a_line() -> None:
    sections, looked_at = docstrings.surplus()
    assert looked_at > 600
    assert not sections, "\n".join(f"{x.module}:{x.line}: {x.name}" for x in sections)


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    beginnings = list(docstrings.beginnings())
    assert len(beginnings) > 2000
    assert [where for where, word in beginnings if word in docstrings.NEITHER_VERB_NOR_NOUN] == []


@pytest.mark.parametrize(
    ("text", "found"), [("One line.", False), ("One.\n\nReturns\n-------\nx : `int`", True)]
)
def test_what_a_section_is(text: str, found: bool) -> None:
    assert bool(docstrings._UNDERLINED.search(text)) is found
