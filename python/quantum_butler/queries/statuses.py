"""Statuses of quanta, in upstream's numbers and in words."""

from __future__ import annotations

__all__ = ("STATUS_WORDS", "status_of_word")

from .errors import ConditionError

STATUS_WORDS = {
    1: "successful",
    -1: "failed",
    0: "blocked",
    -4: "aborted",
    -2: "log lost",
    -3: "unknown",
    None: "not seen",
}
"""A word for each of upstream's numbers; `None` is that of a quantum of which nobody has told."""

_NUMBERS = {word: number for number, word in STATUS_WORDS.items()} | {"aborted success": -2}


def status_of_word(word: str) -> int | None:
    """Return the number of a status, in our words or upstream's, or raise `ConditionError`."""
    plain = word.lower().replace("_", " ").replace("-", " ").strip()
    if plain not in _NUMBERS:
        raise ConditionError(
            f"{word!r} is no status; there are {', '.join(map(repr, STATUS_WORDS.values()))}"
        )
    return _NUMBERS[plain]
