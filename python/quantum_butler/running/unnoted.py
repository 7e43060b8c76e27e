"""Quanta that were started, and of which nobody has noted the end.

Upstream skips a quantum whose metadata is there.  That alone does not tell
that its log and its provenance have been written, too: they come after the
metadata.  So a quantum that lacks one of them loses its metadata, and is run
again, by upstream's rules for partial outputs.
"""

from __future__ import annotations

__all__ = ("find_logged", "settle_unnoted")

import json
import mmap
import os
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..upstream.executors import make_butler

if TYPE_CHECKING:
    from lsst.pipe.base.quantum_graph_executor import QuantumExecutor


def settle_unnoted(
    quanta: Mapping[uuid.UUID, Mapping[str, Any]], executor: QuantumExecutor, folders: Sequence[str]
) -> None:
    """Take the metadata from quanta that have not left all that they should."""
    logged: Collection[uuid.UUID] = quanta.keys()
    if folders:
        logged = set().union(*(find_logged(quanta.keys(), folder) for folder in folders))
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


def find_logged(quanta: Collection[uuid.UUID], folder: str) -> set[uuid.UUID]:
    """Return which of some quanta have succeeded according to the provenance logs in a folder."""
    logged: set[uuid.UUID] = set()
    if not quanta:
        return logged
    wanted = re.compile(b"|".join(str(quantum_id).encode() for quantum_id in quanta))
    for entry in os.scandir(folder):
        # Where `mmap` has to find out the size itself, it takes an error for an empty file.
        if entry.name.endswith(".jsonl") and (size := entry.stat().st_size):
            with (
                open(entry.path, "rb") as file,
                mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as log,
            ):
                for match in wanted.finditer(log):
                    begin = log.rfind(b"\n", 0, match.start()) + 1
                    # The last line may be incomplete.
                    if (end := log.find(b"\n", match.end())) >= 0:
                        line = json.loads(log[begin:end])
                        if line["quantum_id"] == match.group().decode() and not line.get("failed"):
                            logged.add(uuid.UUID(line["quantum_id"]))
    return logged
