"""A name as people write it: an id or a part of one, a type or a task with a data ID, or a path."""

from __future__ import annotations

__all__ = ("Spoken", "read_name")

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import ConditionError

_PAIR = re.compile(r"[\s,]*([A-Za-z_]\w*)\s*=\s*('[^']*'|[^\s,'][^\s,]*)(?=[\s,]|$)", re.ASCII)
_ID_PART = re.compile(
    "(?:[.]{3}|\N{HORIZONTAL ELLIPSIS})?([0-9a-f-]+)(?:[.]{3}|\N{HORIZONTAL ELLIPSIS})?", re.IGNORECASE
)

# Fewer digits say too little.
_FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Spoken:
    """A name, taken apart."""

    text: str
    """All of it, for messages."""

    word: str
    """What it begins with: an id or a part of one, a task, a type, or a path."""

    values: tuple[tuple[str, str], ...] = field(default=())
    """Dimensions and their values, which are in quotes or not."""

    @property
    def id(self) -> uuid.UUID | None:
        """The id that it is, if it is a whole one."""
        if self.values:
            return None
        try:
            return uuid.UUID(self.word)
        except ValueError:
            return None

    @property
    def id_part(self) -> str | None:
        """The digits of an id that it may be the beginning or the end of."""
        match = _ID_PART.fullmatch(self.word)
        digits = "" if match is None or self.values else match.group(1).replace("-", "").lower()
        return digits if _FEWEST_DIGITS <= len(digits) < 32 else None


def read_name(name: str | uuid.UUID | Sequence[str]) -> Spoken:
    """Take a name apart, which may be in several words as on a command line, or raise `ConditionError`."""
    if isinstance(name, uuid.UUID):
        return Spoken(str(name), str(name))
    words = [name] if isinstance(name, str) else [*name]
    words = [word for word in words if word.strip(" \t\n,")]
    text = " ".join(words)
    if not words:
        raise ConditionError("a name is empty")
    first, *others = words
    head, _, rest = first.strip().partition(" ")
    values: list[tuple[str, str]] = []
    if rest and "/" not in head and (found := _pairs(rest)) is not None:
        values += found
    else:
        head = first.strip()
    head = head.rstrip(",")
    if "/" not in head and _PAIR.match(head):
        raise ConditionError(f"{text!r}: a name begins with a dataset type or a task, before its data ID")
    for word in others:
        found = _pairs(word)
        if found is None:
            key, _, value = word.partition("=")
            if not value or not key.strip().isidentifier():
                raise ConditionError(f"{text!r}: {word!r} is no dimension=value")
            found = [(key.strip(), value)]
        values += found
    seen: dict[str, str] = {}
    for key, value in values:
        if seen.setdefault(key, value) != value:
            raise ConditionError(f"{text!r}: {key} has two values")
    return Spoken(text, head, tuple(seen.items()))


def _pairs(text: str) -> list[tuple[str, str]] | None:
    """Return the pairs that a text consists of; `None` if there is anything else in it."""
    found, place = [], 0
    text = text.rstrip(" \t\n,")
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            return None
        found.append((match.group(1), match.group(2)))
        place = match.end()
    return found
