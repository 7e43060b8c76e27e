"""Quanta and datasets that were found by name."""

from __future__ import annotations

__all__ = ("DATASET", "QUANTUM", "Found", "Kind", "Name", "Use")

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["quantum", "dataset"]

Name: TypeAlias = uuid.UUID | str | Sequence[str]
"""Name of a quantum or a dataset, in one text or in several words as on a command line."""

Use: TypeAlias = Literal["unused", "missing"]
"""What datasets are looked for by what became of them."""

QUANTUM: Kind = "quantum"
DATASET: Kind = "dataset"


@dataclass(frozen=True, slots=True)
class Found:
    """A quantum or a dataset that has been found by name.

    Parameters
    ----------
    kind : `str`
        ``quantum`` or ``dataset``.
    id : `uuid.UUID`
        Its id.
    name : `str` or `None`
        Label of the quantum's task, or name of the dataset's type, if that is known.
    data_id : `dict` or `None`
        Its data ID, if that is known.
    run : `str` or `None`
        The run that the dataset is in, or that the quantum writes to, if that is known.
    """

    kind: Kind
    id: uuid.UUID
    name: str | None = None
    data_id: dict[str, Any] | None = None
    run: str | None = None

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in (self.data_id or {}).items())
        words = [self.kind, self.name or "(no name)", values, "" if self.run is None else f"in {self.run}"]
        return " ".join((*filter(None, words), str(self.id)))
