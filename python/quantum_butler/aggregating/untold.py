"""Quanta that have left outputs, but neither metadata nor a log: killed, or told of by other logs."""

from __future__ import annotations

__all__ = ("Untold", "advice")

import uuid

from .errors import AggregateError
from .scanning import Scanned


class Untold:
    """The count of them, and whether a graph that calls them failed can be true."""

    def __init__(self, *, accept_killed: bool, as_upstream: bool) -> None:
        self._accept_killed, self._as_upstream = accept_killed, as_upstream
        self.count = 0
        """How many there are (`int`)."""
        self.has_told = False
        """Whether any quantum has left metadata or a log (`bool`)."""
        self.has_metadata = False
        """Whether any quantum has left metadata (`bool`)."""
        self._ended = 0
        self._example: uuid.UUID | None = None

    def add(self, scanned: Scanned) -> None:
        """Count those of some quanta."""
        self.count += scanned.untold
        self.has_told |= scanned.has_told
        self.has_metadata |= scanned.has_metadata
        self._ended += len(scanned.ended)
        if self._example is None and scanned.ended:
            self._example = scanned.ended[0]

    @property
    def found_nothing(self) -> bool:
        """Absence of anything that quanta have left (`bool`)."""
        return not (self.count or self.has_told)

    def require_true_graph(self, without_contents: int | None) -> None:
        """Raise `AggregateError` if a graph would call quanta failed that have most probably ended well.

        Where some have metadata, those without were killed, as far as anybody can tell.  Upstream always
        takes them for failed; in its place that is refused only where no quantum has left anything else.
        """
        if self._accept_killed:
            return
        if self.count and not self.has_told:
            raise AggregateError(
                f"none of the {self.count:,} quanta that have outputs has left metadata or a log; "
                f"{advice(without_contents)}"
            )
        if self._ended and not self.has_metadata and not self._as_upstream:
            raise AggregateError(
                f"no quantum has metadata, but {self._ended:,} have left all their outputs, such as "
                f"{self._example}, and a graph would call them failed; {advice(without_contents)}; if they "
                "were killed: --accept-killed (accept_killed=True)"
            )


def advice(without_contents: int | None) -> str:
    """Return where metadata and logs may be: of so many quanta logs have lines alone; `None` without logs."""
    if without_contents:
        return (
            f"the logs have lines of {without_contents:,} quanta, but no contents, which only "
            "--provenance-contents and --metadata-in-log keep"
        )
    if without_contents is None:
        return (
            "if they were run with --metadata-in-log, their provenance logs have both: give them with --logs"
        )
    return "if they were run with --metadata-in-log, other provenance logs have both: give all with --logs"
