"""Quanta that were started, and of which nobody has noted the end.

Upstream skips a quantum whose metadata is there.  That alone does not tell
that its log and its provenance have been written, too: they come after the
metadata.  So a quantum that lacks one of them loses its metadata, and is run
again, by upstream's rules for partial outputs.
"""

from __future__ import annotations

__all__ = ("find_logged", "settle_unnoted")

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..upstream.executors import make_butler
from .lines import lines_of

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor


def settle_unnoted(
    quanta: Mapping[uuid.UUID, Mapping[str, Any]], executor: QuantumExecutor, folders: Sequence[str]
) -> None:
    """Take the metadata from quanta that have not left all that they should."""
    logged: Collection[uuid.UUID] = quanta.keys()
    if folders:
        logged = find_logged(quanta.keys(), folders)
    for quantum_id, attributes in quanta.items():
        node, quantum = attributes["pipeline_node"], attributes["quantum"]
        [metadata] = quantum.outputs[node.metadata_output.dataset_type_name]
        refs = [metadata]
        if node.log_output is not None:
            refs.extend(quantum.outputs[node.log_output.dataset_type_name])
        with make_butler(executor, quantum) as butler:
            stored = butler.stored_many(refs)
            if stored[metadata] and not (all(stored.values()) and quantum_id in logged):
                butler.pruneDatasets([metadata], disassociate=True, unstore=True, purge=True)


def find_logged(quanta: Collection[uuid.UUID], folders: Sequence[str]) -> set[uuid.UUID]:
    """Return which of some quanta have succeeded according to the provenance logs in folders."""
    return {quantum_id for quantum_id, told in lines_of(quanta, folders) if not told.get("failed")}
