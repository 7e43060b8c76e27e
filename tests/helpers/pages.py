"""The pages that people read, and the blocks of code on them."""

from __future__ import annotations

__all__ = ("ROOT", "Block", "blocks_of", "pages")

from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    """The page."""

    line: int
    """Number of the line that opens it."""

    language: str
    """The first word after the fence."""

    words: tuple[str, ...]
    """What comes after that."""

    text: str
    """What is in it."""

    @property
    def where(self) -> str:
        """Place of the block, as an editor takes it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return all pages: those of the site, and those in the root of the sources."""
    built = ROOT / "docs" / "_build", ROOT / "docs" / "reference" / "generated"
    found = [
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not any(page.is_relative_to(folder) for folder in built)
    ]
    return [*sorted(ROOT.glob("*.md")), *found]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in lists and quotes too."""
    found = []
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            language, *words = token.info.split() or [""]
            found.append(Block(page, token.map[0] + 1, language, tuple(words), token.content))
    return found
