"""Transfers outputs of quanta into a repository.

Upstream gathers the outputs and records of all quanta before it imports the
first one.  Here provenance is read and merged in Rust, which hands over the
records that count, and a batch is let go once it is in the database.  What grows
with the number of quanta is only the ids of what has been imported: the second
records of a dataset must be known as such.
"""

from __future__ import annotations

__all__ = ("BATCH", "collect_and_transfer")

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo

from .. import _core

if TYPE_CHECKING:
    import uuid

    from lsst.daf.butler import (
        Butler,
        DatasetRef,
        DatasetType,
        DimensionGroup,
        Quantum,
        QuantumProvenanceData,
    )

BATCH = 50_000
"""How many datasets and datasets with records are held at once (`int`)."""


def collect_and_transfer(
    butler: Butler, quanta: Iterable[Quantum], provenance: Iterable[QuantumProvenanceData]
) -> None:
    """Transfer the output datasets of many quanta to a repository.

    Up to `BATCH` datasets go in as with upstream: one transaction for each
    dataset type and run, then the records.  With more than that, one
    transaction holds everything, so that an iterator that breaks half-way
    still leaves nothing behind.
    """
    with ExitStack() as transaction:
        outputs = _Outputs(butler)
        for quantum, data in zip(quanta, provenance, strict=True):
            outputs.add(quantum, data)
            if outputs.size >= BATCH:
                if not outputs.in_batches:
                    transaction.enter_context(butler.registry.transaction())
                outputs.import_batch()
        outputs.import_rest()


class _Outputs:
    """The outputs of quanta that are not in the repository yet."""

    def __init__(self, butler: Butler):
        self._butler = butler
        self._datastores = set(butler._datastore.names)
        self._tables = butler._datastore.get_opaque_table_definitions().keys()
        self._refs: dict[tuple[DatasetType, str], list[DatasetRef]] = defaultdict(list)
        self._merge = _core.RecordMerge(StoredFileInfo)
        self._records: dict[str, dict[uuid.UUID, dict[str, list[Any]]]] = defaultdict(dict)
        self.size = 0
        self.in_batches = False
        # Of earlier batches.
        self._imported = _core.Tracker((), ()).view("predicted_outputs")

    def add(self, quantum: Quantum, data: QuantumProvenanceData) -> None:
        """Add what one quantum has written."""
        refs = itertools.chain.from_iterable(quantum.outputs.values())
        native = _native(data)
        if native is not None:
            written = native.among("actual_outputs", list(refs))
        else:
            # Whatever the model holds; upstream looks no closer.
            written = list({ref.id: ref for ref in refs if ref.id in data.actual_outputs}.values())
        for ref in written:
            self._refs[ref.datasetType, ref.run].append(ref)
        self.size += len(written)
        for datastore, records in self._new_records(native, data):
            if datastore in self._datastores:
                held = self._records[datastore]
                for dataset_id, tables in records.items():
                    held.setdefault(dataset_id, {}).update(tables)
                self.size += len(records)

    def import_batch(self) -> None:
        """Import what there is; records wait for their dataset."""
        self.in_batches = True
        # What has the same dimensions goes into the same tables, and every
        # statement needs a temporary one until the transaction ends.
        groups: dict[tuple[str, DimensionGroup], list[DatasetRef]] = defaultdict(list)
        for (dataset_type, run), refs in self._refs.items():
            groups[run, dataset_type.dimensions] += refs
        self._refs = defaultdict(list)
        self.size = 0
        # Two processes that do the same should take locks in the same order.
        for group in sorted(groups):
            self._import_new(groups[group])
        ready = {name: self._take_ready(records) for name, records in self._records.items()}
        self._import_records(ready)

    def import_rest(self) -> None:
        """Import everything that is left."""
        if self.in_batches:
            self.import_batch()
        else:
            for refs in self._refs.values():
                self._import(refs)
        self._import_records(self._records)

    def _new_records(
        self, native: _core.Provenance | None, data: QuantumProvenanceData
    ) -> Iterator[tuple[str, dict[uuid.UUID, dict[str, list[Any]]]]]:
        """Yield the records that no quantum before has had, by datastore."""
        if native is not None and (records := self._merge.add(native)) is not None:
            yield from records.items()
            return
        # Records of a class that is not ours to make.
        for name, serialized in data.datastore_records.items():
            decoded = DatastoreRecordData.from_simple(serialized).records
            yield name, self._merge.add_other(name, decoded)

    def _import_new(self, refs: list[DatasetRef]) -> None:
        """Import datasets of one run and of the same dimensions."""
        again = [ref for ref in refs if ref in self._imported]
        # Upstream gives the database both at once, which refuses them.
        self._import(again * 2)
        self._import(refs)
        for ref in refs:
            self._imported.add(ref)

    def _import(self, refs: list[DatasetRef]) -> None:
        """Import datasets, whose data IDs mostly have all their records."""
        expand = not all(ref.dataId.hasRecords() for ref in refs)
        self._butler.registry._importDatasets(refs, expand=expand)

    def _take_ready(
        self, records: dict[uuid.UUID, dict[str, list[Any]]]
    ) -> dict[uuid.UUID, dict[str, list[Any]]]:
        """Take out the records that can be imported once and for all."""
        ready = {
            dataset_id: tables
            for dataset_id, tables in records.items()
            if dataset_id in self._imported and not self._tables.isdisjoint(tables)
        }
        for dataset_id in ready:
            del records[dataset_id]
        return ready

    def _import_records(self, records: dict[str, dict[uuid.UUID, dict[str, list[Any]]]]) -> None:
        """Give records to the datastores."""
        data = {name: DatastoreRecordData(records=datasets) for name, datasets in records.items()}
        self._butler._datastore.import_records({name: of for name, of in data.items() if of.records})


def _native(data: Any) -> _core.Provenance | None:
    """Return provenance as Rust has it, if it is what its fields say."""
    if hasattr(data, "to_native"):
        native: _core.Provenance | None = data.to_native()
        return native
    return _core.Provenance.from_fields(getattr(data, "__dict__", None) or {})
