"""Exceptions of aggregation."""

from __future__ import annotations

__all__ = ("AggregateError", "errors_of_storage_classes")

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import QuantumButlerError
from ..quantum_graphs import PredictedGraph

# Upstream gives the storage classes of mock tasks names that begin so.
_OF_MOCKS = "_mock_"


class AggregateError(QuantumButlerError, RuntimeError):
    """Raised if a run cannot be aggregated, or its datasets cannot be registered."""


@contextmanager
def errors_of_storage_classes(graph: PredictedGraph) -> Iterator[None]:
    """Say which storage class is not known here, and what makes it known."""
    try:
        yield
    except KeyError as error:
        name = error.args[0] if error.args else None
        types = sorted(known for known, one in graph.dataset_types.items() if one.storage_class == name)
        if not types:
            raise
        advice = (
            "--mock-storage-classes (mock_storage_classes=True) registers those of upstream's mock tasks"
            if str(name).startswith(_OF_MOCKS)
            else "set up the packages and the configuration (DAF_BUTLER_CONFIG_PATH) that define it"
        )
        raise AggregateError(
            f"{graph.files[0]}: the storage class {name} of dataset type {types[0]} is not known here; "
            f"{advice}"
        ) from error
