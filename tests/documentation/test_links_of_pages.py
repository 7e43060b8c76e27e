"""Every link of a page leads somewhere."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from pages import ROOT, pages


def tokens_of(tokens: list[Token]) -> list[Token]:
    """Return tokens with those inside of them."""
    return [one for token in tokens for one in (token, *tokens_of(token.children or []))]


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and the site name them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    titles = [
        "".join(child.content for child in following.children or [] if child.type in ("text", "code_inline"))
        for token, following in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]
    seen: Counter[str] = Counter()
    anchors = set()
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def broken(page: Path, link: str) -> str | None:
    """Return what is wrong with a link to a place here, if anything is."""
    parts = urlsplit(link)
    target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    if not target.exists():
        return f"there is no {parts.path}"
    if parts.fragment and (target.suffix != ".md" or parts.fragment not in anchors_of(target)):
        return f"there is no heading {parts.fragment} in {target.name}"
    return None


def test_links() -> None:
    wrong, here, elsewhere = [], 0, set()
    for page in pages():
        for token in tokens_of(MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))):
            link = token.attrs.get("href") or token.attrs.get("src")
            if not isinstance(link, str):
                continue
            if urlsplit(link).scheme:
                # Nobody follows them here: the tests have no network.
                elsewhere.add(link)
                continue
            here += 1
            if (reason := broken(page, link)) is not None:
                wrong.append(f"{page.relative_to(ROOT)}: {link}: {reason}")
    assert not wrong, "\n".join(wrong)
    assert here > 50
    assert elsewhere and all(link.startswith("https://") for link in elsewhere)


def test_the_guard_sees_what_is_broken() -> None:
    readme = ROOT / "README.md"
    assert broken(readme, "docs/start.md") is None
    assert broken(readme, "docs/start.md#what-you-gain") is None
    assert broken(readme, "docs/strat.md") is not None
    assert broken(readme, "docs/start.md#what-you-lose") is not None
