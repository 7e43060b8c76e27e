"""Metadata and log of a quantum, as long as they are to go into the log of its process alone.

They have no files then.  Whatever cannot be told from the log exactly as from a file is not held, but written
as usual: only what is put as the formatter for it would write it, into one datastore of ours.
"""

from __future__ import annotations

__all__ = ("Held", "bytes_for_log")

from typing import TYPE_CHECKING, Any

from ..datastore.file import NativeFileDatastore
from ..quantum.execution import LOG, METADATA
from ..upstream import NotOurs

if TYPE_CHECKING:
    from lsst.daf.butler import DatasetRef
    from lsst.daf.butler.datastore import Datastore

# The only formatters whose bytes are known, by the class of what they write; and how they come by them.
_FORMATTERS = {
    METADATA: ("lsst.daf.butler.formatters.json.JsonFormatter", "model_dump_json"),
    LOG: ("lsst.daf.butler.formatters.logs.ButlerLogRecordsFormatter", "to_json_data"),
}

# A line has a limit; what is longer gets a file.
_MOST_BYTES = 1 << 25


class Held:
    """The datasets of one quantum that have been put, and have no files yet."""

    __slots__ = ("puts", "types")

    def __init__(self, types: frozenset[str]):
        self.types = types
        """Names of the types of which datasets are held (`frozenset` [`str`])."""
        self.puts: list[tuple[Any, DatasetRef]] = []
        """What was put, in this order (`list` [`tuple`])."""

    def accepts(self, obj: Any, ref: DatasetRef) -> bool:
        """Return whether a dataset is held if it can be.

        The log is, only if the metadata is: upstream looks for the log of an attempt that has failed.
        """
        if ref.datasetType.name not in self.types:
            return False
        return type(obj).__name__ == METADATA or any(type(one).__name__ == METADATA for one, _ in self.puts)


def bytes_for_log(datastore: Datastore, obj: Any, ref: DatasetRef) -> bytes | None:
    """Return what a datastore would write of a dataset; `None` if it is to do that."""
    dataset_type = ref.datasetType
    if type(datastore) is not NativeFileDatastore or dataset_type.storageClass.pytype is not type(obj):
        return None
    store = datastore.store
    try:
        registered = store.as_registered(ref)
        [(_, placement, _)] = store.configured_placements().written(ref, registered)
    except (NotOurs, ValueError):
        return None
    formatter, write = _FORMATTERS[type(obj).__name__]
    if registered is not ref or placement.component is not None or placement.formatter != formatter:
        return None
    try:
        data: bytes = getattr(obj, write)().encode()
    except Exception:
        # The datastore says what is wrong with it.
        return None
    return data if len(data) <= _MOST_BYTES else None
