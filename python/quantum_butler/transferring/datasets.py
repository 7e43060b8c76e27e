"""Datasets that are added to a repository.

What a batch needs is compared with what is there already: it does not matter
whether that comes from an earlier attempt, from another process or from somebody
else's transfer.
"""

from __future__ import annotations

__all__ = ("Datasets", "Records", "exists", "groups", "predicted_records", "unrecorded_files")

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import sqlalchemy
from lsst.daf.butler import (
    Butler,
    DatasetRef,
    DatasetType,
    LimitedButler,
    MissingCollectionError,
    MissingDatasetTypeError,
)
from lsst.daf.butler._collection_type import CollectionType
from lsst.daf.butler.datastore import Datastore
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.daf.butler.datastore.stored_file_info import StoredFileInfo
from lsst.daf.butler.registry import ConflictingDefinitionError

from ..upstream.times import converted_once
from .report import TransferError, TransferReport

# Another process may come first with the same datasets, or hold a lock.
_ATTEMPTS = 3
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# How many of a kind an error message names.
_NAMED = 10

Records: TypeAlias = dict[str, dict[uuid.UUID, list[StoredFileInfo]]]
"""Records of the files of datasets, by name of the datastore."""


class Datasets:
    """Adds datasets to a repository."""

    def __init__(self, butler: Butler, report: TransferReport, register_dataset_types: bool):
        self._butler = butler
        self._report = report
        self._register = register_dataset_types
        self._checked: set[DatasetType] = set()
        self._runs: set[str] = set()
        self.tables = dict(_tables(butler._datastore))

    def add(self, refs: Mapping[uuid.UUID, DatasetRef], records: Records) -> None:
        """Add datasets with their records, but for what is there."""

        def add() -> None:
            self._prepare(refs.values())
            self._add_batch(refs, records)

        self._retry(add, refs)

    def add_new(self, refs: Collection[DatasetRef], records: Mapping[str, DatastoreRecordData]) -> None:
        """Add datasets of which none is there, all or nothing; their data IDs are expanded."""
        if not self._report.dry_run:
            with converted_once(), self._butler.registry.transaction():
                for group in groups(refs):
                    self._butler.registry._importDatasets(group, expand=False, assume_new=True)
                self._butler._datastore.import_records(records)
        self._report.datasets += len(refs)

    def _retry(
        self, work: Callable[[], Any], refs: Mapping[uuid.UUID, DatasetRef] = MappingProxyType({})
    ) -> Any:
        """Do something with datasets again if another process has come between."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return work()
            except (ConflictingDefinitionError, sqlalchemy.exc.DBAPIError) as error:
                if attempt == _ATTEMPTS:
                    told = " ".join(str(getattr(error, "orig", None) or error).split())
                    raise TransferError(
                        f"the repository refuses a batch: {told}{_named(told, refs)}"
                    ) from error
                # What was known of types and runs may have been rolled back, or come from elsewhere.
                self._butler.registry.refresh()
                self._checked.clear()
                self._runs.clear()

    def _add_batch(self, refs: Mapping[uuid.UUID, DatasetRef], records: Records) -> None:
        butler = self._butler
        known = {ref.id: ref for ref in butler.get_many_datasets(refs)}
        recorded = butler._datastore.export_records([refs[dataset] for dataset in known])
        new_records: Records = {}
        different = set()
        incomplete = refs.keys() - known.keys()
        for name, datasets in records.items():
            have = recorded[name].records if name in recorded else {}
            new_records[name] = {dataset: infos for dataset, infos in datasets.items() if dataset not in have}
            incomplete |= new_records[name].keys()
            different |= {
                dataset
                for dataset in datasets.keys() & have.keys()
                if not _agree(datasets[dataset], have[dataset].get(self.tables[name], ()))
            }
        # Upstream says what is wrong with a known dataset that is not what it should be.
        wanted = [
            ref for dataset, ref in refs.items() if dataset not in known or not _same(ref, known[dataset])
        ]
        if not self._report.dry_run:
            with converted_once(), butler.registry.transaction():
                for group in groups(wanted):
                    butler.registry._importDatasets(group)
                butler._datastore.import_records(
                    {
                        name: DatastoreRecordData(
                            records={
                                dataset: {self.tables[name]: list(datasets[dataset])}
                                for dataset in sorted(datasets)
                            }
                        )
                        for name, datasets in new_records.items()
                    }
                )
        self._report.datasets += len(refs) - len(known)
        self._report.records += sum(
            len(infos) for datasets in new_records.values() for infos in datasets.values()
        )
        self._report.different += len(different)
        self._report.already_there += len(refs.keys() - incomplete - different)

    def _prepare(self, refs: Iterable[DatasetRef]) -> None:
        """See to it that there are the dataset types and runs of datasets."""
        types, runs = {ref.datasetType for ref in refs}, {ref.run for ref in refs}
        missing = []
        for dataset_type in sorted(types - self._checked):
            try:
                self._check(dataset_type, self._butler.get_dataset_type(dataset_type.name))
            except MissingDatasetTypeError:
                missing.append(dataset_type)
        if missing and not self._register:
            names = ", ".join(dataset_type.name for dataset_type in missing[:_NAMED])
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise TransferError(
                f"dataset types that are not registered in the repository: {names}{more} "
                "(they can be registered on the way: --register-dataset-types)"
            )
        for dataset_type in missing:
            self._require_storage_class(dataset_type)
            if not self._report.dry_run:
                try:
                    self._butler.registry.registerDatasetType(dataset_type)
                except ConflictingDefinitionError:
                    # Somebody else has just registered it.
                    self._check(dataset_type, self._butler.get_dataset_type(dataset_type.name))
            if dataset_type.name not in self._report.dataset_types:
                self._report.dataset_types.append(dataset_type.name)
        for run in sorted(runs - self._runs):
            if self._report.dry_run:
                is_new = not exists(self._butler, run)
            else:
                is_new = self._butler.collections.register(run)
            if is_new and run not in self._report.runs:
                self._report.runs.append(run)
        self._checked |= types
        self._runs |= runs

    def _require_storage_class(self, dataset_type: DatasetType) -> None:
        """Raise if nobody knows how a dataset type is stored."""
        if dataset_type.storageClass_name not in self._butler.storageClasses:
            raise TransferError(
                f"dataset type {dataset_type.name} has the storage class "
                f"{dataset_type.storageClass_name}, which is not defined here"
            )

    @staticmethod
    def _check(ours: DatasetType, registered: DatasetType) -> None:
        """Raise if a dataset type is not what the repository takes it for."""
        if ours != registered and not (
            ours.is_compatible_with(registered) and registered.is_compatible_with(ours)
        ):
            raise TransferError(f"the repository defines {registered} where the graph has {ours}")

    def update_chain(self, header: Any) -> None:
        """Put the output run of a graph first in its output chain."""
        collections = self._butler.collections
        chain, run = header.output, header.output_run
        if not chain or not run or not exists(self._butler, run):
            # There is no chain, or nothing was written.
            return
        if collections.register(chain, CollectionType.CHAINED) and header.inputs:
            # Added at the end, because others may have put their runs there by now.
            collections.extend_chain(chain, collections.query(header.inputs, flatten_chains=True))
        collections.prepend_chain(chain, run)


def _named(told: str, refs: Mapping[uuid.UUID, DatasetRef]) -> str:
    """Return type, data ID and run of the datasets whose ids are in an error message."""
    ids = dict.fromkeys(uuid.UUID(text) for text in _UUID.findall(told))
    ours = [refs[one] for one in ids if one in refs]
    return "".join(
        f"; dataset {ref.id} was to be {ref.datasetType.name} {ref.dataId} in run {ref.run!r}" for ref in ours
    )


def predicted_records(butler: LimitedButler, refs: Iterable[DatasetRef]) -> dict[str, DatastoreRecordData]:
    """Return the records of datasets where a butler would write them, by name of the datastore."""
    return butler._datastore.export_predicted_records(refs)


def unrecorded_files(butler: LimitedButler, refs: list[DatasetRef]) -> list[tuple[str, str]] | None:
    """Return local files of datasets without records, and their formatters; `None` if that is not all."""
    # Only our datastore of files knows.
    find = getattr(butler._datastore, "unrecorded_files", None)
    files: list[tuple[str, str]] | None = None if find is None else find(refs)
    return files


def _tables(datastore: Datastore) -> Iterator[tuple[str, str]]:
    """Yield each file datastore's name with that of its opaque table."""
    children = getattr(datastore, "datastores", None)
    if children is None:
        for table in datastore.get_opaque_table_definitions():
            yield datastore.name, table
    else:
        for child in children:
            yield from _tables(child)


def groups(refs: Iterable[DatasetRef]) -> Iterator[list[DatasetRef]]:
    """Yield the datasets that one statement can import.

    Two processes with the same datasets take locks in the same order.
    """
    groups: dict[Any, list[DatasetRef]] = defaultdict(list)
    for ref in refs:
        groups[ref.run, ref.datasetType.dimensions].append(ref)
    for group in sorted(groups):
        yield sorted(groups[group], key=lambda ref: ref.id)


def _agree(ours: Iterable[StoredFileInfo], theirs: Iterable[Any]) -> bool:
    """Return whether two accounts of a dataset's files do not contradict.

    Upstream's transfer from a graph does not know sizes and checksums.
    """
    unknown = {"file_size": (-1, None), "checksum": (None,)}
    by_component = [{info.component: info.to_record() for info in infos} for infos in (ours, theirs)]
    if by_component[0].keys() != by_component[1].keys():
        return False
    return all(
        value == other[name] or value in unknown.get(name, ()) or other[name] in unknown.get(name, ())
        for component, record in by_component[0].items()
        for other in [by_component[1][component]]
        for name, value in record.items()
    )


def _same(ref: DatasetRef, known: DatasetRef) -> bool:
    """Return whether a dataset of one id is the one that is known."""
    return (ref.datasetType.name, ref.run, ref.dataId) == (known.datasetType.name, known.run, known.dataId)


def exists(butler: Butler, collection: str) -> bool:
    """Return whether there is a collection."""
    try:
        butler.collections.get_info(collection)
    except MissingCollectionError:
        return False
    return True
