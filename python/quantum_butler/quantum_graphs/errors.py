"""Exceptions of quantum graphs."""

from __future__ import annotations

__all__ = ("QuantumGraphError", "UnknownNameError", "errors_of_graphs", "read_json")

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import _core
from ..errors import QuantumButlerError


class QuantumGraphError(QuantumButlerError, ValueError):
    """A file that is no quantum graph, or one that cannot be read."""


class UnknownNameError(QuantumGraphError, LookupError):
    """A quantum, a dataset, a task, a dataset type or a dimension that a graph does not have."""


# Of those who name a graph that was only planned, most want to know what became of it.
_PLANNED = 'this is a "predicted" graph, not a "provenance" one'
_PLANNED_ADVICE = (
    "it has what was planned; what became of it is in the graph that quantum-butler aggregate (or butler "
    "aggregate-graph) writes, or in an archive of logs, as quantum-butler collect makes it"
)


@contextmanager
def errors_of_graphs() -> Iterator[None]:
    """Turn what the core says of a file into an exception that users meet."""
    try:
        yield
    except _core.UnreadableGraphError as error:
        text = str(error)
        raise QuantumGraphError(f"{text}: {_PLANNED_ADVICE}" if text.endswith(_PLANNED) else text) from None


def read_json(text: bytes, where: str) -> Any:
    """Read JSON, in which NaN and infinities are numbers."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QuantumGraphError(f"{where}: this is not JSON: {error}") from None
