"""Quanta whose metadata is in provenance logs alone.

Upstream passes over a quantum whose metadata is there.  Of these quanta only a line tells that they are done.
They are, if all that the line has records of is there.
"""

from __future__ import annotations

__all__ = ("read_kept", "whole_ones")

import itertools
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..upstream.executors import make_butler
from .lines import lines_of

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor


def read_kept(quanta: Collection[uuid.UUID], folders: Sequence[str]) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Return the quanta that have succeeded with metadata in logs, and their outputs with records.

    The last line of several counts.
    """
    lines: dict[uuid.UUID, tuple[str, set[uuid.UUID]]] = {}
    for quantum_id, told in lines_of(quanta, folders):
        if not told.get("failed") and (told.get("contents") or {}).get("metadata") is not None:
            end = str(told.get("end"))
            if quantum_id not in lines or lines[quantum_id][0] <= end:
                lines[quantum_id] = end, _recorded(told)
    return {quantum_id: recorded for quantum_id, (_, recorded) in lines.items()}


def _recorded(told: Mapping[str, Any]) -> set[uuid.UUID]:
    """Return the outputs that a line has records of."""
    outputs = set(told["actual_outputs"])
    of_all = (one["dataset_ids"] for one in told["datastore_records"].values())
    return {uuid.UUID(one) for ids in of_all for one in ids if one in outputs}


def whole_ones(
    told: Mapping[uuid.UUID, set[uuid.UUID]],
    quanta: Mapping[uuid.UUID, Mapping[str, Any]],
    executor: QuantumExecutor,
) -> set[uuid.UUID]:
    """Return those quanta of which all is there that has a file, and neither metadata nor log has one."""
    done = set()
    for quantum_id, recorded in told.items():
        attributes = quanta[quantum_id]
        node, quantum = attributes["pipeline_node"], attributes["quantum"]
        outputs = list(itertools.chain.from_iterable(quantum.outputs.values()))
        telling = {
            one.dataset_type_name for one in (node.metadata_output, node.log_output) if one is not None
        }
        with make_butler(executor, quantum) as butler:
            # The butler is not asked, lest it note that, and log it.
            stored = butler._datastore.mexists(outputs)
        if all(
            stored[ref] == (ref.id in recorded)
            for ref in outputs
            if ref.id in recorded or ref.datasetType.name in telling
        ):
            done.add(quantum_id)
    return done
