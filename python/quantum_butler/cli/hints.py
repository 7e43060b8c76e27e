"""Hints for whoever gets an answer without rows."""

from __future__ import annotations

__all__ = ("hints_of_nothing",)

from collections.abc import Iterator
from dataclasses import replace

from ..archive.texts import counted
from ..queries.choice import Choice, make_choice
from ..queries.found import QUANTUM, Kind
from ..queries.resolving import Source


def hints_of_nothing(source: Source, kind: Kind, choice: Choice) -> Iterator[str]:
    """Yield reasons why there may be no such row, where they are easily overlooked."""
    wanted = choice.dimensions
    if len(wanted) > 1 and not any(
        wanted <= {*dimensions}
        for label, dimensions in source.dimensions_by_label(kind, choice.labels)
        if choice.labels is None or label in choice.labels
    ):
        sort = "task" if kind == QUANTUM else "dataset type"
        yield (
            f"No {sort} has {', '.join(sorted(wanted))} together in its data IDs, which have required "
            "dimensions only."
        )
    blocked, unseen = (make_choice(None, None, [one], None).statuses for one in ("blocked", "not seen"))
    if kind == QUANTUM and choice.statuses is not None and blocked == choice.statuses:
        count = sum(map(len, source.scan(kind, replace(choice, statuses=unseen), ["status"])))
        if count:
            them = "it" if count == 1 else "them"
            yield (
                f"Of {counted(count, 'quantum')} nothing tells what became of {them}: --status 'not seen' "
                f"lists {them}. Quanta that are blocked never start, and logs do not tell of them; "
                "provenance graphs do."
            )
