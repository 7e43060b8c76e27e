"""Extraction of a quantum's provenance from the bookkeeping of its butler."""

from __future__ import annotations

__all__ = ("extract", "native_parts")

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from lsst.daf.butler import _quantum_backed

from .. import _core
from .ids import IdSample
from .outputs import ActualOutputs
from .provenance import QuantumProvenanceData

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef
    from lsst.daf.butler.datastore.record_data import DatastoreRecordData

    from .log import NativeParts

    Export: TypeAlias = Callable[[set[DatasetRef]], Mapping[str, DatastoreRecordData]]
    Sources: TypeAlias = Sequence[tuple[str, _core.FileRecords]]

# The name under which upstream's warnings are looked for and configured.
_LOG = logging.getLogger(_quantum_backed.__name__)

# How many dataset ids a log message names; a graph-wide butler has millions.
_MOST_IDS_LOGGED = 100

# Fields that are sets of the tracker.
_ROLES: Any = ("predicted_inputs", "available_inputs", "actual_inputs", "predicted_outputs")


def native_parts(
    tracker: _core.Tracker, outputs: set[DatasetRef], sources: Sources, *, warn: bool = True
) -> NativeParts:
    """Return what provenance is extracted from in Rust, after the warnings that upstream gives."""
    if warn and _LOG.isEnabledFor(logging.WARNING):
        _settle_with_warnings(tracker)
    to_look_at = outputs.refs_to_look_at() if isinstance(outputs, ActualOutputs) else outputs.copy()
    return tracker, to_look_at, sources


def extract(
    tracker: _core.Tracker,
    outputs: set[DatasetRef],
    sources: Sources | None,
    export: Export,
    *,
    warn: bool = True,
) -> QuantumProvenanceData:
    """Extract provenance: in Rust from its sources, or else with what upstream's method exports."""
    if sources is not None:
        parts = native_parts(tracker, outputs, sources, warn=warn)
        return QuantumProvenanceData.from_native(_core.Provenance.extract(*parts))
    if warn and _LOG.isEnabledFor(logging.WARNING):
        _settle_with_warnings(tracker)
    tracker.require_uuids()
    tracker.drop_contradictions()
    # A copy, because another thread may be putting.
    refs = outputs.copy()
    ids: dict[str, set[Any]] = {role: set(tracker.view(role)) for role in _ROLES}
    return QuantumProvenanceData(
        **ids,
        actual_outputs={ref.id for ref in refs},
        datastore_records={name: records.to_simple() for name, records in export(refs).items()},
    )


def _settle_with_warnings(tracker: _core.Tracker) -> None:
    """Take what does not exist from the actual inputs, and warn."""
    tracker.require_uuids()
    n_contradicted, contradicted, unchecked, n_missed, missed = tracker.settle(_MOST_IDS_LOGGED)
    if n_contradicted:
        _LOG.warning(
            "Inputs %s were marked as actually used (probably because a DeferredDatasetHandle) "
            "was obtained, but did not actually exist.  This task should be be using markInputUnused "
            "directly to clarify its provenance.",
            IdSample(contradicted, n_contradicted),
        )
    if unchecked:
        _LOG.warning(
            "Execution harness did not check predicted inputs %s for existence; available inputs "
            "recorded in provenance may be incomplete.",
            IdSample(missed, n_missed),
        )
